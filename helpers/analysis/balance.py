"""Rules applied within each letter (`balanced: true`) against random questions and against the same rule without a balance.

A rule that uses the model's own success on multiple-choice questions also chooses by the letter of the right answer. What remains of its
effect with every letter equally often right is not due to unequal frequencies of letters. A study has these tables if it has both versions of a rule.
"""

from collections.abc import Collection, Mapping

import numpy as np
import pandas as pd
from scipy.stats import ttest_rel

from helpers.analysis import compare
from helpers.analysis.answers import favourite_letters
from helpers.analysis.evidence import change, p_in_words
from helpers.analysis.indices import runs_by_benchmark
from helpers.analysis.intervals import ALPHA, holm
from helpers.study.choices import Arm
from helpers.study.schema import HELD_OUT
from helpers.study.schema_eval import Analysis

RANDOM = "random"


def twins(arms: Mapping[str, Arm]) -> dict[str, str]:
    """Each balanced arm and the arm of the same study that has its rule without a balance; balanced arms without such an arm are left out."""

    def rule(arm: Arm) -> dict:
        return arm.model_dump(exclude={"balanced"})

    plain = {name: arm for name, arm in arms.items() if not arm.balanced}
    balanced = {name: arm for name, arm in arms.items() if arm.balanced}
    return {name: other for name, arm in balanced.items() for other, twin in plain.items() if rule(twin) == rule(arm)}


def effect(
    scores: pd.DataFrame,
    primary: pd.DataFrame,
    pairs: Mapping[str, str],
    settings: Analysis,
    paired: bool = True,
    controls: Collection[str] = (),
) -> pd.DataFrame | None:
    """Each balanced arm against random and against its unbalanced twin on the primary outcomes, in shares; None without pairs or outcomes.

    scores, settings, paired, controls: as for `compare.comparison`. primary: `primary.rows`. pairs: `twins`. One row per outcome, arm and
    arm it is compared with (`against`); `p_holm` is adjusted for all rows of the table.
    """
    runs = runs_by_benchmark(scores, ("benchmark", "filter"), "correct")
    rng, rows = np.random.default_rng(settings.seed), []
    for place in primary.drop_duplicates(["benchmark", "filter"]).itertuples():
        models = runs[(place.benchmark, place.filter)]
        tests = [(arm, base) for arm, plain in pairs.items() for base in (RANDOM, plain) if {arm, base} <= set(models)]
        for arm, base in tests:
            found = compare.difference(models, base, arm, rng, settings, paired, controls)
            own = {
                "outcome": place.outcome,
                "arm": arm,
                "against": base,
                "seeds": len(models[arm]),
                "items": models[arm].shape[1],
            }
            rows.append(own | {"accuracy": models[arm].mean(), "accuracy_against": models[base].mean()} | found)
    if not rows:
        return None
    table = pd.DataFrame(rows)
    shown = [
        "outcome",
        "arm",
        "against",
        "seeds",
        "items",
        "accuracy",
        "accuracy_against",
        "change",
        "low",
        "high",
        "p",
        "p_holm",
        "detectable",
    ]
    return table.assign(p_holm=holm(table["p"]))[shown]


def letters(scores: pd.DataFrame, pairs: Mapping[str, str], confidence: float) -> pd.DataFrame | None:
    """How often models name their most frequent letter on held-out questions, with and without a balance; None without pairs.

    Differences are paired by seed (Student's t over seeds). scores: as for `answers.favourite_letters`. Columns arm, against, seeds, share,
    share_against, change, low, high, p (not adjusted).
    """
    named = favourite_letters(scores[scores["task"] == HELD_OUT])
    shares = named.pivot(index="seed", columns="arm", values="share")
    rows = []
    for arm, plain in pairs.items():
        if not {arm, plain} <= set(shares) or len(both := shares[[arm, plain]].dropna()) < 2:
            continue
        test = ttest_rel(both[arm], both[plain])
        low, high = test.confidence_interval(confidence)
        rows.append({"arm": arm, "against": plain, "seeds": len(both), "share": both[arm].mean(), "share_against": both[plain].mean(),
                     "change": (both[arm] - both[plain]).mean(), "low": low, "high": high, "p": test.pvalue})  # fmt: skip
    return pd.DataFrame(rows) if rows else None


def sentence(table: pd.DataFrame | None) -> str:
    """What `effect` found, in words; "" without it."""
    if table is None or table.empty:
        return ""
    found = table.assign(**{end: pd.to_numeric(table[end]) for end in ("change", "low", "high", "p_holm")})
    said = [
        f"{row['arm']} differs from {row['against']} by {change(row)} points on {row['outcome']} ({p_in_words(row['p_holm'])})"
        for row in found[found["p_holm"] < ALPHA].to_dict("records")
    ]
    tests = f"adjusted for the {len(found)} tests of balanced rules"
    if not said:
        return f"With each letter equally often right, no rule was shown to differ from random questions or from the same rule without a balance ({tests})."
    return f"With each letter equally often right ({tests}): {'; '.join(said)}."
