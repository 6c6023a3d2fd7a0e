"""Whether a search finds the answer: how often the right option's text occurs in the best passages, against the wrong ones.

No model is asked. The measure tells how much a corpus can help with a set of questions, and it chooses the questions of a control for the
search tool: those whose right option occurs in the passages.
"""

import json
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pandas as pd

from helpers.questions.text import LETTERS, words
from helpers.search.corpus import Passage
from helpers.search.episodes import Tool


def options_found(search: Callable[[list[str], int], list[list[Passage]]], questions: pd.DataFrame, k: int) -> pd.DataFrame:
    """For each question with options, whether the right one and what share of the wrong ones occur in the best `k` passages.

    search: `Index.search`, whose queries are the questions. questions: columns question_id, question, options and answer. Returns one row
    per question with options: question_id, right (bool), wrong (share of the wrong options, 0 to 1) and passages (how many were found).
    """
    rows = questions[questions["options"].str.len() > 0]
    found = search(rows["question"].tolist(), k)
    table = [
        (row.question_id, *_right_and_wrong(row.options, row.answer, passages), len(passages))
        for row, passages in zip(rows.itertuples(), found, strict=True)
    ]
    return pd.DataFrame(table, columns=["question_id", "right", "wrong", "passages"])


def answerable(tool: Tool, question: str, options: Sequence[str], answer: str) -> bool:
    """Whether the right option occurs in the passages that the question itself finds; no model is asked. False without options."""
    return bool(len(options)) and _right_and_wrong(options, answer, tool.search([question], tool.settings.passages)[0])[0]


def _right_and_wrong(options: Sequence[str], answer: str, passages: list[Passage]) -> tuple[bool, float]:
    inside = standing(options, [f"{passage.title} . {passage.text}" for passage in passages])
    right = inside.pop(LETTERS.index(answer))
    return right, sum(inside) / len(inside)


def found_by(searches: str, options: Sequence[str], answer: str) -> dict[str, float]:
    """Whether the passages that were inserted into one answer contain its options, as two columns of a table.

    searches: `Episode.record`. Returns right_found (1 or 0) and wrong_found (the share of the wrong options, 0 to 1); both are NaN if no
    passage was inserted, or if the question has no options.

    >>> found_by('[{"ids": ["p"], "text": "[1] Iron: Lack of iron causes anaemia."}]', ["Zinc", "Iron", "Anaemia"], "B")
    {'right_found': 1.0, 'wrong_found': 0.5}
    """
    texts = [one["text"] for one in json.loads(searches) if one["ids"]]
    if not texts or not len(options):
        return {"right_found": np.nan, "wrong_found": np.nan}
    inside = standing(options, texts)
    right = inside.pop(LETTERS.index(answer))
    return {"right_found": float(right), "wrong_found": sum(inside) / len(inside)}


def standing(options: Iterable[str], texts: Iterable[str]) -> list[bool]:
    """Whether the words of each option occur in one of the texts, in their order and without a gap.

    >>> standing(["Type IV collagen", "collagen VII", "Collagen"], ["Antibodies attack type-IV collagen."])
    [True, False, True]
    """
    joined = [f" {' '.join(_words(text))} " for text in texts]
    return [any(f" {' '.join(_words(option))} " in text for text in joined) for option in options]


def _words(text: str) -> list[str]:
    return [word for word in words(text) if word != "-"]
