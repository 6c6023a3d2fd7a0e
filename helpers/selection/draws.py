"""The training questions of an arm: at random, or by a rule about a filter's answers or about length.

A draw is one seeded order of the pool. It serves every arm and size, so sets of one kind are nested: the 100 questions of a
small arm are among the 250 of a larger one, and arms of one seed are paired.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from helpers.questions.text import LETTERS
from helpers.selection.composition import common, composition, shared  # noqa: F401  (notebooks use them from here)
from helpers.selection.difficulty import by_question
from helpers.selection.rates import RATES
from helpers.study.choices import Arm
from helpers.study.errors import StudyError
from helpers.study.files import fingerprint, read_table, write_result
from helpers.study.study import Study


def order(pool: pd.DataFrame, seed: int | Sequence[int]) -> pd.DataFrame:
    """The pool in one random order that depends on the questions and the seed (`Study.draw_seed`), not on their order in the file."""
    by_id = pool.sort_values("question_id", ignore_index=True)
    return by_id.iloc[np.random.default_rng(seed).permutation(len(by_id))].reset_index(drop=True)


def choose(
    pool: pd.DataFrame,
    arm: Arm,
    name: str,
    labels: pd.DataFrame | None,
    seed: int | Sequence[int],
    shortage: str,
    reading: str = "strict",
) -> tuple[pd.DataFrame, list[str]]:
    """Choose an arm's questions, without replacement.

    pool: the questions left after the contamination check. labels: the filter's, one row per answer, or None for an arm without
    a filter. shortage: "stop" raises StudyError when a label has too few questions, "fill" takes the missing ones from the other
    label. reading: of the filter's answers, see `by_question`.

    Returns (questions with the columns of `by_question`, in training order; remarks that belong in the report). Raises StudyError if the
    pool has too few of the wanted questions, or an arm is to be balanced whose questions have no letters.
    """
    shuffled = with_labels(order(pool, seed), labels, reading)
    if arm.wanted > len(shuffled):
        raise StudyError(
            f"arms.{name}: {arm.wanted} questions wanted, {len(shuffled)} are left in the pool after the "
            "contamination check; ask for fewer"
        )
    chosen, remarks = (_by_letter if arm.balanced else _by_rule)(shuffled, arm, name, shortage)
    return chosen.sort_index().reset_index(drop=True), remarks


def _by_letter(shuffled: pd.DataFrame, arm: Arm, name: str, shortage: str) -> tuple[pd.DataFrame, list[str]]:
    """The arm's rule, applied to the questions of each right letter."""
    letters = sorted(shuffled["answer"].unique())
    if not set(letters) <= set(LETTERS):
        raise StudyError(f"arms.{name}.balanced: needs questions whose answers are letters, the pool has {letters[0]!r}")
    chosen, remarks = [], []
    for place, letter in enumerate(letters):
        part, wanted = shuffled[shuffled["answer"] == letter], arm.shared_among(len(letters), place)
        if wanted.wanted > len(part):
            raise StudyError(
                f"arms.{name}.balanced: {wanted.wanted} questions with the answer {letter} wanted, the pool has {len(part)}; ask for fewer"
            )
        try:
            found, said = _by_rule(part, wanted, name, shortage)
        except StudyError as error:
            raise StudyError(f"{error} (balanced: of the {len(part)} questions with the answer {letter})") from None
        chosen.append(found)
        remarks += [f"Answer {letter}: {remark}" for remark in said]
    return pd.concat(chosen), remarks


def _by_rule(shuffled: pd.DataFrame, arm: Arm, name: str, shortage: str) -> tuple[pd.DataFrame, list[str]]:
    """The questions that an arm's rule takes; their index is their place in the draw."""
    if arm.hard is not None:
        return _by_label(shuffled, arm, name, shortage)
    ranked = _ranked(shuffled, arm)
    if arm.wanted > len(ranked):
        raise StudyError(
            f"arms.{name}: {arm.rule}: the pool has {len(ranked)} such questions; lower size to {len(ranked)} or less"
        )
    chosen = ranked.head(arm.wanted)
    certain = chosen["pass_rate"].isin([0.0, 1.0]).sum() if arm.needs_samples else 0
    remark = f"{certain} of {arm.size} questions have a pass rate of 0 or 1: the pool has no others that fit the rule better."
    return chosen, [remark] if certain else []


def with_labels(pool: pd.DataFrame, labels: pd.DataFrame | None, reading: str) -> pd.DataFrame:
    """The questions of a pool that are labelled, with the columns of `by_question`; without labels all of them, "unlabelled"."""
    if labels is None:
        return pool.assign(label="unlabelled", **dict.fromkeys(RATES, np.nan))
    return pool.merge(by_question(labels, reading), on="question_id")


def _ranked(shuffled: pd.DataFrame, arm: Arm) -> pd.DataFrame:
    """The questions that an arm's rule allows, those it prefers first; the draw's order decides between equals.

    Rules about the value of a pass rate go by the shrunk one; whether samples agree, or any was right, by the samples themselves.
    """
    raw, shrunk, rule = shuffled["pass_rate"], shuffled["pass_rate_shrunk"], arm.pass_rate
    if arm.longest:
        return shuffled.loc[(-shuffled["question"].str.len()).sort_values(kind="stable").index]
    if arm.no_zero_variance:
        return shuffled[~raw.isin([0.0, 1.0])]
    if rule is None:
        return shuffled
    if rule.nearest is not None:
        return shuffled.loc[(shrunk - rule.nearest).abs().sort_values(kind="stable").index]
    if rule.from_ is not None:
        return shuffled[shrunk.between(rule.from_, rule.to)]
    solvable = shrunk if rule.above is None else shrunk[raw > rule.above]
    return shuffled.loc[solvable.sort_values(kind="stable").index]


def _by_label(shuffled: pd.DataFrame, arm: Arm, name: str, shortage: str) -> tuple[pd.DataFrame, list[str]]:
    """The first `hard` and `easy` questions of a draw. Of one label there may be too few, never of both."""
    taken, remarks = {"hard": arm.hard, "easy": arm.easy}, []
    for label, other in (("easy", "hard"), ("hard", "easy")):
        wanted, found = taken[label], int((shuffled["label"] == label).sum())
        if wanted <= found:
            continue
        if shortage == "stop":
            raise StudyError(
                f"arms.{name}.{label}: {wanted} wanted, the filter found {found} in the pool; "
                f"lower it to {found} or less, or set split.shortage: fill"
            )
        taken = {label: found, other: taken[other] + wanted - found}
        remarks = [f"{wanted - found} of {wanted} {label} questions are missing in the pool; {other} ones take their place"]
    rank = shuffled.groupby("label").cumcount()
    return shuffled[rank < shuffled["label"].map(taken)], remarks


def filter_labels(study: Study, arm: str) -> pd.DataFrame | None:
    """The answers of the filter by which an arm chooses; None if it has none. Raises StudyError if they are missing or outdated."""
    name = study.arms[arm].filter
    if name is None:
        return None
    inputs = study.inputs("filter", filter=name)
    return read_table(study.path("filter", name, "labels.parquet"), f"01_filter (filter {name})", inputs)


def make(study: Study, arm: str, seed: int, clean: pd.DataFrame, **facts: Any) -> tuple[pd.DataFrame, list[str]]:
    """Draw an arm's questions for a training seed and write them where that seed reads them (`Study.draw_file`).

    clean: the pool without what was set aside. facts: for the note beside the file. Returns what `choose` returns, with the questions'
    length in characters, since their texts are not published.
    """
    chosen, remarks = choose(
        clean, study.arms[arm], arm, filter_labels(study, arm), study.draw_seed(seed), study.split.shortage, study.label(arm)
    )
    chosen["characters"] = chosen["question"].str.len()
    inputs = study.inputs("split", arm=arm, seed=seed)
    mark = fingerprint(inputs, chosen["question_id"].tolist())
    write_result(chosen, study.draw_file(arm, seed), mark, inputs, arm=arm, remarks=remarks, **facts)
    return chosen, remarks


def read(study: Study, arms: Sequence[str]) -> dict[str, pd.DataFrame]:
    """The questions of each arm. Where every seed has a draw of its own, those drawn so far are concatenated; column `draw` has the seed."""
    found = {}
    for arm in arms:
        if study.split.draws == "fixed":
            found[arm] = read_table(study.draw_file(arm, 0), f"02_split (arm {arm})")
            continue
        seeds = [seed for seed in study.seeds if study.draw_file(arm, seed).exists()] or study.seeds[:1]
        parts = [read_table(study.draw_file(arm, seed), f"02_split (arm {arm}, seed {seed})").assign(draw=seed) for seed in seeds]
        found[arm] = pd.concat(parts, ignore_index=True)
    return found
