"""The order of training questions with rotated options: all rotations of a question are in one step, each a group of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch.utils.data import Sampler


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
