"""Values of the three rewards, and the advantage that TRL makes of them."""

import datasets
import pandas as pd
import pytest
import small_runs
import torch

from helpers.training import checkpoints, grpo, rewards

OPTIONS = [["Zinc", "Iron", "Iodine", "Copper"]]


@pytest.mark.parametrize(
    ("completion", "accuracy", "format", "tags"),
    [
        ("<think>x</think>\n<answer>B</answer>", 2, 2, 1.0),
        ("<think>x</think>\n<answer>(B)</answer>", 2, 2, 1.0),
        ("<think>x</think>\n<answer>iron, since</answer>", 1, 2, 1.0),
        ("<think>x</think>\n<answer>C</answer>", 0, 2, 1.0),
        ("<think>x</think>\n<answer>B</answer> indeed", 2, 1, 1.0),
        ("<think>x</think>\n<answer>B</answer>\n\nUser: next", 2, 2, 1.0),
        ("<answer>B</answer>", 2, 0, 0.5),
        ("<think><think>x</think>\n<answer>B</answer>", 2, 1, 0.75),
        ("B", 0, 0, 0.0),
    ],
)
def test_values(completion, accuracy, format, tags):
    assert rewards.accuracy([completion], ["B"], OPTIONS) == [accuracy]
    assert rewards.format([completion]) == [format]
    assert rewards.xml_count([completion]) == [tags]


@pytest.mark.parametrize(
    ("block", "reward"),
    [("1200", 2), ("$1,200.00", 2), ("1,200 ml", 1), ("120", 0), ("-1200", 0), ("1200 = 1200", 0), ("A", 0), ("", 0)],
)
def test_numbers(block, reward):
    data = datasets.Dataset.from_list([{"answer": "1200", "options": []}, {"answer": "B", "options": OPTIONS[0]}])
    texts = [f"<think>x</think>\n<answer>{block}</answer>", "<think>x</think>\n<answer>B</answer>"]
    assert rewards.accuracy(texts, answer=data["answer"], options=data["options"]) == [reward, 2]


def test_what_the_prompt_wrote_already_counts():
    rest = "x</think>\n<answer>B</answer>"
    assert rewards.format([rest]) == [0.0]
    assert rewards.format([rest], prefill=["<think>"]) == [2.0]
    assert rewards.xml_count([rest], prefill=["<think>"]) == [1.0]


def trainer(tiny, tmp_path, **train):
    """The study's trainer on the tiny model and twelve questions."""
    return small_runs.trainer(tmp_path, **train)


def test_rewards_1_0_1_give_a_first_advantage_of_one_third(tiny, tmp_path, monkeypatch):
    monkeypatch.setitem(rewards.ALL, "accuracy", scripted := lambda completions, **_: [1.0, 0.0, 1.0] * (len(completions) // 3))
    scripted.__name__ = "accuracy"
    for name in ("format", "xml_count"):
        monkeypatch.setitem(rewards.ALL, name, nothing := lambda completions, **_: [0.0] * len(completions))
        nothing.__name__ = name
    made = trainer(tiny, tmp_path, epochs=1 / 3)
    _, rollouts = grpo.run(made, "mark")
    assert len(rollouts) == 12
    advantages = rollouts["advantage"].to_numpy().reshape(4, 3)
    assert advantages == pytest.approx(torch.tensor([[1 / 3, -2 / 3, 1 / 3]] * 4).numpy(), abs=1e-6)
    assert rollouts.groupby("question_id")["advantage"].sum().abs().max() < 1e-6


def test_one_seed_twice_gives_one_adapter_and_another_seed_another(tiny, tmp_path, monkeypatch):
    monkeypatch.setitem(rewards.ALL, "accuracy", by_length := lambda completions, **_: [float(len(c) % 3) for c in completions])
    by_length.__name__ = "accuracy"

    def weights(place, seed):
        made = trainer(tiny, tmp_path / place, epochs=2 / 3, seed=seed)
        grpo.run(made, "mark")
        return torch.cat([p.detach().flatten() for name, p in made.model.named_parameters() if "lora_B" in name])

    first = weights("first", 0)
    assert first.abs().max() > 0
    assert torch.equal(first, weights("second", 0))
    assert not torch.equal(first, weights("other", 1))


def killed_after(made, step):
    """Run a trainer that dies as soon as it has saved the checkpoint of `step`."""
    save = made._save_checkpoint

    def save_then_die(*args):
        save(*args)
        if made.state.global_step == step:
            raise KeyboardInterrupt

    made._save_checkpoint = save_then_die
    with pytest.raises(KeyboardInterrupt):
        grpo.run(made, "mark")


def test_the_log_has_each_step_once_also_after_a_kill(tiny, tmp_path):
    killed_after(trainer(tiny, tmp_path), 2)
    (tmp_path / "checkpoints" / "checkpoint-9").mkdir()  # cut short by the kill: no trainer_state.json
    log, rollouts = grpo.run(trainer(tiny, tmp_path), "mark")
    assert log["step"].tolist() == [1, 2, 3]
    assert rollouts["step"].value_counts().to_dict() == {1: 12, 2: 12, 3: 12}
    assert not (tmp_path / "checkpoints" / "checkpoint-9").exists()
    whole, _ = grpo.run(trainer(tiny, tmp_path / "whole"), "mark")
    pd.testing.assert_series_equal(log["reward"], whole["reward"])


def test_a_run_resumed_in_its_second_epoch_sees_the_questions_of_that_epoch(tiny, tmp_path):
    _, rollouts = grpo.run(trainer(tiny, tmp_path / "whole", epochs=2), "mark")
    killed_after(trainer(tiny, tmp_path, epochs=2), 4)
    _, resumed = grpo.run(trainer(tiny, tmp_path, epochs=2), "mark")
    assert resumed["question_id"].tolist() == rollouts["question_id"].tolist()


def test_a_run_resumed_after_its_last_step_keeps_that_steps_rollouts(tiny, tmp_path):
    log, rollouts = grpo.run(trainer(tiny, tmp_path), "mark")
    again, kept = grpo.run(trainer(tiny, tmp_path), "mark")
    pd.testing.assert_frame_equal(rollouts, kept)
    assert again["step"].tolist() == log["step"].tolist()


def test_other_inputs_do_not_continue_old_checkpoints(tiny, tmp_path):
    grpo.run(trainer(tiny, tmp_path, epochs=1 / 3), "mark")
    assert checkpoints.last_checkpoint(tmp_path / "checkpoints").name == "checkpoint-1"
    log, _ = grpo.run(trainer(tiny, tmp_path, epochs=1 / 3), "another mark")
    assert log["step"].tolist() == [1]
