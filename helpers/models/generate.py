"""Completions for many prompts: sorted by length, in batches, each batch stored as soon as it is written."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from transformers import PreTrainedTokenizerBase

from helpers.models import engines
from helpers.questions.prompts import own_words
from helpers.study.errors import StudyError
from helpers.study.files import fingerprint, write_table
from helpers.study.progress import progress

VLLM_AT_ONCE = 4096  # prompts handed to vLLM together; it batches by itself, and the last answers of a call leave it half idle


def complete(
    prompts: pd.DataFrame,
    weights: engines.Weights,
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
    tool: Any = None,
) -> pd.DataFrame:
    """Complete every prompt `samples` times.

    prompts: columns question_id, prompt. weights: loaded only if something is left to generate. temperature: 0 is greedy; above 0, the
    whole distribution is sampled (top-p 1, no top-k). end_tokens: tokens that end a completion besides the model's own. batch_size: of
    transformers; vLLM makes its own batches. parts: a folder for finished batches; a run that was killed continues from them. tool: a search tool
    (`helpers.search.episodes.Tool`) that the model may use.

    Returns one row per completion: question_id, sample, response, finish_reason ("stop" or "length"), n_tokens. With a tool these are of what
    the model wrote itself, finish_reason may be "searches", and `searches` has what was inserted (`Episode.record`).
    """
    used = engines.choose(engine, weights.method)
    jobs = prompts.loc[prompts.index.repeat(samples)].assign(sample=list(range(samples)) * len(prompts))
    jobs = jobs.assign(length=jobs["prompt"].str.len()).sort_values(["length", "question_id", "sample"], ascending=False)
    settings = (max_new_tokens, temperature, list(end_tokens), seed, *([used] if used == "vllm" else []))
    settings += (tool.mark, str(tool.settings)) if tool else ()
    at_once = max(VLLM_AT_ONCE, batch_size) if used == "vllm" else batch_size
    loaded, done = None, []
    with progress(total=len(jobs), desc="completions", unit="answer") as bar:
        for start in range(0, len(jobs), at_once):
            batch = jobs.iloc[start : start + at_once]
            mark = fingerprint(settings, batch["prompt"].tolist(), batch["sample"].tolist())
            kept = parts / f"{mark}.parquet" if parts else None
            if kept and kept.exists():
                rows = pd.read_parquet(kept)
            else:
                loaded = loaded or engines.load(weights, used)
                ends = (*loaded.ends(tokenizer), *end_tokens)
                rows = _batch(batch, loaded, tokenizer, engines.Sampling(max_new_tokens, temperature, ends), mark, seed, tool)
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
    tool: Any,
) -> pd.DataFrame:
    """Generate one batch; the same batch gives the same completions again after a kill.

    transformers draws a whole batch from one seed, derived from the batch; vLLM each answer from its own, derived from prompt and sample.
    """
    prompts = batch["prompt"].tolist()
    if engine.name == "vllm":
        seeds = [int(fingerprint(seed, *each)[:8], 16) for each in zip(prompts, batch["sample"].tolist(), strict=True)]
    else:
        seeds = [int(mark[:8], 16)] * len(batch)
    encoded = tokenizer(prompts)["input_ids"]
    longest = max(range(len(encoded)), key=lambda place: len(encoded[place]))
    if len(encoded[longest]) + sampling.limit > engine.room:
        raise StudyError(
            f"question {batch['question_id'].iloc[longest]}: its prompt has {len(encoded[longest]):,} tokens, and the model has room for "
            f"{engine.room:,} with the {sampling.limit:,} of an answer ({prompts[longest].strip()[-80:]!r}); remove the question or shorten it"
        )
    rows = batch[["question_id", "sample"]].reset_index(drop=True)
    if tool:
        made = tool.write(engine, encoded, sampling, seeds, tokenizer)
        return rows.assign(
            response=[own_words(episode.text) for episode in made],
            finish_reason=[episode.finish for episode in made],
            n_tokens=[episode.written for episode in made],
            searches=[episode.record for episode in made],
        )
    written = engine.write(encoded, sampling, seeds, tokenizer)
    return rows.assign(
        response=[own_words(tokenizer.decode(tokens, skip_special_tokens=True)) for tokens in written],
        finish_reason=["stop" if tokens and tokens[-1] in sampling.ends else "length" for tokens in written],
        n_tokens=[len(tokens) for tokens in written],
    )
