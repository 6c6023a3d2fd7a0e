"""Intervals and tests on scores whose truth is known: a shortened form of the table in figures/validation."""

import numpy as np
import pandas as pd
import pytest
import simulation
from simulation import Draws, World

from helpers.report import chapter

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
def test_a_true_difference_is_found_as_often_as_promised(seeds):
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


@pytest.mark.parametrize(("seeds", "correlation"), [(3, -0.5), (5, 0.7)])
def test_two_arms_with_one_draw_per_seed(seeds, correlation):
    world = Draws(items=500, seeds=seeds, correlation=correlation, draw_sd=0.02)
    rng = np.random.default_rng(0)
    found = pd.DataFrame([simulation.paired(world, rng) for _ in range(SIMS)]).mean()
    assert 0.93 - NOISE <= found["interval"] <= 0.97 + NOISE
    assert found["test"] <= 0.07 + NOISE


def test_arms_of_one_seed_go_together_as_the_world_says():
    world = Draws(items=4000, seeds=2000, alike=0.0, draw_sd=0.03, seed_sd=0.0, correlation=-0.5)
    first, second = (runs.mean(axis=1) for runs in simulation.two_arms(world, np.random.default_rng(0)))
    assert np.corrcoef(first, second)[0, 1] == pytest.approx(-0.5, abs=0.06)  # less what items add
    assert first.std() == pytest.approx(0.03, abs=0.002)
    fixed = simulation.two_arms(world._replace(fixed=True, draw_sd=0.05, items=400), np.random.default_rng(1))
    assert all(runs.mean(axis=1).std() < 0.03 for runs in fixed)


def test_the_published_table_is_whole_and_kept_its_promises():
    table = pd.read_csv(chapter.VALIDATION)
    assert (table["simulations"] >= 1000).all()
    assert set(table["seeds"]) == {1, 3, 5, 8, 10}
    two = table[table["method"] == "interval of two arms, one draw per seed"]
    assert {(-0.5, 0.01), (0.7, 0.02), (0.0, 0.0)} <= set(zip(two["correlation"], two["draw_sd"], strict=True))
    assert two["value"].between(0.93, 0.97).all()
    assert {0, 0.01, 0.02, 0.05} <= set(table["effect"])
    assert {"coverage", "false positives", "any false positive", "power"} == set(table["measured"])
    assert set(table["kept"]) <= {"yes", "not promised"}, table[table["kept"] == "no"]
    assert len(chapter.validation(table)) < len(table)
