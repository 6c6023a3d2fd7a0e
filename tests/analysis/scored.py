"""Small tables of scores that several tests share."""

import pandas as pd

from helpers.study.schema_eval import Analysis

QUICK = Analysis(resamples=200)


def scores():
    """Two benchmarks of four and two items, for the untrained model and one run of an arm."""
    rows = [("a", "untrained", [1, 0, 0, 0]), ("a", "x", [1, 1, 0, 0]), ("b", "untrained", [1, 1]), ("b", "x", [0, 1])]
    return pd.DataFrame([
        {"benchmark": b, "arm": arm, "seed": 0, "group": "specialisation", "filter": "none", "item_id": str(i), "correct": bool(c),
         "chance": 0.25, "mode": "likelihood", "setting": "0-shot", "task": b, "rotation": 0, "predicted": "", "target": ""} for b, arm, items in rows for i, c in enumerate(items)])  # fmt: skip


def suite():
    """A suite of two benchmarks on two sides, one item each in two rotations, for two models."""
    rows = [
        ("mmlu_anatomy", "specialisation", "untrained", 0, "A", "A"), ("mmlu_anatomy", "specialisation", "untrained", 1, "A", "B"),
        ("mmlu_law", "robustness", "untrained", 0, "A", "B"), ("mmlu_law", "robustness", "untrained", 1, "A", "A"),
        ("mmlu_anatomy", "specialisation", "x", 0, "A", "A"), ("mmlu_anatomy", "specialisation", "x", 1, "B", "B"),
        ("mmlu_law", "robustness", "x", 0, "B", "B"), ("mmlu_law", "robustness", "x", 1, "A", "A"),
    ]  # fmt: skip
    names = ["benchmark", "group", "arm", "rotation", "predicted", "target"]
    table = pd.DataFrame(rows, columns=names).assign(
        task="mmlu", item_id="0", filter="none", seed=0, chance=0.5, setting="", mode="likelihood"
    )
    return table.assign(correct=table["predicted"] == table["target"])
