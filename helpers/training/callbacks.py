"""Callbacks of a run: a progress bar, and a check that skips steps whose gradient is not finite."""

from __future__ import annotations

from typing import Any

import torch
from transformers import TrainerCallback

from helpers.study.progress import progress


class Progress(TrainerCallback):
    """One bar with the time left, of the first process: in JupyterLab a bar, in a log a line now and then."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        hidden = not state.is_world_process_zero
        self.bar = progress(total=state.max_steps, initial=state.global_step, desc="optimiser steps", unit="step", disable=hidden)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        if logs and "reward" in logs:
            self.bar.set_postfix_str(f"reward {logs['reward']:.2f}, length {logs['completions/mean_length']:.0f}")
            self.bar.update(state.global_step - self.bar.n)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.bar.close()


class Finite(TrainerCallback):
    """Skips an optimiser step if its gradient is not a finite number: one such step makes every weight NaN permanently.

    How often that was is logged as `skipped`. Where DeepSpeed keeps the gradients, nothing is checked.
    """

    def __init__(self, trainer: Any) -> None:
        self.trainer = trainer

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        held = [parameter for parameter in self.trainer.model.parameters() if parameter.grad is not None]
        if not held:
            return
        norm = torch.nn.utils.get_total_norm([parameter.grad for parameter in held])
        norm = norm.full_tensor() if hasattr(norm, "full_tensor") else norm
        broken = (~norm.isfinite()).float()
        if torch.distributed.is_initialized():  # each holds a part of the gradients: all leave the step out, or none
            torch.distributed.all_reduce(broken, torch.distributed.ReduceOp.MAX)
        if broken:
            for parameter in held:
                parameter.grad = None
        self.trainer._metrics["train"]["skipped"].append(float(broken))
