"""Balanced arms against random questions and against the same rule without a balance."""

import numpy as np
import pandas as pd
import pytest
from scored import QUICK

from helpers.analysis import balance, compare, primary
from helpers.analysis.intervals import holm
from helpers.study import open_study

POOL = "GBaker/MedQA-USMLE-4-options"
RATES = {"untrained": 0.3, "random": 0.4, "hard": 0.3, "hard-balanced": 0.4}
PAIRS = {"hard-balanced": "hard"}


def scores(seeds=6, items=200):
    """Two primary outcomes; `hard` names D for all but a tenth of the questions, more often with each seed."""
    rng, parts = np.random.default_rng(3), []
    target = rng.choice(list("ABCD"), items)
    for task in ("pool_held_out", "medqa_reasoning"):
        for arm, rate in RATES.items():
            for seed in [-1] if arm == "untrained" else range(seeds):
                right = rng.random(items) < rate
                named = np.where(
                    rng.random(items) < (0.6 + 0.03 * seed if arm == "hard" else 0.2), "D", rng.choice(list("ABC"), items)
                )
                parts.append(pd.DataFrame({"task": task, "benchmark": task, "arm": arm, "seed": seed, "item_id": range(items), "correct": right,
                                           "predicted": named, "target": target}))  # fmt: skip
    about = {"group": "specialisation", "filter": "none", "chance": 0.25, "setting": "", "rotation": 0, "mode": "reasoning"}
    return pd.concat(parts, ignore_index=True).assign(**about)


@pytest.fixture(scope="module")
def scored():
    return scores()


@pytest.fixture(scope="module")
def outcomes(scored):
    return primary.rows(compare.comparison(scored, QUICK, paired=True), POOL)


def test_the_study_of_letters_compares_each_rule_with_its_own():
    assert balance.twins(open_study("letters").arms) == {"hard500-balanced": "hard500", "half-balanced": "half"}
    assert balance.twins(open_study("medicine").arms) == {}


def test_a_balanced_arm_without_its_rule_has_no_twin():
    arms = open_study("letters").arms
    assert balance.twins({name: arm for name, arm in arms.items() if name != "half"}) == {"hard500-balanced": "hard500"}


def test_both_comparisons_on_both_outcomes_with_one_adjustment(scored, outcomes):
    found = balance.effect(scored, outcomes, PAIRS, QUICK)
    assert found[["arm", "against"]].drop_duplicates().to_numpy().tolist() == [
        ["hard-balanced", "random"],
        ["hard-balanced", "hard"],
    ]
    assert found["outcome"].tolist() == ["held-out questions"] * 2 + ["MedQA test questions"] * 2
    assert found["p_holm"].to_numpy() == pytest.approx(holm(found["p"]))
    against = outcomes[outcomes["arm"] == "hard-balanced"].set_index("outcome")
    same = found[found["against"] == "random"].set_index("outcome")
    for column, published in (("change", "vs_random"), ("low", "vs_random_low"), ("p", "vs_random_p")):
        assert same[column].to_numpy() == pytest.approx(against.loc[same.index, published].to_numpy(float))
    twin = found[found["against"] == "hard"].iloc[0]
    means = scored[scored["task"] == "pool_held_out"].groupby("arm")["correct"].mean()
    assert twin["change"] == pytest.approx(means["hard-balanced"] - means["hard"])
    assert (twin["seeds"], twin["items"]) == (6, 200)


def test_the_most_frequent_letter_is_compared_within_seeds(scored):
    (row,) = balance.letters(scored, PAIRS, 0.95).to_dict("records")
    held_out = scored[(scored["task"] == "pool_held_out") & (scored["arm"] == "hard")]
    assert row["share_against"] == pytest.approx((held_out["predicted"] == "D").mean())
    assert row["seeds"] == 6
    assert row["change"] == pytest.approx(row["share"] - row["share_against"])
    assert row["high"] < 0
    assert row["p"] < 0.001


def test_a_study_without_balanced_rules_has_none_of_it(scored, outcomes):
    assert balance.effect(scored, outcomes, {}, QUICK) is None
    assert balance.letters(scored, {}, 0.95) is None
    assert balance.sentence(None) == ""


def test_the_result_in_words(scored, outcomes):
    found = balance.effect(scored, outcomes, PAIRS, QUICK)
    said = balance.sentence(found)
    assert "(adjusted for the 4 tests of balanced rules)" in said
    for row in found.itertuples():
        assert (f"hard-balanced differs from {row.against} by" in said) == any(
            found.query("against == @row.against")["p_holm"] < 0.05
        )
    nothing = balance.sentence(found.assign(p_holm=0.4))
    assert nothing.endswith("without a balance (adjusted for the 4 tests of balanced rules).")
