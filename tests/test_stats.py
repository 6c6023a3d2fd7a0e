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


def test_bootstrap_interval_of_a_mean_agrees_with_the_normal_one():
    rng = np.random.default_rng(1)
    before, after = rng.integers(0, 2, 400), rng.integers(0, 2, 400)
    change = after - before
    difference, low, high = stats.paired_interval(before, after, rng, 20_000)
    half = 1.96 * change.std() / 20
    assert difference == pytest.approx(change.mean())
    assert (low, high) == pytest.approx((change.mean() - half, change.mean() + half), abs=0.006)


def test_smallest_detectable_difference_is_found_with_the_promised_power():
    items, discordant = 300, 0.2
    d = stats.smallest_detectable(items, discordant)
    rng = np.random.default_rng(0)
    up, down = (discordant + d) / 2, (discordant - d) / 2
    draws = rng.multinomial(items, [up, down, 1 - discordant], size=4000)
    z = (draws[:, 0] - draws[:, 1]) / np.sqrt(draws[:, 0] + draws[:, 1])
    assert (z > 1.96).mean() == pytest.approx(0.8, abs=0.03)


def test_smallest_detectable_difference_when_nothing_differs():
    assert stats.smallest_detectable(54, 0.0) == pytest.approx(1.959964**2 / 54, abs=1e-6)


def scores():
    rows = [("a", "untrained", [1, 0, 0, 0]), ("a", "x", [1, 1, 0, 0]), ("b", "untrained", [1, 1]), ("b", "x", [0, 1])]
    return pd.DataFrame([
        {"benchmark": b, "arm": arm, "seed": 0, "group": "specialisation", "filter": "none", "item_id": str(i), "correct": bool(c),
         "chance": 0.25, "mode": "likelihood"} for b, arm, items in rows for i, c in enumerate(items)])  # fmt: skip


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
