"""One order of additions on a GPU, so that one seed twice gives the same run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from helpers.models import packing
from helpers.training import loss
from helpers.training.sampling import noise


@contextmanager
def deterministic(wanted: bool = True, strict: bool = False) -> Iterator[None]:
    """A context in which a GPU adds up in one order. Operations that have no such form warn, or raise a RuntimeError if `strict`.

    With a mask, the backward of PyTorch's memory-efficient attention adds up in any order unless `strict`: two runs of one seed on an
    H200 had equal rollouts in two steps and then drifted apart (figures/repeat/choice.csv). With a strict backward pass, two such runs
    were equal in every digit (figures/repeat/choice_strict.csv).
    """
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.utils.deterministic.fill_uninitialized_memory = False  # not needed here, and slow
    torch.use_deterministic_algorithms(wanted, warn_only=not strict)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])


def order_gradients(trainer: Any) -> bool:
    """Make a trainer's backward passes strictly deterministic if all operations of the loss on shared prompts can be; returns whether they are."""
    model, usual = trainer.accelerator.unwrap_model(trainer.model), trainer.accelerator.backward
    device = trainer.accelerator.device
    packed = packing.pack([packing.Piece([5, 6, 7], [[8, 9], [10]], [0, 1])], 2, 0, device, trainer.multiple)
    ones = torch.ones(2, 2, device=device)
    step = {"mask": ones, "weights": ones, "advantages": ones[0], "ref_per_token_logps": -ones, "sampling_per_token_logps": -ones}
    try:
        with noise(0), deterministic(strict=True), trainer.accelerator.autocast():
            loss.of_pack(model, packed, step, trainer.beta)[0].backward()
    except RuntimeError as error:
        if "deterministic" not in str(error):
            raise
        return False
    finally:
        model.zero_grad(set_to_none=True)

    def backward(value: torch.Tensor, **options: Any) -> None:
        with deterministic(strict=True):
            usual(value, **options)

    trainer.accelerator.backward = backward
    return True
