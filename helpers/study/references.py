"""Check that what a study's parameters name exists: its pool, tasks, samples and positive control."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from helpers.study import places
from helpers.study.errors import StudyError, nearest

if TYPE_CHECKING:
    from helpers.study.study import Study


def check(study: Study) -> None:
    """Raise StudyError, in one line, if something that the parameters name does not exist."""
    runs, control = places.runs(), study.analysis.control
    if runs.is_file():
        raise StudyError(f"{study.file}: STUDY_RUNS: {runs} is a file; it should be the folder of all runs")
    _check_pool(study)
    if study.search:  # which commit of a data set was read is recorded with the index
        try:
            if path := places.corpus_path(study.search.corpus.source, study.file):
                places.corpus_files(path)
        except StudyError as error:
            raise StudyError(f"{study.file}: search.{error}") from None
    _check_tasks(study)
    if control and control != study.name:
        file = f"{control}.yaml"
        found = (study.file.with_name(file), places.PARAMETERS / file, runs / control, places.FIGURES / control)
        if not any(place.exists() for place in found):
            raise StudyError(f"{study.file}: analysis.control: {control!r} is no study{nearest(control, places.study_names())}")


def _check_pool(study: Study) -> None:
    """The pool is a file that exists, or a data set of the hub at one commit."""
    try:
        path = places.pool_file(study.pool, study.file)
    except StudyError as error:
        raise StudyError(f"{study.file}: {error}") from None
    if path is not None and path.is_file() and study.split.held_out_from:
        raise StudyError(f"{study.file}: split.held_out_from: the pool {study.pool.source} is a file, which has no other split")
    if path is None and study.pool.revision is None:
        raise StudyError(
            f"{study.file}: pool: {study.pool.source} is neither a starter set nor a file, so it is a data set of the hub, and "
            "these are read at one commit: write `pool: {source: …, revision: <commit>}`"
        )
    if path is None and not re.fullmatch("[0-9a-f]{40}", study.pool.revision):
        raise StudyError(
            f"{study.file}: pool.revision: {study.pool.revision!r} is no commit, which has 40 digits from 0-9 and a-f and never changes"
        )


def _check_tasks(study: Study) -> None:
    """Samples exist, and so do tasks of the starter set; the names of all others are checked in evaluation/."""
    own = sorted(path.stem for path in places.TASKS.glob("starter_*.yaml"))
    for task in study.eval.tasks:
        if task.name.startswith("starter_") and task.name not in own:
            raise StudyError(f"{study.file}: eval.tasks: no task {task.name!r}{nearest(task.name, own)}")
        if task.sample:
            study.beside(task.sample)
    if study.split.exclude_from_held_out:
        study.beside(study.split.exclude_from_held_out)
