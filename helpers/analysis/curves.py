"""Figures over the course of training: rewards, format and answers, held-out questions, re-examination."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from helpers.analysis.drawing import ends_in_words, in_words, legend_below, lines, side_by_side

CURVES = {
    "reward_accuracy": "accuracy reward (0 to 2)",
    "reward_format": "format reward (0 to 2)",
    "reward_xml_count": "tag reward (0 to 1)",
    "frac_reward_zero_std": "zero-variance groups\n(share)",
    "completion_length": "completion length (tokens)",
    "clipped_share": "truncated completions\n(share)",
    "entropy": "entropy (nats per token)",
}
LEARNED = {
    "valid": "completions in the\nright format (share)",
    "right_if_valid": "right answers among\nvalid ones (share)",
    "flat_reward": "zero-variance groups,\nwhole reward (share)",
    "flat_accuracy": "zero-variance groups,\naccuracy only (share)",
}
SEARCHES = {
    "searched": "rollouts that search",
    "found": "of these: passages found",
    "right_found": "of these: right option in the passages",
    "wrong_found": "wrong options in the passages",
}
HELD_OUT = {"valid": "answers in the right format", "accuracy": "right answers"}


def reward_curves(logs: pd.DataFrame, arms: Sequence[str]) -> Figure:
    """Each reward, zero-variance groups, length, truncation and entropy over steps; mean over seeds with a band.

    logs: one row per arm, seed and optimiser step, with the columns of CURVES. Lines are running means over a twentieth of the
    run; the band spans the seeds; one seed has a line only.
    """
    columns = [column for column in CURVES if column in logs and logs[column].notna().any()]
    smooth = _running(logs, columns, int(logs["step"].max() // 20))
    rows = -(-len(columns) // 2)
    figure, grid = plt.subplots(rows, 2, figsize=(7.2, 2.5 * rows), sharex=True)
    few = logs["step"].nunique() <= 30  # markers on every step of a long run would hide the lines
    for axes, column in zip(grid.flat, columns, strict=False):
        lines(axes, smooth, column, arms, few, markersize=5, legend=axes is grid.flat[0])
        axes.set(xlabel="optimiser step", ylabel=CURVES[column])
        axes.set_ylim(0, 1.02 if "share" in CURVES[column] else None)
        axes.xaxis.get_major_locator().set_params(integer=True)
    for axes in grid.flat[len(columns) :]:
        axes.set_visible(False)
    for axes in grid.flat[max(0, len(columns) - 2) : len(columns)]:  # the lowest of each column
        axes.tick_params(labelbottom=True)
        axes.xaxis.label.set_visible(True)
    legend_below(figure, grid.flat[0])
    ends = ends_in_words(smooth, "reward_accuracy") if "reward_accuracy" in columns else ""
    figure.set_label(f"Training curves over {logs['step'].max()} steps. Accuracy reward from first to last step: {ends}.")
    return figure


def _running(table: pd.DataFrame, columns: Sequence[str], window: int) -> pd.DataFrame:
    """Running means of the columns over the steps of each run; a window of 1 or less changes nothing."""
    smooth = table.sort_values("step").copy()
    for column in columns if window > 1 else ():
        runs = smooth.groupby(["arm", "seed"])[column]
        smooth[column] = runs.transform(lambda values: values.rolling(window, min_periods=1).mean())
    return smooth


def learned(spread: pd.DataFrame, arms: Sequence[str]) -> Figure:
    """Learning of the format and of the answers shown separately, and zero-variance groups, over steps.

    spread: `mechanism.group_spread`. Lines are means over seeds of a running mean over a tenth of the run, the band spans the seeds.
    """
    figure, grid = plt.subplots(2, 2, figsize=(7.2, 5.6), sharex=True)
    smooth = _running(spread, list(LEARNED), int(spread["step"].max() // 10))
    for axes, (column, name) in zip(grid.flat, LEARNED.items(), strict=True):
        lines(axes, smooth, column, arms, legend=axes is grid.flat[0])
        axes.set(xlabel="optimiser step", ylabel=name, ylim=(0, 1.02))
        axes.xaxis.get_major_locator().set_params(integer=True)
    legend_below(figure, grid.flat[0])
    parts = [f"{what}: {ends_in_words(smooth, column)}" for column, what in
             (("valid", "share in the right format"), ("right_if_valid", "share right among those"))]  # fmt: skip
    figure.set_label(f"Format and answers from first to last step. {'; '.join(parts)}.")
    return figure


def duration(table: pd.DataFrame, arms: Sequence[str]) -> Figure:
    """Held-out questions over the course of training: valid answers and accuracy. table: arm, seed, step, valid, accuracy."""
    figure, grid = plt.subplots(1, 2, figsize=(7.6, 3.6), sharex=True)
    for axes, (column, title) in zip(grid, HELD_OUT.items(), strict=True):
        lines(axes, table, column, arms, True, legend=axes is grid[0])
        axes.set(title=title, xlabel="optimiser step", ylabel="share of held-out questions")
    legend_below(figure, grid[0])
    figure.set_label(
        f"Share of held-out questions answered right, from the first to the last step: {ends_in_words(table, 'accuracy')}."
    )
    return figure


def reflection(table: pd.DataFrame, arms: Sequence[str]) -> Figure:
    """Rate of re-examination over training, length held constant. table: arm, seed, phase, standardised (`mechanism.reflection`)."""
    figure, axes = plt.subplots(figsize=(7, 3.8))
    percent = table.assign(percent=100 * table["standardised"])
    lines(axes, percent, "percent", arms, True, x="phase", dashes=False, sort=False, err_kws={"alpha": 0.08})
    axes.set(xlabel="part of the training", ylabel="completions with a marker of\nre-examination (%, length held constant)")
    axes.set_ylim(0, None)
    legend_below(figure, axes)
    figure.set_label(
        f"Completions with a marker of re-examination, in percent, first to last third: {ends_in_words(percent, 'percent', 'phase', '.1f')}."
    )
    return figure


def sized_reflection(table: pd.DataFrame, arms: Sequence[str]) -> Figure:
    """Change of the re-examination rate over the number of training questions. table: arm, size, change, low, high."""
    figure, axes = plt.subplots(figsize=(6, 3.8))
    side_by_side(axes, table.rename(columns={"size": "x"}), arms)
    axes.axhline(0, color="0.5", linewidth=1)
    axes.set(xlabel="training questions (arms of one size side by side)",
             ylabel="change of the re-examination rate\n(points, last − first third)")  # fmt: skip
    legend_below(figure, axes)
    figure.set_label(f"Change of the re-examination rate in points: {in_words(100 * table.set_index('arm')['change'])}.")
    return figure


def searches(table: pd.DataFrame, arms: Sequence[str]) -> Figure:
    """Searching over the course of training: who searched and what was found. table: `searching.by` arm, seed and step."""
    figure, grid = plt.subplots(2, 2, figsize=(7.2, 5.2), sharex=True, sharey=True)
    smooth = _running(table, list(SEARCHES), int(table["step"].max() // 10))
    few = table["step"].nunique() <= 30
    for axes, (column, name) in zip(grid.flat, SEARCHES.items(), strict=True):
        lines(axes, smooth.dropna(subset=column), column, arms, few, legend=axes is grid.flat[0])
        axes.set(title=name, xlabel="optimiser step", ylabel="share", ylim=(-0.02, 1.02))
        axes.xaxis.get_major_locator().set_params(integer=True)
    legend_below(figure, grid.flat[0])
    figure.set_label(f"Share of rollouts that search, from first to last step: {ends_in_words(smooth, 'searched')}.")
    return figure
