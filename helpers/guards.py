"""Guards: what would make a number mean less than it seems to, as one line each for the report.

Every function takes the tables of one step and returns the lines that apply; none means that nothing
was found. The traps behind them are others' (design: huggingface/trl#5697, #6263, #3708; open-r1#235;
lm-evaluation-harness#2432).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

CUT_OFF = 1 / 3  # share of completions cut off above which their rewards and labels say little
BELOW_CHANCE = 4.0  # standard errors


def filter_answers(labels: pd.DataFrame, filter: str, unparsed: float) -> list[str]:
    """Of a filter's answers (columns finish_reason, predicted): too many cut off, too many without a readable answer."""
    cut, unread = (labels["finish_reason"] == "length").mean(), labels["predicted"].isna().mean()
    return [
        *([f"Filter {filter}: {cut:.0%} of the answers were cut off; raise max_new_tokens."] if cut > CUT_OFF else []),
        *([f"Filter {filter}: no answer could be read from {unread:.0%} of the completions, so `hard` says more about the "
           f"format than about the questions (limit {unparsed:.0%})."] if unread > unparsed else []),
    ]  # fmt: skip


def contamination(dropped: int, pool: int) -> list[str]:
    """Of the contamination check: pool questions that a benchmark has."""
    return (
        [f"{dropped} of {pool} pool questions occur in a benchmark and were dropped; they are listed in 02_split."]
        if dropped
        else []
    )


def training(log: pd.DataFrame, run: str) -> list[str]:
    """Of a training's log (columns clipped_share, frac_reward_zero_std): completions cut off, no group with a spread of rewards."""
    cut = log["clipped_share"].mean()
    flat = bool((log["frac_reward_zero_std"] >= 1).all())
    return [
        *([f"Training {run}: {cut:.0%} of the completions were cut off; raise train.max_completion_tokens."] if cut > CUT_OFF else []),
        *([f"Training {run}: in every step all rollouts of every group had the same reward, so nothing was learned."] if flat else []),
    ]  # fmt: skip


def trained_weights(effect: dict[str, float], run: str) -> list[str]:
    """Of the comparison of logits (`models.training_effect`; nothing for the untrained model): weights that are all zero."""
    none = bool(effect) and effect["largest_weight"] == 0
    return [f"Model {run}: training changed no weight; its scores are the untrained model's."] if none else []


def scores(table: pd.DataFrame, model: str, unparsed: float) -> list[str]:
    """Of one model's scores (one row an item and answer filter): answers that could not be read, accuracy far below chance."""
    lines = []
    plain = table[table["rotation"] == 0]
    for (benchmark, filter), part in plain.groupby(["benchmark", "filter"], sort=False):
        name = benchmark if filter == "none" else f"{benchmark} ({filter})"
        chance, share = part["chance"].mean(), part["correct"].mean()
        error = np.sqrt(chance * (1 - chance) / len(part))
        if chance and share < chance - BELOW_CHANCE * error:
            lines.append(
                f"{model} on {name}: {share:.1%} is more than four standard errors below chance ({chance:.1%}, {len(part)} items); "
                "reading the answers is probably broken, or the format is not followed."
            )
        unread = part["predicted"].isna() | part["predicted"].isin(["", "[invalid]"])
        if unread.mean() > unparsed and part["response"].notna().any():
            lines.append(f"{model} on {name}: no answer could be read from {unread.mean():.0%} of the completions.")
    return lines
