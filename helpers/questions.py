"""A question: where it is loaded from, its id, and what makes it a good one.

A pool is a table with the columns question_id, question, options (a list), answer (a letter) and
topic. It comes from the starter set (`starter:medicine_pool`), from a JSONL or Parquet file of
one's own, or from a data set on the hub.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from helpers.files import StudyError

STARTER = Path(__file__).parent / "starter"
LETTERS = "ABCDEFGHIJ"


def question_id(text: str) -> str:
    """The same sixteen hex digits for a question wherever it occurs: case, spaces and punctuation do not count.

    >>> question_id("What is 1 + 1?") == question_id("what is  1 + 1")
    True
    """
    return hashlib.sha256("".join(words(text)).encode()).hexdigest()[:16]


def words(text: str) -> list[str]:
    """Words of a text in lower case; each Chinese character is a word of its own."""
    normal = unicodedata.normalize("NFKC", text).lower()
    return re.findall(r"[\u3400-\u9fff]|[^\W_\u3400-\u9fff]+|[+*/=<>%-]", normal)


def source_file(pool: str, study_file: Path | None = None) -> Path | None:
    """The file a pool is read from; None if it is a data set on the hub.

    A relative path counts from the folder of the study's YAML file, then from the working folder.
    Raises StudyError if a file is named that does not exist.
    """
    if pool.startswith("starter:"):
        name = pool.removeprefix("starter:")
        path = STARTER / f"{name}.jsonl"
        if not path.is_file():
            known = ", ".join(sorted(p.stem for p in STARTER.glob("*.jsonl")))
            raise StudyError(f"pool: no starter set {name!r}; there are: {known}")
        return path
    if Path(pool).suffix not in {".jsonl", ".parquet"}:
        return None
    for folder in ([study_file.parent] if study_file else []) + [Path()]:
        if (folder / pool).is_file():
            return folder / pool
    raise StudyError(f"pool: {pool}: no such file")


def local_size(pool: str, study_file: Path | None = None) -> int | None:
    """Number of questions in a pool that lies on disk, after checking every one; None for a hub data set."""
    path = source_file(pool, study_file)
    return None if path is None else len(_checked(_rows(path), str(path)))


def load_pool(pool: str, study_file: Path | None = None) -> pd.DataFrame:
    """The questions of a pool, one row each: question_id, id, question, options, answer, topic, …

    Raises StudyError for a pool that is missing, empty, or holds a broken or repeated question.
    """
    path = source_file(pool, study_file)
    rows, where = (_rows(path), str(path)) if path else (_hub_rows(pool), pool)
    return pd.DataFrame(_checked(rows, where))


def load_starter(name: str) -> pd.DataFrame:
    """One file of the starter set as it stands, with its question_id (any kind: also arithmetic)."""
    rows = _rows(STARTER / f"{name}.jsonl")
    return pd.DataFrame([{"question_id": question_id(row["question"])} | row for row in rows])


def _rows(path: Path) -> list[dict[str, Any]]:
    """Rows of a JSONL or Parquet file. Raises StudyError with the line that is broken."""
    if path.suffix == ".parquet":
        try:
            return pd.read_parquet(path).to_dict("records")
        except Exception as error:
            raise StudyError(f"{path}: cannot be read as Parquet ({error})") from None
    rows = []
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise StudyError(f"{path}: is not UTF-8 text ({error.reason} at byte {error.start})") from None
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError as error:
            raise StudyError(f"{path}: line {number} is not valid JSON ({error.msg})") from None
        if not isinstance(rows[-1], dict):
            raise StudyError(f"{path}: line {number} should be a JSON object with question, options and answer")
    return rows


def _hub_rows(pool: str) -> Iterable[dict[str, Any]]:
    """Training split of a data set, from OFFLINE_MIRROR if it is there, else from the hub."""
    import datasets

    mirror = os.environ.get("OFFLINE_MIRROR", "")
    source = str(Path(mirror) / pool) if mirror and (Path(mirror) / pool).is_dir() else pool
    try:
        return datasets.load_dataset(source, split="train")
    except Exception as error:
        tried = f"OFFLINE_MIRROR={mirror} and the hub" if mirror else "the hub (OFFLINE_MIRROR is not set)"
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise StudyError(f"pool: {pool}: neither a starter set nor a file, and not had from {tried}: {first}") from None


def _checked(rows: Iterable[dict[str, Any]], where: str) -> list[dict[str, Any]]:
    """Questions in the study's own form, each one checked."""
    done: list[dict[str, Any]] = []
    first_at: dict[str, int] = {}
    for number, row in enumerate(rows, 1):
        question = _one(row, f"{where}: question {number}")
        other = first_at.setdefault(question["question_id"], number)
        if other != number:
            raise StudyError(f"{where}: question {number} is the same as question {other}; keep one")
        done.append(question)
    if not done:
        raise StudyError(f"{where}: the pool is empty; it needs questions with question, options and answer")
    return done


def _one(row: dict[str, Any], where: str) -> dict[str, Any]:
    """One question, checked: options as a list, the answer as a letter that names one of them."""
    answer, options = row.get("answer_idx", row.get("answer")), row.get("options")
    for key, value in (("question", row.get("question")), ("answer", answer)):
        if not isinstance(value, str) or not value.strip():
            raise StudyError(
                f"{where}: {key!r} should be a text, it is {value!r}; each question has question, options and answer"
            )
    if not isinstance(options, list | tuple | dict | np.ndarray):
        raise StudyError(f"{where}: 'options' should be a list of texts, it is {options!r}")
    options = (
        [str(options[key]) for key in sorted(options) if options[key] is not None] if isinstance(options, dict) else list(options)
    )
    if not all(isinstance(option, str) and option.strip() for option in options):
        raise StudyError(f"{where}: 'options' should be a list of texts, it is {options!r}")
    if not 2 <= len(options) <= len(LETTERS) or len(set(options)) < len(options):
        raise StudyError(f"{where}: options should be 2 to 10 different texts, they are {options!r}")
    if answer not in LETTERS[: len(options)] or len(answer) != 1:
        raise StudyError(f"{where}: answer {answer!r} names none of the options {'/'.join(LETTERS[: len(options)])}")
    text = str(row["question"])
    known = {"question_id": question_id(text), "id": str(row.get("id", "")) or question_id(text)}
    extra = {key: row[key] for key in ("step", "depth", "rationale") if key in row}
    return known | {"question": text, "options": options, "answer": answer, "topic": str(row.get("topic") or "")} | extra


def ngrams(text: str, size: int) -> set[tuple[str, ...]]:
    """All runs of `size` words in a text; a shorter text is one run."""
    found = words(text)
    return {tuple(found[start : start + size]) for start in range(max(1, len(found) - size + 1))}


def overlaps(pool: pd.DataFrame, others: pd.DataFrame, size: int, share: float) -> pd.DataFrame:
    """Pool questions that occur in `others` (columns benchmark, question), exactly or nearly.

    Nearly: at least `share` of the shorter text's runs of `size` words also occur in the longer. A
    single shared run is not enough, since phrases such as "which of the following is the most
    likely diagnosis" are runs of eight words themselves.

    Returns one row a pair: question_id, id, benchmark, kind ("exact" or "near"), shared, question, other.
    """
    index: dict[tuple[str, ...], set[int]] = {}
    grams = [ngrams(text, size) for text in others["question"]]
    ids = [question_id(text) for text in others["question"]]
    for position, found in enumerate(grams):
        for gram in found:
            index.setdefault(gram, set()).add(position)
    pairs = []
    for row in pool.itertuples():
        mine = ngrams(row.question, size)
        for position in sorted(set().union(*(index.get(gram, set()) for gram in mine))):
            shared = len(mine & grams[position]) / min(len(mine), len(grams[position]))
            exact = ids[position] == row.question_id
            if exact or shared >= share:
                other = others.iloc[position]
                pairs.append((row.question_id, row.id, other["benchmark"], "exact" if exact else "near", shared,
                              row.question, other["question"]))  # fmt: skip
    return pd.DataFrame(pairs, columns=["question_id", "id", "benchmark", "kind", "shared", "question", "other"])
