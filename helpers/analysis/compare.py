"""Tables of a study: from scores, one row an item, to one row a benchmark, arm or pair of arms.

Intervals and tests are those of `helpers/analysis/intervals.py`, detectable differences those of `helpers/analysis/power.py`. Shares, not
points. An interval with one run is over items, for the seed that was run; with several it is over items and seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from helpers.analysis import intervals, power
from helpers.analysis.intervals import Runs, wilson
from helpers.questions.text import LETTERS
from helpers.study.schema import HELD_OUT

BASELINE = "untrained"
FLEXIBLE = "flexible-extract"  # of a task's answer filters, the one that enters group means
INDICES = ("specialisation", "robustness", "shift")


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


def set_apart(scores: pd.DataFrame, tasks: Sequence[str]) -> pd.DataFrame:
    """Scores with these tasks in a group of their own, `apart`, which is shown but enters no index."""
    return scores.assign(group=scores["group"].where(~scores["task"].isin(tasks), "apart"))


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


def runs_by_benchmark(scores: pd.DataFrame) -> dict[tuple[str, str], dict[str, Runs]]:
    """Scores as arrays: (benchmark, answer filter) → arm → shape (runs, items), the items that every model has, in one order."""
    found: dict[tuple[str, str], dict[str, Runs]] = {}
    for key, part in scores.groupby(["benchmark", "filter"], sort=False):
        wide = part.set_index(["arm", "seed", "item_id"])["correct"].astype(float).unstack("item_id").dropna(axis=1)
        arms = dict.fromkeys(part["arm"])
        found[key] = {arm: wide.loc[arm].to_numpy() for arm in arms}
    return found


def comparison(
    scores: pd.DataFrame, confidence: float, resamples: int, wanted: float, seed: int, margin: float = 0.01
) -> pd.DataFrame:
    """Every benchmark × arm: accuracy with Wilson's interval, and the change from untrained and from random.

    scores: one row an item with columns arm, seed, group, benchmark, filter, item_id, correct, chance. Accuracy is the mean over
    runs, and its interval treats that mean as one draw of the items (it knows nothing of other seeds). `at_chance`: an
    exact binomial test does not tell it from guessing. Of a change (`vs_untrained`, `vs_random`): `_low`, `_high`, `_p` (McNemar's
    exact test with one run each, else over items and seeds), `_p_holm` (Holm, over all rows and arms with this baseline, without
    suites that are shown in parts too and without strict answer filters), `_p_equal` (two one-sided tests with `margin`),
    `_boot_low`, `_boot_high` (bootstrap: seeds, then items), `_detectable` (found with power `wanted`).
    """
    rng = np.random.default_rng(seed)
    about = scores.groupby(["benchmark", "filter"], sort=False).agg(
        group=("group", "first"), chance=("chance", "mean"), setting=("setting", "first"))  # fmt: skip
    rows = []
    for (benchmark, filter_name), models in runs_by_benchmark(scores).items():
        facts = about.loc[(benchmark, filter_name)]
        for arm, mine in models.items():
            items, right = mine.shape[1], round(mine.mean(axis=0).sum())
            low, high = wilson(right, items, confidence)
            row = {"group": facts["group"], "benchmark": benchmark, "filter": filter_name, "setting": facts["setting"], "arm": arm,
                   "seeds": len(mine) if arm != BASELINE else 0, "items": items, "chance": facts["chance"],
                   "accuracy": mine.mean(), "low": low, "high": high,
                   "at_chance": intervals.is_chance(right, items, facts["chance"], confidence)}  # fmt: skip
            for base in (BASELINE, "random"):
                if base in models and arm not in (base, BASELINE):
                    change = _change(models[base], mine, rng, confidence, resamples, wanted, margin)
                    row |= {f"vs_{base}{name}": value for name, value in change.items()}
            rows.append(row)
    table = pd.DataFrame(rows)
    counted = (table["group"] != "whole") & ~_strict(table)
    for base in (BASELINE, "random"):
        if f"vs_{base}_p" in table:
            asked = counted & table[f"vs_{base}_p"].notna()
            table.loc[asked, f"vs_{base}_p_holm"] = intervals.holm(table.loc[asked, f"vs_{base}_p"])
    return table


def _strict(table: pd.DataFrame) -> pd.Series:
    """Rows of an answer filter beside which the flexible one stands."""
    flexible = set(table.loc[table["filter"] == FLEXIBLE, "benchmark"])
    return table["benchmark"].isin(flexible) & (table["filter"] != FLEXIBLE)


def _change(
    before: Runs, after: Runs, rng: np.random.Generator, confidence: float, resamples: int, wanted: float, margin: float
) -> dict[str, float]:
    e = intervals.estimate([before], [after])
    draws = intervals.hierarchical_bootstrap([([before], [after])], rng, resamples)[:, 0]
    (low, high), (boot_low, boot_high) = intervals.interval(e, confidence), intervals.bootstrap_interval(draws, confidence)
    return {"": e.difference, "_low": low, "_high": high, "_p": intervals.paired_p(before, after),
            "_p_equal": intervals.p_equivalence(e, margin), "_boot_low": boot_low, "_boot_high": boot_high,
            "_detectable": _detectable(before, after, 1 - confidence, wanted)}  # fmt: skip


def _detectable(before: Runs, after: Runs, alpha: float, wanted: float) -> float:
    """The smallest true change that the test used here would find, taking what varies as it was seen."""
    if max(len(before), len(after)) == 1:
        return power.smallest_detectable(before.shape[1], float((after != before).mean()), alpha, wanted)
    trained = [model for model in (before, after) if len(model) > 1]
    parts = power.components(before.mean(axis=0, keepdims=True), after) if len(after) > 1 else power.components(after, before)
    spread = np.sqrt(np.mean([power.components(before[:1], model).seed_sd ** 2 for model in trained]))
    return power.seeds_detectable(before.shape[1], min(map(len, trained)), parts._replace(seed_sd=float(spread)), alpha, wanted, len(trained))  # fmt: skip


def _entering(scores: pd.DataFrame) -> pd.DataFrame:
    """The scores that enter the indices: no reasoning mode, no whole beside its parts, no strict filter beside a flexible one."""
    used = scores[(scores["mode"] != "reasoning") & (scores["group"] != "whole")]
    return used[~_strict(used)]


Sides = dict[str, dict[str, list[Runs]]]


def indices(scores: pd.DataFrame) -> Sides:
    """The benchmarks of each group: group → arm → one array a benchmark, shape (runs, items).

    Reasoning mode is left out: it asks the same items again, and a gain in format would count as a gain in medicine. Of two
    answer filters the flexible one enters, of a suite its parts and not the whole. Arms that lack a benchmark are left out of its group.
    """
    used = _entering(scores)
    group_of = used.groupby("benchmark", sort=False)["group"].first()
    sides: Sides = {}
    for (benchmark, _), models in runs_by_benchmark(used).items():
        for arm, runs in models.items():
            sides.setdefault(group_of[benchmark], {}).setdefault(arm, []).append(runs)
    for arms in sides.values():
        most = max(map(len, arms.values()))
        for arm in [arm for arm, parts in arms.items() if len(parts) < most]:
            del arms[arm]
    return sides


def group_changes(scores: pd.DataFrame, confidence: float, resamples: int, seed: int, margin: float = 0.01) -> pd.DataFrame:
    """The indices: change from untrained on each group of benchmarks, one row an arm and group.

    specialisation is the mean change on the benchmarks of what was trained (medicine, unless the study's groups say
    otherwise), robustness that on the others (macro: each benchmark counts the same, whatever its size); worst and
    worst_benchmark name the benchmark of the group that lost most. Columns as in `pairs`.
    """
    sides = indices(scores)
    arms = [arm for arm in dict.fromkeys(scores["arm"]) if arm != BASELINE]
    table = pairs(sides, [(BASELINE, arm) for arm in arms], confidence, resamples, seed, margin)
    used = _entering(scores).drop_duplicates(["benchmark", "filter"])
    names = {group: list(used.loc[used["group"] == group, "benchmark"]) for group in sides}
    worst = []
    for row in table.itertuples():
        before, after = sides[row.group][BASELINE], sides[row.group][row.second]
        change = [y.mean() - x.mean() for x, y in zip(before, after, strict=True)]
        worst.append({"worst": min(change), "worst_benchmark": names[row.group][int(np.argmin(change))]})
    table = pd.concat([table, pd.DataFrame(worst, index=table.index, columns=["worst", "worst_benchmark"])], axis=1)
    return table.drop(columns="first").rename(columns={"second": "arm"})


def pairs(
    sides: Sides, compared: list[tuple[str, str]], confidence: float, resamples: int, seed: int, margin: float = 0.01
) -> pd.DataFrame:
    """Differences of the indices of two models, second − first; one row a pair and group.

    Columns first, second, group, benchmarks, items, seeds (the fewest runs of a trained model), change, low, high, p, p_holm (over the
    rows of this table), p_equal, boot_low, boot_high.
    """
    rng, rows = np.random.default_rng(seed), []
    for first, second in compared:
        for group in [name for name in INDICES if name in sides]:
            if not {first, second} <= set(sides[group]):
                continue
            before, after = sides[group][first], sides[group][second]
            e = intervals.estimate(before, after)
            low, high = intervals.interval(e, confidence)
            boot = intervals.bootstrap_interval(
                intervals.hierarchical_bootstrap([(before, after)], rng, resamples)[:, 0], confidence
            )
            rows.append({"first": first, "second": second, "group": group, "benchmarks": len(before),
                         "items": sum(part.shape[1] for part in before),
                         "seeds": min(len(model[0]) for name, model in ((first, before), (second, after)) if name != BASELINE),
                         "change": e.difference, "low": low, "high": high, "p": intervals.p_value(e),
                         "p_equal": intervals.p_equivalence(e, margin), "boot_low": boot[0], "boot_high": boot[1]})  # fmt: skip
    columns = [
        "first",
        "second",
        "group",
        "benchmarks",
        "items",
        "seeds",
        "change",
        "low",
        "high",
        "p",
        "p_equal",
        "boot_low",
        "boot_high",
    ]
    table = pd.DataFrame(rows, columns=columns)
    table.insert(10, "p_holm", intervals.holm(table["p"]))
    return table


def leave_one_out(scores: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """The indices without one of their benchmarks, each in turn: what they rest on.

    Every arm against the untrained model and, if there is one, the random arm. Columns first, second, group, without (the benchmark
    that is left out), items (its own), change, low, high (of the rest).
    """
    sides, used = indices(scores), _entering(scores).drop_duplicates(["benchmark", "filter"])
    rows = []
    for group in [name for name in INDICES if name in sides]:
        names, models = list(used.loc[used["group"] == group, "benchmark"]), sides[group]
        bases = [base for base in (BASELINE, "random") if base in models and len(names) > 1]
        for first, second in [(base, arm) for base in bases for arm in models if arm not in (base, BASELINE)]:
            for place, name in enumerate(names):
                rest = [parts[:place] + parts[place + 1 :] for parts in (models[first], models[second])]
                e = intervals.estimate(*rest)
                rows.append(
                    (first, second, group, name, models[first][place].shape[1], e.difference, *intervals.interval(e, confidence))
                )
    return pd.DataFrame(rows, columns=["first", "second", "group", "without", "items", "change", "low", "high"])


def all_pairs(scores: pd.DataFrame) -> list[tuple[str, str]]:
    """Every two models of a study, untrained first."""
    return list(combinations(dict.fromkeys(scores["arm"]), 2))


def regions(sides: Sides, confidence: float, resamples: int, seed: int) -> pd.DataFrame:
    """Joint regions of specialisation (x) and robustness (y) as changes from untrained: one row an arm.

    Columns arm, x, y (the indices), centre_x, centre_y, half_x, half_y, tilt (`intervals.region`: half-widths and correlation).
    """
    rng, rows = np.random.default_rng(seed), []
    if not {"specialisation", "robustness"} <= set(sides):
        return pd.DataFrame()
    for arm in [name for name in sides["specialisation"] if name != BASELINE and name in sides["robustness"]]:
        both = [(sides[group][BASELINE], sides[group][arm]) for group in ("specialisation", "robustness")]
        x, y = (intervals.estimate(*pair) for pair in both)
        half_x, half_y, tilt = intervals.region(x, y, intervals.hierarchical_bootstrap(both, rng, resamples), confidence)
        rows.append({"arm": arm, "x": x.difference, "y": y.difference, "centre_x": x.centre, "centre_y": y.centre,
                     "half_x": half_x, "half_y": half_y, "tilt": tilt})  # fmt: skip
    return pd.DataFrame(rows)


def against(table: pd.DataFrame, base: str) -> pd.DataFrame:
    """The rows and columns of `comparison` with one model, for readers; none if the study has no such arm."""
    if f"vs_{base}" not in table:
        return table.head(0)
    rows = table.dropna(subset=[f"vs_{base}"])
    ends = {
        "": "change",
        "_low": "low",
        "_high": "high",
        "_p": "p",
        "_p_holm": "p_holm",
        "_p_equal": "p_equal",
        "_detectable": "detectable",
    }
    named = {f"vs_{base}{end}": name for end, name in ends.items()}
    return rows[["benchmark", "filter", "arm", "items", *named]].rename(columns=named)


def dose(changes: pd.DataFrame, points: dict[str, tuple[str, Any]]) -> pd.DataFrame:
    """Changes of the arms that differ in one thing; empty if the study varies nothing.

    changes: `group_changes`; points: arm → (series, x). Only series with two values of x or more count. Columns x, series, name, arm, group,
    change, low, high.
    """
    values: dict[str, set[Any]] = {}
    for series, x in points.values():
        values.setdefault(series, set()).add(x)
    kept = {arm: point for arm, point in points.items() if len(values[point[0]]) > 1}
    rows = changes[changes["arm"].isin(kept)]
    series, x = (rows["arm"].map({arm: point[i] for arm, point in kept.items()}) for i in (0, 1))
    return rows.assign(x=x, series=series, name=rows["arm"])[["x", "series", "name", "arm", "group", "change", "low", "high"]]


def seed_spread(scores: pd.DataFrame) -> dict[str, Any]:
    """What this study can tell the power of another: share of items that change in one run, and the seeds' standard deviation.

    Over arms and benchmarks (flexible filters, suites in parts): the median share, and the root of the mean variance (what
    items alone would give is taken off; benchmarks count by their items). Keys discordant (NaN where no benchmark enters the indices), seed_sd (NaN with one seed, too).
    """
    found = []
    for models in runs_by_benchmark(_entering(scores)).values():
        for arm, runs in models.items():
            if arm != BASELINE and BASELINE in models:
                parts = power.components(models[BASELINE], runs)
                variance = runs.mean(axis=1).var(ddof=1) - parts.single / runs.shape[1] if len(runs) > 1 else np.nan
                found.append(
                    {"discordant": float((runs != models[BASELINE]).mean()), "variance": variance, "items": runs.shape[1]}
                )
    table = pd.DataFrame(found, columns=["discordant", "variance", "items"])
    if table.empty:
        return {"discordant": float("nan"), "seed_sd": float("nan")}
    variance = float((table["variance"] * table["items"]).sum(min_count=1) / table["items"].sum())
    return {"discordant": float(table["discordant"].median()), "seed_sd": float(np.sqrt(max(variance, 0.0)))}


def reasoning(scores: pd.DataFrame) -> pd.DataFrame:
    """Format and answers told apart, for the benchmarks in reasoning mode; one row a benchmark and arm.

    Columns: valid (share in the right format), accuracy, accuracy_if_valid (among those), and the share of answers that
    name each letter (`none`: nothing could be read). Of numbers there are too many to tell.
    """
    rows = []
    for (benchmark, arm), part in scores[scores["mode"] == "reasoning"].groupby(["benchmark", "arm"], sort=False):
        valid = part["format_valid"].astype(bool)
        named = part["predicted"].fillna("none").value_counts(normalize=True)
        letters = sorted(value for value in part["target"].unique() if value in tuple(LETTERS))
        rows.append({"benchmark": benchmark, "arm": arm, "answers": len(part), "valid": valid.mean(),
                     "accuracy": part["correct"].mean(), "accuracy_if_valid": part.loc[valid, "correct"].mean(),
                     **{f"answers {answer}": named.get(answer, 0.0) for answer in [*letters, "none"]}})  # fmt: skip
    return pd.DataFrame(rows)
