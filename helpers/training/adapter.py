"""The LoRA adapter: its configuration, its products in the model's dtype, and base + adapter without touching the base."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from peft import LoraConfig
from peft.tuners.lora import Linear
from torch import nn

if TYPE_CHECKING:
    from helpers.study.schema import Train


def lora(train: Train) -> LoraConfig:
    """PEFT's configuration of the adapter."""
    targets = train.lora.target_modules
    return LoraConfig(
        r=train.lora.r,
        lora_alpha=train.lora.alpha,
        lora_dropout=train.lora.dropout,
        target_modules=targets if isinstance(targets, str) else list(targets),
        task_type="CAUSAL_LM",
    )


def _plain(layer: Linear, name: str) -> bool:
    """Whether a LoRA layer is x W + s (x A) B and nothing else."""
    return not (layer.lora_variant or layer.lora_bias.get(name)) and isinstance(layer.lora_dropout[name], nn.Identity)


def multiply_in_model_dtype(model: Any, name: str = "default") -> int:
    """Have a model's LoRA layers multiply in the dtype of their input; returns how many layers do now.

    PEFT holds a bfloat16 model's adapter in float32, so that small updates are not rounded away, and by default multiplies in
    float32 as well, which makes each layer several times slower than its own product. Only the products change here.
    Layers with dropout, a bias or another variant keep PEFT's way.
    """
    layers = [layer for layer in model.modules() if isinstance(layer, Linear) and name in layer.lora_A and _plain(layer, name)]
    for layer in layers:
        layer.forward = _Product(layer, name, layer.forward)
    return len(layers)


class _Product:
    """The forward of one LoRA layer."""

    def __init__(self, layer: Linear, name: str, usual: Any) -> None:
        self.layer, self.name, self.usual = layer, name, usual

    def __call__(self, x: torch.Tensor, *more: Any, **named: Any) -> torch.Tensor:
        layer, name = self.layer, self.name
        if layer.disable_adapters or layer.merged or layer.active_adapters != [name] or more or named:
            return self.usual(x, *more, **named)
        down, up = layer.lora_A[name].weight.to(x.dtype), layer.lora_B[name].weight.to(x.dtype)
        out = layer.base_layer(x)
        inner = nn.functional.linear(x, down).flatten(0, -2)
        return torch.addmm(out.flatten(0, -2), inner, up.t(), alpha=layer.scaling[name]).view(out.shape)


@torch.no_grad()
def merged(model: Any, everything: bool = True, name: str = "default") -> Iterator[tuple[str, torch.Tensor]]:
    """Weights of base + adapter under the base model's own names, one after another; the base keeps its bits.

    everything: False leaves out what the adapter does not change. Sums are computed in float32 and rounded once, to the base's dtype.
    """
    layers = {
        path: layer
        for path, layer in model.get_base_model().named_modules()
        if isinstance(layer, Linear) and name in layer.lora_A
    }
    for path, parameter in model.get_base_model().named_parameters():
        if ".lora_" in path or "original_module" in path:
            continue
        owner, _, kind = path.rpartition(".")
        layer = layers.get(owner.removesuffix(".base_layer"))
        if layer is not None and kind == "weight" and owner.endswith(".base_layer"):
            total = parameter.float() + layer.get_delta_weight(name).float()
            yield path.replace(".base_layer", ""), total.to(parameter.dtype)
        elif everything:
            yield path.replace(".base_layer", "").replace(".modules_to_save.default", ""), parameter.data


def can_merge_apart(model: Any, name: str = "default") -> bool:
    """Whether `merged` supports all layers of an adapter: plain matrices, none in 4 bits."""
    with_adapter = [layer for layer in model.modules() if hasattr(layer, "lora_A") and name in layer.lora_A]
    return bool(with_adapter) and all(
        isinstance(layer, Linear) and layer.base_layer.weight.is_floating_point() for layer in with_adapter
    )
