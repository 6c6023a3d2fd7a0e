"""A study that has not run to its end: which trainings are done, and what their models scored. No comparison, which waits for all seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from helpers.study.errors import StudyError
from helpers.study.files import read_note
from helpers.study.study import UNTRAINED

if TYPE_CHECKING:
    from helpers.study.study import Study

COLUMNS = ["arm", "seed", "steps", "stopped_early", "task", "filter", "items", "accuracy"]


def runs(study: Study) -> pd.DataFrame:
    """One row per model, finished task and answer filter, with COLUMNS; options are not rotated. `steps` of the untrained model is 0.

    Raises StudyError if no model has a finished task.
    """
    parts = []
    for arm, seed in [(UNTRAINED, None), *((arm, seed) for seed in study.seeds for arm in study.arms)]:
        folder = [UNTRAINED] if seed is None else [arm, seed]
        log = study.path("train", *folder, "log.csv")
        if seed is not None and not log.exists():
            continue
        steps = 0 if seed is None else int(pd.read_csv(log)["step"].max())
        for path in sorted(study.path("eval", *folder, "tasks").glob("*.parquet")):
            rows = pd.read_parquet(path).query("rotation == 0")
            table = rows.groupby(["task", "filter"], sort=False)["correct"].agg(items="size", accuracy="mean").reset_index()
            parts.append(table.assign(arm=arm, seed=seed, steps=steps, stopped_early="stopped_at" in read_note(log)))
    if not parts:
        raise StudyError(f"{study.folder}: nothing is scored yet; run make study STUDY={study.reference()} first")
    found = pd.concat(parts, ignore_index=True)
    return found.assign(seed=found["seed"].astype("Int64"))[COLUMNS]
