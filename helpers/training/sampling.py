"""Rollouts by vLLM: TRL's backend with noise that depends on the run's seed and step, and with weights that leave the base untouched."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from trl.generation import vllm_generation
from trl.generation.vllm_generation import VLLMGeneration
from trl.trainer import grpo_trainer

from helpers.models import device
from helpers.models.shape import cache_bytes, shape_of
from helpers.search.episodes import END, Turn, Write
from helpers.study.schema import Train
from helpers.training import adapter

VLLM_PART = 0.3  # of a GPU's memory, or of the share that is lent, for vLLM's weights and cache beside the training
PER_REQUEST = 16  # requests sent to a server at a time


def seed_of(*parts: int) -> int:
    """One seed from several numbers (run seed, step, process, …): equal for equal numbers, unrelated for others.

    >>> seed_of(0, 1) == seed_of(0, 1), seed_of(0, 1) == seed_of(1, 0)
    (True, False)
    """
    return int(np.random.SeedSequence(parts).generate_state(1)[0])


@contextlib.contextmanager
def noise(seed: int) -> Iterator[None]:
    """A context in which all global generators of this process begin at `seed`; their states are restored afterwards."""
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    on_gpu = torch.cuda.get_rng_state() if torch.cuda.is_available() else None
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.set_rng_state(before[2])
        if on_gpu is not None:
            torch.cuda.set_rng_state(on_gpu)


class Sampler(VLLMGeneration):
    """TRL's vLLM backend for one run.

    seed: the run's; step: set before each generation; merge: let TRL merge the adapter into the base, as by default;
    complete: the engine has all weights of the base; seconds: of the last synchronisation of weights.

    TRL seeds a colocated engine with the index of the process, so that all runs sample from one stream (huggingface/trl#7040), and a
    resumed run samples from its beginning again. vLLM draws from the generators of its process, which begin each step at a
    seed of their own here. (A seed per request would draw row by row, and equal seeds make the rollouts of a group equal.)
    """

    seed = step = 0
    merge = complete = False
    seconds = 0.0

    def generate(self, prompts: list[list[int]], images: Any, num_generations: int, profiler: Any = None) -> tuple[Any, ...]:
        if self.mode == "server":
            with self._seeded_requests():
                return super().generate(prompts, images, num_generations, profiler)
        with noise(seed_of(self.seed, self.step, self.accelerator.process_index)):
            return super().generate(prompts, images, num_generations, profiler)

    @contextlib.contextmanager
    def _seeded_requests(self) -> Iterator[None]:
        """One request per prompt, each with its own seed; vLLM adds the number of the rollout to it."""
        if not self.accelerator.is_main_process:
            yield
            return
        usual = self.vllm_client.generate

        def each(prompts: list[Any], generation_kwargs: dict[str, Any], **options: Any) -> dict[str, list[Any]]:
            def one(place: int) -> dict[str, list[Any]]:
                seeded = generation_kwargs | {"seed": seed_of(self.seed, self.step, place) % 2**31}
                return usual([prompts[place]], generation_kwargs=seeded, **options)

            with ThreadPoolExecutor(PER_REQUEST) as pool:
                written = list(pool.map(one, range(len(prompts))))
            return {key: [value for part in written for value in part[key]] for key in written[0]}

        with patch.object(self.vllm_client, "generate", each):
            yield

    def sync_weights(self) -> None:
        """Give the engine the current weights: all of them at first, then what the adapter changes."""
        begun = time.perf_counter()
        if self.mode == "server" or not self._apart():
            super().sync_weights()
        else:
            self.llm.llm_engine.model_executor.driver_worker.model_runner.model.load_weights(self._iter_named_params())
            self.llm.reset_prefix_cache()
            self.complete = True
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.seconds = time.perf_counter() - begun

    def _apart(self) -> bool:
        """Whether base + adapter is computed here; sharded weights are gathered and merged by TRL."""
        sharded = self._dist.is_fsdp or self._dist.is_zero3
        return not self.merge and not sharded and hasattr(self.model, "peft_config") and adapter.can_merge_apart(self.model)

    def _iter_named_params(self) -> Iterator[tuple[str, torch.Tensor]]:
        if not self._apart():
            return super()._iter_named_params()
        return adapter.merged(self.model, everything=self.mode == "server" or not self.complete)

    def turn(self, temperature: float) -> Write:
        """How a colocated engine goes on with texts that search (`helpers.search.episodes`). temperature: 0 is greedy."""
        options = {"top_p": 1.0, "top_k": 0, "repetition_penalty": 1.0, "temperature": temperature, "logprobs": 0}
        options |= self.generation_kwargs | {"stop": [END], "detokenize": True}

        def write(texts: list[list[int]], limits: list[int], _: list[int]) -> list[Turn]:
            sampled = [vllm_generation.SamplingParams(**options, max_tokens=most) for most in limits]
            written = self.llm.generate([{"prompt_token_ids": ids} for ids in texts], sampling_params=sampled, use_tqdm=False)
            logprobs, _ = vllm_generation.extract_logprobs(written)
            return [
                Turn(list(one.outputs[0].token_ids), [place[0] for place in places])
                for one, places in zip(written, logprobs, strict=True)
            ]

        return write

    def ask(self, prompts: list[list[int]], limit: int) -> list[list[int]]:
        """Greedy completions (tokens) by the engine with the weights it has."""
        if self.mode == "server":
            how = {"temperature": 0.0, "max_tokens": limit, "generation_kwargs": self.generation_kwargs}
            return self.vllm_client.generate(prompts, **how)["completion_ids"]
        greedy = vllm_generation.SamplingParams(
            temperature=0.0, top_p=1.0, top_k=0, repetition_penalty=1.0, max_tokens=limit, **self.generation_kwargs
        )
        with noise(0):
            written = self.llm.generate([{"prompt_token_ids": ids} for ids in prompts], sampling_params=greedy, use_tqdm=False)
        return [list(one.outputs[0].token_ids) for one in written]


def options(train: Train, longest: int, ends: list[int], shared: bool) -> dict[str, Any]:
    """TRL's options for rollouts by vLLM: inside the training process, or by a server (`vllm serve`) that the training names.

    longest: tokens of the longest prompt. ends: tokens that end a rollout; by default vLLM reads them from the model's files. vLLM's
    probabilities differ a little from those of the training, so each rollout is weighted by their ratio, or left out where that is
    above 3 (TRL's default, stated since defaults move). On shared prompts `loss.correction` does so without another forward.
    """
    if train.vllm_server:
        where = {"vllm_mode": "server", "vllm_server_base_url": train.vllm_server, "generation_kwargs": {"stop_token_ids": ends}}
    else:
        where = {
            "vllm_mode": "colocate",
            "generation_kwargs": {"stop_token_ids": ends, "detokenize": False},  # TRL reads the tokens
            "vllm_gpu_memory_utilization": VLLM_PART * device.share(),
            "vllm_max_model_length": longest + train.max_completion_tokens,
        }
    return where | {
        "use_vllm": True,
        "vllm_importance_sampling_correction": not shared,
        "vllm_importance_sampling_mode": "sequence_mask",
        "vllm_importance_sampling_clip_max": 3.0,
    }


@contextlib.contextmanager
def vllm_inside(model: str, train: Train, longest: int, seed: int) -> Iterator[None]:
    """A context in which TRL builds its vLLM backend for runs side by side, for which it has no options.

    The backend is `Sampler`. A colocated engine gets the run's seed, a port of its own (TRL tries 29500 first), prefix caching, and a
    cache for the rollouts of one step at full length: by default vLLM takes what it measures to be free (`vllm_engine.division`).
    """
    own = type("Sampler", (Sampler,), {"seed": seed, "merge": train.sync == "merge"})
    os.environ.setdefault("VLLM_USE_FLASHINFER_SAMPLER", "0")  # whose noise is not all from the process's generators
    with patch.object(grpo_trainer, "VLLMGeneration", own):
        if train.vllm_server or not torch.cuda.is_available():
            yield
            return
        if "LOCAL_RANK" not in os.environ:  # accelerate has given its processes a port
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
        known, process = shape_of(model), int(os.environ.get("RANK", "0"))
        more: dict[str, Any] = {"seed": seed_of(seed, process) % 2**31, "enable_prefix_caching": True}
        if known:
            rows = train.completions_per_step // int(os.environ.get("WORLD_SIZE", "1"))
            more["kv_cache_memory_bytes"] = int(cache_bytes(known, 2, rows, longest + train.max_completion_tokens))
        usual = vllm_generation.LLM
        with patch.object(vllm_generation, "LLM", lambda **given: usual(**given | more)):
            yield
