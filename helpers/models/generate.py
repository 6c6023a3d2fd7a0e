"""Completions for many prompts: sorted by length, in batches, each batch kept on disk as soon as it is made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm
from transformers import PreTrainedTokenizerBase

from helpers.models import engines
from helpers.questions.prompts import own_words
from helpers.study.files import fingerprint, write_table


def complete(
    prompts: pd.DataFrame,
    model: Callable[[], Any] | engines.Weights,
    tokenizer: PreTrainedTokenizerBase,
    *,
    max_new_tokens: int,
    temperature: float = 0.0,
    samples: int = 1,
    end_tokens: Sequence[int] = (),
    batch_size: int = 32,
    seed: int = 0,
    parts: Path | None = None,
    engine: engines.Name = "auto",
    likely: int = 0,
) -> pd.DataFrame:
    """Complete every prompt `samples` times.

    prompts: columns question_id, prompt. model: which weights to load into the engine, or a function that
    returns a transformers model; nothing is loaded unless something is left to generate. temperature 0 is
    greedy; above 0, the whole distribution is sampled (top-p 1, no top-k). end_tokens: tokens that end a
    completion besides the model's own. batch_size: of transformers; vLLM fills its own batches. parts: a
    folder where finished batches are kept; a run that was killed goes on from them. likely: tell for each
    token the log-probabilities of that many best tokens, in a column `likely` beside `tokens` (nothing is then kept on disk).

    Returns one row a completion: question_id, sample, response, finish_reason ("stop" or "length"), n_tokens.
    """
    used = engines.choose(engine, model.method) if isinstance(model, engines.Weights) else "transformers"
    jobs = prompts.loc[prompts.index.repeat(samples)].assign(sample=list(range(samples)) * len(prompts))
    jobs = jobs.assign(length=jobs["prompt"].str.len()).sort_values(["length", "question_id", "sample"], ascending=False)
    settings = (max_new_tokens, temperature, list(end_tokens), seed, *([used] if used == "vllm" else []))
    step = max(engines.VLLM_AT_ONCE, batch_size) if used == "vllm" else batch_size
    loaded, done = None, []
    with tqdm(total=len(jobs), desc="completions", unit="answer") as bar:
        for start in range(0, len(jobs), step):
            batch = jobs.iloc[start : start + step]
            mark = fingerprint(settings, batch["prompt"].tolist(), batch["sample"].tolist())
            kept = parts / f"{mark}.parquet" if parts and not likely else None
            if kept and kept.exists():
                rows = pd.read_parquet(kept)
            else:
                if loaded is None:
                    loaded = engines.load(model, used) if isinstance(model, engines.Weights) else engines.Transformers(model())
                ends = (*loaded.ends(tokenizer), *end_tokens)
                rows = _batch(batch, loaded, tokenizer, engines.Sampling(max_new_tokens, temperature, ends, likely), mark, seed)
                if kept:
                    write_table(rows, kept)
            done.append(rows)
            bar.update(len(batch))
    order = {identity: place for place, identity in enumerate(prompts["question_id"])}
    return pd.concat(done).sort_values(["question_id", "sample"], key=lambda c: c.map(order) if c.name == "question_id" else c,
                                       ignore_index=True)  # fmt: skip


def _batch(
    batch: pd.DataFrame,
    engine: engines.Engine,
    tokenizer: PreTrainedTokenizerBase,
    sampling: engines.Sampling,
    mark: str,
    seed: int,
) -> pd.DataFrame:
    """Generate one batch.

    transformers draws a whole batch from one seed, made from the batch; vLLM each answer from its own, made from
    prompt and sample. Either way a batch gives the same again after a kill.
    """
    asked = batch["prompt"].tolist()
    tokens = tokenizer(asked)["input_ids"]
    if engine.name == "vllm":
        seeds = [
            int(fingerprint(seed, text, sample)[:8], 16) for text, sample in zip(asked, batch["sample"].tolist(), strict=True)
        ]
    else:
        seeds = [int(mark[:8], 16)] * len(batch)
    made = engine.write(tokens, sampling, seeds, tokenizer.pad_token_id)
    ended = ["stop" if one.tokens and one.tokens[-1] in sampling.ends else "length" for one in made]
    rows = batch[["question_id", "sample"]].assign(
        response=[own_words(tokenizer.decode(one.tokens, skip_special_tokens=True)) for one in made],
        finish_reason=ended,
        n_tokens=[len(one.tokens) for one in made],
    )
    if sampling.likely:
        rows = rows.assign(tokens=[one.tokens for one in made], likely=[one.likely for one in made])
    return rows.reset_index(drop=True)
