"""Rules for a right answer: `process_results` of the tasks in which the model writes."""

from __future__ import annotations

import re

from helpers.evaluation.documents import Document
from helpers.questions.answers import read_answer


def reasoning_result(doc: Document, results: list[str]) -> dict[str, float]:
    """Right if the letter or number in `<answer>` is."""
    reading = read_answer(doc["prefill"] + results[0], doc["options"])
    return {"acc": float(is_right(doc, reading.predicted))}


def is_right(doc: Document, predicted: str | None) -> bool:
    """Whether a letter or number, as read from an answer, is right: a number that has limits may lie anywhere between them."""
    if "low" in doc:
        return predicted is not None and doc["low"] <= float(predicted) <= doc["high"]
    return predicted == doc["answer"]


def same_number(doc: Document, results: list[str]) -> dict[str, float]:
    """Right if the text that a filter extracted is the same number as the answer."""
    return {"exact_match": float(_number(results[0]) == float(doc["answer"]))}


def _number(text: str) -> float | None:
    try:
        return float(re.sub(r"[,$]", "", text).rstrip("."))
    except ValueError:
        return None
