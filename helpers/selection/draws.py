"""The training questions of an arm: at random, or hard and easy by a filter's labels.

One seeded order of the pool serves every arm and size, so sets of one kind are nested: the 100
questions of a small arm are among the 250 of a larger one.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from helpers.selection.difficulty import by_question
from helpers.study.files import StudyError

if TYPE_CHECKING:
    from helpers.study.study import Arm


def order(pool: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The pool in one random order that depends on the questions and the seed, not on their order in the file."""
    by_id = pool.sort_values("question_id", ignore_index=True)
    return by_id.iloc[np.random.default_rng(seed).permutation(len(by_id))].reset_index(drop=True)


def choose(
    pool: pd.DataFrame, arm: Arm, name: str, labels: pd.DataFrame | None, seed: int, shortage: str
) -> tuple[pd.DataFrame, list[str]]:
    """Choose an arm's questions, without replacement.

    pool: the questions left after the contamination check. labels: the filter's, one row an answer,
    or None for a random arm. shortage: "stop" raises StudyError when a label has too few questions,
    "fill" takes the missing ones from the other label.

    Returns (questions with label and pass_rate, in training order; remarks that belong in the report).
    """
    shuffled = order(pool, seed)
    if labels is not None:
        shuffled = shuffled.merge(by_question(labels), on="question_id")
    if arm.wanted > len(shuffled):
        raise StudyError(
            f"arms.{name}: {arm.wanted} questions wanted, {len(shuffled)} are left in the pool after the "
            "contamination check; ask for fewer"
        )
    if labels is None:
        return shuffled.head(arm.wanted).assign(label="unlabelled", pass_rate=np.nan), []
    if arm.pass_rate is not None:
        return _nearest_pass_rate(shuffled, arm.size, arm.pass_rate)
    wanted = {"hard": arm.hard, "easy": arm.easy}
    found = shuffled["label"].value_counts().reindex(list(wanted), fill_value=0).to_dict()
    taken, remarks = _counts(wanted, found, name, shortage)
    rank = shuffled.groupby("label").cumcount()
    chosen = shuffled[rank < shuffled["label"].map(taken)]
    return chosen.reset_index(drop=True), remarks


def _nearest_pass_rate(shuffled: pd.DataFrame, size: int, wanted: float) -> tuple[pd.DataFrame, list[str]]:
    """The `size` questions whose pass rate lies nearest to `wanted`; the seeded order decides between equals."""
    away = (shuffled["pass_rate"] - wanted).abs()
    chosen = shuffled.loc[away.sort_values(kind="stable").index[:size]].sort_index()
    flat = chosen["pass_rate"].isin([0.0, 1.0]).sum()
    told = f"{flat} of {size} questions have a pass rate of 0 or 1: the filter's samples found no better ones"
    return chosen.reset_index(drop=True), [told] if flat else []


def held_out(pool: pd.DataFrame, count: int, seed: int) -> pd.DataFrame:
    """The questions that no arm may train on: the last `count` of the pool in its seeded order."""
    return order(pool, seed).tail(count).reset_index(drop=True)


def _counts(wanted: dict[str, int], found: dict[str, int], name: str, shortage: str) -> tuple[dict[str, int], list[str]]:
    """How many of each label to take when a label may have too few."""
    taken = {label: min(count, found[label]) for label, count in wanted.items()}
    for label, other in (("easy", "hard"), ("hard", "easy")):
        missing = wanted[label] - found[label]
        if missing <= 0:
            continue
        if shortage == "stop":
            raise StudyError(
                f"arms.{name}.{label}: {wanted[label]} wanted, the filter found {found[label]} in the pool; "
                f"lower it to {found[label]} or less, or set split.shortage: fill"
            )
        taken[other] += missing
        return taken, [f"{missing} of {wanted[label]} {label} questions were not to be had; {other} ones fill their place"]
    return taken, []


def composition(arms: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row an arm: number of questions, how many of each label, mean pass rate, and where their texts are known their mean length."""
    rows: list[dict[str, object]] = [
        {
            "arm": name,
            "questions": len(frame),
            "hard": int((frame["label"] == "hard").sum()),
            "easy": int((frame["label"] == "easy").sum()),
            "unlabelled": int((frame["label"] == "unlabelled").sum()),
            "mean_pass_rate": frame["pass_rate"].mean(),
        }
        | ({"mean_characters": frame["question"].str.len().mean()} if "question" in frame else {})
        for name, frame in arms.items()
    ]
    return pd.DataFrame(rows)


def common(arms: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row a pair of arms: first, second, both (questions that both have), larger (questions of the larger of the two)."""
    ids = {name: set(frame["question_id"]) for name, frame in arms.items()}
    rows = [(a, b, len(ids[a] & ids[b]), max(len(ids[a]), len(ids[b]))) for a, b in combinations(ids, 2)]
    return pd.DataFrame(rows, columns=["first", "second", "both", "larger"])


def shared(arms: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Arms × arms: number of questions both have (the diagonal: all of an arm's)."""
    table = pd.DataFrame(
        np.diag([frame["question_id"].nunique() for frame in arms.values()]), index=list(arms), columns=list(arms)
    )
    for row in common(arms).itertuples():
        table.loc[row.first, row.second] = table.loc[row.second, row.first] = row.both
    return table
