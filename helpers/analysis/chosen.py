"""The questions of an arm, in words and as a figure, for 02_split."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from helpers.analysis.plots import KINDS
from helpers.study.choices import Arm

BINS = 17  # one for each pass rate of 16 samples


def summary(pool: pd.DataFrame, chosen: pd.DataFrame, arm: Arm, model: str | None) -> str:
    """The answer of 02_split in two sentences: by which rule an arm chose, and how its questions differ from the pool.

    pool and chosen: with the columns of `difficulty.by_question`. model: the filter's, None without a filter.
    """
    by = f", as labelled by {model}" if model else ""
    rule = f"This arm trains on {len(chosen):,} of {len(pool):,} questions: {arm.rule}{by}."
    if model is None:
        lengths = (frame["question"].str.len().mean() for frame in (chosen, pool))
        return "{} Their mean length is {:.0f} characters; in the pool it is {:.0f}.".format(rule, *lengths)
    easy = ((frame["label"] == "easy").mean() for frame in (chosen, pool))
    return "{} {:.0%} of them are labelled easy, compared with {:.0%} of the pool.".format(rule, *easy)


def figure(pool: pd.DataFrame, chosen: pd.DataFrame) -> Figure:
    """The questions of an arm beside the pool: by pass rate if it is known from several samples, else by label, else by length."""
    drawn, axes = plt.subplots(figsize=(7, 2.4))
    frames, names = (pool, chosen), (f"pool ({len(pool):,})", f"this arm ({len(chosen):,})")
    if chosen["pass_rate_shrunk"].notna().any():
        _histogram(axes, [frame["pass_rate_shrunk"] for frame in frames], names, np.linspace(0, 1, BINS + 1))
        axes.set(xlabel="pass rate of the filter, shrunk towards the pool")
    elif (chosen["label"] != "unlabelled").any():
        shares = pd.DataFrame(
            {name: frame["label"].value_counts(normalize=True) for name, frame in zip(names, frames, strict=True)}
        )
        shares.reindex(["hard", "easy"]).T.iloc[::-1].plot.barh(stacked=True, ax=axes, color=[KINDS[1], KINDS[0]], width=0.6)
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
        axes.set(xlabel="share of the questions", xlim=(0, 1), ylabel="")
    else:
        lengths = [frame["question"].str.len() for frame in frames]
        _histogram(axes, lengths, names, np.linspace(0, lengths[0].quantile(0.99), BINS + 1))
        axes.set(xlabel="characters of the question")
    drawn.tight_layout()
    return drawn


def _histogram(axes: plt.Axes, values: list[pd.Series], names: tuple[str, ...], bins: np.ndarray) -> None:
    for shown, name, colour in zip(values, names, (KINDS[3], KINDS[0]), strict=True):
        shown = shown.dropna().clip(bins[0], bins[-1])
        axes.hist(shown, bins, weights=np.full(len(shown), 1 / max(1, len(shown))), alpha=0.6, color=colour, label=name)
    axes.set(ylabel="share")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
