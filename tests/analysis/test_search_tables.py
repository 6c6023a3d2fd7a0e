"""What the tables on search say, worked by hand on small scores and rollouts."""

import json

import numpy as np
import pandas as pd
import pytest

from helpers.analysis import searching
from helpers.report import browser
from helpers.study.schema_eval import Analysis

FOUND = json.dumps([{"at": 2, "query": "Iron ", "text": "[1] <b>Iron</b>", "ids": ["p1", "p2"]}])
NOTHING = json.dumps([{"at": 2, "query": "zzz", "text": "Nothing was found.", "ids": []}])


def answers():
    """Two steps of two rollouts: one found passages, one found nothing, two did not search."""
    rows = [(1, FOUND, 1.0, 0.5), (1, "[]", np.nan, np.nan), (2, NOTHING, np.nan, np.nan), (2, FOUND, 0.0, 0.0)]
    frame = pd.DataFrame(rows, columns=["step", "searches", "right_found", "wrong_found"])
    return searching.of_answers(frame.assign(arm="x", seed=0))


def scores():
    """One benchmark with and without search, four items; the trained model gains one item by training, and two by search.
    Another benchmark is read by two answer filters, without search."""
    rows = [("quiz", "untrained", -1, "1000"), ("quiz_search", "untrained", -1, "1100"),
            ("quiz", "random", 0, "1000"), ("quiz_search", "random", 0, "1000"),
            ("quiz", "x", 0, "1010"), ("quiz_search", "x", 0, "1111"),
            ("other", "x", 0, "1111"), ("other", "x", 0, "0111")]  # fmt: skip
    return pd.DataFrame([
        {"benchmark": benchmark, "arm": arm, "seed": seed, "item_id": str(place), "correct": bit == "1", "rotation": 0,
         "group": "specialisation"}
        for benchmark, arm, seed, bits in rows for place, bit in enumerate(bits)])  # fmt: skip


def test_who_searched_and_what_was_found():
    table = searching.by(answers(), ["step"]).set_index("step")
    assert table.loc[1].to_dict() == {"answers": 2, "searched": 0.5, "found": 1, "right_found": 1, "wrong_found": 0.5}
    assert table.loc[2].to_dict() == {"answers": 2, "searched": 1, "found": 0.5, "right_found": 0, "wrong_found": 0}


def test_queries_are_counted_without_regard_to_case():
    table = searching.queries(answers())
    assert table["query"].tolist() == ["iron", "zzz"]
    assert table.loc[0, ["times", "passages", "right_found"]].tolist() == [2, 2, 0.5]


def test_search_training_and_both_are_told_apart():
    table = searching.effect(scores(), Analysis(), ["x"]).set_index("arm")
    assert table["benchmark"].unique().tolist() == ["quiz"]
    assert table.loc["untrained", ["without", "with", "search"]].tolist() == [0.25, 0.5, 0.25]
    assert table.loc["x", list(searching.EFFECTS)].tolist() == [0.5, 0.25, 0.5, 0.75, 0.25, 0.75, 0.75]
    assert table["against_random"].notna().tolist() == [False, False, True], "only of an arm that was trained with search"
    assert table.loc["x", "both_low"] < 0.75 < table.loc["x", "both_high"] + 0.25
    assert np.isnan(table.loc["untrained", "training"])
    (row,) = searching.summary(table.reset_index()).to_numpy().tolist()
    assert row[:3] == ["quiz", "4", 1]
    assert [cell.split(" [")[0] for cell in row[3:]] == ["+25.0", "0.0", "0.0", "+75.0", "+75.0"]
    assert all("," in cell and cell.endswith("]") for cell in row[3:]), "each with its interval"
    (row,) = searching.summary(searching.effect(scores().query("arm == 'untrained'"), Analysis())).to_numpy().tolist()
    assert (row[2], row[3][:5], row[4:]) == (0, "+25.0", ["–"] * 4), "before any training"


def test_items_whose_answer_stands_in_the_passages_have_rows_of_their_own():
    inside = scores().assign(answerable=lambda t: t["benchmark"].str.endswith("_search") & t["item_id"].isin(["1", "3"]))
    table = searching.effect(inside, Analysis()).set_index(["benchmark", "arm"])
    assert table.loc[(f"quiz{searching.ANSWERABLE}", "untrained"), ["items", "without", "with"]].tolist() == [2, 0, 0.5]
    assert table.loc[("quiz", "untrained"), "items"] == 4


def trained(seeds, gain, items=4000, group="specialisation"):
    """Scores where each seed's draw moves both arms alike, and search brings `gain` to the arm that was trained with it."""
    rng, parts = np.random.default_rng(0), []
    for arm, seed in [("untrained", -1), *((arm, seed) for arm in ("random", "random-search") for seed in seeds)]:
        for tool in (False, True):
            right = 0.5 + 0.2 * max(seed - 1, -1) * (seed >= 0) + gain * (tool and arm == "random-search")
            name = "mmlu_medical_reasoning" + "_search" * tool
            answers = {"item_id": np.arange(items).astype(str), "correct": rng.random(items) < right}
            parts.append(pd.DataFrame(answers).assign(benchmark=name, arm=arm, seed=seed))
    return pd.concat(parts).assign(rotation=0, group=group)


def test_arms_are_compared_with_the_random_one_within_seeds_that_both_have():
    scores = trained([0, 1, 2], 0.15)
    table = searching.effect(scores, Analysis(), ["random-search"]).set_index("arm")
    row = table.loc["random-search"]
    assert row["against_random"] == pytest.approx(0.15, abs=0.02)
    assert row["against_random_low"] > 0.05, "the draws, which move both arms, are no part of the interval"
    (claim,) = searching.claims(table.reset_index(), "1 point")
    assert (claim.claim, claim.outcome) == (searching.CLAIM, "supports")
    assert "random-search with search against random without, MMLU medical reasoning: +1" in claim.evidence
    unpaired = searching.effect(scores, Analysis(), ["random-search"], paired=False).set_index("arm").loc["random-search"]
    assert unpaired["against_random_low"] < 0
    fewer = scores[(scores["arm"] != "random-search") | (scores["seed"] < 2)]
    assert searching.effect(fewer, Analysis(), ["random-search"])["against_random_seeds"].max() == 2


def test_the_claim_about_search_needs_a_benchmark_of_what_was_trained_and_an_arm_that_searched():
    shift, untold = trained([0], 0.2, group="shift"), trained([0], 0.2)
    assert searching.claims(searching.effect(shift, Analysis(), ["random-search"]), "1 point") == []
    assert searching.claims(searching.effect(untold, Analysis()), "1 point") == []
    assert searching.claims(None, "1 point") == []
    (claim,) = searching.claims(searching.effect(trained([0, 1, 2], 0.0), Analysis(), ["random-search"]), "1 point")
    assert claim.outcome == "cannot tell"


def test_a_study_without_search_has_no_table():
    assert searching.effect(scores().query("benchmark == 'quiz'"), Analysis()) is None


@pytest.mark.parametrize("prefill", ["", "<think>"])
def test_inserted_passages_are_marked_where_they_stood_and_escaped(prefill):
    frame = pd.DataFrame({"completion": [prefill + "I \ue000ask.", "plain"], "searches": [FOUND, None]})
    first, second = browser.with_passages(frame, prefill)["completion"]
    assert second == "plain"
    pieces = str(browser.shown(first)).split("<span")
    assert pieces[0] == str(browser.shown(prefill + "I "))
    assert "[1] &lt;b&gt;Iron&lt;/b&gt;</span>\ufffdask." in pieces[1]
    assert browser.INSERTED in browser.browse(pd.DataFrame({"completion": [first]}), []).html()
