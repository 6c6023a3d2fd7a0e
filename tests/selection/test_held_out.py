"""Held-out questions: drawn before any arm's, never among an arm's, and never those that chose a recipe."""

import pandas as pd
import pytest
from conftest import REPOSITORY

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


def test_the_held_out_questions_of_the_published_control_are_drawn_again():
    data = REPOSITORY / "figures" / "control" / "data"
    scores = pd.read_parquet(data / "eval" / "untrained" / "scores.parquet", columns=["benchmark", "item_id"])
    published = scores.loc[scores["benchmark"] == "pool_held_out", "item_id"].tolist()
    pool = pd.read_parquet(data / "filter" / "self" / "labels.parquet", columns=["question_id"])
    rule = open_study("control").split
    assert held_out.draw(pool, rule.held_out, rule.seed)["question_id"].tolist() == published
