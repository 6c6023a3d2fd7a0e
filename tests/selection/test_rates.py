"""Pass rates: the beta prior of a pool, shrinkage, and the chance of a group without a spread."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from helpers.selection import difficulty, rates


@pytest.mark.parametrize(("a", "b"), [(2.0, 5.0), (0.4, 0.8), (20.0, 20.0)])
def test_the_prior_of_a_pool_is_found_again(a, b):
    rng = np.random.default_rng(0)
    right = rng.binomial(16, rng.beta(a, b, 20_000))
    found = rates.fit_prior(right, np.full(20_000, 16))
    assert found == pytest.approx((a, b), rel=0.06)


def test_the_prior_is_the_most_likely_one():
    right, samples = np.array([0, 1, 3, 8, 2, 7, 0, 5]), np.array([8, 8, 8, 8, 4, 8, 8, 6])

    def likelihood(a, b):
        return stats.betabinom.logpmf(right, samples, a, b).sum()

    a, b = rates.fit_prior(right, samples)
    assert all(likelihood(a, b) > likelihood(a * x, b * y) for x in (0.9, 1, 1.1) for y in (0.9, 1, 1.1) if (x, y) != (1, 1))


def test_the_prior_does_not_depend_on_rounding():
    rng = np.random.default_rng(1)
    right, samples = rng.binomial(16, rng.beta(0.8, 2.4, 3000)), np.full(3000, 16)
    one, other = rates.fit_prior(right, samples), rates.fit_prior(np.tile(right, 3), np.tile(samples, 3))
    assert one == pytest.approx(other, rel=1e-11)


@pytest.mark.parametrize("right", [[0, 0, 0], [8, 8, 8], [4, 4, 4]])
def test_a_pool_without_a_spread_has_a_fit_that_stays_near_its_rate(right):
    table = rates.shrink(pd.Series(right), pd.Series([8] * 3))
    assert table["pass_rate_shrunk"].to_numpy() == pytest.approx(right[0] / 8, abs=0.02)


def test_shrinkage_moves_towards_the_pool_and_keeps_the_order():
    right = pd.Series([0, 1, 2, 3, 4, 8, 0, 1])
    table = rates.shrink(right, pd.Series([8] * 8))
    mean = table["posterior_a"].sub(right).iloc[0] / (table["posterior_a"] + table["posterior_b"] - 8).iloc[0]
    raw, shrunk = right / 8, table["pass_rate_shrunk"]
    assert ((shrunk - mean).abs() < (raw - mean).abs()).all()
    assert (shrunk[raw.argsort()].diff().dropna() >= 0).all()
    assert 0 < shrunk.min() < shrunk.max() < 1


def test_one_answer_a_question_says_nothing_of_the_prior():
    labels = pd.DataFrame({"question_id": list("abc"), "label": ["easy", "hard", "hard"]})
    table = difficulty.by_question(labels)
    assert table["pass_rate"].tolist() == [1.0, 0.0, 0.0]
    assert table["label"].tolist() == ["easy", "hard", "hard"]
    assert table[["pass_rate_shrunk", "posterior_a", "posterior_b"]].isna().all().all()


def test_groups_without_a_spread_by_simulation():
    rng = np.random.default_rng(1)
    for a, b, rollouts in [(0.5, 2.0, 3), (3.0, 3.0, 8), (9.0, 1.5, 4)]:
        right = rng.binomial(rollouts, rng.beta(a, b, 200_000))
        assert rates.zero_variance(a, b, rollouts) == pytest.approx(np.isin(right, [0, rollouts]).mean(), abs=0.005)
