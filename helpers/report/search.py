"""What a study's search tool was used for and what it brings, as 05_analysis shows it; nothing in studies without one."""

from functools import partial

import pandas as pd

from helpers.analysis import search_plot, searching
from helpers.analysis.drawing import Picture
from helpers.analysis.results import Results
from helpers.report.chapter import band, picture
from helpers.search.tool import DROPPED
from helpers.study.files import read_note


def figure(r: Results) -> Picture | None:
    """What a search tool and training bring, with their intervals; None without search."""
    relevant = r.settings.effect
    table = None if r.search_effect is None else search_plot.effects(r.search_effect)
    text = f"Differences in accuracy, {r.settings.confidence:.0%} intervals {r.over}.{band(relevant)}"
    return picture(r, "search_effects", partial(search_plot.picture, effect=relevant), table, text)


def effect(r: Results) -> pd.DataFrame | None:
    """`searching.effect` for readers: accuracy in percent with and without search, and differences in points with intervals."""
    if r.search_effect is None:
        return None
    table = r.search_effect
    shown = table[["benchmark", "items", "arm"]].assign(benchmark=table["benchmark"].map(searching.named))
    for key in ("without", "with"):
        shown[key] = [f"{100 * value:.1f}" for value in table[key]]
    for key in searching.EFFECTS[:5]:  # the others are in `summary`
        shown[key.replace("_", " ")] = [searching.points(row, key) for row in table.to_dict("records")]
    return shown.set_index(["benchmark", "items", "arm"])


def summary(r: Results) -> pd.DataFrame | None:
    """`searching.summary`: what search brings, what training brings, and what both bring; None without search."""
    return None if r.search_effect is None else searching.summary(r.search_effect)


def corpus(r: Results) -> str:
    """What could be searched; empty without search."""
    facts = read_note(r.study.path(DROPPED))
    if not facts:
        return ""
    licences = ", ".join(f"{name or 'not stated'} ({count:,})" for name, count in facts["licences"].items())
    return (
        f"Corpus: {facts['corpus']}, {facts['passages']:,} passages; licences: {licences}. Dropped because they contain a "
        f"question of a benchmark: {facts['dropped']:,}. Left out because they are broken: {facts['refused']:,}."
    )


def found(r: Results) -> pd.DataFrame | None:
    """`searching.by` of rollouts and of the answers to each benchmark, with the benchmarks' names for readers; None without search."""
    return _named(r.search_found)


def by_model(r: Results) -> pd.DataFrame | None:
    """`found`, one row per model and, of rollouts, per run of training."""
    table = _named(r.search_seeds)
    return None if table is None else table.assign(seed=table["seed"].where(table["seed"] >= 0).astype("Int64"))


def _named(table: pd.DataFrame | None) -> pd.DataFrame | None:
    return None if table is None else table.assign(what=table["what"].map(searching.named))
