"""Power: how large a difference must be to be found, and what the paper's own differences would have needed.

Pure functions of numbers. Shares, not points. `discordant`: the share of items that one model gets right and the
other wrong.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import optimize, stats

from helpers.analysis.intervals import Runs, scatter

# arXiv 2504.13950: accuracies as printed. 0.6690 fits a count of all 14,042 MMLU items; GSM8K's test set has 1,319.
PAPER = (
    ("MMLU", 14_042, "random − untrained", 0.6690, 0.6632),
    ("MMLU", 14_042, "self-filtered − untrained", 0.6690, 0.6745),
    ("MMLU", 14_042, "self-filtered − random", 0.6632, 0.6745),
    ("GSM8K", 1_319, "self-filtered − untrained", 0.9219, 0.9189),
)
MANY_SEEDS = 100


class Components(NamedTuple):
    """Where a change varies: between items in all runs alike, between items in one run, between runs (a standard deviation)."""

    shared: float
    single: float
    seed_sd: float


def change_components(before: Runs, after: Runs) -> Components:
    """The variance components of a model's change on one benchmark, from its runs. before: one run; after: shape (runs, items).

    One run cannot tell them apart: all of the items' variance counts as `single`, and seed_sd is NaN.
    """
    change = after - before
    if len(after) == 1:
        return Components(0.0, float(change.var()), float("nan"))
    single = scatter(after)
    shared = max(0.0, float(change.mean(axis=0).var(ddof=1)) - single / len(after))
    seeds = after.mean(axis=1).var(ddof=1) - single / after.shape[1]
    return Components(shared, single, float(np.sqrt(max(seeds, 0.0))))


def exact_power(items: int, discordant: float, difference: float, alpha: float = 0.05) -> float:
    """Probability that McNemar's exact test finds a true `difference` at level `alpha`, with one run each.

    Exact: the number of discordant pairs is binomial, and given it the number of gains. Where a difference
    needs more discordant pairs than given, all changes go in one direction.
    """
    share = min(1.0, max(discordant, difference, 1e-9))
    low, high = stats.binom.ppf([1e-8, 1 - 1e-8], items, share)
    pairs = np.arange(low, high + 1)
    limit = stats.binom.ppf(alpha / 2, pairs, 0.5)
    limit -= stats.binom.cdf(limit, pairs, 0.5) > alpha / 2  # the most losses (or gains) that are still significant
    gain = (1 + difference / share) / 2
    found = stats.binom.cdf(limit, pairs, gain) + stats.binom.sf(pairs - limit - 1, pairs, gain)
    return float(stats.binom.pmf(pairs, items, share) @ found)


def smallest_detectable(items: int, discordant: float, alpha: float = 0.05, power: float = 0.8) -> float:
    """Smallest true difference that McNemar's exact test finds with the given power; 1 if there is none."""
    return _smallest(lambda difference: exact_power(items, discordant, difference, alpha), power, xtol=1e-4)


def seeds_power(difference: float, items: int, seeds: int, parts: Components, alpha: float = 0.05, trained: int = 1) -> float:
    """Probability that the test over items and seeds (`intervals.p_value`) finds a true difference; two seeds or more.

    trained: 1 against the untrained model, 2 for one arm against another with as many seeds.
    """
    from_items = trained * parts.shared / items
    from_seeds = trained * (parts.seed_sd**2 + parts.single / items) / seeds
    return mean_power(difference, from_items, from_seeds, trained * (seeds - 1), alpha)


def mean_power(difference: float, from_items: float, from_seeds: float, df: float, alpha: float = 0.05) -> float:
    """Probability that the test over items and seeds finds a true difference of two means whose variance has these two parts.

    df: degrees of freedom of the seeds' part in the test. The mean difference is taken to be normal, and the variance of the runs' means,
    which decides the critical value, as chi-squared.
    """
    if from_items + from_seeds == 0:  # a few items that no run changed: any difference would be seen
        return 1.0 if difference else alpha
    df = max(df, 1)
    seen = from_seeds * stats.chi2.ppf((np.arange(400) + 0.5) / 400, df) / df
    normal, student = stats.norm.isf(alpha / 2), stats.t.isf(alpha / 2, df)
    limit = (normal * from_items + student * seen) / np.sqrt(from_items + seen)
    error = np.sqrt(from_items + from_seeds)
    return float(np.mean(stats.norm.sf((limit - difference) / error) + stats.norm.cdf((-limit - difference) / error)))


def seeds_detectable(
    items: int, seeds: int, parts: Components, alpha: float = 0.05, power: float = 0.8, trained: int = 1
) -> float:
    """Smallest true difference that the test over items and seeds finds with the given power; 1 if there is none."""
    return _smallest(lambda difference: seeds_power(difference, items, seeds, parts, alpha, trained), power)


def mean_detectable(from_items: float, from_seeds: float, df: float, alpha: float = 0.05, power: float = 0.8) -> float:
    """Smallest true difference that `mean_power` finds with the given power; 1 if there is none."""
    return _smallest(lambda difference: mean_power(difference, from_items, from_seeds, df, alpha), power)


def _smallest(found: Callable[[float], float], power: float, xtol: float = 1e-5) -> float:
    if found(1.0) < power:
        return 1.0
    return float(optimize.bisect(lambda difference: found(difference) - power, 0.0, 1.0, xtol=xtol))


def seeds_needed(
    difference: float, items: int, parts: Components, alpha: float = 0.05, power: float = 0.8, trained: int = 1
) -> int:
    """Seeds of each trained model with which the test over items and seeds finds a true `difference`; MANY_SEEDS + 1 if it takes more.

    trained: 1 against the untrained model, 2 for one arm against another.
    """
    counts = range(2, MANY_SEEDS + 1)
    fits = (seeds for seeds in counts if seeds_power(abs(difference), items, seeds, parts, alpha, trained) >= power)
    return next(fits, MANY_SEEDS + 1)


def minimum_detectable_effect(sd: float, seeds: int, alpha: float = 0.05, power: float = 0.8) -> float:
    """Smallest true difference of two arms that the paired test over seeds finds with probability `power`, in the unit of `sd`.

    sd: standard deviation of the differences within a seed (second arm minus first, or arm minus untrained), as `components.components` measures
    it in a study with one draw per seed; it holds draws, training noise and items. The test is Student's for one sample with
    `seeds` − 1 degrees of freedom at level `alpha`, two-sided; its power is that of the noncentral t distribution. Infinite with fewer
    than two seeds, which allow no test.

    >>> round(minimum_detectable_effect(sd=2.1, seeds=8), 1)
    2.4
    """
    if seeds < 2:
        return float("inf")
    limit = stats.t.isf(alpha / 2, seeds - 1)  # a difference in the wrong direction is found so rarely that it is left out
    needed = optimize.brentq(lambda shift: stats.nct.sf(limit, seeds - 1, shift) - power, 0.0, 4 * limit + 10)
    return float(sd * needed / np.sqrt(seeds))


def largest_significant_discordance(items: int, net: int, alpha: float) -> float:
    """The largest share of discordant items at which McNemar's exact test calls `net` more gains than losses significant; 0 if none."""
    pairs = np.arange(net, items + 1, 2)
    p = 2 * stats.binom.cdf((pairs - net) / 2, pairs, 0.5)
    found = pairs[p < alpha]
    return float(found.max() / items) if len(found) else 0.0


def paper_table(seed_sd: float, discordant: float = 0.05, alpha: float = 0.05, power: float = 0.8) -> pd.DataFrame:
    """The paper's stated differences and the seeds that they would need; one row a difference.

    The paper gives no items, so which ones changed is not known. `significant_below`: the largest share of changed items
    at which its difference would be significant, for its one seed (no scatter between seeds). `seeds_needed`: with its items, if `discordant`
    of them change (`assumed`) and seeds scatter by `seed_sd` (a share; NaN: not known).
    """
    rows = []
    for benchmark, items, pair, before, after in PAPER:
        difference = after - before
        net = round(abs(difference) * items)
        parts = Components(discordant / 2, discordant / 2, seed_sd)
        trained = 1 if pair.endswith("untrained") else 2
        rows.append({
            "benchmark": benchmark, "items": items, "compared": pair, "before": before, "after": after, "difference": difference,
            "items_net": net, "significant_below": largest_significant_discordance(items, net, alpha), "assumed": discordant,
            "seeds_needed": seeds_needed(difference, items, parts, alpha, power, trained) if np.isfinite(seed_sd) else np.nan,
        })  # fmt: skip
    return pd.DataFrame(rows)


def curve(seed_sd: float, discordant: float, alpha: float = 0.05, power: float = 0.8, own: int = 0) -> pd.DataFrame:
    """Smallest detectable difference over the number of items, with 3 and 5 seeds and, if they are more, the study's own; columns items, seeds,
    detectable.

    Seeds scatter by `seed_sd`; no rows where it is NaN: one seed says nothing about others. Half of the changes are taken to be the same
    in all seeds.
    """
    parts = Components(discordant / 2, discordant / 2, seed_sd)
    sizes = np.unique(np.geomspace(50, 20_000, 25).astype(int)) if np.isfinite(seed_sd) else ()
    rows = [
        (items, seeds, seeds_detectable(int(items), seeds, parts, alpha, power))
        for items in sizes
        for seeds in (3, 5, *([own] if own > 5 else []))
    ]
    return pd.DataFrame(rows, columns=["items", "seeds", "detectable"])
