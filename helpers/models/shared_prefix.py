"""Prompts that begin alike are read once, and equal prompts as well: inputs of transformers' `generate` with a cache of what was read.

Most of a prompt is the same for all questions of a study, the instructions and the worked examples, and all rollouts of a question have
the same prompt. Reading prompts took about half of the time of generation on a CPU.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch

WORTH = 16  # fewer shared tokens are not worth a forward pass


@torch.no_grad()
def read_once(model: Any, ids: torch.Tensor, mask: torch.Tensor, limit: int) -> dict[str, Any]:
    """Inputs of `generate` for prompts padded on the left: the same tokens, padded after the shared ones, and a cache of all but the last.

    ids, mask: shape (rows, width), as `generate` takes them. limit: the most new tokens. Completions begin at the same place as without
    it. The inputs are those given on a GPU, which reads quickly, if rows share few tokens, and if not all layers see all tokens.
    """
    given = {"input_ids": ids, "attention_mask": mask}
    rows = [tuple(row[kept.bool()].tolist()) for row, kept in zip(ids, mask, strict=True)]
    different, width = list(dict.fromkeys(rows)), ids.shape[1]
    shared = min(len(os.path.commonprefix(different)), min(map(len, rows)) - 1)
    window = getattr(model.config.get_text_config(), "sliding_window", None) or sys.maxsize
    if ids.device.type != "cpu" or len(rows) == 1 or shared < WORTH or width + limit > window:
        return given
    places = torch.tensor([different.index(row) for row in rows])
    one_each = torch.tensor([rows.index(row) for row in different])
    begins = (width - mask.sum(1))[:, None]
    others = torch.arange(width - shared)[None]  # the padding, then the tokens that are not shared
    order = torch.cat([begins + torch.arange(shared), torch.where(others < begins, others, others + shared)], 1)
    given = {"input_ids": ids.gather(1, order), "attention_mask": mask.gather(1, order)}
    cache = model(input_ids=given["input_ids"][:1, :shared], use_cache=True, logits_to_keep=1).past_key_values
    cache.batch_repeat_interleave(len(different))
    if width - shared > 1:
        seen = given["attention_mask"][one_each, :-1]
        rest = {"input_ids": given["input_ids"][one_each, shared:-1], "position_ids": (seen.cumsum(1) - 1)[:, shared:]}
        model(**rest, attention_mask=seen, past_key_values=cache, use_cache=True, logits_to_keep=1)
    cache.batch_select_indices(places)
    return given | {"past_key_values": cache}


@contextmanager
def reading_once(model: Any, limit: int) -> Iterator[None]:
    """A context in which `model.generate` reads prompts as `read_once` does. limit: the most new tokens."""
    usual = model.generate

    def generate(input_ids: torch.Tensor, attention_mask: torch.Tensor, **options: Any) -> Any:
        return usual(**read_once(model, input_ids, attention_mask, limit), **options)

    with patch.object(model, "generate", generate):
        yield
