"""What a run logs: seconds by phase, steps left out, what tells a collapse; and how a hopeless run is ended."""

import pandas as pd
import pytest
import torch
from small_runs import by_length, prescribe, questions, trainer

from helpers.analysis import checks
from helpers.questions.rotation import rotate_questions, rotated
from helpers.study.errors import StudyError
from helpers.study.schema import Follow, Train
from helpers.training import checkpoints, collapse, follow, grpo, rewards


def test_a_step_whose_gradient_is_not_finite_is_left_out(tiny, tmp_path):
    made = trainer(tmp_path, max_steps=1)
    before = {name: value.detach().clone() for name, value in made.model.named_parameters()}
    plain = made.compute_loss
    made.compute_loss = lambda *args, **options: plain(*args, **options) * float("nan")
    made.train()
    log = grpo.log_table(made.state.log_history)
    assert log["skipped"].tolist() == [1.0]
    assert all(torch.equal(value, before[name]) for name, value in made.model.named_parameters())
    assert checks.training(log.assign(clipped_share=0.0, frac_reward_zero_std=0.0), "self")[0].value == "1 of 1"


def test_the_log_has_the_seconds_of_each_phase(tiny, tmp_path):
    made = trainer(tmp_path, max_steps=1, beta=0.1)
    made.train()
    log = grpo.log_table(made.state.log_history)
    assert (log[["seconds_generation", "seconds_log_probabilities"]] > 0).all(axis=None)
    assert (log["seconds_generation"] + log["seconds_log_probabilities"] < log["seconds"]).all()
    assert {"entropy", "kl", "top_answer_share", "accuracy_zero_variance"} <= set(log)


# Random reward


def test_the_random_reward_looks_at_nothing_and_is_seeded_by_run_and_step(tiny, tmp_path):
    step = type("State", (), {"global_step": 3})
    draw = rewards.random_reward(5)(["x"] * 400, trainer_state=step)
    assert set(draw) == {0.0, 2.0}
    assert 0.4 < sum(draw) / 800 < 0.6
    assert rewards.random_reward(5)(["y"] * 400, trainer_state=step) == draw
    assert rewards.random_reward(6)(["x"] * 400, trainer_state=step) != draw
    halves = [rewards.random_reward(5, process, 2)(["x"] * 200, trainer_state=step) for process in (0, 1)]
    assert halves[0] + halves[1] == draw


def test_a_run_on_the_random_reward_counts_nothing_else(tiny, tmp_path):
    log, table = grpo.run(trainer(tmp_path, reward="random", epochs=1 / 3), "mark")
    assert table["reward_random"].isin([0.0, 2.0]).all()
    assert log["reward"].tolist() == log["reward_random"].tolist()
    centred = table["reward_random"] - table.groupby("question_id")["reward_random"].transform("mean")
    assert table["advantage"].to_numpy() == pytest.approx(centred.to_numpy(), abs=1e-6)
    assert rewards.weights(Train(reward="random")) == [0, 0, 0, 1]


# Rotated options


def test_options_move_and_the_answer_follows():
    rows = pd.DataFrame({"question_id": ["q"], "question": ["?"], "options": [["w", "x", "y", "z"]], "answer": ["B"]})
    made = rotate_questions(rows)
    assert made["rotation"].tolist() == [0, 1, 2, 3]
    assert made["answer"].tolist() == ["B", "C", "D", "A"]
    assert all(options["ABCD".index(answer)] == "x" for options, answer in zip(made["options"], made["answer"], strict=True))
    assert rotated(["w", "x", "y", "z"], "B", 4) == (["w", "x", "y", "z"], "B")


@pytest.mark.parametrize(("options", "found"), [([], "no options \\(numbers are asked for\\)"), (list("abcde"), "5 options")])
def test_pools_that_cannot_be_rotated_are_refused(options, found):
    rows = pd.DataFrame({"question": ["?"], "options": [options], "answer": ["A"]})
    with pytest.raises(StudyError, match=f"train.rotate_options: needs questions with 4 options each; this pool's have {found}"):
        rotate_questions(rows)


def test_all_rotations_of_a_question_are_in_one_step(tiny, tmp_path):
    made = trainer(tmp_path, rotate_options=True, batch_size=12, gradient_accumulation=2, epochs=2, count=4)
    prescribe(made)
    log, table = grpo.run(made, "mark")
    assert len(log) == 4  # 4 questions, 2 per step, twice
    for _, step in table.groupby("step"):
        assert step["question_id"].nunique() == 2
        assert step.groupby(["question_id", "rotation"]).size().tolist() == [3] * 8
    assert table.loc[table["step"] <= 2, "question_id"].nunique() == 4
    assert table.groupby(["step", "question_id", "rotation"])["advantage"].sum().abs().max() < 1e-5


def test_a_step_holds_whole_rotations():
    with pytest.raises(ValueError, match="multiple of 4 rotations × 3 rollouts"):
        Train(rotate_options=True, batch_size=9, gradient_accumulation=1)
    assert Train(rotate_options=True, batch_size=12, gradient_accumulation=2).questions_per_step == 2


# Collapse


def test_hopeless_runs():
    def history(top, flat, steps):
        return [{"top_answer_share": top, "accuracy_zero_variance": flat}] * steps

    assert collapse.hopeless(history(0.5, 0.5, 100)) == ""
    assert collapse.hopeless(history(0.95, 0.5, 9)) == ""
    assert collapse.hopeless(history(0.95, 0.5, 10)) == "one answer in at least 95% of the completions of 10 steps in a row"
    assert collapse.hopeless(history(0.5, 0.98, 30)) == "accuracy was equal in 98% of the groups of the last 30 steps"
    assert collapse.hopeless(history(0.95, 0.98, 40) + history(0.2, 0.5, 30)) == ""


def test_warnings_of_a_collapse():
    log = pd.DataFrame({"step": range(1, 41), "reward": [1.0 + step / 40 for step in range(40)], "clipped_share": 0.0,
                        "frac_reward_zero_std": 0.2, "top_answer_share": 0.4, "accuracy_zero_variance": 0.5})  # fmt: skip
    assert checks.training(log, "a") == []
    one = checks.training(log.assign(top_answer_share=[0.4] * 20 + [0.7] * 10 + [0.4] * 10), "a")
    assert [notice.value for notice in one] == ["up to 70%"]
    assert checks.training(log.assign(top_answer_share=[0.4, 0.7] * 20), "a") == []
    assert "almost all groups" in checks.training(log.assign(accuracy_zero_variance=[0.5] * 20 + [0.95] * 20), "a")[0].what

    def curve(*accuracy):
        return pd.DataFrame({"step": [0, 20, 40], "accuracy": accuracy, "n": 200})

    assert checks.following(curve(0.30, 0.33, 0.36), log, "a") == []
    assert checks.following(curve(0.30, 0.33, 0.28), log, "a") == []  # within two standard errors
    lower, apart = checks.following(curve(0.30, 0.33, 0.20), log, "a")
    assert lower.value == "30.0% before, 20.0% at the end (200 questions)"
    assert apart.value == "30.0% before, 33.0% at its best, 20.0% at the end (200 questions)"
    assert "The reward rose" in apart.what
    assert len(checks.following(curve(0.30, 0.33, 0.20), log.assign(reward=1.0), "a")) == 1
    (one,) = checks.stopped({"a": {}, "b": {"stopped_at": 3, "planned": 6, "why": "one answer"}})
    assert (one.where, one.value) == ("b", "step 3 of 6: one answer")


def one_letter(made):
    text = made.processing_class("x</think><answer>B</answer>")["input_ids"]
    made._generate_single_turn = lambda prompts, *_: ([text] * len(prompts), None)


def test_a_collapsed_run_ends_early_and_keeps_its_data(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(collapse, "HOPELESS_STEPS", 3)
    for options, steps in (({"stop_on_collapse": True}, 3), ({}, 6)):
        made = trainer(tmp_path / str(steps), epochs=2, **options)
        one_letter(made)
        log, table = grpo.run(made, "mark")
        assert log["step"].max() == steps
        assert log["top_answer_share"].tolist() == [1.0] * steps
        assert log["accuracy_zero_variance"].tolist() == [1.0] * steps
        assert table["step"].nunique() == steps
    folder = tmp_path / "3" / "checkpoints"
    found = grpo.notes(folder)
    assert (found["stopped_at"], found["planned"]) == (3, 6)
    assert found["why"] == "one answer in at least 100% of the completions of 3 steps in a row"
    assert grpo.notes(tmp_path / "6" / "checkpoints") == {"shared_prompts": "on", "base_tensors_changed": 0}
    again, _ = grpo.run(trainer(tmp_path / "3", epochs=2, stop_on_collapse=True), "mark")  # it stays stopped
    assert again["step"].tolist() == [1, 2, 3]
    checkpoints.keep_checkpoints(tmp_path / "3", [2, 5])
    assert all((tmp_path / "3" / f"step{step}" / "adapter_model.safetensors").is_file() for step in (2, 5))


# Following


def test_following_costs_at_most_a_tenth_of_the_completions():
    for steps, completions, wanted, every in (
        (20, 192, 200, 20),
        (125, 12, 200, 20),
        (335, 192, 200, 20),
        (1, 12, 50, 1),
        (83, 48, 30, 1),
    ):
        count, at = follow.rounds(Follow(questions=wanted, every=every), steps, completions)
        assert {0, steps} <= set(at)
        assert count * len(at) <= max(2, 0.1 * steps * completions)


@pytest.mark.parametrize("engine", ["transformers", "vllm"])
def test_held_out_questions_are_asked_during_training_and_not_again_after_a_kill(tiny, tmp_path, monkeypatch, engine):
    from small_runs import install

    install(monkeypatch)
    monkeypatch.setitem(rewards.ALL, "accuracy", by_length)
    monkeypatch.setattr(follow, "SHARE", 1.0)
    held = questions(20).tail(6)
    options = {"engine": engine, "held_out": held, "follow": Follow(questions=6, every=1), "epochs": 2 / 3}

    def items(place, **more):
        log, table = grpo.run(made := trainer(tmp_path / place, **options | more), "mark")
        return log, table, made

    log, table, made = items("followed")
    asked = follow.table(tmp_path / "followed" / "checkpoints")
    assert asked.groupby("step")["question_id"].apply(list).to_dict() == dict.fromkeys((0, 1, 2), held["question_id"].tolist())
    curve = follow.curve(asked)
    assert curve.columns.tolist() == ["step", "accuracy", "valid", "top_answer_share", "n", "seconds"]
    assert curve["n"].tolist() == [6, 6, 6]
    assert made.model.training
    plain, same, _ = items("plain", follow=None)
    assert not (tmp_path / "plain" / "checkpoints" / "following").exists()
    assert same["completion"].tolist() == table["completion"].tolist()  # following changes nothing
    assert plain["loss"].tolist() == log["loss"].tolist()
    (tmp_path / "followed/checkpoints/following/step_00001.parquet").unlink()
    monkeypatch.setattr(follow, "answers", lambda *_: pytest.fail("asked again"))
    grpo.run(trainer(tmp_path / "followed", **options), "mark")
