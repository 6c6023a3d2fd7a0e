"""Tables of answers against cases worked by hand."""

import pandas as pd
from scored import suite

from helpers.analysis import answers, lettering
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


def untrained_of(task):
    return pd.DataFrame([{"task": task, "arm": "untrained", "A": 1.0, "B": 0.0, "C": 0.0, "D": 0.0}])


def test_letters_are_drawn_if_the_pool_has_at_most_five_options(tmp_path):
    table = pd.DataFrame(
        [{"task": "pool_held_out", "arm": arm, **dict.fromkeys("ABCDEFGHIJ", 0.1)} for arm in (lettering.RIGHT, "untrained", "x")]
    )
    wide = table.reindex(columns=[*lettering.COLUMNS, *"ABCDEFGHIJ"])
    assert lettering.picture(wide, tmp_path / "named") is None
    assert lettering.picture(wide.drop(columns=list("FGHIJ")), tmp_path / "named") is not None
    assert (tmp_path / "named.png").exists()


def test_letters_named_by_hand():
    """Four questions with the right answers A to D, two seeds; a seed that names C alone is right once, one that names nothing never."""
    said = {("untrained", -1): "ABCD", ("x", 0): "CCCC", ("x", 1): [None] * 4}
    rows = [
        {"task": "exam", "benchmark": "exam", "rotation": 0, "item_id": item, "arm": arm, "seed": seed, "predicted": letter, "target": right}
        for (arm, seed), chosen in said.items()
        for item, (letter, right) in enumerate(zip(chosen, "ABCD", strict=True))
    ]  # fmt: skip
    scores = pd.DataFrame(rows).assign(correct=lambda frame: frame["predicted"] == frame["target"])
    table = lettering.named(scores)
    right, untrained, x = table.to_dict("records")
    assert (right["arm"], [right[letter] for letter in "ABCD"]) == (lettering.RIGHT, [0.25] * 4)
    assert (untrained["accuracy"], untrained["by_letters"]) == (1, 0.25)
    assert (x["accuracy"], x["by_letters"], x["none"], x["C"], x["A"]) == (0.125, 0.125, 0.5, 0.5, 0)
    assert lettering.largest_change(table) == (
        "Largest change of a letter's share: after x, A on exam from 25% to 0%, where it is right for 25%."
    ), "four changes are equally large; the first is named"
    assert lettering.largest_change(table[table["arm"] != "x"]) == ""
    unfinished = table[table["arm"] != "untrained"]
    assert lettering.largest_change(pd.concat([unfinished, untrained_of("other")])) == "", (
        "the untrained model has not finished this task"
    )
    (row,) = lettering.by_letters(table).to_dict("records")
    assert (row["task"], row["arm"], row["change"], row["by_letters"], row["besides"]) == ("exam", "x", -0.875, -0.125, -0.75)
    assert lettering.by_letters(unfinished).empty
    assert lettering.by_letters(pd.concat([unfinished, untrained_of("other").assign(accuracy=0.5, by_letters=0.25)])).empty
    fifth = scores.assign(predicted=scores["predicted"].replace("D", "E"))
    shares = lettering.named(fifth).set_index("arm")
    assert (shares.at["untrained", "E"], shares.at[lettering.RIGHT, "E"], shares.at["untrained", "none"]) == (0.25, 0, 0)
    asked_without_letters = scores[scores["target"] != "D"]
    assert lettering.named(asked_without_letters).empty
    assert lettering.named(scores.assign(rotation=1)).empty


def test_tables_without_rows_keep_their_header():
    assert list(answers.letters(suite().assign(rotation=0)))[:3] == ["task", "arm", "items"]
    assert list(answers.agreement({"self": pd.DataFrame()}))[:4] == ["first", "second", "questions", "both_easy"]
    assert list(lettering.named(suite().assign(rotation=1)))[:3] == ["task", "arm", "answers"]
    assert list(answers.reasoning(suite()))[:3] == ["benchmark", "arm", "answers"]


def test_columns_of_an_agreement_are_those_of_its_rows():
    labels = pd.DataFrame({"question_id": ["1"], "sample": 0, "correct": True, "predicted": "A", "label": "easy"})
    assert list(difficulty.agreement(labels, labels)) == answers.AGREEMENT
