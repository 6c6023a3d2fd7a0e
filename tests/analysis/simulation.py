"""Scores whose truth is known, and what intervals and tests say of them; `validation.py` makes a table of it.

A simulated arm changes some answers of the untrained model: a gain where it was wrong, a loss where it was right, so
many that `discordant` of the items differ and the true mean difference is `effect`, moved in each run by the noise of that run
(a normal draw with `seed_sd`). Whether an item changes is partly a property of the item: with `alike` of 1 every run changes the same
items. Items may also come in subjects that gain or lose together, the same for all runs (`subject_sd`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import special, stats

from helpers.analysis import intervals, power

RIGHT = 0.6  # accuracy of the simulated untrained model
SUBJECTS = 20
FAMILY = 10  # comparisons in one table, for Holm's correction
MARGIN = 0.02


class World(NamedTuple):
    """What is true of the simulated scores."""

    items: int = 1273
    seeds: int = 3
    effect: float = 0.0
    seed_sd: float = 0.005
    alike: float = 0.3
    subject_sd: float = 0.0
    subjects_fixed: bool = True
    discordant: float = 0.12


def untrained(world: World, rng: np.random.Generator) -> intervals.Runs:
    """Scores of the untrained model, shape (1, items)."""
    return (rng.random((1, world.items)) < RIGHT).astype(float)


def arm(before: intervals.Runs, world: World, rng: np.random.Generator) -> tuple[intervals.Runs, np.ndarray]:
    """Scores of an arm, shape (seeds, items), and the true effect of each of its runs, shape (seeds,).

    Subjects that are fixed are those of the benchmark, so their effects sum to 0; drawn ones stand for others.
    """
    own, each = rng.standard_normal(world.items), rng.standard_normal((world.seeds, world.items))
    draw = stats.norm.cdf(np.sqrt(world.alike) * own + np.sqrt(1 - world.alike) * each)
    runs = world.effect + world.seed_sd * rng.standard_normal(world.seeds)
    subjects = world.subject_sd * rng.standard_normal(SUBJECTS)
    subject = np.arange(world.items) % SUBJECTS
    place = subjects[subject] - (subjects[subject].mean() if world.subjects_fixed else 0)
    moved = np.clip(runs[:, None] + place, -world.discordant, world.discordant)
    change = np.where(before > 0.5, (world.discordant - moved) / 2 / RIGHT, (world.discordant + moved) / 2 / (1 - RIGHT))
    return np.where(draw < change, 1 - before, before), runs


def one(world: World, rng: np.random.Generator, resamples: int) -> dict[str, float]:
    """One simulated comparison: for each method whether its interval covers the truth, or its test finds something (0 or 1)."""
    before = untrained(world, rng)
    after, runs = arm(before, world, rng)
    e = intervals.estimate([before], [after])
    truth = runs[0] if world.seeds == 1 else world.effect
    draws = intervals.hierarchical_bootstrap([([before], [after])], rng, resamples)[:, 0]
    found = {
        "test": intervals.benchmark_p(before, after) < 0.05,
        "interval": _covers(intervals.interval(e), truth),
        "bootstrap": _covers(np.quantile(draws, [0.025, 0.975]), truth),
        "equivalence": intervals.p_equivalence(e, MARGIN) < 0.05,
        "wilson": _covers(intervals.wilson(int(before.sum()), world.items), RIGHT),
        "interval for other seeds": _covers(intervals.interval(e), world.effect),
    }
    if world.seeds > 1:
        other, _ = arm(before, world._replace(effect=0.0), rng)
        versus = intervals.estimate([other], [after])
        found |= {"arm test": intervals.p_value(versus) < 0.05, "arm interval": _covers(intervals.interval(versus), world.effect)}
    return found


def _covers(interval: tuple[float, float], truth: float) -> bool:
    return interval[0] <= truth <= interval[1]


def family(world: World, rng: np.random.Generator) -> bool:
    """True if any of FAMILY comparisons without an effect is significant after Holm's correction."""
    p = []
    for _ in range(FAMILY):
        before = untrained(world, rng)
        p.append(intervals.benchmark_p(before, arm(before, world, rng)[0]))
    return bool((intervals.holm(p) < 0.05).any())


def plane(world: World, rng: np.random.Generator, resamples: int) -> tuple[bool, bool]:
    """Whether the joint region and the first macro interval cover the truth, for two groups of two benchmarks with the same runs."""
    shifts = rng.multivariate_normal([0, 0], [[1, 0.5], [0.5, 1]], size=world.seeds) * world.seed_sd
    sides = []
    for side in range(2):
        parts = []
        for items in (world.items, world.items // 2):
            before = untrained(world._replace(items=items), rng)
            rows = [arm(before, world._replace(items=items, seeds=1, seed_sd=0.0, effect=world.effect + shift), rng)[0]
                    for shift in shifts[:, side]]  # fmt: skip
            parts.append((before, np.vstack(rows)))
        sides.append(([first for first, _ in parts], [second for _, second in parts]))
    draws = intervals.hierarchical_bootstrap(sides, rng, resamples)
    x, y = (intervals.estimate(*side) for side in sides)
    truth = shifts.mean(axis=0) + world.effect if world.seeds == 1 else [world.effect] * 2
    shape = intervals.region(x, y, draws)
    return inside(truth, (x.centre, y.centre), shape), _covers(intervals.interval(x), float(truth[0]))


def inside(point, centre, shape) -> bool:
    """True if a point lies in the ellipse of `intervals.region` around `centre`."""
    x, y = (point[0] - centre[0]) / shape[0], (point[1] - centre[1]) / shape[1]
    return bool(x * x - 2 * shape[2] * x * y + y * y <= 1 - shape[2] ** 2)


def promised(world: World) -> float:
    """The power function's promise for the comparison with the untrained model."""
    if world.seeds == 1:
        return power.exact_power(world.items, world.discordant, world.effect)
    rng = np.random.default_rng(0)
    many = world._replace(items=20_000, seeds=20, seed_sd=0.0)
    before = untrained(many, rng)
    parts = power.change_components(before, arm(before, many, rng)[0])._replace(seed_sd=world.seed_sd)
    return power.seeds_power(world.effect, world.items, world.seeds, parts)


class Draws(NamedTuple):
    """What is true of two simulated arms that are trained with several seeds.

    effect: of the second minus the first. draw_sd: of what the draw of questions does to a run. correlation: of that between the arms of
    one seed, which share the draw's order of the pool. fixed: all seeds of an arm are trained on one draw. Others as in `World`.
    """

    items: int = 1273
    seeds: int = 3
    effect: float = 0.0
    draw_sd: float = 0.01
    correlation: float = 0.0
    fixed: bool = False
    seed_sd: float = 0.005
    alike: float = 0.3
    discordant: float = 0.12


def two_arms(world: Draws, rng: np.random.Generator) -> tuple[intervals.Runs, intervals.Runs]:
    """Scores of two arms of one study, each of shape (seeds, items), run k of both with seed k."""
    right = rng.random(world.items) < RIGHT
    first, other = rng.standard_normal((2, 1 if world.fixed else world.seeds))
    draws = np.stack([first, world.correlation * first + np.sqrt(1 - world.correlation**2) * other])
    runs = world.draw_sd * draws + world.seed_sd * rng.standard_normal((2, world.seeds)) + [[0.0], [world.effect]]
    moved = np.clip(runs, -world.discordant, world.discordant)
    loses, gains = (
        special.ndtri((world.discordant - moved) / 2 / RIGHT),
        special.ndtri((world.discordant + moved) / 2 / (1 - RIGHT)),
    )
    limit = np.where(right, loses[..., None], gains[..., None])  # shape (arms, seeds, items)
    own, each = rng.standard_normal((2, 1, world.items)), rng.standard_normal((2, world.seeds, world.items))
    changed = np.sqrt(world.alike) * own + np.sqrt(1 - world.alike) * each < limit
    return tuple(np.where(changed, ~right, right).astype(float))


def paired(world: Draws, rng: np.random.Generator) -> dict[str, float]:
    """One comparison of two arms: whether each interval covers the truth, or its test finds something (0 or 1)."""
    first, second = two_arms(world, rng)
    e = intervals.estimate([first], [second], paired=not world.fixed)
    return {"interval": _covers(intervals.interval(e), world.effect), "test": intervals.p_value(e) < 0.05,
            "equivalence": intervals.p_equivalence(e, MARGIN) < 0.05}  # fmt: skip


def paired_promise(world: Draws) -> float:
    """The promise of the power function for the comparison of two arms within seeds."""
    many = world._replace(items=20_000, seeds=20, draw_sd=0.0, seed_sd=0.0)
    first, second = two_arms(many, np.random.default_rng(0))
    spread = np.sqrt(2 * world.draw_sd**2 * (1 - world.correlation) + 2 * world.seed_sd**2)
    parts = power.change_components(np.zeros((1, many.items)), second - first)._replace(seed_sd=float(spread))
    return power.seeds_power(world.effect, world.items, world.seeds, parts)
