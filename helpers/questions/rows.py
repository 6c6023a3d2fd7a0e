"""Rows of a file of questions: JSONL, JSON, CSV, TSV or Parquet. What the columns mean is read in `forms.py`."""

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from helpers.study.errors import StudyError

Row = dict[str, Any]


def read(path: Path) -> list[Row]:
    """The rows of a file, by its suffix. Raises StudyError with the line that is broken."""
    suffix, content = path.suffix.lower(), path.read_bytes()
    begin = content[:200].lstrip().lower()  # of what a download often leaves in place of the data
    if begin.startswith(b"version https://git-lfs"):
        raise StudyError(f"{path}: is a pointer of Git LFS, not the data; fetch the file with `git lfs pull`")
    if begin.startswith((b"<!doctype html", b"<html")):
        raise StudyError(f"{path}: is a web page, not data; download the file itself")
    if suffix == ".parquet":
        return _parquet(content, path)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise StudyError(f"{path}: is not UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8") from None
    if suffix in (".csv", ".tsv"):
        return list(_csv(text, path))
    if suffix == ".json" and (rows := _json(text, path)) is not None:
        return rows
    return list(_jsonl(text, path))


def _parquet(content: bytes, path: Path) -> list[Row]:
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.ParquetFile(pyarrow.BufferReader(content)).read()
        rows = table.to_pylist()
    except Exception as error:
        raise StudyError(f"{path}: cannot be read as Parquet ({' '.join(str(error).split())})") from None
    _check_names(table.column_names, str(path))
    return rows


def _check_names(names: Sequence[str], where: str) -> None:
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise StudyError(f"{where} names the column {twice[0]!r} twice; rename one")


def _csv(text: str, path: Path) -> Iterator[Row]:
    """Rows of a table with a header, between commas, semicolons or tabs, whichever its header has most of. Every value is a text.

    The csv module, not pandas, which makes options such as "None" and "NA" missing and drops the last values of rows that are too long.
    """
    header = text.lstrip().split("\n", 1)[0]
    separator = max(",;\t", key=header.count)
    reader = csv.DictReader(text.splitlines(keepends=True), delimiter=separator, strict=True)
    try:
        names = reader.fieldnames or []
        _check_names(names, f"{path}: line 1")
        for row in reader:
            if None in row:
                raise StudyError(
                    f"{path}: line {reader.line_num} has more values than the {len(names)} columns of line 1; "
                    'a text with separators stands in quotes ("…")'
                )
            if any(row.values()):  # spreadsheets leave empty rows at the end
                yield row
    except csv.Error as error:
        raise StudyError(f"{path}: not valid CSV after line {reader.line_num} ({error})") from None


def _json(text: str, path: Path) -> list[Row] | None:
    """The rows of one JSON value: a list, a list under one name, objects by their id, or columns as `DataFrame.to_json` writes them.
    None if the file has one object, or one on each line."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data" and text.lstrip().startswith("{"):
            return None
        raise StudyError(f"{path}: line {error.lineno} is not valid JSON ({error.msg})") from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, thousands of brackets
        raise StudyError(f"{path}: cannot be read as JSON ({error})") from None
    if isinstance(value, dict):
        parts, mappings = list(value.values()), all(isinstance(part, dict) for part in value.values())
        if mappings and {"question", "problem"} & {name.lower() for name in value}:
            value = pd.DataFrame(value).to_dict("records")
        elif mappings:
            value = [{"id": key} | row for key, row in value.items()]
        elif len(parts) == 1 and isinstance(parts[0], list):
            (value,) = parts
        else:
            return None
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise StudyError(f"{path}: should be a list of JSON objects with question, options and answer")
    _check_text(value, str(path))
    return value


def _jsonl(text: str, path: Path) -> Iterator[Row]:
    for place, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        row = from_json(line, f"{path}: line {place}")
        if not isinstance(row, dict):
            raise StudyError(f"{path}: line {place} should be a JSON object with question, options and answer")
        _check_text(row, f"{path}: line {place}")
        yield row


def from_json(line: str, where: str) -> Any:
    """The value of one line. Raises StudyError, which begins with `where`, if it is not valid JSON."""
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        raise StudyError(f"{where} is not valid JSON ({error.msg})") from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, thousands of brackets
        raise StudyError(f"{where} cannot be read as JSON ({error})") from None


def _check_text(value: Any, where: str) -> None:
    """Raise StudyError for a text that no file can hold."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise StudyError(f"{where} has half a surrogate pair (\\ud800 to \\udfff), which no text can hold") from None
