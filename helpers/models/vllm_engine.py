"""The engine that runs a model in vLLM, in this process; a LoRA adapter is loaded as an adapter."""

import json
import os
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from functools import cached_property
from typing import Any

import torch
from transformers import AutoConfig, GenerationConfig, PreTrainedTokenizerBase

from helpers.models import device, effect, loading, shape
from helpers.models.engines import Pair, Sampling, Weights, end_of_text
from helpers.models.transformers_engine import Transformers
from helpers.models.turns import TurnCache
from helpers.study.errors import StudyError

RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # the largest LoRA rank is one of these (vllm/config/lora.py)
LEAST_CACHE = 2**28  # bytes below which vLLM could hardly write one answer at a time


class VLLM:
    """vLLM generates; transformers reads log-likelihoods beside it if both fit on the GPU.

    vLLM reads the options of an item one by one, transformers all at once: 53 and 114 items/s of MedQA on one H100, without the
    seconds for loading task files (figures/speed/generation.csv).
    """

    name = "vllm"

    def __init__(self, weights: Weights) -> None:
        # Without a process of its own, vLLM schedules requests in the same order each time.
        os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
        os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
        on_gpu = torch.cuda.is_available()
        if not on_gpu:
            os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")  # GiB
        from vllm import LLM
        from vllm.lora.request import LoRARequest

        self.weights, self.request = weights, None
        both, part, options = division(weights) if on_gpu else (weights.read, 1.0, {})
        self.reads = "transformers" if both else "vllm"
        if weights.adapter:
            config = json.loads((weights.adapter / "adapter_config.json").read_text())
            options |= {"enable_lora": True, "max_loras": 1, "max_lora_rank": next(r for r in RANKS if r >= config["r"])}
            # Only the layers that the adapter has: vLLM also wraps the output layer, and on a CPU scoring a prompt then fails
            # (seen in 0.28: shapes do not match in punica_cpu's add_lora_logits).
            if isinstance(config["target_modules"], list):
                options["lora_target_modules"] = config["target_modules"]
            self.request = LoRARequest("trained", 1, str(weights.adapter))
        try:
            # A notebook's own output has no file behind it, which vLLM needs while it loads.
            with redirect_stdout(sys.__stdout__), redirect_stderr(sys.__stderr__):
                self.llm = LLM(
                    model=weights.source,
                    tokenizer=loading.locate(weights.model)[0],
                    dtype=str(loading.dtype_of(weights.dtype)).removeprefix("torch."),
                    max_model_len=_length(weights),
                    gpu_memory_utilization=part,
                    enforce_eager=not on_gpu,  # a CPU machine may have no compiler
                    generation_config="vllm",  # no defaults of the model, such as a repetition penalty
                    seed=0,
                    disable_log_stats=True,
                    **options,
                )
        except Exception as error:
            raise StudyError(f"{weights.model}: vLLM cannot load it: {' '.join(str(error).split())[:300]}") from error

    @cached_property
    def reader(self) -> Transformers:
        """The same weights in transformers, loaded when log-likelihoods are first read."""
        return Transformers(self.weights)

    @property
    def room(self) -> int:
        return self.llm.llm_engine.model_config.max_model_len

    def ends(self, tokenizer: PreTrainedTokenizerBase) -> list[int]:
        try:
            config = GenerationConfig.from_pretrained(self.weights.source)
        except OSError:  # a model without one has its end tokens in its configuration
            config = GenerationConfig.from_model_config(AutoConfig.from_pretrained(self.weights.source))
        return end_of_text(config, tokenizer)

    def write(
        self,
        prompts: list[list[int]],
        sampling: Sampling,
        seeds: Sequence[int],
        tokenizer: PreTrainedTokenizerBase,
        limits: Sequence[int] | None = None,
        cache: TurnCache | None = None,
    ) -> list[list[int]]:
        """Complete prompts, each with its own seed, so that an answer does not depend on the other prompts."""
        from vllm import SamplingParams

        limits = limits or [sampling.limit] * len(prompts)
        if (longest := max(len(prompt) + most for prompt, most in zip(prompts, limits, strict=True))) > self.room:
            raise StudyError(
                f"{self.weights.model}: prompt and completion take {longest} tokens, vLLM has room for {self.room} here"
            )
        options = [
            SamplingParams(
                max_tokens=most,
                temperature=sampling.temperature,
                top_p=1.0,
                top_k=0,
                repetition_penalty=1.0,
                seed=seed,
                stop_token_ids=list(sampling.ends),
                stop=list(sampling.stops),
                detokenize=bool(sampling.stops),
            )
            for seed, most in zip(seeds, limits, strict=True)
        ]
        return [list(one.outputs[0].token_ids) for one in self._generate(prompts, options, self.request)]

    def read(self, pairs: list[Pair], batch_size: int) -> list[tuple[float, bool]]:
        """Log-likelihoods by transformers (`reader`) if there is room for it, else by vLLM, each answer apart.

        Prompts that are too long are truncated on the left.
        """
        if self.reads == "transformers":
            return self.reader.read(pairs, batch_size)
        texts = [[*prompt, *answer][1 - self.room :] for prompt, answer in pairs]
        found = []
        for (_, answer), places in zip(pairs, self._logprobs(texts, self.request), strict=True):
            chosen = [place[token] for token, place in zip(answer, places[-len(answer) :], strict=True)]
            found.append((sum(one.logprob for one in chosen), all(one.rank == 1 for one in chosen)))
        return found

    def effect(self, tokenizer: PreTrainedTokenizerBase) -> dict[str, float]:
        """`effect.training_effect` of everything that will compute: the reader, if there is one, and vLLM's adapter.

        vLLM scores the tokens of fixed prompts with the adapter and without; `largest_logit_change` is then the largest change of a
        log-probability. A model that was trained as a whole is compared with its base file by file if vLLM does everything, and
        `largest_logit_change` is NaN. Raises StudyError if the trained weights are not used.
        """
        base = lambda: loading.load_model(self.weights.model, self.weights.dtype)  # noqa: E731
        read = effect.training_effect(self.reader.model, tokenizer, base) if self.reads == "transformers" else None
        if self.request is None:
            changed = read or {"largest_weight": effect.largest_change(self.weights.model, self.weights.trained)}
            return {"largest_logit_change": float("nan")} | changed
        texts = [tokenizer(text)["input_ids"] for text in effect.CHECK_PROMPTS]
        with_adapter, without = (
            [one.logprob for text in self._logprobs(texts, request) for place in text[1:] for one in place.values()]
            for request in (self.request, None)
        )
        weight = effect.largest_adapter_weight(self.weights.adapter)
        change = max(abs(a - b) for a, b in zip(with_adapter, without, strict=True))
        if weight > 0 and change == 0:
            raise StudyError(effect.UNUSED.format(what="vLLM's answers"))
        return {"largest_weight": weight, "largest_logit_change": change}

    def _logprobs(self, texts: list[list[int]], request: Any) -> list[list[dict[int, Any]]]:
        """For each text and place, vLLM's log-probability of the token there; nothing at the first place."""
        from vllm import SamplingParams

        scored = SamplingParams(max_tokens=1, temperature=0.0, prompt_logprobs=0)
        return [one.prompt_logprobs for one in self._generate(texts, scored, request)]

    def _generate(self, prompts: list[list[int]], options: Any, request: Any) -> list[Any]:
        return self.llm.generate([{"prompt_token_ids": row} for row in prompts], options, lora_request=request, use_tqdm=False)


def division(weights: Weights) -> tuple[bool, float, dict[str, int]]:
    """How vLLM divides a GPU, or this process's share of one: (transformers reads beside it, its part of the memory, its options).

    Where both fit, transformers gets its copy of the weights and `shape.READ_WORK`. On a GPU that other processes use too, vLLM gets a
    cache of a stated size: by default it takes what it measures to be free, and fails if another process allocates meanwhile. Raises
    StudyError if a share leaves no room for a cache.
    """
    whole, share, size = torch.cuda.get_device_properties(0).total_memory, device.share(), weight_bytes(weights)
    if size is None:  # a model of unknown size: vLLM does everything, and measures
        return False, shape.GPU_PART * share, {}
    mine = shape.GPU_PART * share * whole
    beside = mine - size - shape.READ_WORK
    both = weights.read and beside - size - shape.VLLM_WORK >= LEAST_CACHE
    mine = beside if both else mine
    left = int(mine - size - shape.VLLM_WORK)
    if share < 1 and left < LEAST_CACHE:
        raise StudyError(
            f"{weights.model}: {share:.0%} of this GPU is too little for vLLM; a smaller runs_per_gpu gives each job more"
        )
    return both, mine / whole, {"kv_cache_memory_bytes": left} if share < 1 else {}


def weight_bytes(weights: Weights) -> int | None:
    """Bytes of the weights in memory; None for a model of unknown shape."""
    found = shape.shape_of(weights.model)
    return found and found.parameters() * loading.dtype_of(weights.dtype).itemsize


def _length(weights: Weights) -> int:
    """vLLM's `max_model_len`: on a GPU -1 (as many tokens as fit); on a CPU, where its cache is small, 2048, or the model's own limit if
    that is smaller."""
    if torch.cuda.is_available():
        return -1
    return min(2048, getattr(AutoConfig.from_pretrained(weights.source), "max_position_embeddings", 2048))
