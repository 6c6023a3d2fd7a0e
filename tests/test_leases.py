"""figures/validation/leases.py on made-up accuracies whose truth is known."""

import importlib.util

import pandas as pd
import pytest

from helpers.study.places import REPOSITORY

spec = importlib.util.spec_from_file_location("leases", REPOSITORY / "figures" / "validation" / "leases.py")
leases = importlib.util.module_from_spec(spec)
spec.loader.exec_module(leases)

CARD = {"random": ["H200"] * 4, "hard": ["H200", "H100", "H100", "H100"]}


def made_up(cards):
    """hard teaches one point more than random, and an H100 two points more than an H200."""
    rows = [
        {
            "benchmark": "held",
            "arm": arm,
            "seed": seed,
            "device": card,
            "accuracy": 0.6 + 0.01 * (arm == "hard") + 0.02 * (card == "H100"),
        }
        for arm, own in cards.items()
        for seed, card in enumerate(own)
    ]
    table = pd.DataFrame(rows).sort_values("device", ascending=False, ignore_index=True)
    return table.assign(made=pd.Timestamp("2026-01-01") + pd.to_timedelta(range(len(table)), unit="min"))


def test_the_effect_of_a_card_is_not_taken_for_that_of_an_arm():
    (row,) = leases.differences(leases.with_leases(made_up(CARD))).to_dict("records")
    assert (row["arm"], row["models"]) == ("hard", 8)
    assert row["difference"] == pytest.approx(2.5)
    assert row["adjusted"] == pytest.approx(1.0)


def test_what_the_readme_says_of_the_leases_of_choice():
    table = leases.with_leases(leases.models(REPOSITORY / "figures/choice")).drop_duplicates(["arm", "seed"])
    counts = table.groupby(["lease", "arm"]).size().unstack(fill_value=0)
    without = counts[counts["random"] == 0]
    assert without[["half", "hardest-solvable"]].sum().tolist() == [7, 7]
    assert counts[["half", "hardest-solvable"]].sum().tolist() == [8, 8]
    text = " ".join((REPOSITORY / "README.md").read_text(encoding="utf-8").split())
    assert "Of *half* and of *hardest-solvable*, seven of eight models come from a lease without *random*" in text


def test_an_arm_that_had_a_lease_of_its_own_is_not_adjusted():
    (row,) = leases.differences(leases.with_leases(made_up({"random": ["H200"] * 4, "hard": ["H100"] * 4}))).to_dict("records")
    assert row["difference"] == pytest.approx(3.0)
    assert "adjusted" not in row


def test_a_pause_begins_another_lease_and_the_negative_control_is_left_out():
    table = made_up({"random": ["H200"] * 4, "random-reward": ["H200"] * 4})
    table.loc[5:, "made"] += pd.Timedelta(hours=3)
    assert leases.with_leases(table)["lease"].tolist() == [1] * 5 + [2] * 3
    assert leases.differences(leases.with_leases(table)).empty
