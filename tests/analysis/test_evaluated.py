"""The sentences of 04_eval, built from scores whose outcome is known."""

import numpy as np
import pandas as pd
import pytest

from helpers.analysis import evaluated
from helpers.study.schema_eval import Analysis


def scores(**right):
    """Scores of benchmarks with 400 items of four options; right: how many of them are right."""
    parts = [
        pd.DataFrame({"task": name, "benchmark": name, "filter": "none", "rotation": 0, "group": "robustness", "setting": "0-shot",
                      "item_id": np.arange(400).astype(str), "correct": np.arange(400) < count, "chance": 0.25})
        for name, count in right.items()
    ]  # fmt: skip
    return pd.concat(parts, ignore_index=True)


@pytest.fixture
def analysis():
    return Analysis(resamples=100)


def test_a_training_that_changes_something_is_said_with_points(analysis):
    before, after = scores(same=200, up=200, down=200, more=100), scores(same=202, up=260, down=120)
    table = evaluated.beside_untrained(before, after, "self/seed0", analysis)
    assert set(table["benchmark"]) == {"same", "up", "down"}
    outcome = evaluated.summary(table, "self/seed0", 0.95)
    assert "3 benchmarks with 1,200 items" in outcome
    assert "better on up (+15.0 points) and worse on down (-20.0 points)" in outcome
    assert "same" not in outcome
    assert len(evaluated.accuracies(table, "self/seed0").axes[0].get_yticklabels()) == 3


def test_a_training_that_changes_nothing_is_not_shown_to_differ(analysis):
    table = evaluated.beside_untrained(scores(a=200), scores(a=201), "self/seed0", analysis)
    assert "1 benchmark with 400 items. The trained model does not differ significantly" in evaluated.summary(
        table, "self/seed0", 0.95
    )


def test_the_untrained_model_alone_is_compared_with_guessing(analysis):
    before = scores(known=300, guessed=101)
    table = evaluated.beside_untrained(before, before, "untrained", analysis)
    assert set(table["arm"]) == {"untrained"}
    outcome = evaluated.summary(table, "untrained", 0.95)
    assert "from 25% to 75% right (known). It is significantly better than guessing on 1 of them" in outcome
    assert len(evaluated.accuracies(table, "untrained").axes[0].get_yticklabels()) == 2


def test_a_score_below_chance_or_of_nothing_is_not_better_than_guessing(analysis):
    below, nothing = scores(below=40), scores(numbers=0).assign(chance=0.0)
    before = pd.concat([below, nothing], ignore_index=True)
    table = evaluated.beside_untrained(before, before, "untrained", analysis)
    assert "It is significantly better than guessing on none of them" in evaluated.summary(table, "untrained", 0.95)
