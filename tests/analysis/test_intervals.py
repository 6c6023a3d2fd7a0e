"""Intervals and tests against cases worked by hand or by another library."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy import stats as scipy_stats
from simulation import inside

from helpers.analysis import intervals


def rows(*runs):
    """Runs of one model as an array, shape (runs, items)."""
    return np.array(runs, float)


def test_wilson_interval_by_its_formula():
    # 7 of 20 at 95 %: centre (p + z²/2n) / (1 + z²/n), half width z √(p(1−p)/n + z²/4n²) / (1 + z²/n)
    z, p, n = 1.959964, 0.35, 20
    centre, half = (p + z**2 / (2 * n)) / (1 + z**2 / n), z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    assert intervals.wilson(7, 20) == pytest.approx((centre - half, centre + half), abs=1e-6)


def test_mcnemar_is_the_binomial_test_on_discordant_pairs():
    before, after = rows([1] * 9 + [0] * 2 + [1] * 20 + [0] * 20), rows([0] * 9 + [1] * 2 + [1] * 20 + [0] * 20)
    assert intervals.benchmark_p(before, after) == pytest.approx(scipy_stats.binomtest(2, 11).pvalue)
    assert intervals.benchmark_p(before, before) == 1.0


def test_interval_of_one_run_by_hand():
    # 30 pairs, 9 losses, 2 gains: d = −7 / 32, variance (11 + 1 − 7² / 32) / 32² (Agresti and Min 2005)
    e = intervals.estimate([rows([1] * 9 + [0] * 2 + [1] * 19)], [rows([0] * 9 + [1] * 2 + [1] * 19)])
    half = 1.959964 * np.sqrt(12 - 49 / 32) / 32
    assert e.difference == pytest.approx(-7 / 30)
    assert intervals.interval(e) == pytest.approx((-7 / 32 - half, -7 / 32 + half), abs=1e-6)


def test_an_interval_has_a_width_where_nothing_changed():
    same = rows([1, 0, 1, 1, 0] * 10)
    low, high = intervals.interval(intervals.estimate([same], [same]))
    assert low < -0.03
    assert high > 0.03


def test_two_crossed_factors_agree_with_statsmodels():
    import statsmodels.api as sm
    from statsmodels.formula.api import ols

    rng = np.random.default_rng(0)
    after = (rng.random((3, 12)) < rng.random(12)).astype(float)
    frame = pd.DataFrame([(run, item, after[run, item]) for run in range(3) for item in range(12)], columns=["run", "item", "y"])
    table = sm.stats.anova_lm(ols("y ~ C(run) + C(item)", frame).fit())
    mean_squares = table["sum_sq"] / table["df"]
    before = np.zeros((1, 12))
    e = intervals.estimate([before], [after])
    assert e.seeds == pytest.approx(mean_squares["C(run)"] / 36)
    pairs, change = 14, after.mean(axis=0)
    items = ((change**2).sum() + 1 - change.sum() ** 2 / pairs) / pairs**2
    assert e.items == pytest.approx(max(0, items - mean_squares["Residual"] / 36))
    assert e.df == 2


def test_one_run_of_many_seeds_alike_is_a_t_interval():
    # items that all change alike carry no variance of their own but the pseudo-pairs': what is left is Student's t over seeds
    shifts = np.array([0.1, 0.3, 0.2])
    before, after = np.zeros((1, 10_000)), np.array([np.arange(10_000) < 10_000 * shift for shift in shifts], float)
    e = intervals.estimate([before], [after])._replace(items=0.0)
    low, high = intervals.interval(e)
    expected = scipy_stats.t.interval(0.95, 2, loc=e.centre, scale=scipy_stats.sem(shifts))
    assert (low, high) == pytest.approx(expected, abs=1e-4)
    assert intervals.p_value(e) == pytest.approx(scipy_stats.ttest_1samp(shifts, 0).pvalue, abs=1e-3)


def test_interval_and_p_value_agree():
    rng = np.random.default_rng(0)
    before, after = (rng.random((1, 400)) < 0.6).astype(float), (rng.random((3, 400)) < 0.65).astype(float)
    e = intervals.estimate([before], [after])
    low, high = intervals.interval(e, 1 - intervals.p_value(e))
    assert min(abs(low), abs(high)) == pytest.approx(0, abs=1e-9)
    # equal to within 5 %: the 90 % interval ends on the margin
    low, high = intervals.interval(e, 0.9)
    assert intervals.p_equivalence(e, max(-low, high)) == pytest.approx(0.05, abs=1e-9)


def test_equivalence_agrees_with_statsmodels():
    from statsmodels.stats.weightstats import ttost_paired

    shifts = np.array([0.011, -0.012, 0.004, 0.003])
    e = intervals.Estimate(shifts.mean(), shifts.mean(), 0.0, shifts.var(ddof=1) / 4, 3)
    assert intervals.p_equivalence(e, 0.02) == pytest.approx(ttost_paired(shifts, np.zeros(4), -0.02, 0.02)[0], abs=1e-6)


def test_holm_by_hand():
    # sorted 0.01, 0.02, 0.03 → 3 · 0.01, max(0.03, 2 · 0.02), max(0.04, 0.03)
    assert intervals.holm([0.02, 0.01, 0.03]) == pytest.approx([0.04, 0.03, 0.04])
    assert intervals.holm([]).tolist() == []


def test_holm_agrees_with_statsmodels():
    from statsmodels.stats.multitest import multipletests

    p = np.random.default_rng(0).random(40) ** 4
    p[[3, 7, 9]] = p[5], 1.0, np.nan
    assert np.array_equal(intervals.holm(p), multipletests(p, method="holm")[1], equal_nan=True)


def test_bootstrap_of_items_is_drawing_items():
    rng = np.random.default_rng(0)
    runs = (rng.random((2, 50)) < 0.6).astype(float)
    fast = intervals.item_bootstrap(runs, rng, 20_000)
    slow = np.array([runs[:, rng.integers(0, 50, 50)].mean(axis=1) for _ in range(5000)])
    assert fast.mean(axis=0) == pytest.approx(runs.mean(axis=1), abs=0.003)
    assert np.cov(fast.T) == pytest.approx(np.cov(slow.T), abs=3e-4)


def test_hierarchical_bootstrap_draws_seeds_once_for_all_groups():
    before, after = np.zeros((1, 4000)), np.array([np.zeros(4000), np.ones(4000)])
    draws = intervals.hierarchical_bootstrap([([before], [after]), ([before], [after])], np.random.default_rng(0), 2000)
    assert sorted(set(draws[:, 0])) == [0.0, 0.5, 1.0]
    assert (draws[:, 0] == draws[:, 1]).all()


def test_hierarchical_bootstrap_against_every_draw():
    # two seeds, three items: all 4 draws of seeds × 27 draws of items, by hand
    before, after = rows([0, 1, 0]), rows([1, 1, 0], [0, 0, 0])
    exact = [
        np.mean([after[k][list(items)].mean() for k in seeds]) - before[0][list(items)].mean()
        for seeds in product(range(2), repeat=2) for items in product(range(3), repeat=3)
    ]  # fmt: skip
    draws = intervals.hierarchical_bootstrap([([before], [after])], np.random.default_rng(0), 100_000)[:, 0]
    for value in np.unique(np.round(exact, 9)):
        assert np.isclose(draws, value).mean() == pytest.approx(np.isclose(exact, value).mean(), abs=0.006)
    assert np.quantile(draws, [0.025, 0.975]) == pytest.approx(np.quantile(exact, [0.025, 0.975], method="inverted_cdf"))


def test_region_of_one_run_is_the_chi_squared_ellipse():
    e = intervals.Estimate(0.0, 0.0, 0.01**2, 0.0, 0.0)
    draws = np.random.default_rng(0).standard_normal((5000, 2))
    half_x, half_y, _ = intervals.region(e, e, draws)
    assert half_x == pytest.approx(0.01 * np.sqrt(scipy_stats.chi2.isf(0.05, 2)))
    assert inside((0.9 * half_x, 0), (0, 0), (half_x, half_y, 0))
    assert not inside((0.9 * half_x, 0.9 * half_y), (0, 0), (half_x, half_y, 0))


def test_a_tilted_region_is_mahalanobis_distance():
    half_x, half_y, tilt = 0.03, 0.02, 0.6
    shape = np.array([[half_x**2, tilt * half_x * half_y], [tilt * half_x * half_y, half_y**2]])  # its edge: distance 1
    rng = np.random.default_rng(0)
    for point in rng.normal(0, 0.02, (200, 2)):
        assert inside(point, (0, 0), (half_x, half_y, tilt)) == (point @ np.linalg.inv(shape) @ point <= 1)
    assert inside((0.02, 0.012), (0, 0), (half_x, half_y, tilt))
    assert not inside((0.02, -0.012), (0, 0), (half_x, half_y, tilt))


def test_two_arms_of_several_seeds_are_welchs_test():
    # each run is right on a share of the items: where items carry no variance, Welch's t test of the runs' means is left
    shares = [0.50, 0.53, 0.51], [0.56, 0.55, 0.60, 0.58]
    first, second = (np.array([np.arange(20_000) < 20_000 * share for share in side], float) for side in shares)
    e = intervals.estimate([first], [second])._replace(items=0.0)
    welch = scipy_stats.ttest_ind(shares[1], shares[0], equal_var=False)
    assert e.df == pytest.approx(welch.df, rel=1e-3)
    assert intervals.p_value(e) == pytest.approx(welch.pvalue, rel=2e-2)


def test_critical_value_by_hand():
    # Cochran and Cox: (1 · 1.959964 + 3 · 4.302653) / 4 with a quarter of the variance from items and two degrees of freedom
    assert intervals.critical(intervals.Estimate(0, 0, 1.0, 3.0, 2), 0.025) == pytest.approx(
        (1.959964 + 3 * 4.302653) / 4, abs=1e-5
    )


def test_chance():
    assert intervals.is_chance(27, 100, 0.25, 0.95)
    assert not intervals.is_chance(45, 100, 0.25, 0.95)
    assert not intervals.is_chance(0, 100, 0.0, 0.95)  # a free answer has no chance level


def crossed(differences):
    """Runs of two arms on 12 items whose differences within a seed are these, an array of shape (seeds, items) of −1, 0 and 1."""
    return (differences < 0).astype(float), (differences > 0).astype(float)


def test_paired_estimate_is_the_analysis_of_variance_of_differences_within_seeds():
    import statsmodels.api as sm
    from statsmodels.formula.api import ols

    differences = np.random.default_rng(3).integers(-1, 2, (4, 12)).astype(float)
    before, after = crossed(differences)
    frame = pd.DataFrame(
        [(seed, item, differences[seed, item]) for seed in range(4) for item in range(12)], columns=["seed", "item", "y"]
    )
    table = sm.stats.anova_lm(ols("y ~ C(seed) + C(item)", frame).fit())
    mean_squares = table["sum_sq"] / table["df"]
    e = intervals.estimate([before], [after], paired=True)
    assert e.difference == pytest.approx(differences.mean())
    assert e.seeds == pytest.approx(mean_squares["C(seed)"] / 48)
    assert e.df == 3
    pairs, change = 14, differences.mean(axis=0)
    items = ((change**2).sum() + 1 - change.sum() ** 2 / pairs) / pairs**2
    assert e.items == pytest.approx(max(0, items - mean_squares["Residual"] / 48))


def test_paired_interval_without_a_part_of_the_items_is_students_of_the_differences_within_seeds():
    # the second arm is right on a share of the items that differs by seed, the first moves along with it: only the differences count
    common, gain = np.array([0.3, 0.5, 0.4, 0.6]), np.array([0.05, 0.02, 0.04, 0.03])
    before, after = (
        np.array([np.arange(20_000) < 20_000 * share for share in shares], float) for shares in (common, common + gain)
    )
    e = intervals.estimate([before], [after], paired=True)._replace(items=0.0)
    test = scipy_stats.ttest_rel(common + gain, common)
    assert intervals.p_value(e) == pytest.approx(test.pvalue, rel=1e-3)
    assert intervals.interval(e) == pytest.approx(tuple(test.confidence_interval(0.95)), abs=1e-4)
    apart = intervals.estimate([before], [after])
    assert apart.seeds > 10 * e.seeds  # independent runs would be compared far less closely


def test_against_the_untrained_model_pairing_changes_nothing():
    rng = np.random.default_rng(0)
    before, after = (rng.random((1, 400)) < 0.6).astype(float), (rng.random((3, 400)) < 0.65).astype(float)
    assert intervals.estimate([before], [after], paired=True) == pytest.approx(intervals.estimate([before], [after]))


def test_paired_bootstrap_draws_the_same_seeds_for_both_arms():
    shares = np.array([0.1, 0.5, 0.9])[:, None]
    before = np.repeat(np.arange(4000)[None] < 4000 * shares, 1, axis=0).astype(float)
    draws = intervals.hierarchical_bootstrap([([before], [before])], np.random.default_rng(0), 500, paired=True)
    assert not draws.any()
    assert intervals.hierarchical_bootstrap([([before], [before])], np.random.default_rng(0), 500).std() > 0.2


def test_bootstrap_of_fractional_scores_is_drawing_items():
    rng = np.random.default_rng(0)
    runs = rng.integers(0, 5, (2, 50)) / 4
    fast = intervals.item_bootstrap(runs, rng, 20_000)
    slow = np.array([runs[:, rng.integers(0, 50, 50)].mean(axis=1) for _ in range(5000)])
    assert fast.mean(axis=0) == pytest.approx(runs.mean(axis=1), abs=0.003)
    assert np.cov(fast.T) == pytest.approx(np.cov(slow.T), abs=2e-4)
