"""Rollouts that search: what TRL calls a `rollout_func`, played by the engine that the run has.

TRL keeps inserted tokens out of loss and KL by `env_mask`. Rewards read `own`, which is what the model wrote; `searches` goes into the log.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from helpers.models.engines import Sampling
from helpers.models.transformers_engine import Transformers
from helpers.models.turns import TurnCache
from helpers.search import episodes
from helpers.search.episodes import END, Episode, Tool, Turn
from helpers.training.sampling import noise, seed_of


def rollout_func(tool: Tool, seed: int) -> Callable[[list[str], Any], dict[str, list[Any]]]:
    """TRL's `rollout_func`: prompts, one for each rollout, and the trainer in, tokens out. Noise depends on run seed, step and process only."""

    def rollouts(texts: list[str], trainer: Any) -> dict[str, Any]:
        prompts = trainer._tokenize_prompts(texts)[0]
        drawn = seed_of(seed, trainer.state.global_step, trainer.accelerator.process_index)
        made = play(trainer, tool, prompts, trainer.args.temperature, drawn)
        return {
            "prompt_ids": prompts,
            "completion_ids": [one.tokens for one in made],
            "logprobs": [one.logprobs for one in made] if trainer.use_vllm else None,
            "env_mask": [one.own for one in made],
            "own": [one.text for one in made],
            "searches": [one.record for one in made],
            "inserted": [len(one.tokens) - one.written for one in made],
        }

    return rollouts


def play(trainer: Any, tool: Tool, prompts: Sequence[list[int]], temperature: float, seed: int) -> list[Episode]:
    """One episode for each prompt (tokens), with the trainer's current weights. temperature: 0 is greedy."""
    ends = tuple(trainer.eos_token_ids)
    how = {"limit": trainer.max_completion_length, "ends": ends}
    if trainer.use_vllm:
        with noise(seed):  # vLLM draws from the generators of its process
            return episodes.run(prompts, trainer.vllm_generation.turn(temperature), tool, trainer._tokenizer, **how)
    model, turns, made = trainer.accelerator.unwrap_model(trainer.model), itertools.count(), []
    engine = Transformers(model=model)
    at_once = trainer.args.per_device_train_batch_size * trainer.args.gradient_accumulation_steps
    model.eval()
    for start in range(0, len(prompts), at_once):
        write = _by(engine, ends, temperature, seed, turns, trainer._tokenizer)
        made += episodes.run(prompts[start : start + at_once], write, tool, trainer._tokenizer, **how)
    model.train()
    return made


def _by(
    engine: Transformers, ends: tuple[int, ...], temperature: float, seed: int, turns: Iterator[int], tokenizer: Any
) -> episodes.Write:
    """Turns by the model that is trained, in transformers; each turn has a seed of its own."""
    cache = TurnCache()

    def write(texts: list[list[int]], limits: list[int], _: list[int]) -> list[Turn]:
        sampling = Sampling(max(limits), temperature, ends, (END,))
        with noise(0):  # the engine seeds this process's generators
            written = engine.write(texts, sampling, [seed_of(seed, next(turns))], tokenizer, limits, cache)
        return [Turn(tokens) for tokens in written]

    return write


def measures(rows: Sequence[dict[str, Any]]) -> dict[str, list[float]]:
    """The logged columns of a step's searches, one value per rollout. rows: the inputs of the rewards, with what `rollout_func` returned."""
    counts = [float(len(json.loads(row["searches"]))) for row in rows]
    return {
        "searching_share": [float(count > 0) for count in counts],
        "searches": counts,
        "inserted_length": [float(row["inserted"]) for row in rows],
    }
