"""Checks of the indices: the benchmarks that they leave out or rest on, whether they cover written answers, and whether robustness can fall."""

import pandas as pd

from helpers.analysis import names
from helpers.analysis.checks import Notice
from helpers.analysis.indices import one_letter, strict_beside_flexible
from helpers.study.study import UNTRAINED

LEFT_OUT = "A benchmark is left out of the indices because the untrained model nearly always answers it with the same letter"
AT_CHANCE = "The untrained model answers a benchmark of the robustness index no better than by guessing, so a loss there would hardly show"
HEAVY = "One benchmark contributes more than half of the item variance of an index"
READ_ONLY = "All benchmarks of an index are scored by log-likelihood, so it does not show whether written answers get worse"
LARGE = 0.5  # share of an index's item variance above which it rests on one benchmark
MANY = 0.5  # share of an index's benchmarks at chance from which on that it did not fall is no evidence


def warnings(scores: pd.DataFrame, table: pd.DataFrame, without: pd.DataFrame) -> list[Notice]:
    """All warnings about the indices. scores: of all models, suites apart; table: `compare.comparison`; without: `indices.leave_one_out`."""
    return [*written(scores), *left_out(scores), *guessed(table, scores), *weight(without)]


def written(scores: pd.DataFrame, group: str = "robustness") -> list[Notice]:
    """Warning about an index none of whose answers is written by the model. scores: columns group, mode."""
    modes = set(scores.loc[scores["group"] == group, "mode"])
    return [Notice(READ_ONLY, group)] if modes == {"likelihood"} else []


def left_out(scores: pd.DataFrame) -> list[Notice]:
    """Warnings about tasks that the indices leave out (`indices.one_letter`). scores: of all models."""
    return [
        Notice(LEFT_OUT, names.benchmark(row.task), f"{row.letter} {row.share:.0%}") for row in one_letter(scores).itertuples()
    ]


def guessed(table: pd.DataFrame, scores: pd.DataFrame) -> list[Notice]:
    """Warnings about robustness benchmarks on which the untrained model is not significantly better than guessing. As in `warnings`."""
    rows = _robustness(table, scores)
    rows = rows[rows["at_chance"].astype(bool)]
    shares = zip(names.of(rows), rows["accuracy"], rows["chance"], strict=True)
    return [Notice(AT_CHANCE, name, f"{right:.1%}, by guessing {chance:.1%}") for name, right, chance in shares]


def insensitive(table: pd.DataFrame, scores: pd.DataFrame) -> str:
    """Why the robustness index could hardly fall, in words: the untrained model only guesses on half of its benchmarks or more; else "".
    As in `warnings`."""
    every, near = _robustness(table, scores), guessed(table, scores)
    few = not near or len(near) < MANY * len(every)
    return "" if few else f"the untrained model only guesses on {', '.join(one.where for one in near)}"


def weight(without: pd.DataFrame) -> list[Notice]:
    """Warnings about benchmarks that bring more than half of the item variance of an index, as a change from the untrained model or as a
    difference from the random arm (mean over arms). without: `indices.leave_one_out`.

    Indices of one or two benchmarks are not looked at, since one of two nearly always does.
    """
    share = without.groupby(["first", "group", "without"], sort=False)["variance"].mean()
    counts = without.groupby("group")["without"].nunique()
    return [
        Notice(
            HEAVY,
            f"{names.benchmark(benchmark)} in {group}{'' if first == UNTRAINED else f', arms minus {first}'}",
            f"{value:.0%}",
        )
        for (first, group, benchmark), value in share.items()
        if value > LARGE and counts[group] > 2
    ]


def _robustness(table: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """The untrained model's rows of `compare.comparison` for the benchmarks of the robustness index."""
    rows = table[(table["arm"] == UNTRAINED) & (table["group"] == "robustness") & ~strict_beside_flexible(table)]
    return rows[~names.of(rows).isin([one.where for one in left_out(scores)])]
