"""Every guard is made to fire, and does not fire without its reason."""

import pandas as pd

from helpers import guards


def answers(cut, unread):
    return pd.DataFrame(
        {"finish_reason": ["length"] * cut + ["stop"] * (10 - cut), "predicted": [None] * unread + ["A"] * (10 - unread)}
    )


def test_answers_of_a_filter():
    assert guards.filter_answers(answers(3, 2), "self", 0.2) == []
    (line,) = guards.filter_answers(answers(4, 0), "self", 0.2)
    assert line == "Filter self: 40% of the answers were cut off; raise max_new_tokens."
    (line,) = guards.filter_answers(answers(0, 3), "self", 0.2)
    assert "no answer could be read from 30% of the completions" in line


def test_contamination():
    assert guards.contamination(0, 103) == []
    assert guards.contamination(2, 103)[0].startswith("2 of 103 pool questions occur in a benchmark and were dropped")


def test_training():
    log = pd.DataFrame({"clipped_share": [0.2, 0.2], "frac_reward_zero_std": [1.0, 0.5]})
    assert guards.training(log, "random") == []
    assert "50% of the completions were cut off" in guards.training(log.assign(clipped_share=0.5), "random")[0]
    assert "nothing was learned" in guards.training(log.assign(frac_reward_zero_std=1.0), "random")[0]


def test_trained_weights():
    assert guards.trained_weights({}, "untrained") == []
    assert guards.trained_weights({"largest_weight": 0.1, "largest_logit_change": 0.2}, "random/seed0") == []
    assert (
        "training changed no weight"
        in guards.trained_weights({"largest_weight": 0.0, "largest_logit_change": 0.0}, "random/seed0")[0]
    )


def scores(right, items=100, chance=0.25, unread=0):
    return pd.DataFrame({"benchmark": "mmlu_law", "filter": "none", "rotation": 0, "chance": chance, "correct": [True] * right + [False] * (items - right),
                         "predicted": [None] * unread + ["A"] * (items - unread), "response": ["text"] * items})  # fmt: skip


def test_scores_below_chance():
    # one standard error of chance is sqrt(0.25 * 0.75 / 100) = 4.3 points, so four of them end at 7.7 %
    assert guards.scores(scores(8), "untrained", 0.2) == []
    (line,) = guards.scores(scores(7), "untrained", 0.2)
    assert "7.0% is more than four standard errors below chance (25.0%, 100 items)" in line
    assert guards.scores(scores(0, chance=0.0), "untrained", 0.2) == []


def test_answers_that_could_not_be_read():
    (line,) = guards.scores(scores(30, unread=21), "untrained", 0.2)
    assert line == "untrained on mmlu_law: no answer could be read from 21% of the completions."
    assert guards.scores(scores(30, unread=20), "untrained", 0.2) == []
