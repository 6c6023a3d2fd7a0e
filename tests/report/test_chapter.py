"""The table of every seed that 05_analysis shows."""

from types import SimpleNamespace

import pandas as pd

from helpers.report import chapter

ROWS = [("random", 1, 0.3), ("random", 2, 0.4), ("x", 0, 0.5), ("x", 1, 0.6), ("x", 2, 0.7)]  # the first arm lacks seed 0


def results(about_search: bool = False, seeds: int = 3, benchmark: str = "pool_held_out") -> SimpleNamespace:
    table = pd.DataFrame(ROWS, columns=["arm", "seed", "accuracy"]).query("seed >= 3 - @seeds")
    table = table.assign(benchmark="pool_held_out", filter="none", group="specialisation")
    primary = pd.DataFrame({"benchmark": [benchmark], "outcome": ["held-out questions"]})
    return SimpleNamespace(by_seed=table, primary=primary.head(0 if about_search else 1), about_search=about_search)


def test_seeds_stand_in_order_with_a_gap_where_an_arm_lacks_one():
    table = chapter.by_seed(results())
    assert list(table) == ["outcome", "arm", "seed 0", "seed 1", "seed 2"]
    assert table.set_index("arm").loc["x"].tolist() == ["held-out questions", 0.5, 0.6, 0.7]
    assert table.set_index("arm")["seed 0"].isna().to_dict() == {"random": True, "x": False}


def test_a_search_study_shows_all_its_benchmarks():
    assert set(chapter.by_seed(results(about_search=True))["outcome"]) == {"held-out questions"}


def test_nothing_with_one_seed_or_without_a_primary_outcome():
    assert chapter.by_seed(results(seeds=1)).empty
    assert chapter.by_seed(results(benchmark="another")).empty
