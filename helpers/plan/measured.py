"""A study that was run against its plan: the smallest detectable effects before and after, and GPU hours."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from pyarrow.parquet import read_metadata

from helpers.plan import cost, detectable
from helpers.plan.machine import gpu
from helpers.report.executed import KINDS, times
from helpers.study.places import FIGURES
from helpers.study.study import Study

# What an arm is compared with: attributes of Effect, columns.
SIDES = {"untrained": "untrained", "arms": "random", "corrected": "corrected"}


def effects(
    study: Study, components: pd.DataFrame, notes: Sequence[dict[str, Any]], figures: Path = FIGURES
) -> pd.DataFrame | None:
    """The smallest effects that a study can detect, as `make plan` computes them, from other studies' deviations and from its own.

    components: the study's own (`components.components`); notes: of its results. *Before*: from published studies that were finished before the
    study's first result. One row per task; columns task, items, source (of *before*; "" if none was finished) and, in shares, NaN where unknown,
    untrained_before, untrained_after (an arm against the untrained model), random_before, random_after (against the random arm),
    corrected_before, corrected_after (for all arms that are compared with it, on all tasks). None with one seed.
    """
    made = min((note["made"] for note in notes if "made" in note), default="")
    if components.empty or not made:
        return None
    planned = detectable.effects(study, figures, before=made)
    found = detectable.from_deviations(study, [detectable.by_task(components.assign(study=study.name))])
    rows = []
    for old, new in zip(planned, found, strict=True):
        points = {
            f"{name}_{when}": getattr(one, side)
            for side, name in SIDES.items()
            for when, one in (("before", old), ("after", new))
        }
        rows.append({"task": new.task, "items": new.items, "source": old.source, **points})
    return pd.DataFrame(rows)


def hours(study: Study, notes: Sequence[dict[str, Any]]) -> pd.DataFrame | None:
    """Measured GPU hours beside those that `make plan` computes for the same number of jobs, on the GPU that made most results, with as many jobs
    per GPU as actually shared one (`as_shared`; not for filters).

    One row per kind of job, and one for all; columns kind, jobs (that used a GPU), planned, measured (seconds of a notebook times its share of a
    GPU, as it last ran), ratio (measured over planned), on. Planned is NaN where a size is unknown. None if no job used a GPU.
    """
    spent = times(study)
    used = spent[spent["gpu_seconds"] > 0].groupby(spent["notebook"].str[:2])["gpu_seconds"].agg(["size", "sum"])
    devices = Counter(note["device"] for note in notes if "device" in note and not note["device"].startswith("CPU"))
    if used.empty or not devices:
        return None
    on = gpu(devices.most_common(1)[0][0], 80 * 2**30)
    plans: dict[str, list[cost.Step]] = {}
    for step in cost.hours(as_shared(study, spent), on, None, _labelled(study)):
        plans.setdefault(step.name[:2], []).append(step)
    rows = []
    for number, kind in KINDS.items():
        if number in used.index and number in plans:
            jobs, measured = int(used.loc[number, "size"]), used.loc[number, "sum"] / 3600
            every = [step.hours for step in plans[number]]
            planned = float("nan") if None in every else sum(every) * jobs / sum(step.jobs for step in plans[number])
            rows.append({"kind": kind, "jobs": jobs, "planned": planned, "measured": measured})
    rows.append({"kind": "all", **{name: sum(row[name] for row in rows) for name in ("jobs", "planned", "measured")}})
    table = pd.DataFrame(rows)
    return table.assign(ratio=table["measured"] / table["planned"], on=on.name)


def _labelled(study: Study) -> int | None:
    """Questions that the study's filters labelled; None before. A file of labels has one row per answer."""
    files = {name: study.path("filter", name, "labels.parquet") for name in study.filters}
    asked = [read_metadata(file).num_rows // study.filters[name].samples for name, file in files.items() if file.exists()]
    return max(asked, default=None)


def as_shared(study: Study, spent: pd.DataFrame) -> Study:
    """The study with as many trainings and evaluations per GPU as shared one, by the median of their shares (`executed.times`).

    A lease on larger GPUs may put more jobs on each than the study's file says, which is for 80 GB; the more share, the less each costs.
    """
    used = spent[spent["gpus"] > 0].groupby(spent["notebook"].str[:2])["gpus"].median()
    runs = {number: round(1 / share) for number, share in used.items() if share <= 1}
    changes = {
        key: part.model_copy(update={"runs_per_gpu": runs[number]})
        for number, key, part in (("03", "train", study.train), ("04", "eval", study.eval))
        if number in runs
    }
    return study.model_copy(update=changes)
