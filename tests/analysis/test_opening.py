"""The two sentences that open a report."""

import pandas as pd
import pytest

from helpers.analysis import checks, opening


def verdict(outcome="cannot tell", evidence="Inconclusive: we cannot rule out about 2.5 points either way. a: +0.1 points."):
    return pd.DataFrame(
        {"claim": ["Filtering pays", "b"], "outcome": [outcome, "supports"], "evidence": [evidence, "We found it."]}
    )


def warnings(*rows):
    return pd.DataFrame(rows, columns=["what", "where", "value"])


def test_the_answer_is_the_first_sentence_of_the_first_claim():
    assert opening.answer(verdict()) == "Inconclusive: we cannot rule out about 2.5 points either way."


def compared(change=0.001, low=-0.014, high=0.015, seeds=3):
    rows = [("untrained", "random", change, low, high), ("random", "self", -0.001, -0.016, 0.015)]
    table = pd.DataFrame(rows, columns=["first", "second", "change", "low", "high"])
    return table.assign(group="specialisation", seeds=seeds, draws=1, detectable=0.0358)


LEARNED = "training on random questions did not change accuracy on the trained subject measurably (+0.1 [-1.4, +1.5] points); "


@pytest.mark.parametrize(
    ("rows", "pairs", "text"),
    [
        ([("something else", "x", "1 of 2")], compared(), f"Why this is inconclusive: {LEARNED}three seeds per arm."),
        (
            [
                (checks.ALIKE, "random and self", "455 of 500"),
                (checks.ALIKE, "random and b", "496 of 500"),
                (checks.GUESSES, "b", ""),
            ],
            compared(low=0.0005, seeds=1),
            "Why this is inconclusive: random and self share 455 of 500 questions; one seed per arm.",
        ),
    ],
)
def test_reasons_are_about_the_comparison_that_counts(rows, pairs, text):
    assert opening.reason(verdict(), warnings(*rows), pairs) == text


def test_a_study_with_an_answer_has_limits_and_no_reason_to_be_inconclusive():
    rows = warnings((checks.ALIKE, "random and self", "455 of 500"))
    assert (
        opening.reason(verdict("supports"), rows, compared())
        == "What limits this study: random and self share 455 of 500 questions."
    )
    assert opening.reason(verdict("supports"), warnings(), compared()) == ""


def test_a_study_that_does_not_test_the_first_claim_has_no_answer():
    rows = warnings((checks.GUESSES, "small", "22%"))
    assert opening.answer(verdict("not tested", "No arm fits.")).startswith("This study cannot say")
    assert opening.reason(verdict("not tested"), rows, compared()).startswith("Why: one filter")


def test_what_could_be_detected_is_the_pooled_column_of_the_first_arm():
    rows = [
        ("self", "medqa_4options_mirror", 0.0304),
        ("self", "medqa_reasoning", 0.093),
        ("self", "mmlu", 0.02),
        ("random", "medqa", None),
    ]
    table = pd.DataFrame(rows, columns=["arm", "benchmark", "vs_random_detectable"])
    (line,) = opening.detectable(compared(), table)
    assert line.startswith("3.6 points on this index, 3.0 on MedQA by likelihood, 9.3 on MedQA in reasoning mode (80 % power")
    assert opening.detectable(compared(seeds=1), table) == []


def test_limits_of_a_fixed_draw_and_of_one_stream():
    def pairs(draws, seeds):
        return pd.DataFrame({"draws": [draws], "seeds": [seeds]})

    assert opening.limits(pairs(3, 3), warnings()) == []
    assert opening.limits(pairs(1, 1), warnings()) == []  # with one seed the interval says so itself
    fixed, stream = opening.limits(pairs(1, 3), warnings((checks.ONE_STREAM, "6 of 6 runs", "")))
    assert "no interval covers the choice of another draw" in fixed
    assert "one stream of random numbers" in stream
