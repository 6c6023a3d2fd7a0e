"""Figures of questions, filters and benchmark scores: from a tidy table to a matplotlib Figure. An arm has the same colour everywhere.

A figure's label (`Figure.get_label`) says in words what it shows, for those who do not see it.
"""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from mpl_toolkits.axes_grid1 import make_axes_locatable

from helpers.analysis import names
from helpers.analysis.curves import duration, learned, reflection, reward_curves, searches, sized_reflection
from helpers.analysis.drawing import KINDS, LINES, colours, finished, hatch, in_words, markers, picture, side_by_side, style
from helpers.analysis.intervals import ALPHA, wilson
from helpers.analysis.names import signed
from helpers.study.schema_eval import SIDES

__all__ = [
    "agreement", "answer_kinds", "by_side", "composition", "dose", "duration", "easy_rates", "forest", "heat", "learned",
    "picture", "plane", "power_curve", "reflection", "reward_curves", "searches", "sized_reflection", "style",
]  # fmt: skip

_DEPTHS = {"recall": 0, "one-step": 1, "two-step": 2, "three-step": 3}


def answer_kinds(rates: pd.DataFrame) -> Figure:
    """Stacked bars of the kinds of a filter's answers. rates: index filter, one column per kind, rows sum to 1."""
    figure, axes = plt.subplots(figsize=(7.5, 1.3 + 0.5 * len(rates)))
    rates.plot.barh(stacked=True, ax=axes, color=KINDS, width=0.6)
    hatch(axes)
    axes.set(xlim=(0, 1), xlabel="share of answers", ylabel="")
    axes.invert_yaxis()
    parts = [f"{name}: {in_words(row, '.0%')}" for name, row in rates.iterrows()]
    return finished(figure, f"Share of each kind of answer. {'; '.join(parts)}.", axes)


def easy_rates(table: pd.DataFrame) -> Figure:
    """Share of easy questions by each value of several columns, with Wilson's intervals. table: by, value, questions, easy_rate."""
    groups = dict(list(table.groupby("by", sort=False)))
    heights = [len(part) for part in groups.values()]
    figure, all_axes = plt.subplots(
        len(groups), 1, figsize=(7, 0.32 * sum(heights) + 0.9 * len(groups)), sharex=True, squeeze=False,
        gridspec_kw={"height_ratios": heights})  # fmt: skip
    for axes, (group, part) in zip(all_axes[:, 0], groups.items(), strict=True):
        part = part.sort_values("value", key=lambda values: values.map(_DEPTHS).fillna(0), kind="stable")
        ends = np.array([wilson(round(row.easy_rate * row.questions), row.questions) for row in part.itertuples()]).T
        away = np.abs(ends - part["easy_rate"].to_numpy())
        names_of = [f"{row.value} (n = {row.questions})" for row in part.itertuples()]
        axes.barh(names_of, part["easy_rate"], color=KINDS[0], xerr=away, ecolor="0.3", capsize=2)
        axes.set(title=f"by {group}", xlim=(0, 1), ylim=(len(part) - 0.4, -0.6))
    all_axes[-1, 0].set_xlabel(f"share of questions labelled easy, with {100 * (1 - ALPHA):g} % intervals")
    parts = [f"by {group}: {in_words(part.set_index('value')['easy_rate'], '.0%')}" for group, part in groups.items()]
    return finished(figure, f"Share of questions labelled easy, {'; '.join(parts)}.")


def composition(table: pd.DataFrame, colours: Sequence[str], title: str = "") -> Figure:
    """Training questions of each arm by kind, stacked. table: arm and one column of counts per kind; title: of the legend."""
    figure, axes = plt.subplots(figsize=(7, 1 + 0.5 * len(table)))
    kinds = table.set_index("arm")
    kinds.plot.barh(stacked=True, ax=axes, color=list(colours))
    hatch(axes)
    axes.invert_yaxis()
    axes.set(xlabel="training questions", ylabel="")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, title=title)
    parts = [
        f"{arm}: {', '.join(f'{count:,.1f} {kind}'.replace('.0 ', ' ') for kind, count in row.items() if count)}"
        for arm, row in kinds.iterrows()
    ]
    return finished(figure, f"Training questions. {'; '.join(parts)}.")


def agreement(table: pd.DataFrame, filters: Sequence[str]) -> Figure:
    """Filters × filters: Cohen's kappa of their labels, and how often they share a wrong answer beyond chance.

    table: one row per pair, columns first, second, kappa, same_wrong, same_wrong_letters (`difficulty.agreement`).
    """
    figure, grid = plt.subplots(1, 2, figsize=(7.6, 1.6 + 0.6 * len(filters)))
    excess = table.assign(excess=100 * (table["same_wrong"] - table["same_wrong_letters"]))
    both = pd.concat([excess, excess.rename(columns={"first": "second", "second": "first"})])
    for axes, column, title, form, ends in (
        (grid[0], "kappa", "same labels (kappa)", ".2f", (0, 1)),
        (grid[1], "excess", "same wrong answer, minus the\nshare expected by chance (points)", "+.0f", (0, 50)),
    ):
        wide = both.pivot_table(index="first", columns="second", values=column).reindex(index=filters, columns=filters)
        sns.heatmap(wide, annot=True, fmt=form, cmap="Blues", cbar=False, ax=axes, annot_kws={"fontsize": 10}, linewidths=1,
                    vmin=ends[0], vmax=ends[1])  # fmt: skip
        axes.set(title=title, xlabel="", ylabel="")
        axes.grid(False)
        axes.tick_params(axis="y", rotation=0)
        plt.setp(axes.get_xticklabels(), rotation=25, ha="right")
    pairs = excess.set_index(excess["first"] + " and " + excess["second"])
    kappa, beyond = in_words(pairs["kappa"], ".2f"), in_words(pairs["excess"])
    return finished(figure, f"Agreement of filters. Kappa: {kappa}. Same wrong answer beyond chance, in points: {beyond}.")


def plane(regions: pd.DataFrame, arms: Sequence[str], confidence: float, about: str) -> Figure:
    """Robustness against specialisation, in points, each arm with the region that covers both changes at once.

    regions: arm, x, y, centre_x, centre_y, half_x, half_y, tilt (`indices.regions`). about: what specialisation is measured on
    (`Eval.about`). A distant arm compresses the axes for all others; a second panel then omits it (`_far`).
    """
    away = _far(regions)
    panels = [("all arms", regions), (f"without {' and '.join(away)}", regions[~regions["arm"].isin(away)])][: 1 + bool(away)]
    figure, grid = plt.subplots(1, len(panels), figsize=(6.4 if len(panels) == 1 else 9.6, 5.4), squeeze=False)
    for axes, (title, shown) in zip(grid[0], panels, strict=True):
        _regions(axes, shown, arms)
        axes.set_title(title if away else "")
    label = f"specialisation: change on {about} (points)\nellipse: {confidence:.0%} region for both changes at once"
    if away:
        figure.supxlabel(label, fontsize=12)
    else:
        grid[0, 0].set_xlabel(label)
    grid[0, 0].set_ylabel("robustness: change on the\nother benchmarks (points)")
    parts = [f"{row.arm} {signed(100 * row.x)} and {signed(100 * row.y)}" for row in regions.itertuples()]
    text = f"Change from the untrained model in points, specialisation and robustness: {'; '.join(parts)}."
    return finished(figure, text, grid[0, 0])


def _far(regions: pd.DataFrame) -> list[str]:
    """Arms outside the range of all other arms and zero on one axis that at least double this range."""

    def axis(of: str, rows: pd.DataFrame) -> tuple[float, float]:
        low, high = (rows[f"centre_{of}"] + sign * rows[f"half_{of}"] for sign in (-1, 1))
        return min(0, low.min()), max(0, high.max())

    def far(arm: str, of: str) -> bool:
        mine = regions["arm"] == arm
        (low, high), (lowest, highest) = axis(of, regions[~mine]), axis(of, regions)
        return not low <= regions.loc[mine, of].iloc[0] <= high and highest - lowest >= 2 * (high - low)

    return [arm for arm in regions["arm"] if len(regions) > 2 and any(far(arm, of) for of in "xy")]


def _regions(axes: Axes, regions: pd.DataFrame, arms: Sequence[str]) -> None:
    """Each arm's changes and their region, and the untrained model at zero."""
    palette, marker = colours(arms), markers(arms)
    turn = np.linspace(0, 2 * np.pi, 200)
    for row in regions.itertuples():
        # an ellipse of correlation ρ: x = cos t, y = ρ cos t + √(1 − ρ²) sin t, stretched to its half-widths
        x = 100 * (row.centre_x + row.half_x * np.cos(turn))
        y = 100 * (row.centre_y + row.half_y * (row.tilt * np.cos(turn) + np.sqrt(max(0, 1 - row.tilt**2)) * np.sin(turn)))
        axes.fill(x, y, facecolor=palette[row.arm], alpha=0.12)
        axes.plot(x, y, color=palette[row.arm], linewidth=1.3, linestyle=LINES[list(arms).index(row.arm) % len(LINES)])
        axes.plot(
            100 * row.x, 100 * row.y, marker=marker[row.arm], color=palette[row.arm], markersize=8, linestyle="", label=row.arm
        )
    for line in (axes.axhline, axes.axvline):
        line(0, color=palette["untrained"], linewidth=1)
    axes.plot(0, 0, marker="+", color=palette["untrained"], markersize=14, markeredgewidth=2.5, linestyle="", label="untrained")


def forest(table: pd.DataFrame, arms: Sequence[str]) -> Figure:
    """Change of each arm on each benchmark with its interval, in points, one panel and one scale per side. table: `compare.comparison`."""
    part = by_side(table.dropna(subset="vs_untrained"))
    shown = [arm for arm in arms if arm in set(part["arm"])]
    sides = dict(list(part.groupby("group", sort=False)))
    heights = [rows["name"].nunique() for rows in sides.values()]
    height = 0.9 * len(sides) + (0.13 * len(shown) + 0.2) * sum(heights)
    figure, grid = plt.subplots(len(sides), figsize=(7.2, height), squeeze=False, gridspec_kw={"height_ratios": heights})
    for axes, (side, rows) in zip(grid[:, 0], sides.items(), strict=True):
        _intervals(axes, rows, shown, arms)
        axes.set(title=side, xlabel="change from untrained (points)")
    return finished(figure, _extremes_in_words(part), grid[0, 0])


def _intervals(axes: Axes, part: pd.DataFrame, shown: Sequence[str], arms: Sequence[str]) -> None:
    """One row per benchmark with the change of each shown arm; arms: all, which have the colours."""
    rows = list(dict.fromkeys(part["name"]))
    palette, marker = colours(arms), markers(arms)
    for place, arm in enumerate(shown):
        mine = part[part["arm"] == arm].set_index("name").reindex(rows)
        at = [row + 0.7 * ((place + 0.5) / len(shown) - 0.5) for row in range(len(rows))]
        change = mine["vs_untrained"]
        error = [100 * (change - mine["vs_untrained_low"]), 100 * (mine["vs_untrained_high"] - change)]
        axes.errorbar(100 * change, at, xerr=error, fmt=marker[arm], color=palette[arm], label=arm, capsize=2)
    axes.axvline(0, color=palette["untrained"], linewidth=1)
    axes.set_yticks(range(len(rows)), part.drop_duplicates("name")["label"], fontsize=10)
    axes.set_ylim(len(rows) - 0.4, -0.6)


def heat(table: pd.DataFrame, arms: Sequence[str]) -> Figure:
    """Benchmark × arm: change in points as colour, with its interval written in the cell. table: `compare.comparison`.

    Blue is better, orange is worse; equal distances from zero have equal lightness, so in grey the numbers carry the sign.
    """
    part = by_side(table.dropna(subset="vs_untrained"))
    shown = [arm for arm in arms if arm in set(part["arm"])]
    rows = list(dict.fromkeys(part["name"]))
    wide, low, high = (
        100 * part.pivot(index="name", columns="arm", values=f"vs_untrained{end}").loc[rows, shown]
        for end in ("", "_low", "_high")
    )
    most = max(float(np.nanmax(np.abs(wide.to_numpy()))), 0.5)
    width = min(1.3 * len(shown), max(5.2, 0.95 * len(shown)))  # narrow columns for many arms: a report shrinks a wide figure
    names_width = max(3.4, 0.5 + 0.085 * part["label"].str.len().max())
    figure, axes = plt.subplots(figsize=(names_width + width, 1.4 + 0.42 * len(rows)))
    cmap = sns.diverging_palette(35, 250, s=85, l=65, as_cmap=True)
    image = axes.imshow(wide, cmap=cmap, vmin=-most, vmax=most, aspect="auto")
    for (y, x), value in np.ndenumerate(wide.to_numpy()):
        if np.isfinite(value):
            text = f"{signed(value)}\n[{signed(low.iat[y, x])}, {signed(high.iat[y, x])}]".replace("-", "−")
            axes.text(x, y, text, ha="center", va="center", fontsize=8.5, color="black")
    axes.set_xticks(range(len(shown)), shown, rotation=20, ha="right")
    axes.set_yticks(range(len(rows)), part.drop_duplicates("name")["label"], fontsize=10)
    axes.grid(False)
    _mark_sides(axes, part)
    bar = make_axes_locatable(axes).append_axes("top", size=0.12, pad=0.1)  # inches, whatever the number of rows
    figure.colorbar(image, cax=bar, orientation="horizontal", label="change from untrained (points)")
    bar.xaxis.set_ticks_position("top")
    bar.xaxis.set_label_position("top")
    return finished(figure, _extremes_in_words(part))


def by_side(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of `compare.comparison`, one side of the study after the other.

    Adds columns name (unique), short (without the side, which is in `group`) and label (the same with the number of items).
    """
    order = {side: place for place, side in enumerate((*SIDES, "whole"))}
    part = table.sort_values("group", key=lambda groups: groups.map(order), kind="stable")
    part = part.assign(name=names.of(part))
    plain = part["name"].str.replace(rf": (?:{'|'.join(SIDES)})| \(whole\)", "", regex=True)  # the side is in `group`
    return part.assign(short=plain, label=plain + [f" (n = {items:,})" for items in part["items"]])


def _mark_sides(axes: Axes, part: pd.DataFrame) -> None:
    """Name on the right the side of the study that rows belong to, with a line between sides."""
    rows = part.drop_duplicates("name")["group"].reset_index(drop=True)
    for side, places in rows.groupby(rows, sort=False).groups.items():
        if places[0]:
            axes.axhline(places[0] - 0.5, color="0.3", linewidth=0.8)
        axes.text(1.01, (places[0] + places[-1]) / 2, side, transform=axes.get_yaxis_transform(), fontsize=9,
                  rotation=270 if len(places) > 2 else 0, va="center")  # fmt: skip


def _extremes_in_words(part: pd.DataFrame) -> str:
    """The largest loss and gain, and how many intervals do not contain zero."""
    rows = part.loc[[part["vs_untrained"].idxmin(), part["vs_untrained"].idxmax()]].itertuples()
    worst, best = (f"{signed(100 * row.vs_untrained)} points ({row.arm} on {row.name})" for row in rows)
    clear = ((part["vs_untrained_low"] > 0) | (part["vs_untrained_high"] < 0)).sum()
    return f"{len(part)} changes from untrained, from {worst} to {best}; {clear} intervals do not contain zero."


def dose(table: pd.DataFrame, arms: Sequence[str], label: str, joined: bool = True) -> Figure:
    """Change from untrained over a quantity that the study varies. table: x, series, name, arm, group, change, low, high.

    joined: a line joins the arms of one series (their mean where several have one x). Filters differ in more than their accuracy.
    """
    shown = [group for group in SIDES if group in set(table["group"])]
    figure, grid = plt.subplots(1, len(shown), figsize=(max(4.2, 2.5 * len(shown)), 3.8), squeeze=False, sharey=True)
    kinds = [] if pd.api.types.is_numeric_dtype(table["x"]) else list(dict.fromkeys(table["x"]))
    placed = table.assign(x=[kinds.index(value) for value in table["x"]]) if kinds else table
    for axes, group in zip(grid[0], shown, strict=True):
        rows = placed[placed["group"] == group]
        for (_, line), dashes in zip(rows.groupby("series", sort=False), LINES * len(rows) * joined, strict=False):
            mean = 100 * line.groupby("x")["change"].mean()
            axes.plot(mean.index, mean, color="0.6", linewidth=1.2, linestyle=dashes, zorder=1)
        side_by_side(axes, rows, arms)
        axes.axhline(0, color="0.5", linewidth=1)
        axes.margins(x=0.18)
        axes.set(title=group, ylabel="change from untrained (points)" if axes is grid[0][0] else "")
        if kinds:
            turned = {"rotation": 25, "ha": "right"} if len(kinds) > 2 else {}
            axes.set_xticks(range(len(kinds)), kinds, **turned)
    figure.supxlabel(label, fontsize=11)
    parts = [f"{group}: {in_words(100 * table[table['group'] == group].set_index('arm')['change'])}" for group in shown]
    text = f"Change from the untrained model in points by {' '.join(label.split())}. {'; '.join(parts)}."
    return finished(figure, text, grid[0][0])


def power_curve(table: pd.DataFrame, marks: pd.DataFrame) -> Figure:
    """Minimum detectable effect over the number of items, one line per number of seeds. table: items, seeds, detectable.

    marks: items, name, difference: differences the paper states, to be compared with the lines.
    """
    figure, axes = plt.subplots(figsize=(7, 4.4))
    for (seeds, line), dashes, colour in zip(table.groupby("seeds"), LINES, KINDS, strict=False):
        label = f"{seeds} seed{'s' if seeds > 1 else ''}"
        axes.plot(line["items"], 100 * line["detectable"], dashes, color=colour, label=label, linewidth=2)
    marker = markers(marks["name"])
    for row in marks.itertuples():
        axes.plot(row.items, 100 * abs(row.difference), marker[row.name], color="black", markersize=7, fillstyle="none", linestyle="",
                  label=row.name)  # fmt: skip
    axes.set(xscale="log", yscale="log", xlabel="items (log scale)", ylabel="minimum detectable effect\n(points, log scale)")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(lambda value, _: f"{value:,.10g}")
        axis.set_minor_formatter(NullFormatter())
    most = table[table["items"] == table["items"].max()]
    least = in_words({f"{row.seeds} seeds": 100 * row.detectable for row in most.itertuples()}, ".1f")
    text = f"Minimum detectable effect in points with {most['items'].iloc[0]:,} items: {least}. Marks: the paper's differences."
    return finished(figure, text, axes)
