"""What is published of the real studies is whole: every model, seed, benchmark and item."""

import pandas as pd
import pytest
from conftest import REPOSITORY

from helpers.study.study import UNTRAINED, open_study

ITEMS = {  # of each task; the sample of MMLU-Pro is 560 of its questions
    "mmlu": 14_042, "mmlu_pro_likelihood": 12_032, "mmlu_pro": 560, "gsm8k": 1_319, "cmmlu": 11_582, "medqa_4options": 1_273,
    "medqa_reasoning": 1_273, "mmlu_medical_reasoning": 1_871, "gsm8k_reasoning": 1_319, "pool_held_out": 2_000, "medmcqa": 4_183,
    "pubmedqa": 500, "medxpertqa": 2_450, "medbullets_op4": 308, "medbullets_op5": 308,
}  # fmt: skip


@pytest.mark.parametrize("name", ["small", "control"])
def test_every_item_of_every_model_is_there(name):
    study, folder = open_study(name), REPOSITORY / "figures" / name / "data"
    assert len(study.seeds) == 3
    models = [(UNTRAINED,)] + [(arm, f"seed{seed}") for arm in study.arms for seed in study.seeds]
    for model in models:
        scores = pd.read_parquet(folder.joinpath("eval", *model, "scores.parquet"))
        assert set(scores["task"]) == {task.name for task in study.eval.tasks}
        assert set(scores.loc[scores["task"] == "gsm8k", "filter"]) == {"strict-match", "flexible-extract"}
        for (task, _, _), part in scores.groupby(["task", "filter", "rotation"], dropna=False):
            assert (len(part), part.duplicated(["benchmark", "item_id"]).sum()) == (ITEMS[task], 0), (model, task)
        assert scores.loc[scores["task"] == "medqa_4options", "rotation"].nunique() == 4


@pytest.mark.parametrize("name", ["small", "control"])
def test_labels_logs_and_rollouts_are_there_and_no_texts_of_the_data_sets(name):
    study, folder = open_study(name), REPOSITORY / "figures" / name / "data"
    for arm in study.arms:
        chosen = pd.read_parquet(folder / "split" / arm / "train.parquet")
        assert len(chosen) == study.arms[arm].wanted
        assert set(chosen) == {"question_id", "id", "answer", "topic", "pass_rate", "label"}
        for seed in study.seeds:
            steps = pd.read_csv(folder / "train" / arm / f"seed{seed}" / "log.csv")["step"]
            assert len(steps) == study.training(arm).steps(study.arms[arm].wanted)
            wrote = pd.read_parquet(folder / "train" / arm / f"seed{seed}" / "completions.parquet")
            assert len(wrote) == len(steps) * study.training(arm).completions_per_step
            assert set(wrote.select_dtypes(["object", "string"])) == {"question_id", "completion"}
    for filter in study.filters:
        labels = pd.read_parquet(folder / "filter" / filter / "labels.parquet")
        assert labels["question_id"].is_unique
        assert set(labels["response"].dropna()) <= {""}
    scores = pd.read_parquet(folder / "eval" / UNTRAINED / "scores.parquet")
    assert set(scores["response"].dropna()) <= {""}
    assert scores[["predicted", "target"]].stack().str.len().max() < 40  # letters and numbers


def test_runs_of_the_same_seed():
    """The README of the results says that they are equal in every digit."""
    for name, weights in (("small", {"trained weights"}), ("quickstart", {"trained weights"}), ("choice_strict", set())):
        table = pd.read_csv(REPOSITORY / "figures" / "repeat" / f"{name}.csv")
        assert (table["compared"] == table["equal"]).all()
        assert weights | {"log: loss", "rollouts"} <= set(table["what"])


def test_a_training_is_repeatable_between_leases_and_generated_answers_are_not():
    table = pd.read_csv(REPOSITORY / "figures" / "repeat" / "choice_leases.csv").set_index("what")
    generated = [name for name in table.index if name.endswith(("gsm8k", "gsm8k_reasoning", "pool_held_out"))]
    assert (table["compared"] == table["equal"]).drop(generated).all()
    differ = 100 * (1 - table["equal"] / table["compared"])[generated]
    answers, right = (differ[differ.index.str.startswith(kind)] for kind in ("answers", "right"))
    text = " ".join((REPOSITORY / "figures" / "README.md").read_text().split())
    assert (
        f"{answers.min():.0f} to {answers.max():.0f} % differ in their text and {right.min():.0f} to {right.max():.0f} %" in text
    )


def test_the_control_shows_that_training_works():
    table = pd.read_csv(REPOSITORY / "figures" / "control" / "comparison.csv")
    held_out = table[(table["benchmark"] == "pool_held_out") & (table["arm"] != UNTRAINED)]
    assert set(held_out["arm"]) == {"random", "self"}
    assert (held_out["vs_untrained_low"] > 0).all()
