"""One question of a benchmark, a document: its question, its options, the right one, and the same with its options rotated.

Data sets have different columns, which are read here and nowhere else. Task files name the functions that print a document (`doc_to_text`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from helpers.questions.text import LETTERS, question_id
from helpers.study.errors import StudyError

Document = dict[str, Any]
COLUMNS = {  # data sets with one column per option, and the column that names the right one
    ("A", "B", "C", "D"): "Answer",  # CMMLU
    ("opa", "opb", "opc", "opd"): "cop",  # MedMCQA
    ("ending0", "ending1", "ending2", "ending3"): "label",  # MedQA as the harness has it
}
REPEATED = "\nAnswer Choices:"  # MedXpertQA repeats its options at the end of every question


def question_text(doc: Document) -> str:
    """The bare question: no options, no passage. Raises StudyError for a document that has none."""
    for column in ("sent1", "QUESTION", "Question", "question"):
        if isinstance(doc.get(column), str):
            return doc[column].split(REPEATED)[0].strip()
    raise StudyError(f"a document without a question; its columns are {', '.join(doc)}")


def key(doc: Document) -> str:
    """The question_id of a document."""
    return question_id(question_text(doc))


def options_of(doc: Document) -> list[str] | None:
    """The options in order; None for a document that is no lettered choice (a number, yes/no/maybe).

    >>> options_of({"options": {"A": "left", "B": "right", "C": None}})
    ['left', 'right']
    """
    options = doc.get("choices", doc.get("options"))
    if isinstance(options, dict):
        return [options[letter] for letter in _given(options)] or None
    if isinstance(options, list | tuple):
        return list(options) or None
    columns = next((names for names in COLUMNS if all(name in doc for name in names)), ())
    return [doc[name] for name in columns] or None


def _given(options: dict[str, str | None]) -> list[str]:
    """Letters that have an option: `datasets` fills the rows of a column of mappings up with nulls to the same letters."""
    return [letter for letter in sorted(options) if options[letter] is not None]


def _answer_column(doc: Document) -> str:
    if isinstance(doc.get("options"), dict):
        return "answer_idx" if "answer_idx" in doc else "label"
    return next((column for names, column in COLUMNS.items() if all(name in doc for name in names)), "answer")


def answer_of(doc: Document) -> int | None:
    """Position of the right option, from 0; None where `options_of` is None. Raises StudyError if it names no option."""
    options = options_of(doc)
    if options is None:
        return None
    value = doc.get(_answer_column(doc))
    letters = _given(doc["options"]) if isinstance(doc.get("options"), dict) else LETTERS[: len(options)]
    position = letters.index(value) if isinstance(value, str) and value in list(letters) else value
    if not isinstance(position, int | np.integer) or not 0 <= position < len(options):
        raise StudyError(f"{question_text(doc)[:60]!r}: answer {value!r} names none of its {len(options)} options")
    return int(position)


def letters_of(doc: Document) -> list[str]:
    """As many letters as the document has options (`doc_to_choice` of a task)."""
    return list(LETTERS[: len(options_of(doc) or [])])


def rotate(doc: Document, by: int) -> Document:
    """A copy with options moved on by `by` places, the last ones to the front; the right answer moves along.

    An option that speaks of its place ("both A and B") does not, so a few items change their meaning.
    Raises StudyError for a document that is no lettered choice, or whose prompt is already filled in.

    >>> rotate({"question": "?", "choices": ["a", "b", "c"], "answer": 2}, 1)
    {'question': '?', 'choices': ['c', 'a', 'b'], 'answer': 0}
    """
    options, answer = options_of(doc), answer_of(doc)
    if options is None or "prompt" in doc:
        why = (
            "its prompt is filled in already (reasoning mode)" if "prompt" in doc else "it is no choice between lettered options"
        )
        raise StudyError(f"{question_text(doc)[:60]!r}: options cannot be rotated: {why}")
    by %= len(options)
    moved, position = options[len(options) - by :] + options[: len(options) - by], (answer + by) % len(options)
    column = _answer_column(doc)
    if isinstance(doc.get("options"), dict):
        letters = _given(doc["options"])
        return doc | {"options": doc["options"] | dict(zip(letters, moved, strict=True)), column: letters[position]}
    names = next((names for names in COLUMNS if all(name in doc for name in names)), ())
    changed = dict(zip(names, moved, strict=True)) if names else {"choices" if "choices" in doc else "options": moved}
    changed |= {key: position for key in ("answer_index", "target") if key in doc}  # MMLU-Pro and the starter set name it twice
    return doc | changed | {column: LETTERS[position] if isinstance(doc[column], str) else position}


def lettered(doc: Document) -> str:
    """Question, options with their letters, "Answer:"; the form of the harness's `medqa_4options`."""
    rows = [f"{letter}. {option.strip()}" for letter, option in zip(letters_of(doc), options_of(doc), strict=True)]
    return "\n".join([f"Question: {question_text(doc)}", *rows, "Answer:"])


def mmlu_pro_text(doc: Document) -> str:
    """The prompt of the harness's `mmlu_pro`, without the words that open the reasoning."""
    from lm_eval.tasks.mmlu_pro.utils import doc_to_text

    return doc_to_text(doc).removesuffix(" Let's think step by step.")
