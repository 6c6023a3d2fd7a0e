"""Each figure of the report: from a tidy table to matplotlib Axes. An arm has the same colour everywhere."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from mpl_toolkits.axes_grid1 import make_axes_locatable

from helpers.study.files import atomic, write_table
from helpers.study.schema_eval import SIDES

CURVES = {
    "reward_accuracy": "accuracy reward (0 to 2)",
    "reward_format": "format reward (0 to 2)",
    "reward_xml_count": "tag reward (0 to 1)",
    "frac_reward_zero_std": "share of groups whose\nrollouts all score the same",
    "completion_length": "completion length (tokens)",
    "clipped_share": "share of completions\ncut off",
    "entropy": "entropy (nats a token)",
}
LEARNED = {
    "valid": "completions in the\nright format (share)",
    "right_if_valid": "right answers among\nvalid ones (share)",
    "flat_reward": "groups without a spread\nof rewards (share)",
    "flat_accuracy": "groups without a spread\nof right answers (share)",
}
MORE = ["#332288", "#882255", "#117733", "#56B4E9"]  # of Tol's "muted" and of Okabe and Ito
MARKERS = "osD^vPX*"
LINES = ("-", "--", ":", "-.")  # and arms
HATCHES = ("", "///", "...", "xx", "\\\\\\")  # so that kinds differ in grey, too
LEGEND_COLUMNS = 4
WIDE = 24  # letters in a legend's entry from which on two stand in a row
KINDS = ["#0072B2", "#D55E00", "#E69F00", "#999999", "#56B4E9"]  # Okabe and Ito 2008, seen by colour-blind readers


def style() -> None:
    """Set fonts and grid for all figures of a notebook."""
    sns.set_theme(
        context="notebook",
        style="whitegrid",
        rc={"figure.dpi": 110, "axes.titlesize": 11, "svg.fonttype": "none", "svg.hashsalt": "study"},
    )


def colours(arms: Sequence[str]) -> dict[str, tuple[float, float, float]]:
    """One colour an arm, by its place in the study; the untrained model is grey. After ten arms they begin again (markers differ)."""
    first = sns.color_palette("colorblind")[:6]  # the rest of it is too light for lines on white
    palette = (first + sns.color_palette(MORE)) * -(-len(arms) // 10)
    return dict(zip(arms, palette, strict=False)) | {"untrained": (0.35, 0.35, 0.35)}


def save(figure: Figure, table: pd.DataFrame, path: Path) -> None:
    """Write a figure as PNG (200 dpi) and SVG, and beside it the table it was drawn from, as CSV."""
    for ending in (".png", ".svg"):
        with atomic(path.with_suffix(ending)) as partial:
            dated = {"metadata": {"Date": None}} if ending == ".svg" else {}  # the same figure is the same file
            figure.savefig(partial, dpi=200, bbox_inches="tight", **dated)
    write_table(table, path.with_suffix(".csv"))


def caption(figure: Figure, text: str) -> Figure:
    """Say below a figure (and its legend, if that stands below it) what its bars are and over how many seeds; returns the figure."""
    below = 0.15 + sum(
        0.1 + 0.25 * -(-len(legend.get_texts()) // _columns([text.get_text() for text in legend.get_texts()]))
        for legend in figure.legends
    )
    wrapped = "\n".join(textwrap.wrap(text, int(13 * figure.get_figwidth())))
    figure.text(0.01, -below / figure.get_figheight(), wrapped, fontsize=9.5, va="top", color="0.25")
    return figure


def _columns(labels: Sequence[str]) -> int:
    """Columns of a legend: as many as fit, and rows as even as can be."""
    most = 2 if max(map(len, labels), default=0) > WIDE else LEGEND_COLUMNS
    rows = max(1, -(-len(labels) // most))
    return max(1, -(-len(labels) // rows))


def answer_kinds(rates: pd.DataFrame) -> Figure:
    """Stacked bars of what became of a filter's answers. rates: index filter, one column a kind, rows sum to 1."""
    figure, axes = plt.subplots(figsize=(7.5, 1.3 + 0.5 * len(rates)))
    rates.plot.barh(stacked=True, ax=axes, color=KINDS, width=0.6)
    _hatch(axes)
    axes.set(xlim=(0, 1), xlabel="share of answers", ylabel="")
    axes.invert_yaxis()
    _legend_below(figure, axes)
    return figure


def _hatch(axes: Axes) -> None:
    """Give each kind of a stacked bar its hatching."""
    for bars, hatch in zip(axes.containers, HATCHES, strict=False):
        for bar in bars:
            bar.set_hatch(hatch)


def easy_rates(table: pd.DataFrame) -> Figure:
    """Where difficulty lies: easy rate by each value. table: by, value, questions, easy_rate."""
    groups = list(table["by"].unique())
    heights = [len(table[table["by"] == group]) for group in groups]
    figure, all_axes = plt.subplots(
        len(groups), 1, figsize=(7, 0.32 * sum(heights) + 0.9 * len(groups)), sharex=True, squeeze=False,
        gridspec_kw={"height_ratios": heights})  # fmt: skip
    for axes, group in zip(all_axes[:, 0], groups, strict=True):
        part = table[table["by"] == group]
        names = [f"{row.value} (n = {row.questions})" for row in part.itertuples()]
        axes.barh(names, part["easy_rate"], color=KINDS[0])
        axes.set(title=f"by {group}", xlim=(0, 1))
        axes.invert_yaxis()
    all_axes[-1, 0].set_xlabel("share of questions labelled easy")
    figure.tight_layout()
    return figure


def composition(table: pd.DataFrame) -> Figure:
    """Hard, easy and unlabelled questions of each arm. table: arm, hard, easy, unlabelled."""
    figure, axes = plt.subplots(figsize=(7, 1 + 0.5 * len(table)))
    table.set_index("arm")[["hard", "easy", "unlabelled"]].plot.barh(stacked=True, ax=axes, color=[KINDS[1], KINDS[0], KINDS[3]])
    _hatch(axes)
    axes.invert_yaxis()
    axes.set(xlabel="training questions", ylabel="")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    figure.tight_layout()
    return figure


def reward_curves(logs: pd.DataFrame, arms: Sequence[str]) -> Figure:
    """Rewards part by part, groups without spread, length and cut-offs over steps; mean over seeds with a band.

    logs: one row an arm, seed and optimiser step, with the columns of CURVES. Lines are running means over a twentieth of the
    run (a short run as it is); the band spans the seeds; one seed draws a line only.
    """
    columns = [column for column in CURVES if column in logs and logs[column].notna().any()]
    logs = _running(logs, columns, int(logs["step"].max() // 20))
    figure, grid = plt.subplots(-(-len(columns) // 2), 2, figsize=(7.2, 2.5 * -(-len(columns) // 2)), sharex=True)
    shown = [arm for arm in arms if arm in set(logs["arm"])]
    for axes, column in zip(grid.flat, columns, strict=False):
        few = logs["step"].nunique() <= 30  # marks on every step of a long run would hide the lines
        sns.lineplot(logs, x="step", y=column, hue="arm", hue_order=shown, palette=colours(arms), style="arm", style_order=shown,
                     markers=_markers(shown) if few else False, markersize=5, errorbar=("pi", 100), ax=axes, legend=axes is grid.flat[0])  # fmt: skip
        axes.set(xlabel="optimiser step", ylabel=CURVES[column])
        axes.set_ylim(0, 1.02 if "share" in CURVES[column] else None)
        axes.xaxis.get_major_locator().set_params(integer=True)
    for axes in grid.flat[len(columns) :]:
        axes.set_visible(False)
    for axes in grid.flat[max(0, len(columns) - 2) : len(columns)]:  # the lowest of each column
        axes.tick_params(labelbottom=True)
        axes.xaxis.label.set_visible(True)
    _legend_below(figure, grid.flat[0])
    return figure


def _running(table: pd.DataFrame, columns: Sequence[str], window: int) -> pd.DataFrame:
    """Running means of the columns over the steps of each run; a window of 1 or less changes nothing."""
    smooth = table.sort_values("step").copy()
    for column in columns if window > 1 else ():
        smooth[column] = smooth.groupby(["arm", "seed"])[column].transform(
            lambda values: values.rolling(window, min_periods=1).mean()
        )
    return smooth


def duration(table: pd.DataFrame, arms: Sequence[str]) -> Figure:
    """Held-out questions over the course of training: valid answers and accuracy. table: arm, seed, step, valid, accuracy."""
    figure, axes = plt.subplots(1, 2, figsize=(7.6, 3.6), sharex=True)
    shown = [arm for arm in arms if arm in set(table["arm"])]
    for ax, column, title in zip(axes, ("valid", "accuracy"), ("answers in the right format", "right answers"), strict=True):
        sns.lineplot(table, x="step", y=column, hue="arm", hue_order=shown, palette=colours(arms), style="arm", style_order=shown,
                     markers=_markers(shown), errorbar=("pi", 100), ax=ax, legend=ax is axes[0])  # fmt: skip
        ax.set(title=title, xlabel="optimiser step", ylabel="share of held-out questions")
    _legend_below(figure, axes[0])
    return figure


def _markers(shown: Sequence[str]) -> list[str]:
    """A marker for each arm, for seaborn's line plots."""
    return list(MARKERS * -(-len(shown) // len(MARKERS)))[: len(shown)]


def dose(
    table: pd.DataFrame, label: str, arms: Sequence[str], groups: Sequence[str] = ("specialisation", "robustness", "shift")
) -> Figure:
    """Change from untrained over a number that the study varies. table: x, series, name, arm, group, change, low, high.

    A line joins the arms of one series (their mean where several have one x); a study with one point draws one point.
    """
    shown = [group for group in groups if group in set(table["group"])]
    figure, axes = plt.subplots(1, len(shown), figsize=(max(4.2, 2.5 * len(shown)), 3.8), squeeze=False, sharey=True)
    kinds = [] if pd.api.types.is_numeric_dtype(table["x"]) else list(dict.fromkeys(table["x"]))
    if kinds:
        table = table.assign(x=[kinds.index(value) for value in table["x"]])
    for ax, group in zip(axes[0], shown, strict=True):
        rows = table[table["group"] == group]
        for (_, line), style in zip(rows.groupby("series", sort=False), LINES * len(rows), strict=False):
            mean = 100 * line.groupby("x")["change"].mean()
            ax.plot(mean.index, mean, color="0.6", linewidth=1.2, linestyle=style, zorder=1)
        _side_by_side(ax, rows, arms)
        ax.axhline(0, color="0.5", linewidth=1)
        ax.margins(x=0.18)
        ax.set(title=group, ylabel="change from untrained (points)" if ax is axes[0][0] else "")
        if kinds:
            ax.set_xticks(
                range(len(kinds)), kinds, rotation=25 if len(kinds) > 2 else 0, ha="right" if len(kinds) > 2 else "center"
            )
    figure.supxlabel(label, fontsize=11)
    _legend_below(figure, axes[0][0])
    return figure


def _side_by_side(axes: Axes, rows: pd.DataFrame, arms: Sequence[str]) -> None:
    """Each arm's change in points at its x with its interval; arms of one x beside each other. rows: arm, x, change, low, high."""
    palette, markers = colours(arms), dict(zip(arms, MARKERS * 4, strict=False))
    width = 0.045 * (rows["x"].max() - rows["x"].min())
    for row in rows.itertuples():
        beside = list(rows.loc[rows["x"] == row.x, "arm"])
        at = row.x + width * (beside.index(row.arm) - (len(beside) - 1) / 2)
        away = [[max(0, 100 * (row.change - row.low))], [max(0, 100 * (row.high - row.change))]]
        axes.errorbar(at, 100 * row.change, yerr=away, fmt=markers[row.arm], color=palette[row.arm], capsize=3, label=row.arm)


def plane(regions: pd.DataFrame, arms: Sequence[str], confidence: float, about: str) -> Figure:
    """Robustness against specialisation, in points, each arm with the region that covers both changes at once.

    regions: arm, x, y, centre_x, centre_y, half_x, half_y, tilt (`stats.regions`). about: what specialisation is measured on
    (`Eval.about`).
    """
    figure, axes = plt.subplots(figsize=(6.4, 5.4))
    palette, markers = colours(arms), dict(zip(arms, MARKERS * 4, strict=False))
    turn = np.linspace(0, 2 * np.pi, 200)
    for row in regions.itertuples():
        # an ellipse of correlation ρ: x = cos t, y = ρ cos t + √(1 − ρ²) sin t, stretched to its half-widths
        x = row.centre_x + row.half_x * np.cos(turn)
        y = row.centre_y + row.half_y * (row.tilt * np.cos(turn) + np.sqrt(max(0, 1 - row.tilt**2)) * np.sin(turn))
        axes.fill(100 * x, 100 * y, facecolor=palette[row.arm], alpha=0.12)
        axes.plot(
            100 * x, 100 * y, color=palette[row.arm], linewidth=1.3, linestyle=LINES[list(arms).index(row.arm) % len(LINES)]
        )
        axes.plot(
            100 * row.x, 100 * row.y, marker=markers[row.arm], color=palette[row.arm], markersize=8, linestyle="", label=row.arm
        )
    for line in (axes.axhline, axes.axvline):
        line(0, color=palette["untrained"], linewidth=1)
    axes.plot(0, 0, marker="+", color=palette["untrained"], markersize=14, markeredgewidth=2.5, linestyle="", label="untrained")
    axes.set(
        xlabel=f"specialisation: change on {about} (points)\nellipse: {confidence:.0%} region for both changes at once",
        ylabel="robustness: change on the\nother benchmarks (points)",
    )
    _legend_below(figure, axes)
    return figure


def heat(table: pd.DataFrame, arms: Sequence[str], column: str = "vs_untrained") -> Figure:
    """Benchmark × arm: change in points as colour, with its interval written in the cell. table: `stats.comparison`.

    Blue is better, orange is worse; the colours have the same lightness at the same distance, so in grey the number tells.
    """
    part = _by_side(table.dropna(subset=[column]))
    shown = [arm for arm in arms if arm in set(part["arm"])]
    rows = list(dict.fromkeys(part["name"]))
    wide = 100 * part.pivot_table(index="name", columns="arm", values=column, sort=False).reindex(index=rows, columns=shown)
    low, high = (100 * part.pivot_table(index="name", columns="arm", values=f"{column}_{end}", sort=False).reindex(index=rows, columns=shown)
                 for end in ("low", "high"))  # fmt: skip
    most = max(float(np.nanmax(np.abs(wide.to_numpy()))), 0.5)
    figure, axes = plt.subplots(figsize=(3.4 + 1.3 * len(shown), 1.4 + 0.42 * len(rows)))
    cmap = sns.diverging_palette(35, 250, s=85, l=65, as_cmap=True)
    image = axes.imshow(wide, cmap=cmap, vmin=-most, vmax=most, aspect="auto")
    for (y, x), value in np.ndenumerate(wide.to_numpy()):
        if np.isfinite(value):
            told = f"{value:+z.1f}\n[{low.iat[y, x]:+z.1f}, {high.iat[y, x]:+z.1f}]".replace("-", "−")
            axes.text(x, y, told, ha="center", va="center", fontsize=8.5, color="black")
    axes.set_xticks(range(len(shown)), shown, rotation=20, ha="right")
    axes.set_yticks(range(len(rows)), part.drop_duplicates("name")["label"], fontsize=10)
    axes.grid(False)
    _mark_sides(axes, part)
    label = f"change {column.replace('vs_', 'from ')} (points)"
    bar = make_axes_locatable(axes).append_axes("top", size=0.12, pad=0.1)  # inches, whatever the number of rows
    figure.colorbar(image, cax=bar, orientation="horizontal", label=label)
    bar.xaxis.set_ticks_position("top")
    bar.xaxis.set_label_position("top")
    figure.tight_layout()
    return figure


def learned(spread: pd.DataFrame, arms: Sequence[str]) -> Figure:
    """Learning of format and learning of answers told apart, and groups without a spread, over steps.

    spread: `mechanism.group_spread`. Lines are means over seeds of a running mean over a tenth of the run, the band spans the seeds.
    """
    figure, grid = plt.subplots(2, 2, figsize=(7.2, 5.6), sharex=True)
    shown = [arm for arm in arms if arm in set(spread["arm"])]
    smooth = _running(spread, list(LEARNED), int(spread["step"].max() // 10))
    for axes, (column, name) in zip(grid.flat, LEARNED.items(), strict=True):
        sns.lineplot(smooth, x="step", y=column, hue="arm", hue_order=shown, palette=colours(arms), style="arm", style_order=shown,
                     errorbar=("pi", 100), ax=axes, legend=axes is grid.flat[0])  # fmt: skip
        axes.set(xlabel="optimiser step", ylabel=name, ylim=(0, 1.02))
        axes.xaxis.get_major_locator().set_params(integer=True)
    _legend_below(figure, grid.flat[0])
    return figure


def _legend_below(figure: Figure, axes: Axes) -> None:
    """The one legend of a figure, below all its panels."""
    handles, labels = axes.get_legend_handles_labels()
    if axes.get_legend():
        axes.get_legend().remove()
    figure.tight_layout()
    figure.legend(
        handles,
        labels,
        loc="upper center",
        bbox_to_anchor=(0.5, 0),
        ncols=_columns(labels),
        frameon=False,
        fontsize=10,
    )


def power_curve(table: pd.DataFrame, marks: pd.DataFrame) -> Figure:
    """Smallest detectable difference over the number of items, one line a number of seeds. table: items, seeds, detectable.

    marks: items, name, difference: differences the paper states, to be compared with the lines.
    """
    figure, axes = plt.subplots(figsize=(7, 4.4))
    for (seeds, line), style, colour in zip(table.groupby("seeds"), LINES, KINDS, strict=False):
        axes.plot(
            line["items"],
            100 * line["detectable"],
            style,
            color=colour,
            label=f"{seeds} seed{'s' if seeds > 1 else ''}",
            linewidth=2,
        )
    for row, marker in zip(marks.itertuples(), MARKERS * 4, strict=False):
        axes.plot(
            row.items,
            100 * abs(row.difference),
            marker,
            color="black",
            markersize=7,
            fillstyle="none",
            linestyle="",
            label=row.name,
        )
    axes.set(xscale="log", yscale="log", xlabel="items (log scale)", ylabel="smallest detectable difference\n(points, log scale)")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(lambda value, _: f"{value:,.10g}")
        axis.set_minor_formatter(NullFormatter())
    _legend_below(figure, axes)
    return figure


def reflection(table: pd.DataFrame, arms: Sequence[str]) -> Figure:
    """Rate of re-examination over training, length held constant. table: arm, seed, phase, standardised (`mechanism.reflection`)."""
    figure, axes = plt.subplots(figsize=(7, 3.8))
    shown = [arm for arm in arms if arm in set(table["arm"])]
    sns.lineplot(table.assign(percent=100 * table["standardised"]), x="phase", y="percent", hue="arm", hue_order=shown, palette=colours(arms), style="arm",
                 style_order=shown, markers=_markers(shown), dashes=False, sort=False,
                 errorbar=("pi", 100), err_kws={"alpha": 0.08}, ax=axes)  # fmt: skip
    axes.set(xlabel="part of the training", ylabel="completions with a marker of\nre-examination (%, length held constant)")
    axes.set_ylim(0, None)
    _legend_below(figure, axes)
    return figure


def sized_reflection(table: pd.DataFrame, arms: Sequence[str]) -> Figure:
    """Change of the re-examination rate over the number of training questions. table: arm, size, change, low, high."""
    figure, axes = plt.subplots(figsize=(6, 3.8))
    _side_by_side(axes, table.rename(columns={"size": "x"}), arms)
    axes.axhline(0, color="0.5", linewidth=1)
    axes.set(
        xlabel="training questions (arms of one size side by side)",
        ylabel="change of the re-examination rate\n(points, last − first third)",
    )
    _legend_below(figure, axes)
    return figure


def forest(table: pd.DataFrame, arms: Sequence[str], column: str = "vs_untrained") -> Figure:
    """Change of each arm on each benchmark with its interval, in points. table: `stats.comparison`."""
    part = _by_side(table.dropna(subset=[column]))
    rows = list(dict.fromkeys(part["name"]))
    shown = [arm for arm in arms if arm in set(part["arm"])]
    figure, axes = plt.subplots(figsize=(7.2, 0.9 + (0.13 * len(shown) + 0.2) * len(rows)))
    palette, markers = colours(arms), dict(zip(arms, MARKERS * 4, strict=False))
    for place, arm in enumerate(shown):
        mine = part[part["arm"] == arm].set_index("name").reindex(rows)
        at = [row + 0.7 * ((place + 0.5) / len(shown) - 0.5) for row in range(len(rows))]
        error = [100 * (mine[column] - mine[f"{column}_low"]), 100 * (mine[f"{column}_high"] - mine[column])]
        axes.errorbar(100 * mine[column], at, xerr=error, fmt=markers.get(arm, "o"), color=palette[arm], label=arm, capsize=2)
    axes.axvline(0, color=palette["untrained"], linewidth=1)
    axes.set_yticks(range(len(rows)), part.drop_duplicates("name")["label"], fontsize=10)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlabel(f"change {column.replace('vs_', 'from ')} (points)")
    _mark_sides(axes, part)
    _legend_below(figure, axes)
    return figure


def _by_side(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of `stats.comparison`, one side of the study after the other. Columns besides: name (unique), label (with the number of items)."""
    order = {side: place for place, side in enumerate((*SIDES, "whole"))}
    part = table.sort_values("group", key=lambda groups: groups.map(order), kind="stable")
    part = part.assign(name=names(part))
    plain = part["name"].str.replace(rf": (?:{'|'.join(SIDES)})| \(whole\)", "", regex=True)  # the side stands on the right
    return part.assign(label=plain + [f" (n = {items:,})" for items in part["items"]])


def _mark_sides(axes: Axes, part: pd.DataFrame) -> None:
    """Say on the right which side of the study the rows belong to, with a line between sides."""
    rows = part.drop_duplicates("name")["group"].reset_index(drop=True)
    for side, places in rows.groupby(rows, sort=False).groups.items():
        if places[0]:
            axes.axhline(places[0] - 0.5, color="0.3", linewidth=0.8)
        axes.text(1.01, (places[0] + places[-1]) / 2, side, transform=axes.get_yaxis_transform(), fontsize=9,
                  rotation=270 if len(places) > 2 else 0, va="center")  # fmt: skip


def names(table: pd.DataFrame) -> pd.Series:
    """Benchmark names for readers: without what the project adds to them, with the answer filter where there are two."""
    plain = table["benchmark"].str.removeprefix("starter_").str.removesuffix("_mirror").str.replace("_", " ")
    if "group" in table:
        plain = plain.where(table["group"] != "whole", plain + " (whole)")
    return plain.where(table["filter"] == "none", plain + " (" + table["filter"].str.split("-").str[0] + ")")


def agreement(table: pd.DataFrame, filters: Sequence[str]) -> Figure:
    """Filters × filters: Cohen's kappa of their labels, and how often they share a wrong option beyond their favourite letters.

    table: one row a pair, columns first, second, kappa, same_wrong, same_wrong_letters (`difficulty.agreement`).
    """
    figure, axes = plt.subplots(1, 2, figsize=(7.6, 1.6 + 0.6 * len(filters)))
    excess = table.assign(excess=100 * (table["same_wrong"] - table["same_wrong_letters"]))
    for ax, column, title, form, ends in (
        (axes[0], "kappa", "same labels (kappa)", ".2f", (0, 1)),
        (axes[1], "excess", "same wrong option,\nmore than by letters (points)", "+.0f", (0, 50)),
    ):
        wide = pd.DataFrame(np.nan, index=list(filters), columns=list(filters))
        for row in excess.itertuples():
            wide.loc[row.first, row.second] = wide.loc[row.second, row.first] = getattr(row, column)
        sns.heatmap(wide, annot=True, fmt=form, cmap="Blues", cbar=False, ax=ax, annot_kws={"fontsize": 10}, linewidths=1,
                    vmin=ends[0], vmax=ends[1])  # fmt: skip
        ax.set_title(title)
        ax.grid(False)
        ax.tick_params(axis="y", rotation=0)
        plt.setp(ax.get_xticklabels(), rotation=25, ha="right")
    figure.tight_layout()
    return figure


def matrix(table: pd.DataFrame, label: str, fmt: str = ".2f") -> Axes:
    """A square table (filters × filters, arms × arms) as a heat map with its numbers."""
    size = 1.1 * len(table) + 2
    _, axes = plt.subplots(figsize=(size + 0.8, size * 0.75))
    sns.heatmap(table, annot=True, fmt=fmt, cmap="cividis", cbar_kws={"label": label}, square=True, ax=axes)
    axes.tick_params(axis="y", rotation=0)
    axes.tick_params(axis="x", rotation=25)
    return axes
