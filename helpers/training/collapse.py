"""Collapse: a model that gives one answer whatever the question. How it is recognised, and when it ends a run.

Near chance, one letter earns as much reward as thinking: with 48 completions per step and a learning rate of 1e-4, 14 of 15 runs of a probe
(`parameters/recipes/steady.yaml`) ended with one letter or without a group whose rewards differ.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from helpers.study.files import write_json

HOPELESS_SHARE, HOPELESS_STEPS = 0.9, 10  # one answer in this share of completions, in each of this many steps
FLAT_SHARE, FLAT_STEPS = 0.97, 30  # mean share of groups without a difference in accuracy, over this many steps
STOPPED = "stopped.json"


def of_step(answers: Sequence[str | None], accuracy: torch.Tensor, rollouts: int) -> dict[str, float]:
    """What a step logs: the share of its completions that give the most frequent answer, and of its groups whose accuracy is all equal.

    answers: one per completion, None where none can be read. accuracy: rewards, groups of `rollouts` in turn.

    >>> of_step(["B", "B", "A", None], torch.tensor([2.0, 2.0, 0.0, 2.0]), 2)
    {'top_answer_share': 0.5, 'accuracy_zero_variance': 0.5}
    """
    given = Counter(answer for answer in answers if answer is not None)
    groups = accuracy.view(-1, rollouts)
    flat = (groups == groups[:, :1]).all(1).float().mean()
    return {"top_answer_share": max(given.values(), default=0) / len(answers), "accuracy_zero_variance": float(flat)}


def hopeless(history: Sequence[dict[str, Any]]) -> str:
    """Why a run will not recover, in a sentence; "" while it may. history: what was logged, one mapping per step."""
    top = [row["top_answer_share"] for row in history[-HOPELESS_STEPS:]]
    flat = [row["accuracy_zero_variance"] for row in history[-FLAT_STEPS:]]
    if len(top) == HOPELESS_STEPS and min(top) >= HOPELESS_SHARE:
        return f"one answer in at least {min(top):.0%} of the completions of {HOPELESS_STEPS} steps in a row"
    if len(flat) == FLAT_STEPS and sum(flat) / FLAT_STEPS >= FLAT_SHARE:
        return f"accuracy was equal in {sum(flat) / FLAT_STEPS:.0%} of the groups of the last {FLAT_STEPS} steps"
    return ""


class StopOnCollapse(TrainerCallback):
    """Ends a hopeless run after the step that shows it, with a checkpoint; why and when goes to `stopped.json` in the run's folder."""

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        why = hopeless([row for row in state.log_history if "top_answer_share" in row])
        if why and state.global_step < state.max_steps:
            control.should_training_stop = control.should_save = True
            if state.is_world_process_zero:
                found = {"stopped_at": state.global_step, "planned": state.max_steps, "why": why}
                write_json(found, Path(args.output_dir) / STOPPED)
