"""Scores in reasoning mode carry two readings, the strict and the tolerant one."""

import numpy as np
import pandas as pd
import pytest

from helpers.analysis import answers
from helpers.evaluation import scoring

LETTERS = {"options": ["iron", "zinc"], "answer": "B", "prefill": "<think>"}
LIMITS = {"options": [], "answer": "25.2", "prefill": "<think>", "low": 24.0, "high": 26.5}


@pytest.mark.parametrize(
    ("doc", "answer", "strict", "tolerant", "right"),
    [
        (LETTERS, "B", "B", "B", True),
        (LETTERS, "b", None, "B", True),
        (LETTERS, "**B.** zinc", None, "B", True),
        (LETTERS, "A", "A", "A", False),
        (LETTERS, "A or B", None, None, False),
        (LIMITS, "26", "26", "26", True),
        (LIMITS, r"\boxed{26}", "26", "26", True),
        (LIMITS, "27", "27", "27", False),
    ],
)
def test_both_readings_of_an_answer(doc, answer, strict, tolerant, right):
    row = scoring._written(doc, {}, f"hm</think><answer>{answer}</answer>", True, False)
    assert (row["predicted"], row["predicted_tolerant"], row["correct_tolerant"]) == (strict, tolerant, right)


def test_the_table_of_reasoning_mode_has_the_tolerant_accuracy_where_scores_have_it():
    rows = pd.DataFrame({"benchmark": "b", "arm": "a", "mode": "reasoning", "format_valid": [True, True, False, True],
                         "predicted": ["A", None, "B", "B"], "target": "A", "correct": [True, False, False, False]})  # fmt: skip
    assert "accuracy_tolerant" not in answers.reasoning(rows)
    both = answers.reasoning(rows.assign(correct_tolerant=[True, True, False, True]))
    assert both[["accuracy", "accuracy_tolerant"]].iloc[0].tolist() == [0.25, 0.75]
    mixed = answers.reasoning(rows.assign(correct_tolerant=[True, True, False, np.nan]))  # partly from before
    assert "accuracy_tolerant" not in mixed
