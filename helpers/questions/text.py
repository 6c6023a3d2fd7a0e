"""Texts that are compared: the words of a question and its id, and numbers in one notation."""

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from decimal import Decimal

LETTERS = "ABCDEFGHIJ"

_NUMBER = re.compile(
    r"(?:[-+]?\$?|\$[-+])((?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][-+]?[0-9]{1,2})?%?\.?"
)


def question_id(text: str, options: Iterable[str] = ()) -> str:
    """Sixteen hex digits that are the same for a question wherever it occurs: case, spaces and punctuation do not count.

    options: count as well if they are given, in any order; of them, only case and spaces do not count.

    >>> question_id("What is 1 + 1?") == question_id("what is  1 + 1")
    True
    >>> question_id("Which is right?", ["Iron", "Zinc"]) == question_id("Which is right?", ["zinc", "iron"])
    True
    >>> question_id("Which is right?", ["Iron", "Zinc"]) == question_id("Which is right?", ["Iron", "Gold"])
    False
    """
    parts = ["".join(words(text)), *sorted(" ".join(option.split()).casefold() for option in options)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def words(text: str) -> list[str]:
    """Words of a text in lower case; each Chinese character is a word of its own."""
    normal = unicodedata.normalize("NFKC", text).lower()
    return re.findall(r"[\u3400-\u9fff]|[^\W_\u3400-\u9fff]+|[+*/=<>%-]", normal)


def number(text: str) -> str | None:
    """A text that is one number and nothing else, in the notation of the study ("1200", "-3.5"); None if it is anything else.

    Accepted: commas between thousands, a dollar sign before the number, a percent sign or full stop after it, an exponent of up to
    two digits. Not accepted: digits of other scripts, fractions, decimal commas, NaN and infinity.

    >>> [number(text) for text in ("1,200.0", "-$3.50", ".5", "12%", "1e3", "1/2", "3,5", "nan", "1e999")]
    ['1200', '-3.5', '0.5', '12', '1000', None, None, None, None]
    """
    text = text.strip().replace("\u2212", "-")  # the minus sign of print
    if not _NUMBER.fullmatch(text):
        return None
    plain = format(Decimal(re.sub("[$,%]", "", text).rstrip(".")), "f")
    if "." in plain:
        plain = plain.rstrip("0").rstrip(".")
    return "0" if plain == "-0" else plain
