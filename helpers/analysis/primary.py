"""The primary outcome of a study in which each seed has its own draw: its question and its result, in words.

The primary outcome is accuracy in the mode that was trained (reasoning), on held-out questions of the pool and on the pool's own test, of each
arm against the random one. Tests are those of `compare.comparison`, adjusted for all arms and benchmarks (Holm). Shares, not points.
"""

import re
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd

from helpers.analysis import balance, compare, names, primary_advice, primary_detail, recorded
from helpers.analysis.claims import PAPER_HARD
from helpers.analysis.evidence import difference, finds, p_in_words
from helpers.analysis.intervals import ALPHA, holm
from helpers.study.schema import HELD_OUT, in_reasoning_mode
from helpers.study.study import UNTRAINED

FEW = 2  # arms that were not shown to differ and are all named in the result
PAPERS = ", the paper's rule"  # after the rule of an arm that has it
KINDS = {
    "better": "better than random",
    "mixed": "better than random on one outcome and worse on another",
    "worse": "worse than random",
}
NEAR = "pass rate near"  # and the rule of the arm that is compared first: the strongest one known before the study


def rows(comparison: pd.DataFrame, pool: str) -> pd.DataFrame:
    """The rows of `compare.comparison` that are the primary outcome, with a column `outcome`: its name in a sentence; none with one draw.

    pool: the source of the pool. Columns of other tests are numbers (NaN where there is none), also in a table that was published.
    """
    own = re.match(r"[a-z0-9]*", pool.rpartition("/")[2].lower())[0]  # openai/gsm8k: gsm8k; GBaker/MedQA-USMLE-4-options: medqa
    if "vs_random" not in comparison or not own:
        return comparison.head(0).assign(outcome="")
    name = comparison["benchmark"]
    reasons = name.map(in_reasoning_mode) & (comparison["group"] == "specialisation")
    found = comparison[reasons & (name.eq(HELD_OUT) | name.str.startswith(own)) & (comparison["draws"].max() > 1)]
    numbers = [column for column in found if column.startswith("vs_")]
    found = found.assign(**found[numbers].apply(pd.to_numeric, errors="coerce"))
    tests = names.of(found).str.removesuffix(" reasoning") + " test questions"
    return found.assign(outcome=tests.where(found["benchmark"] != HELD_OUT, "held-out questions"))


def lines(tables: Mapping[str, pd.DataFrame]) -> dict[str, str]:
    """The lines Question, Result, In practice and In detail (one remark per line), in words; none if the study has no primary outcome.

    tables: arms, study, comparison of a study and, where it has them, common, balance and detectable, as they are published.
    """
    about, arms = tables["study"].iloc[0], tables["arms"].set_index("arm")
    found = rows(tables["comparison"], about["pool"])
    if found.empty:
        return {}
    found = found.assign(alone=_alone(found))
    compared = found[found["vs_random"].notna()]
    tested = found[
        found["arm"].map(arms["trained"]).str.startswith(primary_detail.AS_STUDY, na=False) & found["vs_random"].notna()
    ]
    if tested.empty:
        return {}
    differs = tested["vs_random_p_holm"] < ALPHA
    better, worse = differs & (tested["vs_random"] > 0), differs & (tested["vs_random"] < 0)
    tested = tested.assign(differs=differs, better=better, worse=worse)
    rules = rules_of(tables["arms"])
    said = [
        _subject(about["pool"]),
        _works(found, about["confidence"]),
        _answer(tested),
        _first(tested, rules),
        balance.sentence(tables.get("balance")),
        _smallest(tested, tables.get("detectable"), about["power"]),
        _beyond_gain(tested, found),
    ]
    detail = [
        "Tests are adjusted for all arms and benchmarks (Holm), intervals are not.",
        f"The smallest detectable differences are {detectable(tested, about, controls(arms))}.",
        shared(tables.get("common")),
        _elsewhere(tables["comparison"], found, set(tested["arm"])),
        _narrower(tested, len(compared)),
        primary_detail.reach(tested),
        primary_detail.trained(found, arms, set(tested.loc[differs, "arm"])),
        *primary_detail.control(compared, controls(arms)),
    ]
    advice = primary_advice.advice(tested, found, rules, about)
    shown = {"Question": _asked(about, tested), "Result": _joined(said), "In practice": advice}
    return shown | {"In detail": "\n".join(filter(None, detail))}


def _joined(sentences: Sequence[str]) -> str:
    return " ".join(filter(None, sentences))


def rules_of(arms: pd.DataFrame) -> dict[str, str]:
    """How each arm's questions were chosen, which model labelled them if arms differ in that, and how it was trained unless as the study says.

    arms: `recorded.arms_in_words`.
    """
    own, labelled = arms["trained"].str.startswith(primary_detail.AS_STUDY), arms["chosen by"] != recorded.CHANCE
    rules = arms["questions"]
    if arms.loc[labelled, "chosen by"].nunique() > 1:
        rules = rules.where(~labelled, rules + ", labelled by " + arms["chosen by"].str.rpartition("/")[2])
    return dict(zip(arms["arm"], rules.where(own, rules + ", " + arms["trained"]), strict=True))


def _asked(about: pd.Series, tested: pd.DataFrame) -> str:
    outcomes = " and ".join(f"{row.items:,} {row.outcome}" for row in tested.drop_duplicates("outcome").itertuples())
    ways = tested["arm"].nunique()
    return (
        f"{about['question']} {about['model']} was trained with GRPO on questions of {about['pool']}, chosen at random or by "
        f"{'one of ' + str(ways) + ' rules' if ways > 1 else 'a rule'}. Primary outcome: accuracy in reasoning mode on {outcomes}; {about['seeds']} seeds "
        "per arm, each with its own draw of questions."
    )


def _subject(pool: str) -> str:
    """That the result is about another subject than the paper's; "" if it is not, or if the pool's name does not say."""
    subject = names.subject(pool)
    return f"This result is about {subject} (questions of {pool}), not medicine." if subject not in ("", "medicine") else ""


def _works(found: pd.DataFrame, confidence: float) -> str:
    """What training on random questions does to the primary outcome: the condition for any answer."""
    own = found[(found["arm"] == "random") & found["vs_untrained"].notna()]
    if own.empty:
        return ""
    before = found[found["arm"] == UNTRAINED].set_index("outcome")["accuracy"]
    figures = " and ".join(
        f"from {100 * before[row['outcome']]:.1f} to {100 * row['accuracy']:.1f} % on {row['outcome']} ({difference(row, 'vs_untrained')} points)"
        for row in own.to_dict("records")
    )
    cover = f"({100 * confidence:g} % intervals over items and seeds)"
    if (own["vs_untrained_low"] > 0).all():
        return f"Training works: random questions raise accuracy {figures} {cover}."
    return f"Training on random questions was not shown to raise accuracy: it changes {figures} {cover}."


def shared(common: pd.DataFrame | None) -> str:
    """How many questions each arm shares with the random arm of the same seed, on average; "" if no table says it. common: `draws.common`."""
    if common is None:
        return ""
    pairs = {frozenset((row.first, row.second)): round(float(row.both)) for row in common.itertuples()}
    shared = [f"{arm} {both}" for pair, both in pairs.items() if "random" in pair for arm in pair - {"random"}]
    return f"Questions shared with the random arm of the same seed, on average: {', '.join(shared)}." if shared else ""


def _answer(tested: pd.DataFrame) -> str:
    """Which arms are better or worse than the random one, with all their figures; the outcomes on which they differ come first."""
    arms = {arm: own for arm, own in tested.groupby("arm", sort=False) if own["differs"].any()}
    if not arms:
        return "On the primary outcome, adjusted for all arms and benchmarks, no choice of questions was shown to be better or worse than a random one."
    said = {
        arm: "mixed" if own["better"].any() and own["worse"].any() else "better" if own["better"].any() else "worse"
        for arm, own in arms.items()
    }
    parts = []
    for kind, words in KINDS.items():
        for arm in [arm for arm in arms if said[arm] == kind]:
            figures = ", ".join(
                f"{difference(row, 'vs_random')} points on {row['outcome']} (adjusted {p_in_words(row['vs_random_p_holm'])})"
                for row in arms[arm].sort_values("differs", ascending=False, kind="stable").to_dict("records")
            )
            parts.append(f"{arm} is {words}: {figures}")
    others = set(tested["arm"]) - set(arms)
    rest = " On the primary outcome, no other choice was shown to differ from a random one." if others else ""
    return f"{'; '.join(parts)}.{rest}"


def _first(tested: pd.DataFrame, rules: Mapping[str, str]) -> str:
    """The differences of arms that the answer does not name: all if they are few, else those with the paper's rule and with the strongest rule
    known before."""
    arms = list(tested.loc[~tested.groupby("arm")["differs"].transform("any"), "arm"].unique())
    papers = [arm for arm in arms if _is_papers(rules[arm])]
    first = arms if len(arms) <= FEW else [*papers, *[arm for arm in arms if NEAR in rules[arm]][:1]] or arms[:1]
    named = {arm: f"{arm} ({rules[arm]}{PAPERS if arm in papers else ''})" for arm in first}
    shown = [f"{named[arm]} {primary_detail.bare(tested[tested['arm'] == arm])}" for arm in first]
    where = ", then ".join(tested["outcome"].unique())
    return f"Differences from random ({where}): {'; '.join(shown)} points." if shown else ""


def _smallest(tested: pd.DataFrame, planned: pd.DataFrame | None, power: float) -> str:
    """The smallest detectable differences, in a short sentence; `detectable` says how those of one test were computed.

    planned: `measured.effects`, for those with all tests; None for one test alone.
    """
    alone = " and ".join(f"{100 * value:.1f}" for value in _detectable(tested))
    all_tests = ""
    if planned is not None:
        corrected = pd.to_numeric(planned.set_index("task")["corrected_after"], errors="coerce").reindex(
            tested["benchmark"].unique()
        )
        figures = " and ".join(f"{100 * value:.1f}" for value in corrected)
        all_tests = f", {figures} when adjusting for all tests" if corrected.notna().all() else ""
    return f"This study could detect {alone} points in one test{all_tests} ({100 * power:g} % power)."


def _beyond_gain(tested: pd.DataFrame, found: pd.DataFrame) -> str:
    """That the smallest detectable difference of one test is as large as what training gains, on some outcome; "" if on none."""
    gains = found[found["arm"] == "random"].set_index("outcome")["vs_untrained"]
    large = _detectable(tested) >= gains.reindex(tested["outcome"].unique()).to_numpy()
    return "A choice that undoes all that training gains may thus go unnoticed." if large.any() else ""


def _is_papers(rule: str) -> bool:
    """Whether a rule takes as large a share of hard questions as the paper's.

    >>> [_is_papers(rule) for rule in ("400 hard, 100 easy", "40 hard, 10 easy, labelled by a", "500 hard, 0 easy", "500 at random")]
    [True, True, False, False]
    >>> _is_papers("400 hard, 100 easy, method qlora")
    False
    """
    found = re.fullmatch(r"(\d+) hard, (\d+) easy(?:, labelled by [^,]+)?", rule)
    hard, easy = map(int, found.groups()) if found else (0, 1)
    return abs(hard / (hard + easy) - PAPER_HARD) < 0.01


def _alone(found: pd.DataFrame) -> pd.Series:
    """P-values of the differences from the random arm, adjusted for the primary outcome alone (Holm): all arms, negative controls included."""
    p = found.loc[found["vs_random"].notna(), "vs_random_p"]
    return pd.Series(holm(p), index=p.index)


def _narrower(tested: pd.DataFrame, family: int) -> str:
    """What the tests of the primary outcome alone say of differences that are not significant over all arms and benchmarks; "" if all their
    intervals contain zero.

    family: the number of tests of the primary outcome.
    """
    rest = tested[~tested["differs"]]
    if not any(map(len, primary_detail.apart(rest).values())):
        return ""
    said = [
        f"{row.arm} is {'better' if row.vs_random > 0 else 'worse'} on {row.outcome} ({p_in_words(row.alone)})"
        for row in rest[rest["alone"] < ALPHA].itertuples()
    ]
    return f"Adjusted for the {family} tests of the primary outcome alone, {'; '.join(said) or 'none of them differs either'}."


def _elsewhere(comparison: pd.DataFrame, found: pd.DataFrame, arms: Collection[str]) -> str:
    """Differences from the random arm on other benchmarks that are significant when adjusted for all arms and benchmarks; "" without any.

    found: `rows`; arms: those that are trained like the study.
    """
    p = pd.to_numeric(comparison["vs_random_p_holm"])
    others = comparison[(p < ALPHA) & comparison["arm"].isin(arms) & ~comparison["benchmark"].isin(found["benchmark"])]
    said = [
        f"{row['arm']} differs by {difference(row, 'vs_random')} points on {name}, {row['setting']} ({p_in_words(float(row['vs_random_p_holm']))})"
        for row, name in zip(others.to_dict("records"), names.of(others), strict=True)
    ]
    return f"Outside the primary outcome, adjusted for all arms and benchmarks, {'; '.join(said)}." if said else ""


def controls(arms: pd.DataFrame) -> list[str]:
    """The negative controls: arms trained on a random reward. arms: `recorded.arms_in_words`, indexed by arm."""
    return list(arms.index[arms["trained"].str.contains("reward random")])


def detectable(tested: pd.DataFrame, about: pd.Series, apart: Sequence[str] = ()) -> str:
    """The smallest differences from the random arm that a study can detect on its primary outcome, in words, beside the smallest that matters.

    tested: from `rows`; about: of the table study; apart: the negative controls, over which the variance is not pooled.
    """
    besides = f" except {' and '.join(apart)}" if apart else ""
    smallest = _detectable(tested)
    parts = " and ".join(f"{100 * value:.1f} points on {outcome}" for outcome, value in smallest.items())
    how = f"{finds(about['power'], about['confidence'])}; between-seed variance pooled over all arms{besides}"
    return f"{parts} ({how}){_beside_relevant(smallest, about.get('effect'))}"


def _detectable(tested: pd.DataFrame) -> pd.Series:
    """The smallest detectable difference on each outcome: the median over arms."""
    return tested.dropna(subset="vs_random").groupby("outcome", sort=False)["vs_random_detectable"].median()


def _beside_relevant(smallest: pd.Series, effect: float | str | None) -> str:
    """How the smallest detectable differences compare with the smallest that matters (`analysis.effect`); "" if a study states none."""
    relevant = float(effect or "nan")
    if np.isnan(relevant):
        return ""
    larger = list(smallest.index[smallest > relevant])
    where = f"on {' and '.join(larger)} " if 0 < len(larger) < len(smallest) else ""
    return (
        f", {where}{'more' if larger else 'no more'} than the {primary_advice.points(relevant)} that its parameters call relevant"
    )


def table(found: pd.DataFrame) -> pd.DataFrame | None:
    """`rows` for readers: one row per outcome and arm, accuracy and difference from the random arm; None without any."""
    if found.empty:
        return None
    shown = compare.against(found, "random").assign(outcome=found["outcome"], accuracy=found["accuracy"])
    return shown[["outcome", "arm", "accuracy", "change", "low", "high", "p_holm", "p_equal_holm", "detectable"]]
