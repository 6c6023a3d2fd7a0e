"""Held-out questions: no arm trains on them. They are drawn once per study, before any arm's, and written to split/held_out.parquet."""

import re
from collections.abc import Set
from pathlib import Path

import pandas as pd

from helpers.questions.pools import load_pool
from helpers.selection.draws import order
from helpers.study.errors import StudyError
from helpers.study.files import read_table
from helpers.study.study import Study

FILE = "split/held_out.parquet"


def draw(pool: pd.DataFrame, count: int, seed: int, never: Set[str] = frozenset()) -> pd.DataFrame:
    """The last `count` questions of the pool in its seeded order, without those whose ids are in `never`."""
    allowed = order(pool, seed).loc[lambda rows: ~rows["question_id"].isin(never)]
    if count > len(allowed):
        raise StudyError(f"split.held_out: {count} questions wanted, only {len(allowed)} of the pool are not excluded; lower it")
    return allowed.tail(count).reset_index(drop=True)


def draw_of(study: Study, pool: pd.DataFrame) -> pd.DataFrame:
    """The held-out questions of a study. pool: its pool, from which they come unless the study names another split."""
    if study.split.held_out_from:
        pool = load_pool(study.pool.model_copy(update={"split": study.split.held_out_from}), study.file)
    named = study.split.exclude_from_held_out
    never = excluded_ids(study.beside(named)) if named else frozenset()
    if never and not never & set(pool["question_id"]):
        raise StudyError(f"{study.beside(named)}: none of its ids is a question of the pool {study.pool.source!r}")
    return draw(pool, study.split.held_out, study.split.seed, never)


def excluded_ids(path: Path) -> frozenset[str]:
    """The question ids of a file, one a line; empty lines and what follows a # do not count. Raises StudyError for anything else."""
    ids = []
    for place, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        found = line.split("#")[0].strip()
        if found and not re.fullmatch("[0-9a-f]{16}", found):
            raise StudyError(f"{path}: line {place}: {found!r} is no question id; an id has sixteen digits from 0-9 and a-f")
        ids += [found] if found else []
    return frozenset(ids)


def read(study: Study) -> pd.DataFrame:
    """The held-out questions as they were written. Raises StudyError if they are missing or of other parameters."""
    return read_table(study.path(FILE), "02_split", study.inputs("held_out"))
