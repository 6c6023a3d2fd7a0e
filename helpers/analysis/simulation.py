"""Scores whose truth is known, and how intervals and tests do on them: `python -m helpers.analysis.simulation` makes the published table.

A simulated arm changes some answers of the untrained model: a gain where it was wrong, a loss where it was right, so
many that `discordant` of the items differ and the true mean difference is `effect`, moved in each run by the run's own
luck (a normal draw with `seed_sd`). Whether an item changes is partly the item's own: with `alike` of 1 every run changes the same
items. Items may also come in subjects that gain or lose together, the same for all runs (`subject_sd`).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from helpers.analysis import intervals, power
from helpers.study.files import write_table

RESULT = Path(__file__).resolve().parents[2] / "figures" / "validation" / "validation.csv"
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
        "bootstrap": _covers(intervals.bootstrap_interval(draws), truth),
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
    """Of two groups of two benchmarks, with the same runs: whether the joint region and the first macro interval cover the truth."""
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
    return intervals.inside(truth, (x.centre, y.centre), shape), _covers(intervals.interval(x), float(truth[0]))


METHODS = {
    1: {"test": "McNemar's exact test", "interval": "Agresti and Min", "bootstrap": "paired bootstrap"},
    3: {"test": "test over items and seeds", "interval": "interval over items and seeds", "bootstrap": "hierarchical bootstrap"},
}


def promised(world: World) -> float:
    """The power function's promise for the comparison with the untrained model."""
    if world.seeds == 1:
        return power.exact_power(world.items, world.discordant, world.effect)
    rng = np.random.default_rng(0)
    many = world._replace(items=20_000, seeds=20, seed_sd=0.0)
    before = untrained(many, rng)
    parts = power.components(before, arm(before, many, rng)[0])._replace(seed_sd=world.seed_sd)
    return power.seeds_power(world.effect, world.items, world.seeds, parts)


def check(world: World, rng: np.random.Generator, sims: int, resamples: int) -> list[dict[str, object]]:
    """How each method did on `sims` simulated comparisons: rows of the published table."""
    runs = pd.DataFrame([one(world, rng, resamples) for _ in range(sims)]).mean()
    names = METHODS[min(world.seeds, 3)]
    alike = (
        "none" if not world.subject_sd else "within the benchmark's subjects" if world.subjects_fixed else "within drawn subjects"
    )
    about = {"seeds": world.seeds, "items": world.items, "effect": world.effect, "seed_sd": world.seed_sd, "correlated": alike}
    fits = world.subjects_fixed

    def row(method: str, what: str, value: float, want: str, low: float, high: float, promise: bool = True) -> dict[str, object]:
        return about | {"method": method, "measured": what, "value": value, "wanted": want,
                        "kept": ("yes" if low <= value <= high else "no") if promise and fits else "not promised"}  # fmt: skip

    several = world.seeds > 1
    wide = ("at least 93 %", 0.93, 1.0) if several else ("93 to 97 %", 0.93, 0.97)  # over seeds the method is careful by design
    rows = [row(names["interval"], "coverage", runs["interval"], *wide)]
    rows.append(row(names["bootstrap"], "coverage", runs["bootstrap"], *wide, not several))
    tests = [("test", names["test"])]
    if several:
        tests.append(("arm test", "test over items and seeds, arm against arm"))
        rows.append(row("interval over items and seeds, arm against arm", "coverage", runs["arm interval"], *wide))
    else:
        rows.append(row("Wilson, untrained model", "coverage", runs["wilson"], *wide))
    if not several and world.seed_sd:
        rows.append(
            row("Agresti and Min, read as if it held for other seeds", "coverage", runs["interval for other seeds"], *wide, False)
        )
    for key, name in tests if world.effect == 0 and (world.seeds > 1 or not world.seed_sd) else []:
        rows.append(row(name, "false positives", runs[key], "at most 7 %", 0, 0.07))
    if world.effect and not world.subject_sd and (world.seeds > 1 or not world.seed_sd):
        want = promised(world)
        rows.append(row(names["test"], "power", runs["test"], f"{100 * want:.0f} ± 5 %", want - 0.05, want + 0.05))
    if world.effect == MARGIN and (world.seeds > 1 or not world.seed_sd):
        rows.append(row(f"equivalence, margin {100 * MARGIN:.0f} points, truth on it", "false positives", runs["equivalence"],
                        "at most 7 %", 0, 0.07))  # fmt: skip
    return rows


def validation(sims: int, resamples: int = 500, seed: int = 0) -> pd.DataFrame:
    """The published table: every method at 1, 3 and 5 seeds, effects of 0, 1, 2 and 5 points, items independent and correlated."""
    rng, rows = np.random.default_rng(seed), []
    for seeds in (1, 3, 5):
        luck = (
            {0: (0.0, 0.005, 0.01), 0.01: (0.005,), 0.02: (0.0, 0.005, 0.01), 0.05: (0.005,)}
            if seeds > 1
            else {effect: (0.0, 0.01) for effect in (0, 0.01, 0.02, 0.05)}
        )
        worlds = [World(seeds=seeds, effect=effect, seed_sd=sd) for effect, spreads in luck.items() for sd in spreads]
        for effect in (0, 0.02):
            worlds += [World(seeds=seeds, effect=effect, seed_sd=0.0 if seeds == 1 else 0.005, subject_sd=0.03, subjects_fixed=fixed)
                       for fixed in (True, False)]  # fmt: skip
        for world in worlds:
            rows += check(world, rng, sims, resamples)
        world = World(seeds=seeds, seed_sd=0.0 if seeds == 1 else 0.005)
        about = {"seeds": seeds, "items": world.items, "effect": 0.0, "seed_sd": world.seed_sd, "correlated": "none"}
        error = float(np.mean([family(world, rng) for _ in range(sims)]))
        rows.append(about | {"method": f"Holm, {FAMILY} comparisons", "measured": "any false positive", "value": error,
                             "wanted": "at most 7 %", "kept": "yes" if error <= 0.07 else "no"})  # fmt: skip
        for sd in (0.0, 0.01):
            joint = np.mean([plane(world._replace(seed_sd=sd), rng, resamples) for _ in range(sims)], axis=0)
            for name, value in zip(("joint region of two indices", "interval of a macro index"), joint, strict=True):
                kept = "yes" if 0.93 <= value <= (0.97 if seeds == 1 else 1) else "no"
                rows.append(about | {"seed_sd": sd, "method": name, "measured": "coverage", "value": float(value),
                                     "wanted": "93 to 97 %" if seeds == 1 else "at least 93 %", "kept": kept})  # fmt: skip
    return pd.concat([pd.DataFrame(rows), luck_dominates(sims, resamples, seed + 1)], ignore_index=True)


def luck_dominates(sims: int, resamples: int, seed: int) -> pd.DataFrame:
    """The part of the table where items are so many that the seeds' luck is nearly all of the error."""
    rng = np.random.default_rng(seed)
    worlds = [World(seeds=seeds, items=10_000, seed_sd=0.02) for seeds in (3, 5)]
    return pd.DataFrame([row for world in worlds for row in check(world, rng, sims, resamples)])


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """The published table in short: one row a method, number of seeds and kind of world, with the lowest and highest value."""
    by = ["seeds", "method", "measured", "correlated"]
    rows = table[table["measured"] != "power"].groupby(by, sort=False).agg(
        worlds=("value", "size"), lowest=("value", "min"), highest=("value", "max"), wanted=("wanted", "first"),
        kept=("kept", lambda kept: "no" if "no" in set(kept) else kept.iloc[0]))  # fmt: skip
    power_rows = table[table["measured"] == "power"]
    away = power_rows.assign(value=power_rows["value"] - power_rows["wanted"].str.split().str[0].astype(float) / 100)
    told = away.groupby(by, sort=False).agg(
        worlds=("value", "size"), lowest=("value", "min"), highest=("value", "max"), kept=("kept", "min"))  # fmt: skip
    told = told.reset_index().assign(measured="power, minus what was foretold", wanted="within 5 %")
    return pd.concat([rows.reset_index(), told], ignore_index=True).sort_values("seeds", kind="stable", ignore_index=True)


def main() -> None:
    """`python -m helpers.analysis.simulation [SIMULATIONS]`: write figures/validation/validation.csv and say what did not keep its promise."""
    sims = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    table = validation(sims).assign(simulations=sims)
    write_table(table.round(4), RESULT)
    print(f"{len(table)} checks, {sims} simulations each: {table['kept'].value_counts().to_dict()}; {RESULT}")
    print(table[table["kept"] == "no"].to_string(index=False))


if __name__ == "__main__":
    main()
