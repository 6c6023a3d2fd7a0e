"""A study that has not run to its end: what is shown of it before its arms can be compared."""

import pandas as pd
import pytest

from helpers.report import publish, unfinished
from helpers.study.study import open_study


def test_what_a_search_tool_brings_to_the_untrained_model_is_published_before_any_training(tmp_path, monkeypatch):
    monkeypatch.setenv("STUDY_RUNS", str(tmp_path))
    study = open_study("search_dev")
    assert unfinished.search(study, unfinished.enough(study)) is None
    about = {
        "group": "specialisation",
        "filter": "none",
        "rotation": 0,
        "mode": "reasoning",
        "predicted": "A",
        "target": "A",
        "format_valid": True,
    }
    parts = [
        pd.DataFrame({"item_id": [str(n) for n in range(20)], "correct": [n < right for n in range(20)], "answerable": [n < 5 for n in range(20)]})
        .assign(benchmark=f"medqa_dev_reasoning{end}", task=f"medqa_dev_reasoning{end}", **about)
        for end, right in (("", 4), ("_search", 6))
    ]  # fmt: skip
    for task in parts:
        path = study.path("eval", "untrained", "tasks", f"{task['task'].iloc[0]}.parquet")
        path.parent.mkdir(parents=True, exist_ok=True)
        task.to_parquet(path)
    pd.concat(parts).to_parquet(study.path("eval", "untrained", "scores.parquet"))
    publish.publish_unfinished(study, tmp_path / "out")
    table = pd.read_csv(tmp_path / "out/search_effect.csv")
    assert table[["items", "arm"]].to_numpy().tolist() == [[20, "untrained"], [5, "untrained"]], (
        "all, and those with the answer in the passages"
    )
    assert table["search"].tolist() == pytest.approx([0.1, 0.2])
    assert (table["search_low"] < table["search"]).all()
    assert table["against_random"].isna().all()


def test_an_arm_with_all_its_seeds_is_compared_with_the_untrained_model_alone(parameters, tmp_path, monkeypatch):
    """Another arm lacks a seed."""
    monkeypatch.setenv("STUDY_RUNS", str(tmp_path / "runs"))
    study = open_study(str(parameters(lambda values: values.update(seeds=[0, 1]))))
    whole, other = list(study.arms)[:2]
    right = {
        ("untrained",): 40,
        **{(whole, seed): 60 + 4 * place for place, seed in enumerate(study.seeds)},
        (other, study.seeds[0]): 90,
    }
    for model, correct in right.items():
        path = study.path("eval", *model, "scores.parquet")
        path.parent.mkdir(parents=True, exist_ok=True)
        items = {"item_id": [str(n) for n in range(100)], "correct": [n < correct for n in range(100)]}
        about = {
            "task": "gsm8k",
            "benchmark": "gsm8k",
            "group": "robustness",
            "setting": "",
            "filter": "none",
            "rotation": 0,
            "chance": 0.0,
        }
        pd.DataFrame(items).assign(**about).to_parquet(path)
    (row,) = unfinished.gains(study, unfinished.enough(study)).to_dict("records")
    assert (row["arm"], row["seeds"]) == (whole, 2)
    assert row["vs_untrained"] == pytest.approx(0.22)
    assert row["vs_untrained_low"] < row["vs_untrained"] < row["vs_untrained_high"]


def test_the_random_arm_is_shown_from_three_seeds_on(tmp_path, monkeypatch):
    """Whether training works does not wait for the other arms; another arm with three of its eight seeds is not shown."""
    monkeypatch.setenv("STUDY_RUNS", str(tmp_path / "runs"))
    study = open_study("medicine")
    for place, model in enumerate(
        [("untrained",), *(("random", seed) for seed in (0, 1)), *(("hard500", seed) for seed in (0, 1, 2))]
    ):
        path = study.path("eval", *model, "scores.parquet")
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = pd.DataFrame({"item_id": [str(n) for n in range(50)], "correct": [n < 20 + place for n in range(50)]})
        about = {"task": "gsm8k", "benchmark": "gsm8k", "group": "robustness", "setting": "", "filter": "none", "rotation": 0}
        rows.assign(**about, chance=0.0).to_parquet(path)
    assert unfinished.gains(study, unfinished.enough(study)).empty
    third = study.path("eval", "random", 2, "scores.parquet")
    third.parent.mkdir(parents=True)
    rows.assign(**about, chance=0.0).to_parquet(third)
    assert unfinished.gains(study, unfinished.enough(study))[["arm", "seeds"]].to_numpy().tolist() == [["random", 3]]


def test_what_the_tool_brings_to_trained_models_waits_for_all_seeds_of_both_arms(tmp_path, monkeypatch):
    """Three seeds of the random arm are enough to show its gain, but not to stand beside the arm that searches."""
    monkeypatch.setenv("STUDY_RUNS", str(tmp_path))
    study = open_study("search")
    about = {"group": "specialisation", "filter": "none", "rotation": 0}

    def score(*model):
        parts = [
            pd.DataFrame({"item_id": [str(n) for n in range(20)], "correct": [n < right for n in range(20)]})
            .assign(benchmark=f"medqa_reasoning{end}", task=f"medqa_reasoning{end}", **about)
            for end, right in (("", 4), ("_search", 6))
        ]  # fmt: skip
        path = study.path("eval", *model, "scores.parquet")
        path.parent.mkdir(parents=True)
        pd.concat(parts).to_parquet(path)

    def shown():
        return list(unfinished.search(study, unfinished.enough(study))["arm"])

    score("untrained")
    for seed in study.seeds[:3]:
        score("random", seed)
    for seed in study.seeds:
        score("random-search", seed)
    assert shown() == ["untrained"], "the random arm lacks seeds"
    for seed in study.seeds[3:]:
        score("random", seed)
    assert shown() == ["untrained", "random", "random-search"]


def test_the_composition_of_arms_is_known_before_any_training(tmp_path, monkeypatch):
    """Only drawn arms are listed; the most frequent right answer and the trained model's own pass rates belong to the table."""
    monkeypatch.setenv("STUDY_RUNS", str(tmp_path / "runs"))
    study = open_study("medicine")
    assert unfinished.composition(study).empty
    questions = pd.DataFrame(
        {"question_id": list("abcd"), "answer": list("BBBA"), "label": "hard", "pass_rate": [0.0] * 4, "topic": ""}
    )
    file = study.draw_file("hard500", study.seeds[0])
    file.parent.mkdir(parents=True)
    questions.to_parquet(file)
    sampled = study.path("filter", "self-16", "labels.parquet")
    sampled.parent.mkdir(parents=True)
    right = [(question, question in "ab") for question in "abcd" for _ in range(2)]
    answers = pd.DataFrame(right, columns=["question_id", "correct"])
    answers["label"] = answers["correct"].map({True: "easy", False: "hard"})
    answers.to_parquet(sampled)
    (row,) = unfinished.composition(study).to_dict("records")
    assert (row["arm"], row["questions"], row["answer"], row["answer_share"]) == ("hard500", 4, "B", 0.75)
    assert row["pass_rate_low"] < row["pass_rate_high"]


def test_a_model_counts_on_the_tasks_that_it_has_finished(parameters, tmp_path, monkeypatch):
    """All seeds have finished the first task, and one of them the second."""
    monkeypatch.setenv("STUDY_RUNS", str(tmp_path / "runs"))
    study = open_study(str(parameters(lambda values: values.update(seeds=[0, 1]))))
    (first, second), arm = [task.label for task in study.eval.tasks[:2]], list(study.arms)[-1]
    for model, tasks in {("untrained",): (first, second), (arm, 0): (first, second), (arm, 1): (first,)}.items():
        for task in tasks:
            path = study.path("eval", *model, "tasks", f"{task}.parquet")
            path.parent.mkdir(parents=True, exist_ok=True)
            rows = pd.DataFrame({"item_id": [str(n) for n in range(20)], "correct": [n < 8 + len(model) for n in range(20)]})
            rows.assign(task=task, benchmark=task, filter="none", rotation=0, setting="", chance=0.0).to_parquet(path)
    assert unfinished.gains(study, unfinished.enough(study))[["benchmark", "arm", "seeds"]].to_numpy().tolist() == [
        [first, arm, 2]
    ]
