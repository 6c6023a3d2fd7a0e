"""Pools: tables of questions to choose from.

A pool has the columns question_id, question, options (a list), answer (a letter) and topic. A question that asks for a number has an
empty list of options, and its answer is the number as text. A pool comes from the starter set (`starter:medicine_pool`), from your own
file (`rows.py`) or folder, or from a data set of the hub or in `OFFLINE_MIRROR`. `forms.py` recognises its columns.
"""

import functools
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd

from helpers.questions import hub, rotation
from helpers.questions import rows as files
from helpers.questions.forms import FormulaError, recognise
from helpers.questions.text import LETTERS, question_id
from helpers.study.errors import StudyError
from helpers.study.files import cache_of, read_note, sha256
from helpers.study.places import STARTER, pool_file
from helpers.study.schema import Pool
from helpers.study.study import Study

REFUSED_SHARE = 0.01  # of a pool: if more questions are broken, they are to be corrected, or their form was not understood

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
    "openlifescienceai/medmcqa": {None: 182_822, "default": 182_822},
}


def study_pool(study: Study) -> pd.DataFrame:
    """The pool of a study as `load_pool` returns it. Raises StudyError if it cannot be read or has too few questions for an arm."""
    try:
        pool = load_pool(study.pool, study.file)
        away = 0 if study.split.held_out_from else study.split.held_out
        for name, arm in study.arms.items():
            if arm.wanted + away > len(pool):
                held = f" and {away} held out" if away else ""
                raise StudyError(
                    f"arms.{name}: {arm.wanted} questions wanted{held}, the pool {study.pool.source!r} has {len(pool)}"
                )
        if any(study.training(arm).rotate_options for arm in study.arms):
            rotation.check(pool)
    except StudyError as error:
        raise StudyError(f"{study.file}: {error}") from None
    return pool


def load_pool(pool: Pool, study_file: Path | None = None) -> pd.DataFrame:
    """The questions of a pool, one row each: question_id, id, question, options, answer, topic, …

    Raises StudyError for a pool that is missing or empty, is of an unknown form, mixes questions with and without options, or has a
    broken question among fewer than 100. Later copies of a question, questions whose answer is a formula, and a few broken questions
    (at most REFUSED_SHARE of all) are left out; `pool_facts` counts them.
    """
    return _loaded(pool, study_file)[0].copy()


def pool_facts(pool: Pool, study_file: Path | None = None) -> dict[str, Any]:
    """What was loaded: source, config, split, from, form, rows, duplicates, refused, and first_refusal if a question was refused.

    from: "starter set", "file", "folder", "offline mirror" or "hub". For the hub, revision is the commit that was read; for all others,
    sha256 has the hash of each file by its name (in a folder: its path there). form: what was recognised. formulas: questions without
    options that are left out because their answer is no number, if there are any.
    """
    return dict(_loaded(pool, study_file)[1])


def recognised(facts: dict[str, Any]) -> str:
    """What was recognised, in one line: "mine.csv: 400 questions, options from columns A–D, answers by text"."""
    reasons = {"duplicates": "repeats", "refused": "broken", "formulas": "with a formula as answer"}
    left_out = [f"{facts[key]} {reason}" for key, reason in reasons.items() if facts.get(key)]
    name = facts["source"] if facts["from"] in ("hub", "offline mirror") else Path(facts["source"]).name
    first = f" ({facts['first_refusal'].split(': ', 1)[-1]})" if "first_refusal" in facts else ""
    without = f"; left out: {', '.join(left_out)}{first}" if left_out else ""
    return f"{name}: {facts['rows']} questions, {facts['form']}{without}"


def pool_remarks(facts: dict[str, Any]) -> list[str]:
    """Sentences to show beside every result of a pool with these `pool_facts`: what part of a data set it is, what was left out."""
    name = facts["source"] + (f" ({facts['config']})" if facts["config"] else "")
    training = facts["split"].split("[")[0] == "train"  # also a part of it, such as train[:500]
    whole = TRAINING_QUESTIONS.get(facts["source"], {}).get(facts["config"]) if training else None
    read = facts["rows"] + facts["duplicates"] + facts["refused"] + facts.get("formulas", 0)
    remarks = []
    if whole and read < whole:
        remarks.append(
            f"The pool has {read:,} of the {whole:,} training questions of {name} (from the {facts['from']}, split "
            f"{facts['split']}). How this subset was selected is not recorded; it may not be a random sample."
        )
    if facts["duplicates"]:
        remarks.append(f"Questions of {name} excluded because they repeat an earlier one: {facts['duplicates']}.")
    if facts["refused"]:
        remarks.append(f"Malformed questions of {name} excluded: {facts['refused']} (the first: {facts['first_refusal']}).")
    if facts.get("formulas"):
        remarks.append(
            f"Questions of {name} excluded because their answer is a formula, which cannot be graded: {facts['formulas']}."
        )
    return remarks


def recorded_remarks(folder: Path) -> list[str]:
    """The `pool_remarks` of the pool that a study was run with, by the notes of its splits: this machine may have another copy."""
    notes = [read_note(path) for path in sorted(folder.glob("split/**/train.json"))]
    return list(dict.fromkeys(line for note in notes if "pool" in note for line in pool_remarks(note["pool"])))


def load_starter(name: str) -> pd.DataFrame:
    """One file of the starter set with all its columns, and question_id."""
    rows = files.read(STARTER / f"{name}.jsonl")
    return pd.DataFrame([{"question_id": question_id(row["question"])} | row for row in rows])


def _loaded(pool: Pool, study_file: Path | None) -> tuple[pd.DataFrame, dict[str, Any]]:
    """A pool and its facts; a process reads each pool once, and again if its files change."""
    path, mirror = pool_file(pool, study_file), os.environ.get("OFFLINE_MIRROR", "")
    folder = path or (Path(mirror) / pool.source if mirror else None)
    is_file = path is not None and path.is_file()
    content = sha256(path) if is_file else cache_of(folder) if folder and folder.is_dir() else ""
    return _read(pool.model_dump_json(), path, mirror, content)


@functools.lru_cache(maxsize=8)
def _read(key: str, path: Path | None, mirror: str, content: str) -> tuple[pd.DataFrame, dict[str, Any]]:
    """A pool from a file or folder of one's own, else from the mirror or the hub. key: the pool as JSON. content: changes with the files."""
    pool = Pool.model_validate_json(key)
    if path is None or path.is_dir():
        dataset, facts = hub.read(pool.source, pool.config, pool.split, pool.revision, mirror, "pool", path)
        return _checked(dataset.to_list(), pool, pool.source, facts)
    kind = "starter set" if pool.source.startswith("starter:") else "file"
    facts = {"source": pool.source, "config": None, "split": "train", "from": kind, "sha256": {path.name: content}}
    return _checked(files.read(path), pool, str(path), facts)


def _checked(rows: list[dict[str, Any]], pool: Pool, where: str, facts: dict[str, Any]) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The rows as questions, each checked, and `facts` with their counts."""
    if not rows:
        raise StudyError(f"{where}: the pool is empty; it needs questions with question, options and answer")
    form = recognise(rows, pool, where)
    questions: dict[str, dict[str, Any]] = {}  # by stem and options
    refusals: list[str] = []
    formulas = duplicates = 0
    for place, row in enumerate(rows, 1):
        try:
            question = form.question(row, f"{where}: question {place}") | {"place": place}
            first = questions.setdefault(question_id(question["question"], question["options"]), question)
            if _right(first) != _right(question):
                raise StudyError(f"{where}: question {place} is question {first['place']} with another answer; correct one")
            duplicates += first is not question
        except FormulaError:
            formulas += 1
        except StudyError as error:
            refusals.append(str(error))
    if len(refusals) > REFUSED_SHARE * len(rows):
        raise StudyError(refusals[0] + (f" (and {len(refusals) - 1} more such questions)" if len(refusals) > 1 else ""))
    if not questions:
        raise StudyError(
            f"{where}: the answers of all {len(rows)} questions are formulas; only numbers and options can be graded"
        )
    if len({bool(question["options"]) for question in questions.values()}) > 1:
        raise StudyError(f"{where}: some questions have options, others ask for a number; make them two pools")
    facts = facts | {"form": form.words, "rows": len(questions), "duplicates": duplicates, "refused": len(refusals)}
    facts |= ({"formulas": formulas} if formulas else {}) | ({"first_refusal": refusals[0]} if refusals else {})
    return pd.DataFrame(_identified(list(questions.values()))).drop(columns="place"), facts


def _right(question: dict[str, Any]) -> str:
    """The right answer: the text of an option, whatever its letter, or a number."""
    options = question["options"]
    return " ".join(options[LETTERS.index(question["answer"])].split()).casefold() if options else question["answer"]


def _identified(questions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Questions with distinct ids: where several have one stem ("Which of these is true?"), their options are part of the id."""
    stems = Counter(question["question_id"] for question in questions)
    for question in questions:
        if stems[question["question_id"]] > 1:
            question["question_id"] = question_id(question["question"], question["options"])
        question["id"] = question["id"] or question["question_id"]
    return questions
