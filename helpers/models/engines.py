"""Which weights, which engine: transformers, or vLLM with its continuous batching.

Both engines take and return token ids, so prompts, stop tokens and decoding are the same code for both. vLLM generates when it is
installed with an NVIDIA GPU; transformers reads log-likelihoods. Where the two most likely tokens are nearly equally likely, vLLM's
order of additions may choose the other one (`make test-vllm`).
"""

from __future__ import annotations

import gc
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import torch
from transformers import PreTrainedTokenizerBase

from helpers.models import loading
from helpers.models.turns import TurnCache
from helpers.study.errors import StudyError

Name = Literal["auto", "transformers", "vllm"]
Pair = tuple[list[int], list[int]]  # tokens of a prompt and of an answer
_LOADED: dict[Any, Engine] = {}


@dataclass(frozen=True)
class Weights:
    """Which weights an engine loads.

    trained: the folder that 03_grpo_train left, an adapter or a whole model. read: log-likelihoods are needed too (vLLM then shares the
    GPU with transformers if both fit).
    """

    model: str
    dtype: str = "auto"
    trained: Path | None = None
    method: Literal["lora", "qlora", "full"] = "lora"
    read: bool = False

    @property
    def adapter(self) -> Path | None:
        """The folder of the LoRA adapter; None if nothing or the whole model was trained."""
        return self.trained if self.trained and (self.trained / "adapter_config.json").is_file() else None

    @property
    def source(self) -> str:
        """Where the weights below the adapter are: a folder, or a hub id."""
        return str(self.trained) if self.trained and not self.adapter else loading.locate(self.model)[0]


class Sampling(NamedTuple):
    """How a completion is drawn.

    limit: its most tokens. temperature: 0 is greedy; above 0, the whole distribution is sampled (top-p 1, no top-k). ends: tokens that
    end a completion. stops: texts that end it.
    """

    limit: int
    temperature: float
    ends: tuple[int, ...]
    stops: tuple[str, ...] = ()


class Engine(Protocol):
    """A loaded model. reads: the library that reads log-likelihoods. room: the most tokens of prompt and completion together."""

    name: str
    reads: str

    @property
    def room(self) -> int: ...

    def ends(self, tokenizer: PreTrainedTokenizerBase) -> list[int]:
        """Tokens that end a text for its model."""

    def write(
        self,
        prompts: list[list[int]],
        sampling: Sampling,
        seeds: Sequence[int],
        tokenizer: PreTrainedTokenizerBase,
        limits: Sequence[int] | None = None,
        cache: TurnCache | None = None,
    ) -> list[list[int]]:
        """The tokens of one completion for each prompt, the ending one included. limits: the most tokens of each, if not the same for all.

        cache: of the turns before, if texts are continued turn by turn; transformers uses and fills it, vLLM has its own.
        """

    def read(self, pairs: list[Pair], batch_size: int) -> list[tuple[float, bool]]:
        """(log-likelihood of the answer after its prompt, whether it is the greedy one) for each pair."""

    def effect(self, tokenizer: PreTrainedTokenizerBase) -> dict[str, float]:
        """The effect of training on the weights and logits (`effect.training_effect`)."""


def choose(wanted: Name, method: str = "lora") -> Literal["transformers", "vllm"]:
    """The engine a study gets: `auto` is vLLM if it is installed with an NVIDIA GPU, else transformers.

    A QLoRA adapter is scored on the 4-bit base it was trained on, which only transformers loads here. Raises StudyError if vLLM is
    wanted but not available.
    """
    installed = importlib.util.find_spec("vllm") is not None
    if wanted == "vllm" and not installed:
        raise StudyError("engine: vllm is not installed here (requirements-gpu.txt); use auto or transformers")
    if wanted == "vllm" and method == "qlora":
        raise StudyError("engine: vllm does not serve the 4-bit base of train.method: qlora here; use auto or transformers")
    if wanted != "auto":
        return wanted
    return "vllm" if installed and method != "qlora" and torch.cuda.is_available() else "transformers"


def load(weights: Weights, wanted: Name = "auto") -> Engine:
    """The engine with these weights. The last one is kept and returned again, so a notebook loads a model once."""
    key = (weights, name := choose(wanted, weights.method))
    if key not in _LOADED:
        _LOADED.clear()  # before the next one is loaded: both may not fit
        gc.collect()
        if name == "vllm":
            from helpers.models.vllm_engine import VLLM as Chosen
        else:
            from helpers.models.transformers_engine import Transformers as Chosen
        _LOADED[key] = Chosen(weights)
    return _LOADED[key]


def end_of_text(config: Any, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Tokens that end a text for a model: those of its generation config and its tokenizer, and the one it pads with.

    Qwen's instruct models end a text without turns with the token with which they pad. A generation config that was rebuilt, as for
    weights from a GGUF file, names only the one that ends a turn, so that the model would continue with another text.
    """
    many = config.eos_token_id if isinstance(config.eos_token_id, list) else [config.eos_token_id]
    known = tokenizer.added_tokens_decoder.get(tokenizer.pad_token_id)  # some tokenizers pad with a word
    own = [tokenizer.eos_token_id, tokenizer.pad_token_id if known and known.special else None]
    return list(dict.fromkeys(token for token in [*many, *own] if token is not None))
