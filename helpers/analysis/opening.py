"""The opening of a report and of the README: a study's question, its result, what that means in practice, and what limits it."""

import re
from collections.abc import Mapping

import pandas as pd

from helpers.analysis import checks, index_checks, indices, names, primary, search_opening
from helpers.analysis.control import Control
from helpers.analysis.evidence import change, finds, runs_in_words
from helpers.study.schema import HELD_OUT, REASONING, in_reasoning_mode
from helpers.study.schema_eval import SIDES
from helpers.study.study import UNTRAINED

OPENINGS = dict.fromkeys(("supports", "contradicts"), "What limits this study") | {"cannot tell": "Why this is inconclusive"}
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
MEANING = {  # what each outcome of the first claim means for someone who trains
    "supports": "With a similar model and pool, choose questions with such a filter",
    "contradicts": "With a similar model and pool, choose questions at random",
    "cannot tell": "This is no evidence for or against filtering. Before comparing training sets, check that training on random questions raises "
    "accuracy on held-out questions, and count the questions that the arms share",
}


def lines(tables: Mapping[str, pd.DataFrame]) -> dict[str, str]:
    """The lines Question, Result and In practice, in words: about the primary outcome if the study has one (`search_opening.lines`, `primary.lines`).

    tables: verdict, pairs, arms, study, comparison of a study and, where it has them, common, balance, detectable, search_effect, search_seeds and reasoning.
    """
    if found := search_opening.lines(tables) or primary.lines(tables):
        return found
    about, pairs, verdict = tables["study"].iloc[0], tables["pairs"], tables["verdict"]
    arm, seeds = first_arm(pairs), int(about["seeds"])
    found = [answer(verdict)]
    between = _between(pairs, arm)
    if len(between):
        over = runs_in_words(seeds, int(pairs["draws"].max()))
        found.append(
            f"On the trained subject, training on questions chosen by {_chooser(arm, tables['arms'], about['model'])} changes accuracy by "
            f"{change(between.iloc[0].to_dict())} points relative to random questions (specialisation index; {100 * about['confidence']:g} % interval {over})."
        )
    found += [
        f"The paper reports differences of about one point; this study could detect {line}."
        for line in detectable(pairs, tables["comparison"], about)
    ]
    return {
        "Question": f"Does GRPO improve {about['model']} more when a filter chooses the questions from {about['pool']} than when the same number "
        f"is chosen at random? ({seeds} seed{'s' if seeds > 1 else ''} per arm.)",
        "Result": " ".join(found),
        "In practice": MEANING.get(verdict["outcome"].iloc[0], "This study says nothing about the choice of questions") + ".",
    }


def answer(verdict: pd.DataFrame) -> str:
    """The answer to the study's question: the first sentence of the evidence for the first claim of `claims.verdict`."""
    if not asked(verdict):
        return "This study does not test whether filtered questions are better for training than random ones."
    return re.split(r"(?<=[.!?]) ", str(verdict["evidence"].iloc[0]), maxsplit=1)[0]


def asked(verdict: pd.DataFrame) -> bool:
    """Whether a study tests the first claim."""
    return verdict["outcome"].iloc[0] in MEANING


def first_arm(pairs: pd.DataFrame) -> str:
    """The first arm of `indices.pairs` that is compared with the random one on the benchmarks of what was trained; "" without one."""
    between = indices.from_random(pairs)
    return next(iter(between.loc[between["group"] == "specialisation", "arm"]), "")


def detectable(pairs: pd.DataFrame, comparison: pd.DataFrame, about: pd.Series) -> list[str]:
    """What the study could detect between its first arm and the random one, in words: on the index of what was trained and on questions
    of its pool, in every mode; nothing with one seed, which says nothing about others. about: the row of the table study."""
    arm = first_arm(pairs)
    rows = comparison[(comparison["arm"] == arm) & comparison["group"].isin(SIDES) & ~indices.strict_beside_flexible(comparison)]
    named = names.of(rows.assign(benchmark=rows["benchmark"].str.removesuffix(f"_{REASONING}")))
    modes = [
        f"{100 * float(row.vs_random_detectable):.1f} on {name}{_mode(row.benchmark, row.filter)}"
        for row, name in zip(rows.itertuples(), named, strict=True)
        if _of_pool(row.benchmark, name, about["pool"]) and row.vs_random_detectable != "" and pd.notna(row.vs_random_detectable)
    ]
    how = finds(about["power"], about["confidence"])
    return [
        f"{', '.join([f'{100 * row.detectable:.1f} points on this index', *modes])} ({how}; between-seed variance pooled over all arms)"
        for row in _between(pairs, arm).query("seeds > 1").itertuples()
    ]


def _of_pool(benchmark: str, name: str, pool: str) -> bool:
    """Whether a benchmark asks questions of the pool: those held out, or those of a data set whose name begins with the benchmark's.

    >>> [_of_pool("", name, "GBaker/MedQA-USMLE-4-options") for name in ("MedQA", "GSM8K (last number)")]
    [True, False]
    """
    return benchmark == HELD_OUT or pool.rpartition("/")[2].lower().startswith(name.partition(" (")[0].lower())


def _mode(benchmark: str, answer_filter: str) -> str:
    """How a benchmark was answered, unless the name of its answer filter says so."""
    return " in reasoning mode" if in_reasoning_mode(benchmark) else " by likelihood" if answer_filter == "none" else ""


def paragraph(table: pd.DataFrame, model: str, seeds: int, margin: str, control: Control) -> str:
    """The opening paragraph of a report: how many claims were tested and with what outcome, no more than the tests say.

    margin: of equivalence, in points.
    """
    over = f"{seeds} seeds per arm" if seeds > 1 else "one seed per arm: its results hold for that seed"
    if control.own:
        return f"This study of {model} ({over}) is the positive control and tests none of the claims. {control.sentence}"
    tested = table[table["outcome"] != "not tested"]
    parts = [f"This study of {model} ({over}) tests {len(tested)} of {len(table)} claims."]
    words = {"supports": "It supports", "contradicts": "It contradicts", "cannot tell": "It cannot decide"}
    for outcome, begins in words.items():
        claims = tested.loc[tested["outcome"] == outcome, "claim"]
        parts += [f"{begins} {len(claims)}: {'; '.join(claims)}."] if len(claims) else []
    parts.append(f"Two models count as equal only if their difference is shown to be smaller than {margin}.")
    return " ".join([*parts, control.sentence])


def reason(verdict: pd.DataFrame, warnings: pd.DataFrame, pairs: pd.DataFrame) -> str:
    """Why there is no answer or an inconclusive one, or what to keep in mind if there is one; empty if nothing explains it.

    warnings: those of `checks` and `index_checks`, columns what, where, value; pairs: `indices.pairs`.
    """
    outcome, arm = verdict["outcome"].iloc[0], first_arm(pairs)
    own_draws = bool((pairs["draws"] > 1).any())  # such a study is about its primary outcome, not about the first claim
    learned = _learned(pairs) if outcome == "cannot tell" else ""
    seeds = int(pairs["seeds"].min()) if len(pairs) else 0
    parts = [
        f"training on random questions did not measurably change accuracy on the trained subject ({learned} points)"
        if learned
        else "",
        _alike(warnings, arm),
        f"{_number(seeds)} seed{'s' if seeds > 1 else ''} per arm" if outcome == "cannot tell" and arm and not own_draws else "",
        "" if asked(verdict) or own_draws else _guessing(warnings),
    ]
    said = "; ".join(part for part in parts if part)
    opens = OPENINGS["supports"] if own_draws else OPENINGS.get(outcome, "Why")
    return f"{opens}: {said}." if said else ""


def limits(pairs: pd.DataFrame, warnings: pd.DataFrame) -> list[str]:
    """What the intervals of a study leave out, in sentences. pairs: `indices.pairs`; warnings as in `reason`."""
    found = []
    if ((pairs["draws"] == 1) & (pairs["seeds"] > 1)).any():
        found.append("All seeds of an arm trained on the same questions, so the intervals do not cover variation between draws.")
    same = list(warnings.loc[warnings["what"] == checks.ONE_CHOICE, "where"])
    if same:
        found.append(
            f"The draws of {' and '.join(same)} are nearly the same for all seeds, so the intervals of {'these arms' if len(same) > 1 else 'this arm'} "
            "do not cover another choice of questions."
        )
    if (warnings["what"] == index_checks.READ_ONLY).any():
        found.append(
            "All benchmarks of other subjects are scored by log-likelihood, so this study does not show whether written answers to them get worse."
        )
    near = list(warnings.loc[warnings["what"] == index_checks.AT_CHANCE, "where"])
    if near:
        found.append(
            f"The untrained model is not shown to answer {', '.join(near)} better than by guessing, so a loss there would hardly show."
        )
    if (warnings["what"] == checks.ONE_STREAM).any():
        found.append(
            "All runs sampled rollouts from the same random number stream (huggingface/trl#7040), so runs of different arms began with the same random numbers."
        )
    return found


def _between(pairs: pd.DataFrame, arm: str) -> pd.DataFrame:
    """An arm minus the random arm on the benchmarks of what was trained: one row, or none."""
    rows = indices.from_random(pairs)
    return rows[(rows["arm"] == arm) & (rows["group"] == "specialisation")]


def _chooser(arm: str, arms: pd.DataFrame, model: str) -> str:
    """The name of the model that chose the questions of an arm; model: the trained one."""
    name = arms.set_index("arm")["chosen by"].get(arm, "") or arm
    return "the trained model itself" if name == model else name.rpartition("/")[2]


def _learned(pairs: pd.DataFrame) -> str:
    """How the random arm changed in what was trained, with its interval; empty if the change is significant or unknown."""
    rows = pairs[(pairs["first"] == UNTRAINED) & (pairs["second"] == "random") & (pairs["group"] == "specialisation")]
    rows = rows[(rows["low"] <= 0) & (rows["high"] >= 0)]
    return change(rows.iloc[0].to_dict()) if len(rows) else ""


def _alike(warnings: pd.DataFrame, arm: str) -> str:
    """How many questions an arm shares with the random one, if these are most of them."""
    found = warnings[(warnings["what"] == checks.ALIKE) & warnings["where"].isin([f"random and {arm}", f"{arm} and random"])]
    return f"{found['where'].iloc[0]} share {found['value'].iloc[0]} questions" if len(found) else ""


def _guessing(warnings: pd.DataFrame) -> str:
    """Filters that may only guess, in words."""
    found = list(warnings.loc[warnings["what"] == checks.GUESSES, "where"])
    filters = "one filter is" if len(found) == 1 else f"{_number(len(found))} filters are"
    return f"{filters} not shown to be more accurate than guessing ({', '.join(found)})" if found else ""


def _number(count: int) -> str:
    return NUMBERS[count] if count < len(NUMBERS) else str(count)
