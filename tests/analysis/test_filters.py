"""What 01_filter says of a filter's answers."""

import pandas as pd

from helpers.analysis import filters
from helpers.selection import difficulty
from helpers.study.choices import Arm

POOL = pd.DataFrame(
    {
        "question_id": list("abcd"),
        "id": list("wxyz"),
        "question": ["Which?"] * 4,
        "options": [["Iron", "Zinc"]] * 4,
        "answer": ["A"] * 4,
    }
)
WRITTEN = pd.DataFrame(
    {
        "question_id": list("abcd"),
        "sample": 0,
        "response": [
            "t</think><answer>A</answer>",
            "t</think><answer>B</answer>",
            "<script>",
            "t</think><answer>A</answer>",
        ],
        "finish_reason": ["stop", "stop", "length", "stop"],
        "n_tokens": 4,
    }
)
LABELS = difficulty.label(POOL, WRITTEN, "<think>")


def test_the_answer_counts_easy_questions_and_compares_with_guessing():
    outcome = filters.summary(LABELS, POOL, "a model", 0.95)
    assert outcome.startswith(
        "a model answers 2 of 4 questions correctly in the required format; these are easy, the other 2 hard. "
    )
    form = " 75% of its answers are in the required format; by the tolerant rule, 50% are right."
    assert outcome.endswith(f"compared with 50% for guessing: it is not shown to be better than guessing.{form}")
    wrong = filters.summary(LABELS.assign(correct=False), POOL, "a model", 0.95)
    assert wrong.endswith("compared with 50% for guessing: it is worse than guessing." + form)
    many = pd.concat([LABELS.assign(correct=True)] * 5)
    assert filters.summary(many, POOL, "a model", 0.95).endswith(f"it is better than guessing.{form}")
    numbers = POOL.assign(options=[[]] * 4)
    assert filters.summary(LABELS, numbers, "a model", 0.95).endswith(
        "The number inside `<answer>` is right in 50% of its answers (95% interval 15% to 85%)." + form
    )


def test_examples_are_of_different_kinds_first():
    shown = filters.examples(LABELS, POOL, "<think>", 3)
    assert shown["id"].tolist() == ["w", "x", "y"]  # easy, wrong, truncated; the second easy one is left out
    assert shown["kind"].nunique() == 3
    assert shown["read as"].fillna("none").tolist() == ["A", "B", "none"]
    assert shown["response"].iloc[0] == "<think>t</think><answer>A</answer>"
    assert shown["question"].iloc[0] == "Which?\nA. Iron\nB. Zinc"
    assert filters.examples(LABELS, POOL, "<think>")["id"].tolist() == ["w", "x", "y", "z"]


def test_the_outlook_names_what_arms_take():
    outcome = filters.outlook(LABELS, {"self": Arm(filter="self", hard=2, easy=1)})
    assert outcome == "The filter labels 2 questions hard and 2 easy; arm self needs 2 hard, 1 easy."
    assert filters.outlook(LABELS, {}).endswith("no arm of this study uses these labels.")
