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
    runs = study.folder.parent
    if runs.exists() and not runs.is_dir():
        raise StudyError(f"{study.file}: STUDY_RUNS: {runs} is a file; it should be the folder of all runs")
    _pool(study)
    _corpus(study)
    _tasks(study)
    _control(study)


def _pool(study: Study) -> None:
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


def _corpus(study: Study) -> None:
    """The corpus of the search tool, if it is a file or a folder, is there. (Which commit of a data set was read is recorded with the index.)"""
    if study.search is None:
        return
    try:
        path = places.corpus_path(study.search.corpus.source, study.file)
        if path:
            places.corpus_files(path)
    except StudyError as error:
        raise StudyError(f"{study.file}: search.{error}") from None


def _tasks(study: Study) -> None:
    """Samples exist, and so do tasks of the starter set; the names of all others are checked in evaluation/."""
    own = sorted(path.stem for path in places.TASKS.glob("starter_*.yaml"))
    for task in study.eval.tasks:
        if task.name.startswith("starter_") and task.name not in own:
            raise StudyError(f"{study.file}: eval.tasks: no task {task.name!r}{nearest(task.name, own)}")
        if task.sample:
            study.beside(task.sample)
    if study.split.exclude_from_held_out:
        study.beside(study.split.exclude_from_held_out)


def _control(study: Study) -> None:
    """The positive control is this study, or one that has parameters, a run or published tables."""
    name = study.analysis.control
    found = (
        study.file.with_name(f"{name}.yaml"),
        places.PARAMETERS / f"{name}.yaml",
        study.folder.parent / str(name),
        places.FIGURES / str(name),
    )
    if name not in (None, study.name) and not any(place.exists() for place in found):
        known = sorted(path.stem for path in places.PARAMETERS.glob("*.yaml"))
        raise StudyError(f"{study.file}: analysis.control: {name!r} is no study{nearest(name, known)}")
