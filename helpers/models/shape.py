"""A model's shape, known before it is loaded, and the memory that follows from it: the KV cache and what an engine leaves free.

The shape is read from the model's config.json where that is on disk, else from `models.yaml`. Nothing here imports torch.
"""

import json
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from helpers.models.packages import cache_folder
from helpers.study.errors import StudyError

MODELS = Path(__file__).with_name("models.yaml")
GIB = 2**30
GPU_PART = 0.85  # of a GPU's memory, or of a share of it, that an engine takes
VLLM_WORK = 3 * GIB  # activations, CUDA graphs, CUDA's own, for batches of hundreds
VLLM_ROLLOUTS = 1 * GIB  # the same for the batches of a training step
READ_TOKENS = 16384  # of prompts read together for their likelihoods; the longest 64 of MMLU-Pro have 107,000
READ_WORK = 6 * GIB  # what reading likelihoods may take beside the weights, where vLLM has the rest of the GPU
VISION = {"layers": 27, "hidden": 1152, "intermediate": 4304, "patch": 14, "positions": 4096}  # Gemma 3's SigLIP tower


@dataclass(frozen=True)
class Shape:
    """A decoder's shape, by the names of `models.yaml`; window: tokens a local layer sees, all but each `global_every`-th."""

    family: str
    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    tied: bool
    window: int = 0
    global_every: int = 0
    vision: bool = False

    @property
    def attention(self) -> int:
        """Width of all query heads together."""
        return self.heads * self.head_dim

    @property
    def keys(self) -> int:
        """Width of all key heads together."""
        return self.kv_heads * self.head_dim

    def matrices(self) -> dict[str, tuple[int, int]]:
        """(inputs, outputs) of the linear layers of one decoder layer, by their name in transformers."""
        h, a, k, i = self.hidden, self.attention, self.keys, self.intermediate
        if self.family == "phi3":
            return {"qkv_proj": (h, a + 2 * k), "o_proj": (a, h), "gate_up_proj": (h, 2 * i), "down_proj": (i, h)}
        return {"q_proj": (h, a), "k_proj": (h, k), "v_proj": (h, k), "o_proj": (a, h),
                "gate_proj": (h, i), "up_proj": (h, i), "down_proj": (i, h)}  # fmt: skip

    def linear(self) -> int:
        """Parameters of the decoder's matrices, which 4 bits are for."""
        return self.layers * sum(inputs * outputs for inputs, outputs in self.matrices().values())

    def parameters(self) -> int:
        """All parameters, with embedding, norms, biases and vision tower."""
        embedding = self.vocab * self.hidden * (1 if self.tied else 2)
        norms = 4 * self.hidden + 2 * self.head_dim if self.family == "gemma3" else 2 * self.hidden
        biases = self.attention + 2 * self.keys if self.family == "qwen2" else 0
        return embedding + self.linear() + self.layers * (norms + biases) + self.hidden + self.tower()

    def tower(self) -> int:
        """Parameters of the vision tower and its projection, which are loaded though no study shows a picture."""
        if not self.vision:
            return 0
        h, i = VISION["hidden"], VISION["intermediate"]
        layer = 4 * (h * h + h) + 2 * h * i + i + h + 4 * h
        patches = 3 * VISION["patch"] ** 2 * h + h + VISION["positions"] * h
        return patches + VISION["layers"] * layer + 2 * h + h * self.hidden + h


def shape(facts: dict[str, Any]) -> Shape:
    """A shape from the facts of `models.yaml`, which hold more than it."""
    return Shape(**{key: value for key, value in facts.items() if key in Shape.__dataclass_fields__})


def from_config(config: dict[str, Any]) -> Shape | None:
    """A shape from a model's config.json; None for an architecture that the formulas are not about."""
    text = config.get("text_config", config)
    family = {"llama": "llama", "mistral": "llama", "qwen2": "qwen2", "phi3": "phi3", "gemma3": "gemma3", "gemma3_text": "gemma3"}.get(
        text.get("model_type", ""))  # fmt: skip
    needed = ("num_hidden_layers", "hidden_size", "intermediate_size", "num_attention_heads", "vocab_size")
    if family is None or any(key not in text for key in needed):
        return None
    heads = text["num_attention_heads"]
    local = family == "gemma3" and text.get("sliding_window")
    return Shape(
        family=family,
        layers=text["num_hidden_layers"],
        hidden=text["hidden_size"],
        intermediate=text["intermediate_size"],
        heads=heads,
        kv_heads=text.get("num_key_value_heads") or heads,
        head_dim=text.get("head_dim") or text["hidden_size"] // heads,
        vocab=text["vocab_size"],
        tied=config.get("tie_word_embeddings", text.get("tie_word_embeddings", family == "gemma3")),
        window=text["sliding_window"] if local else 0,
        global_every=text.get("sliding_window_pattern", 6) if local else 0,
        vision="vision_config" in config,
    )


@cache
def known_models() -> dict[str, dict[str, Any]]:
    """The contents of `models.yaml`: facts by model id."""
    return yaml.safe_load(MODELS.read_text(encoding="utf-8"))


def folder_of(model: str) -> tuple[Path, str] | None:
    """(folder, what it is) of a model that need not be downloaded; None if it has to be."""
    mirror = os.environ.get("OFFLINE_MIRROR", "")
    hub = Path(os.environ.get("HF_HOME", Path.home() / ".cache" / "huggingface")) / "hub" / f"models--{model.replace('/', '--')}"
    places = [(Path(model), "folder"), (cache_folder() / model, "unpacked")]
    if mirror:
        places.insert(1, (Path(mirror) / model, "mirror"))
    places += [(snapshot, "hub's cache") for snapshot in sorted(hub.glob("snapshots/*"))]
    return next(((path, kind) for path, kind in places if (path / "config.json").is_file()), None)


def shape_of(model: str) -> Shape | None:
    """A model's shape, from its config.json if that is on disk, else from `models.yaml`; None if it is in neither."""
    place = folder_of(model)
    if place:
        try:
            found = from_config(json.loads((place[0] / "config.json").read_text(encoding="utf-8")))
        except (OSError, ValueError):
            raise StudyError(f"{place[0] / 'config.json'}: cannot be read as JSON; get the model again") from None
        if found:
            return found
    facts = known_models().get(model)
    return shape(facts) if facts else None


def listed_shape(model: str) -> Shape | None:
    """A model's shape, from `models.yaml` if it is listed there, else as `shape_of` finds it: what is computed from it is the same on every machine,
    also where a copy of the model differs (a GGUF file can have an output layer of its own)."""
    facts = known_models().get(model)
    return shape(facts) if facts else shape_of(model)


def cache_bytes(model: Shape, width: int, sequences: int, length: int) -> float:
    """KV cache of so many sequences of `length` tokens; local layers keep no more than their window."""
    full = model.layers // model.global_every if model.global_every else model.layers
    local = model.layers - full
    return 2 * model.keys * width * sequences * (full * length + local * min(length, model.window or length))
