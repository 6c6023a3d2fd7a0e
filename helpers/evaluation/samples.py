"""A fixed sample of a benchmark that is too large to be scored whole (drawn by `parameters/samples/draw.py`)."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from helpers.study.errors import StudyError

SAMPLE = ("benchmark", "doc_id", "question_id")


def read_sample(path: Path) -> dict[str, pd.DataFrame]:
    """doc_id and question_id of the items in a sample file, by benchmark and doc_id. Raises StudyError for a file that is missing, lacks a
    column, is empty, or names an item twice."""
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except FileNotFoundError:
        raise StudyError(f"{path}: no such sample; it should be a CSV with the columns {', '.join(SAMPLE)}") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise StudyError(f"{path}: cannot be read as CSV ({str(error).strip()})") from None
    if lacking := [name for name in SAMPLE if name not in table]:
        raise StudyError(f"{path}: column {lacking[0]!r} is missing; a sample has {', '.join(SAMPLE)}")
    if table.empty:
        raise StudyError(f"{path}: the sample is empty; it needs at least one item")
    for line, value in enumerate(table["doc_id"], 2):
        if not value.isdecimal():
            raise StudyError(f"{path}: line {line}: doc_id {value!r} should be a position, a whole number from 0")
    table["doc_id"] = table["doc_id"].astype(int)
    if (twice := table.duplicated(["benchmark", "doc_id"])).any():
        first = table[twice].iloc[0]
        raise StudyError(f"{path}: {first['benchmark']} doc_id {first['doc_id']} occurs twice; keep one")
    parts = table.sort_values("doc_id").groupby("benchmark")
    return {str(name): part[["doc_id", "question_id"]].reset_index(drop=True) for name, part in parts}
