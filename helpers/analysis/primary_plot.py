"""The figure of the primary outcome (`primary.rows`): the difference of each arm from the random one."""

import textwrap
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from helpers.analysis.drawing import colours, finished, in_words, markers
from helpers.analysis.names import signed

FAR = 3  # an arm whose difference is larger than this many times those of the others is named at the figure's edge
WIDTH = 40  # characters of a rule in a line beside the figure


def picture(
    table: pd.DataFrame, arms: Sequence[str], seeds: pd.DataFrame, rules: Mapping[str, str], effect: float | None = None
) -> Figure:
    """Arms × primary outcome: difference from the random arm in points, with its interval. table: `rows`.

    seeds: the same difference of each seed (`compare.by_seed`; columns benchmark, arm, vs_random), drawn as circles below the mean; those far
    outside all intervals are drawn as triangles at the edge. rules: how each arm's questions are chosen, in words. effect: the smallest
    difference that would matter (`analysis.effect`), drawn as a band. An arm far from all others, such as a negative control, is written at
    the edge, so that differences between the others can be read. Raises KeyError if `seeds` lacks a benchmark of the table.
    """
    part = table[table["vs_random"].notna()]
    shown, outcomes = [arm for arm in arms if arm in set(part["arm"])], list(dict.fromkeys(part["outcome"]))
    near = _near(part)
    ends = 100 * part.loc[part["arm"].isin(near), ["vs_random_low", "vs_random_high"]].to_numpy()
    drawn = seeds[seeds["arm"].isin(near) & seeds["benchmark"].isin(part["benchmark"])]
    single = 100 * drawn.set_index(["benchmark", "arm"])["vs_random"].sort_index()
    most = 1.12 * max(np.abs(ends).max(), 100 * (effect or 0))
    most = max(most, min(1.06 * single.abs().max(), FAR / 2 * most))
    figure, grid = plt.subplots(
        1, len(outcomes), figsize=(2.8 + 3.0 * len(outcomes), 1.6 + 0.48 * len(shown)), sharex=True, sharey=True, squeeze=False
    )
    palette, marker = colours(arms), markers(arms)
    for axes, outcome in zip(grid[0], outcomes, strict=True):
        own = part[part["outcome"] == outcome].set_index("arm")
        for place, arm in enumerate(shown):
            x, low, high = (100 * own.loc[arm, f"vs_random{end}"] for end in ("", "_low", "_high"))
            if arm in near:
                style = {"fmt": marker[arm], "color": palette[arm], "capsize": 3, "markersize": 7}
                axes.errorbar(x, place, xerr=[[x - low], [high - x]], **style)
                _circles(axes, single.loc[[(own["benchmark"].iloc[0], arm)]], place, most, palette[arm])
            else:
                text = f"{signed(x)} [{signed(low)}, {signed(high)}]".replace("-", "−")
                text, at, side = (f"← {text}", 0.02, "left") if x < 0 else (f"{text} →", 0.98, "right")
                written = {"ha": side, "va": "center", "fontsize": 9, "color": "0.25", "backgroundcolor": "white"}
                axes.text(at, place, text, transform=axes.get_yaxis_transform(), **written)
        if effect:
            axes.axvspan(-100 * effect, 100 * effect, color="0.93", zorder=0)
        axes.axvline(0, color=palette["random"], linewidth=1.5)
        axes.set(xlim=(-most, most), ylim=(len(shown) - 0.4, -0.6), title=f"{outcome} (n = {own['items'].iloc[0]:,})")
        axes.set_xlabel("difference from random (points)", fontsize=11)
        axes.set_yticks(range(len(shown)), [f"{arm}\n{textwrap.fill(rules.get(arm, ''), WIDTH)}" for arm in shown], fontsize=10)
    words = "; ".join(
        f"{name}: {in_words(100 * rows.set_index('arm')['vs_random'])}" for name, rows in part.groupby("outcome", sort=False)
    )
    return finished(figure, f"Difference from the random arm in points. {words}. Circles show the differences of single seeds.")


def _circles(axes: Axes, each: pd.Series, place: float, most: float, colour: str) -> None:
    """The differences of single seeds below an arm's mean, neighbours at different heights; beyond `most` a triangle at the edge."""
    values = np.sort(each.dropna().to_numpy())
    heights = place + 0.2 + 0.08 * (np.arange(len(values)) % 3)
    for side, drawn in (("<", values < -most), (">", values > most), ("o", np.abs(values) <= most)):
        x = np.clip(values[drawn], -0.98 * most, 0.98 * most)
        axes.plot(x, heights[drawn], side, markersize=3.5, markerfacecolor="none", markeredgecolor=colour, alpha=0.8)


def _near(part: pd.DataFrame) -> list[str]:
    """Arms whose differences are within FAR times the median reach of all arms; all of them if there are only two."""
    reach = part[["vs_random_low", "vs_random_high"]].abs().max(axis=1).groupby(part["arm"], sort=False).max()
    return list(reach.index if len(reach) < 3 else reach.index[reach <= FAR * reach.median()])
