"""Two engines that write completions: transformers, and vLLM with its continuous batching.

Both take token ids and give token ids, so that prompts, ends and decoding are the same code
(`helpers/models/generate.py`). vLLM's answers are greedy ones of the same weights; where the two best tokens
are nearly equally likely, its own order of additions may choose the other one (`make test-vllm`).
"""

from __future__ import annotations

import gc
import importlib.metadata
import importlib.util
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol
from unittest.mock import patch

import torch
from transformers import AutoConfig, GenerationConfig, PreTrainedTokenizerBase

from helpers.models import device, loading, shape
from helpers.study.files import StudyError

Name = Literal["auto", "transformers", "vllm"]
VLLM_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # the largest LoRA rank is one of these (vllm/config/lora.py)
VLLM_AT_ONCE = 1024  # prompts handed to vLLM at once: it fills its own batches, so this is only what a kill may cost
SHORT = 4  # tokens of an answer, such as a letter, whose logits are few enough to leave the GPU
CUT_AT_ONCE = 4096  # pairs of a prompt and an answer cut into tokens together
LEAST_CACHE = 2**28  # bytes below which vLLM could hardly write one answer at a time
_LOADED: dict[Any, Engine] = {}


@dataclass(frozen=True)
class Weights:
    """Which weights an engine loads. trained: the folder that 03_grpo_train left, an adapter or a whole model.

    length: the most tokens of prompt and completion together; None: what the model and the memory allow.
    read: likelihoods are asked for as well, which transformers reads beside vLLM if there is room for both (`harness`).
    """

    model: str
    dtype: str = "auto"
    trained: Path | None = None
    method: Literal["lora", "qlora", "full"] = "lora"
    length: int | None = None
    read: bool = False

    @property
    def adapter(self) -> Path | None:
        """The folder of the LoRA adapter, if it is one."""
        return self.trained if self.trained and (self.trained / "adapter_config.json").is_file() else None

    @property
    def source(self) -> str:
        """Where the weights below the adapter are: a folder, or a hub id."""
        return str(self.trained) if self.trained and not self.adapter else loading.locate(self.model)[0]


class Sampling(NamedTuple):
    """How a completion is drawn. temperature 0 is greedy; above 0, the whole distribution is sampled (top-p 1, no top-k).

    ends: tokens that end a completion. likely: how many of the most likely tokens are told beside each token.
    """

    limit: int
    temperature: float
    ends: tuple[int, ...]
    likely: int = 0


class Made(NamedTuple):
    """One completion: its tokens, the ending one included, and for each the log-probabilities of the `likely` best tokens."""

    tokens: list[int]
    likely: list[dict[int, float]]


class Engine(Protocol):
    """What makes completions: the tokens that end a text for its model, completions of prompts, and what training changed.

    reads: which library reads likelihoods.
    """

    name: str
    reads: str

    def ends(self, tokenizer: PreTrainedTokenizerBase) -> list[int]: ...

    def write(self, prompts: list[list[int]], sampling: Sampling, seeds: Sequence[int], pad: int) -> list[Made]: ...

    def effect(self, tokenizer: PreTrainedTokenizerBase) -> dict[str, float]: ...


def choose(asked: Name, method: str = "lora") -> Literal["transformers", "vllm"]:
    """The engine a study gets: `auto` is vLLM where it is installed and an NVIDIA GPU is there, else transformers.

    A QLoRA adapter is scored on the 4-bit base it was trained on, which transformers holds. Raises StudyError if
    vLLM is asked for and cannot be had.
    """
    installed = importlib.util.find_spec("vllm") is not None
    if asked == "vllm" and not installed:
        raise StudyError("engine: vllm is not installed here (requirements-gpu.txt); use auto or transformers")
    if asked == "vllm" and method == "qlora":
        raise StudyError("engine: vllm does not serve the 4-bit base of train.method: qlora here; use auto or transformers")
    if asked != "auto":
        return asked
    return "vllm" if installed and method != "qlora" and torch.cuda.is_available() else "transformers"


def load(weights: Weights, asked: Name = "auto") -> Engine:
    """The engine with the weights in it. The last one is kept, and given again: a notebook loads one model once."""
    key = (weights, name := choose(asked, weights.method))
    if key not in _LOADED:
        _LOADED.clear()  # before the next one is loaded: two may not fit
        gc.collect()
        _LOADED[key] = VLLM(weights) if name == "vllm" else Transformers.of(weights)
    return _LOADED[key]


class Transformers:
    """A transformers model. Prompts come sorted by length, longest first, so little of a batch is padding.

    On a GPU the cache of keys and values has a fixed size, for which transformers records the work of a token once and
    replays it (a CUDA graph). That asks for batches of one size: a smaller one is filled up with copies of its last prompt.
    """

    name = reads = "transformers"

    def __init__(self, model: Any, weights: Weights | None = None) -> None:
        self.model, self.weights, self.rows = model, weights, 1

    @classmethod
    def of(cls, weights: Weights) -> Transformers:
        """The engine with the weights in it."""
        return cls(loading.load_model(weights.model, weights.dtype, weights.trained, weights.method), weights)

    def ends(self, tokenizer: PreTrainedTokenizerBase) -> list[int]:
        return end_of_text(self.model.generation_config, tokenizer)

    @torch.inference_mode()
    def write(self, prompts: list[list[int]], sampling: Sampling, seeds: Sequence[int], pad: int) -> list[Made]:
        """Complete a batch, padded on the left. One generator draws for all of it, seeded with the first seed."""
        torch.manual_seed(seeds[0])
        asked, fixed = len(prompts), loading.fixed_cache(self.model)
        self.rows = max(self.rows, asked)
        prompts = prompts + prompts[-1:] * (self.rows - asked if fixed else 0)
        width = max(map(len, prompts))
        if fixed:
            loading.size_cache(self.model, loading.rounded(width + sampling.limit))
        ids = torch.tensor([[pad] * (width - len(row)) + row for row in prompts], device=self.model.device)
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in prompts], device=self.model.device)
        drawn = {"temperature": sampling.temperature, "top_p": 1.0, "top_k": 0} if sampling.temperature else {}
        output = self.model.generate(
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=sampling.limit,
            do_sample=bool(sampling.temperature),
            repetition_penalty=1.0,  # some models bring another default, which rollouts do not have
            pad_token_id=pad,
            eos_token_id=list(sampling.ends),
            return_dict_in_generate=True,
            output_logits=bool(sampling.likely),
            cache_implementation="static" if fixed else None,
            **drawn,
        )
        made = []
        for row, tokens in enumerate(output.sequences[:asked, width:].tolist()):
            end = next((place for place, token in enumerate(tokens) if token in sampling.ends), None)
            kept = tokens if end is None else tokens[: end + 1]
            made.append(Made(kept, [_best(output.logits[place][row], sampling.likely) for place in range(len(kept))]
                             if sampling.likely else []))  # fmt: skip
        return made

    def effect(self, tokenizer: PreTrainedTokenizerBase) -> dict[str, float]:
        """What training changed (`loading.training_effect`). Raises StudyError if the trained weights are not used."""
        return loading.training_effect(self.model, tokenizer, lambda: loading.load_model(self.weights.model, self.weights.dtype))


def _best(logits: torch.Tensor, count: int) -> dict[int, float]:
    values, tokens = logits.float().log_softmax(-1).topk(count)
    return dict(zip(tokens.tolist(), values.tolist(), strict=True))


class VLLM:
    """vLLM's engine in this process; a LoRA adapter is loaded as an adapter."""

    name = "vllm"

    def __init__(self, weights: Weights) -> None:
        # In this process and not in one of its own: requests are then scheduled in the same order each time.
        os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
        os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
        on_gpu = torch.cuda.is_available()
        if not on_gpu:
            os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")  # GiB
        from vllm import LLM
        from vllm.lora.request import LoRARequest

        self.weights, self.request = weights, None
        both, part, options = _division(weights) if on_gpu else (weights.read, 1.0, {})
        self.reads = "transformers" if both else "vllm"
        if weights.adapter:
            config = json.loads((weights.adapter / "adapter_config.json").read_text())
            options |= {"enable_lora": True, "max_loras": 1, "max_lora_rank": _rank(config["r"])}
            # Only the layers that the adapter has: vLLM wraps the output layer as well, and on a CPU, scoring a prompt then
            # failed there (seen in 0.28: shapes that do not fit, in punica_cpu's add_lora_logits).
            if isinstance(config["target_modules"], list):
                options["lora_target_modules"] = config["target_modules"]
            self.request = LoRARequest("trained", 1, str(weights.adapter))
        try:
            # A notebook's own output has no file behind it, which vLLM asks for while it loads.
            with redirect_stdout(sys.__stdout__), redirect_stderr(sys.__stderr__):
                self.llm = LLM(
                    model=weights.source,
                    tokenizer=loading.locate(weights.model)[0],
                    dtype=str(loading.dtype_of(weights.dtype)).removeprefix("torch."),
                    max_model_len=_length(weights),
                    gpu_memory_utilization=part,
                    enforce_eager=not on_gpu,  # a CPU need not have a compiler
                    generation_config="vllm",  # no defaults of the model's own, such as a repetition penalty
                    seed=0,
                    disable_log_stats=True,
                    **options,
                )
        except Exception as error:
            raise StudyError(f"{weights.model}: vLLM cannot load it: {' '.join(str(error).split())[:300]}") from error

    @cached_property
    def reader(self) -> Any:
        """The same weights in transformers, loaded when likelihoods are first asked for."""
        return loading.load_model(self.weights.model, self.weights.dtype, self.weights.trained, self.weights.method)

    def ends(self, tokenizer: PreTrainedTokenizerBase) -> list[int]:
        try:
            config = GenerationConfig.from_pretrained(self.weights.source)
        except OSError:  # a model without one has its ends in its configuration
            config = GenerationConfig.from_model_config(AutoConfig.from_pretrained(self.weights.source))
        return end_of_text(config, tokenizer)

    def write(self, prompts: list[list[int]], sampling: Sampling, seeds: Sequence[int], pad: int) -> list[Made]:
        """Complete prompts, each with a seed of its own, so that an answer does not depend on what else is asked."""
        from vllm import SamplingParams

        room = self.llm.llm_engine.model_config.max_model_len
        if (longest := max(map(len, prompts)) + sampling.limit) > room:
            raise StudyError(f"{self.weights.model}: prompt and completion take {longest} tokens, vLLM has room for {room} here")
        asked = [
            SamplingParams(
                max_tokens=sampling.limit,
                temperature=sampling.temperature,
                top_p=1.0,
                top_k=0,
                repetition_penalty=1.0,
                seed=seed,
                stop_token_ids=list(sampling.ends),
                logprobs=sampling.likely or None,
                detokenize=False,
            )
            for seed in seeds
        ]
        done = self.llm.generate([{"prompt_token_ids": row} for row in prompts], asked, lora_request=self.request, use_tqdm=False)
        return [Made(list(one.outputs[0].token_ids), _told(one.outputs[0].logprobs)) for one in done]

    def effect(self, tokenizer: PreTrainedTokenizerBase) -> dict[str, float]:
        """`loading.training_effect` of all that will be asked: of the model that reads, if there is one, and of vLLM's adapter.

        vLLM scores the tokens of fixed prompts with the adapter and without, and its largest change of a log-probability is
        told. Raises StudyError if weights are not zero and nothing changes. A model that was trained as a whole is compared
        file by file where vLLM does all: there is no other it could be mistaken for, since it is loaded from the folder of the
        trained one; of its logits nothing is said then (NaN).
        """
        base = lambda: loading.load_model(self.weights.model, self.weights.dtype)  # noqa: E731
        read = loading.training_effect(self.reader, tokenizer, base) if self.reads == "transformers" else None
        if self.request is None:
            return read or {"largest_weight": _largest_change(self.weights), "largest_logit_change": float("nan")}
        from safetensors.torch import load_file
        from vllm import SamplingParams

        held = [
            value for name, value in load_file(self.weights.adapter / "adapter_model.safetensors").items() if "lora_B" in name
        ]
        asked = [{"prompt_token_ids": tokenizer(text)["input_ids"]} for text in loading.CHECK_PROMPTS]
        scored = SamplingParams(max_tokens=1, temperature=0.0, prompt_logprobs=0)
        told = [
            [
                value.logprob
                for one in self.llm.generate(asked, scored, lora_request=request, use_tqdm=False)
                for place in one.prompt_logprobs
                for value in (place or {}).values()
            ]
            for request in (self.request, None)
        ]
        weight = max(float(value.abs().max()) for value in held)
        change = max(abs(a - b) for a, b in zip(*told, strict=True))
        if weight > 0 and change == 0:
            raise StudyError(
                "the trained weights differ from the base model's, but vLLM's answers are the same: they are not used"
            )
        return {"largest_weight": weight, "largest_logit_change": change}


def _division(weights: Weights) -> tuple[bool, float, dict[str, int]]:
    """How vLLM divides a GPU, or its share of one: (transformers reads beside it, the part it takes, its options).

    Where both fit, transformers gets its copy of the weights and `shape.READ_WORK`. A GPU that other processes use as well
    gets a cache of a stated size: of itself vLLM takes what it measures to be free, and fails where another takes or frees
    memory meanwhile. Raises StudyError if a share leaves no room for a cache.
    """
    whole, share, size = torch.cuda.get_device_properties(0).total_memory, device.share(), weight_bytes(weights)
    if size is None:  # not known how large it is: vLLM does all, and measures
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
    """Bytes of the weights in memory; None for a model whose shape is not known."""
    found = shape.shape_of(weights.model)
    return found and found.parameters() * loading.dtype_of(weights.dtype).itemsize


def _largest_change(weights: Weights) -> float:
    """The largest change of any parameter between the base model's files and those of a model trained as a whole."""
    from huggingface_hub import snapshot_download
    from safetensors import safe_open

    base = loading.locate(weights.model)[0]
    folder = Path(base) if Path(base).is_dir() else Path(snapshot_download(base, allow_patterns=["*.safetensors"]))
    before = {name: path for path in folder.glob("*.safetensors") for name in _names(path)}
    largest = 0.0
    for path in weights.trained.glob("*.safetensors"):
        with safe_open(path, framework="pt") as after:
            for name in set(after.keys()) & set(before):
                with safe_open(before[name], framework="pt") as held:
                    change = after.get_tensor(name).float() - held.get_tensor(name).float()
                largest = max(largest, float(change.abs().max()))
    return largest


def _names(path: Path) -> list[str]:
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        return list(file.keys())


def _rank(r: int) -> int:
    """The smallest of vLLM's largest ranks that holds an adapter of rank r.

    >>> _rank(4), _rank(16), _rank(33)
    (8, 16, 64)
    """
    return next(rank for rank in VLLM_RANKS if rank >= r)


def _length(weights: Weights) -> int:
    """Tokens of prompt and completion that vLLM has room for: asked for, else on a GPU -1, vLLM's word for what fits.

    On a CPU, where its cache is small, 2048 or the model's own limit, if that is smaller.
    """
    if weights.length or torch.cuda.is_available():
        return weights.length or -1
    own = getattr(AutoConfig.from_pretrained(weights.source), "max_position_embeddings", 2048)
    return min(2048, own)


def _told(places: Any) -> list[dict[int, float]]:
    return [{token: value.logprob for token, value in place.items()} for place in places or []]


def end_of_text(config: Any, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Tokens that end a text for a model: its generation config's, its tokenizer's, and the one it pads with.

    Qwen's instruct models end a turn with one token and a text without turns with another, with which they pad as well. Their own
    generation config names both; one that was made anew with the weights, as from a GGUF file, names the first alone, and
    what such a model writes after the second is another text.
    """
    configured = config.eos_token_id
    many = configured if isinstance(configured, list) else [configured]
    known = tokenizer.added_tokens_decoder.get(tokenizer.pad_token_id)  # not a word that some tokenizer pads with
    own = [tokenizer.eos_token_id, tokenizer.pad_token_id if known and known.special else None]
    return list(dict.fromkeys(token for token in [*many, *own] if token is not None))


def harness(engine: Any, tokenizer: PreTrainedTokenizerBase, batch_size: int, written_at_once: int) -> Any:
    """lm-evaluation-harness's model class around an engine, or a transformers model, that is already loaded.

    batch_size: prompts read at once for their likelihoods. written_at_once: answers written at once.
    vLLM writes, with its adapter, in batches of its own. Of likelihoods it would read each option of an item apart, so
    transformers reads them where there is room for both (`VLLM.reads`).
    """
    writer = _writer(engine, tokenizer) if isinstance(engine, VLLM) else None
    if writer and engine.reads == "vllm":
        return writer
    model = engine.reader if writer else engine.model if isinstance(engine, Transformers) else engine
    model.generation_config.eos_token_id = end_of_text(model.generation_config, tokenizer)
    made = _harness_of()(pretrained=model, tokenizer=tokenizer, batch_size=batch_size, backend="causal")
    made.written_at_once, made.writer = written_at_once, writer
    return made


def _writer(engine: VLLM, tokenizer: PreTrainedTokenizerBase) -> Any:
    """The harness's class around vLLM, with the engine that is here instead of one that it would make from a name."""
    with _version_of_vllm():
        from lm_eval.models import vllm_causallms
    with patch.object(vllm_causallms, "LLM", lambda **_: engine.llm):
        made = vllm_causallms.VLLM(pretrained=loading.locate(engine.weights.model)[0], batch_size="auto")
    made.lora_request = engine.request
    made.modify_gen_kwargs = _ending(made.modify_gen_kwargs, engine.ends(tokenizer))
    return made


def _ending(options_of: Callable[..., Any], ends: list[int]) -> Callable[..., Any]:
    """The harness's options of vLLM's sampling, which know of one end only, with all of a model's."""

    def more(*given: Any, **named: Any) -> tuple[dict[str, Any], list[str], int]:
        options, until, limit = options_of(*given, **named)
        return options | {"stop_token_ids": ends}, until, limit

    return more


def _harness_of() -> Any:
    """The harness's class around a transformers model, with five things done for speed or memory.

    Prompts are cut into tokens together (`_cut`). The output layer is asked for logits only where answers stand: those of whole
    prompts take many times the memory of the model (17 GB for 64 prompts of 460 tokens and 152,000 words). Those of short
    answers leave the GPU at once. A batch of long prompts is read in parts (`shape.READ_TOKENS`). And batches have one size
    where the cache has a fixed one (`Transformers`).
    """
    from lm_eval.models import huggingface
    from lm_eval.models.huggingface import HFLM
    from lm_eval.models.utils import normalize_gen_kwargs

    class Filled(HFLM):
        longest, ends = 0, ()  # tokens of the longest answer that is asked about; where the prompts of a batch end
        pairs: dict[tuple[str, str], tuple[list[int], list[int]]] = {}  # tokens of prompts and answers

        def loglikelihood(self, requests: list[Any], disable_tqdm: bool = False) -> Any:
            self.pairs = _cut([one.args for one in requests], self)
            try:
                return super().loglikelihood(requests, disable_tqdm=disable_tqdm)
            finally:
                self.pairs = {}

        def _encode_pair(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
            return self.pairs.get((context, continuation)) or super()._encode_pair(context, continuation)

        def _loglikelihood_tokens(self, requests: list[Any], **options: Any) -> Any:
            def padded(length: int, prompts: list[torch.Tensor], **how: Any) -> torch.Tensor:
                self.ends = [len(prompt) for prompt in prompts]
                return pad_and_concat(length, prompts, **how)

            pad_and_concat = huggingface.pad_and_concat
            self.longest = max((len(answer) for _, _, answer in requests), default=0)
            # Of each option the harness asks for two numbers by themselves: a wait for the GPU each, if the logits are there.
            where = torch.device("cpu") if self.longest <= SHORT else self._device
            with patch.object(huggingface, "pad_and_concat", padded), patch.object(self, "_device", where):
                return super()._loglikelihood_tokens(requests, **options)

        def _model_call(self, inps: torch.Tensor, attn_mask: Any = None, labels: Any = None) -> torch.Tensor:
            """Logits of shape (batch, longest answer, vocabulary), each row up to where its prompt and answer end."""
            rows = max(1, shape.READ_TOKENS // inps.shape[1])
            parts = zip(inps.split(rows), torch.tensor(self.ends).split(rows), strict=True)
            return torch.cat([self._read(prompts[:, : int(ends.max())], ends) for prompts, ends in parts])

        def _read(self, prompts: torch.Tensor, ends: torch.Tensor) -> torch.Tensor:
            prompts, ends = prompts.to(self.model.device), ends.to(self.model.device)
            places = (ends[:, None] - self.longest + torch.arange(self.longest, device=ends.device)).clamp(min=0)
            rows = torch.arange(len(prompts), device=ends.device)[:, None]
            output_layer = self.model.get_output_embeddings()
            if output_layer is None:
                return super()._model_call(prompts)[rows, places].to(self.device)
            hook = output_layer.register_forward_pre_hook(lambda layer, given: (given[0][rows, places],))
            try:
                return super()._model_call(prompts).to(self.device)
            finally:
                hook.remove()

        def _select_cont_toks(self, logits: torch.Tensor, contlen: int | None = None, inplen: int | None = None) -> torch.Tensor:
            return logits[len(logits) - contlen :]

        def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
            if self.writer is not None:
                return self.writer.generate_until(requests, disable_tqdm=disable_tqdm)
            with patch.object(self, "batch_size_per_gpu", self.written_at_once):
                return self._generate_until(requests, disable_tqdm)

        def _generate_until(self, requests: list[Any], disable_tqdm: bool) -> list[str]:
            if loading.fixed_cache(self.model):
                texts = sorted((one.args[0] for one in requests), key=len)[-self.batch_size :]
                room = max(normalize_gen_kwargs(one.args[1], self.max_gen_toks)["max_gen_toks"] for one in requests)
                need = min(max(len(self.tok_encode(text)) for text in texts) + room, self.max_length)
                loading.size_cache(self.model, loading.rounded(need))  # so that tasks of about one length share one
            return super().generate_until(requests, disable_tqdm=disable_tqdm)

        def _model_generate(self, context: torch.Tensor, **options: Any) -> torch.Tensor:
            if not loading.fixed_cache(self.model):
                return super()._model_generate(context, **options)
            asked = len(context)
            rows = torch.arange(max(asked, self.batch_size)).clamp(max=asked - 1)
            options |= {"attention_mask": options["attention_mask"][rows], "cache_implementation": "static"}
            return super()._model_generate(context[rows], **options)[:asked]

    return Filled


def _cut(pairs: list[tuple[str, str]], harness: Any) -> dict[tuple[str, str], tuple[list[int], list[int]]]:
    """Tokens of (prompt, answer) pairs, as the harness cuts them: those of both together, divided where the prompt's end.

    Of itself it does so pair by pair, and cuts a prompt anew for each of its answers. Left to it are pairs without a prompt,
    prompts that bring their own first token, and models that are told to put one there. The tokenizer's own threads are switched
    on, which `make` switches off since they do not survive a fork: nothing forks meanwhile.
    """
    first = harness.tokenizer.decode(harness.prefix_token_id)
    usual = (
        []
        if harness.add_bos_token is not None
        else [pair for pair in dict.fromkeys(pairs) if pair[0].strip() and not pair[0].startswith(first)]
    )
    found: dict[tuple[str, str], tuple[list[int], list[int]]] = {}
    prompts: dict[str, list[int]] = {}
    with patch.dict(os.environ, {"TOKENIZERS_PARALLELISM": "true"}):
        for some in (usual[at : at + CUT_AT_ONCE] for at in range(0, len(usual), CUT_AT_ONCE)):
            bare = [prompt.rstrip() for prompt, _ in some]  # the harness moves spaces at a prompt's end to its answer
            new = [text for text in dict.fromkeys(bare) if text not in prompts]
            prompts |= zip(new, harness.tokenizer(new)["input_ids"], strict=True) if new else {}
            whole = harness.tokenizer([prompt + answer for prompt, answer in some])["input_ids"]
            found |= {pair: (prompts[text], ids[len(prompts[text]) :]) for pair, text, ids in zip(some, bare, whole, strict=True)}
    return found


@contextmanager
def _version_of_vllm() -> Iterator[None]:
    """The harness asks for the version of a distribution named vllm; the CPU build is named vllm-cpu, so the module answers."""
    asked = importlib.metadata.version

    def version(name: str) -> str:
        if name != "vllm":
            return asked(name)
        import vllm

        return vllm.__version__

    with patch.object(importlib.metadata, "version", version):
        yield
