"""Say how far two runs of one arm and seed agree: `python figures/repeat/compare.py FIRST SECOND ARM SEED > figures/repeat/STUDY.csv`.
More arms and seeds may follow (ARM SEED ARM SEED ...); the table then begins with columns arm and seed.

FIRST and SECOND are folders that hold the same study, run twice, such as `runs/small` and `again/small` (STUDY_RUNS=again makes
the second). One row per thing compared: how many values, how many of them equal, and the largest difference where they are
numbers. Weights (unless neither run has kept them) and what was logged at each step first, then each rollout and held-out answer, then the
scores, if both are there.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors.numpy import load_file


def numbers(what: str, first: np.ndarray, second: np.ndarray) -> dict[str, object]:
    """Two arrays of one shape; two missing values are equal."""
    same = np.isclose(first, second, rtol=0, atol=0, equal_nan=True)
    gap = np.abs(first - second)[~same]
    return {"what": what, "compared": same.size, "equal": int(same.sum()), "largest_difference": float(gap.max(initial=0.0))}


def texts(what: str, first: pd.Series, second: pd.Series) -> dict[str, object]:
    """Two columns of one length."""
    same = first.fillna("").astype(str).to_numpy() == second.fillna("").astype(str).to_numpy()
    return {"what": what, "compared": same.size, "equal": int(same.sum()), "largest_difference": np.nan}


def weights(first: Path, second: Path) -> dict[str, object]:
    """The trained weights of both, all tensors in one row. Raises ValueError if they do not hold the same tensors."""
    held = [{path.name: load_file(path) for path in sorted(folder.glob("*.safetensors"))} for folder in (first, second)]
    flat = [[(name, key) for name, tensors in one.items() for key in sorted(tensors)] for one in held]
    if flat[0] != flat[1] or not flat[0]:
        raise ValueError(f"{first} and {second} do not hold the same weights")
    joined = [np.concatenate([one[name][key].astype(np.float32).ravel() for name, key in flat[0]]) for one in held]
    return numbers("trained weights", *joined)


def compare(first: Path, second: Path, arm: str, seed: int) -> pd.DataFrame:
    """All rows for one arm and seed of two folders of a study."""
    run, scored = Path("train", arm, f"seed{seed}"), Path("eval", arm, f"seed{seed}", "scores.parquet")
    adapters = [folder / run / "adapter" for folder in (first, second)]
    rows = [weights(*adapters)] if any(list(adapter.glob("*.safetensors")) for adapter in adapters) else []
    logs = [pd.read_csv(folder / run / "log.csv") for folder in (first, second)]
    timeless = [name for name in logs[0] if not name.startswith("seconds")]
    rows += [numbers(f"log: {name}", *(log[name].to_numpy(float) for log in logs)) for name in timeless]
    for what, file in (("rollouts", "completions.parquet"), ("held-out answers during training", "following.parquet")):
        if all((folder / run / file).is_file() for folder in (first, second)):
            wrote = [pd.read_parquet(folder / run / file)["completion"] for folder in (first, second)]
            rows.append(texts(what, *wrote))
    if all((folder / scored).is_file() for folder in (first, second)):
        key = ["task", "benchmark", "filter", "rotation", "item_id"]
        scores = [pd.read_parquet(folder / scored).sort_values(key, ignore_index=True) for folder in (first, second)]
        for task, part in scores[0].groupby("task", sort=False):
            other = scores[1].loc[part.index]
            said = "predicted" if part["response"].isna().all() else "response"  # by likelihood nothing is written
            rows.append(texts(f"answers: {task}", part[said], other[said]))
            rows.append(numbers(f"right: {task}", part["correct"].to_numpy(float), other["correct"].to_numpy(float)))
    return pd.DataFrame(rows)


if __name__ == "__main__":
    one, two, *runs = sys.argv[1:]
    named = list(zip(runs[::2], map(int, runs[1::2]), strict=True))
    try:
        tables = {run: compare(Path(one), Path(two), *run) for run in named}
        whole = pd.concat(tables, names=["arm", "seed"]).droplevel(2).reset_index() if len(named) > 1 else tables[named[0]]
        whole.to_csv(sys.stdout, index=False)
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
