"""The tables of a run: its log, one row per optimiser step, and its completions, one row per rollout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from helpers.study.errors import StudyError
from helpers.training import rewards

COLUMNS = (
    "step", "epoch", "reward", "reward_accuracy", "reward_format", "reward_xml_count", "reward_random", "reward_std", "frac_reward_zero_std",
    "accuracy_zero_variance", "top_answer_share", "completion_length", "clipped_share", "searching_share", "searches", "inserted_length",
    "entropy", "kl", "sampling_distance", "learning_rate", "grad_norm", "skipped", "loss", "seconds", "seconds_generation", "seconds_sync",
    "seconds_log_probabilities")  # fmt: skip
RENAMED = {f"rewards/{name}/mean": f"reward_{name}" for name in (*rewards.ALL, rewards.RANDOM)} | {
    "completions/mean_length": "completion_length",
    "completions/clipped_ratio": "clipped_share",
    "step_time": "seconds",
}
COMPLETIONS = "completions"


def log_table(history: list[dict[str, Any]]) -> pd.DataFrame:
    """TRL's log as a table, one row per optimiser step, under the study's column names.

    top_answer_share, accuracy_zero_variance: see `collapse.of_step`. sampling_distance: mean distance of vLLM's log-probabilities from
    those of the training. Of rollouts that search, completion_length counts what the model wrote, inserted_length the passages' tokens,
    and searches is the mean number. seconds_generation includes seconds_sync; what is left of `seconds` beside it and
    seconds_log_probabilities (rewards, reference model) is the update.
    """
    rows = [row for row in history if "reward" in row]
    table = pd.DataFrame(rows).rename(columns=RENAMED).reindex(columns=list(COLUMNS))
    return table.drop_duplicates("step", keep="last").dropna(axis="columns", how="all").reset_index(drop=True)


def completion_table(folder: Path, steps: int) -> pd.DataFrame:
    """All rollouts of a run, from the file that TRL keeps for each step: step, question_id, completion, rewards, advantage.

    With rotated options also `rotation`, the places by which the options were moved. Where rollouts search, `completion` is what the model
    wrote, and `searches` has what was inserted (`helpers.search.episodes.Episode`, as JSON).
    """
    paths = [folder / COMPLETIONS / f"completions_{step:05d}.parquet" for step in range(1, steps + 1)]
    missing = [path for path in paths if not path.exists()]
    if missing:
        raise StudyError(f"{missing[0]}: the rollouts of this step are missing; delete {folder} and run 03_grpo_train again")
    table = pd.concat([pd.read_parquet(path) for path in paths], ignore_index=True)
    names = {name: f"reward_{name}" for name in (*rewards.ALL, rewards.RANDOM) if name in table}
    more = [name for name in ("rotation", "searches") if name in table]
    table = table.assign(completion=table["own"]) if "own" in table else table
    return table.rename(columns=names)[["step", "question_id", *more, "completion", *names.values(), "advantage"]]
