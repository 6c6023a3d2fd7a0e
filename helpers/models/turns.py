"""Texts that are continued turn by turn: a model in transformers reads only what is new in them.

An answer that searches is written in several turns (`helpers.search.episodes`), and each turn begins with the text so far. Most of it is in
the cache that the turn before left, so that only the passages have to be read.
"""

import os
from typing import Any

import torch
from transformers.cache_utils import DynamicLayer


class TurnCache:
    """What a model computed for the tokens of a batch of texts: `states`, None before the first turn.

    ids, mask: its tokens, shape (texts, columns), as `generate` takes them. Filled on a CPU only, as in `shared_prefix`, and only if each layer
    sees all tokens; otherwise every turn reads its texts from their beginnings.
    """

    states: Any = None
    ids: torch.Tensor
    mask: torch.Tensor

    def inputs(self, texts: list[list[int]], pad: int) -> dict[str, Any]:
        """Inputs of `generate`: each text as the columns that begin like it, then its other tokens, padded on the left."""
        known = [row[seen.bool()].tolist() for row, seen in zip(self.ids, self.mask, strict=True)]
        shared = [[len(os.path.commonprefix([text[:-1], one])) for one in known] for text in texts]
        lengths = [max(row) for row in shared]
        places = torch.tensor([row.index(most) for row, most in zip(shared, lengths, strict=True)])
        seen = self.mask[places]
        seen = seen * (seen.cumsum(1) <= torch.tensor(lengths)[:, None])
        ids, mask = padded([text[length:] for text, length in zip(texts, lengths, strict=True)], pad)
        self.states.batch_select_indices(places)
        before = self.ids[places].masked_fill(seen == 0, pad)
        whole = {"input_ids": torch.cat([before, ids], 1), "attention_mask": torch.cat([seen, mask], 1)}
        return whole | {"past_key_values": self.states}

    def keep(self, mask: torch.Tensor, made: Any) -> None:
        """Keep what `generate` computed. mask: of its inputs; made: its output, whose last token it has not read."""
        states = made.get("past_key_values")
        if made.sequences.device.type == "cpu" and states is not None and all(type(one) is DynamicLayer for one in states.layers):
            self.ids, self.states = made.sequences[:, : states.get_seq_length()], states
            self.mask = torch.cat([mask, mask.new_ones(len(mask), self.ids.shape[1] - mask.shape[1])], 1)


def padded(rows: list[list[int]], pad: int, device: Any = "cpu") -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens and mask of texts padded on the left, each of shape (texts, longest)."""
    width = max(map(len, rows))
    ids = torch.tensor([[pad] * (width - len(row)) + row for row in rows], device=device)
    return ids, torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows], device=device)
