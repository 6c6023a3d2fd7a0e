"""Figures over the course of training: rewards, format and answers, held-out questions, re-examination."""

from collections.abc import Iterable, Mapping, Sequence

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from helpers.analysis.drawing import colours, ends_in_words, finished, in_words, lines, side_by_side

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
    "searched": "rollouts that search\n(share)",
    "right_found": "of these: right option in\nthe passages (%)",
    "wrong_found": "wrong options in\nthe passages (%)",
}
HELD_OUT = {
    "valid": "answers in the right format\n(share of held-out questions)",
    "accuracy": "right answers\n(share of held-out questions)",
}
FEW = 30  # markers on every step of a longer run would hide the lines


def _panels(
    table: pd.DataFrame,
    names: Mapping[str, str],
    arms: Sequence[str],
    text: str,
    marked: bool,
    zero: bool = True,
    runs: bool = False,
) -> Figure:
    """One panel per column, two beside each other (three if there are three): a line per arm over the steps, with a band over its seeds.

    names: column → label. text: for `finished`. zero: axes begin at 0, and those of shares and rewards end at the highest possible value.
    runs: also draw a thin line for each seed.
    """
    columns = 3 if len(names) == 3 else 2
    rows = -(-len(names) // columns)
    figure, grid = plt.subplots(rows, columns, figsize=(3.6 * columns, 2.3 * rows + 1.3), sharex=True, squeeze=False)
    for axes, (column, name) in zip(grid.flat, names.items(), strict=False):
        known = table.dropna(subset=column)
        if len(known):
            lines(axes, known, column, arms, marked, markersize=5, legend=axes is grid.flat[0])
        if runs:
            for (arm, _), run in known.groupby(["arm", "seed"]):
                axes.plot(run["step"], run[column], color=colours(arms)[arm], linewidth=0.8, alpha=0.7)
        axes.set(xlabel="optimiser step", ylabel=name)
        if zero:
            top = 2 if "(0 to 2)" in name else 1 if "share" in name or "(0 to 1)" in name else axes.get_ylim()[1]
            axes.set_ylim(-0.03 * top, 1.04 * top)  # room for markers at both ends
        axes.xaxis.get_major_locator().set_params(integer=True)
    if len(names) % columns:
        grid[-1, 1].set_visible(False)
        grid[-2, 1].tick_params(labelbottom=True)
        grid[-2, 1].xaxis.label.set_visible(True)
    return finished(figure, text, grid[0, 0])


def _running(table: pd.DataFrame, columns: Iterable[str], part: int) -> pd.DataFrame:
    """Running means of the columns over one of so many parts of each run's steps; a run of fewer steps stays as it is."""
    smooth, window = table.sort_values("step"), int(table["step"].max() // part)
    for column in columns if window > 1 else ():
        runs = smooth.groupby(["arm", "seed"])[column]
        smooth[column] = runs.transform(lambda values: values.rolling(window, min_periods=1).mean())
    return smooth


def reward_curves(logs: pd.DataFrame, arms: Sequence[str]) -> Figure:
    """Each reward, zero-variance groups, length, truncation and entropy over steps; mean over seeds with a band.

    logs: one row per arm, seed and optimiser step, with the columns of CURVES. Lines are running means over a twentieth of the
    run; the band spans the seeds; one seed has a line only.
    """
    names = {column: name for column, name in CURVES.items() if column in logs and logs[column].notna().any()}
    smooth = _running(logs, names, 20)
    ends = ends_in_words(smooth, "reward_accuracy") if "reward_accuracy" in names else ""
    text = f"Training curves over {logs['step'].max()} steps. Accuracy reward from first to last step: {ends}."
    return _panels(smooth, names, arms, text, logs["step"].nunique() <= FEW)


def learned(spread: pd.DataFrame, arms: Sequence[str]) -> Figure:
    """Learning of the format and of the answers shown separately, and zero-variance groups, over steps.

    spread: `mechanism.group_spread`. Lines are means over seeds of a running mean over a tenth of the run, the band spans the seeds.
    """
    smooth = _running(spread, LEARNED, 10)
    valid, right = (ends_in_words(smooth, column) for column in ("valid", "right_if_valid"))
    text = f"Format and answers from first to last step. share in the right format: {valid}; share right among those: {right}."
    return _panels(smooth, LEARNED, arms, text, marked=False)


def duration(table: pd.DataFrame, arms: Sequence[str]) -> Figure:
    """Held-out questions over the course of training: valid answers and accuracy. table: arm, seed, step, valid, accuracy."""
    ends = ends_in_words(table, "accuracy")
    text = f"Share of held-out questions answered right, from the first to the last step: {ends}."
    return _panels(table, HELD_OUT, arms, text, marked=True, zero=False)


def searches(table: pd.DataFrame, arms: Sequence[str]) -> Figure:
    """Searching over the course of training: who searched and what was found, with a line for each seed, because some seeds of an arm may stop
    searching. table: `searching.by` arm, seed and step."""
    percent = {name: 100 * table[name] for name in ("right_found", "wrong_found")}
    smooth = _running(table.assign(**percent), SEARCHES, 10)
    last = smooth.groupby(["arm", "seed"], sort=False)["searched"].last()
    each = in_words({f"{arm}, seed {seed}": share for (arm, seed), share in last.items()}, ".2f")
    text = f"Share of rollouts that search, from first to last step: {ends_in_words(smooth, 'searched')}; last step of each run: {each}."
    figure = _panels(smooth, SEARCHES, arms, text, table["step"].nunique() <= FEW, runs=True)
    options = figure.axes[1:3]
    plt.setp(options, ylim=(0, max(axes.get_ylim()[1] for axes in options)))  # right and wrong options on one scale
    return figure


def reflection(table: pd.DataFrame, arms: Sequence[str]) -> Figure:
    """Rate of re-examination over training, length held constant. table: arm, seed, phase, standardised (`mechanism.reflection`)."""
    figure, axes = plt.subplots(figsize=(7, 3.8))
    percent = table.assign(percent=100 * table["standardised"])
    lines(axes, percent, "percent", arms, True, x="phase", dashes=False, sort=False, err_kws={"alpha": 0.08})
    axes.set(xlabel="part of the training", ylabel="completions with a marker of\nre-examination (%, length held constant)")
    axes.set_ylim(0, None)
    ends = ends_in_words(percent, "percent", "phase", ".1f")
    text = f"Completions with a marker of re-examination, in percent, first to last third: {ends}."
    return finished(figure, text, axes)


def sized_reflection(table: pd.DataFrame, arms: Sequence[str]) -> Figure:
    """Change of the re-examination rate over the number of training questions. table: arm, size, change, low, high."""
    figure, axes = plt.subplots(figsize=(6, 3.8))
    side_by_side(axes, table.rename(columns={"size": "x"}), arms)
    axes.axhline(0, color="0.5", linewidth=1)
    axes.set(xlabel="training questions (arms of one size side by side)",
             ylabel="change of the re-examination rate\n(points, last − first third)")  # fmt: skip
    changes = in_words(100 * table.set_index("arm")["change"])
    return finished(figure, f"Change of the re-examination rate in points: {changes}.", axes)
