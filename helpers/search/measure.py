"""Whether a search finds the answer: how often the right option's text stands in the best passages, against the wrong ones.

No model is asked. The measure tells how much a corpus can help with a set of questions, and it chooses the questions of a control for the
search tool: those whose right option stands in the passages.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

from helpers.questions.text import LETTERS, words
from helpers.search.corpus import Passage
from helpers.search.index import Index


def options_found(index: Index, questions: pd.DataFrame, k: int) -> pd.DataFrame:
    """For each question with options, whether the right one and what share of the wrong ones stand in the best `k` passages.

    questions: columns question_id, question, options and answer. The question is the query. Returns one row per question with options:
    question_id, right (bool), wrong (share of the wrong options, 0 to 1) and passages (how many were found).
    """
    rows = questions[questions["options"].str.len() > 0]
    found = index.search(rows["question"].tolist(), k)
    table = [_row(row, passages) for row, passages in zip(rows.itertuples(), found, strict=True)]
    return pd.DataFrame(table, columns=["question_id", "right", "wrong", "passages"])


def _row(row: Any, passages: list[Passage]) -> tuple[str, bool, float, int]:
    inside = standing(row.options, [f"{passage.title} . {passage.text}" for passage in passages])
    right = inside.pop(LETTERS.index(row.answer))
    return row.question_id, right, sum(inside) / len(inside), len(passages)


def standing(options: Iterable[str], texts: Iterable[str]) -> list[bool]:
    """Whether the words of each option stand in one of the texts, in their order and without a gap.

    >>> standing(["Type IV collagen", "collagen VII", "Collagen"], ["Antibodies attack type-IV collagen."])
    [True, False, True]
    """
    joined = [f" {' '.join(_words(text))} " for text in texts]
    return [any(f" {' '.join(_words(option))} " in text for text in joined) for option in options]


def _words(text: str) -> list[str]:
    return [word for word in words(text) if word != "-"]
