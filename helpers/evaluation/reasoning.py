"""Reasoning mode: the study's training prompt, filled in while a task loads, and the reading of what the model writes.

The prompt's settings and the model come with the task manager's metadata.
"""

from __future__ import annotations

import ast
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Any

import datasets

from helpers.evaluation.documents import Document, answer_of, options_of, question_text
from helpers.evaluation.mirror import load, mirrored
from helpers.evaluation.sources import starter_documents
from helpers.questions import prompts
from helpers.questions.text import LETTERS, number
from helpers.study.errors import StudyError
from helpers.study.schema_eval import MMLU_MEDICAL as MEDICAL_SUBJECTS

if TYPE_CHECKING:
    from collections.abc import Iterable


def reasoning_set(name: str, prompt: dict[str, Any], model: str | None, **_: Any) -> dict[str, datasets.Dataset]:
    """Starter questions with the study's training prompt, rendered for `model`'s tokenizer."""
    return _rendered(starter_documents(name, None), prompt, model)


def medqa_reasoning(prompt: dict[str, Any], model: str | None, **_: Any) -> dict[str, datasets.Dataset]:
    """MedQA test, item_id as in `medqa_4options`: the position."""
    rows = enumerate(load("GBaker/MedQA-USMLE-4-options", None, "test"))
    return _rendered([_plain(str(n), row, str(row["meta_info"] or "")) for n, row in rows], prompt, model)


def medqa_dev_reasoning(prompt: dict[str, Any], model: str | None, **_: Any) -> dict[str, datasets.Dataset]:
    """MedQA's dev set, item_id: the position. A mirror has it in `bigbio/med_qa`, which on the hub is a script that no longer runs."""
    if mirrored("bigbio/med_qa"):
        rows = [
            row | {"options": {option["key"]: option["value"] for option in row["options"]}}
            for row in load("bigbio/med_qa", "med_qa_en_4options_source", "validation")
        ]
    else:
        rows = list(load("GBaker/MedQA-USMLE-4-options-hf", None, "validation"))
    return _rendered([_plain(str(n), row, row.get("meta_info") or "") for n, row in enumerate(rows)], prompt, model)


def mmlu_reasoning(prompt: dict[str, Any], model: str | None, **_: Any) -> dict[str, datasets.Dataset]:
    """The nine medical subjects of MMLU in turn (one question of each, then the next of each), so that a limit includes all."""
    parts = [
        [_plain(f"{subject}-{n}", row, subject) for n, row in enumerate(load("cais/mmlu", subject, "test"))]
        for subject in MEDICAL_SUBJECTS
    ]
    return _rendered([row for row in chain.from_iterable(zip_longest(*parts)) if row is not None], prompt, model)


def gsm8k_reasoning(prompt: dict[str, Any], model: str | None, **_: Any) -> dict[str, datasets.Dataset]:
    """GSM8K test; the answer is the number after ####."""
    rows = [
        {"item_id": str(n), "question": row["question"], "options": [], "answer": number(row["answer"].split("####")[-1]),
         "subject": ""}
        for n, row in enumerate(load("openai/gsm8k", "main", "test"))
    ]  # fmt: skip
    return _rendered(rows, prompt, model)


def medcalc_bench(prompt: dict[str, Any], model: str | None, **_: Any) -> dict[str, datasets.Dataset]:
    """The numeric part of MedCalc-Bench v1.0's test (arXiv 2406.12036): the values from the patient's note, then the question.

    `low` and `high` are the limits of a right answer. Dates and weeks with days are left out.
    """
    rows = [
        {"item_id": row["Row Number"], "question": f"{_entities(row['Relevant Entities'])}\n\n{row['Question']}", "options": [],
         "answer": answer, "low": float(row["Lower Limit"]), "high": float(row["Upper Limit"]), "subject": row["Calculator Name"]}
        for row in load("ncbi/MedCalc-Bench-v1.0", None, "test")
        if (answer := number(row["Ground Truth Answer"])) is not None
    ]  # fmt: skip
    return _rendered(rows, prompt, model)


def _entities(text: str) -> str:
    """The values of a patient, one a line.

    >>> print(_entities("{'sex': 'Male', 'age': [87, 'years'], 'Stroke history.': False}"))
    Patient:
    - sex: Male
    - age: 87 years
    - Stroke history: no
    """
    words = {True: "yes", False: "no"}
    values = {
        name: " ".join(map(str, value))
        if isinstance(value, list | tuple)
        else words.get(value, value)
        if isinstance(value, bool)
        else value
        for name, value in ast.literal_eval(text).items()
    }
    return "\n".join(["Patient:", *(f"- {name.rstrip('.')}: {value}" for name, value in values.items())])


def held_out_set(
    prompt: dict[str, Any], model: str | None, held_out: Iterable[Document] | None = None, **_: Any
) -> dict[str, datasets.Dataset]:
    """Questions of the pool that no arm trains on. held_out: question_id, question, options, answer and topic of each."""
    rows = [
        {"item_id": row["question_id"], "question": row["question"], "options": list(row["options"]), "answer": row["answer"],
         "subject": str(row.get("topic") or "")}
        for row in held_out or []
    ]  # fmt: skip
    if not rows:
        raise StudyError("pool_held_out: no question is held out; set split.held_out to how many, or leave the task out")
    return _rendered(rows, prompt, model)


def _plain(item_id: str, doc: Document, subject: str) -> Document:
    return {"item_id": item_id, "question": question_text(doc), "options": options_of(doc), "answer": LETTERS[answer_of(doc)],
            "subject": subject}  # fmt: skip


def _rendered(documents: list[Document], prompt: dict[str, Any], model: str | None) -> dict[str, datasets.Dataset]:
    """The documents with their prompts; without a model, for one who only reads the questions, the prompts are left empty."""
    from helpers.models.loading import load_tokenizer
    from helpers.study.schema import Prompt

    settings = Prompt.model_validate(prompt)
    tokenizer = load_tokenizer(model) if model else None
    for row in documents:
        row["prompt"] = prompts.render(row["question"], row["options"], settings, tokenizer) if model else ""
        row["prefill"] = settings.prefill
    return {"test": datasets.Dataset.from_list(documents)}
