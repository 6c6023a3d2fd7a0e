"""What counts as a right answer: `process_results` of the tasks in which the model writes."""

from __future__ import annotations

import re

from helpers.evaluation.documents import Document
from helpers.questions import prompts


def reasoning_result(doc: Document, results: list[str]) -> dict[str, float]:
    """Right if the letter (or number) in `<answer>` is."""
    reading = prompts.read_answer(doc["prefill"] + results[0], doc["options"])
    return {"acc": float(reading.predicted == doc["answer"])}


def same_number(doc: Document, results: list[str]) -> dict[str, float]:
    """Right if the text that a filter extracted is the same number as the answer."""
    return {"exact_match": float(_number(results[0]) == float(doc["answer"]))}


def _number(text: str) -> float | None:
    try:
        return float(re.sub(r"[,$]", "", text).rstrip("."))
    except ValueError:
        return None
