"""A study that was run against its plan: which published studies count as known before it, and GPU hours per kind of job."""

import json

import pandas as pd
import pytest
from conftest import REPOSITORY

from helpers.analysis.power import minimum_detectable_effect
from helpers.models import shape
from helpers.plan import cost, machine, measured
from helpers.study.study import open_study

COLUMNS = ["group", "benchmark", "filter", "items", "draws", "sd_seed", "sd_items", "sd_difference"]
OWN = pd.DataFrame([("specialisation", "gsm8k_reasoning", "none", 1319, 3, 0.01, 0.0, 0.02)], columns=COLUMNS)


@pytest.fixture
def figures(tmp_path):
    """Two published studies of the control's pool: one that was finished on the first of the month, one on the third."""
    for name, day, sd in (("first", 1, 0.03), ("third", 3, 0.05)):
        folder = tmp_path / name
        folder.mkdir()
        pd.DataFrame([{"model": "m", "pool": "openai/gsm8k", "seeds": 8}]).to_csv(folder / "study.csv", index=False)
        OWN.assign(sd_difference=sd).to_csv(folder / "components.csv", index=False)
        (folder / "provenance.json").write_text(json.dumps({"a": {"made": f"2026-01-0{day}"}, "b": {"made": "2026-01-01"}}))
    return tmp_path


def test_only_studies_that_were_finished_before_the_first_result_count_as_known(figures):
    study = open_study("control")
    table = measured.effects(study, OWN, [{"made": "2026-01-02"}, {"made": "2026-01-09"}], figures).set_index("task")
    row = table.loc["gsm8k_reasoning"]
    assert (row["source"], row["items"]) == ("first", 1319)
    assert row["random_before"] == pytest.approx(minimum_detectable_effect(0.03, 3))
    assert row["random_after"] == pytest.approx(minimum_detectable_effect(0.02, 3))
    assert row["untrained_after"] == pytest.approx(minimum_detectable_effect(0.01, 3))
    assert table.loc["mmlu", "source"] == ""
    assert table.loc["mmlu", ["random_before", "random_after"]].isna().all()
    early = measured.effects(study, OWN, [{"made": "2026-01-01"}], figures)
    assert early["random_before"].isna().all()
    assert measured.effects(study, OWN.head(0), [{"made": "2026-01-02"}], figures) is None, "one seed"


def test_gpu_hours_stand_beside_those_of_the_plan(tmp_path, monkeypatch):
    monkeypatch.setenv("STUDY_RUNS", str(tmp_path))
    study = open_study("control")
    study.folder.mkdir(parents=True)
    rows = [
        ("01_filter-self", 60, 0.0, 0.0),
        ("03_grpo_train-a", 3600, 0.5, 1800),
        ("03_grpo_train-b", 3600, 0.5, 1800),
        ("04_eval-a", 720, 1, 720),
    ]
    table = pd.DataFrame(rows, columns=["notebook", "seconds", "gpus", "gpu_seconds"])
    table.to_csv(study.path("times.csv"), index=False)
    notes = [
        {"device": "CPU, 2 threads"},
        {"device": "NVIDIA H200"},
        {"device": "NVIDIA H200"},
        {"device": "NVIDIA H100 80GB HBM3"},
    ]
    found = measured.hours(study, notes).set_index("kind")
    assert list(found.index) == ["training", "evaluation", "all"], "labels took no GPU"
    assert found["measured"].tolist() == pytest.approx([1.0, 0.2, 1.2])
    assert set(found["on"]) == {"NVIDIA H200"}
    halves = study.model_copy(
        update={"train": study.train.model_copy(update={"runs_per_gpu": 2})}
    )  # as shared, not the file's four
    (train,) = (step for step in cost.hours(halves, machine.machine("H200"), None) if step.name == "03 train")
    assert found.loc["training", "planned"] == pytest.approx(train.hours * 2 / train.jobs)
    assert found.loc["all", "ratio"] == pytest.approx(1.2 / found.loc["all", "planned"])
    assert measured.hours(study, notes[:1]) is None, "nothing ran on a GPU"


def test_labels_are_planned_for_the_questions_that_were_labelled(tmp_path, monkeypatch):
    """Not for those of a copy of the pool on this machine, so that a published table of hours can be repeated on another."""
    monkeypatch.setenv("STUDY_RUNS", str(tmp_path))
    study = open_study("medicine")
    for name, spec in study.filters.items():
        study.path("filter", name).mkdir(parents=True)
        pd.DataFrame({"answer": ["A"] * 1000 * spec.samples}).to_parquet(study.path("filter", name, "labels.parquet"))
    pd.DataFrame({"notebook": ["01_filter-self", "01_filter-self-16"], "seconds": [9.0, 9.0], "gpus": [0.5, 0.5], "gpu_seconds": [4.5, 4.5]}).to_csv(
        study.path("times.csv"), index=False)  # fmt: skip
    planned = [
        step.hours for step in cost.hours(study, machine.machine("H200"), None, labelled=1000) if step.name.startswith("01")
    ]
    found = measured.hours(study, [{"device": "NVIDIA H200"}]).set_index("kind")
    assert found.loc["labels", "planned"] == pytest.approx(sum(planned))
    assert sum(planned) < sum(step.hours for step in cost.hours(study, machine.machine("H200"), None, labelled=2000)[:2])


def test_a_plan_for_the_jobs_that_shared_a_gpu():
    """By the median share of each kind of job; a kind that had a GPU of several, or none, keeps the file's number."""
    study = open_study("medicine")
    spent = pd.DataFrame({"notebook": ["03_a", "03_b", "03_c", "04_a", "02_a"], "gpus": [0.1667, 0.1667, 0.25, 2.0, 0.0]})
    shared = measured.as_shared(study, spent)
    assert (shared.train.runs_per_gpu, shared.eval.runs_per_gpu) == (6, study.eval.runs_per_gpu)


def test_the_medicine_study_took_what_the_plan_says():
    """GPU seconds of its jobs in figures/medicine, planned for as many jobs per H200 as shared one.

    A job counts with the sixth of a GPU that it was given also while others were free (three trainings and an evaluation on one H200:
    figures/DIARY.md, 28 November 2026), so the plan is above what was measured.
    """
    study, spent = open_study("medicine"), pd.read_csv(REPOSITORY / "figures" / "medicine" / "data" / "times.csv")
    took = spent[spent["gpu_seconds"] > 0].groupby(spent["notebook"].str[:2])["gpu_seconds"]
    steps = {step.name[:2]: step for step in cost.hours(measured.as_shared(study, spent), machine.machine("H200"), None)}
    planned = {number: 3600 * steps[number].hours / steps[number].jobs for number in took.groups}
    assert 1 / 1.5 < planned["03"] / took.median()["03"] < 1.5
    totals = {number: planned[number] * count for number, count in took.size().items()}
    assert 1 / 1.5 < totals["03"] / took.sum()["03"] < 1.5
    assert 1 / 1.5 < sum(totals.values()) / took.sum().sum() < 1.5


def test_planned_hours_do_not_depend_on_a_copy_of_the_model(tmp_path, monkeypatch):
    """A published table of hours can be repeated on a machine whose mirror has a model of another shape (here: a separate output layer)."""
    study, on = open_study("choice"), machine.gpu("NVIDIA H200", 80 * 2**30)
    folder = tmp_path / study.model.id
    folder.mkdir(parents=True)
    config = {"model_type": "qwen2", "hidden_size": 1536, "intermediate_size": 8960, "num_hidden_layers": 28, "num_attention_heads": 12,
              "num_key_value_heads": 2, "vocab_size": 151936, "tie_word_embeddings": False}  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    planned = cost.hours(study, on, None)
    alone = shape.shape_of(study.model.id)
    monkeypatch.setenv("OFFLINE_MIRROR", str(tmp_path))
    assert cost.hours(study, on, None) == planned
    assert shape.shape_of(study.model.id) != alone
