"""Use and effect of a search tool in a study: who searched, what was found, and whether search and training help, alone and together.

A study has these tables if an arm or a task of it has `search: true`.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from helpers.analysis import intervals, names, power
from helpers.analysis.claims import Arms, Claim, one_way
from helpers.analysis.evidence import corrected, difference
from helpers.study.schema import SEARCH
from helpers.study.schema_eval import Analysis
from helpers.study.study import UNTRAINED

SEARCHES = "searches"  # the column of an answer that says what was searched, found and inserted
QUERIES = 50  # rows of the table of queries
ANSWERABLE = ", answer in the passages"  # after a benchmark's name: items whose question finds a passage with the right option
SHARES = ("searched", "found", "right_found", "wrong_found")
EFFECTS = ("search", "training", "training_with_search", "both", "interaction", "to_search", "against_random")
SUMMARY = ["questions", "number", "seeds", "tool before training", "training without tool", "tool after that training", "training to search",
           "all with tool against all without"]  # fmt: skip
CLAIM = "Training and answering with a search tool gives higher accuracy than without one (the paper's open question)"


def searched(rollouts: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """`of_answers` of rollouts (`what` is rollouts) and of answers to benchmarks (`what` is the benchmark); empty without search."""
    named = [(rollouts, "rollouts"), (scores, scores["benchmark"].str.removesuffix(f"_{SEARCH}"))]
    parts = [rows.assign(what=what).dropna(subset=SEARCHES) for rows, what in named if SEARCHES in rows]
    return of_answers(pd.concat(parts, ignore_index=True)) if parts else pd.DataFrame()


def of_answers(rows: pd.DataFrame) -> pd.DataFrame:
    """Answers with the number of their searches.

    rows: `searches` as JSON (`helpers.search.episodes.Episode`), right_found, wrong_found. Returns them with `calls`, the parsed list,
    `searched` (it has an entry) and `found` (a passage was inserted; NaN if it did not search).
    """
    calls = [json.loads(record) for record in rows[SEARCHES]]
    searched = np.array([bool(one) for one in calls])
    found = np.array([any(call["ids"] for call in one) for one in calls], dtype=float)
    return rows.assign(calls=calls, searched=searched, found=np.where(searched, found, np.nan))


def by(rows: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Answers in groups: their number, the share that `searched`, of these the share that `found` passages, and of these the mean of
    right_found (the right option occurs in them) and of wrong_found (share of the wrong ones)."""
    wanted = {"answers": ("searched", "size")} | {name: (name, "mean") for name in SHARES}
    return rows.groupby(list(keys), sort=False).agg(**wanted).reset_index()


def steps(rows: pd.DataFrame) -> pd.DataFrame:
    """`by` of the rollouts, one row per arm, seed and step. rows: `searched`."""
    return by(rows[rows["what"] == "rollouts"], ["arm", "seed", "step"])


def queries(rows: pd.DataFrame) -> pd.DataFrame:
    """The QUERIES most frequent queries: how often, in how many answers that found passages, and right_found of these answers."""
    asked = rows[["calls", "right_found"]].explode("calls").dropna(subset="calls")
    table = pd.DataFrame({
        "query": [call["query"].strip().casefold() for call in asked["calls"]],
        "passages": [len(call["ids"]) for call in asked["calls"]],
        "right_found": asked["right_found"].to_numpy(float),
    })  # fmt: skip
    named = table.groupby("query").agg(
        times=("passages", "size"), passages=("passages", "mean"), right_found=("right_found", "mean")
    )
    return named.sort_values(["times", "query"], ascending=[False, True]).head(QUERIES).reset_index()


def effect(scores: pd.DataFrame, settings: Analysis, searching: Sequence[str] = (), paired: bool = True) -> pd.DataFrame | None:
    """Accuracy with and without search, of the untrained and of each trained model, and what follows: one row per benchmark and model.

    None if no benchmark was answered both with and without search.

    scores: one row per answer; a benchmark that was answered with search has the suffix `_search`. Where `answerable` says whether the
    question itself finds a passage with the right option (no model is asked), such items have rows of their own: a control of the tool,
    which should help there if anywhere. Columns benchmark, items, arm, seeds,
    without, with (accuracies), then differences, each with `_low` and `_high` (`intervals.interval`):

    - search: with − without search, of this model;
    - training: this model − the untrained one, both without search;
    - training_with_search: the same, both with search;
    - both: this model with search − the untrained one without;
    - interaction: what search brings to this model beyond what it brings to the untrained one (training_with_search − training);
    - to_search: an arm of `searching` with search − the random arm with search, over the seeds that both have;
    - against_random: the same arm − the random arm without search; also `_seeds`, `_p`, `_p_equal`, and `_detectable` (the smallest true
      difference that this test finds with power `settings.power`).

    The two scores of a model come from the same runs, so their difference is taken within seeds.
    """
    plain = scores[scores["rotation"] == 0]
    tool = plain["benchmark"].str.endswith(f"_{SEARCH}")
    named = plain.assign(tool=tool, benchmark=plain["benchmark"].str.removesuffix(f"_{SEARCH}"))
    rows = []
    for benchmark, part in named.groupby("benchmark", sort=False):
        if part["tool"].nunique() < 2:
            continue
        wide = part.set_index(["tool", "arm", "seed", "item_id"])["correct"].astype(float).unstack("item_id").dropna(axis=1)
        arms = list(dict.fromkeys(part["arm"]))
        known = set(part.loc[part["answerable"].eq(True), "item_id"]) if "answerable" in part else set()
        parts = {benchmark: wide, f"{benchmark}{ANSWERABLE}": wide[[item for item in wide if item in known]]}
        for name, items in parts.items():
            if len(items.columns) > (name != benchmark):
                found = _effects(items, arms, settings, searching, paired)
                rows += [{"benchmark": name, "group": part["group"].iloc[0]} | row for row in found]
    columns = ["benchmark", "group", "items", "arm", "seeds", "without", "with"]
    columns += [f"{name}{end}" for name in EFFECTS for end in ("", "_low", "_high")]
    columns += [f"against_random_{end}" for end in ("seeds", "p", "p_equal", "detectable")]
    return pd.DataFrame(rows, columns=columns) if rows else None


def _effects(
    wide: pd.DataFrame, arms: list[str], settings: Analysis, searching: Sequence[str], paired: bool
) -> list[dict[str, Any]]:
    """The rows of `effect` of one benchmark. wide: right or wrong, one row per tool, arm and seed, one column per item."""
    without, using = ({arm: wide.loc[tool, arm] for arm in arms} for tool in (False, True))
    rows = []
    for arm in arms:
        plain, tool = without[arm].to_numpy(), using[arm].to_numpy()
        row: dict[str, Any] = {"items": wide.shape[1], "arm": arm, "seeds": 0 if arm == UNTRAINED else len(plain)}
        found = {"search": intervals.estimate([plain], [tool], paired=True)}
        if arm != UNTRAINED:
            before, before_tool = without[UNTRAINED].to_numpy(), using[UNTRAINED].to_numpy()
            found["training"] = intervals.estimate([before], [plain])
            found["training_with_search"] = intervals.estimate([before_tool], [tool])
            found["both"] = intervals.estimate([before], [tool])
            found["interaction"] = intervals.estimate([before_tool - before], [tool - plain])
        both = using[arm].index.intersection(without["random"].index) if arm in searching and "random" in without else []
        if len(both):
            random, random_tool, own = (part.loc[both].to_numpy() for part in (without["random"], using["random"], using[arm]))
            found["to_search"] = intervals.estimate([random_tool], [own], paired)
            found["against_random"] = e = intervals.estimate([random], [own], paired)
            row |= {"against_random_seeds": len(both), "against_random_p": intervals.p_value(e)}
            row["against_random_p_equal"] = intervals.p_equivalence(e, settings.margin)
            test = 1 - settings.confidence, settings.power
            row["against_random_detectable"] = power.mean_detectable(e.items, e.seeds, max(e.df, 1), *test)
        row |= {"without": plain.mean(), "with": tool.mean()}
        for name, e in found.items():
            row[name], (row[f"{name}_low"], row[f"{name}_high"]) = e.difference, intervals.interval(e, settings.confidence)
        rows.append(row)
    return rows


def against_random(table: pd.DataFrame) -> pd.DataFrame:
    """The primary outcome of a study of search: each arm that was trained with search, with the tool, against the random arm without it, on what was
    trained; tests adjusted among these rows (`evidence.corrected`). Items whose answer is in the passages do not count a second time.

    Columns benchmark, arm, items, detectable and those of `corrected`. Empty without such an arm, or without a random one.
    """
    shown = table["group"].eq("specialisation") & table["against_random"].notna() & ~table["benchmark"].str.endswith(ANSWERABLE)
    rows = table[shown]
    ends = {
        "change": "",
        "low": "_low",
        "high": "_high",
        "p": "_p",
        "p_equal": "_p_equal",
        "seeds": "_seeds",
        "detectable": "_detectable",
    }
    found = pd.DataFrame({name: rows[f"against_random{end}"] for name, end in ends.items()})
    pairs = rows["arm"] + " with search against random without, " + rows["benchmark"].map(named)
    return corrected(found.assign(name=pairs, benchmark=rows["benchmark"], arm=rows["arm"], items=rows["items"]))


def claims(table: pd.DataFrame | None, margin: str) -> list[Claim]:
    """What `effect` says of the paper's open question; nothing without an arm that was trained with search and a random one without.

    Supported if such an arm with the tool is better than the random arm without it on a benchmark of what was trained, and worse on none;
    contradicted if the reverse, or if all differences are shown to be smaller than the margin.
    """
    rows = pd.DataFrame() if table is None else against_random(table)
    return [one_way(CLAIM, rows, "benefit of the search tool", Arms({}, margin=margin))] if len(rows) else []


def named(benchmark: str) -> str:
    """A benchmark of `effect` for readers: its name, and whether only items with the answer in the passages count."""
    plain = benchmark.removesuffix(ANSWERABLE)
    return names.benchmark(plain) + benchmark[len(plain) :]


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """What `effect` says, for readers: one row per benchmark and arm that was trained with search, columns SUMMARY, differences as text.

    The tool before training: `search` of the untrained model; after that training: of the random arm. The last column is the sum of the two
    before it. Without an arm that was trained with search there are dashes.
    """
    rows = []
    for benchmark, part in table.groupby("benchmark", sort=False):
        models = part.set_index("arm").to_dict("index")
        untrained, random = models[UNTRAINED], models.get("random", {})
        for arm in list(part.loc[part["against_random"].notna(), "arm"]) or [UNTRAINED]:
            row = models[arm]
            ends = ((untrained, "search"), (random, "training"), (random, "search"), (row, "to_search"), (row, "against_random"))
            seeds = row.get("against_random_seeds", np.nan)
            seeds = 0 if np.isnan(seeds) else int(seeds)
            rows.append([named(benchmark), f"{row['items']:,}", seeds, *(points(*end) for end in ends)])
    return pd.DataFrame(rows, columns=SUMMARY)


def points(row: Mapping[str, float], name: str) -> str:
    """A difference in points with its interval, for readers; a dash if there is none.

    >>> points({"search": 0.02, "search_low": -0.01, "search_high": 0.05}, "search")
    '+2.0 [-1.0,\xa0+5.0]'
    """
    if not np.isfinite(row.get(name, np.nan)):
        return "–"
    return difference(row, name).replace(", ", ",\u00a0")
