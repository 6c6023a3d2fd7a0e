"""The indices against cases worked by hand."""

import numpy as np
import pandas as pd
import pytest
from scored import QUICK, scores, suite

from helpers.analysis import compare, indices, intervals


def test_group_change_is_the_mean_over_benchmarks():
    (row,) = indices.group_changes(indices.item_scores(scores()), QUICK).to_dict("records")
    assert row["change"] == pytest.approx((0.25 - 0.5) / 2)
    assert row["benchmarks"] == 2
    assert row["low"] <= row["change"] <= row["high"]


def test_indices_without_one_of_their_benchmarks():
    """What is left when one goes: the change of the other alone, with its own interval."""
    items = indices.item_scores(scores())
    table = indices.leave_one_out(items, 0.95)
    assert table[["first", "second", "without", "items"]].to_numpy().tolist() == [
        ["untrained", "x", "a", 4], ["untrained", "x", "b", 2]]  # fmt: skip
    assert table["change"].tolist() == [-0.5, 0.25]
    alone = indices.group_changes(items[items["benchmark"] == "a"], QUICK).iloc[0]
    assert table.loc[1, ["low", "high"]].tolist() == [alone["low"], alone["high"]]
    # Agresti and Min by hand: a gains one of four, (1 + 1 − 1² / 6) / 6²; b loses one of two, (1 + 1 − 1² / 4) / 4²
    own = np.array([(2 - 1 / 6) / 36, (2 - 1 / 4) / 16])
    assert table["variance"].tolist() == pytest.approx(own / own.sum())
    two = pd.concat([items, items.query("arm == 'x'").assign(arm="random")])
    assert indices.leave_one_out(two, 0.95).groupby(["first", "second"]).size().to_dict() == {
        ("untrained", "x"): 2, ("untrained", "random"): 2, ("random", "x"): 2}  # fmt: skip
    assert indices.leave_one_out(items[items["benchmark"] == "a"], 0.95).empty


def test_what_is_set_apart_enters_no_index():
    both = pd.concat([suite(), suite().assign(task="mmlu_pro")], ignore_index=True)
    raw = indices.set_apart(both, ["mmlu_pro"])
    table = compare.by_suite(raw)
    assert table.loc[table["benchmark"] == "mmlu_pro", "group"].unique().tolist() == ["apart"]
    assert {row.benchmarks for row in indices.group_changes(indices.item_scores(raw), QUICK).itertuples()} == {1}
    assert ("mmlu_pro", "x") in compare.comparison(table, QUICK).set_index(["benchmark", "arm"]).index
    assert indices.set_apart(suite(), [])["group"].equals(suite()["group"])


def test_of_two_tasks_with_the_same_questions_one_enters_an_index():
    sampled = suite().assign(task="mmlu_pro", correct=False)
    assert set(indices.item_scores(sampled)["score"]) == {0.0}
    whole = pd.concat([sampled, suite().assign(task="mmlu_pro_likelihood", correct=True)], ignore_index=True)
    items = indices.item_scores(whole)
    assert (set(items["benchmark"]), set(items["score"])) == ({"mmlu_pro"}, {1.0})
    fewer, more = (
        scores().assign(task=task, benchmark=task, correct=task.endswith("5")) for task in ("medbullets_op4", "medbullets_op5")
    )
    assert set(indices.item_scores(fewer)["score"]) == {0.0}
    assert set(indices.item_scores(pd.concat([fewer, more]))["score"]) == {1.0}  # the same questions in another order


def test_a_benchmark_answered_with_one_letter_enters_no_index():
    def answered(arm, letters):
        return pd.DataFrame({"task": "pubmedqa", "benchmark": "pubmedqa", "arm": arm, "seed": 0, "group": "shift", "rotation": 0, "filter": "none",
                             "item_id": list("0123"), "correct": True, "predicted": list(letters), "target": list("ABAB")})  # fmt: skip

    table = pd.concat([answered("untrained", "AAAA"), answered("x", "ABAB")])
    assert indices.one_letter(table).to_numpy().tolist() == [["pubmedqa", "A", 1.0]]
    assert indices.item_scores(table).empty
    assert indices.by_group(indices.item_scores(table)) == {}
    at_limit = pd.concat([answered("untrained", "AAAB"), answered("x", "AAAA")])  # three of four are not more than 75 %
    assert len(indices.item_scores(at_limit)) == 8
    turned = pd.concat([table, table.assign(rotation=1)])
    assert len(indices.item_scores(turned)) == 8


def test_a_benchmark_counts_once_however_often_it_is_scored():
    """MedQA by likelihood in two rotations, and in reasoning mode; the score of an item is the mean of the two modes."""
    rows = [("medqa_4options", 0, "0", 1), ("medqa_4options", 1, "0", 0), ("medqa_4options", 0, "1", 1), ("medqa_4options", 1, "1", 1),
            ("medqa_reasoning", 0, "0", 1), ("medqa_reasoning", 0, "1", 0), ("mmlu", 0, "0", 1), ("mmlu_medical_reasoning", 0, "anatomy-0", 0)]  # fmt: skip
    table = pd.DataFrame(rows, columns=["task", "rotation", "item_id", "correct"]).assign(
        arm="untrained", seed=-1, group="specialisation", filter="none", predicted="", target=""
    )
    table["benchmark"] = table["task"].replace("mmlu", "mmlu_anatomy")
    other = table[table["task"] == "mmlu"].assign(benchmark="mmlu_virology")
    items = indices.item_scores(pd.concat([table, other])).set_index(["benchmark", "item_id"])["score"].to_dict()
    assert items == {("medqa", "0"): 0.75, ("medqa", "1"): 0.5, ("mmlu", "anatomy-0"): 0.5, ("mmlu", "virology-0"): 1.0}


def test_of_two_answer_filters_the_flexible_one_counts():
    table = scores().assign(benchmark="gsm8k", task="gsm8k")
    both = pd.concat([table.assign(filter="strict-match", correct=False), table.assign(filter="flexible-extract", correct=True)])
    assert set(indices.item_scores(both)["score"]) == {1.0}


def test_macro_index_counts_benchmarks_alike():
    items = indices.item_scores(scores())
    (row,) = indices.pairs(indices.by_group(items), [("untrained", "x")], QUICK).to_dict("records")
    assert row["change"] == pytest.approx(-0.125)
    assert (row["p_holm"], row["p_equal_holm"], row["draws"]) == (row["p"], row["p_equal"], 1)
    table = indices.group_changes(items, QUICK)
    assert table[["worst", "worst_benchmark"]].to_numpy().tolist() == [[-0.5, "b"]]


def test_pairs_with_one_draw_per_seed_are_differences_within_seeds():
    rng = np.random.default_rng(0)
    rows = [(arm, seed, str(item), float(rng.random() < 0.5 + 0.1 * (arm == "x")))
            for arm in ("untrained", "random", "x") for seed in ((-1,) if arm == "untrained" else range(4)) for item in range(60)]  # fmt: skip
    items = pd.DataFrame(rows, columns=["arm", "seed", "item_id", "score"]).assign(group="robustness", benchmark="b")
    sides = indices.by_group(items)
    random, x = (sides["robustness"][arm] for arm in ("random", "x"))
    (row,) = indices.pairs(sides, [("random", "x")], QUICK, paired=True).to_dict("records")
    within = (x[0] - random[0]).mean(axis=1)
    assert row["change"] == pytest.approx(within.mean())
    assert (row["seeds"], row["draws"]) == (4, 4)
    e = intervals.estimate(random, x, paired=True)
    assert (row["low"], row["high"]) == intervals.interval(e)
    assert e.seeds == pytest.approx(within.var(ddof=1) / 4)
