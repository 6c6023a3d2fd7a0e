"""The positive control of a study: its tables, how its training differs, and whether it shows that this way of training works."""

from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from helpers.study.files import StudyError, read_table, sha256
from helpers.study.inputs import SPEED_ONLY
from helpers.study.places import FIGURES
from helpers.study.schema import HELD_OUT
from helpers.study.study import Study, open_study

NO_CONTROL = "This study has no positive control ({why}). Where it finds no difference, it cannot say whether this training recipe works at all."


class Control(NamedTuple):
    """What a positive control shows.

    works: True if training was shown to work there, False if it was not, None if there is no control. sentence: the same in words,
    with its figures. own: the study is itself the control, so its claims are not judged.
    """

    works: bool | None
    sentence: str
    own: bool = False


def tables_of(study: Study) -> Path | None:
    """The folder with the tables of a study's positive control: from a run beside this study, else as published.

    None if the study names no control, is its own control, or no tables were found.
    """
    name = study.analysis.control
    if not name or name == study.name:
        return None
    places = (study.folder.parent / name / "tables", FIGURES / name)
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
        {"completions per step": train.completions_per_step}
        | train.model_dump(mode="json", exclude={"batch_size", "gradient_accumulation"})
        for train in (control, study.train)
    )
    return {key: (value, ours[key]) for key, value in theirs.items() if value != ours[key] and key not in SPEED_ONLY}


def inputs(study: Study) -> dict[str, Any]:
    """The inputs of a study's analysis: its parameters and, if it has a positive control, that control's results."""
    folder = tables_of(study)
    found = [sha256(folder / "comparison.csv"), training_differences(study)] if folder else ""
    return study.inputs("analysis") | {"control": found}


def positive_control(study: Study, comparison: pd.DataFrame, groups: pd.DataFrame) -> Control:
    """What the positive control of a study shows. The study may be its own; one that names none may show on held-out questions whether its
    own training works (`judge_itself`).

    comparison, groups: the study's own tables (`compare.comparison`, `indices.group_changes`), read if it is its own control.
    """
    name, folder = study.analysis.control, tables_of(study)
    if name == study.name:
        return judge(name, comparison, groups, own=True, pool=study.pool.source)
    if name is None and len(held := comparison[comparison["benchmark"] == HELD_OUT]):
        return judge_itself(held)
    if folder is None:
        return no_control(name)
    comparison, groups, about = (read_table(folder / f"{table}.csv", name) for table in ("comparison", "groups", "study"))
    return judge(name, comparison, groups, training_differences(study), pool=about["pool"].iloc[0])


def judge_itself(held: pd.DataFrame) -> Control:
    """Whether a study's own training works, from its held-out questions: the random arm, or else all arms (Holm), against the untrained model.

    held: the rows of `compare.comparison` on the held-out questions.
    """
    from helpers.analysis import evidence

    arms = held[held["vs_untrained"].notna()]
    counted = arms[arms["arm"] == "random"] if "random" in set(arms["arm"]) else arms
    rows = evidence.corrected(evidence.from_untrained(counted, "held-out questions"))
    works = bool(rows["better"].any())
    shown = (
        "Training works in this study" if works else "Training is not shown to work in this study, so it supports no conclusion"
    )
    return Control(works, f"{shown}: {_figures(rows)}")


def _figures(rows: pd.DataFrame) -> str:
    """Differences (`evidence.corrected`) with what their intervals cover."""
    from helpers.analysis import evidence

    over = evidence.runs_in_words(int(rows["seeds"].min()), int(rows["draws"].min()))
    several = f"; p adjusted for {len(rows)} comparisons, Holm" if len(rows) > 1 else ""
    return f"{evidence.in_figures(rows)} (intervals {over}{several})."


def no_control(name: str | None) -> Control:
    """A study without a control. name: the one that it names but that has no results yet, or None."""
    return Control(None, NO_CONTROL.format(why=f"{name} has not been run" if name else "analysis.control names none"))


def judge(
    name: str,
    comparison: pd.DataFrame,
    groups: pd.DataFrame,
    differences: dict[str, tuple[Any, Any]] | None = None,
    own: bool = False,
    pool: str = "",
) -> Control:
    """Whether the study `name` shows that training works: its arms against the untrained model, Holm-corrected among themselves.

    One arm that is significantly better is enough. Arms are compared on the held-out questions of the pool if the study has
    them, else on the index of specialisation.

    comparison, groups: its tables. differences: `training_differences` of the study that it is the control of. own: it is that study
    itself. pool: what it was trained on.
    """
    from helpers.analysis import evidence  # imports SciPy, which the graph does without

    held = comparison[(comparison["benchmark"] == HELD_OUT) & comparison["vs_untrained"].notna()]
    of_pool = groups[groups["group"] == "specialisation"].assign(name=lambda table: table["arm"] + ", benchmarks of its pool")
    rows = evidence.corrected(evidence.from_untrained(held, "held-out questions") if len(held) else of_pool)
    works = bool(rows["better"].any())
    follows = "so a study with this control supports no conclusion" if own else "so this study supports no conclusion"
    shows = "shows that training works" if works else f"does not show that training works, {follows}"
    figures = _figures(rows) if len(rows) else "it has no arm."
    sentence = f"The positive control ({name}{f', trained on {pool}' if pool else ''}) {shows}: {figures}"
    if differences:
        changed = ", ".join(f"{key}: {theirs} instead of {ours}" for key, (theirs, ours) in differences.items())
        sentence += f" Its training settings differ ({changed}), so it shows that the pipeline can train a model, not that this study's training did."
    return Control(works, sentence, own)
