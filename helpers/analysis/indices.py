"""The indices: which benchmarks make up specialisation, robustness and shift, and how each arm changes on them.

An index is a mean over benchmarks in which each benchmark counts once, whatever its size and however often it was scored. A benchmark's
score is a mean over items, an item's score the mean over the modes in which it was scored (likelihood, generation, reasoning) and,
within a mode, over the rotations of its options. Intervals are those of `helpers/analysis/intervals.py`. Shares, not points.
"""

from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd

from helpers.analysis import intervals, power
from helpers.analysis.answers import favourite_letters
from helpers.analysis.intervals import Runs
from helpers.study.schema import SEARCH
from helpers.study.schema_eval import SIDES as INDICES
from helpers.study.schema_eval import Analysis
from helpers.study.study import UNTRAINED

FLEXIBLE = "flexible-extract"  # of a task's answer filters, the one that enters an index
ONE_LETTER = 0.75  # share of answers that name the same letter, above which a score says little about the questions
SAME_ITEMS = {  # tasks that ask the items of a benchmark of another name
    "medqa_4options": "medqa",
    "mmlu_medical_reasoning": "mmlu",
    "mmlu_pro_likelihood": "mmlu_pro",
}
AGAIN = {  # tasks that ask what another task asks, in another order or in part, so that their items cannot be matched
    "mmlu_pro": "mmlu_pro_likelihood",  # a generated sample
    "medbullets_op4": "medbullets_op5",  # with an option less
}
PAIRS = ["first", "second", "group", "benchmarks", "items", "seeds", "draws", "change", "low", "high", "p", "p_holm", "p_equal",
         "p_equal_holm", "boot_low", "boot_high", "detectable"]  # fmt: skip
Sides = dict[str, dict[str, list[Runs]]]  # group → arm → one array per benchmark, shape (runs, items)


def one_letter(scores: pd.DataFrame) -> pd.DataFrame:
    """Tasks whose answers by the untrained model name one letter more often than ONE_LETTER; columns task, letter, share.

    Tasks scored in every rotation of their options are left out, since each option then stood at each letter.
    """
    turned = set(scores.loc[scores["rotation"] > 0, "task"])
    table = favourite_letters(scores[(scores["arm"] == UNTRAINED) & ~scores["task"].isin(turned)])
    return table.loc[table["share"] > ONE_LETTER, ["task", "letter", "share"]]


def set_apart(scores: pd.DataFrame, tasks: Sequence[str]) -> pd.DataFrame:
    """Scores with these tasks (`analysis.apart`), and those answered with a search tool, in the group `apart`, which the indices leave out."""
    apart = scores["task"].isin(tasks) | scores["task"].str.endswith(f"_{SEARCH}")
    return scores.assign(group=scores["group"].where(~apart, "apart"))


def strict_beside_flexible(table: pd.DataFrame) -> pd.Series:
    """Rows of a strict answer filter whose benchmark also has the flexible one."""
    flexible = set(table.loc[table["filter"] == FLEXIBLE, "benchmark"])
    return table["benchmark"].isin(flexible) & (table["filter"] != FLEXIBLE)


def benchmark_of(task: str) -> str:
    """The benchmark of the indices whose items a task asks.

    >>> [benchmark_of(task) for task in ("mmlu_medical_reasoning", "gsm8k_reasoning", "cmmlu")]
    ['mmlu', 'gsm8k', 'cmmlu']
    """
    return SAME_ITEMS.get(task, task.removesuffix("_reasoning"))


def item_scores(scores: pd.DataFrame) -> pd.DataFrame:
    """The scores that make up the indices: one row per group, benchmark, arm, seed and item.

    Left out are tasks that are set apart, tasks that ask what another task asks (AGAIN), and tasks that the untrained model nearly always
    answers with one letter (`one_letter`).

    scores: one row per answer, from `set_apart`, rotations included. Returns columns group, benchmark (`mmlu` for all tasks that ask
    MMLU's items), arm, seed, item_id, score (between 0 and 1).
    """
    scored = set(scores["task"].unique())
    again = {task for task, other in AGAIN.items() if other in scored}
    used = scores[scores["group"].isin(INDICES) & ~scores["task"].isin({*again, *one_letter(scores)["task"]})]
    used = used[~strict_beside_flexible(used)]
    members = used.groupby("task")["benchmark"].nunique()
    prefix = {
        benchmark: "" if members[task] == 1 else benchmark.removeprefix(f"{task}_") + "-"
        for task, benchmark in used[["task", "benchmark"]].drop_duplicates().itertuples(index=False)
    }
    used = used.assign(
        item_id=used["benchmark"].map(prefix) + used["item_id"].astype(str), benchmark=used["task"].map(benchmark_of)
    )
    item = ["group", "benchmark", "arm", "seed", "item_id"]
    modes = used.groupby([*item, "task"], sort=False)["correct"].mean()
    return modes.groupby(item, sort=False).mean().rename("score").reset_index()


def runs_by_benchmark(scores: pd.DataFrame, keys: Sequence[str], value: str) -> dict[tuple, dict[str, Runs]]:
    """Scores as arrays: values of `keys` → arm → shape (runs, items), runs by seed, the items that every run has, in one order."""
    found: dict[tuple, dict[str, Runs]] = {}
    for key, part in scores.groupby(list(keys), sort=False):
        wide = part.set_index(["arm", "seed", "item_id"])[value].astype(float).unstack("item_id").dropna(axis=1)
        found[key] = {arm: wide.loc[arm].to_numpy() for arm in dict.fromkeys(part["arm"])}
    return found


def by_group(items: pd.DataFrame) -> Sides:
    """`item_scores` as arrays: group → arm → one array per benchmark. An arm that lacks a benchmark is left out of its group."""
    sides: Sides = {}
    for (group, _), models in runs_by_benchmark(items, ("group", "benchmark"), "score").items():
        for arm, runs in models.items():
            sides.setdefault(group, {}).setdefault(arm, []).append(runs)
    for arms in sides.values():
        most = max(map(len, arms.values()))
        for arm in [arm for arm, parts in arms.items() if len(parts) < most]:
            del arms[arm]
    return sides


def benchmarks(items: pd.DataFrame) -> dict[str, list[str]]:
    """Names of the benchmarks of each group, in the order of `by_group`."""
    named = items.drop_duplicates(["group", "benchmark"])
    return {group: list(part["benchmark"]) for group, part in named.groupby("group", sort=False)}


def pairs(
    sides: Sides, compared: list[tuple[str, str]], settings: Analysis, paired: bool = False, controls: Collection[str] = ()
) -> pd.DataFrame:
    """Differences of the indices of two models, second − first; one row per pair and group.

    paired: the study has one draw per seed (`intervals.estimate`). controls: arms that are negative controls. Columns first, second, group,
    benchmarks, items, seeds (the fewest runs of a trained model), draws (of questions, that the interval covers; 1: it is conditional on one),
    change, low, high, p, p_holm (over the rows of this table), p_equal, p_equal_holm, boot_low, boot_high, detectable (the smallest true
    difference found with power `settings.power` at level 5 %, with the scatter between seeds pooled over all arms except negative controls,
    which have their own; with one seed each, for these seeds).
    """
    rng, rows = np.random.default_rng(settings.seed), []
    for first, second in compared:
        for group in [name for name in INDICES if name in sides]:
            if not {first, second} <= set(sides[group]):
                continue
            before, after = sides[group][first], sides[group][second]
            runs = [len(model[0]) for name, model in ((first, before), (second, after)) if name != UNTRAINED]
            seeds = min(runs)
            alike = {first, second} if {first, second} & set(controls) else set(sides[group]) - set(controls)
            scatter = intervals.pooled([sides[group][arm] for arm in sides[group] if arm in alike - {UNTRAINED}], paired)
            rows.append({"first": first, "second": second, "group": group, "benchmarks": len(before),
                         "items": sum(part.shape[1] for part in before), "seeds": seeds, "draws": seeds if paired else 1,
                         **intervals.change(before, after, rng, settings, paired),
                         "detectable": _detectable(before, after, runs, scatter, settings, paired)})  # fmt: skip
    table = pd.DataFrame(rows, columns=PAIRS)
    return table.assign(p_holm=intervals.holm(table["p"]), p_equal_holm=intervals.holm(table["p_equal"]))


def _detectable(
    before: list[Runs], after: list[Runs], runs: list[int], scatter: tuple[float, float], settings: Analysis, paired: bool
) -> float:
    """The smallest true difference that the test finds. runs: of each trained model; scatter: `intervals.pooled`."""
    within = paired and len(runs) == 2  # differences within seeds have the degrees of freedom of one model
    parts = [(scatter[1], runs[0])] if within else [(scatter[0], count) for count in runs]
    parts = [(variance, count) for variance, count in parts if count > 1]
    return power.mean_detectable(
        intervals.estimate(before, after, paired).items,
        sum(variance / count for variance, count in parts),
        sum(count - 1 for _, count in parts),
        1 - settings.confidence,
        settings.power,
    )


def both_ways(pairs: pd.DataFrame) -> pd.DataFrame:
    """Each row of `pairs` as it stands, second − first, and then the other way round (change, low and high)."""
    ends = {"change": -pairs["change"], "low": -pairs["high"], "high": -pairs["low"]}
    turned = pairs.rename(columns={"first": "second", "second": "first"}).assign(**ends)
    return pd.concat([pairs, turned]).sort_index(kind="stable")


def from_random(pairs: pd.DataFrame) -> pd.DataFrame:
    """The rows of `pairs` with the random arm, as arm − random whichever stands first; column arm instead of first and second."""
    rows = both_ways(pairs).rename(columns={"second": "arm"})
    return rows[(rows["first"] == "random") & (rows["arm"] != UNTRAINED)].drop(columns="first")


def group_changes(items: pd.DataFrame, settings: Analysis, paired: bool = False, controls: Collection[str] = ()) -> pd.DataFrame:
    """The indices: change from untrained on each group of benchmarks, one row per arm and group.

    specialisation is the mean change on the benchmarks of what was trained (medicine, unless the study's groups say
    otherwise), robustness that on the others; worst and worst_benchmark name the benchmark of the group that lost most. Other
    columns as in `pairs`.
    """
    sides, names = by_group(items), benchmarks(items)
    arms = [arm for arm in dict.fromkeys(items["arm"]) if arm != UNTRAINED]
    table = pairs(sides, [(UNTRAINED, arm) for arm in arms], settings, paired, controls)
    worst = []
    for row in table.itertuples():
        before, after = sides[row.group][UNTRAINED], sides[row.group][row.second]
        change = [y.mean() - x.mean() for x, y in zip(before, after, strict=True)]
        worst.append({"worst": min(change), "worst_benchmark": names[row.group][int(np.argmin(change))]})
    table = pd.concat([table, pd.DataFrame(worst, index=table.index, columns=["worst", "worst_benchmark"])], axis=1)
    return table.drop(columns="first").rename(columns={"second": "arm"})


def leave_one_out(items: pd.DataFrame, confidence: float, paired: bool = False) -> pd.DataFrame:
    """The indices without one of their benchmarks, each in turn: how far an index rests on it.

    Every arm against the untrained model and, if there is one, the random arm. Columns first, second, group, without (the benchmark
    that is left out), items (its own), variance (the share of the index's item variance that it brings), change, low, high (of the rest).
    """
    sides, names, rows = by_group(items), benchmarks(items), []
    for group in [name for name in INDICES if name in sides]:
        models = sides[group]
        bases = [base for base in (UNTRAINED, "random") if base in models and len(names[group]) > 1]
        for first, second in [(base, arm) for base in bases for arm in models if arm not in (base, UNTRAINED)]:
            before, after = models[first], models[second]
            own = np.array([intervals.estimate([x], [y], paired).items for x, y in zip(before, after, strict=True)])
            for place, name in enumerate(names[group]):
                e = intervals.estimate(*(parts[:place] + parts[place + 1 :] for parts in (before, after)), paired)
                rows.append((first, second, group, name, before[place].shape[1], own[place] / own.sum() if own.any() else np.nan,
                             e.difference, *intervals.interval(e, confidence)))  # fmt: skip
    return pd.DataFrame(rows, columns=["first", "second", "group", "without", "items", "variance", "change", "low", "high"])


def regions(sides: Sides, settings: Analysis) -> pd.DataFrame:
    """Joint regions of specialisation (x) and robustness (y) as changes from untrained: one row per arm.

    Columns arm, x, y (the indices), centre_x, centre_y, half_x, half_y, tilt (`intervals.region`: half-widths and correlation).
    """
    rng, rows = np.random.default_rng(settings.seed), []
    if not {"specialisation", "robustness"} <= set(sides):
        return pd.DataFrame()
    for arm in [name for name in sides["specialisation"] if name != UNTRAINED and name in sides["robustness"]]:
        both = [(sides[group][UNTRAINED], sides[group][arm]) for group in ("specialisation", "robustness")]
        x, y = (intervals.estimate(*pair) for pair in both)
        draws = intervals.hierarchical_bootstrap(both, rng, settings.resamples)
        half_x, half_y, tilt = intervals.region(x, y, draws, settings.confidence)
        rows.append({"arm": arm, "x": x.difference, "y": y.difference, "centre_x": x.centre, "centre_y": y.centre,
                     "half_x": half_x, "half_y": half_y, "tilt": tilt})  # fmt: skip
    return pd.DataFrame(rows)
