"""Splits: nested, without replacement, in the wanted ratio; and what happens when there are too few."""

import pandas as pd
import pytest

from helpers.questions import overlap, pools, text
from helpers.selection import draws
from helpers.study.choices import Arm
from helpers.study.files import StudyError
from helpers.study.schema import Pool


@pytest.fixture
def pool():
    return pools.load_pool(Pool(source="starter:medicine_pool"))


@pytest.fixture
def labels(pool):
    easy = pool.index % 5 == 0
    return pd.DataFrame({"question_id": pool["question_id"], "sample": 0, "label": ["easy" if e else "hard" for e in easy]})


def ids(frame):
    return set(frame["question_id"])


def test_ratio_and_no_question_twice(pool, labels):
    chosen, remarks = draws.choose(pool, Arm(filter="f", hard=40, easy=10), "x", labels, 0, "stop")
    assert chosen["label"].value_counts().to_dict() == {"hard": 40, "easy": 10}
    assert chosen["question_id"].is_unique
    assert remarks == []
    assert set(chosen.loc[chosen["label"] == "easy", "pass_rate"]) == {1.0}


def test_small_sets_are_inside_large_ones(pool, labels):
    sets = [ids(draws.choose(pool, Arm(filter="f", hard=4 * n, easy=n), "x", labels, 0, "stop")[0]) for n in (2, 5, 10)]
    assert sets[0] < sets[1] < sets[2]
    randoms = [ids(draws.choose(pool, Arm(size=n), "r", None, 0, "stop")[0]) for n in (10, 25, 100)]
    assert randoms[0] < randoms[1] < randoms[2]


def test_the_order_in_the_file_does_not_matter_and_the_seed_does(pool):
    first = draws.choose(pool, Arm(size=20), "r", None, 0, "stop")[0]
    assert (
        first["question_id"].tolist() == draws.choose(pool[::-1], Arm(size=20), "r", None, 0, "stop")[0]["question_id"].tolist()
    )
    assert ids(first) != ids(draws.choose(pool, Arm(size=20), "r", None, 1, "stop")[0])


def test_what_arms_share_and_are_made_of(pool, labels):
    arms = {"few": Arm(size=10), "more": Arm(size=25)}
    chosen = {name: draws.choose(pool, arm, name, None, 0, "stop")[0] for name, arm in arms.items()}
    assert draws.shared(chosen).to_numpy().tolist() == [[10, 10], [10, 25]]
    told = draws.composition(chosen)
    assert told["mean_characters"].tolist() == [frame["question"].str.len().mean() for frame in chosen.values()]
    bare = draws.composition({name: frame.drop(columns="question") for name, frame in chosen.items()})
    assert bare.equals(told.drop(columns="mean_characters"))


def test_shortage_stops_with_one_line_or_fills_and_says_so(pool, labels):
    wanted = Arm(filter="f", hard=20, easy=30)
    with pytest.raises(StudyError, match=r"arms\.x\.easy: 30 wanted, the filter found 21"):
        draws.choose(pool, wanted, "x", labels, 0, "stop")
    chosen, remarks = draws.choose(pool, wanted, "x", labels, 0, "fill")
    assert chosen["label"].value_counts().to_dict() == {"hard": 29, "easy": 21}
    assert remarks == ["9 of 30 easy questions were not to be had; hard ones fill their place"]


def test_exact_and_near_copies_are_found_and_common_phrases_are_not():
    stem = "A 61-year-old man has crushing chest pain for one hour and sweats."
    phrase = " Which of the following is the most appropriate next step in management?"
    pool = pd.DataFrame({"id": ["exact", "near", "other"], "question": [stem + phrase, stem.replace("sweats", "vomits") + phrase,
                         "A child has a barking cough, a hoarse voice and stridor at night." + phrase]})  # fmt: skip
    pool["question_id"] = pool["question"].map(text.question_id)
    found = overlap.overlaps(pool, pd.DataFrame({"benchmark": ["b"], "question": [(stem + phrase).upper()]}), 8, 0.5)
    assert found[["id", "kind"]].to_numpy().tolist() == [["exact", "exact"], ["near", "near"]]


def test_by_pass_rate(pool):
    rates = [0, 1, 2, 3, 4, 5, 6, 7, 8] * 11 + [4] * 4
    rows = [{"question_id": q, "sample": k, "label": "easy" if k < rate else "hard"}
            for q, rate in zip(pool["question_id"], rates, strict=True) for k in range(8)]  # fmt: skip
    chosen, remarks = draws.choose(pool, Arm(filter="f", size=40, pass_rate={"nearest": 0.5}), "x", pd.DataFrame(rows), 0, "stop")
    assert len(chosen) == 40
    assert remarks == []
    assert (chosen["pass_rate"] == 0.5).sum() == 15  # all of them
    assert set(chosen["pass_rate"]) == {0.375, 0.5, 0.625, 0.75} | set(chosen["pass_rate"]) - {0.0, 1.0}
    few, remarks = draws.choose(pool, Arm(filter="f", size=95, pass_rate={"nearest": 0.5}), "x", pd.DataFrame(rows), 0, "stop")
    assert remarks == [f"{few['pass_rate'].isin([0.0, 1.0]).sum()} of 95 questions have a pass rate of 0 or 1: the filter's samples found no better ones"]  # fmt: skip


def test_held_out_questions_are_the_same_every_time_and_no_arm_has_them(pool):
    away = draws.held_out(pool, 20, 0)
    assert ids(away) == ids(draws.held_out(pool.sample(frac=1.0, random_state=1), 20, 0))
    assert ids(away) != ids(draws.held_out(pool, 20, 1))
    kept = pool[~pool["question_id"].isin(away["question_id"])]
    assert not ids(away) & ids(draws.choose(kept, Arm(size=83), "x", None, 0, "stop")[0])
