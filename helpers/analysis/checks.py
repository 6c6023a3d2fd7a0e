"""Checks that warn when a number means less than it seems to. The report shows the warnings above the numbers.

Every function takes the tables of one step and returns its warnings, none if nothing was found. The traps behind them were reported by
others (huggingface/trl#5697, #6263, #3708; open-r1#235; lm-evaluation-harness#2432).
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from helpers.analysis import names
from helpers.analysis.answers import most_frequent_letter
from helpers.analysis.indices import ONE_LETTER
from helpers.analysis.intervals import ALPHA
from helpers.questions.text import LETTERS
from helpers.selection import composition

GUESSES = "A filter is not shown to be more accurate than guessing, so its labels say little about what the model knows"
ALIKE = "Two arms train on nearly the same questions, so a difference between them says little about the choice of questions"
ONE_CHOICE = "The draws of an arm are nearly the same for all seeds, so its intervals do not cover another choice of questions"
LETTER_PAYS = (
    "A model that always named one letter would be right on more of an arm's questions than the untrained model's sampled answers are, so the "
    "reward can rise without reading the questions"
)
ONE_STREAM = (
    "All runs sampled rollouts from the same random number stream, regardless of their seed (huggingface/trl#7040), so runs of different arms "
    "began with the same random numbers"
)
TRUNCATED = 1 / 3  # share of truncated completions above which their rewards and labels say little
BELOW_CHANCE = 4.0  # standard errors
SEVERAL = 3  # seeds of an arm that a warning counts instead of naming them
SHORT = 12  # characters of a value that can stand for others
SAME = 0.9  # share of common questions from which on two arms are nearly the same
ZERO_VARIANCE = 0.9  # share of zero-variance groups from which on a part of a training teaches almost nothing
ONE_ANSWER = 0.6  # the same answer in so large a share of completions,
ONE_ANSWER_STEPS = 10  # in so many steps in a row, is a collapse
DOMINANT = 0.5  # share of an arm's questions above which one letter is right too often


class Notice(NamedTuple):
    """A warning: what is wrong, where, and the value that shows it."""

    what: str
    where: str
    value: str = ""


def lines(notices: Iterable[Notice], models: int = 0) -> list[str]:
    """One line for each thing that is wrong, with all the places where it is; only the number of them if these are all `models`.

    >>> lines([Notice("too short", "a", "40%"), Notice("too long", "a"), Notice("too short", "b", "50%")])
    ['too short: a (40%), b (50%)', 'too long: a']
    >>> lines([Notice("one letter", "untrained", "B 90%"), *[Notice("one letter", f"a, seed {n}", f"B {80 + n}%") for n in range(5)]])
    ['one letter: untrained (B 90%), a, 5 seeds (B 80% to B 84%)']
    """
    found: dict[str, list[Notice]] = {}
    for one in notices:
        found.setdefault(one.what, []).append(one)
    whole = f"all {models} models, the untrained one included"
    return [f"{what}: {whole if len(ones) == models > 1 else _places(ones)}" for what, ones in found.items()]


def _places(notices: Sequence[Notice]) -> str:
    """Where one thing is wrong, in words; SEVERAL or more seeds of an arm are counted, with the smallest and largest of their values if these
    are short."""
    arms: dict[str, list[Notice]] = {}
    for one in notices:
        arms.setdefault(one.where.partition(", seed ")[0], []).append(one)
    said = []
    for arm, ones in arms.items():
        if len(ones) < SEVERAL:
            said += [f"{one.where} ({one.value})" if one.value else one.where for one in ones]
            continue
        values = sorted({one.value for one in ones}, key=_natural)
        short = max(map(len, values)) <= SHORT
        span = " to ".join(dict.fromkeys([values[0], values[-1]])) if short else "; ".join(values)
        said.append(f"{arm}, {len(ones)} seeds ({span})" if span else f"{arm}, {len(ones)} seeds")
    return ", ".join(said)


def _natural(text: str) -> list[tuple[float, str]]:
    """A key that sorts texts by the numbers in them, not by digits."""
    return [(float(part), "") if part[0].isdigit() else (0.0, part) for part in re.findall(r"[\d.]*\d|\D+", text)]


def _fired(where: str, *cases: tuple[bool, str, str]) -> list[Notice]:
    """The cases (applies, what, value) that apply, as warnings about one place."""
    return [Notice(what, where, value) for applies, what, value in cases if applies]


def filter_answers(labels: pd.DataFrame, filter: str, unparsed: float, chance: float = 0.0) -> list[Notice]:
    """Warnings about a filter's answers (columns finish_reason, predicted, correct, format_valid): too many are truncated, too many have
    no readable answer, no more are right than by guessing, or nearly all name one letter. chance: the share that guessing gets right, 0
    where nothing can be guessed."""
    cut, unread = (labels["finish_reason"] == "length").mean(), labels["predicted"].isna().mean()
    long = "More than a third of a filter's answers were truncated; raise its max_new_tokens"
    bare = f"No answer could be read from more than {unparsed:.0%} of a filter's completions, so the label hard reflects the format more than the questions"
    right, read = labels["correct"].mean(), labels.loc[labels["predicted"].notna(), "correct"].mean()
    form = f"{(labels['correct'] & labels['format_valid']).mean():.0%} right in the required format"
    guessed = f"{right:.0%} of all answers and {read:.0%} of the readable ones right, {form}, by guessing {chance:.0%}"
    found = _fired(
        filter,
        (cut > TRUNCATED, long, f"{cut:.0%}"),
        (unread > unparsed, bare, f"{unread:.0%}"),
        (chance > 0 and not knows(labels, chance), GUESSES, guessed),
    )
    return found + filter_letters(labels, filter)


def knows(labels: pd.DataFrame, chance: float) -> bool:
    """Whether a filter's answers (column correct) are shown to be right more often than guesses (exact binomial test, one-sided).

    chance: the share that guessing gets right; 0 where nothing can be guessed, and any right answer counts.
    """
    right = int(labels["correct"].sum())
    return binomtest(right, len(labels), chance, alternative="greater").pvalue <= ALPHA if chance else right > 0


def filter_letters(labels: pd.DataFrame, filter: str) -> list[Notice]:
    """Warning about a filter (column predicted) whose readable answers nearly all name one letter: its easy questions have that answer."""
    letter, share = most_frequent_letter(labels["predicted"].dropna())
    what = f"More than {ONE_LETTER:.0%} of a filter's readable answers name the same letter, so its easy questions are those with that answer"
    return _fired(filter, (share > ONE_LETTER, what, f"{letter} {share:.0%}"))


def arm_letters(chosen: pd.DataFrame, arm: str) -> list[Notice]:
    """Warning about an arm (column answer) that rewards one letter on most of its questions, so that always naming it pays."""
    letter, share = most_frequent_letter(chosen["answer"])
    what = "More than half of an arm's questions have the same letter as right answer, so always naming it is rewarded"
    return _fired(arm, (share > DOMINANT, what, f"{letter} {share:.0%}"))


def letter_pays(table: pd.DataFrame) -> list[Notice]:
    """Warnings about arms in most of whose draws the most frequent right letter has a larger share than the untrained model's sampled answers
    that are right, by more than two standard errors. table: `draws.composition` by draw, with the trained model's own pass rates."""
    draws = table[table["draw"] != "all"]
    share = draws["answer_share"]
    beyond = share - draws["pass_rate_mean"] - 2 * np.sqrt(share * (1 - share) / draws["questions"])
    pays = draws["answer"].isin(list(LETTERS)) & (beyond > 0)
    found = []
    for arm, rows in draws.groupby("arm", sort=False):
        count, own = int(pays[rows.index].sum()), rows[["answer_share", "pass_rate_mean"]].mean()
        value = f"{own['answer_share']:.0%} against {own['pass_rate_mean']:.0%}, in {count} of {len(rows)} draws"
        found += _fired(arm, (2 * count > len(rows), LETTER_PAYS, value))
    return found


def contamination(dropped: int, pool: int) -> list[Notice]:
    """Warning about pool questions that are in a benchmark."""
    what = "Pool questions that occur in a benchmark were dropped; 02_split lists them"
    return _fired(f"{dropped} of {pool}", (dropped > 0, what, ""))


def alike(common: pd.DataFrame) -> pd.DataFrame:
    """The rows of `draws.common` whose two arms train on nearly the same questions."""
    return common[(common["both"] >= SAME * common["larger"]) & (common["larger"] > 0)]


def arms(common: pd.DataFrame) -> list[Notice]:
    """Warnings about arms that train on nearly the same questions (common: `draws.common`)."""
    return [
        Notice(ALIKE, f"{row.first} and {row.second}", f"{row.both:.0f} of {row.larger:.0f}")
        for row in alike(common).itertuples()
    ]


def draws(questions: dict[str, pd.DataFrame]) -> list[Notice]:
    """Warnings about arms whose rule leaves so little choice that all their draws are nearly the same. questions: `draws.read`."""
    shares = {arm: composition.repeated(rows) for arm, rows in questions.items()}
    return [
        Notice(ONE_CHOICE, arm, f"two draws share {share:.0%} of their questions")
        for arm, share in shares.items()
        if share >= SAME
    ]


def training(log: pd.DataFrame, run: str, control: bool = False) -> list[Notice]:
    """Warnings about a training's log (columns clipped_share, frac_reward_zero_std and, if it has them, skipped, top_answer_share,
    accuracy_zero_variance): truncated completions, skipped steps, groups that teach nothing, and nearly always the same answer.

    control: the reward is random, so length, answers and their accuracy may go anywhere, and only the reward and the steps are checked.
    """
    truncated, flat, late = log["clipped_share"].mean(), log["frac_reward_zero_std"], log.tail(max(1, len(log) // 3))
    never, last = (flat >= 1).all(), late["frac_reward_zero_std"].mean()
    skipped = int(log["skipped"].sum()) if "skipped" in log else 0
    same = log["top_answer_share"] if "top_answer_share" in log else pd.Series(dtype=float)
    accuracy = late["accuracy_zero_variance"].mean() if "accuracy_zero_variance" in log else 0.0
    return _fired(
        run,
        (truncated > TRUNCATED and not control, "More than a third of a training's completions were truncated; raise train.max_completion_tokens",
         f"{truncated:.0%}"),
        (never, "All groups of a training had zero reward variance, so nothing was learned", ""),
        (last >= ZERO_VARIANCE and not never,
         "In the last third of a training almost all groups had zero reward variance, so little was learned there", f"{last:.0%} of the groups"),
        (skipped > 0, "Optimiser steps were skipped because their gradient was not finite", f"{skipped} of {len(log)}"),
        (same.rolling(ONE_ANSWER_STEPS).min().max() > ONE_ANSWER and not control,
         f"In {ONE_ANSWER_STEPS} consecutive steps of a training, more than {ONE_ANSWER:.0%} of the answers were the same",
         f"up to {same.max():.0%}"),
        (accuracy > ZERO_VARIANCE and not control,
         "In the last third of a training almost all groups had zero variance in accuracy, so at most the format was learned",
         f"{accuracy:.0%} of the groups"),
    )  # fmt: skip


def following(curve: pd.DataFrame, log: pd.DataFrame, run: str, control: bool = False) -> list[Notice]:
    """Warnings about accuracy on held-out questions during a training: it ends lower than it began, or falls from its best while the
    reward rises. curve: columns step, accuracy, n; log: columns step, reward. Differences of up to two standard errors are not reported.
    control: the reward is random, so that it rises by chance."""
    if len(curve) < 2:
        return []
    first, last, best = curve.iloc[0], curve.iloc[-1], curve.loc[curve["accuracy"].idxmax()]
    error = 2 * np.sqrt(max(first["accuracy"] * (1 - first["accuracy"]), 1 / last["n"]) / last["n"])
    before, end = f"{first['accuracy']:.1%} before", f"{last['accuracy']:.1%} at the end ({last['n']:.0f} questions)"
    rose = log["reward"].tail(max(1, len(log) // 3)).mean() > log.loc[log["step"] <= max(best["step"], 1), "reward"].mean()
    lower = "Accuracy on held-out questions is lower after a training than before it"
    astray = "The reward rose while accuracy on held-out questions fell, so the model learned something else"
    return _fired(
        run,
        (first["accuracy"] - last["accuracy"] > error, lower, f"{before}, {end}"),
        (
            best["accuracy"] - last["accuracy"] > error and rose and not control,
            astray,
            f"{before}, {best['accuracy']:.1%} at its best, {end}",
        ),
    )


def stopped(notes: dict[str, dict[str, Any]]) -> list[Notice]:
    """Warnings about trainings that were ended early (train.stop_on_collapse). notes: those beside the logs, by run."""
    what = "Trainings were stopped early because they had collapsed; their data is included"
    ended = {run: note for run, note in notes.items() if "stopped_at" in note}
    return [Notice(what, run, f"step {note['stopped_at']} of {note['planned']}: {note['why']}") for run, note in ended.items()]


def sampling(notes: Iterable[dict[str, Any]]) -> list[Notice]:
    """Warning about runs with vLLM whose note does not state that their seed reached the sampling (key sampling)."""
    notes = list(notes)
    shared = [note for note in notes if note.get("engine") == "vllm" and "sampling" not in note]
    return [Notice(ONE_STREAM, f"{len(shared)} of {len(notes)} runs")] if len(shared) > 1 else []


def trained_weights(effect: dict[str, float], model: str) -> list[Notice]:
    """Warning about training that changed no weight. effect: `effect.training_effect`, or a note without it (the untrained model's)."""
    what = "Training changed no weight; the scores are the untrained model's"
    return _fired(names.model(model), (effect.get("largest_weight") == 0, what, ""))


def scores(table: pd.DataFrame, model: str, unparsed: float) -> list[Notice]:
    """Warnings about one model's scores (one row per item and answer filter), suite by suite: unread answers, accuracy far below
    chance, or one letter for nearly everything."""
    found = []
    for (task, filter), part in table[table["rotation"] == 0].groupby(["task", "filter"], sort=False):
        name = names.benchmark(task, filter)
        chance, share = part["chance"].mean(), part["correct"].mean()
        error = np.sqrt(chance * (1 - chance) / len(part))
        letter, named = most_frequent_letter(part["predicted"])
        unread = (part["predicted"].isna() | part["predicted"].isin(["", "[invalid]"])).mean()
        low = f"{name} is more than four standard errors below chance ({chance:.1%}); its answers are probably parsed wrongly"
        lettered = f"More than {ONE_LETTER:.0%} of the answers to {name} name the same letter"
        bare = f"No answer could be read from more than {unparsed:.0%} of the completions to {name}"
        found += _fired(
            names.model(model),
            (chance > 0 and share < chance - BELOW_CHANCE * error, low, f"{share:.1%} of {len(part)}"),
            (named > ONE_LETTER and part["target"].nunique() > 1, lettered, f"{letter} {named:.0%}"),
            (unread > unparsed and part["response"].notna().any(), bare, f"{unread:.0%}"),
        )
    return found
