"""Questions with their options in every rotation: the letters and the right answer follow."""

import pandas as pd

from helpers.questions.text import LETTERS
from helpers.study.errors import StudyError
from helpers.study.schema import ROTATIONS


def rotated(options: list[str], answer: str, by: int) -> tuple[list[str], str]:
    """(options, letter of the right one) with the options `by` places further on, the last ones first again.

    >>> rotated(["a", "b", "c"], "C", 1)
    (['c', 'a', 'b'], 'A')
    """
    by %= len(options)
    moved = options[len(options) - by :] + options[: len(options) - by]
    return moved, LETTERS[(LETTERS.index(answer) + by) % len(options)]


def rotate_questions(questions: pd.DataFrame) -> pd.DataFrame:
    """Each question in all ROTATIONS of its options; column `rotation` says by how many places. Raises StudyError as `check`."""
    check(questions)
    rows = []
    for row in questions.to_dict("records"):
        for by in range(ROTATIONS):
            options, answer = rotated(list(row["options"]), row["answer"], by)
            rows.append(row | {"options": options, "answer": answer, "rotation": by})
    return pd.DataFrame(rows)


def check(questions: pd.DataFrame) -> None:
    """Raise StudyError, in one line, for questions that do not have ROTATIONS options, such as those that ask for a number."""
    counts = sorted({len(options) for options in questions["options"]})
    if counts != [ROTATIONS]:
        found = "no options (numbers are asked for)" if counts == [0] else f"{' or '.join(map(str, counts))} options"
        raise StudyError(f"train.rotate_options: needs questions with {ROTATIONS} options each; this pool's have {found}")
