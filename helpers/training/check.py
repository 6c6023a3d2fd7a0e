"""What would stop a training, found before a model is loaded: processes, engine, GPU and LoRA's target modules."""

from __future__ import annotations

import importlib.util
import re
from typing import TYPE_CHECKING

from helpers.models import device, shape
from helpers.study.errors import StudyError
from helpers.training import launch, live

if TYPE_CHECKING:
    from helpers.study.schema import Lora
    from helpers.study.study import Study

# Of a decoder layer in transformers: text models, Gemma 3 with images.
PREFIXES = ("model.layers.{}.", "model.language_model.layers.{}.")
OTHERS = ("lm_head", "model.embed_tokens")  # modules outside the layers that LoRA can train


def check(study: Study, here: bool = True) -> None:
    """Raise StudyError, in one line, if a training of the study cannot start. here: it is to run on this machine."""
    launch.check(study)
    for arm in study.arms:
        train = study.training(arm)
        key = f"{study.file}: {f'arms.{arm}.train' if study.arms[arm].train else 'train'}"
        if here:
            live.check(train, key)
        modules = train.lora.target_modules
        if isinstance(modules, str) and (why := _pattern_error(modules)):
            raise StudyError(f"{key}.lora.target_modules: {modules!r} is no regular expression ({why})")
        if train.method != "full" and (missing := missing_targets(train.lora, study.model.id)):
            raise StudyError(f"{key}.lora.target_modules: {study.model.id} has no module {missing}")
        if study.arms[arm].search and (train.vllm_server or launch.is_sharded(study, train)):
            other = "vllm_server" if train.vllm_server else "accelerate"
            raise StudyError(
                f"{key}.{other}: rollouts that search (arms.{arm}.search) are written in the training process; leave {other} out, "
                "or name an accelerate file of distributed_type MULTI_GPU"
            )
        if here and train.method == "qlora" and not device.visible():
            raise StudyError(f"{key}.method: qlora needs an NVIDIA GPU (bitsandbytes), and there is none; use lora here")
        if here and train.method == "qlora" and not importlib.util.find_spec("bitsandbytes"):
            raise StudyError(f"{key}.method: qlora needs bitsandbytes; install requirements-gpu.txt")
    if here and study.engine == "vllm" and not importlib.util.find_spec("vllm"):
        raise StudyError(f"{study.file}: engine: vllm is not installed here (requirements-gpu.txt); use auto or transformers")


def _pattern_error(pattern: str) -> str:
    """Why a text is no regular expression; empty if it is one."""
    try:
        re.compile(pattern)
    except re.error as error:
        return str(error)
    return ""


def missing_targets(lora: Lora, model: str) -> str:
    """Those of LoRA's target modules that a model does not have, and what it has; empty if none is missing or the shape is unknown.

    A list names modules by the end of their path, and a text is a regular expression for the whole path, as in PEFT, which ignores
    a missing name if it finds another one of the list.
    """
    known = shape.shape_of(model)
    if known is None or lora.target_modules == "all-linear":
        return ""
    blocks = [
        ("self_attn" if name in ("qkv_proj", "q_proj", "k_proj", "v_proj", "o_proj") else "mlp", name)
        for name in known.matrices()
    ]
    layers = [prefix.format(layer) for prefix in PREFIXES for layer in range(known.layers)]
    paths = [*OTHERS, *(f"{layer}{block}.{name}" for layer in layers for block, name in blocks)]
    if isinstance(lora.target_modules, str):
        missing = [] if any(re.fullmatch(lora.target_modules, path) for path in paths) else [lora.target_modules]
    else:
        missing = [name for name in lora.target_modules if not any(f".{path}".endswith(f".{name}") for path in paths)]
    seen = known.vision  # modules of a vision tower are not listed here
    return f"{', '.join(map(repr, missing))}; it has {', '.join(known.matrices())}" if missing and not seen else ""
