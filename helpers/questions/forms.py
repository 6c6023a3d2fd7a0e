"""A row of somebody's data set as a question of the study.

The form of a row is recognised by its columns:

| form | columns |
| --- | --- |
| your own, `GBaker/MedQA-USMLE-4-options`, `bigbio/med_qa` | question, options, answer or answer_idx (a letter) |
| `cais/mmlu` | question, choices, answer (an index, counted from 0) |
| `openai/gsm8k`, your own | question, answer (a number, or a solution that ends in "#### number") |
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from helpers.questions.text import LETTERS, number, question_id
from helpers.study.errors import StudyError


def convert(row: dict[str, Any], where: str) -> dict[str, Any]:
    """A row as question_id, id, question, options, answer, topic, …; null and NaN are missing. Raises StudyError if it is broken.

    where: begins the error line.
    """
    row = _given(row.items())
    text = row.get("question")
    if not isinstance(text, str) or not text.strip():
        raise StudyError(
            f"{where}: 'question' should be a text, it is {_shown(text)}; the columns are {', '.join(row) or 'empty'}"
        )
    options, answer = _form(row)(row, where)
    known = {"question_id": question_id(text), "id": str(row.get("id", ""))}
    topic = row.get("topic", row.get("meta_info", row.get("subject", "")))
    extra = {key: row[key] for key in ("step", "depth", "rationale") if key in row}
    return known | {"question": text, "options": options, "answer": answer, "topic": str(topic)} | extra


def _given(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """The pairs whose value is not missing."""
    return {key: value for key, value in pairs if value is not None and value == value}  # NaN differs from itself


def _form(row: dict[str, Any]) -> Callable[[dict[str, Any], str], tuple[list[str], str]]:
    """The converter for a row's columns: it returns options and answer, or raises StudyError."""
    if "choices" in row and "options" not in row:
        return _by_place
    return _by_letter if row.get("options", []) != [] else _by_number


def _by_place(row: dict[str, Any], where: str) -> tuple[list[str], str]:
    """choices: texts. answer: the index of the right one, counted from 0."""
    options, place = _texts(row["choices"], "choices", where), row.get("answer")
    if type(place) is not int or not 0 <= place < len(options):
        raise StudyError(f"{where}: answer should be the index of a choice, 0 to {len(options) - 1}, it is {_shown(place)}")
    return options, LETTERS[place]


def _by_letter(row: dict[str, Any], where: str) -> tuple[list[str], str]:
    """options: a list of texts, or {"A": text, …}, or [{"key": "A", "value": text}, …]. The answer is a letter."""
    options, key = row["options"], "answer_idx" if "answer_idx" in row else "answer"
    if isinstance(options, list) and all(
        isinstance(option, dict) and "value" in option and isinstance(option.get("key"), str) for option in options
    ):
        letters = [option["key"] for option in options]
        options = {option["key"]: option["value"] for option in options} if len(set(letters)) == len(letters) else options
    if isinstance(options, dict):
        by_letter = _given(sorted(options.items()))
        if list(by_letter) != list(LETTERS[: len(by_letter)]):
            raise StudyError(f"{where}: options should go by A, B, C … without a gap, they go by {', '.join(by_letter)}")
        options = [str(text) for text in by_letter.values()]
    options, answer = _texts(options, "options", where), row.get(key)
    if not isinstance(answer, str) or not answer.strip():
        raise StudyError(f"{where}: {key!r} should be a text, it is {_shown(answer)}; the columns are {', '.join(row)}")
    if answer not in LETTERS[: len(options)] or len(answer) != 1:
        raise StudyError(f"{where}: answer {_shown(answer)} names none of the options {'/'.join(LETTERS[: len(options)])}")
    return options, answer


def _by_number(row: dict[str, Any], where: str) -> tuple[list[str], str]:
    """Without options: the answer is a number, or ends in "#### number" as in GSM8K."""
    answer = row.get("answer")
    found = number(str(answer).rsplit("####", 1)[-1])
    if found is None:
        end = answer[-40:] if isinstance(answer, str) else answer
        raise StudyError(
            f"{where}: 'options' should be a list of texts, it is {_shown(row.get('options'))}; "
            f"without options 'answer' should be a number, it is {_shown(end)}"
        )
    return [], found


def _texts(options: Any, key: str, where: str) -> list[str]:
    """The options, if they are 2 to 10 different texts."""
    if not isinstance(options, list) or not all(isinstance(option, str) and option.strip() for option in options):
        raise StudyError(f"{where}: {key!r} should be a list of texts, it is {_shown(options)}")
    if not 2 <= len(options) <= len(LETTERS) or len(set(options)) < len(options):
        raise StudyError(f"{where}: {key} should be 2 to 10 different texts, they are {_shown(options)}")
    return options


def _shown(value: Any, most: int = 200) -> str:
    """A value for an error line, shortened."""
    text = repr(value)
    return text if len(text) <= most else f"{text[:most]} …"
