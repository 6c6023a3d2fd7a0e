"""Checks of the indices: the benchmarks that they leave out or rest on, whether they cover written answers, and whether robustness can fall."""

import pandas as pd

from helpers.analysis import names
from helpers.analysis.checks import Notice, knows
from helpers.analysis.indices import benchmark_of, one_letter
from helpers.study.study import UNTRAINED

LEFT_OUT = "A benchmark is left out of the indices because the untrained model nearly always answers it with the same letter"
AT_CHANCE = "The untrained model is not shown to answer a benchmark of the robustness index better than by guessing, so a loss would hardly show"
HEAVY = "One benchmark contributes more than half of the item variance of an index"
READ_ONLY = "All benchmarks of an index are scored by log-likelihood, so it does not show whether written answers get worse"
LARGE = 0.5  # share of an index's item variance above which it rests on one benchmark
MANY = 0.5  # share of an index's benchmarks at chance from which on that it did not fall is no evidence


def warnings(scores: pd.DataFrame, items: pd.DataFrame, without: pd.DataFrame) -> list[Notice]:
    """All warnings about the indices. scores: of all models, suites apart; items: `indices.item_scores`; without: `indices.leave_one_out`."""
    return [*written(scores), *left_out(scores), *guessed(scores, items), *weight(without)]


def written(scores: pd.DataFrame, group: str = "robustness") -> list[Notice]:
    """Warning about an index none of whose answers is written by the model. scores: columns group, mode."""
    modes = set(scores.loc[scores["group"] == group, "mode"])
    return [Notice(READ_ONLY, group)] if modes == {"likelihood"} else []


def left_out(scores: pd.DataFrame) -> list[Notice]:
    """Warnings about tasks that the indices leave out (`indices.one_letter`). scores: of all models."""
    return [
        Notice(LEFT_OUT, names.benchmark(row.task), f"{row.letter} {row.share:.0%}") for row in one_letter(scores).itertuples()
    ]


def guessed(scores: pd.DataFrame, items: pd.DataFrame) -> list[Notice]:
    """Warnings about benchmarks of the robustness index on which the untrained model is not shown to be better than guessing (`checks.knows`).
    As in `warnings`."""
    chance = scores.groupby(scores["task"].map(benchmark_of))["chance"].mean()
    return [
        Notice(AT_CHANCE, names.benchmark(name), f"{part['score'].mean():.1%}, by guessing {chance[name]:.1%}")
        for name, part in _robustness(items).groupby("benchmark", sort=False)
        if not knows(part.rename(columns={"score": "correct"}), chance[name])
    ]


def insensitive(scores: pd.DataFrame, items: pd.DataFrame) -> str:
    """Why the robustness index could hardly fall, in words: the untrained model only guesses on half of its benchmarks or more; else "".
    As in `warnings`."""
    near, every = [one.where for one in guessed(scores, items)], _robustness(items)["benchmark"].nunique()
    few = not near or len(near) < MANY * every
    return "" if few else f"the untrained model only guesses on {len(near)} of the {every} benchmarks ({', '.join(near)})"


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


def _robustness(items: pd.DataFrame) -> pd.DataFrame:
    """The untrained model's item scores of the robustness index."""
    return items[(items["arm"] == UNTRAINED) & (items["group"] == "robustness")]
