"""Intervals, paired tests and power: pure functions on arrays and tidy tables.

Every random step takes a numpy Generator. Scores are 0 or 1 for one run, or the share of runs
(seeds) that got the item right; intervals are over items and hold for the seeds that were run.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import optimize, stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint

from helpers.parameters import HELD_OUT

BASELINE = "untrained"
FLEXIBLE = "flexible-extract"  # of a task's answer filters, the one that enters group means


def wilson(right: int, items: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson score interval of an accuracy (statsmodels' `proportion_confint`)."""
    low, high = proportion_confint(right, items, alpha=1 - confidence, method="wilson")
    return float(low), float(high)


def paired_interval(
    before: np.ndarray, after: np.ndarray, rng: np.random.Generator, resamples: int, confidence: float = 0.95
) -> tuple[float, float, float]:
    """Mean of after − before and its interval over paired items.

    before, after: shape (items,). Scores of one run (0 or 1): Agresti and Min (2005, Statistics in
    Medicine 24:729), Wald's interval after half a pair is added to each cell of the 2 × 2 table, so
    that it has a width also where nothing changed. Means over seeds: a percentile bootstrap with the
    same pseudo-pairs. Returns (difference, low, high).
    """
    before, after = np.asarray(before, float), np.asarray(after, float)
    change = after - before
    if set(np.unique([before, after])) <= {0.0, 1.0}:
        n, moved, net = len(change) + 2, np.abs(change).sum() + 1, change.sum()
        half = stats.norm.isf((1 - confidence) / 2) * np.sqrt(moved - net**2 / n) / n
        return float(change.mean()), float(net / n - half), float(net / n + half)
    low, high = np.quantile(_resampled_means(change, rng, resamples), [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(change.mean()), float(low), float(high)


def _resampled_means(change: np.ndarray, rng: np.random.Generator, resamples: int) -> np.ndarray:
    """Means of `resamples` bootstrap samples of paired changes and two pseudo-pairs, shape (resamples,).

    The pseudo-pairs are those of `paired_interval`: half a gain, half a loss, one pair unchanged. Drawn
    as multinomial counts of the distinct values: the same distribution as drawing items, and fast.
    """
    distinct, counts = np.unique(np.concatenate([change, [1.0, -1.0, 0.0]]), return_counts=True)
    weights = counts - 0.5 * np.isin(distinct, [1.0, -1.0])
    drawn = rng.multinomial(round(weights.sum()), weights / weights.sum(), size=resamples)
    return drawn @ distinct / drawn.sum(axis=1)


def paired_p(before: np.ndarray, after: np.ndarray, rng: np.random.Generator, resamples: int = 10_000) -> float:
    """Two-sided p-value of no change over paired items.

    Scores of one run (0 or 1): McNemar's exact test (statsmodels). Means over several seeds: a
    sign-flip permutation test on the items' differences, of which McNemar's is the special case.
    """
    before, after = np.asarray(before, float), np.asarray(after, float)
    change = after - before
    if not change.any():
        return 1.0
    if set(np.unique([before, after])) <= {0.0, 1.0}:
        table = [[0, int((change < 0).sum())], [int((change > 0).sum()), 0]]
        return float(mcnemar(table, exact=True).pvalue)
    sizes, counts = np.unique(np.abs(change[change != 0]), return_counts=True)
    kept = rng.binomial(
        counts, 0.5, size=(resamples, len(counts))
    )  # of equal changes, how many keep their sign: the same, and fast
    flips = (2 * kept - counts) @ sizes
    return float((1 + (np.abs(flips) >= abs(change.sum()) - 1e-9).sum()) / (1 + resamples))


def smallest_detectable(items: int, discordant: float, alpha: float = 0.05, power: float = 0.8) -> float:
    """Smallest true difference that McNemar's exact test finds with the given power; 1 if there is none.

    items: number of pairs. discordant: share of pairs that differ between the two models; where a
    difference needs more, all changes are taken to go in one direction. Power is computed exactly:
    the number of discordant pairs is binomial, and given it the number of gains.
    """
    if _exact_power(items, discordant, 1.0, alpha) < power:
        return 1.0
    return float(optimize.bisect(lambda d: _exact_power(items, discordant, d, alpha) - power, 0.0, 1.0, xtol=1e-4))


def _exact_power(items: int, discordant: float, difference: float, alpha: float) -> float:
    """Probability that McNemar's exact test is significant at `alpha` when the true difference is `difference`."""
    share = min(1.0, max(discordant, difference, 1e-9))
    low, high = stats.binom.ppf([1e-8, 1 - 1e-8], items, share)
    pairs = np.arange(low, high + 1)
    critical = stats.binom.ppf(alpha / 2, pairs, 0.5)
    critical -= stats.binom.cdf(critical, pairs, 0.5) > alpha / 2  # the most losses (or gains) that are still significant
    gain = (1 + difference / share) / 2
    found = stats.binom.cdf(critical, pairs, gain) + stats.binom.sf(pairs - critical - 1, pairs, gain)
    return float(stats.binom.pmf(pairs, items, share) @ found)


def by_suite(scores: pd.DataFrame) -> pd.DataFrame:
    """Scores with the benchmarks of a group of tasks joined into one: `mmlu` and not its 57 subjects.

    Rotated items are left out. A suite whose members stand on two sides of the report is cut in two, named
    `mmlu: specialisation` and `mmlu: robustness`, and stands once more as a whole, in the group `whole`.
    A suite of one benchmark keeps its name. Items keep their member in their id, so that pairs stay pairs.
    """
    plain = scores[scores["rotation"] == 0]
    sides = plain.groupby("task")["group"].nunique()
    members = plain.groupby("task")["benchmark"].nunique()
    joined, cut = plain["task"].map(members) > 1, plain["task"].map(sides) > 1
    name = plain["benchmark"].where(~joined, plain["task"]).where(~cut, plain["task"] + ": " + plain["group"])
    rows = plain.assign(benchmark=name, item_id=plain["benchmark"] + "/" + plain["item_id"])
    whole = rows[cut].assign(benchmark=rows["task"], group="whole")
    return pd.concat([rows, whole], ignore_index=True)


def members(scores: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Every benchmark by itself, also the members of a suite: accuracy and Wilson's interval, one row a benchmark, filter and arm."""
    plain = scores[scores["rotation"] == 0]
    rows = []
    for (task, benchmark, filter_name, arm), part in plain.groupby(["task", "benchmark", "filter", "arm"], sort=False):
        share, items = part["correct"].mean(), part["item_id"].nunique()
        low, high = wilson(round(share * items), items, confidence)
        rows.append({"task": task, "benchmark": benchmark, "filter": filter_name, "arm": arm, "group": part["group"].iloc[0],
                     "setting": part["setting"].iloc[0], "items": items, "chance": part["chance"].mean(), "accuracy": share,
                     "low": low, "high": high})  # fmt: skip
    return pd.DataFrame(rows)


def letters(scores: pd.DataFrame) -> pd.DataFrame:
    """Letter bias, for lettered likelihood benchmarks that were scored in every rotation; one row a suite and arm.

    Columns: items, plain (accuracy as the options stand), rotated (accuracy averaged over all rotations of each
    item), letter (the one named most often as the options stand), share (how often), right (how often that
    letter is right). A model that names one letter whatever is asked has plain = right and rotated = chance.
    """
    turned = set(scores.loc[scores["rotation"] > 0, "benchmark"])
    rows = []
    for (task, arm), part in scores[scores["benchmark"].isin(turned)].groupby(["task", "arm"], sort=False):
        plain = part[part["rotation"] == 0]
        named = plain["predicted"].value_counts(normalize=True)
        averaged = part.groupby(["benchmark", "item_id"])["correct"].mean().mean()
        rows.append({"task": task, "arm": arm, "items": len(plain.groupby(["benchmark", "item_id"])), "chance": plain["chance"].mean(),
                     "plain": plain["correct"].mean(), "rotated": averaged, "letter": named.index[0], "share": named.iloc[0],
                     "right": (plain["target"] == named.index[0]).mean()})  # fmt: skip
    return pd.DataFrame(rows)


def duration(scores: pd.DataFrame, last: dict[str, int]) -> pd.DataFrame:
    """The held-out part of the pool over the course of training: one row an arm, seed and step.

    scores: with columns arm, seed, step (0: the end of the training, and the untrained model); last: the steps of
    each arm's whole training. Every arm begins with the untrained model at step 0. Columns arm, seed, step, items,
    valid (share in the right format), accuracy, accuracy_if_valid.
    """
    asked = scores[scores["task"] == HELD_OUT]
    rows = []
    for (arm, seed, step), part in asked.groupby(["arm", "seed", "step"], sort=False):
        valid = part["format_valid"].astype(bool)
        row = {"items": len(part), "valid": valid.mean(), "accuracy": part["correct"].mean(),
               "accuracy_if_valid": part.loc[valid, "correct"].mean()}  # fmt: skip
        if arm == BASELINE:
            seeds = asked.loc[asked["arm"] != BASELINE, ["arm", "seed"]].drop_duplicates()
            rows += [{"arm": other.arm, "seed": other.seed, "step": 0} | row for other in seeds.itertuples()]
        else:
            rows.append({"arm": arm, "seed": seed, "step": step or last[arm]} | row)
    return pd.DataFrame(rows).sort_values(["arm", "seed", "step"], ignore_index=True) if rows else pd.DataFrame()


def filter_gap(labels: dict[str, pd.DataFrame], base: str) -> pd.DataFrame:
    """How much more (or less) of the pool each filter answers right than the base model does; one row a filter.

    labels: one row an answer (column correct), by filter; base: the filter that is the base model itself. Columns
    filter, accuracy, gap.
    """
    accuracy = {name: float(frame["correct"].mean()) for name, frame in labels.items()}
    rows = [{"filter": name, "accuracy": value, "gap": value - accuracy[base]} for name, value in accuracy.items()]
    return pd.DataFrame(rows).sort_values("gap", ignore_index=True)


def by_item(scores: pd.DataFrame) -> pd.DataFrame:
    """Items × models: the mean of `correct` over seeds. Index: benchmark, filter, item_id; columns: arms."""
    return scores.pivot_table(index=["benchmark", "filter", "item_id"], columns="arm", values="correct", aggfunc="mean", sort=False)  # fmt: skip


def comparison(scores: pd.DataFrame, confidence: float, resamples: int, power: float, seed: int) -> pd.DataFrame:
    """Every benchmark × arm: accuracy with Wilson interval, and the change from untrained and from random.

    scores: one row an item with columns arm, seed, group, benchmark, filter, item_id, correct, chance.
    Wilson's interval treats the items of all seeds' mean as `items` draws. Returns one row a
    benchmark, answer filter and arm.
    """
    rng = np.random.default_rng(seed)
    items = by_item(scores)
    about = scores.groupby(["benchmark", "filter"], sort=False).agg(
        group=("group", "first"), chance=("chance", "mean"), setting=("setting", "first"))  # fmt: skip
    rows = []
    for (benchmark, filter_name), table in items.groupby(level=["benchmark", "filter"], sort=False):
        facts = about.loc[(benchmark, filter_name)]
        for arm in table.columns:
            mine = table[arm].to_numpy()
            low, high = wilson(round(mine.sum()), len(mine), confidence)
            row = {"group": facts["group"], "benchmark": benchmark, "filter": filter_name, "setting": facts["setting"], "arm": arm,
                   "items": len(mine), "chance": facts["chance"], "accuracy": mine.mean(), "low": low, "high": high}  # fmt: skip
            for base in (BASELINE, "random"):
                if base in table.columns and base != arm:
                    row |= _change(table[base].to_numpy(), mine, f"vs_{base}", rng, confidence, resamples, power)
            rows.append(row)
    return pd.DataFrame(rows)


def _change(
    before: np.ndarray, after: np.ndarray, name: str, rng: np.random.Generator, confidence: float, resamples: int, power: float
) -> dict[str, float]:
    difference, low, high = paired_interval(before, after, rng, resamples, confidence)
    discordant = float(((after - before) ** 2).mean())  # for one run, the share of items that differ
    return {
        name: difference,
        f"{name}_low": low,
        f"{name}_high": high,
        f"{name}_p": paired_p(before, after, rng, resamples),
        f"{name}_detectable": smallest_detectable(len(before), discordant, 1 - confidence, power),
    }


def group_changes(scores: pd.DataFrame, confidence: float, resamples: int, seed: int) -> pd.DataFrame:
    """Change from untrained on each group of benchmarks, one row an arm and group.

    The mean over a group's benchmarks (macro: each counts the same, whatever its size); items are
    resampled within each benchmark. Reasoning mode is left out: it asks the same items again, and a
    gain in format would count as a gain in medicine. Of two answer filters the flexible one enters.
    """
    rng = np.random.default_rng(seed)
    scores = scores[(scores["mode"] != "reasoning") & (scores["group"] != "whole")]
    flexible = set(scores.loc[scores["filter"] == FLEXIBLE, "benchmark"])
    scores = scores[~scores["benchmark"].isin(flexible) | (scores["filter"] == FLEXIBLE)]
    items = by_item(scores)
    groups = scores.groupby("benchmark")["group"].first()
    rows = []
    for arm in [name for name in items.columns if name != BASELINE]:
        change = items[arm] - items[BASELINE]
        for group in groups.unique():
            names = [name for name in groups.index[groups == group] if name in change.index]
            if not names:
                continue
            parts = [change.loc[name].to_numpy() for name in names]
            means = np.mean([_resampled_means(part, rng, resamples) for part in parts], axis=0)
            low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
            rows.append({"arm": arm, "group": group, "benchmarks": len(parts), "items": sum(map(len, parts)),
                         "change": float(np.mean([part.mean() for part in parts])), "low": low, "high": high})  # fmt: skip
    return pd.DataFrame(rows, columns=["arm", "group", "benchmarks", "items", "change", "low", "high"])


def reasoning(scores: pd.DataFrame) -> pd.DataFrame:
    """Format and answers told apart, for the benchmarks in reasoning mode; one row a benchmark and arm.

    Columns: valid (share in the right format), accuracy, accuracy_if_valid (among those), and the
    share of answers that name each letter (`none`: no letter could be read).
    """
    rows = []
    for (benchmark, arm), part in scores[scores["mode"] == "reasoning"].groupby(["benchmark", "arm"], sort=False):
        valid = part["format_valid"].astype(bool)
        letters = part["predicted"].fillna("none").value_counts(normalize=True)
        rows.append({"benchmark": benchmark, "arm": arm, "answers": len(part), "valid": valid.mean(),
                     "accuracy": part["correct"].mean(), "accuracy_if_valid": part.loc[valid, "correct"].mean(),
                     **{f"answers {letter}": letters.get(letter, 0.0) for letter in [*sorted(part["target"].unique()), "none"]}})  # fmt: skip
    return pd.DataFrame(rows)
