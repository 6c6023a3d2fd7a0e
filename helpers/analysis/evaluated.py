"""One model's scores beside the untrained model's, in words, for 04_eval."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from helpers.analysis import compare, names
from helpers.analysis.drawing import colours
from helpers.analysis.indices import strict_beside_flexible
from helpers.study.schema_eval import Analysis
from helpers.study.study import UNTRAINED


def beside_untrained(before: pd.DataFrame, after: pd.DataFrame, name: str, analysis: Analysis) -> pd.DataFrame:
    """The comparison table (`compare.comparison`) of one model, called `name`, and the untrained one; of that one alone if it is the model.

    before, after: their scores. Only benchmarks that `after` has are compared.
    """
    parts = [before[before["benchmark"].isin(after["benchmark"])].assign(arm=UNTRAINED, seed=-1)]
    parts += [after.assign(arm=name, seed=0)] if name != UNTRAINED else []
    return compare.comparison(compare.by_suite(pd.concat(parts, ignore_index=True)), analysis)


def summary(table: pd.DataFrame, name: str, confidence: float) -> str:
    """The answer of 04_eval in two sentences. table: of `beside_untrained`."""
    mine = table[(table["arm"] == name) & (table["group"] != "whole") & ~strict_beside_flexible(table)]
    knows = mine[~mine["at_chance"].astype(bool) & (mine["accuracy"] > mine["chance"])]
    scored = f"{len(mine)} benchmark{'s' if len(mine) > 1 else ''} with {mine['items'].sum():,} items"
    if name == UNTRAINED:
        best = mine.loc[mine["accuracy"].idxmax()]
        return (
            f"The untrained model was evaluated on {scored}: from {mine['accuracy'].min():.0%} to {best['accuracy']:.0%} right ({names.benchmark(best['benchmark'], best['filter'])}). "
            f"It is significantly better than guessing on {len(knows) or 'none'} of them; on the others, scores say little about the effect of training."
        )
    up, down = mine[mine["vs_untrained_low"] > 0], mine[mine["vs_untrained_high"] < 0]
    found = [
        f"{words} on {', '.join(f'{names.benchmark(row.benchmark, row.filter)} ({names.signed(100 * row.vs_untrained)} points)' for row in rows.itertuples())}"
        for words, rows in (("better", up), ("worse", down))
        if len(rows)
    ]
    change = "is " + " and ".join(found) if found else "does not differ significantly from it on any of them"
    return (
        f"{names.model(name)} and the untrained model were evaluated on {scored}. The trained model {change} ({confidence:.0%} intervals per "
        "benchmark, not adjusted). This is one training run; the last chapter compares all runs."
    )


def accuracies(table: pd.DataFrame, name: str) -> Figure:
    """Accuracy with its interval on every benchmark, the untrained model in grey; a tick marks what guessing gives. name: as `self/seed0`."""
    rows = table[table["group"] != "whole"]
    labels = list(dict.fromkeys(zip(names.of(rows), rows["items"], strict=True)))
    figure, axes = plt.subplots(figsize=(7.2, 1.1 + 0.36 * len(labels)), layout="constrained")
    trained = name.partition("/")[0]
    grey, colour = (colours([trained])[model] for model in (UNTRAINED, trained))
    both = ((UNTRAINED, grey, "o", 0.12), (name, colour, "D", -0.12)) if name != UNTRAINED else ((UNTRAINED, grey, "o", 0.0),)
    for arm, colour, marker, shift in both:
        mine = rows[rows["arm"] == arm]
        at = [place + shift for place in range(len(mine))]
        error = [(100 * (mine["accuracy"] - mine["low"])).clip(lower=0), (100 * (mine["high"] - mine["accuracy"])).clip(lower=0)]
        axes.errorbar(100 * mine["accuracy"], at, xerr=error, fmt=marker, color=colour, label=names.model(arm), capsize=2)
        axes.plot(100 * mine["chance"], range(len(mine)), "|", color="black", markersize=14)
    axes.plot([], [], "|", color="black", markersize=10, label="guessing")
    axes.set_yticks(range(len(labels)), [f"{label}, n {items:,}" for label, items in labels], fontsize=10)
    axes.invert_yaxis()
    axes.set_xlabel("right answers (%)")
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    numbers = [
        f"{names.benchmark(row.benchmark, row.filter)} {row.accuracy:.0%}" for row in rows[rows["arm"] == name].itertuples()
    ]
    figure.set_label(f"Right answers of {names.model(name)}: {', '.join(numbers)}.")
    return figure
