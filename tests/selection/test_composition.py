"""What arms are composed of: by hand, over several draws, and without what the published files lack."""

import numpy as np
import pandas as pd
import pytest

from helpers.selection import composition, difficulty, draws
from helpers.selection.rates import zero_variance


def sampled(right, samples=8):
    """Labels of questions q0, q1, … of which so many of the samples are right."""
    return pd.DataFrame(
        {"question_id": f"q{n}", "sample": k, "label": "easy" if k < count else "hard"}
        for n, count in enumerate(right)
        for k in range(samples)
    )


@pytest.fixture
def arm():
    """Two draws of two questions each."""
    rates = difficulty.by_question(sampled([0, 2, 4, 8]))
    more = {
        "characters": [100, 200, 300, 600],
        "topic": ["heart", "heart", "", "lung"],
        "answer": ["B", "B", "C", "A"],
        "draw": [3, 3, 5, 5],
    }
    return rates.assign(**more)


def test_each_draw_and_their_mean(arm):
    table = draws.composition({"half": arm}, rollouts=3).set_index("draw")
    assert list(table.index) == ["all", "3", "5"]
    assert table["questions"].tolist() == [2, 2, 2]
    assert table["hard"].tolist() == [1.5, 2, 1]
    assert table["characters"].tolist() == [300, 150, 450]
    assert table["topic"].tolist() == ["heart", "heart", "lung"]
    assert table["topic_share"].tolist() == [pytest.approx(2 / 3), 1.0, 1.0], "of heart among all questions with a topic"
    assert table["answer"].tolist() == ["B", "B", "A"]
    assert table["answer_share"].tolist() == [0.5, 1.0, 0.5], "of B among all, not the mean of each draw's own letter"
    assert table["pass_rate_mean"].tolist() == pytest.approx([(0 + 2 + 4 + 8) / 32, 2 / 16, 12 / 16])
    first = arm[arm["draw"] == 3]
    assert table.loc["3", "pass_rate_median"] == pytest.approx(first["pass_rate_shrunk"].mean())
    expected = zero_variance(first["posterior_a"], first["posterior_b"], 3).mean()
    assert table.loc["3", "zero_variance"] == pytest.approx(expected)
    assert table.loc["all", "zero_variance"] == pytest.approx(table["zero_variance"].iloc[1:].mean())


def test_a_fixed_draw_has_one_row_and_rates_of_the_trained_model_stand_for_every_arm(arm):
    bare = arm[["question_id", "topic", "answer"]].assign(label="unlabelled", pass_rate=np.nan)  # as a published random arm
    table = draws.composition({"random": bare}, rollouts=3)
    assert len(table) == 1
    assert table[["pass_rate_median", "zero_variance", "characters"]].isna().all().all()
    rates = difficulty.by_question(sampled([4, 4, 4, 4, 0]))
    table = draws.composition({"random": bare, "half": arm.drop(columns="draw")}, rollouts=3, rates=rates)
    assert table["pass_rate_median"].tolist() == pytest.approx([rates["pass_rate_shrunk"].iloc[0]] * 2)


def test_one_greedy_answer_gives_its_own_quartiles_and_no_zero_variance():
    questions = difficulty.by_question(sampled([0, 0, 0, 1], samples=1)).assign(topic="", answer="42")
    row = draws.composition({"self": questions}, rollouts=8).iloc[0]
    assert (row["pass_rate_low"], row["pass_rate_median"], row["pass_rate_high"]) == (0.0, 0.0, 0.25)
    assert np.isnan(row["zero_variance"])
    assert (row["topics"], row["topic"]) == (0, "")


def test_questions_by_pass_rate_are_means_over_draws():
    rates = pd.DataFrame({"question_id": list("abcd"), "pass_rate": [0.0, 0.25, 0.26, 1.0]})
    drawn = pd.DataFrame({"question_id": list("abbd"), "draw": [0, 0, 1, 1]})
    fixed = pd.DataFrame({"question_id": ["c", "unknown"]})
    random, other = composition.by_pass_rate({"random": drawn, "other": fixed}, rates).to_dict("records")
    assert random == {"arm": "random", "never right": 0.5, "up to 25 %": 1.0, "25 to 50 %": 0, "50 to 75 %": 0, "above 75 %": 0.5}
    assert (other["25 to 50 %"], sum(value for name, value in other.items() if name != "arm")) == (1, 1)
