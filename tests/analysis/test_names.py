"""Names for readers: whatever a reader sees of a published study names its benchmarks as the tables and figures do."""

import json
import re

import pandas as pd
import pytest

from helpers.analysis import names
from helpers.report import pages
from helpers.study.places import FIGURES, REPOSITORY

PUBLISHED = sorted(path.parent.name for path in FIGURES.glob("*/guards.csv"))


def test_a_table_for_readers_keeps_its_rows_and_says_the_answer_filter_once():
    table = pd.DataFrame(
        [
            ("gsm8k", "strict-match", "robustness", 1),
            ("gsm8k", "flexible-extract", "robustness", 2),
            ("mmlu", "none", "whole", 3),
        ],
        columns=["benchmark", "filter", "group", "items"],
        index=[7, 5, 3],
    )
    assert names.shown(table)["benchmark"].to_dict() == {7: "GSM8K (strict format)", 5: "GSM8K (last number)", 3: "MMLU (whole)"}
    assert list(names.shown(table)) == ["benchmark", "group", "items"]
    assert list(table["benchmark"]) == ["gsm8k", "gsm8k", "mmlu"]  # tables that are joined keep the names of tasks
    indices = pd.DataFrame({"without": ["pool_held_out"], "worst_benchmark": ["mmlu_pro"], "filter": ["self"]})
    assert names.shown(indices).to_numpy().tolist() == [["held-out questions", "MMLU-Pro", "self"]]  # here a filter is a model
    assert names.shown(table.head(0)).empty


@pytest.mark.parametrize("study", PUBLISHED)
def test_warnings_and_evidence_of_a_published_study_have_no_names_of_tasks_and_folders(study):
    tables = [pd.read_csv(FIGURES / study / f"{name}.csv").fillna("") for name in ("guards", "verdict")]
    said = " ".join(str(cell) for table in tables for cell in table.to_numpy().ravel())
    tasks = set(pd.read_csv(FIGURES / study / "members.csv")["task"])
    raw = [task for task in tasks if names.benchmark(task) != task and re.search(rf"(?<![\w/]){task}(?!\w)", said)]
    assert (raw, re.findall(r"\S+/seed\d+", said)) == ([], [])


def test_explanations_leave_the_numbers_of_tests_to_the_study():
    cells = json.loads((REPOSITORY / "notebooks/05_analysis.ipynb").read_text(encoding="utf-8"))["cells"]
    said = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
    said += [text for title, text in pages.EXPLAINED.items() if title != "Validation on simulated scores"]
    assert not re.findall(r"power of \d.*|[\d.]+ % (?:level|power|interval|confidence).*|below 0\.0.*", " ".join(said))
