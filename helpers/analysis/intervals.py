"""Intervals and tests of the difference of two models: pure functions on arrays.

A model's scores on one benchmark are an array of shape (runs, items): one row per training seed, one row for
the untrained model. Shares, not points. Every random step takes a numpy Generator. Coverage and false positives of each method
were measured on simulated scores: figures/validation/validation.csv.

Two arms are compared in one of two ways. With one draw of questions per seed (`paired=True`), run k of both arms has the same seed and
the same draw of the pool: the difference is the mean of the differences within seeds. Its interval covers the draw of
questions, training noise and the benchmarks' items; it is conditional on the base model, the pool, the filters' labels, the recipe and the list of
benchmarks. With a fixed draw (`paired=False`) all runs of an arm share their questions, runs are independent
samples, and the interval is conditional on that one draw as well.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import optimize, special, stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint

from helpers.study.schema_eval import Analysis

ALPHA = 0.05  # level of the tests behind claims and checks
Runs = np.ndarray  # shape (runs, items)


class Estimate(NamedTuple):
    """A difference of two models and its uncertainty.

    difference: mean of after − before. centre: the middle of its interval (pulled a little towards 0 by pseudo-pairs).
    items: variance of the mean that comes from the choice of items. seeds: that from the training seeds (and their draws, where
    each seed has its own); 0 where every model has one run, and the interval is conditional on that run. df: degrees of freedom of `seeds`.
    """

    difference: float
    centre: float
    items: float
    seeds: float
    df: float

    @property
    def error(self) -> float:
        """Standard error."""
        return float(np.sqrt(self.items + self.seeds))


def wilson(right: int, items: int, confidence: float = 1 - ALPHA) -> tuple[float, float]:
    """Wilson score interval of an accuracy (statsmodels' `proportion_confint`)."""
    low, high = proportion_confint(right, items, alpha=1 - confidence, method="wilson")
    return float(low), float(high)


def is_chance(right: int, items: int, chance: float, confidence: float) -> bool:
    """True if the number of right answers does not differ significantly from guessing (exact binomial test, scipy)."""
    return bool(chance) and stats.binomtest(right, items, chance).pvalue >= 1 - confidence


def estimate(before: Sequence[Runs], after: Sequence[Runs], paired: bool = False) -> Estimate:
    """Mean of after − before over benchmarks (each counts the same), and its variance over items and seeds.

    before, after: one array per benchmark, shape (runs, items), the same items in the same order. paired: run k of both has the same
    seed and draw, so that what varies between runs is the difference within a seed, with runs − 1 degrees of freedom.

    Items: the variance of the items' mean changes after half a gain, half a loss and one unchanged pair were added to
    each benchmark (Agresti and Min 2005, Statistics in Medicine 24:729), so that there is a width where nothing changed;
    with one run each this is their interval. Seeds: the variance between the macro means of the runs (of the differences within a seed
    if paired, else of each model), divided by their number. Runs and items are crossed (each run answers every item), so
    the runs' own scatter on items, which both parts contain, is subtracted from the items' part (analysis of variance of two crossed
    random factors).
    """
    changes = [b.mean(axis=0) - a.mean(axis=0) for a, b in zip(before, after, strict=True)]
    share = 1 / len(changes)
    pairs = [len(change) + 2 for change in changes]
    centres = [change.sum() / n for change, n in zip(changes, pairs, strict=True)]
    items = sum(share**2 * ((c @ c + 1) / n - m**2) / n for c, n, m in zip(changes, pairs, centres, strict=True))
    means, own = [], 0.0
    for model in [[b - a for a, b in zip(before, after, strict=True)]] if paired else (before, after):
        runs = len(model[0])
        if runs > 1:
            spread = np.mean([part.mean(axis=1) for part in model], axis=0)
            means.append((spread.var(ddof=1) / runs, runs - 1))
            own += sum(share**2 * scatter(part) / part.size for part in model)
    seeds = float(sum(variance for variance, _ in means))
    weight = sum(variance**2 / free for variance, free in means)
    df = float(seeds**2 / weight if weight else sum(free for _, free in means))  # Welch and Satterthwaite, over the two models
    return Estimate(float(np.mean([c.mean() for c in changes])), float(np.mean(centres)), float(max(items - own, 0)), seeds, df)


def scatter(scores: Runs) -> float:
    """Mean square of what neither an item nor a run explains (two-way analysis of variance without repeats)."""
    rest = scores - scores.mean(axis=0) - scores.mean(axis=1, keepdims=True) + scores.mean()
    runs, items = scores.shape
    return float((rest**2).sum() / ((runs - 1) * max(items - 1, 1)))


def pooled(models: Sequence[Sequence[Runs]], paired: bool = False) -> tuple[float, float]:
    """Variances between seeds, pooled over arms: (of one arm's mean over benchmarks, of the difference of two arms); NaN without two seeds.

    models: of each arm one array per benchmark. paired: each seed has its own draw, so that the difference is taken within seeds
    (analysis of variance of the crossed factors arm and seed, without repeats).
    """
    means = [np.mean([part.mean(axis=1) for part in runs], axis=0) for runs in models if len(runs[0]) > 1]
    if not means:
        return np.nan, np.nan
    one = float(np.mean([mean.var(ddof=1) for mean in means]))
    return one, 2 * scatter(np.array(means)) if paired and len(means) > 1 else 2 * one


def critical(e: Estimate, tail: float) -> float:
    """How many standard errors leave `tail` on one side.

    The normal quantile for the items' variance and Student's for the seeds', weighted by these variances (Cochran and Cox
    1957, Experimental Designs, 2nd ed., section 4.14): exact where either is alone, careful in between.
    """
    normal = -special.ndtri(tail)
    if not e.seeds:
        return float(normal)
    return float((normal * e.items - special.stdtrit(e.df, tail) * e.seeds) / (e.items + e.seeds))


def interval(e: Estimate, confidence: float = 1 - ALPHA) -> tuple[float, float]:
    """Confidence interval of a difference: over items and seeds, or over items for the one seed that was run."""
    half = critical(e, (1 - confidence) / 2) * e.error
    return e.centre - half, e.centre + half


def _tail(e: Estimate, distance: float) -> float:
    """The `tail` whose critical value is `distance` (in shares): a one-sided p-value, the inverse of `critical`."""
    if e.error == 0:
        return 0.5 if distance == 0 else float(distance < 0)
    ratio = distance / e.error
    if not e.seeds:
        return float(stats.norm.sf(ratio))
    if ratio < 0:
        return 1 - _tail(e, -distance)
    lowest = 1e-12
    if critical(e, lowest) <= ratio:
        return lowest
    return float(optimize.brentq(lambda tail: critical(e, tail) - ratio, lowest, 0.5 + 1e-12))


def p_value(e: Estimate) -> float:
    """Two-sided p-value of no difference that goes with `interval`."""
    return min(1.0, 2 * _tail(e, abs(e.centre)))


def p_equivalence(e: Estimate, margin: float) -> float:
    """p-value of the hypothesis that the true difference is `margin` or more, in either direction.

    Two one-sided tests (Schuirmann 1987, Journal of Pharmacokinetics and Biopharmaceutics 15:657): below 0.05, the
    difference is shown to be smaller than the margin, which is more than not having seen one.
    """
    return max(_tail(e, e.centre + margin), _tail(e, margin - e.centre))


def benchmark_p(before: Runs, after: Runs, paired: bool = False) -> float:
    """Two-sided p-value of no change on one benchmark.

    One run each: McNemar's exact test over paired items (statsmodels), conditional on these runs. Several runs: the test
    over items and seeds of `p_value`; paired: as in `estimate`.
    """
    if max(len(before), len(after)) > 1:
        return p_value(estimate([before], [after], paired))
    change = after[0] - before[0]
    table = [[0, int((change < 0).sum())], [int((change > 0).sum()), 0]]
    return float(mcnemar(table, exact=True).pvalue)


def holm(p: Sequence[float]) -> np.ndarray:
    """p-values corrected for their number (Holm 1979), shape (len(p),).

    Equal to statsmodels' `multipletests`, which collects garbage at each call: a tenth of a second where PyTorch is imported.
    """
    given = np.asarray(p, float)
    order = np.argsort(given)
    corrected = np.empty_like(given)
    corrected[order] = np.minimum(np.maximum.accumulate(given[order] * np.arange(len(given), 0, -1)), 1.0)
    return corrected


def item_bootstrap(runs: Runs, rng: np.random.Generator, resamples: int) -> np.ndarray:
    """Mean scores of every run over resampled items, the same items for every run, shape (resamples, runs).

    Drawn as multinomial counts of the patterns that occur (right in run 0, wrong in run 1, …): the same distribution
    as drawing items one by one, and fast.
    """
    binary = ((runs == 0) | (runs == 1)).all()
    codes = (2 ** np.arange(len(runs))) @ (runs > 0.5) if binary else np.unique(runs, axis=1, return_inverse=True)[1]
    _, first, counts = np.unique(codes, return_index=True, return_counts=True)
    drawn = rng.multinomial(counts.sum(), counts / counts.sum(), size=resamples)
    return drawn @ runs[:, first].T / counts.sum()


def hierarchical_bootstrap(
    sides: Sequence[tuple[Sequence[Runs], Sequence[Runs]]], rng: np.random.Generator, resamples: int, paired: bool = False
) -> np.ndarray:
    """Bootstrap draws of the mean changes of several groups of benchmarks at once, shape (resamples, groups).

    sides: for each group (before, after), one array per benchmark. Seeds are drawn first, the same for all groups and, if paired, for
    both models; then items within each benchmark. So the draws keep the correlation of the groups' changes. (After Saravanan
    et al. 2020, Neurons, Behavior, Data analysis and Theory 3:5.) With three seeds it is too narrow: a bootstrap of three
    values shows two thirds of their variance and has no counterpart of Student's t.
    """
    models = [len(sides[0][0][0]), len(sides[0][1][0])]
    picks = [rng.integers(0, runs, size=(resamples, runs)) for runs in models]
    if paired and models[0] == models[1]:
        picks[1] = picks[0]
    draws = np.empty((resamples, len(sides)))
    for column, (before, after) in enumerate(sides):
        parts = [item_bootstrap(np.vstack(pair), rng, resamples) for pair in zip(before, after, strict=True)]
        means = np.mean(parts, axis=0)
        first, second = means[:, : models[0]], means[:, models[0] :]
        mean = [np.take_along_axis(values, pick, axis=1).mean(axis=1) for values, pick in ((first, picks[0]), (second, picks[1]))]
        draws[:, column] = mean[1] - mean[0]
    return draws


def change(
    before: Sequence[Runs], after: Sequence[Runs], rng: np.random.Generator, settings: Analysis, paired: bool = False
) -> dict[str, float]:
    """after − before with all that is said of it: change, low, high, p, p_equal, boot_low, boot_high (percentiles of the bootstrap)."""
    e = estimate(before, after, paired)
    low, high = interval(e, settings.confidence)
    draws = hierarchical_bootstrap([(before, after)], rng, settings.resamples, paired)[:, 0]
    boot_low, boot_high = np.quantile(draws, [(1 - settings.confidence) / 2, (1 + settings.confidence) / 2]).tolist()
    return {"change": e.difference, "low": low, "high": high, "p": p_value(e), "p_equal": p_equivalence(e, settings.margin),
            "boot_low": boot_low, "boot_high": boot_high}  # fmt: skip


def region(first: Estimate, second: Estimate, draws: np.ndarray, confidence: float = 1 - ALPHA) -> tuple[float, float, float]:
    """Half-widths and tilt of an ellipse that covers both differences at once: (half of the first, of the second, correlation).

    draws: `hierarchical_bootstrap` of the two, shape (resamples, 2); they give the correlation. The half-widths are
    those of two simultaneous intervals (each at half the error), so that Student's t over few seeds is not lost, turned
    into an ellipse by the ratio that holds for normal variables. The correlation of few seeds is drawn to 0 by
    (seeds − 1) / (seeds + 1), seeds being the degrees of freedom plus one.
    """
    level = (1 - confidence) / 4
    scale = np.sqrt(stats.chi2.isf(1 - confidence, 2)) / stats.norm.isf(level)
    halves = [scale * critical(e, level) * e.error for e in (first, second)]
    spread = draws.std(axis=0)
    together = float(np.corrcoef(draws.T)[0, 1]) if spread.min() > 0 else 0.0
    share = max(e.seeds / (e.items + e.seeds) if e.error else 0.0 for e in (first, second))
    kept = 1 - share * 2 / (min(first.df, second.df) + 2) if share else 1.0
    return float(halves[0]), float(halves[1]), together * kept
