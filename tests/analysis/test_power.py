"""Power and variance components against cases worked by hand or by another library."""

import numpy as np
import pytest
from scipy import stats as scipy_stats

from helpers.analysis import power


def test_what_the_papers_differences_needed():
    table = power.paper_table(float("nan"), discordant=0.05).set_index(["benchmark", "compared"])
    gsm8k = table.loc[("GSM8K", "self-filtered − untrained")]
    assert gsm8k["items_net"] == 4  # 1,319 · 0.003
    assert gsm8k["significant_below"] == 0  # 4 changed items of one kind have p = 0.125
    mmlu = table.loc[("MMLU", "self-filtered − untrained")]
    limit = mmlu["significant_below"] * 14_042
    assert scipy_stats.binomtest(round((limit - 77) / 2), round(limit)).pvalue < 0.05
    assert scipy_stats.binomtest(round((limit - 77) / 2) + 1, round(limit) + 2).pvalue >= 0.05


@pytest.mark.parametrize(("items", "discordant"), [(54, 0.05), (54, 0.4), (300, 0.2)])
def test_smallest_detectable_difference_is_found_with_the_promised_power(items, discordant):
    d = power.smallest_detectable(items, discordant)
    share = max(discordant, d)
    rng = np.random.default_rng(0)
    draws = rng.multinomial(items, [(share + d) / 2, (share - d) / 2, 1 - share], size=3000)
    p = {pair: scipy_stats.binomtest(pair[0], sum(pair)).pvalue if sum(pair) else 1.0 for pair in {(a, b) for a, b, _ in draws}}
    found = np.mean([p[a, b] < 0.05 for a, b, _ in draws])
    assert found == pytest.approx(0.8, abs=0.03)


def test_power_against_every_outcome():
    # 12 items, 40 % change, true difference 0.3: the probability of every (gains, losses) with p < 0.05
    chances = scipy_stats.multinomial(12, [0.35, 0.05, 0.6])
    found = sum(
        chances.pmf([gains, losses, 12 - gains - losses])
        for gains in range(13) for losses in range(13 - gains)
        if gains + losses and scipy_stats.binomtest(gains, gains + losses).pvalue < 0.05
    )  # fmt: skip
    assert power.exact_power(12, 0.4, 0.3) == pytest.approx(found, abs=1e-6)


def test_power_over_seeds_alone_is_that_of_a_t_test():
    from statsmodels.stats.power import TTestIndPower, TTestPower

    parts = power.Components(0.0, 0.0, 0.01)  # nothing from items
    assert power.seeds_power(0.02, 1000, 3, parts) == pytest.approx(TTestPower().power(2.0, 3, 0.05), abs=2e-3)
    assert power.seeds_power(0.02, 1000, 5, parts, trained=2) == pytest.approx(TTestIndPower().power(2.0, 5, 0.05), abs=2e-3)
    assert power.seeds_needed(0.02, 1000, parts) == next(n for n in range(2, 50) if TTestPower().power(2.0, n, 0.05) >= 0.8)


@pytest.mark.parametrize("seeds", [2, 3, 5, 8, 20])
def test_minimum_detectable_effect_agrees_with_statsmodels(seeds):
    from statsmodels.stats.power import TTestPower

    effect = power.minimum_detectable_effect(0.02, seeds)
    assert TTestPower().power(effect / 0.02, seeds, 0.05) == pytest.approx(0.8, abs=1e-6)
    assert (
        power.minimum_detectable_effect(0.02, seeds, power=0.9) > effect > power.minimum_detectable_effect(0.02, seeds, alpha=0.1)
    )


def test_a_difference_of_two_means_is_detected_as_a_t_test_does():
    from statsmodels.stats.power import TTestIndPower

    variance = 2 * 0.0117**2 / 3  # of two means over three seeds each, and nothing from items
    found = power.mean_detectable(0.0, variance, df=4)
    assert TTestIndPower().power(found / 0.0117, 3, 0.05) == pytest.approx(0.8, abs=2e-3)
    assert found == pytest.approx(0.036, abs=5e-4)
    # items alone: a z test
    assert power.mean_detectable(1e-4, 0.0, df=0) == pytest.approx(0.01 * (1.96 + 0.8416), abs=1e-4)


def test_lines_of_power_have_several_seeds_only():
    assert set(power.curve(0.0075, 0.08)["seeds"]) == set(power.curve(0.0075, 0.08, own=3)["seeds"]) == {3, 5}
    assert set(power.curve(0.0075, 0.08, own=8)["seeds"]) == {3, 5, 8}
    assert power.curve(float("nan"), 0.08).empty


def test_minimum_detectable_effect_without_a_test():
    assert power.minimum_detectable_effect(0.02, 1) == np.inf
    assert power.minimum_detectable_effect(0.0, 3) == 0


def test_a_difference_of_two_trained_arms_needs_more_seeds_than_one_against_untrained():
    parts = power.Components(0.0, 0.0, 0.01)
    assert (power.seeds_needed(0.0113, 14_042, parts), power.seeds_needed(0.0113, 14_042, parts, trained=2)) == (9, 14)
    needed = power.paper_table(0.0075, 0.08).set_index(["benchmark", "compared"])["seeds_needed"]
    assert needed["MMLU", "self-filtered − random"] == 13  # 7 if one of the two were untrained


def test_variance_components_are_those_of_two_crossed_factors():
    rng = np.random.default_rng(1)
    after = (rng.random((4, 300)) < rng.random(300) + 0.1 * rng.random((4, 1))).astype(float)
    before = np.zeros((1, 300))
    grand, runs, items = after.mean(), after.mean(axis=1), after.mean(axis=0)
    residual = ((after - runs[:, None] - items + grand) ** 2).sum() / (3 * 299)
    parts = power.change_components(before, after)
    assert parts.single == pytest.approx(residual)
    assert parts.shared == pytest.approx(items.var(ddof=1) - residual / 4)  # (MS items − MS rest) / runs
    assert parts.seed_sd**2 == pytest.approx(max(0, runs.var(ddof=1) - residual / 300))  # (MS runs − MS rest) / items


def test_nothing_is_detectable_with_five_items():
    # five changes in one direction have p = 0.0625
    assert power.smallest_detectable(5, 0.5) == 1.0
    assert power.smallest_detectable(54, 0.0) > 6 / 54


def test_without_any_noise_every_difference_is_found():
    still = power.Components(0.0, 0.0, 0.0)
    assert power.seeds_power(0.0, 6, 2, still) == 0.05
    assert power.seeds_power(0.01, 6, 2, still) == 1.0
    assert power.seeds_detectable(6, 2, still) < 1e-4
