"""The independent recomputation of the primary outcome: its statistics by hand, and that it finds a wrong published number."""

import importlib.util
import re

import numpy as np
import pandas as pd
import pytest
from conftest import REPOSITORY
from scipy import stats

SCRIPT = REPOSITORY / "figures" / "validation" / "recompute.py"
spec = importlib.util.spec_from_file_location("recompute", SCRIPT)
recompute = importlib.util.module_from_spec(spec)
spec.loader.exec_module(recompute)


def test_it_uses_nothing_of_the_project():
    assert not re.search(r"^\s*(import|from) helpers", SCRIPT.read_text(), re.MULTILINE)


def test_seeds_alone_and_items_alone_give_students_interval():
    """Where all items of a seed are equal only seeds matter; with one seed only items do."""
    values = np.array([0.5, 0.0, -0.25, 0.25])
    wanted = stats.ttest_1samp(values, 0)
    for table in (np.tile(values, (50, 1)), values[:, None]):
        low, high, p = recompute.crossed_interval(table)
        assert (low, high) == pytest.approx(wanted.confidence_interval())
        assert p == pytest.approx(wanted.pvalue)


def test_crossed_interval_covers_new_items_and_new_seeds():
    rng, inside = np.random.default_rng(3), []
    for _ in range(400):
        table = rng.normal(0, 0.5, (200, 1)) + rng.normal(0, 0.04, 8) + rng.normal(0, 0.5, (200, 8))
        low, high, _ = recompute.crossed_interval(table)
        inside.append(low <= 0 <= high)
    assert 0.92 <= np.mean(inside) <= 0.98


def test_holm_by_hand():
    p = pd.Series([0.04, np.nan, 0.01, 0.03])
    assert recompute.holm(p).tolist() == pytest.approx([0.06, np.nan, 0.03, 0.06], nan_ok=True)


def test_arms_are_paired_by_seed():
    rows = [
        ("a", 0, "x", True),
        ("a", 1, "x", False),
        ("random", 1, "x", True),
        ("random", 0, "x", False),
        ("random", 2, "x", True),
    ]
    scores = pd.DataFrame(rows, columns=["arm", "seed", "item_id", "correct"])
    assert recompute.differences_from(scores, "a", "random").tolist() == [[1.0, -1.0]]
    other = scores.assign(item_id=["y", "y", "x", "x", "x"])
    with pytest.raises(SystemExit, match="not asked the same items"):
        recompute.differences_from(other, "a", "random")


@pytest.mark.parametrize("shift", [0.0, 1e-6])
def test_published_numbers_are_found_again_and_a_wrong_one_is_reported(tmp_path, monkeypatch, capsys, shift):
    monkeypatch.setattr(recompute, "FIGURES", tmp_path)
    source, study = REPOSITORY / "figures" / "control", tmp_path / "control"
    study.mkdir()
    (study / "data").symlink_to(source / "data")
    table = pd.read_csv(source / "comparison.csv")
    table.loc[table["benchmark"] == "gsm8k_reasoning", "vs_random"] += shift
    table.to_csv(study / "comparison.csv", index=False)
    if shift:
        with pytest.raises(SystemExit, match="Not the published numbers: vs_random$"):
            recompute.main("control")
    else:
        recompute.main("control")
        said = capsys.readouterr().out
        assert "or the reverse: 0" in said
        assert "trained on: 0" in said


def test_held_out_questions_among_training_questions_are_counted(tmp_path):
    (tmp_path / "data/split/self/seed0").mkdir(parents=True)
    pd.DataFrame({"question_id": ["a", "b"]}).to_parquet(tmp_path / "data/split/self/seed0/train.parquet")
    scores = pd.DataFrame({"benchmark": ["pool_held_out"] * 3 + ["gsm8k_reasoning"], "item_id": ["b", "b", "c", "a"]})
    assert recompute.held_out_in_training(tmp_path, scores) == 1
