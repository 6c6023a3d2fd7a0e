"""What a study has recorded, as 05_analysis reads it."""

import pytest
import simulated

from helpers.analysis.recorded import Recorded, arms_in_words
from helpers.study.files import StudyError
from helpers.study.study import open_study


def test_arms_in_words():
    arms = arms_in_words(open_study("passrate")).set_index("arm")
    assert arms.loc["random", ["questions", "chosen by", "answers"]].tolist() == ["500 at random", "chance", ""]
    assert arms.loc["self", "questions"] == "400 hard, 100 easy"
    assert arms.loc["half", "questions"] == "500 with a pass rate near 0.5"
    assert arms.loc[["self", "half"], "answers"].tolist() == [
        "one greedy answer per question",
        "8 answers per question at temperature 1",
    ]
    assert arms_in_words(open_study("qlora")).set_index("arm").loc["self-qlora", "trained"] == "method qlora"


def test_seeds_that_an_arm_lacks_count_nowhere_in_a_paired_study(parameters, tmp_path, monkeypatch):
    monkeypatch.setenv("STUDY_RUNS", str(tmp_path / "runs"))
    study = open_study(str(parameters(lambda p: p.update(seeds=[0, 1, 2], split=p["split"] | {"draws": "per_seed"}))))
    simulated.make(study, size=0.01, pool=60, steps=2)
    study.path("eval", list(study.arms)[-1], 1, "scores.parquet").unlink()
    recorded = Recorded(study)
    assert recorded.compared_seeds == [0, 2]
    for table in (recorded.answers, recorded.raw, recorded.logs, recorded.rollouts):
        assert set(table["seed"]) - {-1} == {0, 2}


def test_models_that_were_not_scored_are_missing(parameters, tmp_path, monkeypatch):
    monkeypatch.setenv("STUDY_RUNS", str(tmp_path / "runs"))
    study = open_study(str(parameters()))
    simulated.make(study, size=0.01, pool=60, steps=2)
    recorded = Recorded(study)
    assert recorded.missing == []
    assert recorded.seeds == len(study.seeds)
    first = list(study.arms)[0]
    assert set(recorded.logs["arm"]) == set(study.arms)
    study.path("eval", first, study.seeds[0], "scores.parquet").unlink()
    assert Recorded(study).missing == [f"{first}/seed{study.seeds[0]}"]
    study.path("eval", "untrained", "scores.parquet").unlink()
    with pytest.raises(StudyError, match="the untrained model and at least one arm must be scored; run 04_eval for untrained"):
        Recorded(study)
