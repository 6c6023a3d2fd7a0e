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


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ([], ""),
        ([("something else", "x", "1 of 2")], ""),
        (
            [(checks.ALIKE, "a and b", "496 of 500")],
            "Why this is inconclusive: one pair of arms shares 496 of their 500 questions.",
        ),
        (
            [
                (checks.ALIKE, "a and b", "496 of 500"),
                (checks.ALIKE, "a and c", "451.3 of 500"),
                (checks.GUESSES, "small", "22%"),
            ],
            "Why this is inconclusive: two pairs of arms share 451–496 of their 500 questions; "
            "one filter is not shown to be right more often than guesses (small).",
        ),
    ],
)
def test_reasons(rows, text):
    assert opening.reason(verdict(), warnings(*rows)) == text


def test_a_study_with_an_answer_has_limits_and_no_reason_to_be_inconclusive():
    rows = warnings((checks.GUESSES, "small", "22%"))
    assert opening.reason(verdict("supports"), rows).startswith("What limits this study: one filter")


def test_a_study_that_does_not_test_the_first_claim_has_no_answer():
    rows = warnings((checks.GUESSES, "small", "22%"))
    assert opening.answer(verdict("not tested", "No arm fits.")).startswith("This study cannot say")
    assert opening.reason(verdict("not tested"), rows).startswith("Why: one filter")


def test_limits_of_a_fixed_draw_and_of_one_stream():
    def pairs(draws, seeds):
        return pd.DataFrame({"draws": [draws], "seeds": [seeds]})

    assert opening.limits(pairs(3, 3), warnings()) == []
    assert opening.limits(pairs(1, 1), warnings()) == []  # with one seed the interval says so itself
    fixed, stream = opening.limits(pairs(1, 3), warnings((checks.ONE_STREAM, "6 of 6 runs", "")))
    assert "no interval covers the choice of another draw" in fixed
    assert "one stream of random numbers" in stream
