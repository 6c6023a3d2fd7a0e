"""Held-out questions: drawn before any arm's, never among an arm's, and never those that chose a recipe."""

import json

import pandas as pd
import pytest
from conftest import REPOSITORY

from helpers.evaluation.set_aside import set_aside
from helpers.questions import pools
from helpers.selection import draws, held_out
from helpers.study.choices import Arm
from helpers.study.errors import StudyError
from helpers.study.schema import Pool
from helpers.study.study import open_study


@pytest.fixture
def pool():
    return pools.load_pool(Pool(source="starter:medicine_pool"))


def ids(frame):
    return set(frame["question_id"])


def test_they_are_the_same_every_time_and_no_draw_has_them(pool):
    away = held_out.draw(pool, 20, 0)
    assert ids(away) == ids(held_out.draw(pool.sample(frac=1.0, random_state=1), 20, 0))
    assert ids(away) != ids(held_out.draw(pool, 20, 1))
    kept = pool[~pool["question_id"].isin(away["question_id"])]
    for seed in range(5):
        assert not ids(away) & ids(draws.choose(kept, Arm(size=83), "x", None, [0, seed], "stop")[0])


def test_excluded_questions_are_never_held_out_and_replace_only_themselves(pool):
    before = held_out.draw(pool, 20, 0)
    never = frozenset(before["question_id"].head(5))
    after = held_out.draw(pool, 20, 0, never)
    assert len(after) == 20
    assert not never & ids(after)
    assert ids(before) - never < ids(after)
    assert ids(held_out.draw(pool, 103, 0)) == ids(pool)
    with pytest.raises(StudyError, match="split.held_out: 99 questions wanted, only 98 of the pool are not excluded"):
        held_out.draw(pool, 99, 0, never)


def test_the_file_of_excluded_questions(tmp_path):
    path = tmp_path / "chosen.txt"
    path.write_text("# chose the learning rate\n0123456789abcdef  # sweep 1\n\nfedcba9876543210\n")
    assert held_out.excluded_ids(path) == {"0123456789abcdef", "fedcba9876543210"}
    path.write_text("0123456789abcdef\nmed-pool-001\n")
    with pytest.raises(StudyError, match="chosen.txt: line 2: 'med-pool-001' is no question id"):
        held_out.excluded_ids(path)


def test_a_study_names_the_file_beside_itself(parameters, tmp_path, pool):
    def change(values):
        values["split"].update(held_out=20, exclude_from_held_out="chosen.txt")
        values["eval"]["tasks"].append({"name": "pool_held_out"})

    before = held_out.draw(pool, 20, 0)
    with pytest.raises(StudyError, match="chosen.txt: no such file"):
        open_study(str(parameters(change)))
    (tmp_path / "chosen.txt").write_text("\n".join(before["question_id"].head(5)))
    study = open_study(str(parameters(change)))
    inputs = study.inputs("held_out")
    assert not ids(before.head(5)) & ids(held_out.draw_of(study, pool))
    (tmp_path / "chosen.txt").write_text("0123456789abcdef\n")
    assert study.inputs("held_out") != inputs
    with pytest.raises(StudyError, match="none of its ids is a question of the pool"):
        held_out.draw_of(study, pool)


def test_they_may_come_from_another_split_whose_copies_are_not_drawn(parameters, tmp_path, monkeypatch):
    monkeypatch.setenv("STUDY_RUNS", str(tmp_path / "runs"))
    rows = [
        {"question": f"Which of these eight metals has {n} electrons?", "options": ["Iron", "Zinc"], "answer": "A"}
        for n in range(60)
    ]
    (tmp_path / "metals").mkdir()
    for split, part in (("train", rows[:40]), ("validation", rows[38:])):
        (tmp_path / "metals" / f"{split}.jsonl").write_text("\n".join(map(json.dumps, part)))

    def change(values):
        values["pool"] = {"source": "metals"}
        values["split"].update(held_out=20, held_out_from="validation")
        values["eval"]["tasks"].append({"name": "pool_held_out"})

    study = open_study(str(parameters(change)))
    found, away = set_aside(study)
    assert ids(away) <= ids(pools.load_pool(Pool(source=str(tmp_path / "metals"), split="validation")))
    copies = ids(pools.study_pool(study)) & ids(away)
    assert copies == ids(found[(found["benchmark"] == "pool_held_out") & (found["kind"] == "exact")])
    assert copies

    unknown = open_study(str(parameters(lambda values: (change(values), values["split"].update(held_out_from="test")))))
    assert study.inputs("held_out") != unknown.inputs("held_out")
    with pytest.raises(StudyError, match="Unknown split"):
        set_aside(unknown)
    with pytest.raises(StudyError, match="split.held_out_from is another split than the pool's"):
        open_study(str(parameters(lambda values: (change(values), values["split"].update(held_out_from="train")))))
    with pytest.raises(StudyError, match="split.held_out_from: the pool starter:medicine_pool is a file"):
        open_study(str(parameters(lambda values: (change(values), values.update(pool="starter:medicine_pool")))))


def test_the_held_out_questions_of_the_published_control_are_drawn_again():
    data = REPOSITORY / "figures" / "control" / "data"
    scores = pd.read_parquet(data / "eval" / "untrained" / "scores.parquet", columns=["benchmark", "item_id"])
    published = scores.loc[scores["benchmark"] == "pool_held_out", "item_id"].tolist()
    pool = pd.read_parquet(data / "filter" / "self" / "labels.parquet", columns=["question_id"])
    rule = open_study("control").split
    assert held_out.draw(pool, rule.held_out, rule.seed)["question_id"].tolist() == published
