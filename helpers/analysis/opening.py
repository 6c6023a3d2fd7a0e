"""The two sentences that open a report and the README: the answer of a study, and why it is not more certain."""

from __future__ import annotations

import re

import pandas as pd

from helpers.analysis import checks

OPENINGS = dict.fromkeys(("supports", "contradicts"), "What limits this study") | {"cannot tell": "Why this is inconclusive"}
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def answer(verdict: pd.DataFrame) -> str:
    """The answer to the study's question: the first sentence of the evidence for the first claim of `claims.verdict`."""
    if verdict["outcome"].iloc[0] not in ("supports", "contradicts", "cannot tell"):
        return "This study cannot say whether filtered questions teach more than random ones."
    return re.split(r"(?<=[.!?]) ", str(verdict["evidence"].iloc[0]), maxsplit=1)[0]


def reason(verdict: pd.DataFrame, warnings: pd.DataFrame) -> str:
    """Why there is no answer or an inconclusive one, or what to keep in mind if there is one; empty if no check explains it.

    warnings: the warnings of `helpers.analysis.checks`, columns what, where, value.
    """
    parts = [part for part in (_alike(warnings), _guessing(warnings)) if part]
    opens = OPENINGS.get(verdict["outcome"].iloc[0], "Why")
    return f"{opens}: {'; '.join(parts)}." if parts else ""


def limits(pairs: pd.DataFrame, warnings: pd.DataFrame) -> list[str]:
    """What the intervals of a study leave out, in sentences. pairs: `indices.pairs`; warnings as in `reason`."""
    found = []
    if ((pairs["draws"] == 1) & (pairs["seeds"] > 1)).any():
        found.append("All seeds of an arm trained on the same questions, so no interval covers the choice of another draw.")
    if (warnings["what"] == checks.ONE_STREAM).any():
        found.append(
            "All runs sampled their rollouts from one stream of random numbers (huggingface/trl#7040), so runs of different arms began alike."
        )
    return found


def _alike(warnings: pd.DataFrame) -> str:
    """Arms that share most of their questions, in words."""
    found = warnings.loc[warnings["what"] == checks.ALIKE, "value"].str.extract(r"([\d.]+) of ([\d.]+)").astype(float)
    if found.empty:
        return ""
    low, high, size = (f"{value:.0f}" for value in (found[0].min(), found[0].max(), found[1].max()))
    pairs = "one pair of arms shares" if len(found) == 1 else f"{_number(len(found))} pairs of arms share"
    return f"{pairs} {low if low == high else f'{low}–{high}'} of their {size} questions"


def _guessing(warnings: pd.DataFrame) -> str:
    """Filters that may only guess, in words."""
    names = list(warnings.loc[warnings["what"] == checks.GUESSES, "where"])
    filters = "one filter is" if len(names) == 1 else f"{_number(len(names))} filters are"
    return f"{filters} not shown to be right more often than guesses ({', '.join(names)})" if names else ""


def _number(count: int) -> str:
    return NUMBERS[count] if count < len(NUMBERS) else str(count)
