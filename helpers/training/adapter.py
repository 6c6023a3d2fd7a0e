"""The LoRA adapter: its configuration, its products in the model's dtype, and base + adapter without touching the base."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from peft import LoraConfig
from peft.tuners.lora import Linear
from torch import nn

from helpers.study.schema import Train

NAME = "default"  # of the adapter, in PEFT


def lora(train: Train) -> LoraConfig:
    """PEFT's configuration of the adapter."""
    return LoraConfig(
        r=train.lora.r,
        lora_alpha=train.lora.alpha,
        lora_dropout=train.lora.dropout,
        target_modules=train.lora.target_modules,
        task_type="CAUSAL_LM",
    )


def multiply_in_model_dtype(model: Any) -> None:
    """Have a model's LoRA layers without dropout multiply in the dtype of their input.

    PEFT holds a bfloat16 model's adapter in float32, so that small updates are not rounded away, and by default multiplies in
    float32 as well, which makes each layer several times slower than its own product. Only the products change here.
    """
    for layer in model.modules():
        if isinstance(layer, Linear) and isinstance(layer.lora_dropout[NAME], nn.Identity):
            layer.forward = _product(layer)


def _product(layer: Linear) -> Callable[..., torch.Tensor]:
    """The forward of a LoRA layer: x W + s (x A) B."""
    usual = layer.forward

    def forward(x: torch.Tensor, *more: Any, **named: Any) -> torch.Tensor:
        if layer.disable_adapters or layer.merged or layer.active_adapters != [NAME] or more or named:
            return usual(x, *more, **named)
        down, up = layer.lora_A[NAME].weight.to(x.dtype), layer.lora_B[NAME].weight.to(x.dtype)
        out = layer.base_layer(x)
        inner = nn.functional.linear(x, down).flatten(0, -2)
        return torch.addmm(out.flatten(0, -2), inner, up.t(), alpha=layer.scaling[NAME]).view(out.shape)

    return forward


@torch.no_grad()
def merged(model: Any, everything: bool = True) -> Iterator[tuple[str, torch.Tensor]]:
    """Weights of base + adapter under the base model's own names, one after another; the base keeps its bits.

    everything: False leaves out what the adapter does not change. Sums are computed in float32 and rounded once, to the base's dtype.
    """
    base = model.get_base_model()
    layers = {path: layer for path, layer in base.named_modules() if isinstance(layer, Linear)}
    for path, parameter in base.named_parameters():
        if ".lora_" in path or "original_module" in path:
            continue
        owner, _, kind = path.rpartition(".")
        layer = layers.get(owner.removesuffix(".base_layer"))
        if layer is not None and kind == "weight" and owner.endswith(".base_layer"):
            total = parameter.float() + layer.get_delta_weight(NAME).float()
            yield path.replace(".base_layer", ""), total.to(parameter.dtype)
        elif everything:
            yield path.replace(".base_layer", "").replace(".modules_to_save.default", ""), parameter.data


def frozen_bits(model: Any) -> dict[str, str]:
    """SHA-256 of each parameter that is not trained, by name: the base below an adapter. Copies one parameter at a time to the CPU."""
    frozen = {name: parameter for name, parameter in model.named_parameters() if not parameter.requires_grad}
    return {name: hashlib.sha256(_bytes(parameter.data)).hexdigest() for name, parameter in frozen.items()}


def _bytes(tensor: torch.Tensor) -> memoryview:
    return memoryview(tensor.detach().contiguous().flatten().view(torch.uint8).cpu().numpy())


def can_merge_apart(model: Any) -> bool:
    """Whether `merged` supports all layers of an adapter: plain matrices, none in 4 bits."""
    layers = [layer for layer in model.modules() if hasattr(layer, "lora_A")]
    return all(isinstance(layer, Linear) and layer.base_layer.weight.is_floating_point() for layer in layers)
