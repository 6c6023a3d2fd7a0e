"""A filter's answers, in words and by example, for 01_filter."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from helpers.analysis.intervals import wilson
from helpers.questions.prompts import lines
from helpers.selection import difficulty
from helpers.study.choices import Arm

NAMES = {
    "predicted": "read as",
    "predicted_tolerant": "read tolerantly as",
    "label_tolerant": "tolerant label",
    "answer": "right",
}


def chance(pool: pd.DataFrame) -> float:
    """The share of right answers that guessing gives: the mean of 1 / options; 0 for questions that ask for a number.

    >>> chance(pd.DataFrame({"options": [["Iron", "Zinc"], ["a", "b", "c", "d"]]})), chance(pd.DataFrame({"options": [[]]}))
    (0.375, 0.0)
    """
    return float(pool["options"].map(lambda options: 1 / len(options) if len(options) else 0.0).mean())


def summary(labels: pd.DataFrame, pool: pd.DataFrame, model: str, confidence: float) -> str:
    """The answer of 01_filter: how many questions are easy, whether the filter is better than guessing, and what the format costs."""
    easy, count = int((difficulty.by_question(labels)["label"] == "easy").sum()), labels["question_id"].nunique()
    right, answers, guess = int(labels["correct"].sum()), len(labels), chance(pool)
    low, high = wilson(right, answers, confidence)
    kind = "option" if guess else "number"
    sentences = (
        f"{model} answers {easy:,} of {count:,} questions correctly in the required format; these are easy, the other {count - easy:,} hard. "
        f"The {kind} inside `<answer>` is right in {right / answers:.0%} of its answers ({confidence:.0%} interval {low:.0%} to {high:.0%})"
    )
    form = (
        f" {labels['format_valid'].mean():.0%} of its answers are in the required format; by the tolerant rule, "
        f"{labels['correct_tolerant'].mean():.0%} are right."
    )
    if not guess:
        return f"{sentences}.{form}"
    if low > guess:
        meaning = "it is better than guessing"
    elif high < guess:
        meaning = "it is worse than guessing"
    else:
        meaning = "it is not shown to be better than guessing"
    return f"{sentences}, compared with {guess:.0%} for guessing: {meaning}.{form}"


def examples(labels: pd.DataFrame, pool: pd.DataFrame, prefill: str, count: int | None = None) -> pd.DataFrame:
    """Answers with their questions: id, question (with options), response (with the prefill), kind, read as, right, and other columns
    of the labels.

    count: number of answers, one of each kind before a second one of any kind; None: all answers in their order.
    """
    shown = labels.assign(kind=difficulty.kinds(labels)).merge(
        pool[["question_id", "id", "question", "options", "answer"]], on="question_id"
    )
    shown["question"] = [lines(row.question, list(row.options)) for row in shown.itertuples()]
    shown["response"] = prefill + shown["response"]
    shown = shown.rename(columns=NAMES)
    if count is None:
        return shown
    kind = shown["kind"].map(list(difficulty.KINDS).index)
    return shown.iloc[np.lexsort([kind, shown.groupby("kind").cumcount()])[:count]]


def outlook(labels: pd.DataFrame, arms: Mapping[str, Arm]) -> str:
    """What the arms need of these labels, and what there is: the sentence that ends 01_filter. arms: those of this filter."""
    found = difficulty.by_question(labels)["label"].value_counts()
    there = f"{found.get('hard', 0):,} questions hard and {found.get('easy', 0):,} easy"
    wanted = [f"arm {name} needs {arm.rule}" for name, arm in arms.items()]
    return f"The filter labels {there}; {'; '.join(wanted) if wanted else 'no arm of this study uses these labels'}."
