"""What the tables on search say, worked by hand on small scores and rollouts."""

import json

import numpy as np
import pandas as pd
import pytest

from helpers.analysis import searching
from helpers.report import browser

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
            ("quiz", "x", 0, "1010"), ("quiz_search", "x", 0, "1111"),
            ("other", "x", 0, "1111"), ("other", "x", 0, "0111")]  # fmt: skip
    return pd.DataFrame([
        {"benchmark": benchmark, "arm": arm, "seed": seed, "item_id": str(place), "correct": bit == "1", "rotation": 0}
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
    table = searching.effect(scores(), 0.95).set_index("arm")
    assert table["benchmark"].unique().tolist() == ["quiz"]
    assert table.loc["untrained", ["without", "with", "search"]].tolist() == [0.25, 0.5, 0.25]
    assert table.loc["x", list(searching.EFFECTS)].tolist() == [0.5, 0.25, 0.5, 0.75, 0.25]
    assert table.loc["x", "both_low"] < 0.75 < table.loc["x", "both_high"] + 0.25
    assert np.isnan(table.loc["untrained", "training"])
    sentence = searching.in_words(table.reset_index(), ["x"])
    assert sentence.startswith("quiz, change from the untrained model without search: search alone +25.0 [")
    assert "training with search (x) +75.0 [" in sentence
    assert sentence.endswith("All intervals include 0.")
    clear = searching.in_words(table.reset_index().assign(both_low=0.1), ["x"])
    assert clear.endswith("Only the interval of training with search (x) excludes 0.")


def test_items_whose_answer_stands_in_the_passages_have_rows_of_their_own():
    inside = scores().assign(answerable=lambda t: t["benchmark"].str.endswith("_search") & t["item_id"].isin(["1", "3"]))
    table = searching.effect(inside, 0.95).set_index(["benchmark", "arm"])
    assert table.loc[(f"quiz{searching.ANSWERABLE}", "untrained"), ["items", "without", "with"]].tolist() == [2, 0, 0.5]
    assert table.loc[("quiz", "untrained"), "items"] == 4


def test_a_study_without_search_has_no_table():
    assert searching.effect(scores().query("benchmark == 'quiz'"), 0.95) is None


@pytest.mark.parametrize("prefill", ["", "<think>"])
def test_inserted_passages_are_marked_where_they_stood_and_escaped(prefill):
    frame = pd.DataFrame({"completion": [prefill + "I \ue000ask.", "plain"], "searches": [FOUND, None]})
    first, second = browser.with_passages(frame, prefill)["completion"]
    assert second == "plain"
    pieces = str(browser.shown(first)).split("<span")
    assert pieces[0] == str(browser.shown(prefill + "I "))
    assert "[1] &lt;b&gt;Iron&lt;/b&gt;</span>\ufffdask." in pieces[1]
    assert browser.INSERTED in browser.browse(pd.DataFrame({"completion": [first]}), []).html()
