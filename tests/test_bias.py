"""figures/validation/bias.py on answers whose sensitivity and biases are known."""

import importlib.util

import numpy as np
import pandas as pd
import pytest

from helpers.study.places import REPOSITORY

spec = importlib.util.spec_from_file_location("bias", REPOSITORY / "figures" / "validation" / "bias.py")
bias = importlib.util.module_from_spec(spec)
spec.loader.exec_module(bias)


def answers(sensitivity, biases, items=4000):
    """Expected counts, right letter × named letter, of a model with these parameters."""
    weights = np.exp(np.array(biases) + sensitivity * np.eye(4))
    return (items / 4 * weights / weights.sum(axis=1, keepdims=True)).round()


def test_a_bias_towards_one_letter_is_taken_out():
    fair, biased = answers(0.8, [0, 0, 0, 0]), answers(0.8, [-2, -1, 2, 0])
    assert np.trace(biased) < np.trace(fair)
    expected = np.exp(0.8) / (np.exp(0.8) + 3)
    assert bias.unbiased(fair) == pytest.approx(expected, abs=1e-3)
    assert bias.unbiased(biased) == pytest.approx(expected, abs=5e-3)


def test_what_is_no_letter_is_left_out():
    scores = pd.DataFrame({"target": ["A", "B", "B"], "predicted": ["A", "", "C"]})
    assert bias.counts(scores).sum() == 2


def test_differences_are_paired_by_seed():
    rows = [("t", arm, f"seed{k}", 0.3, 0.3 + 0.01 * k + 0.02 * (arm == "hard")) for arm in ("random", "hard") for k in range(3)]
    found = bias.summary(pd.DataFrame(rows, columns=["task", "arm", "seed", "plain", "unbiased"])).set_index("arm")
    assert found.loc["hard", ["difference", "low", "high"]].tolist() == pytest.approx([2, 2, 2])
    assert pd.isna(found.at["random", "difference"])
