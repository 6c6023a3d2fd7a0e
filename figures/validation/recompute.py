"""Recompute a published study's primary outcome from its scores: `python figures/validation/recompute.py control`.

Accuracy in reasoning mode, per arm and seed, on held-out questions and on the pool's own test task; the difference of each arm from `random`
(paired by seed) and from the untrained model; 95 % intervals that cover items and seeds. The script was written from the column names of the
published files and the design alone, and imports nothing of this project, so a mistake in `helpers/` is not repeated here.

Differences are compared with comparison.csv. The script stops with status 1 if an accuracy or a difference is not the published one.
Intervals come from another method than the published ones and need not be equal:

- t: an analysis of variance of the item × seed table of differences gives the variance of the mean over items and seeds (the moment estimate
  of a crossed design; Cameron, Gelbach and Miller 2011), with Satterthwaite's degrees of freedom.
- bootstrap: items and seeds drawn with replacement, independently of each other (Owen 2007). With few seeds it is too narrow.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

FIGURES = Path(__file__).parents[1]
EXACT = 1e-9  # published tables are compared to nine digits elsewhere, too
KEYS = ["benchmark", "filter", "arm"]


def read_scores(study: Path) -> pd.DataFrame:
    """Reasoning-mode answers of the specialisation tasks: one row per benchmark, answer filter, arm, seed and item.

    Only seeds that every arm has, so that an unfinished study compares like with like; options as they stand, not rotated.
    """
    wanted = [("mode", "==", "reasoning"), ("group", "==", "specialisation"), ("rotation", "==", 0)]
    columns = ["benchmark", "filter", "item_id", "correct", "predicted", "target"]
    files = sorted((study / "data/eval").glob("*/seed*/scores.parquet"))
    runs = [(file.parents[1].name, int(file.parent.name.removeprefix("seed")), file) for file in files]
    arms = {arm for arm, _, _ in runs}
    complete = {seed for _, seed, _ in runs if {arm for arm, own, _ in runs if own == seed} == arms}
    kept = [run for run in runs if run[1] in complete] + [("untrained", 0, study / "data/eval/untrained/scores.parquet")]
    parts = [pd.read_parquet(file, columns=columns, filters=wanted).assign(arm=arm, seed=seed) for arm, seed, file in kept]
    scores = pd.concat(parts, ignore_index=True)
    wrong = scores["correct"] != (scores["predicted"] == scores["target"])
    left = len(runs) + 1 - len(kept)
    print(f"{study.name}: {len(arms)} arms, {len(complete)} seeds ({left} runs of other seeds left out), {len(scores):,} answers")
    print(f"Answers marked right although they are not the answer key, or the reverse: {int(wrong.sum())}")
    return scores


def held_out_in_training(study: Path, scores: pd.DataFrame) -> int:
    """How many held-out items are among the training questions of any arm and draw."""
    trained = [
        pd.read_parquet(file, columns=["question_id"])["question_id"] for file in (study / "data/split").rglob("train.parquet")
    ]
    held_out = scores.loc[scores["benchmark"] == "pool_held_out", "item_id"].unique()
    return int(np.isin(held_out, pd.concat(trained)).sum())


def crossed_interval(differences: np.ndarray) -> tuple[float, float, float]:
    """Low end, high end and two-sided p of the mean of an items × seeds table, for new items and new seeds."""
    items, seeds = differences.shape
    mean, by_item, by_seed = differences.mean(), differences.mean(axis=1), differences.mean(axis=0)
    parts, freedom = [by_item.var(ddof=1) / items], [items - 1]
    if seeds > 1:
        rest = differences - by_item[:, None] - by_seed[None, :] + mean
        twice = (rest**2).sum() / ((items - 1) * (seeds - 1)) / (items * seeds)  # the interaction is in both of the others
        parts, freedom = [*parts, by_seed.var(ddof=1) / seeds, -twice], [*freedom, seeds - 1, (items - 1) * (seeds - 1)]
    variance = max(sum(parts), *parts)
    if not variance:
        return mean, mean, float(mean == 0)
    degrees = variance**2 / sum(part**2 / df for part, df in zip(parts, freedom, strict=True))
    error = variance**0.5
    reach = stats.t.ppf(0.975, degrees) * error
    return mean - reach, mean + reach, 2 * stats.t.sf(abs(mean) / error, degrees)


def crossed_bootstrap(differences: np.ndarray, replicates: int = 1000) -> tuple[float, float]:
    """2.5 and 97.5 % points of the mean when items and seeds are drawn again, independently."""
    rng = np.random.default_rng(0)
    items, seeds = differences.shape
    item_counts = rng.multinomial(items, np.full(items, 1 / items), replicates)
    seed_counts = rng.multinomial(seeds, np.full(seeds, 1 / seeds), replicates)
    means = ((item_counts @ differences) * seed_counts).sum(axis=1) / (items * seeds)
    return tuple(np.quantile(means, [0.025, 0.975]))


def differences_from(scores: pd.DataFrame, arm: str, reference: str) -> np.ndarray:
    """Items × seeds table of correct(arm) − correct(reference), for the seeds that both have; the untrained model has no seed."""
    table = {name: part.pivot_table(index="item_id", columns="seed", values="correct", aggfunc="mean")
             for name, part in scores.astype({"correct": float}).groupby("arm")}  # fmt: skip
    first, second = table[arm], table[reference]
    if reference == "untrained":
        difference = first.sub(second[0], axis=0)
    else:
        shared = first.columns.intersection(second.columns)
        difference = first[shared] - second[shared]
    if difference.empty or difference.isna().any(axis=None):
        raise SystemExit(f"{arm} and {reference} were not asked the same items with the same seeds")
    return difference.to_numpy()


def holm(p: pd.Series) -> pd.Series:
    """p-values corrected for their number (Holm 1979); missing ones stay missing and are not counted."""
    known = p.dropna().sort_values()
    return (known * np.arange(len(known), 0, -1)).cummax().clip(upper=1).reindex(p.index)


def recompute(scores: pd.DataFrame) -> pd.DataFrame:
    """One row per benchmark, answer filter and arm, with comparison.csv's column names; `_p_family`: corrected for all rows here."""
    rows = []
    for (benchmark, reading), part in scores.groupby(["benchmark", "filter"], sort=False):
        for arm in part["arm"].unique():
            own = part[part["arm"] == arm]
            by_seed = own.groupby("seed")["correct"].mean()
            row = {
                "benchmark": benchmark,
                "filter": reading,
                "arm": arm,
                "items": own["item_id"].nunique(),
                "accuracy": by_seed.mean(),
            }
            row["seeds"] = "" if arm == "untrained" else " ".join(f"{seed}: {value:.4f}" for seed, value in by_seed.items())
            for reference in ("untrained", "random"):
                if arm not in ("untrained", reference) and reference in set(part["arm"]):
                    table = differences_from(part, arm, reference)
                    name, ends = f"vs_{reference}", ("_low", "_high", "_p")
                    row |= {name: table.mean()} | {
                        name + end: value for end, value in zip(ends, crossed_interval(table), strict=True)
                    }
                    row |= {
                        name + end: value
                        for end, value in zip(("_boot_low", "_boot_high"), crossed_bootstrap(table), strict=True)
                    }
            rows.append(row)
    table = pd.DataFrame(rows)
    return table.assign(**{name.replace("_p", "_p_family"): holm(table[name]) for name in table if name.endswith("_p")})


def compare(ours: pd.DataFrame, published: pd.DataFrame) -> pd.Series:
    """The largest absolute difference between our numbers and the published ones, per column."""
    both = ours.drop(columns="seeds").merge(published, on=KEYS, how="left", suffixes=("", "_published"), validate="one_to_one")
    columns = [column for column in ours if f"{column}_published" in both]
    gaps = {column: (both[column] - both[f"{column}_published"]).abs() for column in columns}
    unmatched = [c for c in columns if (both[c].isna() != both[f"{c}_published"].isna()).any()]
    if unmatched:
        raise SystemExit(f"Only one side has a value: {', '.join(unmatched)}\n{both[KEYS + unmatched].to_string()}")
    return pd.Series({column: gap.max() for column, gap in gaps.items()}, name="largest difference").dropna()


def main(name: str) -> None:
    """Print every number and the largest differences."""
    study = FIGURES / name
    scores = read_scores(study)
    print(f"Held-out questions that an arm was trained on: {held_out_in_training(study, scores)}")
    ours = recompute(scores)
    gaps = compare(ours, pd.read_csv(study / "comparison.csv"))
    print(ours.set_index(KEYS).T.to_string(na_rep="", float_format="{:.4f}".format))
    print(gaps.map("{:.2g}".format).to_string())
    wrong = gaps[["items", "accuracy", "vs_untrained", "vs_random"]].pipe(lambda values: values[values > EXACT])
    if len(wrong):
        raise SystemExit(f"Not the published numbers: {', '.join(wrong.index)}")
    print("Accuracies and differences equal the published ones; the other rows compare two methods.")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(sys.argv[1])
