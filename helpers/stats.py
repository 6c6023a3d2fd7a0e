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
    """Mean of after − before and its interval over paired items.

    before, after: shape (items,). Scores of one run (0 or 1): Agresti and Min (2005, Statistics in
    Medicine 24:729), Wald's interval after half a pair is added to each cell of the 2 × 2 table, so
    that it has a width also where nothing changed. Means over seeds: a percentile bootstrap with the
    same pseudo-pairs. Returns (difference, low, high).
    """
    before, after = np.asarray(before, float), np.asarray(after, float)
    change = after - before
    if set(np.unique([before, after])) <= {0.0, 1.0}:
        n, moved, net = len(change) + 2, np.abs(change).sum() + 1, change.sum()
        half = stats.norm.isf((1 - confidence) / 2) * np.sqrt(moved - net**2 / n) / n
        return float(change.mean()), float(net / n - half), float(net / n + half)
    low, high = np.quantile(_resampled_means(change, rng, resamples), [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(change.mean()), float(low), float(high)


def _resampled_means(change: np.ndarray, rng: np.random.Generator, resamples: int) -> np.ndarray:
    """Means of `resamples` bootstrap samples of paired changes and two pseudo-pairs, shape (resamples,).

    The pseudo-pairs are those of `paired_interval`: half a gain, half a loss, one pair unchanged. Drawn
    as multinomial counts of the distinct values: the same distribution as drawing items, and fast.
    """
    distinct, counts = np.unique(np.concatenate([change, [1.0, -1.0, 0.0]]), return_counts=True)
    weights = counts - 0.5 * np.isin(distinct, [1.0, -1.0])
    drawn = rng.multinomial(round(weights.sum()), weights / weights.sum(), size=resamples)
    return drawn @ distinct / drawn.sum(axis=1)


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
    """Smallest true difference that McNemar's exact test finds with the given power; 1 if there is none.

    items: number of pairs. discordant: share of pairs that differ between the two models; where a
    difference needs more, all changes are taken to go in one direction. Power is computed exactly:
    the number of discordant pairs is binomial, and given it the number of gains.
    """
    if _exact_power(items, discordant, 1.0, alpha) < power:
        return 1.0
    return float(optimize.bisect(lambda d: _exact_power(items, discordant, d, alpha) - power, 0.0, 1.0, xtol=1e-4))


def _exact_power(items: int, discordant: float, difference: float, alpha: float) -> float:
    """Probability that McNemar's exact test is significant at `alpha` when the true difference is `difference`."""
    share = min(1.0, max(discordant, difference, 1e-9))
    low, high = stats.binom.ppf([1e-8, 1 - 1e-8], items, share)
    pairs = np.arange(low, high + 1)
    critical = stats.binom.ppf(alpha / 2, pairs, 0.5)
    critical -= stats.binom.cdf(critical, pairs, 0.5) > alpha / 2  # the most losses (or gains) that are still significant
    gain = (1 + difference / share) / 2
    found = stats.binom.cdf(critical, pairs, gain) + stats.binom.sf(pairs - critical - 1, pairs, gain)
    return float(stats.binom.pmf(pairs, items, share) @ found)


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
    discordant = float(((after - before) ** 2).mean())  # for one run, the share of items that differ
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
    resampled within each benchmark. Reasoning mode is left out: it asks the same items again, and a
    gain in format would count as a gain in medicine. Of two answer filters the flexible one enters.
    """
    rng = np.random.default_rng(seed)
    scores = scores[scores["mode"] != "reasoning"]
    flexible = set(scores.loc[scores["filter"] == FLEXIBLE, "benchmark"])
    scores = scores[~scores["benchmark"].isin(flexible) | (scores["filter"] == FLEXIBLE)]
    items = by_item(scores)
    groups = scores.groupby("benchmark")["group"].first()
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
