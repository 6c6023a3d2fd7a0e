"""Reading a completion: whether its format is right, and which answer it gives, by two readings.

The strict reading is the paper's: the answer block holds a letter (or begins with an option's text) or a number. The tolerant reading
also accepts other spellings of one answer, in a completion of any format; it reads nothing where two answers are given.
"""

import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from helpers.questions.text import LETTERS, number

TAGS = ("<think>", "</think>", "<answer>", "</answer>")

_SOFT = re.compile(r"<think>.*?</think>\s*<answer>.*?</answer>", re.DOTALL)
_STRICT = re.compile(r"\s*<think>.*?</think>\s*<answer>.*?</answer>\s*", re.DOTALL)
_ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
_SEARCH = re.compile(r"<search>(?!\s*</search>)(?:(?!</?(?:search|information)>).)*</search>", re.DOTALL)  # with a query
_SEARCH_TAG = re.compile(r"</?(?:search|information)>")
_LETTER = re.compile(r"([A-J])|\(([A-J])\)")
_RUN = re.compile(r"(?<![\w.,])[-+\u2212]?[$]?[.,]*[0-9][0-9.,]*+(?!\d)(?:[eE][-+]?[0-9]+)?")  # what may be a number within words
_BOXED = re.compile(r"\\boxed\s*\{((?:[^{}]|\{[^{}]*\})*)\}")
_LEAD = re.compile(  # words before an answer: "The correct answer is", "Option", "So my final choice:"
    r"(?:(?:so|thus|therefore|hence)\b,?\s*)?(?:(?:the|my|it is|its)\s+)*(?:(?:final|correct|right|best)\s+)*"
    r"(?:(?:answer|option|choice)\b(?:\s+is\b)?\s*[:=]?\s*)*",
    re.IGNORECASE,
)
_SPELLED = re.compile(r"[(\[{]?\s*([A-Ja-j])\s*[)\]}]?((?:[\s.:,;()\u2013\u2014-].*)?)", re.DOTALL)
_CORRECT = re.compile(r"is (?:the )?(?:correct|right|best)(?: answer| option| choice)?[.!]?$", re.IGNORECASE)


class Reading(NamedTuple):
    """A completion as read; predicted: its letter or number (None: unread); exact: the answer block holds that and nothing else."""

    format_valid: bool
    predicted: str | None
    exact: bool


def soft_format(completion: str, search: bool = False) -> bool:
    """True if a thinking block and right after it an answer block begin the completion. search: as for `strict_format`."""
    return bool(_SOFT.match(_without_searches(completion, search).lstrip()))


def strict_format(completion: str, search: bool = False) -> bool:
    """True if the completion is a thinking block and an answer block and nothing else, each tag once.

    White space around the blocks is free: fixed line breaks made this reward zero for whole runs (open-r1#235). search: the model has a
    search tool, so search blocks may stand before the answer; a broken one, or an `<information>` block that the model wrote itself,
    breaks the format.
    """
    completion = _without_searches(completion, search)
    return bool(_STRICT.fullmatch(completion)) and all(completion.count(tag) == 1 for tag in TAGS)


def _without_searches(completion: str, search: bool) -> str:
    """A completion without its search blocks; "" if one of them is broken. Without the tool it stays as it is."""
    if not search:
        return completion
    thinking, tag, answer = completion.partition("<answer>")
    rest = _SEARCH.sub("", thinking) + tag + answer
    return "" if _SEARCH_TAG.search(rest) else rest


def read_answer(completion: str, options: list[str], search: bool = False) -> Reading:
    """Read a whole completion (prefill included) in its last complete answer block. search: as for `strict_format`.

    The letter counts bare or in parentheses; an answer that begins with the text of an option chooses
    that option (`exact` is False then; of several, the longest).

    Without options the answer is a number, written as `questions.number` writes it: alone in the block
    (accepted: commas between thousands, a $ before, a % or full stop after), or, with `exact` False, as
    the only number among other words. Two numbers, such as a fraction or an equation, are unread.
    """
    valid, blocks = strict_format(completion, search), _ANSWER.findall(completion)
    if not blocks:
        return Reading(valid, None, False)
    text = blocks[-1].strip()
    if not len(options):
        return Reading(valid, *_read_number(text))
    if letter := _LETTER.fullmatch(text):
        chosen = letter.group(1) or letter.group(2)
        known = chosen in LETTERS[: len(options)]
        return Reading(valid, chosen if known else None, known)
    begun = [option for option in options if text.casefold().startswith(option.casefold())]
    if not begun:
        return Reading(valid, None, False)
    return Reading(valid, LETTERS[options.index(max(begun, key=len))], False)


def _read_number(text: str) -> tuple[str | None, bool]:
    """The number of an answer block, and whether the block is that number alone."""
    alone = number(text)
    if alone is not None:
        return alone, True
    runs = _RUN.findall(text)
    return (number(runs[0].rstrip(".,")), False) if len(runs) == 1 else (None, False)


def read_tolerant(completion: str, options: Sequence[str]) -> str | None:
    r"""The letter or number that a whole completion gives, however it is written; None if it gives none, or more than one.

    What the strict reading finds in a completion of the right format, this one finds, too. Otherwise it reads the answer blocks, or
    what follows an unclosed `<answer>`, else what follows the thinking, else the whole text.

    >>> [read_tolerant(text, ["Liver", "Pancreas"]) for text in ("b", "**B.** Pancreas", r"\boxed{B}", "A or B")]
    ['B', 'B', 'B', None]
    """
    strict = read_answer(completion, list(options))
    if strict.format_valid and strict.predicted is not None:
        return strict.predicted
    blocks = re.findall(r"<answer>(.*?)</answer>", completion, re.DOTALL | re.IGNORECASE)
    parts = re.split(r"<answer>|</think>", completion, flags=re.IGNORECASE)
    sure = bool(blocks) or len(parts) > 1
    found = {_meaning(text, options, sure) for text in blocks or parts[-1:]} - {None}
    return found.pop() if len(found) == 1 else None


def _meaning(text: str, options: Sequence[str], sure: bool) -> str | None:
    """The one answer of a text. sure: tags mark it as the answer, so a number may have words around it."""
    if boxes := _BOXED.findall(text):
        found = {_meaning(box, options, True) for box in boxes}
        return found.pop() if len(found) == 1 else None
    plain = _plain(text)
    if not len(options):
        return _read_number(plain)[0] if sure else number(plain)
    texts = [_plain(option).casefold() for option in options]
    said = _LEAD.sub("", plain, count=1)
    begun = [option for option in texts if _begins(said, option)]
    if begun:
        option = max(begun, key=len)
        place, rest = texts.index(option), said[len(option) :]
    else:
        letter = _SPELLED.fullmatch(said)
        place = LETTERS.index(letter.group(1).upper()) if letter else len(options)
        if place >= len(options):
            return None
        rest = _CORRECT.sub("", letter.group(2).lstrip(" ([{-\u2013\u2014:.,"))
        if rest and not _begins(rest, texts[place]):
            return None
        rest = rest[len(texts[place]) :]
    others = {name for n, name in enumerate(texts) if n != place and name not in texts[place]}
    another = any(letter != LETTERS[place] for letter in re.findall(r"\b[A-J]\b", rest))
    return None if another or any(name in rest.casefold() for name in others) else LETTERS[place]


def _plain(text: str) -> str:
    """A text without Markdown, LaTeX and quotes, its full-width forms as plain ones, its white space single."""
    text = unicodedata.normalize("NFKC", text)
    text = re.sub(r"\\(?:text|textbf|mathrm|mathbf)\s*\{([^{}]*)\}", r"\1", text)
    return " ".join(re.sub(r"[*_`$\"'\u2018\u2019\u201c\u201d]", "", text).split())


def _begins(text: str, option: str) -> bool:
    """Whether a text begins with that option as whole words."""
    return text.casefold().startswith(option) and not text[len(option) : len(option) + 1].isalnum()
