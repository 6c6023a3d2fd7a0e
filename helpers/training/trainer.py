"""The study's trainer: its order of questions, and what it logs beside TRL's metrics."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from accelerate.utils import gather_object
from torch.utils.data import Sampler
from trl.trainer import grpo_trainer

from helpers.models.shared_prefix import reading_once
from helpers.questions.answers import read_answer
from helpers.questions.prompts import own_words
from helpers.training import collapse, live, searching
from helpers.training.determinism import deterministic
from helpers.training.shared_prompts import SharedPrompts


class RotatedSampler(Sampler):
    """TRL's sampler over questions, each drawn with all its rotations: `rotations` rows of the data in turn are one question.

    sampler: TRL's over the rows. A step's rows are whole questions, so its number of groups is a multiple of `rotations`.
    """

    def __init__(self, sampler: Any, rotations: int) -> None:
        self.sampler, self.rotations = sampler, rotations
        self.repeats, self.generator = sampler.mini_repeat_count, sampler.generator
        sampler.num_samples //= rotations
        sampler.batch_size //= rotations
        sampler.mini_repeat_count = 1
        self.num_samples = sampler.num_samples

    def __iter__(self) -> Iterator[int]:
        for question in self.sampler:
            for rotation in range(self.rotations):
                yield from [question * self.rotations + rotation] * self.repeats

    def __len__(self) -> int:
        return len(self.sampler) * self.rotations * self.repeats


class Trainer(SharedPrompts):
    """TRL's trainer, quiet: completions go to files (TRL's own Parquet), not as rich tables into the log.

    rotations: how many rows of the data in turn are one question with its options rotated.
    """

    epochs_done = 0  # set on resume
    rotations = 1
    notes: dict[str, Any] = {}

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        grpo_trainer.is_rich_available = lambda: False
        # A run resumed after its last step has no rollouts to log, and must not overwrite those of that step.
        self.log_completions = bool(self._logs["prompt"])
        super().log(logs, start_time)
        if self.log_completions and self.accelerator.is_main_process:
            live.rollouts(self)

    def _get_train_sampler(self, dataset: Any = None) -> Any:
        """The order of questions; on resume, moved on by the epochs that are done (no checkpoint keeps its generator)."""
        sampler = super()._get_train_sampler(dataset)
        if self.rotations > 1:
            sampler = RotatedSampler(sampler, self.rotations)
        for _ in range(self.epochs_done):
            torch.randperm(sampler.num_samples, generator=sampler.generator)
        return sampler

    def _clock(self) -> float:
        if self.accelerator.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def sync(self) -> None:
        """Give vLLM the weights of this step, if it does not have them; the seconds go into the log."""
        if self.state.global_step != self._last_loaded_step:
            self.vllm_generation.sync_weights()
            self._last_loaded_step = self.state.global_step
            self._metrics["train"]["seconds_sync"].append(self.vllm_generation.seconds)

    def _generate(self, prompts: list[Any]) -> Any:
        """The rollouts of a step; the seconds they take are logged, those of the synchronisation with vLLM included."""
        begun = self._clock()
        with deterministic(False):  # the engine's sampling has its own seeds
            if self.use_vllm:
                self.sync()
                self.vllm_generation.step = self.state.global_step
            made = super()._generate(prompts)
        self._metrics["train"]["seconds_generation"].append(self._clock() - begun)
        return made

    def _generate_single_turn(self, *args: Any, **options: Any) -> Any:
        """TRL's; where one process has the whole model, transformers reads what prompts share once (`shared_prefix.read_once`)."""
        if self.use_vllm or self.accelerator.num_processes > 1:
            return super()._generate_single_turn(*args, **options)
        with reading_once(self.model, self.max_completion_length):
            return super()._generate_single_turn(*args, **options)

    def _calculate_rewards(self, inputs: Any, prompts: Any, completions: list[str], *args: Any) -> torch.Tensor:
        """Rewards of all processes' completions, shape (completions, rewards); the signs of a collapse are logged.

        Where rollouts search, `completions` hold what was inserted; the rewards read what the model wrote.
        """
        columns = ["question_id", "rotation"] if self.rotations > 1 else ["question_id"]
        if "searches" in inputs[0]:
            columns += ["own", "searches"]
            completions = [row["own"] for row in inputs]
            for name, values in searching.measures(inputs).items():
                self._metrics["train"][name].append(float(np.mean(self._gathered(values))))
        for column in columns:
            self._log_completion_extra(column, [row[column] for row in inputs])
        given = [
            read_answer(row["prefill"] + own_words(text), row["options"]).predicted
            for row, text in zip(inputs, completions, strict=True)
        ]
        rewards = super()._calculate_rewards(inputs, prompts, completions, *args)
        for name, value in collapse.of_step(self._gathered(given), rewards[:, 0], self.num_generations).items():
            self._metrics["train"][name].append(value)
        return rewards

    def _gathered(self, values: list[Any]) -> list[Any]:
        return gather_object(values) if self.accelerator.num_processes > 1 else values

    def _generate_and_score_completions(self, inputs: Any) -> dict[str, Any]:
        logged = self._metrics["train"]
        begun, generation = self._clock(), sum(logged["seconds_generation"])
        made = super()._generate_and_score_completions(inputs)
        generation = sum(logged["seconds_generation"]) - generation
        logged["seconds_log_probabilities"].append(self._clock() - begun - generation)
        return made
