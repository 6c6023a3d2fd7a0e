"""Statistics against cases worked by hand or by another library."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy import stats as scipy_stats

from helpers.analysis import compare, intervals, power
from helpers.selection import difficulty


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
    assert intervals.paired_p(before, after) == pytest.approx(scipy_stats.binomtest(2, 11).pvalue)
    assert intervals.paired_p(before, before) == 1.0


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
    assert intervals.inside((0.9 * half_x, 0), (0, 0), (half_x, half_y, 0))
    assert not intervals.inside((0.9 * half_x, 0.9 * half_y), (0, 0), (half_x, half_y, 0))


def test_a_tilted_region_is_mahalanobis_distance():
    half_x, half_y, tilt = 0.03, 0.02, 0.6
    shape = np.array([[half_x**2, tilt * half_x * half_y], [tilt * half_x * half_y, half_y**2]])  # its edge: distance 1
    rng = np.random.default_rng(0)
    for point in rng.normal(0, 0.02, (200, 2)):
        assert intervals.inside(point, (0, 0), (half_x, half_y, tilt)) == (point @ np.linalg.inv(shape) @ point <= 1)
    assert intervals.inside((0.02, 0.012), (0, 0), (half_x, half_y, tilt))
    assert not intervals.inside((0.02, -0.012), (0, 0), (half_x, half_y, tilt))


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


def test_kappa_and_mcnemar_agree_with_other_code():
    from sklearn.metrics import cohen_kappa_score

    rng = np.random.default_rng(0)
    kinds = [rng.random(200) < 0.4, rng.random(200) < 0.5]
    first, second = (pd.DataFrame({"question_id": np.arange(200).astype(str), "sample": 0, "correct": easy, "predicted": "A",
                                   "label": np.where(easy, "easy", "hard")}) for easy in kinds)  # fmt: skip
    assert difficulty.agreement(first, second)["kappa"] == pytest.approx(cohen_kappa_score(*kinds))
    gains, losses = int((kinds[1] & ~kinds[0]).sum()), int((kinds[0] & ~kinds[1]).sum())
    tail = scipy_stats.binom.cdf(min(gains, losses), gains + losses, 0.5)
    assert intervals.paired_p(rows(kinds[0]), rows(kinds[1])) == pytest.approx(min(1, 2 * tail))


def test_chance():
    assert intervals.is_chance(27, 100, 0.25, 0.95)
    assert not intervals.is_chance(45, 100, 0.25, 0.95)
    assert not intervals.is_chance(0, 100, 0.0, 0.95)  # a free answer has no chance level


def test_what_the_papers_differences_needed():
    table = power.paper_table(float("nan"), discordant=0.05).set_index(["benchmark", "compared"])
    gsm8k = table.loc[("GSM8K", "self-filtered − untrained")]
    assert gsm8k["items_net"] == 4  # 1,319 · 0.003
    assert gsm8k["significant_below"] == 0  # 4 changed items of one kind have p = 0.125
    mmlu = table.loc[("MMLU", "self-filtered − untrained")]
    limit = mmlu["significant_below"] * 14_042
    assert scipy_stats.binomtest(round((limit - 77) / 2), round(limit)).pvalue < 0.05
    assert scipy_stats.binomtest(round((limit - 77) / 2) + 1, round(limit) + 2).pvalue >= 0.05
    assert power.exact_power(int(mmlu["items_needed"]), 0.05, 0.0055) == pytest.approx(0.8, abs=0.02)


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
    parts = power.components(before, after)
    assert parts.single == pytest.approx(residual)
    assert parts.shared == pytest.approx(items.var(ddof=1) - residual / 4)  # (MS items − MS rest) / runs
    assert parts.seed_sd**2 == pytest.approx(max(0, runs.var(ddof=1) - residual / 300))  # (MS runs − MS rest) / items


def test_what_a_study_tells_of_seeds_by_hand():
    runs = {"untrained": {-1: [1, 1, 0, 0]}, "x": {0: [1, 0, 0, 0], 1: [1, 1, 1, 0]}}
    frame = pd.DataFrame([
        {"benchmark": "b", "arm": arm, "seed": seed, "group": "robustness", "filter": "none", "item_id": str(i), "correct": bool(c),
         "mode": "likelihood"} for arm, seeds in runs.items() for seed, items in seeds.items() for i, c in enumerate(items)])  # fmt: skip
    told = compare.seed_spread(frame)
    # each run changes one of four items; means 0.25 and 0.75 vary by 0.125, of which the runs' own scatter on items is taken
    rest = np.array([[0.25, -0.25, -0.25, 0.25], [-0.25, 0.25, 0.25, -0.25]])
    assert told["discordant"] == 0.25
    assert told["seed_sd"] == pytest.approx(np.sqrt(0.125 - (rest**2).sum() / 3 / 4))
    assert np.isnan(compare.seed_spread(frame.assign(mode="reasoning"))["discordant"])


def test_nothing_is_detectable_with_five_items():
    # five changes in one direction have p = 0.0625
    assert power.smallest_detectable(5, 0.5) == 1.0
    assert power.smallest_detectable(54, 0.0) > 6 / 54


def scores():
    rows = [("a", "untrained", [1, 0, 0, 0]), ("a", "x", [1, 1, 0, 0]), ("b", "untrained", [1, 1]), ("b", "x", [0, 1])]
    return pd.DataFrame([
        {"benchmark": b, "arm": arm, "seed": 0, "group": "specialisation", "filter": "none", "item_id": str(i), "correct": bool(c),
         "chance": 0.25, "mode": "likelihood", "setting": "0-shot"} for b, arm, items in rows for i, c in enumerate(items)])  # fmt: skip


def test_comparison_table_by_hand():
    table = compare.comparison(scores(), 0.95, 500, 0.8, 0).set_index(["benchmark", "arm"])
    assert table.loc[("a", "x"), "accuracy"] == 0.5
    assert table.loc[("a", "x"), "vs_untrained"] == 0.25
    assert table.loc[("a", "x"), "vs_untrained_p"] == 1.0
    assert np.isnan(table.loc[("a", "untrained"), "vs_untrained"])


def test_group_change_is_the_mean_over_benchmarks():
    (row,) = compare.group_changes(scores(), 0.95, 500, 0).to_dict("records")
    assert row["change"] == pytest.approx((0.25 - 0.5) / 2)
    assert row["benchmarks"] == 2
    assert row["low"] <= row["change"] <= row["high"]


def test_indices_without_one_of_their_benchmarks():
    """What is left when one goes: the change of the other alone, with its own interval."""
    table = compare.leave_one_out(scores(), 0.95)
    assert table[["first", "second", "without", "items"]].to_numpy().tolist() == [
        ["untrained", "x", "a", 4], ["untrained", "x", "b", 2]]  # fmt: skip
    assert table["change"].tolist() == [-0.5, 0.25]
    alone = compare.group_changes(scores()[scores()["benchmark"] == "a"], 0.95, 50, 0).iloc[0]
    assert table.loc[1, ["low", "high"]].tolist() == [alone["low"], alone["high"]]
    two = pd.concat([scores(), scores().query("arm == 'x'").assign(arm="random")])
    assert compare.leave_one_out(two, 0.95).groupby(["first", "second"]).size().to_dict() == {
        ("untrained", "x"): 2, ("untrained", "random"): 2, ("random", "x"): 2}  # fmt: skip
    assert compare.leave_one_out(scores()[scores()["benchmark"] == "a"], 0.95).empty


def test_where_difficulty_lies():
    pool = pd.DataFrame(
        {"question_id": list("abcd"), "question": ["q", "qq", "qqq", "qqqq"], "topic": ["heart", "", None, "heart"]}
    )
    labels = pd.DataFrame({"question_id": list("abcd"), "sample": 0, "label": ["easy", "hard", "easy", "hard"]})
    told = difficulty.easy_by(labels, pool, ["topic", "length", "depth"]).set_index("value")
    assert told.loc["heart", ["questions", "easy_rate"]].tolist() == [2, 0.5]
    assert told.loc["not stated", ["questions", "easy_rate"]].tolist() == [2, 0.5]
    assert told["questions"].sum() == 8
    assert set(told["by"]) == {"topic", "length"}


def test_kappa_by_hand():
    def labels(text):
        return pd.DataFrame({"question_id": [str(i) for i in range(len(text))], "sample": 0, "correct": [c == "e" for c in text],
                             "predicted": list("ABCABCABCA"[: len(text)]), "label": ["easy" if c == "e" else "hard" for c in text]})  # fmt: skip

    found = difficulty.agreement(labels("eehhhhhhhh"), labels("ehehhhhhhh"))
    # observed 0.8, expected 0.2 · 0.2 + 0.8 · 0.8 = 0.68
    assert found["kappa"] == pytest.approx((0.8 - 0.68) / 0.32)
    assert (found["both_easy"], found["only_first_easy"], found["only_second_easy"]) == (1, 1, 1)
    assert found["same_wrong"] == 1.0
    assert found["jaccard_easy"] == pytest.approx(1 / 3)
    assert found["jaccard_hard"] == pytest.approx(7 / 9)
    # both wrong: D-less letters of places 3 to 9, A 3, B 2, C 2 of 7
    assert found["same_wrong_letters"] == pytest.approx((9 + 4 + 4) / 49)


def suite():
    """A suite of two benchmarks on two sides, one item each in two rotations, for two models."""
    rows = [
        ("mmlu_anatomy", "specialisation", "untrained", 0, "A", "A"), ("mmlu_anatomy", "specialisation", "untrained", 1, "A", "B"),
        ("mmlu_law", "robustness", "untrained", 0, "A", "B"), ("mmlu_law", "robustness", "untrained", 1, "A", "A"),
        ("mmlu_anatomy", "specialisation", "x", 0, "A", "A"), ("mmlu_anatomy", "specialisation", "x", 1, "B", "B"),
        ("mmlu_law", "robustness", "x", 0, "B", "B"), ("mmlu_law", "robustness", "x", 1, "A", "A"),
    ]  # fmt: skip
    names = ["benchmark", "group", "arm", "rotation", "predicted", "target"]
    table = pd.DataFrame(rows, columns=names).assign(
        task="mmlu", item_id="0", filter="none", seed=0, chance=0.5, setting="", mode="likelihood"
    )
    return table.assign(correct=table["predicted"] == table["target"])


def test_a_suite_is_cut_by_side_and_stands_once_as_a_whole():
    table = compare.by_suite(suite())
    assert table[["benchmark", "group"]].drop_duplicates().to_numpy().tolist() == [
        ["mmlu: specialisation", "specialisation"], ["mmlu: robustness", "robustness"], ["mmlu", "whole"]]  # fmt: skip
    compared = compare.comparison(table, 0.95, 200, 0.8, 0).set_index(["benchmark", "arm"])
    assert compared.loc[("mmlu", "x"), "accuracy"] == 1.0
    assert compared.loc[("mmlu", "untrained"), "accuracy"] == 0.5
    assert set(compare.group_changes(table, 0.95, 200, 0)["group"]) == {"specialisation", "robustness"}


def test_what_is_set_apart_enters_no_index():
    table = compare.by_suite(
        compare.set_apart(pd.concat([suite(), suite().assign(task="mmlu_pro")], ignore_index=True), ["mmlu_pro"])
    )
    assert table.loc[table["benchmark"] == "mmlu_pro", "group"].unique().tolist() == ["apart"]
    assert {row.benchmarks for row in compare.group_changes(table, 0.95, 200, 0).itertuples()} == {1}
    assert ("mmlu_pro", "x") in compare.comparison(table, 0.95, 200, 0.8, 0).set_index(["benchmark", "arm"]).index
    assert compare.set_apart(suite(), [])["group"].equals(suite()["group"])


def test_letter_bias_by_hand():
    rows = compare.letters(suite()).set_index("arm")
    assert rows.loc["untrained", ["plain", "rotated", "letter", "share", "right"]].tolist() == [0.5, 0.5, "A", 1.0, 0.5]
    assert rows.loc["x", ["plain", "rotated"]].tolist() == [1.0, 1.0]
    assert compare.letters(suite().assign(rotation=0)).empty


def test_gap_of_filters():
    labels = {"self": pd.DataFrame({"correct": [True, False]}), "large": pd.DataFrame({"correct": [True, True]})}
    assert compare.filter_gap(labels, "self")["gap"].tolist() == [0.0, 0.5]


def test_duration_starts_every_arm_at_the_untrained_model():
    rows = [("untrained", -1, 0, False), ("x", 0, 2, True), ("x", 0, 0, True), ("y", 0, 0, False)]
    table = pd.DataFrame(rows, columns=["arm", "seed", "step", "correct"]).assign(task="pool_held_out", format_valid=True)
    told = compare.duration(table, {"x": 4, "y": 4})
    assert told[["arm", "step", "accuracy"]].to_numpy().tolist() == [
        ["x", 0, 0.0],
        ["x", 2, 1.0],
        ["x", 4, 1.0],
        ["y", 0, 0.0],
        ["y", 4, 0.0],
    ]


def test_macro_index_counts_benchmarks_alike():
    sides = compare.indices(scores())
    (row,) = compare.pairs(sides, [("untrained", "x")], 0.95, 200, 0).to_dict("records")
    assert row["change"] == pytest.approx(-0.125)
    assert row["p_holm"] == row["p"]
    table = compare.group_changes(scores(), 0.95, 200, 0)
    assert table[["worst", "worst_benchmark"]].to_numpy().tolist() == [[-0.5, "b"]]


def test_the_family_of_holm_leaves_out_what_is_counted_already():
    table = compare.comparison(compare.by_suite(suite()), 0.95, 200, 0.8, 0)
    asked = table[table["arm"] == "x"].set_index("group")
    assert np.isnan(asked.loc["whole", "vs_untrained_p_holm"])
    assert asked.loc[["specialisation", "robustness"], "vs_untrained_p_holm"].notna().all()


def test_dose_keeps_only_what_varies():
    changes = pd.DataFrame({"arm": ["a", "b", "c"], "group": "robustness", "change": 0.0, "low": 0.0, "high": 0.0})
    rows = compare.dose(changes, {"a": ("self", 100), "b": ("self", 500), "c": ("larger", 500)})
    assert rows[["series", "x"]].to_numpy().tolist() == [["self", 100], ["self", 500]]


def test_answers_are_counted_by_letter_and_numbers_are_not():
    def asked(benchmark, predicted, target):
        return {"benchmark": benchmark, "arm": "a", "mode": "reasoning", "format_valid": predicted is not None, "predicted": predicted,
                "target": target, "correct": predicted == target}  # fmt: skip

    scores = [asked("exam", "A", "A"), asked("exam", "A", "B"), asked("exam", None, "C"), asked("exam", "C", "AB")]
    scores += [asked("sums", "12", "12"), asked("sums", None, "7")]
    exam, sums = compare.reasoning(pd.DataFrame(scores)).to_dict("records")
    assert (exam["answers A"], exam["answers B"], exam["answers C"], exam["answers none"]) == (0.5, 0, 0.25, 0.25)
    assert (sums["accuracy"], sums["accuracy_if_valid"], sums["answers none"]) == (0.5, 1, 0.5)
    assert [name for name in exam if name.startswith("answers ")] == ["answers A", "answers B", "answers C", "answers none"]
