"""Every benchmark × arm: accuracy, and the change from the untrained model and from the random arm. Shares, not points.

An interval with one run is over items, for the seed that was run; with several it is over items and seeds.
"""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pandas as pd

from helpers.analysis import intervals, power
from helpers.analysis.indices import runs_by_benchmark, strict_beside_flexible
from helpers.analysis.intervals import Runs, wilson
from helpers.study.schema_eval import Analysis
from helpers.study.study import UNTRAINED


def by_suite(scores: pd.DataFrame) -> pd.DataFrame:
    """Scores with the benchmarks of a group of tasks joined into one: `mmlu` and not its 57 subjects.

    Rotated items are left out. A suite whose members are in two groups is cut in two, named `mmlu: specialisation` and
    `mmlu: robustness`, and appears once more as a whole, in the group `whole`. A suite of one benchmark keeps its name. The id of an
    item names its member, so that pairs stay pairs.
    """
    plain = scores[scores["rotation"] == 0]
    sides = plain.groupby("task")["group"].nunique()
    members = plain.groupby("task")["benchmark"].nunique()
    joined, cut = plain["task"].map(members) > 1, plain["task"].map(sides) > 1
    name = plain["benchmark"].where(~joined, plain["task"]).where(~cut, plain["task"] + ": " + plain["group"])
    rows = plain.assign(benchmark=name, item_id=plain["benchmark"] + "/" + plain["item_id"])
    whole = rows[cut].assign(benchmark=lambda part: part["task"], group="whole")
    return pd.concat([rows, whole], ignore_index=True)


def common_seeds(scores: pd.DataFrame) -> pd.DataFrame:
    """The scores of the seeds that every arm has, and of the untrained model: what a comparison within seeds can use."""
    trained = scores[scores["arm"] != UNTRAINED]
    arms = trained.groupby("seed")["arm"].nunique()
    common = arms.index[arms == trained["arm"].nunique()]
    return scores[(scores["arm"] == UNTRAINED) | scores["seed"].isin(common)]


def comparison(scores: pd.DataFrame, settings: Analysis, paired: bool = False, controls: Collection[str] = ()) -> pd.DataFrame:
    """Every benchmark × arm: accuracy with Wilson's interval, and the change from untrained and from random.

    scores: one row per item with columns arm, seed, group, benchmark, filter, item_id, correct, chance. paired: the study has one draw
    per seed (`intervals.estimate`). controls: arms that are negative controls.

    Accuracy is the mean over runs, and its interval treats that mean as one sample of the items (it does not cover other seeds).
    `draws`: how many draws of questions the intervals cover (1: they are conditional on one). `at_chance`: not significantly
    different from guessing (exact binomial test). Of a change (`vs_untrained`, `vs_random`): the columns of `intervals.change`, with `_p`
    from `intervals.benchmark_p`; `_p_holm` and `_p_equal_holm` (Holm, over all rows and arms with this baseline, without suites that are
    also shown in parts and without strict answer filters); `_detectable` (the smallest true change found with power `settings.power` at level 5 %, not
    corrected, with the scatter between seeds pooled over all arms except negative controls, which have their own).
    """
    rng = np.random.default_rng(settings.seed)
    about = scores.groupby(["benchmark", "filter"], sort=False).agg(
        group=("group", "first"), chance=("chance", "mean"), setting=("setting", "first"))  # fmt: skip
    rows = []
    for (benchmark, filter_name), models in runs_by_benchmark(scores, ("benchmark", "filter"), "correct").items():
        facts = about.loc[(benchmark, filter_name)]
        for arm, mine in models.items():
            items, right = mine.shape[1], round(mine.mean(axis=0).sum())
            low, high = wilson(right, items, settings.confidence)
            seeds = len(mine) if arm != UNTRAINED else 0
            row = {"group": facts["group"], "benchmark": benchmark, "filter": filter_name, "setting": facts["setting"], "arm": arm,
                   "seeds": seeds, "draws": seeds if paired else min(seeds, 1), "items": items, "chance": facts["chance"],
                   "accuracy": mine.mean(), "low": low, "high": high,
                   "at_chance": intervals.is_chance(right, items, facts["chance"], settings.confidence)}  # fmt: skip
            for base in (UNTRAINED, "random"):
                if base in models and arm not in (base, UNTRAINED):
                    found = difference(models, base, arm, rng, settings, paired, controls)
                    row |= {f"vs_{base}" + (f"_{name}" if name != "change" else ""): value for name, value in found.items()}
            rows.append(row)
    table = pd.DataFrame(rows)
    counted = (table["group"] != "whole") & ~strict_beside_flexible(table)
    for p in [f"vs_{base}{kind}" for base in (UNTRAINED, "random") for kind in ("_p", "_p_equal")]:
        if p in table:
            tested = counted & table[p].notna()
            table.loc[tested, f"{p}_holm"] = intervals.holm(table.loc[tested, p])
    return table


def by_seed(scores: pd.DataFrame) -> pd.DataFrame:
    """Every benchmark × trained model: accuracy, and its difference from the random arm's model of the same seed. Shares, not points.

    scores: as for `comparison`. One row per group, benchmark, filter, arm and seed, with items, accuracy and vs_random (NaN for the random arm,
    and where no random arm was trained with that seed).
    """
    by = ["group", "benchmark", "filter", "arm", "seed"]
    trained = scores[scores["arm"] != UNTRAINED].astype({"seed": int, "correct": float})
    table = trained.groupby(by, sort=False)["correct"].agg(items="count", accuracy="mean").reset_index()
    random = table[table["arm"] == "random"].rename(columns={"accuracy": "random"})
    beside = table.merge(random.drop(columns=["arm", "items"]), on=[name for name in by if name != "arm"], how="left")
    return table.assign(vs_random=(table["accuracy"] - beside["random"]).where(table["arm"] != "random"))


def difference(
    models: Mapping[str, Runs],
    base: str,
    arm: str,
    rng: np.random.Generator,
    settings: Analysis,
    paired: bool,
    controls: Collection[str] = (),
) -> dict[str, float]:
    """`arm` − `base` on one benchmark: the keys of `intervals.change`, with `p` from `intervals.benchmark_p`, and `detectable`, as in `comparison`.

    models: all models of the study on this benchmark, by arm.
    """
    before, after = models[base], models[arm]
    pooled = (base, arm) if arm in controls else set(models) - set(controls)
    between = _seed_variance({name: runs for name, runs in models.items() if name in pooled}, base, paired)
    paired = paired and len(before) == len(after)
    found = intervals.change([before], [after], rng, settings, paired) | {"p": intervals.benchmark_p(before, after, paired)}
    return found | {"detectable": _detectable(before, after, 1 - settings.confidence, settings.power, paired, between)}


def _seed_variance(models: dict[str, Runs], base: str, paired: bool) -> float:
    """Variance between seeds beyond that of the items, pooled over the arms: of an arm or, if paired, of its difference from another arm."""
    own = models[base]
    within = [
        runs - own for arm, runs in models.items() if paired and base != UNTRAINED and arm != base and len(runs) == len(own)
    ]
    trained = within or [runs for arm, runs in models.items() if arm != UNTRAINED]
    found = [power.change_components(own[:1], runs).seed_sd ** 2 for runs in trained if len(runs) > 1]
    return float(np.mean(found)) if found else np.nan


def _detectable(before: Runs, after: Runs, alpha: float, wanted: float, paired: bool, between: float) -> float:
    """The smallest true change that the test used here would find. between: the seeds' variance, `_seed_variance`."""
    items = before.shape[1]
    if max(len(before), len(after)) == 1:
        return power.smallest_detectable(items, float((after != before).mean()), alpha, wanted)
    if paired:
        within = power.change_components(np.zeros((1, items)), after - before)
        return power.seeds_detectable(items, len(after), within._replace(seed_sd=np.sqrt(between)), alpha, wanted)
    trained = [model for model in (before, after) if len(model) > 1]
    one, several = (before.mean(axis=0, keepdims=True), after) if len(after) > 1 else (after, before)
    parts = power.change_components(one, several)._replace(seed_sd=float(np.sqrt(between)))
    return power.seeds_detectable(items, min(map(len, trained)), parts, alpha, wanted, len(trained))


def against(table: pd.DataFrame, base: str) -> pd.DataFrame:
    """The rows and columns of `comparison` with one model, for readers; none if the study has no such arm."""
    if f"vs_{base}" not in table:
        return table.head(0)
    rows = table.dropna(subset=[f"vs_{base}"])
    ends = {"": "change"} | {f"_{name}": name for name in ("low", "high", "p", "p_holm", "p_equal", "p_equal_holm", "detectable")}
    named = {f"vs_{base}{end}": name for end, name in ends.items()}
    return rows[["benchmark", "filter", "arm", "items", *named]].rename(columns=named)


def dose(changes: pd.DataFrame, points: dict[str, tuple[str, Any]]) -> pd.DataFrame:
    """Changes of the arms that differ in one thing; empty if the study varies nothing.

    changes: `group_changes`; points: arm → (series, x). Only series with two values of x or more count. Columns x, series, name, arm, group,
    change, low, high.
    """
    table = pd.DataFrame([(arm, *point) for arm, point in points.items()], columns=["arm", "series", "x"])
    varied = table[table.groupby("series")["x"].transform("nunique") > 1]
    rows = changes.merge(varied, on="arm").assign(name=lambda found: found["arm"])
    return rows[["x", "series", "name", "arm", "group", "change", "low", "high"]]
