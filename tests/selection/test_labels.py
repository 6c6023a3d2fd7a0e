"""Labels by both readings: what is easy, where the readings disagree, and which one an arm goes by."""

import pandas as pd
import pytest

from helpers.selection import difficulty, draws
from helpers.study.choices import Arm
from helpers.study.errors import StudyError

ANSWERS = {  # what follows the prefilled <think>: (predicted, label, predicted_tolerant, label_tolerant)
    "x</think><answer>B</answer>": ("B", "easy", "B", "easy"),
    "x</think><answer>B.</answer>": (None, "hard", "B", "easy"),
    "x</think><answer>B</answer> That is it.": ("B", "hard", "B", "easy"),
    "x</think> **B**": (None, "hard", "B", "easy"),
    "x</think><answer>A</answer>": ("A", "hard", "A", "hard"),
    "x</think><answer>A or B</answer>": (None, "hard", None, "hard"),
    "x and then": (None, "hard", None, "hard"),
}


@pytest.fixture
def pool():
    names = [f"q{number}" for number in range(len(ANSWERS))]
    return pd.DataFrame({"question_id": names, "question": names, "options": [["Liver", "Pancreas"]] * len(names), "answer": "B"})


@pytest.fixture
def labels(pool):
    completions = pd.DataFrame(
        {"question_id": pool["question_id"], "sample": 0, "response": list(ANSWERS), "finish_reason": "stop"}
    )
    return difficulty.label(pool, completions, "<think>")


def test_both_readings_stand_side_by_side(labels):
    columns = ["predicted", "label", "predicted_tolerant", "label_tolerant"]
    found = labels[columns].astype(object).where(labels[columns].notna(), None)
    assert [tuple(row) for row in found.to_numpy()] == list(ANSWERS.values())
    assert labels["correct"].tolist() == [True, False, True, False, False, False, False]


def test_how_many_labels_differ(labels):
    table = difficulty.disagreements({"self": labels, "older": labels.drop(columns="label_tolerant")})
    assert table.to_dict("records") == [{"filter": "self", "answers": 7, "easy_strict": 1, "easy_tolerant": 4, "differ": 3}]


def test_an_arm_goes_by_the_reading_it_names(pool, labels):
    arm = Arm(filter="f", hard=0, easy=4)
    with pytest.raises(StudyError, match="the filter found 1 in the pool"):
        draws.choose(pool, arm, "x", labels, 0, "stop", "strict")
    chosen, _ = draws.choose(pool, arm, "x", labels, 0, "stop", "tolerant")
    assert set(chosen["question_id"]) == {"q0", "q1", "q2", "q3"}
    with pytest.raises(StudyError, match="these labels have no tolerant reading; run 01_filter again"):
        draws.choose(pool, arm, "x", labels.drop(columns="label_tolerant"), 0, "stop", "tolerant")
