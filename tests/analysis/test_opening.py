"""The two sentences that open a report."""

import pandas as pd
import pytest

from helpers.analysis import checks, index_checks, opening


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


LEARNED = "training on random questions did not measurably change accuracy on the trained subject (+0.1 [-1.4, +1.5] points); "


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
    assert opening.answer(verdict("not tested", "No arm fits.")).startswith("This study does not test")
    assert opening.reason(verdict("not tested"), rows, compared()).startswith("Why: one filter")


ABOUT = pd.Series({"pool": "GBaker/MedQA-USMLE-4-options", "confidence": 0.95, "power": 0.8})
SCORED = pd.DataFrame(
    [
        ("self", "specialisation", "medqa_4options_mirror", "none", 0.0304),
        ("self", "specialisation", "medqa_reasoning", "none", 0.093),
        ("self", "apart", "medqa_reasoning_search", "none", 0.05),  # answered with a tool: another question
        ("self", "robustness", "mmlu", "none", 0.02),
        ("self", "robustness", "gsm8k", "strict-match", 0.05),
        ("self", "robustness", "gsm8k", "flexible-extract", 0.04),
        ("random", "specialisation", "medqa_4options_mirror", "none", None),
    ],
    columns=["arm", "group", "benchmark", "filter", "vs_random_detectable"],
)


def test_what_could_be_detected_is_the_pooled_column_of_the_first_arm():
    (line,) = opening.detectable(compared(), SCORED, ABOUT)
    assert line == (
        "3.6 points on this index, 3.0 on MedQA by likelihood, 9.3 on MedQA in reasoning mode (80 % power, one test at the 5 % level; "
        "between-seed variance pooled over all arms)"
    )
    assert opening.detectable(compared(seeds=1), SCORED, ABOUT) == []


def test_what_could_be_detected_is_named_by_the_pool_and_by_the_studys_own_power_and_level():
    about = pd.Series({"pool": "openai/gsm8k", "confidence": 0.9, "power": 0.95})
    (line,) = opening.detectable(compared(), SCORED, about)
    held = SCORED.iloc[[0]].assign(benchmark="pool_held_out", vs_random_detectable=0.01)
    assert line.startswith("3.6 points on this index, 4.0 on GSM8K (last number) (95 % power, one test at the 10 % level;")
    assert "4.0 on GSM8K (last number), 1.0 on held-out questions in reasoning mode (" in opening.detectable(
        compared(), pd.concat([SCORED, held]), about
    )[0]  # fmt: skip


def test_limits_of_a_fixed_draw_and_of_one_stream():
    def pairs(draws, seeds):
        return pd.DataFrame({"draws": [draws], "seeds": [seeds]})

    assert opening.limits(pairs(3, 3), warnings()) == []
    assert opening.limits(pairs(1, 1), warnings()) == []  # with one seed the interval says so itself
    (same,) = opening.limits(pairs(3, 3), warnings((checks.ONE_CHOICE, "half", "93%"), (checks.ONE_CHOICE, "hardest", "92%")))
    assert same.startswith(
        "The draws of half and hardest are nearly the same for all seeds, so the intervals of these arms do not cover"
    )
    (read,) = opening.limits(pairs(3, 3), warnings((index_checks.READ_ONLY, "robustness", "")))
    assert "does not show whether written answers to them get worse" in read
    (near,) = opening.limits(pairs(3, 3), warnings((index_checks.AT_CHANCE, "MedQA", "25.4%, by guessing 25.0%")))
    assert near.startswith("The untrained model is not shown to answer MedQA better than by guessing, so a loss")
    fixed, stream = opening.limits(pairs(1, 3), warnings((checks.ONE_STREAM, "6 of 6 runs", "")))
    assert "the intervals do not cover variation between draws" in fixed
    assert "same random number stream" in stream
