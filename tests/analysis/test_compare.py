"""The comparison of benchmarks against cases worked by hand."""

import numpy as np
import pandas as pd
from scored import QUICK, scores, suite

from helpers.analysis import compare, indices, intervals


def test_comparison_table_by_hand():
    table = compare.comparison(scores(), QUICK).set_index(["benchmark", "arm"])
    assert table.loc[("a", "x"), "accuracy"] == 0.5
    assert table.loc[("a", "x"), "vs_untrained"] == 0.25
    assert table.loc[("a", "x"), "vs_untrained_p"] == 1.0
    assert np.isnan(table.loc[("a", "untrained"), "vs_untrained"])


def test_a_suite_is_cut_by_side_and_stands_once_as_a_whole():
    table = compare.by_suite(suite())
    assert table[["benchmark", "group"]].drop_duplicates().to_numpy().tolist() == [
        ["mmlu: specialisation", "specialisation"], ["mmlu: robustness", "robustness"], ["mmlu", "whole"]]  # fmt: skip
    compared = compare.comparison(table, QUICK).set_index(["benchmark", "arm"])
    assert compared.loc[("mmlu", "x"), "accuracy"] == 1.0
    assert compared.loc[("mmlu", "untrained"), "accuracy"] == 0.5
    assert set(indices.group_changes(indices.item_scores(suite()), QUICK)["group"]) == {"specialisation", "robustness"}


def test_without_a_suite_that_is_cut_no_row_is_added():
    plain = scores().assign(group="robustness")
    table = compare.by_suite(plain.assign(task=plain["benchmark"], rotation=0))
    assert len(table) == len(plain)
    assert table["arm"].notna().all()


def test_every_seed_beside_the_random_model_of_the_same_seed():
    rows = [
        ("untrained", -1, 0), ("random", 0, 1), ("random", 0, 0), ("random", 1, 0), ("random", 1, 0), ("x", 0, 1), ("x", 0, 1), ("x", 1, 1), ("x", 1, 0),
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["arm", "seed", "correct"]).assign(group="robustness", benchmark="a", filter="none")
    found = compare.by_seed(table).set_index(["arm", "seed"])
    assert found["accuracy"].to_dict() == {("random", 0): 0.5, ("random", 1): 0.0, ("x", 0): 1.0, ("x", 1): 0.5}
    assert found.loc["x", "vs_random"].to_dict() == {0: 0.5, 1: 0.5}
    assert found.loc["random", "vs_random"].isna().all()
    assert set(found["items"]) == {2}
    assert compare.by_seed(table[table["arm"] != "random"])["vs_random"].isna().all()
    alone = compare.by_seed(table[(table["arm"] != "random") | (table["seed"] == 0)]).set_index(["arm", "seed"])["vs_random"]
    assert alone["x"].fillna(-9).to_dict() == {0: 0.5, 1: -9}
    both = compare.by_seed(pd.concat([table, table.assign(benchmark="b", correct=1 - table["correct"])]))
    assert both.query("arm == 'x'").set_index(["benchmark", "seed"])["vs_random"].to_dict() == {
        ("a", 0): 0.5,
        ("a", 1): 0.5,
        ("b", 0): -0.5,
        ("b", 1): -0.5,
    }


def test_the_family_of_holm_leaves_out_what_is_counted_already():
    table = compare.comparison(compare.by_suite(suite()), QUICK)
    asked = table[table["arm"] == "x"].set_index("group")
    assert np.isnan(asked.loc["whole", "vs_untrained_p_holm"])
    assert asked.loc[["specialisation", "robustness"], "vs_untrained_p_holm"].notna().all()


def test_dose_keeps_only_what_varies():
    changes = pd.DataFrame({"arm": ["a", "b", "c"], "group": "robustness", "change": 0.0, "low": 0.0, "high": 0.0})
    rows = compare.dose(changes, {"a": ("self", 100), "b": ("self", 500), "c": ("larger", 500)})
    assert rows[["series", "x"]].to_numpy().tolist() == [["self", 100], ["self", 500]]


def test_only_seeds_that_every_arm_has_are_compared_within_seeds():
    rows = [("untrained", -1), ("a", 0), ("a", 1), ("b", 1), ("b", 2)]
    kept = compare.common_seeds(pd.DataFrame(rows, columns=["arm", "seed"]))
    assert kept.to_numpy().tolist() == [["untrained", -1], ["a", 1], ["b", 1]]


def test_comparison_with_one_draw_per_seed():
    rng = np.random.default_rng(0)
    parts = [scores().query("arm == 'x'").assign(arm=arm, seed=seed) for arm in ("random", "x") for seed in range(3)]
    table = pd.concat([scores().query("arm == 'untrained'").assign(seed=-1), *parts], ignore_index=True)
    table["correct"] = rng.random(len(table)) < 0.5
    row = compare.comparison(table, QUICK, paired=True).set_index(["benchmark", "arm"]).loc[("a", "x")]
    wide = table[table["benchmark"] == "a"].pivot_table(
        index=["arm", "seed"], columns="item_id", values="correct", aggfunc="first"
    )
    e = intervals.estimate([wide.loc["random"].to_numpy(float)], [wide.loc["x"].to_numpy(float)], paired=True)
    assert (row["vs_random"], row["vs_random_p"]) == (e.difference, intervals.p_value(e))
    assert (row["seeds"], row["draws"]) == (3, 3)


def test_a_negative_control_does_not_raise_what_other_arms_can_detect():
    """Its seeds end anywhere, so it has a variance of its own."""
    rng = np.random.default_rng(0)
    rates = {"untrained": [0.6], "random": [0.7] * 4, "x": [0.71, 0.69, 0.7, 0.7], "control": [0.1, 0.6, 0.3, 0.5]}
    rows = [(arm, seed if arm != "untrained" else -1, str(item), rng.random() < rate)
            for arm, own in rates.items() for seed, rate in enumerate(own) for item in range(400)]  # fmt: skip
    table = pd.DataFrame(rows, columns=["arm", "seed", "item_id", "correct"]).assign(
        benchmark="b", filter="none", group="specialisation", chance=0.0, setting=""
    )
    without = compare.comparison(table[table["arm"] != "control"], QUICK, paired=True).set_index("arm")
    apart = compare.comparison(table, QUICK, paired=True, controls=["control"]).set_index("arm")
    for base in ("vs_untrained_detectable", "vs_random_detectable"):
        assert apart.at["x", base] == without.at["x", base]
        assert apart.at["control", base] > 3 * apart.at["x", base]
    assert compare.comparison(table, QUICK, paired=True).set_index("arm").at["x", base] > 2 * apart.at["x", base]
    items = table.assign(score=table["correct"].astype(float), group="robustness")
    two = [("random", "x"), ("random", "control")]
    x, control = indices.pairs(indices.by_group(items), two, QUICK, paired=True, controls=["control"]).to_dict("records")
    alone = indices.pairs(indices.by_group(items[items["arm"] != "control"]), two[:1], QUICK, paired=True)["detectable"].item()
    assert x["detectable"] == alone < control["detectable"] / 3
    changes = indices.group_changes(items, QUICK, paired=True, controls=["control"]).set_index("arm")["detectable"]
    assert changes["x"] < changes["control"] / 3
