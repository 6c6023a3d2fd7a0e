"""Coverage, false positives and power of the methods on simulated scores: the published table of `figures/validation`.

`python tests/analysis/validation.py [SIMULATIONS]` makes it; the worlds are those of `simulation.py`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
import pandas as pd
from simulation import FAMILY, MARGIN, Draws, World, family, one, paired, paired_promise, plane, promised

from helpers.report.chapter import VALIDATION
from helpers.study.files import write_table

METHODS = {
    1: {"test": "McNemar's exact test", "interval": "Agresti and Min", "bootstrap": "paired bootstrap"},
    3: {"test": "test over items and seeds", "interval": "interval over items and seeds", "bootstrap": "hierarchical bootstrap"},
}


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
    """The published table: every method at 1, 3 and 5 seeds, effects of 0, 1, 2 and 5 points, items independent and correlated, and two
    arms at 3, 5, 8 and 10 seeds, with and without an effect of the draw."""
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
    first = pd.concat([pd.DataFrame(rows), luck_dominates(sims, resamples, seed + 1)])
    second = pairs_of_arms(4 * sims, seed + 2)  # without a bootstrap, so there can be more
    return pd.concat([first.assign(simulations=sims), second.assign(simulations=4 * sims)], ignore_index=True)


def luck_dominates(sims: int, resamples: int, seed: int) -> pd.DataFrame:
    """The part of the table where items are so many that the noise between seeds is nearly all of the error."""
    rng = np.random.default_rng(seed)
    worlds = [World(seeds=seeds, items=10_000, seed_sd=0.02) for seeds in (3, 5)]
    return pd.DataFrame([row for world in worlds for row in check(world, rng, sims, resamples)])


def pairs_of_arms(sims: int, seed: int, counts: Sequence[int] = (3, 5, 8, 10)) -> pd.DataFrame:
    """The part of the table on two arms with one draw per seed, and on what a fixed draw leaves out. counts: of seeds."""
    rows = []
    for seeds in counts:
        rng = np.random.default_rng([seed, seeds])
        worlds = [
            Draws(seeds=seeds, draw_sd=sd, correlation=r)
            for sd in (0.0, 0.01, 0.02)
            for r in ((-0.5, 0.0, 0.7) if sd else (0.0,))
        ]
        worlds += [Draws(seeds=seeds, correlation=r, effect=MARGIN) for r in (-0.5, 0.0, 0.7)]
        for world in [*worlds, Draws(seeds=seeds, fixed=True)]:
            found = pd.DataFrame([paired(world, rng) for _ in range(sims)]).mean()
            about = {name: getattr(world, name) for name in ("seeds", "items", "effect", "seed_sd", "draw_sd", "correlation")}
            checks = [("interval of two arms, one draw per seed", "coverage", "interval", "93 to 97 %", 0.93, 0.97)]
            if world.fixed:
                name = "interval of two arms, one fixed draw, read as if it held for others"
                checks = [(name, "coverage", "interval", "93 to 97 %", None, None)]
            elif world.effect:
                power = paired_promise(world)
                limits = (f"{100 * power:.0f} ± 5 %", power - 0.05, power + 0.05)
                checks.append(("test of two arms, one draw per seed", "power", "test", *limits))
                name = f"equivalence of two arms, margin {100 * MARGIN:.0f} points, truth on it"
                checks.append((name, "false positives", "equivalence", "at most 7 %", 0, 0.07))
            else:
                checks.append(("test of two arms, one draw per seed", "false positives", "test", "at most 7 %", 0, 0.07))
            rows += [about | {"correlated": "none", "method": method, "measured": measured, "value": found[key], "wanted": wanted,
                              "kept": "not promised" if low is None else "yes" if low <= found[key] <= high else "no"}
                     for method, measured, key, wanted, low, high in checks]  # fmt: skip
    return pd.DataFrame(rows)


def main() -> None:
    """Write the table and print what did not keep its promise."""
    sims = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    table = validation(sims)
    write_table(table.round(4), VALIDATION)
    print(f"{len(table)} checks, {sims} simulations each or more: {table['kept'].value_counts().to_dict()}; {VALIDATION}")
    print(table[table["kept"] == "no"].to_string(index=False))


if __name__ == "__main__":
    main()
