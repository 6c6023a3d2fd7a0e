"""The evidence behind a claim: differences of two models, corrected for their number, as figures and in a sentence."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import pandas as pd

from helpers.analysis.intervals import ALPHA, holm

Outcome = Literal["supports", "contradicts", "cannot tell", "not tested"]


def difference(pairs: pd.DataFrame, first: str, second: str, group: str) -> pd.Series | None:
    """second − first on an index, whichever way round the table has it; None if it lacks the pair."""
    for one, two, sign in ((first, second, 1), (second, first, -1)):
        rows = pairs[(pairs["first"] == one) & (pairs["second"] == two) & (pairs["group"] == group)]
        if len(rows):
            row = rows.iloc[0].copy()
            if sign < 0:
                row["low"], row["high"], row["change"] = -row["high"], -row["low"], -row["change"]
            row["name"] = f"{second} against {first}, {group}"
            return row
    return None


def from_untrained(rows: pd.DataFrame, what: str | None = None) -> list[pd.Series]:
    """Rows of `compare.comparison` as differences from the untrained model, named by arm and by `what`, else by benchmark."""
    ends = {"change": "", "low": "_low", "high": "_high", "p": "_p", "p_equal": "_p_equal"}
    table = pd.DataFrame({name: rows[f"vs_untrained{end}"] for name, end in ends.items()} | {"seeds": rows["seeds"]})
    table["margin"] = rows.get("margin")
    table = table.assign(draws=rows.get("draws", 1), name=rows["arm"] + ", " + (what or rows["benchmark"]))
    return [row for _, row in table.iterrows()]


def corrected(rows: Iterable[pd.Series | None]) -> pd.DataFrame:
    """The differences of one claim, their p-values corrected among themselves (Holm).

    Both tests are corrected: that of no difference (p_holm) and that of equivalence (p_equal_holm). Columns better, worse and equal
    say which differences are shown to be above zero, below zero, and smaller than the margin.
    """
    table = pd.DataFrame([row for row in rows if row is not None])
    if table.empty:
        return table
    table = table.assign(p_holm=holm(table["p"]), p_equal_holm=holm(table["p_equal"]), draws=table.get("draws", 1))
    found = table["p_holm"] < ALPHA
    return table.assign(
        better=found & (table["change"] > 0), worse=found & (table["change"] < 0), equal=table["p_equal_holm"] < ALPHA
    )


def one_way(rows: pd.DataFrame, claimed: str, opposite: str) -> Outcome:
    """Supported if a difference goes the claimed way and none the opposite; contradicted if the reverse, or if all are equal."""
    this, that = rows[claimed].any(), rows[opposite].any()
    if this and not that:
        return "supports"
    return "contradicts" if (that and not this) or rows["equal"].all() else "cannot tell"


def in_words(outcome: Outcome, rows: pd.DataFrame, effect: str, claimed: str = "better") -> str:
    """What the differences of a claim show, in one sentence.

    effect: the claimed effect, such as "benefit of filtering"; claimed: the column of `corrected` that shows it.
    """
    opposite = "worse" if claimed == "better" else "better"
    found, against, count = int(rows[claimed].sum()), int(rows[opposite].sum()), len(rows)
    if outcome == "supports":
        return f"We found a {effect}."
    if outcome == "contradicts":
        small = f"every difference is shown to be smaller than {margin_in_words(rows)}"
        return f"We found the opposite of a {effect}." if against else f"There is no {effect} that matters: {small}."
    if found and against:
        return f"Inconclusive: {found} of {count} comparisons show a {effect}, {against} the opposite."
    if found:
        return f"Inconclusive: only {found} of {count} comparisons show a {effect}."
    reach = (
        100 * rows[["low", "high"]].abs().to_numpy().max()
    )  # the largest difference that the intervals do not exclude, in points
    number = f"{reach:.0f}" if reach >= 1 else f"{reach:.1f}"
    unit = "point" if number == "1" else "points"
    return f"Inconclusive: we found no {effect} and cannot rule out about {number} {unit} either way."


def in_figures(rows: pd.DataFrame) -> str:
    """Every difference of a claim: change, interval, p after Holm's correction, and whether it is shown to be below the margin."""
    parts, margin = [], margin_in_words(rows)
    for _, row in rows.iterrows():
        small = f", shown to be below {margin}" if row["equal"] else ""
        parts.append(f"{row['name']}: {points(row)}, {p_in_words(row['p_holm'])}{small}")
    over = runs_in_words(int(rows["seeds"].min()), int(rows["draws"].min()))
    return "; ".join(parts) + f" ({len(rows)} comparison{'s' if len(rows) > 1 else ''}, Holm; intervals {over})."


def margin_in_words(rows: pd.DataFrame) -> str:
    """The margin of equivalence, from the column of that name: "1 point"; "the margin" where the table does not have it.

    >>> margin_in_words(pd.DataFrame({"margin": [0.01, 0.01]}))
    '1 point'
    """
    if rows.get("margin") is None or rows["margin"].isna().any():
        return "the margin"
    size = f"{100 * rows['margin'].iloc[0]:g}"
    return f"{size} point" if size == "1" else f"{size} points"


def runs_in_words(seeds: int, draws: int = 1) -> str:
    """What the intervals of a study cover, in words; draws: the number of draws of questions."""
    if seeds == 1:
        return "over items, for the one seed that was run"
    return f"over items and {seeds} seeds, each with its own draw of questions" if draws > 1 else f"over items and {seeds} seeds, for one draw of questions"  # fmt: skip


def points(row: pd.Series) -> str:
    """A change and its interval, in points."""
    return f"{100 * row['change']:+z.1f} points [{100 * row['low']:+z.1f}, {100 * row['high']:+z.1f}]"


def p_in_words(value: float) -> str:
    """A p-value to three decimals."""
    return f"p = {value:.3f}" if value >= 0.001 else "p < 0.001"
