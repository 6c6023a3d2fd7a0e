"""Warnings about the indices, and when robustness could hardly fall."""

import pandas as pd

from helpers.analysis import index_checks
from helpers.analysis.checks import Notice


def test_an_index_that_rests_on_one_benchmark():
    def rows(group, **shares):
        return [("untrained", arm, group, name, share) for name, share in shares.items() for arm in ("x", "y")]

    columns = ["first", "second", "group", "without", "variance"]
    table = pd.DataFrame(
        rows("specialisation", a=0.6, b=0.3, c=0.1) + rows("shift", a=0.5, b=0.3, c=0.2) + rows("robustness", a=0.9, b=0.1),
        columns=columns,
    )
    assert index_checks.weight(table) == [(index_checks.HEAVY, "a in specialisation", "60%")]
    assert index_checks.weight(table.head(0)) == []


def test_a_benchmark_left_out_of_the_indices():
    table = pd.DataFrame(
        {"task": "pubmedqa", "arm": "untrained", "seed": -1, "rotation": 0, "predicted": list("AAAA"), "target": list("ABAB")}
    )
    assert index_checks.left_out(table) == [(index_checks.LEFT_OUT, "PubMedQA", "A 100%")]
    assert index_checks.left_out(table.assign(predicted=list("AABB"))) == []


def test_an_index_without_written_answers_is_named():
    modes = pd.DataFrame(
        {"group": ["robustness", "robustness", "specialisation"], "mode": ["likelihood", "likelihood", "reasoning"]}
    )
    assert index_checks.written(modes) == [Notice(index_checks.READ_ONLY, "robustness", "")]
    assert index_checks.written(modes.assign(mode=["likelihood", "generation", "reasoning"])) == []
    assert index_checks.written(modes.iloc[2:]) == []


LETTERED = pd.DataFrame(
    {"task": "pubmedqa", "arm": "untrained", "seed": -1, "rotation": 0, "predicted": list("AAAA"), "target": list("ABAB")}
)


def robustness(*at_chance, names=("medqa_4options", "cmmlu", "mmlu")):
    """Rows of `compare.comparison`, one per robustness benchmark, and some that are not of its index."""
    rows = [("untrained", name, "none", "robustness", near) for name, near in zip(names, at_chance, strict=False)]
    rows += [("untrained", "medxpertqa", "none", "specialisation", True), ("untrained", "pubmedqa", "none", "robustness", True),
             ("random", "medbullets_op4", "none", "robustness", True), ("untrained", "gsm8k", "strict-match", "robustness", True),
             ("untrained", "gsm8k", "flexible-extract", "robustness", False)]  # fmt: skip
    return pd.DataFrame(rows, columns=["arm", "benchmark", "filter", "group", "at_chance"]).assign(accuracy=0.254, chance=0.25)


def test_a_benchmark_that_the_untrained_model_only_guesses():
    """Not one that it knows, one of another group, one left out of them, a trained model's, or the strict reading beside the flexible one."""
    assert index_checks.guessed(robustness(True, False), LETTERED) == [
        (index_checks.AT_CHANCE, "MedQA", "25.4%, by guessing 25.0%")
    ]


def test_robustness_can_hardly_fall_if_half_of_its_benchmarks_are_guessed():
    """The flexible reading of GSM8K counts as a benchmark that the model knows, so that one of three, two of four and none are guessed."""
    assert index_checks.insensitive(robustness(True, False), LETTERED) == ""
    assert index_checks.insensitive(robustness(True, False, True), LETTERED) == "the untrained model only guesses on MedQA, MMLU"
    assert index_checks.insensitive(robustness(), LETTERED) == ""
