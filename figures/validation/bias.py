"""How accurate would each model be without a preference for some letters? `python figures/validation/bias.py medicine`.

A rule that shifts the letters a model names changes its accuracy even if it knows as much as before. For each model and each task with the options
A to D in reasoning mode, this script fits the choice model log P(letter | right letter) = bias of the letter + sensitivity if it is the right one,
by maximum likelihood on the counts of right and named letters (Luce 1959; a multinomial logit). Answers without a letter are left out. Accuracy
without the biases is that of the same sensitivity with equal biases: e^s / (e^s + 3).

The result is validation/bias_<study>.csv: one row per task and arm, means over seeds, in percent: accuracy of the answers with a letter, the same
without biases, its difference from `random` with a 95 % interval over seeds (paired; questions and draws are not resampled, not adjusted), and the
difference of plain accuracies beside it. The analysis was chosen after the results of `medicine` had been seen. The script imports nothing of this
project.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import optimize, special, stats

FIGURES = Path(__file__).parents[1]
LETTERS = list("ABCD")


def counts(scores: pd.DataFrame) -> np.ndarray:
    """Right letter × named letter of the answers that name one, 4 × 4."""
    table = pd.crosstab(scores["target"], scores["predicted"])
    return table.reindex(index=LETTERS, columns=LETTERS, fill_value=0).to_numpy()


def unbiased(table: np.ndarray) -> float:
    """The accuracy that the fitted sensitivity gives with equal biases. table: `counts`."""

    def loss(parameters: np.ndarray) -> float:
        bias, sensitivity = np.append(parameters[:3], 0.0), parameters[3]
        return -(table * special.log_softmax(bias + sensitivity * np.eye(4), axis=1)).sum() / table.sum()

    sensitivity = optimize.minimize(loss, np.zeros(4)).x[3]
    return float(special.expit(sensitivity - np.log(3)))


def models(study: Path) -> pd.DataFrame:
    """One row per task and model: task, arm, seed, plain and unbiased accuracy of the answers with a letter."""
    rows = []
    wanted = [("mode", "==", "reasoning"), ("group", "==", "specialisation"), ("rotation", "==", 0)]
    for path in sorted((study / "data/eval").rglob("scores.parquet")):
        arm, seed = path.relative_to(study / "data/eval").parts[:2]
        scores = pd.read_parquet(path, columns=["benchmark", "target", "predicted"], filters=wanted)
        for task, part in scores.groupby("benchmark"):
            table = counts(part)
            if table.sum():
                rows.append(
                    {"task": task, "arm": arm, "seed": seed, "plain": np.trace(table) / table.sum(), "unbiased": unbiased(table)}
                )
    return pd.DataFrame(rows)


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """One row per task and arm, in percent and points: see above. table: `models`."""
    rows = []
    for (task, arm), own in table.groupby(["task", "arm"], sort=False):
        row = {"task": task, "arm": arm, "plain": 100 * own["plain"].mean(), "unbiased": 100 * own["unbiased"].mean()}
        other = table[(table["task"] == task) & (table["arm"] == "random")]
        pairs = own.merge(other, on="seed", suffixes=("", "_random"))
        if arm != "random" and len(pairs) > 1:
            apart = 100 * (pairs["unbiased"] - pairs["unbiased_random"])
            half = stats.t.ppf(0.975, len(apart) - 1) * apart.std(ddof=1) / np.sqrt(len(apart))
            row |= {
                "difference": apart.mean(),
                "low": apart.mean() - half,
                "high": apart.mean() + half,
                "plain_difference": 100 * (pairs["plain"] - pairs["plain_random"]).mean(),
            }
        rows.append(row)
    return pd.DataFrame(rows)


if __name__ == "__main__":
    name = sys.argv[1]
    summary(models(FIGURES / name)).to_csv(FIGURES / f"validation/bias_{name}.csv", index=False, float_format="%.4f")
