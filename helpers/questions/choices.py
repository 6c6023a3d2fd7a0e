"""Ways to write the options of a question, and ways to name the right one.

OPTIONS has the first: what the columns look like, and how one row is read; `ways` finds them among a table's columns. PLACES has the
second: each function finds the place of the right option, or None if the value names no option.
"""

import ast
import json
import re
from collections.abc import Callable
from itertools import zip_longest
from typing import Any, NamedTuple

from helpers.questions.rows import Row
from helpers.questions.text import LETTERS, question_id
from helpers.study.errors import StudyError

_LETTERED = re.compile(r"((?:op|option|choice)?[ _]?)([a-j])")  # A, opa, option_a, option A, choice_a
_WRONG = re.compile(r"distractor[ _]?[0-9]")


class Choice(NamedTuple):
    """One option: the label that its row gives it, and its text."""

    label: str
    text: str


class Options(NamedTuple):
    """One way to write options."""

    looks: str
    """For people: what the columns are."""
    read: Callable[[Row, tuple[str, ...], str], list[Choice]]
    """The options of a row, [] if it has none; the last argument begins the error line."""
    words: str
    """For the line that says what was recognised; {} are the columns."""
    answers: str | None = None
    """How answers are read (a key of PLACES), if the form implies it."""


def _of_one_column(row: Row, columns: tuple[str, ...], where: str) -> list[Choice]:
    """A list of texts, {"A": text, …}, [{"key": "A", "value": text}, …], {"text": […], "label": […]}, or one of these as text."""
    (name,) = columns
    value = row.get(name, [])
    if isinstance(value, str) and value.strip()[:1] in ("[", "{"):
        value = _parsed(value)
    if isinstance(value, list) and value and all(isinstance(option, tuple) for option in value):
        value = dict(value)  # a map of Parquet
    labels, texts = (value.get("label"), value.get("text")) if isinstance(value, dict) else (None, None)
    if isinstance(labels, list) and isinstance(texts, list) and len(labels) == len(texts):
        pairs = list(zip(labels, texts, strict=True))
    elif isinstance(value, dict):
        pairs = [(key, text) for key, text in value.items() if text is not None]
    elif isinstance(value, list) and value and all(isinstance(option, dict) for option in value):
        pairs = [(option.get("key", option.get("label")), option.get("value", option.get("text"))) for option in value]
    elif isinstance(value, list):
        return _checked(list(zip_longest(LETTERS[: len(value)], value)), name, where)
    else:
        raise StudyError(f"{where}: {name!r} should be a list of texts, it is {shown(value)}")
    return _checked(sorted(pairs, key=lambda pair: (len(str(pair[0])), str(pair[0]))), name, where)


def _parsed(text: str) -> Any:
    """A list or mapping that a CSV file holds as JSON or as Python prints it; the text itself if it is neither."""
    for parse in (json.loads, ast.literal_eval):
        try:
            return parse(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
    return text


def _of_column_each(row: Row, columns: tuple[str, ...], where: str) -> list[Choice]:
    pairs = [(name[-1].upper(), row[name]) for name in columns if name in row]
    first, last = (name.upper() if len(name) == 1 else name for name in (columns[0], columns[-1]))
    return _checked(pairs, f"columns {first}–{last}", where)


def _of_right_and_wrong(row: Row, columns: tuple[str, ...], where: str) -> list[Choice]:
    """The right and the wrong answers in an order that a hash of question and option decides, whatever their order in the row."""
    values = [row[name] for name in columns if name in row]
    texts = [text for value in values for text in (value if isinstance(value, list) else [value])]
    texts.sort(key=lambda text: question_id(str(row.get("question", row.get("problem"))), [str(text)]))
    return _checked(list(zip(LETTERS, texts, strict=False)), "the options", where)


LISTED = Options("options or choices: a list, {A: text, …}, [{key, value}, …] or {text, label}", _of_one_column, "from column {}")
APART = Options("a column for each option: A to E, opa to opd, option_a …", _of_column_each, "from columns {}")
MIXED = Options("correct_answer and distractor1, distractor2 … or incorrect_answers", _of_right_and_wrong,
                "from {} in an order seeded by the question", "text")  # fmt: skip
DECISION = Options("final_decision: yes, no or maybe", lambda *_: [Choice("A", "yes"), Choice("B", "no"), Choice("C", "maybe")],
                   "yes, no and maybe", "text")  # fmt: skip
OPTIONS = (LISTED, APART, MIXED, DECISION)


def ways(columns: set[str]) -> list[tuple[Options, tuple[str, ...]]]:
    """Every reading of a table's columns, in lower case, as options: the way they are written, and the columns that hold them."""
    found = [(LISTED, (name,)) for name in ("options", "choices") if name in columns]
    groups: dict[str, list[str]] = {}
    for match in filter(None, map(_LETTERED.fullmatch, sorted(columns))):
        groups.setdefault(match.group(1), []).append(match.group())
    found += [(APART, tuple(names)) for names in groups.values() if names[0].endswith("a") and len(names) > 1]
    right = next((name for name in ("correct_answer", "answer") if name in columns), None)
    apart = tuple(sorted(filter(_WRONG.fullmatch, columns)))
    wrong = [apart] if apart else [(name,) for name in ("distractors", "incorrect_answers") if name in columns]
    found += [(MIXED, (right, *names)) for names in wrong if right]
    if "final_decision" in columns and not columns & {"options", "choices"}:
        found.append((DECISION, ("final_decision",)))
    return found


def _checked(pairs: list[tuple[Any, Any]], name: str, where: str) -> list[Choice]:
    """The options, if they are 2 to 10 different texts with labels A, B, C … or 0, 1, 2 … or 1, 2, 3 … without a gap."""
    while pairs and pairs[-1][1] is None:
        pairs.pop()
    labels, texts = [str(label).strip().upper() for label, _ in pairs], [as_text(text) for _, text in pairs]
    if not all(map(is_visible, texts)):
        raise StudyError(f"{where}: {name!r} should be a list of texts, it is {shown([text for _, text in pairs])}")
    if pairs and (not 2 <= len(texts) <= len(LETTERS) or len(set(texts)) < len(texts)):
        raise StudyError(f"{where}: {name} should be 2 to 10 different texts, they are {shown(texts)}")
    numbers = ([str(first + place) for place in range(len(labels))] for first in (0, 1))
    if labels != list(LETTERS[: len(labels)]) and labels not in numbers:
        raise StudyError(f"{where}: options should go by A, B, C … without a gap, they go by {', '.join(labels)}")
    return [Choice(label, text) for label, text in zip(labels, texts, strict=True)]


def is_visible(text: Any) -> bool:
    """Whether a value is a text with a character that can be seen: not only spaces, nor marks without width."""
    return isinstance(text, str) and any(sign.isprintable() and not sign.isspace() for sign in text)


def as_text(value: Any) -> Any:
    """A number as text; 3.0 becomes "3", since a column with missing values turns 3 into 3.0. Other values are not changed."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) and value == value else value


def _by_letter(value: Any, options: list[Choice]) -> int | None:
    """The label, in upper or lower case, also as "(b)" or "b."."""
    labels, label = [option.label for option in options], re.sub(r"^\(|[).:]$", "", str(as_text(value)).strip()).upper()
    return labels.index(label) if label in labels else None


def _by_text(value: Any, options: list[Choice]) -> int | None:
    """The text of one option; its case and spaces count only where they alone tell two options apart."""
    text, texts = str(as_text(value)), [option.text for option in options]
    if text in texts:
        return texts.index(text)
    plain = [" ".join(other.split()).casefold() for other in texts]
    text = " ".join(text.split()).casefold()
    return plain.index(text) if plain.count(text) == 1 else None


def _by_index(value: Any, options: list[Choice], first: int) -> int | None:
    """An integer, also as "2" or 2.0. Options that have numbers as labels go by these."""
    if isinstance(value, bool) or not (found := re.fullmatch(r"([0-9]{1,3})(\.0)?", str(as_text(value)).strip())):
        return None
    place = int(found.group(1)) - (int(options[0].label) if options[0].label.isdigit() else first)
    return place if 0 <= place < len(options) else None


PLACES: dict[str, Callable[[Any, list[Choice]], int | None]] = {
    "letter": _by_letter,
    "text": _by_text,
    "from_0": lambda value, options: _by_index(value, options, 0),
    "from_1": lambda value, options: _by_index(value, options, 1),
}


def shown(value: Any, most: int = 200) -> str:
    """A value for an error line, shortened."""
    text = repr(value)
    return text if len(text) <= most else f"{text[:most]} …"
