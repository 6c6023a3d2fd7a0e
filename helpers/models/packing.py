"""Shared prompts: a prompt is computed once, and its completions follow it under a mask that keeps them apart.

Training packs the rollouts of a group so, and reading likelihoods on a CPU the answers to a question.

A row of a pack is one group, or a part of one that is too long:

    prompt without its last token | last prompt token, completion 1 without its last token | last prompt token, completion 2 … | padding

Each position after the prompt predicts one token of a completion. It sees the prompt and its own completion, and its position
number is the one it would have if the completion stood alone behind the prompt. The log-probabilities are therefore those of the
plain computation. The method is that of prefix-shared attention (for instance arXiv 2506.05433); nothing is approximated.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

LONGEST_ROW = 2048  # tokens; attention's work grows with the square of a row, so longer groups are divided
IGNORED = -100  # the target where nothing is predicted


class Piece(NamedTuple):
    """A prompt and the completions behind it: their tokens, and the rows of the batch they come from."""

    prompt: list[int]
    completions: list[list[int]]
    rows: list[int]

    @property
    def width(self) -> int:
        """Tokens of the piece in a pack."""
        return len(self.prompt) - 1 + sum(map(len, self.completions))


class Pack(NamedTuple):
    """Several pieces as tensors, one row each, all of shape (pieces, width).

    segments: 0 in the prompt, k in the k-th completion, -1 in the padding. targets: the token that a position predicts, or IGNORED.
    places: for each predicted token, row after row, its index in the flattened (completions, longest completion) tensors of the step.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    segments: torch.Tensor
    targets: torch.Tensor
    places: torch.Tensor

    def mask(self) -> torch.Tensor:
        """The positions that each position attends to, as a boolean tensor of shape (pieces, 1, width, width)."""
        seen = (self.segments[:, None, :] == 0) | (self.segments[:, None, :] == self.segments[:, :, None])
        return (seen & torch.ones(seen.shape[-2:], dtype=torch.bool, device=seen.device).tril())[:, None]

    def only(self, wanted: torch.Tensor) -> "Pack":
        """The pack with nothing predicted where `wanted`, boolean of shape (completions, longest completion), is false."""
        kept, targets = wanted.flatten()[self.places], self.targets.clone()
        predicted = targets != IGNORED
        targets[predicted] = targets[predicted].where(kept, IGNORED)
        return self._replace(targets=targets, places=self.places[kept])


def group(prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]], budget: int) -> list[Piece]:
    """Pieces of equal prompts, in the order of their first rows; each holds at most `budget` tokens, or a single completion."""
    together: dict[tuple[int, ...], list[int]] = {}
    for row, prompt in enumerate(prompts):
        together.setdefault(tuple(prompt), []).append(row)
    pieces = []
    for prompt, rows in together.items():
        room = min(budget, max(LONGEST_ROW, len(prompt) + max(len(completions[row]) for row in rows)))
        parts: list[list[int]] = [[]]
        for row in rows:
            if parts[-1] and len(prompt) - 1 + sum(len(completions[one]) for one in (*parts[-1], row)) > room:
                parts.append([])
            parts[-1].append(row)
        pieces += [Piece(list(prompt), [list(completions[row]) for row in part], part) for part in parts]
    return pieces


def fill(pieces: Sequence[Piece], budget: int) -> list[list[Piece]]:
    """Micro-batches of pieces of similar width, each of at most `budget` tokens with its padding, or of one piece."""
    batches: list[list[Piece]] = []
    for piece in sorted(pieces, key=lambda piece: piece.width):
        if batches and piece.width * (len(batches[-1]) + 1) <= budget:
            batches[-1].append(piece)
        else:
            batches.append([piece])
    return batches


def pack(pieces: Sequence[Piece], longest: int, pad: int, device: Any = "cpu", multiple: int = 1) -> Pack:
    """The tensors of a micro-batch. longest: width of the step's completion tensors; multiple: the pack's width is one of it."""
    width = -(-max(piece.width for piece in pieces) // multiple) * multiple
    rows = [_row(piece, longest) for piece in pieces]

    def tensor(part: int, filler: int) -> torch.Tensor:
        return torch.tensor([row[part] + [filler] * (width - len(row[part])) for row in rows], device=device)

    places = torch.tensor([place for row in rows for place in row[4]], device=device)
    return Pack(tensor(0, pad), tensor(1, 0), tensor(2, -1), tensor(3, IGNORED), places)


def _row(piece: Piece, longest: int) -> tuple[list[int], list[int], list[int], list[int], list[int]]:
    """Tokens, positions, segments and targets of a piece, and the places of its predicted tokens."""
    before = len(piece.prompt) - 1
    ids, positions, segments, targets = piece.prompt[:-1], list(range(before)), [0] * before, [IGNORED] * before
    places: list[int] = []
    for number, (completion, row) in enumerate(zip(piece.completions, piece.rows, strict=True), 1):
        ids = [*ids, piece.prompt[-1], *completion[:-1]]
        positions += range(before, before + len(completion))
        segments += [number] * len(completion)
        targets += completion
        places += range(row * longest, row * longest + len(completion))
    return ids, positions, segments, targets, places


def why_not(model: Any, longest: int) -> str:
    """Why a model cannot read shared prompts, in a few words; "" if it can.

    longest: tokens of the longest prompt and completion together. A layer with a sliding window applies its own mask, which a packed
    row would replace; that makes no difference where the window holds a whole text. Other layers (state spaces, linear
    attention) read a row from left to right and cannot leave a completion out. Properties that no configuration states are tested on a few tokens.
    """
    config = model.config.get_text_config()
    attention = getattr(config, "_attn_implementation", None)
    if attention != "sdpa":
        return f"its attention is {attention}, not sdpa"
    kinds = set(getattr(config, "layer_types", None) or [])
    window = getattr(config, "sliding_window", None) if getattr(config, "use_sliding_window", True) else None
    if window and window < longest and (not kinds or "sliding_attention" in kinds):
        return f"its layers see {window} tokens, a prompt with its completion has up to {longest}"
    if others := kinds - {"full_attention", "sliding_attention"}:
        return f"it has layers of another kind ({', '.join(sorted(others))})"
    return "" if _same(model) else "its log-probabilities differ from those of the plain computation"


@torch.no_grad()
def _same(model: Any) -> bool:
    """Whether a model's packed logits equal its plain ones on a prompt of four tokens with two completions."""
    prompt, completions = [5, 6, 7, 8], [[9, 10, 11], [12, 13]]
    packed = pack([Piece(prompt, completions, [0, 1])], 3, 0, model.device)
    given = {"input_ids": packed.ids, "position_ids": packed.positions, "attention_mask": packed.mask()}
    try:
        shared = model(**given, use_cache=False).logits[0, 3:]
    except (TypeError, ValueError, RuntimeError):
        return False
    texts = [torch.tensor([[*prompt, *one[:-1]]], device=model.device) for one in completions]
    plain = torch.cat([model(input_ids=text, use_cache=False).logits[0, 3:] for text in texts])
    scale = 1e-4 if shared.dtype == torch.float32 else 0.05
    return torch.allclose(shared, plain, rtol=0, atol=scale * float(shared.abs().max()))
