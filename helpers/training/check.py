"""What would stop a training, found before a model is loaded: processes, engine, GPU and LoRA's target modules."""

from __future__ import annotations

import importlib.util
import re

from helpers.models import device, shape
from helpers.study.errors import StudyError
from helpers.study.study import Study
from helpers.training import launch, live

# Of a decoder layer in transformers: text models, Gemma 3 with images.
PREFIXES = ("model.layers.{}.", "model.language_model.layers.{}.")
ATTENTION = ("qkv_proj", "q_proj", "k_proj", "v_proj", "o_proj")
OTHERS = ("lm_head", "model.embed_tokens")  # modules outside the layers that LoRA can train


def check(study: Study, here: bool = True) -> None:
    """Raise StudyError, in one line, if a training of the study cannot start. here: it is to run on this machine."""
    for arm in study.arms:
        train, (_, _, sharded) = study.training(arm), launch.accelerate(study, arm)
        key = f"{study.file}: {f'arms.{arm}.train' if study.arms[arm].train else 'train'}"
        if here:
            live.check(train, key)
        if train.method != "full" and (wrong := wrong_targets(train.lora.target_modules, study.model.id)):
            raise StudyError(f"{key}.lora.target_modules: {wrong}")
        if study.arms[arm].search and (train.vllm_server or sharded):
            other = "vllm_server" if train.vllm_server else "accelerate"
            raise StudyError(
                f"{key}.{other}: rollouts that search (arms.{arm}.search) are written in the training process; leave {other} out, "
                "or name an accelerate file of distributed_type MULTI_GPU"
            )
        if here and train.method == "qlora":
            if not device.visible():
                raise StudyError(f"{key}.method: qlora needs an NVIDIA GPU (bitsandbytes), and there is none; use lora here")
            if not importlib.util.find_spec("bitsandbytes"):
                raise StudyError(f"{key}.method: qlora needs bitsandbytes; install requirements-gpu.txt")
    if here and study.engine == "vllm" and not importlib.util.find_spec("vllm"):
        raise StudyError(f"{study.file}: engine: vllm is not installed here (requirements-gpu.txt); use auto or transformers")


def wrong_targets(targets: str | list[str], model: str) -> str:
    """What is wrong with LoRA's target modules for a model; empty if nothing is, or if the model's shape is unknown.

    A list names modules by the end of their path, and a text is a regular expression for the whole path, as in PEFT, which ignores
    a missing name if it finds another one of the list.
    """
    if targets == "all-linear":
        return ""
    known = shape.shape_of(model)
    names = list(known.matrices()) if known else []
    blocks = [f"{'self_attn' if name in ATTENTION else 'mlp'}.{name}" for name in names]
    layers = [prefix.format(layer) for prefix in PREFIXES for layer in range(known.layers if known else 0)]
    paths = [*OTHERS, *(layer + block for layer in layers for block in blocks)]
    if isinstance(targets, str):
        try:
            missing = [] if any(re.fullmatch(targets, path) for path in paths) else [targets]
        except re.error as error:
            return f"{targets!r} is no regular expression ({error})"
    else:
        missing = [name for name in targets if not any(f".{path}".endswith(f".{name}") for path in paths)]
    if not missing or known is None or known.vision:  # modules of a vision tower are not listed here
        return ""
    return f"{model} has no module {', '.join(map(repr, missing))}; it has {', '.join(names)}"
