"""Variance components: how far runs of one arm differ between seeds, which is what the number of seeds of a study follows from."""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import pandas as pd

from helpers.analysis import power
from helpers.analysis.indices import by_group, runs_by_benchmark, strict_beside_flexible
from helpers.analysis.intervals import Runs, pooled, scatter
from helpers.study.study import UNTRAINED

COLUMNS = ["group", "benchmark", "filter", "items", "arms", "seeds", "draws", "sd_seed", "sd_items", "sd_draw", "sd_difference"]


def components(scores: pd.DataFrame, items: pd.DataFrame, paired: bool = False, controls: Collection[str] = ()) -> pd.DataFrame:
    """Standard deviations between seeds, one row per benchmark and answer filter, and one per index (benchmark `index`).

    scores: `compare.by_suite`; items: `indices.item_scores`; paired: the study has one draw per seed, shared by its arms. controls: arms
    that are negative controls. Shares, not points. Columns, pooled over the other arms with two seeds or more (no rows if there is none):

    - sd_seed: of the accuracy of one arm, between its seeds. For an arm against the untrained model it is the `sd` of
      `power.minimum_detectable_effect`.
    - sd_items: the part of sd_seed that comes from scoring a finite number of items, and that more items would reduce.
    - sd_draw: of what the arms of one seed have in common (their draw of the pool and the seed itself); NaN with a fixed draw.
    - sd_difference: of the difference of two arms within a seed, the `sd` for one arm against another. With a fixed draw runs
      are independent, so it is √2 · sd_seed. NaN with one arm.
    """
    rows = []
    scores, items = (table[~table["arm"].isin(controls)] for table in (scores, items))
    for (group, benchmark, name), models in runs_by_benchmark(scores, ("group", "benchmark", "filter"), "correct").items():
        rows += _row({arm: [runs] for arm, runs in models.items()}, group, benchmark, name, paired)
    for group, models in by_group(items).items():
        rows += _row(models, group, "index", "none", paired)
    return pd.DataFrame(rows, columns=COLUMNS)


def _row(models: dict[str, Sequence[Runs]], group: str, benchmark: str, name: str, paired: bool) -> list[dict[str, Any]]:
    parts = [runs for arm, runs in models.items() if arm != UNTRAINED and len(runs[0]) > 1]
    if not parts:
        return []
    means = [np.mean([part.mean(axis=1) for part in runs], axis=0) for runs in parts]  # of each arm, shape (seeds,)
    within, two = pooled(parts, paired)
    noise = np.mean([sum(scatter(part) / part.shape[1] for part in runs) / len(runs) ** 2 for runs in parts])
    draw, difference = np.nan, np.sqrt(two) if len(parts) > 1 else np.nan
    if paired and len(parts) > 1:  # arms and seeds are crossed: analysis of variance without repeats
        between = len(parts) * np.array(means).mean(axis=0).var(ddof=1)
        draw = np.sqrt(max(0.0, (between - two / 2) / len(parts)))
    seeds = min(map(len, means))
    return [{"group": group, "benchmark": benchmark, "filter": name, "items": sum(part.shape[1] for part in parts[0]), "arms": len(parts),
             "seeds": seeds, "draws": seeds if paired else 1, "sd_seed": np.sqrt(within), "sd_items": np.sqrt(noise), "sd_draw": draw,
             "sd_difference": difference}]  # fmt: skip


def seed_spread(scores: pd.DataFrame) -> dict[str, Any]:
    """Inputs for the power of another study (discordant items, spread of seeds), over all arms and benchmarks by likelihood or free generation.

    scores: `compare.by_suite`; of two answer filters the flexible one counts, of a suite its parts. Keys: discordant (median share of
    items that one run changes; NaN without such a benchmark), seed_sd (root of the mean variance between seeds, without the
    items' part; benchmarks count by their items; NaN with one seed).
    """
    used = scores[(scores["mode"] != "reasoning") & (scores["group"] != "whole")]
    used = used[~strict_beside_flexible(used)]
    found = []
    for models in runs_by_benchmark(used, ("benchmark", "filter"), "correct").values():
        for arm, runs in models.items():
            if arm != UNTRAINED and UNTRAINED in models:
                parts = power.change_components(models[UNTRAINED], runs)
                variance = runs.mean(axis=1).var(ddof=1) - parts.single / runs.shape[1] if len(runs) > 1 else np.nan
                found.append((float((runs != models[UNTRAINED]).mean()), variance, runs.shape[1]))
    table = pd.DataFrame(found, columns=["discordant", "variance", "items"])
    if table.empty:
        return {"discordant": float("nan"), "seed_sd": float("nan")}
    variance = float((table["variance"] * table["items"]).sum(min_count=1) / table["items"].sum())
    return {"discordant": float(table["discordant"].median()), "seed_sd": float(np.sqrt(max(variance, 0.0)))}
