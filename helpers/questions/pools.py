"""Pools: tables of questions to choose from.

A pool has the columns question_id, question, options (a list), answer (a letter) and topic. A question that asks for a number has an
empty list of options, and its answer is the number as text. A pool comes from the starter set (`starter:medicine_pool`), from your own
JSONL or Parquet file, or from a data set of the hub or in `OFFLINE_MIRROR`. `helpers/questions/forms.py` says which columns are understood.
"""

from __future__ import annotations

import functools
import json
import os
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from helpers.questions.forms import convert
from helpers.questions.text import question_id
from helpers.study.errors import StudyError
from helpers.study.files import cache_of, read_note, sha256
from helpers.study.places import STARTER, pool_file

if TYPE_CHECKING:
    from datasets import Dataset

    from helpers.study.schema import Pool
    from helpers.study.study import Study

REFUSED_SHARE = 0.01  # of a data set of the hub: if more questions are refused, its form was not understood

# Number of training questions of data sets that circulate in partial copies, by config. MedQA: arXiv 2009.13081, table 2;
# GSM8K: arXiv 2110.14168, section 2.
TRAINING_QUESTIONS = {
    "GBaker/MedQA-USMLE-4-options": {None: 10_178, "default": 10_178},
    "bigbio/med_qa": {
        "med_qa_en_source": 10_178,
        "med_qa_en_4options_source": 10_178,
        "med_qa_zh_source": 27_400,
        "med_qa_zh_4options_source": 27_400,
        "med_qa_tw_source": 11_298,
    },
    "openai/gsm8k": {None: 7_473, "main": 7_473, "socratic": 7_473},
}


class _Loaded(NamedTuple):
    """A pool as it was read, and where from."""

    table: pd.DataFrame
    facts: dict[str, Any]


def study_pool(study: Study) -> pd.DataFrame:
    """The pool of a study as `load_pool` returns it. Raises StudyError if it cannot be read or has too few questions for an arm."""
    try:
        pool = load_pool(study.pool, study.file)
        for name, arm in study.arms.items():
            if arm.wanted + study.split.held_out > len(pool):
                held = f" and {study.split.held_out} held out" if study.split.held_out else ""
                raise StudyError(
                    f"arms.{name}: {arm.wanted} questions wanted{held}, the pool {study.pool.source!r} has {len(pool)}"
                )
    except StudyError as error:
        raise StudyError(f"{study.file}: {error}") from None
    return pool


def load_pool(pool: Pool, study_file: Path | None = None) -> pd.DataFrame:
    """The questions of a pool, one row each: question_id, id, question, options, answer, topic, …

    Raises StudyError for a pool that is missing or empty, mixes questions with and without options, or has a broken or repeated
    question. In a data set of the hub, later copies of a question and a few broken questions (at most REFUSED_SHARE of all) are
    left out; `pool_facts` counts both.
    """
    return _loaded(pool, study_file).table.copy()


def pool_facts(pool: Pool, study_file: Path | None = None) -> dict[str, Any]:
    """What was loaded: source, config, split, from, rows, duplicates, refused, and first_refusal if a question was refused.

    from: "starter set", "file", "offline mirror" or "hub". For the hub, revision is the commit that was read; for all others, sha256
    has the hash of each file by its name (in a mirror: its path in the folder of the data set).
    """
    return dict(_loaded(pool, study_file).facts)


def pool_remarks(facts: dict[str, Any]) -> list[str]:
    """Sentences to show beside every result of a pool with these `pool_facts`: what part of a data set it is, what was left out."""
    name = facts["source"] + (f" ({facts['config']})" if facts["config"] else "")
    training = facts["split"].split("[")[0] == "train"  # also a part of it, such as train[:500]
    whole = TRAINING_QUESTIONS.get(facts["source"], {}).get(facts["config"]) if training else None
    read = facts["rows"] + facts["duplicates"] + facts["refused"]
    remarks = []
    if whole and read < whole:
        remarks.append(
            f"The pool has {read:,} of the {whole:,} training questions of {name} (from the {facts['from']}, split "
            f"{facts['split']}); they are no random sample of them, unless the notes on that copy say so."
        )
    if facts["duplicates"]:
        remarks.append(f"Questions of {name} left out because they repeat an earlier one: {facts['duplicates']}.")
    if facts["refused"]:
        remarks.append(f"Questions of {name} left out because they are broken: {facts['refused']}; {facts['first_refusal']}.")
    return remarks


def recorded_remarks(folder: Path) -> list[str]:
    """The `pool_remarks` of the pool that a study was run with, as the splits in its folder recorded it.

    The pool that this machine has may be another copy of the data set.
    """
    notes = [read_note(path) for path in sorted(folder.glob("split/**/train.json"))]
    return list(dict.fromkeys(line for note in notes if "pool" in note for line in pool_remarks(note["pool"])))


def load_starter(name: str) -> pd.DataFrame:
    """One file of the starter set with all its columns, and question_id."""
    rows = _rows(STARTER / f"{name}.jsonl")
    return pd.DataFrame([{"question_id": question_id(row["question"])} | row for row in rows])


def _loaded(pool: Pool, study_file: Path | None) -> _Loaded:
    """A pool and its facts; a process reads each pool once."""
    path = pool_file(pool, study_file)
    if path is not None:
        return _from_file(path, sha256(path), pool.source)
    return _from_hub(pool.source, pool.config, pool.split, pool.revision, os.environ.get("OFFLINE_MIRROR", ""))


@functools.lru_cache(maxsize=8)
def _from_file(path: Path, content: str, source: str) -> _Loaded:
    """A pool from a file; `content` is its hash, so that a changed file is read again."""
    facts = {"source": source, "config": None, "split": "train"}
    facts |= {"from": "starter set" if source.startswith("starter:") else "file", "sha256": {path.name: content}}
    return _checked(_rows(path), str(path), facts)


@functools.lru_cache(maxsize=8)
def _from_hub(source: str, config: str | None, split: str, revision: str | None, mirror: str) -> _Loaded:
    """A pool from OFFLINE_MIRROR if that has a folder of the data set (in whatever revision was copied), else from the hub."""
    dataset, facts = hub_data(source, config, split, revision, mirror, "pool")
    return _checked(dataset.to_list(), source, facts)


def hub_data(
    source: str, config: str | None, split: str, revision: str | None, mirror: str, key: str
) -> tuple[Dataset, dict[str, Any]]:
    """(a split of a data set, its facts as in `pool_facts` without counts), from OFFLINE_MIRROR if that has it, else from the hub.

    key: of the parameter that names the data set, for errors. Raises StudyError if it cannot be read or has another revision.
    """
    import datasets

    folder = Path(mirror) / source
    mirrored = bool(mirror) and folder.is_dir()
    where = f"{key}: {source} (config {config}, split {split})"
    try:
        builder = datasets.load_dataset_builder(
            str(folder) if mirrored else source,
            config,
            revision=None if mirrored else revision,
            cache_dir=cache_of(folder) if mirrored else None,
        )
        builder.download_and_prepare()
        dataset = builder.as_dataset(split=split)
    except Exception as error:
        reason = _reason(error)
        if mirrored:
            raise StudyError(f"{where}: cannot be read from the folder of the offline mirror {folder}: {reason}") from None
        tried = f"OFFLINE_MIRROR={mirror} and the hub" if mirror else "the hub (OFFLINE_MIRROR is not set)"
        raise StudyError(f"{where}: neither a starter set nor a file, and cannot be read from {tried}: {reason}") from None
    read = builder.config.data_files or {}
    files = [str(file) for file in read.get(split) or [file for part in read.values() for file in part]]
    facts: dict[str, Any] = {"source": source, "config": config, "split": split}
    if mirrored:
        hashes = {file.split(f"/{source}/")[-1]: sha256(Path(file)) for file in files}
        return dataset, facts | {"from": "offline mirror", "sha256": hashes}
    found = re.search("@([0-9a-f]{40})/", files[0] if files else f"@{builder.hash}/")  # no files: from the cache of `datasets`
    commit = found.group(1) if found else revision
    if re.fullmatch("[0-9a-f]{40}", revision or "") and commit != revision:  # without a network, `datasets` takes what it has
        raise StudyError(f"{where}: revision {revision} wanted, the copy at hand is {commit}; load it once with a network")
    return dataset, facts | {"from": "hub", "revision": commit}


def _reason(error: Exception) -> str:
    """An error of `datasets` in one line, with advice where the error has none."""
    cause = f" ({error.__cause__})" if error.__cause__ else ""
    text = " ".join(f"{str(error).split('Example of usage')[0].strip() or type(error).__name__}{cause}".split())
    if "scripts are no longer supported" in text:
        text += "; fetch its Parquet file (branch refs/convert/parquet) and name that file as the pool"
    return text


def _rows(path: Path) -> list[dict[str, Any]]:
    """Rows of a JSONL or Parquet file. Raises StudyError with the line that is broken."""
    if path.suffix == ".parquet":
        import pyarrow.parquet

        try:
            return pyarrow.parquet.ParquetFile(path).read().to_pylist()
        except Exception as error:
            raise StudyError(f"{path}: cannot be read as Parquet ({' '.join(str(error).split())})") from None
    rows = []
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise StudyError(f"{path}: is not UTF-8 text ({error.reason} at byte {error.start})") from None
    for place, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            rows.append(json.loads(line))
            json.dumps(rows[-1], ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise StudyError(
                f"{path}: line {place} has half a surrogate pair (\\ud800 to \\udfff), which no text can hold"
            ) from None
        except json.JSONDecodeError as error:
            raise StudyError(f"{path}: line {place} is not valid JSON ({error.msg})") from None
        if not isinstance(rows[-1], dict):
            raise StudyError(f"{path}: line {place} should be a JSON object with question, options and answer")
    return rows


def _checked(rows: list[dict[str, Any]], where: str, facts: dict[str, Any]) -> _Loaded:
    """The rows as questions, each checked, and `facts` with their counts. Copies and broken questions of a file are errors."""
    own = facts["from"] in ("starter set", "file")  # its reader can correct it
    questions: list[dict[str, Any]] = []
    first_place: dict[str, int] = {}  # by stem and options
    refusals: list[str] = []
    for place, row in enumerate(rows, 1):
        try:
            question = convert(row, f"{where}: question {place}")
        except StudyError as error:
            refusals.append(str(error))
            if own or len(refusals) > REFUSED_SHARE * len(rows):
                raise StudyError(refusals[0]) from None
            continue
        other = first_place.setdefault(question_id(question["question"], question["options"]), place)
        if other == place:
            questions.append(question)
        elif own:
            raise StudyError(f"{where}: question {place} is the same as question {other}; keep one")
    if not questions:
        raise StudyError(f"{where}: the pool is empty; it needs questions with question, options and answer")
    if len({bool(question["options"]) for question in questions}) > 1:
        raise StudyError(f"{where}: some questions have options, others ask for a number; make them two pools")
    duplicates = len(rows) - len(refusals) - len(questions)
    facts = facts | {"rows": len(questions), "duplicates": duplicates, "refused": len(refusals)}
    return _Loaded(pd.DataFrame(_identified(questions)), facts | ({"first_refusal": refusals[0]} if refusals else {}))


def _identified(questions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Questions with distinct ids: where several have one stem ("Which of these is true?"), their options are part of the id."""
    stems = Counter(question["question_id"] for question in questions)
    for question in questions:
        if stems[question["question_id"]] > 1:
            question["question_id"] = question_id(question["question"], question["options"])
        question["id"] = question["id"] or question["question_id"]
    return questions
