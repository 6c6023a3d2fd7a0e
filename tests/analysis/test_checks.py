"""Every check warns where it should, and only there."""

import pandas as pd
import pytest

from helpers.analysis import checks
from helpers.selection import draws


def answers(cut, unread):
    read, ends = [None] * unread + list("ABABABABAB")[unread:], ["length"] * cut + ["stop"] * (10 - cut)
    return pd.DataFrame({"finish_reason": ends, "predicted": read, "correct": True, "format_valid": True})


def test_answers_of_a_filter():
    assert checks.filter_answers(answers(3, 2), "self", 0.2) == []
    (line,) = checks.filter_answers(answers(4, 0), "self", 0.2)
    assert line == ("More than a third of a filter's answers were truncated; raise its max_new_tokens", "self", "40%")
    (line,) = checks.filter_answers(answers(0, 3), "self", 0.2)
    assert line.what.startswith("No answer could be read from more than 20% of a filter's completions")
    assert (line.where, line.value) == ("self", "30%")


def test_what_is_wrong_with_all_models_is_said_once():
    fired = [checks.Notice("bad", name, "1%") for name in ("untrained", "self/seed0")] + [checks.Notice("odd", "untrained")]
    assert checks.lines(fired, 2) == ["bad: all 2 models, the untrained one included", "odd: untrained"]
    assert checks.lines(fired, 3) == ["bad: untrained (1%), self/seed0 (1%)", "odd: untrained"]


def test_contamination():
    assert checks.contamination(0, 103) == []
    (line,) = checks.lines(checks.contamination(2, 103))
    assert line == "Pool questions that occur in a benchmark were dropped; 02_split lists them: 2 of 103"


def test_a_filter_that_guesses():
    right = answers(0, 0).assign(correct=[True] * 3 + [False] * 7)
    many = pd.concat([right] * 100)
    assert checks.filter_answers(many, "small", 0.2, 0.25) == []
    (fired,) = checks.filter_answers(many, "small", 0.2, 0.33)
    assert (
        fired.value == "30% of all answers and 30% of the readable ones right, 30% right in the required format, by guessing 33%"
    )
    assert checks.filter_answers(right, "small", 0.2, 0.25)[0].what.endswith(
        "its labels say little about what the model knows"
    )  # ten answers show nothing
    assert checks.filter_answers(many, "small", 0.2) == []
    (fired,) = checks.filter_answers(many.assign(predicted="B"), "small", 0.2, 0.25)
    assert fired.what.endswith("its easy questions are those with that answer")


def test_arms_of_nearly_the_same_questions():
    """Small sets inside large ones are not the same."""
    sets = {"a": range(10), "b": range(1, 11), "c": range(5), "d": range(20, 30)}
    common = draws.common({name: pd.DataFrame({"question_id": list(ids)}) for name, ids in sets.items()})
    assert common.set_index(["first", "second"])["both"].to_dict() == {
        ("a", "b"): 9, ("a", "c"): 5, ("a", "d"): 0, ("b", "c"): 4, ("b", "d"): 0, ("c", "d"): 0
    }  # fmt: skip
    assert [line.split(": ")[-1] for line in checks.lines(checks.arms(common))] == ["a and b (9 of 10)"]


def test_training():
    log = pd.DataFrame({"clipped_share": [0.2, 0.2], "frac_reward_zero_std": [1.0, 0.5]})
    assert checks.training(log, "random") == []
    (cut,) = checks.training(log.assign(clipped_share=0.5), "random")
    assert "completions were truncated" in cut.what
    assert (cut.where, cut.value) == ("random", "50%")
    assert "nothing was learned" in checks.training(log.assign(frac_reward_zero_std=1.0), "random")[0].what
    late = pd.DataFrame({"clipped_share": 0.0, "frac_reward_zero_std": [0.0] * 6 + [1.0, 0.9, 0.8]})
    (dead,) = checks.training(late, "random")
    assert dead.what.startswith("In the last third of a training almost all groups had zero reward variance")
    assert dead.value == "90% of the groups"
    assert checks.training(late.assign(frac_reward_zero_std=[1.0] * 8 + [0.5]), "random") == []


def test_a_negative_control_gets_no_advice_on_what_it_learned():
    """With a random reward a training may end anywhere; that its reward never varied or that it ends lower is still said."""
    log = pd.DataFrame(
        {"step": range(1, 61), "reward": [0.8] * 30 + [1.2] * 30, "clipped_share": 0.5, "frac_reward_zero_std": 0.0,
         "top_answer_share": 0.95, "accuracy_zero_variance": 0.99}
    )  # fmt: skip
    curve = pd.DataFrame({"step": [0, 30, 60], "accuracy": [0.6, 0.6, 0.1], "n": 200})
    assert len(checks.training(log, "x")) == 3
    assert len(checks.following(curve, log, "x")) == 2
    assert checks.training(log, "x", control=True) == []
    (lower,) = checks.following(curve, log, "x", control=True)
    assert lower.what == "Accuracy on held-out questions is lower after a training than before it"
    (never,) = checks.training(log.assign(frac_reward_zero_std=1.0), "x", control=True)
    assert "nothing was learned" in never.what


def test_trained_weights():
    assert checks.trained_weights({}, "untrained") == []
    assert checks.trained_weights({"largest_weight": 0.1, "largest_logit_change": 0.2}, "random/seed0") == []
    (none,) = checks.trained_weights({"largest_weight": 0.0, "largest_logit_change": 0.0}, "random/seed0")
    assert "Training changed no weight" in none.what


def scores(right, items=100, chance=0.25, unread=0):
    return pd.DataFrame({"task": "mmlu", "filter": "none", "rotation": 0, "chance": chance, "correct": [True] * right + [False] * (items - right),
                         "target": (["A", "B"] * items)[:items], "response": ["text"] * items,
                         "predicted": [None] * unread + (["A", "B"] * items)[: items - unread]})  # fmt: skip


def test_one_letter_for_nearly_everything():
    many = scores(30).assign(predicted=["B"] * 76 + ["A"] * 24)
    (line,) = checks.scores(many, "self/seed0", 0.2)
    assert (line.what, line.where, line.value) == (
        "More than 75% of the answers to MMLU name the same letter",
        "self, seed 0",
        "B 76%",
    )
    assert checks.scores(many.assign(predicted=["B"] * 75 + ["A"] * 25), "self/seed0", 0.2) == []
    assert checks.scores(many.assign(predicted="7"), "self/seed0", 0.2) == []  # a number
    assert checks.scores(many.assign(target="B"), "self/seed0", 0.2) == []  # which is right whatever is asked


def test_scores_below_chance():
    # one standard error of chance is sqrt(0.25 * 0.75 / 100) = 4.3 points, so four of them end at 7.7 %
    assert checks.scores(scores(8), "untrained", 0.2) == []
    (line,) = checks.scores(scores(7), "untrained", 0.2)
    assert line.what.startswith("MMLU is more than four standard errors below chance (25.0%)")
    assert line.value == "7.0% of 100"
    assert checks.scores(scores(0, chance=0.0), "untrained", 0.2) == []


def test_answers_that_could_not_be_read():
    (line,) = checks.scores(scores(30, unread=21), "untrained", 0.2)
    assert line == ("No answer could be read from more than 20% of the completions to MMLU", "untrained", "21%")
    assert checks.scores(scores(30, unread=20), "untrained", 0.2) == []


def test_whether_a_filter_knows_more_than_chance():
    labels = pd.DataFrame({"correct": [True] * 36 + [False] * 64})
    assert checks.knows(labels, 0.25)
    assert not checks.knows(labels, 0.33)
    assert checks.knows(labels.assign(correct=[True] + [False] * 99), 0.0)  # nothing to guess: one right answer is knowledge
    assert not checks.knows(labels.assign(correct=False), 0.0)


def test_runs_whose_seed_did_not_reach_the_sampling_of_rollouts():
    old, new, local = {"engine": "vllm"}, {"engine": "vllm", "sampling": "run seed and step"}, {"engine": "transformers"}
    assert checks.sampling([old, old, new, local]) == [(checks.ONE_STREAM, "2 of 4 runs", "")]
    assert checks.sampling([old, new, local]) == []  # one run shares with nobody


@pytest.mark.parametrize(
    ("answers", "filter_warns", "arm_warns"),
    [
        ("BBBB", ["B 100%"], ["B 100%"]),
        ("BBBC", [], ["B 75%"]),  # of a filter, more than three quarters
        ("BBCC", [], []),
        ("ABCD", [], []),
        ("B---", ["B 100%"], []),  # of a filter, of the answers that could be read
        (["42"] * 4, [], []),  # no letters
    ],
)
def test_one_letter_for_everything(answers, filter_warns, arm_warns):
    read = [None if answer == "-" else answer for answer in answers]
    assert [notice.value for notice in checks.filter_letters(pd.DataFrame({"predicted": read}), "self")] == filter_warns
    assert [notice.value for notice in checks.arm_letters(pd.DataFrame({"answer": read}), "half")] == arm_warns


def test_an_arm_whose_draws_are_nearly_the_same_is_named():
    def drawn(*ids):
        return pd.concat([pd.DataFrame({"question_id": one, "draw": seed}) for seed, one in enumerate(ids)])

    first = [str(n) for n in range(20)]
    arms = {
        "near": drawn(first, [*first[1:], "x"], first),  # 19, 20 and 19 of 20 in common
        "random": drawn(first, [*first[5:], *"abcde"]),
        "fixed": pd.DataFrame({"question_id": first}),
    }
    (found,) = checks.draws(arms)
    assert (found.what, found.where, found.value) == (checks.ONE_CHOICE, "near", "two draws share 97% of their questions")


def test_an_arm_whose_most_frequent_letter_is_right_more_often_than_the_model():
    """Draws count, not their mean; the excess has to be more than two standard errors (of 500 questions: 4 points); numbers are no letters."""
    rows = [("hard500", "all", "C", 0.29, 0.21), ("hard500", "0", "C", 0.29, 0.21), ("hard500", "1", "D", 0.31, 0.21), ("hard500", "2", "B", 0.24, 0.21),
            ("random", "all", "B", 0.4, 0.2), ("random", "0", "B", 0.28, 0.27), ("random", "1", "B", 0.4, 0.27), ("sums", "0", "12", 0.3, 0.2)]  # fmt: skip
    table = pd.DataFrame(rows, columns=["arm", "draw", "answer", "answer_share", "pass_rate_mean"]).assign(questions=500)
    assert checks.letter_pays(table) == [checks.Notice(checks.LETTER_PAYS, "hard500", "28% against 21%, in 2 of 3 draws")]
    assert checks.letter_pays(table.assign(pass_rate_mean=float("nan"))) == []
    assert checks.letter_pays(table.assign(questions=50)) == []


def test_seeds_of_an_arm_are_counted_where_a_warning_has_many():
    def said(*values, arm="a"):
        return checks.lines([checks.Notice("wrong", f"{arm}, seed {n}", value) for n, value in enumerate(values)])

    assert said("9%", "10%") == ["wrong: a, seed 0 (9%), a, seed 1 (10%)"]
    assert said("9%", "100%", "10%") == ["wrong: a, 3 seeds (9% to 100%)"]
    assert said("", "", "") == ["wrong: a, 3 seeds"]
    assert said("B 9%", "B 9%", "B 9%") == ["wrong: a, 3 seeds (B 9%)"]
    assert said("12% before, 3% after", "12% before, 1% after", "9%") == [
        "wrong: a, 3 seeds (9%; 12% before, 1% after; 12% before, 3% after)"
    ]
