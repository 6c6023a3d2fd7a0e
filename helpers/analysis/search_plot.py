"""The figure of what a search tool brings (`searching.effect`): tool, training and both, with their intervals."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from helpers.analysis import search_opening, searching
from helpers.analysis.drawing import colours, finished, in_words, markers
from helpers.study.study import UNTRAINED


def effects(table: pd.DataFrame) -> pd.DataFrame:
    """The differences of the figure, one row per benchmark and difference: columns benchmark, arm (whose colour it has), what, change, low, high.

    table: `searching.effect`; items whose answer is in the passages are left out.
    """
    rows = []
    for benchmark, part in table[~table["benchmark"].str.endswith(searching.ANSWERABLE)].groupby("benchmark", sort=False):
        models = part.set_index("arm").to_dict("index")
        taught = list(part.loc[part["against_random"].notna(), "arm"])
        wanted = [(UNTRAINED, "search", "tool, before training"), ("random", "training", "training without the tool")]
        wanted += [("random", "search", "tool, after that training")]
        for arm in taught:
            wanted += [
                (arm, "to_search", f"{arm} − random,\nboth with the tool"),
                (arm, "against_random", f"{arm} with the tool −\nrandom without"),
            ]
        for arm, name, what in wanted:
            ends = {
                end: models.get(arm, {}).get(f"{name}{suffix}")
                for end, suffix in (("change", ""), ("low", "_low"), ("high", "_high"))
            }
            if pd.notna(ends["change"]):
                rows.append({"benchmark": benchmark, "arm": arm, "what": what} | ends)
    return pd.DataFrame(rows, columns=["benchmark", "arm", "what", "change", "low", "high"])


def picture(table: pd.DataFrame, arms: Sequence[str], effect: float | None = None) -> Figure:
    """Differences in points, one panel per benchmark. table: `effects`; effect: the smallest that would matter, drawn as a band."""
    rows, panels = list(dict.fromkeys(table["what"])), dict(list(table.groupby("benchmark", sort=False)))
    size = (2.6 + 2.9 * len(panels), 1.3 + 0.5 * len(rows))
    figure, grid = plt.subplots(1, len(panels), figsize=size, sharex=True, sharey=True, squeeze=False)
    palette, marker = colours(arms), markers(arms)
    for axes, (benchmark, part) in zip(grid[0], panels.items(), strict=True):
        for row in part.itertuples():
            x, low, high = 100 * row.change, 100 * row.low, 100 * row.high
            drawn = {"fmt": marker.get(row.arm, "o"), "color": palette[row.arm], "capsize": 3, "markersize": 7}
            axes.errorbar(x, rows.index(row.what), xerr=[[x - low], [high - x]], **drawn)
        if effect:
            axes.axvspan(-100 * effect, 100 * effect, color="0.93", zorder=0)
        axes.axvline(0, color=palette[UNTRAINED], linewidth=1)
        axes.set(ylim=(len(rows) - 0.5, -0.5), title=search_opening.outcome(benchmark), xlabel="difference in accuracy (points)")
        axes.set_yticks(range(len(rows)), rows, fontsize=10)
    words = "; ".join(
        f"{search_opening.outcome(name)}: {in_words(100 * part.set_index('what')['change'])}" for name, part in panels.items()
    )
    return finished(figure, f"What the tool and training bring, in points. {words}.")
