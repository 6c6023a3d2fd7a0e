"""Intervals and tests on scores whose truth is known: a shortened form of the table in figures/validation."""

import numpy as np
import pandas as pd
import pytest

from helpers.analysis import simulation
from helpers.analysis.simulation import World

SIMS = 1000
NOISE = 2.6 * np.sqrt(0.05 * 0.95 / SIMS)  # what SIMS simulations of a true 5 % may be off by


def shares(world, seed=0):
    rng = np.random.default_rng(seed)
    return pd.DataFrame([simulation.one(world, rng, 200) for _ in range(SIMS)]).mean()


@pytest.mark.parametrize(
    "world",
    [
        World(items=500, seeds=1, seed_sd=0.0),
        World(items=500, seeds=3, seed_sd=0.01),
        World(items=500, seeds=3, seed_sd=0.0, subject_sd=0.03),
        World(items=500, seeds=5, seed_sd=0.01, alike=0.8),
    ],
)
def test_without_an_effect_few_tests_find_one(world):
    found = shares(world)
    assert found["test"] <= 0.07 + NOISE
    assert found.get("arm test", 0) <= 0.07 + NOISE
    assert found["interval"] >= 0.93 - NOISE
    assert found["interval"] <= 0.99


@pytest.mark.parametrize("seeds", [1, 3])
def test_a_true_difference_is_found_as_often_as_foretold(seeds):
    world = World(items=500, seeds=seeds, effect=0.05, seed_sd=0.01 if seeds > 1 else 0.0)
    found = shares(world)
    assert found["test"] == pytest.approx(simulation.promised(world), abs=0.05)
    assert found["interval"] >= 0.93 - NOISE


def test_a_difference_on_the_margin_is_seldom_called_none():
    found = shares(World(items=3000, seeds=3, effect=simulation.MARGIN))
    assert found["equivalence"] <= 0.07


def test_one_seed_says_nothing_of_others():
    found = shares(World(items=3000, seeds=1, seed_sd=0.02))
    assert found["interval"] >= 0.93 - NOISE
    assert found["interval for other seeds"] < 0.8


def test_the_published_table_is_whole_and_kept_its_promises():
    table = pd.read_csv(simulation.RESULT)
    assert (table["simulations"] >= 1000).all()
    assert set(table["seeds"]) == {1, 3, 5}
    assert {0, 0.01, 0.02, 0.05} <= set(table["effect"])
    assert {"coverage", "false positives", "any false positive", "power"} == set(table["measured"])
    assert set(table["kept"]) <= {"yes", "not promised"}, table[table["kept"] == "no"]
    assert len(simulation.summary(table)) < len(table)
