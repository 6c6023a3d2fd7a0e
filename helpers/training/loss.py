"""The GRPO loss on shared prompts: what TRL computes from a step's completions, summed over micro-batches of packed groups.

The weights of a step change once, after all its micro-batches, and the rollouts were sampled with the same weights. So the
ratio of new to old probabilities is 1 in value, clipping never applies, and each token's loss is

    ( − advantage × correction  +  beta × KL(reference) ) × p / p.detach()

weighted by what the loss type divides by (`token_weights`). The ratio's gradient under the KL term makes that an unbiased estimate of the
reverse KL's (DeepSeek-V3.2, arXiv 2512.02556; TRL's `use_bias_correction_kl`). `tests/training/test_shared_prompts.py` compares values, gradients and loss curves
with TRL's.
"""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import torch
from trl.trainer import utils

from helpers.models.packing import IGNORED, Pack

RATIO_LIMIT = 3.0  # completions that the training model finds this many times likelier than vLLM did are left out (TRL's default)


def token_weights(mask: torch.Tensor, loss: str, items: float, longest: int) -> torch.Tensor:
    """The weight of each token in the loss of a step; shape (completions, tokens), as `mask`.

    grpo: the mean over completions of each one's mean. bnpo: the mean over all tokens of the step here. dr_grpo: the sum divided by
    completions × `longest` (train.max_completion_tokens). dapo: the sum divided by `items`, the tokens of a process on average.
    """
    mask = mask.float()
    if loss == "grpo":
        return mask / mask.sum(1, keepdim=True).clamp(min=1) / len(mask)
    divisor = {"bnpo": float(mask.sum()), "dr_grpo": float(len(mask) * longest), "dapo": items}[loss]
    return mask / max(divisor, 1.0)


def log_probabilities(model: Any, packed: Pack) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities of the packed completions' tokens, and the entropies of their distributions; shape (tokens,), as `packed.places`.

    TRL's fused output layer computes them in tiles, so logits of shape (tokens, vocabulary) never exist. Where it has no Triton
    kernels it would compute the prompts' positions too; here only those that predict something.
    """
    with patch.object(utils, "_use_triton", lambda device: True):
        output = model(
            input_ids=packed.ids,
            position_ids=packed.positions,
            attention_mask=packed.mask(),
            shift_labels=packed.targets,
            fused_lm_head=True,
        )
    predicted = packed.targets != IGNORED
    return output.log_probs[predicted], output.entropy[predicted]


def correction(difference: torch.Tensor, rows: torch.Tensor, completions: int) -> torch.Tensor:
    """For each completion the ratio of its probability in training to that in vLLM, 0 above RATIO_LIMIT; shape (completions,).

    difference: log-probability in training minus in vLLM of each token (NaN: vLLM gave none); rows: the completion it belongs to.
    This is TRL's `sequence_mask`.
    """
    total = torch.zeros(completions, dtype=difference.dtype, device=difference.device)
    ratio = total.index_add(0, rows, torch.nan_to_num(difference, nan=0.0)).exp()
    return ratio.masked_fill(ratio > RATIO_LIMIT, 0.0)


def of_pack(model: Any, packed: Pack, step: dict[str, torch.Tensor], beta: float) -> tuple[torch.Tensor, torch.Tensor]:
    """What a micro-batch contributes to a step: its part of the loss, a scalar; and sums over its tokens for the log, shape (4,): entropy,
    KL, distance from vLLM's log-probabilities, and 1.

    step: `weights` and `mask` of shape (completions, tokens), `advantages` (completions,), and where there are any `ref_per_token_logps` and
    `sampling_per_token_logps` (completions, tokens).
    """
    logps, entropy = log_probabilities(model, packed)
    here = {name: value.flatten()[packed.places] for name, value in step.items() if value.dim() == 2}
    rows = packed.places // step["mask"].shape[1]
    advantages, mask, none = step["advantages"][rows], here["mask"].to(logps.dtype), torch.zeros_like(logps)
    distance = logps.detach() - here["sampling_per_token_logps"] if "sampling_per_token_logps" in here else none
    if "sampling_per_token_logps" in here:
        advantages = advantages * correction(distance * mask, rows, len(step["mask"]))[rows]
    ratio = (logps - logps.detach()).exp()
    losses, kl = -advantages * ratio, none
    if beta:
        away = here["ref_per_token_logps"] - logps
        kl = (away.exp() - away - 1) * ratio
        losses = losses + beta * kl
    sums = [(part.detach() * mask).sum() for part in (entropy, kl, torch.nan_to_num(distance.abs()))]
    return (losses * here["weights"].to(losses.dtype)).sum(), torch.stack([*sums, mask.sum()]).double()
