"""The chapter of an arm's choice: its answer in two sentences, and a figure for each kind of arm."""

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from helpers.analysis import chosen
from helpers.selection import draws
from helpers.study.choices import Arm

ARMS = {
    "random": (Arm(size=4), 0, "This arm trains on 4 of 10 questions: 4 at random.", "characters of the question"),
    "by label": (
        Arm(filter="f", hard=3, easy=1),
        1,
        "3 hard, 1 easy, as labelled by a/model. 25% of them are labelled easy",
        "share of the questions",
    ),
    "by rate": (
        Arm(filter="f", size=4, pass_rate=0.5),
        8,
        "4 with a pass rate near 0.5, as labelled by a/model.",
        "pass rate of the filter",
    ),
}


@pytest.mark.parametrize("kind", ARMS)
def test_words_and_figure_of_an_arm(kind):
    arm, samples, words, label = ARMS[kind]
    pool = pd.DataFrame({"question_id": [f"q{n}" for n in range(10)], "question": ["word " * (n + 1) for n in range(10)]})
    labels = pd.DataFrame(
        [
            {"question_id": f"q{n}", "label": "easy" if k < n * samples / 9 - 0.5 else "hard"}
            for n in range(10)
            for k in range(samples)
        ]
    )
    offered = draws.with_labels(pool, labels if samples else None, "strict")
    drawn, _ = draws.choose(pool, arm, kind, labels if samples else None, 0, "stop")
    assert words in chosen.summary(offered, drawn, arm, "a/model" if samples else None)
    figure = chosen.figure(offered, drawn)
    assert label in figure.axes[0].get_xlabel()
    plt.close(figure)
