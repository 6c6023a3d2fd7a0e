"""Intervals, paired tests and power: pure functions on arrays and tidy tables.

Every random step takes a numpy Generator. Scores are 0 or 1 for one run, or the share of runs
(seeds) that got the item right; intervals are over items and hold for the seeds that were run.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import optimize, stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint

BASELINE = "untrained"
FLEXIBLE = "flexible-extract"  # of a task's answer filters, the one that enters group means


def wilson(right: int, items: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson score interval of an accuracy (statsmodels' `proportion_confint`)."""
    low, high = proportion_confint(right, items, alpha=1 - confidence, method="wilson")
    return float(low), float(high)


def paired_interval(
    before: np.ndarray, after: np.ndarray, rng: np.random.Generator, resamples: int, confidence: float = 0.95
) -> tuple[float, float, float]:
    """Mean of after − before and its percentile bootstrap interval, items resampled in pairs (Efron and Tibshirani 1993).

    before, after: shape (items,). Returns (difference, low, high).
    """
    change = np.asarray(after, float) - np.asarray(before, float)
    means = _resampled_means(change, rng, resamples)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(change.mean()), float(low), float(high)


def _resampled_means(values: np.ndarray, rng: np.random.Generator, resamples: int) -> np.ndarray:
    """Means of `resamples` bootstrap samples of `values`, shape (resamples,).

    Drawn as multinomial counts of the distinct values: the same distribution as drawing items, and fast.
    """
    distinct, counts = np.unique(values, return_counts=True)
    drawn = rng.multinomial(len(values), counts / len(values), size=resamples)
    return drawn @ distinct / len(values)


def paired_p(before: np.ndarray, after: np.ndarray, rng: np.random.Generator, resamples: int = 10_000) -> float:
    """Two-sided p-value of no change over paired items.

    Scores of one run (0 or 1): McNemar's exact test (statsmodels). Means over several seeds: a
    sign-flip permutation test on the items' differences, of which McNemar's is the special case.
    """
    before, after = np.asarray(before, float), np.asarray(after, float)
    change = after - before
    if not change.any():
        return 1.0
    if set(np.unique([before, after])) <= {0.0, 1.0}:
        table = [[0, int((change < 0).sum())], [int((change > 0).sum()), 0]]
        return float(mcnemar(table, exact=True).pvalue)
    moved = change[change != 0]
    flips = rng.choice([-1.0, 1.0], size=(resamples, len(moved))) @ moved
    return float((1 + (np.abs(flips) >= abs(moved.sum()) - 1e-12).sum()) / (1 + resamples))


def smallest_detectable(items: int, discordant: float, alpha: float = 0.05, power: float = 0.8) -> float:
    """Smallest true difference that McNemar's test finds with the given power (Connor 1987, Biometrics 43:207).

    items: number of pairs. discordant: share of pairs in which the two models differ. Solves
    items · d² = (z_α √ψ + z_β √(ψ − d²))². Where ψ is too small for any d to be found, the answer is
    the smallest share of pairs that would be significant if all changed in one direction, z_α² / items.
    """
    z_alpha, z_beta = stats.norm.isf(alpha / 2), stats.norm.isf(1 - power)

    def lacking(d: float) -> float:
        return (z_alpha * np.sqrt(discordant) + z_beta * np.sqrt(max(discordant - d * d, 0.0))) ** 2 - items * d * d

    if discordant <= 0 or lacking(discordant) > 0:
        return float(min(1.0, z_alpha**2 / items))
    return float(optimize.brentq(lacking, 1e-9, discordant))


def by_item(scores: pd.DataFrame) -> pd.DataFrame:
    """Items × models: the mean of `correct` over seeds. Index: benchmark, filter, item_id; columns: arms."""
    return scores.pivot_table(index=["benchmark", "filter", "item_id"], columns="arm", values="correct", aggfunc="mean", sort=False)  # fmt: skip


def comparison(scores: pd.DataFrame, confidence: float, resamples: int, power: float, seed: int) -> pd.DataFrame:
    """Every benchmark × arm: accuracy with Wilson interval, and the change from untrained and from random.

    scores: one row an item with columns arm, seed, group, benchmark, filter, item_id, correct, chance.
    Wilson's interval treats the items of all seeds' mean as `items` draws. Returns one row a
    benchmark, answer filter and arm.
    """
    rng = np.random.default_rng(seed)
    items = by_item(scores)
    about = scores.groupby(["benchmark", "filter"], sort=False).agg(group=("group", "first"), chance=("chance", "mean"))
    rows = []
    for (benchmark, filter_name), table in items.groupby(level=["benchmark", "filter"], sort=False):
        facts = about.loc[(benchmark, filter_name)]
        for arm in table.columns:
            mine = table[arm].to_numpy()
            low, high = wilson(round(mine.sum()), len(mine), confidence)
            row = {"group": facts["group"], "benchmark": benchmark, "filter": filter_name, "arm": arm, "items": len(mine),
                   "chance": facts["chance"], "accuracy": mine.mean(), "low": low, "high": high}  # fmt: skip
            for base in (BASELINE, "random"):
                if base in table.columns and base != arm:
                    row |= _change(table[base].to_numpy(), mine, f"vs_{base}", rng, confidence, resamples, power)
            rows.append(row)
    return pd.DataFrame(rows)


def _change(
    before: np.ndarray, after: np.ndarray, name: str, rng: np.random.Generator, confidence: float, resamples: int, power: float
) -> dict[str, float]:
    difference, low, high = paired_interval(before, after, rng, resamples, confidence)
    discordant = float((before != after).mean())
    return {
        name: difference,
        f"{name}_low": low,
        f"{name}_high": high,
        f"{name}_p": paired_p(before, after, rng, resamples),
        f"{name}_detectable": smallest_detectable(len(before), discordant, 1 - confidence, power),
    }


def group_changes(scores: pd.DataFrame, confidence: float, resamples: int, seed: int) -> pd.DataFrame:
    """Change from untrained on each group of benchmarks, one row an arm and group.

    The mean over a group's benchmarks (macro: each counts the same, whatever its size); items are
    resampled within each benchmark. Of a task with two answer filters the flexible one enters.
    """
    rng = np.random.default_rng(seed)
    items = by_item(scores)
    groups = scores.groupby("benchmark")["group"].first()
    filters = items.index.get_level_values("filter")
    items = items[(filters == "none") | (filters == FLEXIBLE)]
    rows = []
    for arm in [name for name in items.columns if name != BASELINE]:
        change = items[arm] - items[BASELINE]
        for group in groups.unique():
            names = [name for name in groups.index[groups == group] if name in change.index]
            if not names:
                continue
            parts = [change.loc[name].to_numpy() for name in names]
            means = np.mean([_resampled_means(part, rng, resamples) for part in parts], axis=0)
            low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
            rows.append({"arm": arm, "group": group, "benchmarks": len(parts), "items": sum(map(len, parts)),
                         "change": float(np.mean([part.mean() for part in parts])), "low": low, "high": high})  # fmt: skip
    return pd.DataFrame(rows)


def reasoning(scores: pd.DataFrame) -> pd.DataFrame:
    """Format and answers told apart, for the benchmarks in reasoning mode; one row a benchmark and arm.

    Columns: valid (share in the right format), accuracy, accuracy_if_valid (among those), and the
    share of answers that name each letter (`none`: no letter could be read).
    """
    rows = []
    for (benchmark, arm), part in scores[scores["mode"] == "reasoning"].groupby(["benchmark", "arm"], sort=False):
        valid = part["format_valid"].astype(bool)
        letters = part["predicted"].fillna("none").value_counts(normalize=True)
        rows.append({"benchmark": benchmark, "arm": arm, "answers": len(part), "valid": valid.mean(),
                     "accuracy": part["correct"].mean(), "accuracy_if_valid": part.loc[valid, "correct"].mean(),
                     **{f"answers {letter}": letters.get(letter, 0.0) for letter in [*sorted(part["target"].unique()), "none"]}})  # fmt: skip
    return pd.DataFrame(rows)
