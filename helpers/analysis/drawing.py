"""Shared parts of the figures: style, colours and markers of arms, legends, captions, and how a figure is saved and shown."""

import base64
import io
import textwrap
from collections.abc import Mapping, Sequence
from html import escape
from itertools import cycle
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from IPython import get_ipython
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from helpers.analysis.names import signed
from helpers.study.files import atomic, write_table

# Black, then colours of seaborn's "colorblind", Okabe and Ito, and Tol's "muted": any two differ for colour-blind readers, too.
COLOURS = ["#000000", "#0173b2", "#d55e00", "#56b4e9", "#332288", "#882255", "#ca9161", "#de8f05", "#029e73", "#117733",
           "#cc78bc"]  # fmt: skip
MARKERS = "osXDvP*^dhp"
ARMS = {  # places in COLOURS and MARKERS, the same in every study
    "random": 0, "self": 1, "hard400-easy100": 1, "hard500": 2, "easy500": 3, "half": 4, "hardest-solvable": 5, "random-reward": 6,
    "gemma-3-270m": 7, "smaller": 8, "larger": 9, "random-search": 10}  # fmt: skip
UNTRAINED_GREY = "0.44"
LINES = ("-", "--", ":", "-.")
KINDS = ["#0072B2", "#D55E00", "#E69F00", "#999999", "#56B4E9"]  # Okabe and Ito 2008, distinct for colour-blind readers
HATCHES = ("", "///", "...", "xx", "\\\\\\")  # so that kinds differ in grey, too
LEGEND_COLUMNS = 4
BANDS = 4  # arms whose curves have bands
WIDE = 24  # letters of a legend entry; a legend with longer ones has two columns


class Picture:
    """A saved figure as PNG with a text for those who do not see it; notebooks show it, and sections of the report contain it."""

    def __init__(self, figure: Figure) -> None:
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=110, bbox_inches="tight")
        self.png, self.alt = base64.b64encode(buffer.getvalue()).decode(), figure.get_label()

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, str], dict[str, Any]]:
        return {"image/png": self.png}, {"image/png": {"alt": self.alt}}

    @property
    def data(self) -> str:
        """The picture as an element of HTML."""
        return f'<img src="data:image/png;base64,{self.png}" alt="{escape(self.alt)}">'


def style() -> None:
    """Set fonts and grid for all figures of a notebook, and let a figure's label be its text for those who do not see it."""
    sns.set_theme(
        context="notebook",
        style="whitegrid",
        rc={"figure.dpi": 110, "axes.titlesize": 11, "svg.fonttype": "none", "svg.hashsalt": "study"},
    )
    shell = get_ipython()
    if shell:
        plt.close(plt.figure())  # loads the notebook's backend, which otherwise replaces our formatter with its own later
        shell.display_formatter.formatters["image/png"].for_type(Figure, _with_text)


def _with_text(figure: Figure) -> tuple[bytes, dict[str, str]]:
    """A figure as PNG, and its text as metadata, where reports take it from."""
    shown = Picture(figure)
    return base64.b64decode(shown.png), {"alt": shown.alt}


def places(arms: Sequence[str]) -> dict[str, int]:
    """The place of each arm in COLOURS and MARKERS: that of its name, or the first that the arms of this study leave free.

    >>> places(["mine", "random", "self", "hard400-easy100"])
    {'mine': 2, 'random': 0, 'self': 1, 'hard400-easy100': 3}
    """
    named = {ARMS.get(arm) for arm in arms}
    free = cycle([place for place in range(1, len(COLOURS)) if place not in named] or range(1, len(COLOURS)))
    found: dict[str, int] = {}
    for arm in arms:
        place = ARMS.get(arm)
        found[arm] = next(free) if place is None or place in found.values() else place
    return found


def colours(arms: Sequence[str]) -> dict[str, str]:
    """The colour of each arm, the same in every study; random is black, and the untrained model grey. After eleven arms they repeat."""
    return {arm: COLOURS[place] for arm, place in places(arms).items()} | {"untrained": UNTRAINED_GREY}


def markers(arms: Sequence[str]) -> dict[str, str]:
    """The marker of each arm, the same in every study; after eleven arms they repeat."""
    return {arm: MARKERS[place] for arm, place in places(arms).items()}


def lines(axes: Axes, table: pd.DataFrame, y: str, arms: Sequence[str], marked: bool = False, **options: Any) -> None:
    """One line per arm: the mean over seeds, with a band from the lowest to the highest seed unless many arms would hide each other.

    table: arm, step (or options' x), y.
    """
    shown = [arm for arm in arms if arm in set(table["arm"])]
    how = {
        "x": "step",
        "errorbar": ("pi", 100) if len(shown) <= BANDS else None,
        "palette": colours(arms),
        "markers": markers(arms) if marked else False,
    } | options
    sns.lineplot(table, y=y, hue="arm", hue_order=shown, style="arm", style_order=shown, ax=axes, **how)


def side_by_side(axes: Axes, rows: pd.DataFrame, arms: Sequence[str]) -> None:
    """Each arm's change in points at its x with its interval; arms with the same x beside each other. rows: arm, x, change, low, high."""
    palette, marker = colours(arms), markers(arms)
    width = 0.045 * (rows["x"].max() - rows["x"].min())
    for row in rows.itertuples():
        beside = list(rows.loc[rows["x"] == row.x, "arm"])
        at = row.x + width * (beside.index(row.arm) - (len(beside) - 1) / 2)
        away = [[max(0, 100 * (row.change - row.low))], [max(0, 100 * (row.high - row.change))]]
        axes.errorbar(at, 100 * row.change, yerr=away, fmt=marker[row.arm], color=palette[row.arm], capsize=3, label=row.arm)


def hatch(axes: Axes) -> None:
    """Give each kind of a stacked bar its hatching."""
    for bars, pattern in zip(axes.containers, HATCHES, strict=False):
        plt.setp(bars, hatch=pattern)


def finished(figure: Figure, text: str, legend: Axes | None = None) -> Figure:
    """The figure with its text for those who do not see it and, below all its panels, the legend of one of them."""
    figure.set_label(text)
    if legend and legend.get_legend():
        legend.get_legend().remove()
    figure.tight_layout()
    if legend:
        handles, labels = legend.get_legend_handles_labels()
        how = {"loc": "upper center", "bbox_to_anchor": (0.5, 0), "frameon": False, "fontsize": 10}
        figure.legend(handles, labels, ncols=_columns(labels), **how)
    return figure


def _columns(labels: Sequence[str]) -> int:
    """Columns of a legend: as many as fit, with rows of nearly equal length."""
    most = 2 if max(map(len, labels), default=0) > WIDE else LEGEND_COLUMNS
    rows = max(1, -(-len(labels) // most))
    return max(1, -(-len(labels) // rows))


def caption(figure: Figure, text: str) -> None:
    """Write a caption below a figure and its legend, for instance what its bars are and over how many seeds."""
    entries = [[entry.get_text() for entry in legend.get_texts()] for legend in figure.legends]
    below = 0.15 + sum(0.1 + 0.25 * -(-len(labels) // _columns(labels)) for labels in entries)  # inches
    wrapped = "\n".join(textwrap.wrap(text, int(13 * figure.get_figwidth())))
    figure.text(0.01, -below / figure.get_figheight(), wrapped, fontsize=9.5, va="top", color="0.25")


def picture(figure: Figure, table: pd.DataFrame, path: Path, text: str) -> Picture:
    """Write a figure with its caption as PNG (200 dpi) and SVG, and its table as CSV beside it; returns it for a notebook to show."""
    caption(figure, text)
    for ending in (".png", ".svg"):
        with atomic(path.with_suffix(ending)) as partial:
            dated = {"metadata": {"Date": None}} if ending == ".svg" else {}  # the same figure is the same file
            figure.savefig(partial, dpi=200, bbox_inches="tight", **dated)
    write_table(table, path.with_suffix(".csv"))
    plt.close(figure)
    return Picture(figure)


def in_words(values: Mapping[Any, float], form: str = "") -> str:
    """Values with their names, for the text of a figure. form: of the numbers, if not that of `names.signed`.

    >>> in_words({"random": 0.51, "self": -1})
    'random +0.5, self -1.0'
    """
    return ", ".join(
        f"{name} {format(value, form) if form else signed(value)}" for name, value in values.items() if np.isfinite(value)
    )


def ends_in_words(table: pd.DataFrame, column: str, x: str = "step", form: str = ".2f") -> str:
    """The mean over seeds at the first and the last x of each arm, for the text of a figure: 'random 0.50 to 0.62, self …'."""
    parts = []
    for arm, rows in table.dropna(subset=[column]).groupby("arm", sort=False):
        mean = rows.groupby(x, sort=False)[column].mean()
        parts.append(f"{arm} {mean.iloc[0]:{form}} to {mean.iloc[-1]:{form}}")
    return ", ".join(parts)
