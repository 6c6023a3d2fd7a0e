"""The positive control of a study: where its tables are, and how its training differs from the study's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from helpers.study.files import StudyError, sha256
from helpers.study.study import REPOSITORY, SPEED_ONLY, Study, open_study


def tables_of(study: Study) -> Path | None:
    """The folder with the tables of a study's positive control: from a run beside this study, else as published.

    None if the study names no control, is its own control, or no tables were found.
    """
    name = study.analysis.control
    if not name or name == study.name:
        return None
    places = (study.folder.parent / name / "tables", REPOSITORY / "figures" / name)
    return next((place for place in places if all((place / f"{table}.csv").exists() for table in ("comparison", "groups"))), None)


def training_differences(study: Study) -> dict[str, tuple[Any, Any]]:
    """Keys of `train` in which the positive control differs from this study: {key: (value of the control, value of the study)}.

    Keys that change no result are left out. Batch size and gradient accumulation are compared as completions per step.
    Empty if the control's parameters are not here, although its tables may be.
    """
    try:
        control = open_study(str(study.analysis.control)).train
    except StudyError:
        return {}
    theirs, ours = (
        {"completions a step": train.completions_per_step}
        | train.model_dump(mode="json", exclude={"batch_size", "gradient_accumulation"})
        for train in (control, study.train)
    )
    return {key: (value, ours[key]) for key, value in theirs.items() if value != ours[key] and key not in SPEED_ONLY}


def inputs(study: Study) -> dict[str, Any]:
    """What the analysis of a study depends on: its parameters and, if it has a positive control, that control's results."""
    folder = tables_of(study)
    found = [sha256(folder / "comparison.csv"), training_differences(study)] if folder else ""
    return study.inputs("analysis") | {"control": found}
