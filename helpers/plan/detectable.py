"""The smallest effects that a study can detect, from deviations between seeds in published studies.

Each training seed of a study has its own draw, and arms are compared within a seed, so the test is Student's over seeds
(`power.minimum_detectable_effect`). Its standard deviation is taken from a study that was run: `figures/<study>/components.csv`.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from helpers.analysis.indices import FLEXIBLE
from helpers.analysis.power import minimum_detectable_effect
from helpers.plan.sizes import item_count
from helpers.study.places import FIGURES
from helpers.study.schema import HELD_OUT
from helpers.study.study import Study


class Effect(NamedTuple):
    """One outcome of a study: the smallest difference of an arm from the untrained model, and of two arms, that its seeds detect.

    Shares, not points. corrected: of two arms with a significance level divided by the number of tests against random, one per arm and
    task (Bonferroni, the worst case of Holm). source: the published study whose deviations were used, "" if none has this outcome (values are NaN);
    draws: the number of draws in its deviations, 1 if all its seeds trained on one.
    """

    task: str
    side: str
    items: int | None
    source: str
    draws: int
    untrained: float
    arms: float
    corrected: float


def effects(study: Study, figures: Path = FIGURES, before: str = "") -> list[Effect]:
    """One `Effect` per task of the study. before: only of studies all of whose results are older than this time (ISO 8601)."""
    return from_deviations(study, list(_published(study, figures, before)))


def from_deviations(study: Study, published: list[dict[str, pd.Series]]) -> list[Effect]:
    """One `Effect` per task of the study. published: task → deviations (`by_task`), of each study that has some, the nearest first."""
    alpha, seeds = 1 - study.analysis.confidence, len(study.seeds)
    tests = max(1, sum(arm != "random" for arm in study.arms)) * len(study.eval.tasks)
    found = []
    for task in study.eval.tasks:
        items, side = item_count(study, task), study.eval.side(task, task.name)
        row = next((row for rows in published if (row := rows.get(task.name)) is not None), None)
        if row is None:
            found.append(Effect(task.label, side, items, "", 0, *(float("nan"),) * 3))
            continue
        # The items' part of a variance shrinks with their number; what seeds and draws add does not.
        there, share = row["sd_items"] ** 2, row["items"] / (items or row["items"])
        one = np.sqrt(max(0.0, row["sd_seed"] ** 2 - there) + there * share)
        two = np.sqrt(max(0.0, row["sd_difference"] ** 2 - 2 * there) + 2 * there * share)
        smallest = [
            minimum_detectable_effect(sd, seeds, level, study.analysis.power)
            for sd, level in ((one, alpha), (two, alpha), (two, alpha / tests))
        ]
        found.append(Effect(task.label, side, items, row["study"], int(row["draws"]), *smallest))
    return found


def _published(study: Study, figures: Path, before: str) -> Iterator[dict[str, pd.Series]]:
    """Task → deviations, of each published study with several seeds; those of the same pool and model first, then of more seeds."""
    tables = []
    for folder in sorted(path.parent for path in figures.glob("*/components.csv")):
        about, table = pd.read_csv(folder / "study.csv").iloc[0], pd.read_csv(folder / "components.csv")
        if len(table) and (not before or _made(folder) < before):
            near = (about["pool"] == study.pool.source, about["model"] == study.model.id, int(about["seeds"]))
            tables.append((near, table.assign(study=folder.name)))
    for (same_pool, *_), table in sorted(tables, key=lambda pair: pair[0], reverse=True):
        rows = by_task(table)
        yield {name: row for name, row in rows.items() if name != HELD_OUT or same_pool}


def by_task(components: pd.DataFrame) -> dict[str, pd.Series]:
    """Task → its row of `components.components` with a column study. Of two answer filters the flexible one counts, of a suite the whole."""
    table = components.assign(flexible=components["filter"] == FLEXIBLE).sort_values(["flexible", "items"])
    names = table["benchmark"].str.removesuffix("_mirror").str.partition(":")[0]  # the last row of a name is kept
    rows = {name: row for name, (_, row) in zip(names, table.iterrows(), strict=True)}
    return {name: row for name, row in rows.items() if not np.isnan(row["sd_difference"])}


def _made(folder: Path) -> str:
    """When the last result of a published study was made; later than any time if that is unknown."""
    path = folder / "provenance.json"
    notes = json.loads(path.read_text(encoding="utf-8")).values() if path.is_file() else []
    return max((note.get("made", "~") for note in notes), default="~")
