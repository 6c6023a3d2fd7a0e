"""Each figure of the report: from a tidy table to matplotlib Axes. An arm has the same colour everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from helpers.files import atomic, write_table

CURVES = {
    "reward_accuracy": "accuracy reward (0 to 2)",
    "reward_format": "format reward (0 to 2)",
    "reward_xml_count": "tag reward (0 to 1)",
    "frac_reward_zero_std": "share of groups whose\nrollouts all score the same",
    "completion_length": "completion length (tokens)",
    "clipped_share": "share of completions cut off",
}
KINDS = ["#0072B2", "#D55E00", "#E69F00", "#999999", "#56B4E9"]  # Okabe and Ito 2008, seen by colour-blind readers


def style() -> None:
    """Set fonts and grid for all figures of a notebook."""
    sns.set_theme(context="notebook", style="whitegrid", rc={"figure.dpi": 110, "axes.titlesize": 11, "svg.fonttype": "none"})


def colours(arms: Sequence[str]) -> dict[str, tuple[float, float, float]]:
    """One colour an arm, by its place in the study; the untrained model is grey."""
    palette = sns.color_palette("colorblind", max(len(arms), 1))
    return dict(zip(arms, palette, strict=False)) | {"untrained": (0.35, 0.35, 0.35)}


def save(figure: Figure, table: pd.DataFrame, path: Path) -> None:
    """Write a figure as PNG (200 dpi) and SVG, and beside it the table it was drawn from, as CSV."""
    for ending in (".png", ".svg"):
        with atomic(path.with_suffix(ending)) as partial:
            figure.savefig(partial, dpi=200, bbox_inches="tight")
    write_table(table, path.with_suffix(".csv"))


def answer_kinds(rates: pd.DataFrame) -> Figure:
    """Stacked bars of what became of a filter's answers. rates: index filter, one column a kind, rows sum to 1."""
    figure, axes = plt.subplots(figsize=(7.5, 1.3 + 0.5 * len(rates)))
    rates.plot.barh(stacked=True, ax=axes, color=KINDS, width=0.6)
    axes.set(xlim=(0, 1), xlabel="share of answers", ylabel="")
    axes.invert_yaxis()
    axes.legend(loc="upper left", bbox_to_anchor=(0, -0.28 if len(rates) > 1 else -0.4), frameon=False, fontsize=9)
    return figure


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
    axes.invert_yaxis()
    axes.set(xlabel="training questions", ylabel="")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    return figure


def reward_curves(logs: pd.DataFrame, arms: Sequence[str]) -> Figure:
    """Rewards part by part, groups without spread, length and cut-offs over steps; mean over seeds with a band.

    logs: one row an arm, seed and optimiser step, with the columns of CURVES. The band spans the
    seeds; one seed draws a line only.
    """
    figure, grid = plt.subplots(2, 3, figsize=(11, 6), sharex=True)
    shown = [arm for arm in arms if arm in set(logs["arm"])]
    for axes, (column, name) in zip(grid.flat, CURVES.items(), strict=True):
        sns.lineplot(logs, x="step", y=column, hue="arm", hue_order=shown, palette=colours(arms), style="arm",
                     style_order=shown, markers=True, markersize=5, errorbar=("pi", 100), ax=axes, legend=axes is grid.flat[0])  # fmt: skip
        axes.set(xlabel="optimiser step", ylabel="", title=name)
        axes.set_ylim(0, 1.02 if "share" in name else None)
        axes.xaxis.get_major_locator().set_params(integer=True)
    handles, labels = grid.flat[0].get_legend_handles_labels()
    grid.flat[0].get_legend().remove()
    figure.tight_layout(rect=(0, 0.06, 1, 1))
    figure.legend(handles, labels, loc="lower center", ncols=max(len(labels), 1), frameon=False)
    return figure


def duration(table: pd.DataFrame, arms: Sequence[str]) -> Figure:
    """Held-out questions over the course of training: valid answers and accuracy. table: arm, seed, step, valid, accuracy."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharex=True)
    for ax, column, title in zip(axes, ("valid", "accuracy"), ("answers in the right format", "right answers"), strict=True):
        sns.lineplot(table, x="step", y=column, hue="arm", hue_order=list(arms), palette=colours(arms), marker="o", ax=ax,
                     errorbar=("pi", 100), legend=ax is axes[1])  # fmt: skip
        ax.set(title=title, xlabel="optimiser step", ylabel="share of held-out questions")
    axes[1].legend(frameon=False, fontsize=9)
    figure.tight_layout()
    return figure


def gap(table: pd.DataFrame) -> Figure:
    """Change of an arm over its filter's gap to the base. table: filter, gap, group, change, low, high."""
    groups = [group for group in ("specialisation", "robustness", "shift") if group in set(table["group"])]
    figure, axes = plt.subplots(1, len(groups), figsize=(3.8 * len(groups), 3.6), squeeze=False, sharey=True)
    for ax, group in zip(axes[0], groups, strict=True):
        rows = table[table["group"] == group]
        away = [100 * (rows["change"] - rows["low"]), 100 * (rows["high"] - rows["change"])]
        ax.errorbar(100 * rows["gap"], 100 * rows["change"], yerr=[side.clip(lower=0) for side in away], fmt="o", color=KINDS[0])
        for row in rows.itertuples():
            ax.annotate(row.filter, (100 * row.gap, 100 * row.change), xytext=(5, 5), textcoords="offset points", fontsize=8)
        ax.axhline(0, color="0.5", linewidth=1)
        ax.set(
            title=group, xlabel="filter's accuracy on the pool − the model's (points)", ylabel="change from untrained (points)"
        )
    figure.tight_layout()
    return figure


def plane(changes: pd.DataFrame, arms: Sequence[str], confidence: float) -> Figure:
    """Robustness against specialisation: change on the medical benchmarks (x) and on the others (y), in points.

    changes: arm, group, change, low, high (`stats.group_changes`).
    """
    figure, axes = plt.subplots(figsize=(6.4, 5.4))
    wide = changes.pivot(index="arm", columns="group")
    palette = colours(arms)
    markers = dict(zip(arms, "osD^vPX*", strict=False))
    for arm in [name for name in arms if name in wide.index]:
        row = wide.loc[arm] * 100
        x, y = row["change", "specialisation"], row["change", "robustness"]
        xerr = [[x - row["low", "specialisation"]], [row["high", "specialisation"] - x]]
        yerr = [[y - row["low", "robustness"]], [row["high", "robustness"] - y]]
        axes.errorbar(x, y, xerr=xerr, yerr=yerr, fmt=markers.get(arm, "o"), color=palette[arm], label=arm, markersize=8,
                      capsize=3, elinewidth=1.3)  # fmt: skip
    for line in (axes.axhline, axes.axvline):
        line(0, color=palette["untrained"], linewidth=1)
    axes.plot(0, 0, marker="+", color=palette["untrained"], markersize=12, linestyle="", label="untrained")
    axes.set(
        xlabel=f"specialisation: change on medical benchmarks\n(points, {confidence:.0%} interval over items)",
        ylabel="robustness: change on the other benchmarks\n(points)",
    )
    axes.legend(frameon=True, fontsize=9)
    figure.tight_layout()
    return figure


def forest(table: pd.DataFrame, arms: Sequence[str], column: str = "vs_untrained") -> Figure:
    """Change of each arm on each benchmark with its interval, in points. table: `stats.comparison`."""
    part = table.dropna(subset=[column]).copy()
    part["name"] = names(part)
    rows = list(dict.fromkeys(part["name"]))
    shown = [arm for arm in arms if arm in set(part["arm"])]
    figure, axes = plt.subplots(figsize=(8, 1.2 + (0.14 * len(shown) + 0.22) * len(rows)))
    palette, markers = colours(arms), dict(zip(arms, "osD^vPX*", strict=False))
    for place, arm in enumerate(shown):
        mine = part[part["arm"] == arm].set_index("name").reindex(rows)
        at = [row + 0.7 * ((place + 0.5) / len(shown) - 0.5) for row in range(len(rows))]
        error = [100 * (mine[column] - mine[f"{column}_low"]), 100 * (mine[f"{column}_high"] - mine[column])]
        axes.errorbar(100 * mine[column], at, xerr=error, fmt=markers.get(arm, "o"), color=palette[arm], label=arm, capsize=2)
    axes.axvline(0, color=palette["untrained"], linewidth=1)
    axes.set_yticks(range(len(rows)), rows)
    axes.invert_yaxis()
    axes.set_xlabel(f"change {column.replace('vs_', 'from ')} (points)")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    return figure


def names(table: pd.DataFrame) -> pd.Series:
    """Benchmark names for readers: without the project's prefix, with the answer filter where there are two."""
    plain = table["benchmark"].str.removeprefix("starter_").str.replace("_", " ")
    return plain.where(table["filter"] == "none", plain + " (" + table["filter"].str.split("-").str[0] + ")")


def matrix(table: pd.DataFrame, label: str, fmt: str = ".2f") -> Axes:
    """A square table (filters × filters, arms × arms) as a heat map with its numbers."""
    size = 1.1 * len(table) + 2
    _, axes = plt.subplots(figsize=(size + 0.8, size * 0.75))
    sns.heatmap(table, annot=True, fmt=fmt, cmap="cividis", cbar_kws={"label": label}, square=True, ax=axes)
    axes.tick_params(axis="y", rotation=0)
    axes.tick_params(axis="x", rotation=25)
    return axes
