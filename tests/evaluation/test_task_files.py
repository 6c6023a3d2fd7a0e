"""What decides the scores of a project's task: its file with what it includes, and the source of its functions."""

import shutil

import pytest

from helpers.evaluation import benchmarks, task_files
from helpers.study.places import TASKS
from helpers.study.schema_eval import Task
from helpers.study.study import open_study


@pytest.fixture
def tasks(tmp_path, monkeypatch):
    """A copy of the task files; nothing about them is remembered."""
    shutil.copytree(TASKS, tmp_path / "tasks")
    monkeypatch.setattr(task_files, "TASKS", tmp_path / "tasks")
    task_files.source.cache_clear()
    yield tmp_path / "tasks"
    task_files.source.cache_clear()


def edit(path, before, after):
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))
    task_files.source.cache_clear()


def test_a_file_is_read_with_what_it_includes_and_functions_as_names(tasks):
    found = task_files.read("medqa_reasoning")
    assert (found["task"], found["doc_to_text"]) == ("medqa_reasoning", "prompt")
    assert found["process_results"] == "helpers.evaluation.judging.reasoning_result"


def test_scores_from_before_stay_current_until_their_task_is_edited(tasks):
    names = {path.stem for path in TASKS.glob("[!_]*.yaml")}
    newer = {"medcalc_bench", "medqa_dev_reasoning"}
    assert {name for name in names if task_files.source(name)} == newer
    assert task_files.source("mmlu") is None
    edit(tasks / "_reasoning.yaml", 'until: ["\\nUser"]', 'until: ["\\nUser", "Question"]')
    assert {name for name in names if task_files.source(name)} == {name for name in names if "reasoning" in name} | {
        "medcalc_bench", "pool_held_out"}  # fmt: skip
    first = task_files.source("medqa_reasoning")
    edit(tasks / "medqa_reasoning.yaml", "version: 1.0", "version: 2.0")
    assert task_files.source("medqa_reasoning") not in (None, first)


def test_an_edit_of_one_member_is_an_edit_of_its_group(tasks):
    assert task_files.source("mmlu_pro_likelihood") is None
    edit(tasks / "mmlu_pro_likelihood_law.yaml", "version: 1.0", "version: 1.1")
    assert task_files.source("mmlu_pro_likelihood")
    assert task_files.source("mmlu_pro_likelihood_law")
    assert task_files.source("mmlu_pro_likelihood_health") is None


def test_an_edit_of_a_function_or_of_one_that_it_calls_is_an_edit_of_its_tasks(tasks, monkeypatch):
    source = task_files.inspect.getsource
    monkeypatch.setattr(task_files.inspect, "getsource", lambda one: source(one) + ("#" if one.__name__ == "letters_of" else ""))
    task_files.source.cache_clear()
    assert task_files.source("medxpertqa")
    assert task_files.source("mmlu_pro_likelihood")
    assert task_files.source("medqa_reasoning") is None
    monkeypatch.setattr(
        task_files.inspect, "getsource", lambda one: source(one) + ("#" if one.__name__ == "_medbullets_row" else "")
    )
    task_files.source.cache_clear()
    assert task_files.source("medbullets_op4")
    assert task_files.source("pubmedqa_mirror") is None


def test_a_docstring_decides_no_score(tasks, monkeypatch):
    source, before = task_files.inspect.getsource, task_files.source("medcalc_bench")
    monkeypatch.setattr(task_files.inspect, "getsource", lambda one: source(one).replace('"""', '"""In other words: ', 1))
    task_files.source.cache_clear()
    assert task_files.source("medcalc_bench") == before
    assert task_files.source("medqa_reasoning") is None


def test_an_edited_task_has_other_settings(tasks, parameters):
    study, task = open_study(str(parameters())), Task(name="starter_medicine_reasoning")
    before = benchmarks.settings(study, task)
    assert "source" not in before
    edit(tasks / "starter_medicine_reasoning.yaml", "version: 1.0", "version: 1.1")
    assert benchmarks.settings(study, task) == before | {"source": task_files.source("starter_medicine_reasoning")}
