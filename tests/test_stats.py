"""Statistics against cases worked by hand or by another library."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats as scipy_stats

from helpers import difficulty, stats


def test_wilson_interval_by_its_formula():
    # 7 of 20 at 95 %: centre (p + z²/2n) / (1 + z²/n), half width z √(p(1−p)/n + z²/4n²) / (1 + z²/n)
    z, p, n = 1.959964, 0.35, 20
    centre, half = (p + z**2 / (2 * n)) / (1 + z**2 / n), z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    assert stats.wilson(7, 20) == pytest.approx((centre - half, centre + half), abs=1e-6)


def test_mcnemar_is_the_binomial_test_on_discordant_pairs():
    before = np.array([1] * 9 + [0] * 2 + [1] * 20 + [0] * 20)
    after = np.array([0] * 9 + [1] * 2 + [1] * 20 + [0] * 20)
    rng = np.random.default_rng(0)
    assert stats.paired_p(before, after, rng) == pytest.approx(scipy_stats.binomtest(2, 11).pvalue)
    assert stats.paired_p(before, before, rng) == 1.0


def test_the_sign_flip_test_agrees_with_mcnemar_where_both_apply():
    before, after = np.array([1.0] * 9 + [0.0] * 2 + [0.5]), np.array([0.0] * 9 + [1.0] * 2 + [0.5])
    flipped = stats.paired_p(before, after, np.random.default_rng(0), 100_000)
    assert flipped == pytest.approx(scipy_stats.binomtest(2, 11).pvalue, abs=0.005)


def test_interval_of_one_run_by_hand():
    # 30 pairs, 9 losses, 2 gains: d = −7 / 32, variance (11 + 1 − 7² / 32) / 32² (Agresti and Min 2005)
    before, after = np.array([1] * 9 + [0] * 2 + [1] * 19), np.array([0] * 9 + [1] * 2 + [1] * 19)
    difference, low, high = stats.paired_interval(before, after, np.random.default_rng(0), 100)
    half = 1.959964 * np.sqrt(12 - 49 / 32) / 32
    assert difference == pytest.approx(-7 / 30)
    assert (low, high) == pytest.approx((-7 / 32 - half, -7 / 32 + half), abs=1e-6)


def test_an_interval_has_a_width_where_nothing_changed():
    same = np.array([1, 0, 1, 1, 0] * 10)
    _, low, high = stats.paired_interval(same, same, np.random.default_rng(0), 1000)
    assert low < -0.03
    assert high > 0.03
    _, low, high = stats.paired_interval(same / 2, same / 2, np.random.default_rng(0), 1000)
    assert low < 0 < high


def test_the_interval_over_seeds_agrees_with_the_normal_one():
    rng = np.random.default_rng(1)
    before, after = rng.integers(0, 4, 400) / 3, rng.integers(0, 4, 400) / 3
    change = after - before
    difference, low, high = stats.paired_interval(before, after, rng, 20_000)
    half = 1.96 * change.std() / 20
    assert difference == pytest.approx(change.mean())
    assert (low, high) == pytest.approx((change.mean() - half, change.mean() + half), abs=0.006)


@pytest.mark.parametrize(("items", "discordant"), [(54, 0.05), (54, 0.4), (300, 0.2)])
def test_smallest_detectable_difference_is_found_with_the_promised_power(items, discordant):
    d = stats.smallest_detectable(items, discordant)
    share = max(discordant, d)
    rng = np.random.default_rng(0)
    draws = rng.multinomial(items, [(share + d) / 2, (share - d) / 2, 1 - share], size=3000)
    p = {pair: scipy_stats.binomtest(pair[0], sum(pair)).pvalue if sum(pair) else 1.0 for pair in {(a, b) for a, b, _ in draws}}
    found = np.mean([p[a, b] < 0.05 for a, b, _ in draws])
    assert found == pytest.approx(0.8, abs=0.03)


def test_nothing_is_detectable_with_five_items():
    # five changes in one direction have p = 0.0625
    assert stats.smallest_detectable(5, 0.5) == 1.0
    assert stats.smallest_detectable(54, 0.0) > 6 / 54


def scores():
    rows = [("a", "untrained", [1, 0, 0, 0]), ("a", "x", [1, 1, 0, 0]), ("b", "untrained", [1, 1]), ("b", "x", [0, 1])]
    return pd.DataFrame([
        {"benchmark": b, "arm": arm, "seed": 0, "group": "specialisation", "filter": "none", "item_id": str(i), "correct": bool(c),
         "chance": 0.25, "mode": "likelihood", "setting": "0-shot"} for b, arm, items in rows for i, c in enumerate(items)])  # fmt: skip


def test_comparison_table_by_hand():
    table = stats.comparison(scores(), 0.95, 500, 0.8, 0).set_index(["benchmark", "arm"])
    assert table.loc[("a", "x"), "accuracy"] == 0.5
    assert table.loc[("a", "x"), "vs_untrained"] == 0.25
    assert table.loc[("a", "x"), "vs_untrained_p"] == 1.0
    assert np.isnan(table.loc[("a", "untrained"), "vs_untrained"])


def test_group_change_is_the_mean_over_benchmarks():
    (row,) = stats.group_changes(scores(), 0.95, 500, 0).to_dict("records")
    assert row["change"] == pytest.approx((0.25 - 0.5) / 2)
    assert row["benchmarks"] == 2
    assert row["low"] <= row["change"] <= row["high"]


def test_kappa_by_hand():
    def labels(text):
        return pd.DataFrame({"question_id": [str(i) for i in range(len(text))], "sample": 0, "correct": [c == "e" for c in text],
                             "predicted": list("ABCABCABCA"[: len(text)]), "label": ["easy" if c == "e" else "hard" for c in text]})  # fmt: skip

    found = difficulty.agreement(labels("eehhhhhhhh"), labels("ehehhhhhhh"))
    # observed 0.8, expected 0.2 · 0.2 + 0.8 · 0.8 = 0.68
    assert found["kappa"] == pytest.approx((0.8 - 0.68) / 0.32)
    assert (found["both_easy"], found["only_first_easy"], found["only_second_easy"]) == (1, 1, 1)
    assert found["same_wrong"] == 1.0


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
    table = stats.by_suite(suite())
    assert table[["benchmark", "group"]].drop_duplicates().to_numpy().tolist() == [
        ["mmlu: specialisation", "specialisation"], ["mmlu: robustness", "robustness"], ["mmlu", "whole"]]  # fmt: skip
    compared = stats.comparison(table, 0.95, 200, 0.8, 0).set_index(["benchmark", "arm"])
    assert compared.loc[("mmlu", "x"), "accuracy"] == 1.0
    assert compared.loc[("mmlu", "untrained"), "accuracy"] == 0.5
    assert set(stats.group_changes(table, 0.95, 200, 0)["group"]) == {"specialisation", "robustness"}


def test_letter_bias_by_hand():
    rows = stats.letters(suite()).set_index("arm")
    assert rows.loc["untrained", ["plain", "rotated", "letter", "share", "right"]].tolist() == [0.5, 0.5, "A", 1.0, 0.5]
    assert rows.loc["x", ["plain", "rotated"]].tolist() == [1.0, 1.0]
    assert stats.letters(suite().assign(rotation=0)).empty


def test_sign_flips_of_means_over_seeds():
    rng = np.random.default_rng(0)
    after = np.array([1 / 3, 2 / 3, 1.0, 1 / 3])
    # every one of the 2 ** 4 sign patterns is equally likely; two are as extreme as what was seen
    assert stats.paired_p(np.zeros(4), after, rng, 100_000) == pytest.approx(2 / 16, abs=0.005)


def test_gap_of_filters():
    labels = {"self": pd.DataFrame({"correct": [True, False]}), "large": pd.DataFrame({"correct": [True, True]})}
    assert stats.filter_gap(labels, "self")["gap"].tolist() == [0.0, 0.5]


def test_duration_starts_every_arm_at_the_untrained_model():
    rows = [("untrained", -1, 0, False), ("x", 0, 2, True), ("x", 0, 0, True), ("y", 0, 0, False)]
    table = pd.DataFrame(rows, columns=["arm", "seed", "step", "correct"]).assign(task="pool_held_out", format_valid=True)
    told = stats.duration(table, {"x": 4, "y": 4})
    assert told[["arm", "step", "accuracy"]].to_numpy().tolist() == [
        ["x", 0, 0.0],
        ["x", 2, 1.0],
        ["x", 4, 1.0],
        ["y", 0, 0.0],
        ["y", 4, 0.0],
    ]
