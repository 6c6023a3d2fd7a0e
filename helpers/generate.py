"""Completions for many prompts: sorted by length, in batches, each batch kept on disk as soon as it is made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from tqdm import tqdm
from transformers import PreTrainedTokenizerBase

from helpers.files import fingerprint, write_table
from helpers.prompts import own_words


def complete(
    prompts: pd.DataFrame,
    model: Callable[[], Any],
    tokenizer: PreTrainedTokenizerBase,
    *,
    max_new_tokens: int,
    temperature: float = 0.0,
    samples: int = 1,
    end_tokens: Sequence[int] = (),
    batch_size: int = 32,
    seed: int = 0,
    parts: Path | None = None,
) -> pd.DataFrame:
    """Complete every prompt `samples` times.

    prompts: columns question_id, prompt. model: called once, and only if something is left to
    generate. temperature 0 is greedy; above 0, the whole distribution is sampled (top-p 1, no top-k).
    end_tokens: tokens that end a completion besides the model's own. parts: a folder where finished batches
    are kept; a run that was killed goes on from them.

    Returns one row a completion: question_id, sample, response, finish_reason ("stop" or "length"), n_tokens.
    """
    jobs = prompts.loc[prompts.index.repeat(samples)].assign(sample=list(range(samples)) * len(prompts))
    jobs = jobs.assign(length=jobs["prompt"].str.len()).sort_values(["length", "question_id", "sample"], ascending=False)
    settings = (max_new_tokens, temperature, list(end_tokens), seed)
    loaded, done = None, []
    with tqdm(total=len(jobs), desc="completions", unit="answer") as bar:
        for start in range(0, len(jobs), batch_size):
            batch = jobs.iloc[start : start + batch_size]
            mark = fingerprint(settings, batch["prompt"].tolist(), batch["sample"].tolist())
            kept = parts / f"{mark}.parquet" if parts else None
            if kept and kept.exists():
                rows = pd.read_parquet(kept)
            else:
                loaded = loaded or model()
                torch.manual_seed(int(mark[:8], 16))  # a batch has its own seed: the same after a kill
                rows = _batch(batch, loaded, tokenizer, max_new_tokens, temperature, end_tokens)
                if kept:
                    write_table(rows, kept)
            done.append(rows)
            bar.update(len(batch))
    order = {identity: place for place, identity in enumerate(prompts["question_id"])}
    return pd.concat(done).sort_values(["question_id", "sample"], key=lambda c: c.map(order) if c.name == "question_id" else c,
                                       ignore_index=True)  # fmt: skip


@torch.inference_mode()
def _batch(
    batch: pd.DataFrame,
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    limit: int,
    temperature: float,
    end_tokens: Sequence[int],
) -> pd.DataFrame:
    """Generate one batch."""
    inputs = tokenizer(batch["prompt"].tolist(), return_tensors="pt", padding=True).to(model.device)
    sampling = {"do_sample": True, "temperature": temperature, "top_p": 1.0, "top_k": 0} if temperature else {"do_sample": False}
    sampling["repetition_penalty"] = 1.0  # some models bring another default, which rollouts do not have
    ends = eos_tokens(model, tokenizer) + list(end_tokens)
    output = model.generate(**inputs, max_new_tokens=limit, pad_token_id=tokenizer.pad_token_id, eos_token_id=ends, **sampling)[
        :, inputs["input_ids"].shape[1] :
    ]
    rows = []
    for tokens in output.tolist():
        end = next((place for place, token in enumerate(tokens) if token in ends), None)
        kept = tokens if end is None else tokens[: end + 1]
        text = own_words(tokenizer.decode(kept, skip_special_tokens=True))
        rows.append((text, "length" if end is None else "stop", len(kept)))
    made = pd.DataFrame(rows, columns=["response", "finish_reason", "n_tokens"], index=batch.index)
    return pd.concat([batch[["question_id", "sample"]], made], axis=1).reset_index(drop=True)


def eos_tokens(model: Any, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Tokens that end a text for this model: its generation config's and its tokenizer's."""
    configured = model.generation_config.eos_token_id
    many = configured if isinstance(configured, list) else [configured]
    return list(dict.fromkeys(token for token in [*many, tokenizer.eos_token_id] if token is not None))
