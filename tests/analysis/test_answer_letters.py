"""Tables of answers against cases worked by hand."""

import pandas as pd
from scored import suite

from helpers.analysis import answers
from helpers.selection import difficulty


def test_letter_bias_by_hand():
    rows = answers.letters(suite()).set_index("arm")
    assert rows.loc["untrained", ["plain", "rotated", "letter", "share", "right"]].tolist() == [0.5, 0.5, "A", 1.0, 0.5]
    assert rows.loc["x", ["plain", "rotated"]].tolist() == [1.0, 1.0]
    assert answers.letters(suite().assign(rotation=0)).empty


def test_gap_of_filters():
    labels = {"self": pd.DataFrame({"correct": [True, False]}), "large": pd.DataFrame({"correct": [True, True]})}
    assert answers.filter_gap(labels, "self")["gap"].tolist() == [0.0, 0.5]


def test_duration_starts_every_arm_at_the_untrained_model():
    rows = [("untrained", -1, 0, False), ("x", 0, 2, True), ("x", 0, 0, True), ("y", 0, 0, False)]
    table = pd.DataFrame(rows, columns=["arm", "seed", "step", "correct"]).assign(task="pool_held_out", format_valid=True)
    outcome = answers.duration(table, {"x": 4, "y": 4})
    assert outcome[["arm", "step", "accuracy"]].to_numpy().tolist() == [
        ["x", 0, 0.0],
        ["x", 2, 1.0],
        ["x", 4, 1.0],
        ["y", 0, 0.0],
        ["y", 4, 0.0],
    ]


def test_answers_are_counted_by_letter_and_numbers_are_not():
    def asked(benchmark, predicted, target):
        return {"benchmark": benchmark, "arm": "a", "mode": "reasoning", "format_valid": predicted is not None, "predicted": predicted,
                "target": target, "correct": predicted == target}  # fmt: skip

    scores = [asked("exam", "A", "A"), asked("exam", "A", "B"), asked("exam", None, "C"), asked("exam", "C", "AB")]
    scores += [asked("sums", "12", "12"), asked("sums", None, "7")]
    exam, sums = answers.reasoning(pd.DataFrame(scores)).to_dict("records")
    assert (exam["answers A"], exam["answers B"], exam["answers C"], exam["answers none"]) == (0.5, 0, 0.25, 0.25)
    assert (sums["accuracy"], sums["accuracy_if_valid"], sums["answers none"]) == (0.5, 1, 0.5)
    assert [name for name in exam if name.startswith("answers ")] == ["answers A", "answers B", "answers C", "answers none"]


def test_tables_without_rows_keep_their_header():
    assert list(answers.letters(suite().assign(rotation=0)))[:3] == ["task", "arm", "items"]
    assert list(answers.agreement({"self": pd.DataFrame()}))[:4] == ["first", "second", "questions", "both_easy"]
    assert list(answers.reasoning(suite()))[:3] == ["benchmark", "arm", "answers"]


def test_columns_of_an_agreement_are_those_of_its_rows():
    labels = pd.DataFrame({"question_id": ["1"], "sample": 0, "correct": True, "predicted": "A", "label": "easy"})
    assert list(difficulty.agreement(labels, labels)) == answers.AGREEMENT
