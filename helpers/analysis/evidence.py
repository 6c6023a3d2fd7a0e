"""The evidence behind a claim: differences of two models, corrected for their number, as figures and in a sentence."""

from collections.abc import Iterable, Mapping
from typing import Literal

import pandas as pd

from helpers.analysis import names
from helpers.analysis.indices import both_ways
from helpers.analysis.intervals import ALPHA, holm

Outcome = Literal["supports", "contradicts", "cannot tell", "not tested"]


def compared(pairs: pd.DataFrame, wanted: Iterable[tuple[str, str, str]]) -> pd.DataFrame:
    """second − first on an index, for each (first, second, group) that `indices.pairs` has in either direction; `corrected`."""
    rows = pd.DataFrame(wanted, columns=["first", "second", "group"]).merge(both_ways(pairs))
    return corrected(rows.assign(name=rows["second"] + " against " + rows["first"] + ", " + rows["group"]))


def from_untrained(rows: pd.DataFrame, what: str | None = None) -> pd.DataFrame:
    """Rows of `compare.comparison` as differences from the untrained model, named by arm and by `what`, else by benchmark."""
    ends = {"change": "", "low": "_low", "high": "_high", "p": "_p", "p_equal": "_p_equal"}
    table = pd.DataFrame({name: rows[f"vs_untrained{end}"] for name, end in ends.items()} | {"seeds": rows["seeds"]})
    return table.assign(draws=rows.get("draws", 1), name=rows["arm"] + ", " + (what or rows["benchmark"].map(names.benchmark)))


def corrected(rows: pd.DataFrame) -> pd.DataFrame:
    """The differences of one claim, their p-values corrected among themselves (Holm).

    Both tests are corrected: that of no difference (p_holm) and that of equivalence (p_equal_holm). Columns better, worse and equal
    say which differences are shown to be above zero, below zero, and smaller than the margin.
    """
    table = rows.assign(p_holm=holm(rows["p"]), p_equal_holm=holm(rows["p_equal"]), draws=rows.get("draws", 1))
    found = table["p_holm"] < ALPHA
    return table.assign(
        better=found & (table["change"] > 0), worse=found & (table["change"] < 0), equal=table["p_equal_holm"] < ALPHA
    )


def in_words(outcome: Outcome, rows: pd.DataFrame, effect: str, margin: str, claimed: str = "better") -> str:
    """What the differences of a claim show, in one sentence.

    effect: the claimed effect, such as "benefit of filtering"; claimed: the column of `corrected` that shows it. Where nothing is shown, the
    sentence has the interval of the only difference, or how large an effect the intervals of several allow (each on its own).
    """
    opposite = "worse" if claimed == "better" else "better"
    found, against, count = rows[claimed].sum(), rows[opposite].sum(), len(rows)
    if outcome == "supports":
        small = ", shown to be smaller than " + margin if rows.loc[rows[claimed], "equal"].all() else ""
        return f"We found a {effect}{small}."
    if outcome == "contradicts" and against:
        shown = "the comparison shows" if count == 1 else f"{against} of {count} comparisons show{'s' if against == 1 else ''}"
        small = f", and every difference is shown to be smaller than {margin}" if rows["equal"].all() else ""
        return f"We found no {effect}: {shown} {'a gain' if claimed == 'worse' else 'the opposite'}{small}."
    if outcome == "contradicts":
        return f"We found no relevant {effect}: every difference is shown to be smaller than {margin}."
    if found and against:
        return f"Inconclusive: {found} of {count} comparisons show a {effect}, {against} the opposite."
    if found:
        return f"Inconclusive: only {found} of {count} comparisons show a {effect}."
    sign = -1 if claimed == "worse" else 1
    if count == 1:
        low, high = 100 * rows[["low", "high"]].to_numpy()[0]
        sizes = {"loss": -low, "gain": high}
        ends = {kind: f"a {kind} of {size:.1f} points" for kind, size in sizes.items() if size > 0}
        this, that = ("loss", "gain") if sign < 0 else ("gain", "loss")
        if sizes[this].round(1) < float(margin.split()[0]) <= sizes[that].round(1):
            return (
                f"Inconclusive: we found no {effect}; the interval excludes a {this} of {margin} or more, but not {ends[that]}."
            )
        return f"Inconclusive: we found no {effect} and cannot rule out {' or '.join(ends.values())}."
    reach = (100 * sign * rows["high" if sign > 0 else "low"]).clip(lower=0).set_axis(rows["name"]).sort_values()
    ends = f"{reach.iloc[0]:.1f} ({reach.index[0]}) to {reach.iloc[-1]:.1f} points ({reach.index[-1]})"
    return f"Inconclusive: none of {count} comparisons shows a {effect}; depending on the comparison, the intervals allow up to {ends}."


def in_figures(rows: pd.DataFrame, margin: str = "the margin") -> str:
    """Every difference of a claim: change, interval, p after Holm's correction, and whether it is shown to be below the margin.

    The correction is for the differences of this claim; other tables correct for all of theirs. `basis` says so once above all claims.
    """
    small = {True: f", shown to be below {margin}", False: ""}
    return "; ".join(
        f"{row['name']}: {change(row, ' points')}, {p_in_words(row['p_holm'])}{small[row['equal']]}"
        for row in rows.to_dict("records")
    )


def basis(over: str, confidence: float) -> str:
    """What the numbers behind all claims have in common, to be said once above them. over: what the intervals cover (`runs_in_words`)."""
    return (
        f"The numbers below are differences with {100 * confidence:g} % confidence intervals {over}. Within each claim, the p-values of both tests "
        "(difference and equivalence) are adjusted for multiple comparisons (Holm); the intervals are not. "
        f"Tests are at the {100 * ALPHA:g} % level. Specialisation and robustness are indices, each the mean over several benchmarks. Equivalence is tested with two one-sided tests, which correspond to a {100 * (1 - 2 * ALPHA):g} % "
        "interval; a wider interval may extend past the margin."
    )


def finds(power: float, confidence: float) -> str:
    """What the smallest detectable difference means.

    >>> finds(0.8, 0.95)
    '80 % power, one test at the 5 % level'
    """
    return f"{100 * power:g} % power, one test at the {100 * (1 - confidence):.2g} % level"


def runs_in_words(seeds: int, draws: int = 1) -> str:
    """What the intervals of a study cover, in words; draws: the number of draws of questions."""
    if seeds == 1:
        return "over items, for the one seed that was run"
    return f"over items and {seeds} seeds, {'each with its own draw of questions' if draws > 1 else 'for one draw of questions'}"


def change(row: Mapping[str, float], unit: str = "", digits: int = 1) -> str:
    """A change and its interval, in points. digits: after the point.

    >>> change({"change": 0.05, "low": 0.021, "high": 0.079})
    '+5.0 [+2.1, +7.9]'
    """
    value, low, high = (names.signed(100 * row[name], digits) for name in ("change", "low", "high"))
    return f"{value}{unit} [{low}, {high}]"


def difference(row: Mapping[str, float], name: str) -> str:
    """The difference `name` of a row, whose ends are `name_low` and `name_high`, with its interval, in points."""
    return change({"change": row[name], "low": row[f"{name}_low"], "high": row[f"{name}_high"]})


def p_in_words(value: float) -> str:
    """A p-value to three decimals."""
    return f"p = {value:.3f}" if value >= 0.001 else "p < 0.001"
