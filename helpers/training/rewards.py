"""The paper's three rewards, with the values of the authors' released code, and a random one: functions from lists to a list, as TRL calls them.

A column `prefill`, if the data has one, is what the prompt already wrote of the completion; it counts as part of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from helpers.questions.answers import TAGS, read_answer, soft_format, strict_format
from helpers.questions.prompts import own_words
from helpers.study.schema import Train


def _whole(completions: list[str], prefill: list[str] | None) -> list[str]:
    """The texts of the model's turns: the prefill of the prompt, then the completion up to where it begins the user's next turn."""
    return [begun + own_words(text) for begun, text in zip(prefill or [""] * len(completions), completions, strict=True)]


def accuracy(
    completions: list[str], answer: list[str], options: list[list[str]], prefill: list[str] | None = None, **_: Any
) -> list[float]:
    """2 for exactly the right letter, bare or in parentheses; 1 if the answer begins with the right option's text.

    A question without options asks for a number: 2 for the right number alone, 1 for the right number as the only one
    among other words. These two are ours, in parallel to the authors' values for letters.

    >>> accuracy(["<answer>B</answer>", "<answer>(B)</answer>", "<answer>Iron</answer>"], ["B"] * 3, [["Zinc", "Iron"]] * 3)
    [2.0, 2.0, 1.0]
    >>> accuracy(["<answer>1,200</answer>", "<answer>1200 ml</answer>", "<answer>12</answer>"], ["1200"] * 3, [[]] * 3)
    [2.0, 1.0, 0.0]
    """
    rewards = []
    for completion, right, texts in zip(_whole(completions, prefill), answer, options, strict=True):
        reading = read_answer(completion, texts)
        rewards.append(0.0 if reading.predicted != right else 2.0 if reading.exact else 1.0)
    return rewards


def format(completions: list[str], prefill: list[str] | None = None, search: list[bool] | None = None, **_: Any) -> list[float]:
    """1 for thinking and answer in order at the beginning (soft), 1 more if nothing else is written (strict).

    search: whether the model has a search tool, whose blocks are then part of the format.

    >>> format(["<think>a</think><answer>B</answer>", "<think>a</think><answer>B</answer> so B", "B"])
    [2.0, 1.0, 0.0]
    """
    tools = search or [False] * len(completions)
    return [
        float(soft_format(text, tool)) + float(strict_format(text, tool))
        for text, tool in zip(_whole(completions, prefill), tools, strict=True)
    ]


def xml_count(completions: list[str], prefill: list[str] | None = None, **_: Any) -> list[float]:
    """A quarter for each of the four tags that occurs exactly once.

    >>> xml_count(["<think>a</think><answer>B</answer>", "<answer>B</answer><answer>C</answer>"])
    [1.0, 0.0]
    """
    return [0.25 * sum(text.count(tag) == 1 for tag in TAGS) for text in _whole(completions, prefill)]


ALL: dict[str, Callable[..., list[float]]] = {"accuracy": accuracy, "format": format, "xml_count": xml_count}
RANDOM = "random"


def random_reward(seed: int, process: int = 0, processes: int = 1) -> Callable[..., list[float]]:
    """A reward that ignores the completion: 2 or 0 with equal probability, drawn from the run's seed and the step.

    It is the negative control of a study (arXiv 2506.10947): what a model learns from it is not due to the choice of questions.
    Several processes get the parts of one draw.
    """

    def random(completions: list[str], trainer_state: Any, **_: Any) -> list[float]:
        draw = np.random.default_rng([seed, trainer_state.global_step]).integers(0, 2, len(completions) * processes)
        return (2.0 * draw[process * len(completions) :][: len(completions)]).tolist()

    return random


def functions(train: Train, seed: int, process: int = 0, processes: int = 1) -> list[Callable[..., list[float]]]:
    """The rewards that TRL computes and logs: the paper's three, and the random one if the run is trained on it."""
    return list(ALL.values()) + ([random_reward(seed, process, processes)] if train.reward == RANDOM else [])


def weights(train: Train) -> list[float]:
    """The weight of each of `functions`. With the random reward the others are logged and weigh nothing."""
    if train.reward == RANDOM:
        return [0.0] * len(ALL) + [1.0]
    return [train.reward_weights.get(name, 1.0) for name in ALL]
