"""Warnings about the indices, and when robustness could hardly fall."""

import pandas as pd

from helpers.analysis import index_checks, indices
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


def answers(*rows):
    """Scores of 100 items each: (task, group, right of them, chance)."""
    return pd.concat(
        [
            pd.DataFrame({"task": task, "benchmark": task, "group": group, "arm": arm, "seed": seed, "rotation": 0, "filter": "none",
                          "item_id": range(100), "correct": [n < right for n in range(100)], "chance": chance,
                          "predicted": list("ABCD") * 25, "target": list("DCBA") * 25})
            for task, group, right, chance in rows
            for arm, seed in (("untrained", -1), ("random", 0))
        ], ignore_index=True
    )  # fmt: skip


CMMLU, MEDQA = ("cmmlu", "robustness", 50, 0.25), ("medqa_4options", "robustness", 26, 0.25)


def found(*rows):
    scores = answers(*rows)
    items = indices.item_scores(scores)
    return index_checks.guessed(scores, items), index_checks.insensitive(scores, items)


def test_a_benchmark_that_the_untrained_model_only_guesses():
    """Also one below chance, and one without chance and without a right answer; not one of another group, or one that no index has."""
    (near,), why = found(CMMLU, MEDQA)
    assert near == (index_checks.AT_CHANCE, "MedQA", "26.0%, by guessing 25.0%")
    assert why == "the untrained model only guesses on 1 of the 2 benchmarks (MedQA)"
    near, _ = found(("cmmlu", "robustness", 10, 0.25), ("gsm8k", "robustness", 0, 0.0), ("mmlu", "specialisation", 25, 0.25))
    assert [one.where for one in near] == ["CMMLU", "GSM8K"]
    near, _ = found(CMMLU, ("medbullets_op4", "robustness", 25, 0.25), ("medbullets_op5", "robustness", 60, 0.2))
    assert near == []  # Medbullets counts with five options


def test_robustness_can_hardly_fall_if_half_of_its_benchmarks_are_guessed():
    assert found(CMMLU, MEDQA, ("mmlu", "robustness", 50, 0.25))[1] == ""
    assert found(CMMLU, MEDQA, ("mmlu", "robustness", 25, 0.25))[1].endswith("2 of the 3 benchmarks (MedQA, MMLU)")
    assert found(CMMLU)[1] == ""


def test_a_benchmark_answered_with_one_letter_is_in_no_index():
    scores = answers(CMMLU, MEDQA)
    scores.loc[scores["task"] == "medqa_4options", "predicted"] = "B"
    items = indices.item_scores(scores)
    assert index_checks.guessed(scores, items) == []
    assert [one.where for one in index_checks.left_out(scores)] == ["MedQA"]
