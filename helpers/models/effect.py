"""Does what was trained change the model that will be scored? Evaluations have scored the base model unnoticed (lm-evaluation-harness#2432).

LoRA-B starts at zero, so weights that are all zero mean that training gave no signal: a finding. Weights above zero with equal logits
mean that they are not used: an error.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from transformers import PreTrainedTokenizerBase

from helpers.models import loading
from helpers.study.errors import StudyError

CHECK_PROMPTS = (
    "Which vitamin prevents scurvy?",
    "User: Name the largest organ of the body.\n\nAssistant: <think>",
    "2 + 3 =",
)
UNUSED = "the trained weights differ from the base model's, but {what} are the same: they are not used"


@torch.inference_mode()
def training_effect(model: Any, tokenizer: PreTrainedTokenizerBase, base: Callable[[], Any]) -> dict[str, float]:
    """`largest_weight` (of LoRA-B, or of the change of any parameter) and `largest_logit_change`, on fixed prompts.

    model: with an adapter, or trained as a whole; it is not changed, since it is what will be scored. base: returns the untrained model;
    called only for a model that was trained as a whole. Raises StudyError if the trained weights are not used.
    """
    batch = tokenizer(list(CHECK_PROMPTS), return_tensors="pt", padding=True).to(model.device)
    trained = model(**batch).logits
    lora = [float(p.abs().max()) for name, p in model.named_parameters() if "lora_B" in name]
    if lora:
        weights = max(lora)
        with model.disable_adapter():
            change = float((trained - model(**batch).logits).abs().max())
    else:
        before = base()
        weights = max(float((a - b).abs().max()) for a, b in zip(model.parameters(), before.parameters(), strict=True))
        change = float((trained - before(**batch).logits).abs().max())
    if weights > 0 and change == 0:
        raise StudyError(UNUSED.format(what="the logits"))
    return {"largest_weight": weights, "largest_logit_change": change}


def largest_adapter_weight(adapter: Path) -> float:
    """The largest LoRA-B weight of an adapter's folder."""
    weights = load_file(adapter / "adapter_model.safetensors")
    return max(float(weight.abs().max()) for name, weight in weights.items() if "lora_B" in name)


def largest_change(model: str, trained: Path) -> float:
    """The largest change of any parameter between the base model's files and those of a model trained as a whole."""
    from huggingface_hub import snapshot_download

    base = loading.locate(model)[0]
    folder = Path(base) if Path(base).is_dir() else Path(snapshot_download(base, allow_patterns=["*.safetensors"]))
    before = [safe_open(path, framework="pt") for path in folder.glob("*.safetensors")]
    files = {name: file for file in before for name in file.keys()}  # noqa: SIM118
    largest = 0.0
    for path in trained.glob("*.safetensors"):
        with safe_open(path, framework="pt") as after:
            for name in set(after.keys()) & set(files):
                change = after.get_tensor(name).float() - files[name].get_tensor(name).float()
                largest = max(largest, float(change.abs().max()))
    return largest
