"""Use and effect of a search tool in a study: who searched, what was found, and whether search and training help, alone and together.

A study has these tables if an arm or a task of it has `search: true`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from helpers.analysis import intervals
from helpers.analysis.evidence import change
from helpers.study.schema import SEARCH
from helpers.study.study import UNTRAINED

SEARCHES = "searches"  # the column of an answer that says what was searched, found and inserted
QUERIES = 50  # rows of the table of queries
ANSWERABLE = ", answer in the passages"  # after a benchmark's name: items whose question finds a passage with the right option
SHARES = ("searched", "found", "right_found", "wrong_found")
EFFECTS = ("search", "training", "training_with_search", "both", "interaction")


def searched(rollouts: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """`of_answers` of rollouts (`what` is rollouts) and of answers to benchmarks (`what` is the benchmark); empty without search."""
    named = [(rollouts, "rollouts"), (scores, scores["benchmark"].str.removesuffix(f"_{SEARCH}"))]
    parts = [rows.assign(what=what).dropna(subset=SEARCHES) for rows, what in named if SEARCHES in rows]
    return of_answers(pd.concat(parts, ignore_index=True)) if parts else pd.DataFrame()


def of_answers(rows: pd.DataFrame) -> pd.DataFrame:
    """Answers with the number of their searches.

    rows: `searches` as JSON (`helpers.search.episodes.Episode`), right_found, wrong_found. Returns them with `calls`, the parsed list,
    `searched` (it has an entry) and `found` (a passage was inserted; NaN if it did not search).
    """
    calls = [json.loads(record) for record in rows[SEARCHES]]
    searched = np.array([bool(one) for one in calls])
    found = np.array([any(call["ids"] for call in one) for one in calls], dtype=float)
    return rows.assign(calls=calls, searched=searched, found=np.where(searched, found, np.nan))


def by(rows: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Answers in groups: their number, the share that `searched`, of these the share that `found` passages, and of these the mean of
    right_found (the right option occurs in them) and of wrong_found (share of the wrong ones)."""
    wanted = {"answers": ("searched", "size")} | {name: (name, "mean") for name in SHARES}
    return rows.groupby(list(keys), sort=False).agg(**wanted).reset_index()


def steps(rows: pd.DataFrame) -> pd.DataFrame:
    """`by` of the rollouts, one row per arm, seed and step. rows: `searched`."""
    return by(rows[rows["what"] == "rollouts"], ["arm", "seed", "step"])


def queries(rows: pd.DataFrame) -> pd.DataFrame:
    """The QUERIES most frequent queries: how often, in how many answers that found passages, and right_found of these answers."""
    asked = rows[["calls", "right_found"]].explode("calls").dropna(subset="calls")
    table = pd.DataFrame({
        "query": [call["query"].strip().casefold() for call in asked["calls"]],
        "passages": [len(call["ids"]) for call in asked["calls"]],
        "right_found": asked["right_found"].to_numpy(float),
    })  # fmt: skip
    named = table.groupby("query").agg(
        times=("passages", "size"), passages=("passages", "mean"), right_found=("right_found", "mean")
    )
    return named.sort_values(["times", "query"], ascending=[False, True]).head(QUERIES).reset_index()


def effect(scores: pd.DataFrame, confidence: float) -> pd.DataFrame | None:
    """Accuracy with and without search, of the untrained and of each trained model, and what follows: one row per benchmark and model.

    None if no benchmark was answered both with and without search.

    scores: one row per answer; a benchmark that was answered with search has the suffix `_search`. Where `answerable` says whether the
    question itself finds a passage with the right option (no model is asked), such items have rows of their own: a control of the tool,
    which should help there if anywhere. Columns benchmark, items, arm, seeds,
    without, with (accuracies), then differences, each with `_low` and `_high` (`intervals.interval`):

    - search: with − without search, of this model;
    - training: this model − the untrained one, both without search;
    - training_with_search: the same, both with search;
    - both: this model with search − the untrained one without;
    - interaction: what search brings to this model beyond what it brings to the untrained one (training_with_search − training).

    The two scores of a model come from the same runs, so their difference is taken within seeds.
    """
    plain = scores[scores["rotation"] == 0]
    tool = plain["benchmark"].str.endswith(f"_{SEARCH}")
    named = plain.assign(tool=tool, benchmark=plain["benchmark"].str.removesuffix(f"_{SEARCH}"))
    rows = []
    for benchmark, part in named.groupby("benchmark", sort=False):
        if part["tool"].nunique() < 2:
            continue
        wide = part.set_index(["tool", "arm", "seed", "item_id"])["correct"].astype(float).unstack("item_id").dropna(axis=1)
        arms = list(dict.fromkeys(part["arm"]))
        known = set(part.loc[part["answerable"].eq(True), "item_id"]) if "answerable" in part else set()
        inside = [item for item in wide if item in known]
        rows += _effects(benchmark, wide, arms, confidence) if len(wide.columns) else []
        rows += _effects(f"{benchmark}{ANSWERABLE}", wide[inside], arms, confidence) if len(inside) > 1 else []
    columns = ["benchmark", "items", "arm", "seeds", "without", "with"]
    columns += [f"{name}{end}" for name in EFFECTS for end in ("", "_low", "_high")]
    return pd.DataFrame(rows, columns=columns) if rows else None


def _effects(benchmark: str, wide: pd.DataFrame, arms: list[str], confidence: float) -> list[dict[str, Any]]:
    """The rows of `effect` of one benchmark. wide: right or wrong, one row per tool, arm and seed, one column per item."""
    without, using = ({arm: wide.loc[tool, arm].to_numpy() for arm in arms} for tool in (False, True))
    rows = []
    for arm in arms:
        found = {"search": intervals.estimate([without[arm]], [using[arm]], paired=True)}
        if arm != UNTRAINED:
            gain, base = using[arm] - without[arm], using[UNTRAINED] - without[UNTRAINED]
            found["training"] = intervals.estimate([without[UNTRAINED]], [without[arm]])
            found["training_with_search"] = intervals.estimate([using[UNTRAINED]], [using[arm]])
            found["both"] = intervals.estimate([without[UNTRAINED]], [using[arm]])
            found["interaction"] = intervals.estimate([base], [gain])
        row = {"benchmark": benchmark, "items": wide.shape[1], "arm": arm, "seeds": 0 if arm == UNTRAINED else len(without[arm]),
               "without": without[arm].mean(), "with": using[arm].mean()}  # fmt: skip
        for name, e in found.items():
            row[name], (row[f"{name}_low"], row[f"{name}_high"]) = e.difference, intervals.interval(e, confidence)
        rows.append(row)
    return rows


def in_words(table: pd.DataFrame, searching: Sequence[str]) -> str:
    """What `effect` says, in a sentence for each benchmark: what search, training and both bring.

    searching: arms trained with search; of the others, the random arm is named.
    """
    lines = []
    for benchmark, rows in table.groupby("benchmark", sort=False):
        named = [("search alone", rows[rows["arm"] == UNTRAINED].iloc[0], "search")]
        for _, row in rows[rows["arm"].isin(["random", *searching])].iterrows():
            used = row["arm"] in searching
            name, kind = ("training with search", "both") if used else ("training without search", "training")
            named.append((f"{name} ({row['arm']})", row, kind))
        said = ", ".join(f"{name} {points(row, kind)}" for name, row, kind in named)
        clear = [name for name, row, kind in named if row[f"{kind}_low"] > 0 or row[f"{kind}_high"] < 0]
        excluded = f"Only the interval of {' and of '.join(clear)} excludes 0" if clear else "All intervals include 0"
        lines.append(f"{benchmark}, change from the untrained model without search: {said}. {excluded}.")
    return " ".join(lines)


def points(row: Mapping[str, float], name: str) -> str:
    """A difference in points with its interval, for readers; a dash if there is none.

    >>> points({"search": 0.02, "search_low": -0.01, "search_high": 0.05}, "search")
    '+2.0 [-1.0,\xa0+5.0]'
    """
    if not np.isfinite(row.get(name, np.nan)):
        return "–"
    ends = {"change": row[name], "low": row[f"{name}_low"], "high": row[f"{name}_high"]}
    return change(ends).replace(", ", ",\u00a0")
