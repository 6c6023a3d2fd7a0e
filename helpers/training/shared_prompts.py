"""TRL's GRPOTrainer with shared prompts in log-probabilities and loss (`models.packing`, `loss`)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import torch

from helpers.models import packing
from helpers.training import loss

os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
from trl import GRPOTrainer  # noqa: E402

Batch = list[packing.Piece]


class SharedPrompts(GRPOTrainer):
    """TRL's trainer, which computes the prompt of a group once and fills micro-batches by tokens.

    A process receives all its completions of a step at once (gradient accumulation 1) and divides them into micro-batches here.
    budget: tokens of a micro-batch; 0: TRL's own computation.
    """

    budget = 0

    @property
    def multiple(self) -> int:
        """Widths of packs are multiples of this, as attention kernels of GPUs require."""
        return 64 if self.accelerator.device.type == "cuda" else 1

    def _batches(
        self, prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]], rows: Sequence[int]
    ) -> list[Batch]:
        """Micro-batches of some rows of a step."""
        pieces = packing.group([prompts[row] for row in rows], [completions[row] for row in rows], self.budget)
        return packing.fill([piece._replace(rows=[rows[row] for row in piece.rows]) for piece in pieces], self.budget)

    def _as_many(self, batches: list[Batch], spare: Batch) -> list[tuple[Batch, float]]:
        """(batch, weight), in the same number in every process, since one may wait for the others' forward; `spare` weighs nothing."""
        most = len(batches)
        if self.accelerator.num_processes > 1:
            most = int(self.accelerator.gather(torch.tensor([most], device=self.accelerator.device)).max())
        return [(batch, 1.0) for batch in batches] + [(spare, 0.0)] * (most - len(batches))

    def _pack(self, batch: Batch, longest: int) -> packing.Pack:
        return packing.pack(batch, longest, self._tokenizer.pad_token_id, self.accelerator.device, self.multiple)

    def _get_per_token_logps_and_entropies(
        self, model: Any, input_ids: torch.Tensor, attention_mask: torch.Tensor, logits_to_keep: int, *args: Any, **named: Any
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
        """Log-probabilities of completions, shape (completions, tokens); on shared prompts only the reference model's are computed here."""
        if not self.budget or named.get("compute_entropy"):
            return super()._get_per_token_logps_and_entropies(model, input_ids, attention_mask, logits_to_keep, *args, **named)
        batches = self._batches(*_tokens(input_ids, attention_mask, logits_to_keep), range(len(input_ids)))
        values = torch.zeros(len(input_ids) * logits_to_keep, device=input_ids.device)
        for batch, _ in self._as_many(batches, batches[0]):
            packed = self._pack(batch, logits_to_keep)
            with self.accelerator.autocast():
                values[packed.places] = loss.log_probabilities(model, packed)[0].float()
        return values.view(len(input_ids), logits_to_keep), None, None

    def compute_loss(self, model: Any, inputs: Any, *args: Any, **named: Any) -> torch.Tensor:
        """The loss of a step. On shared prompts every micro-batch but the last is differentiated here; TRL does the last.

        Without a KL term, completions whose advantage is 0 have no gradient, so they are read for the entropy only.
        """
        if not self.budget:
            return super().compute_loss(model, inputs, *args, **named)
        step = self._read(inputs)
        tokens = _tokens(
            torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], dim=1),
            torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], dim=1),
            inputs["completion_ids"].shape[1],
        )
        learning = [row for row, value in enumerate(step["advantages"].tolist()) if value or self.beta] or [0]
        silent = sorted(set(range(len(step["mask"]))) - set(learning))
        batches = self._batches(*tokens, learning)
        sums, total = torch.zeros(4, dtype=torch.float64, device=self.accelerator.device), 0.0

        def part(batch: Batch, weight: float) -> torch.Tensor:
            packed = self._pack(batch, step["mask"].shape[1]).only(step["mask"].bool())  # not what a search inserted
            with self.accelerator.autocast():
                value, logged = loss.of_pack(model, packed, step, self.beta)
            if weight:
                sums.add_(logged)
            return weight * value

        with torch.no_grad():
            for batch, weight in self._as_many(self._batches(*tokens, silent), batches[0]):
                part(batch, weight)
        *first, last = self._as_many(batches, batches[0])
        for batch, weight in first:
            value = part(batch, weight)
            self.accelerator.backward(value)
            total += value.detach()
        value = part(*last) + total
        self._log_sums(sums, "sampling_per_token_logps" in step)
        return value

    def _read(self, inputs: Any) -> dict[str, torch.Tensor]:
        """The inputs of `loss.of_pack` from one step."""
        mask = inputs["completion_mask"] * inputs.get("tool_mask", 1)
        items = float(inputs["num_items_in_batch"]) / self.accelerator.num_processes
        weights = loss.token_weights(mask, self.loss_type, items, self.max_completion_length)
        step = {"mask": mask, "weights": weights, "advantages": inputs["advantages"]}
        return step | {name: inputs[name] for name in ("ref_per_token_logps", "sampling_per_token_logps") if name in inputs}

    def _log_sums(self, sums: torch.Tensor, by_vllm: bool) -> None:
        """Log means over all tokens of a step, of all processes."""
        values = self.accelerator.reduce(sums, reduction="sum")
        entropy, kl, distance = (values[:3] / values[3].clamp(min=1)).tolist()
        logged = {"entropy": entropy} | ({"kl": kl} if self.beta else {}) | ({"sampling_distance": distance} if by_vllm else {})
        for name, value in logged.items():
            self._metrics["train"][name].append(value)


def _tokens(ids: torch.Tensor, mask: torch.Tensor, completion: int) -> tuple[list[list[int]], list[list[int]]]:
    """(prompts, completions) as lists of tokens, of batches in which prompts are padded on the left and completions on the right."""
    ids, mask = ids.cpu(), mask.cpu().bool()
    prompts = [row[seen].tolist() for row, seen in zip(ids[:, :-completion], mask[:, :-completion], strict=True)]
    return prompts, [row[seen].tolist() for row, seen in zip(ids[:, -completion:], mask[:, -completion:], strict=True)]
