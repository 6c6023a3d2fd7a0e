"""Fixed samples: how one is drawn, and how a sample file is read."""

import runpy

import pytest
from conftest import REPOSITORY

from helpers.evaluation import samples
from helpers.evaluation.documents import key
from helpers.questions.text import question_id
from helpers.study.errors import StudyError

draw_sample = runpy.run_path(str(REPOSITORY / "parameters" / "samples" / "draw.py"))["draw_sample"]


def benchmarks(**sizes):
    return {name: [{"question": f"{name} {n}?"} for n in range(size)] for name, size in sizes.items()}


def test_a_sample_is_proportional_and_leaves_no_benchmark_out():
    documents = benchmarks(large=600, middle=300, small=99, tiny=1)
    sample = draw_sample(documents, 10, seed=0)
    assert sample["benchmark"].value_counts().to_dict() == {"large": 5, "middle": 3, "small": 1, "tiny": 1}
    assert not sample.duplicated(["benchmark", "doc_id"]).any()
    assert all(question_id(documents[row.benchmark][row.doc_id]["question"]) == row.question_id for row in sample.itertuples())
    assert sample.equals(draw_sample(dict(reversed(documents.items())), 10, seed=0))
    assert not sample.equals(draw_sample(documents, 10, seed=1))
    assert len(draw_sample(documents, 1000, seed=0)) == 1000
    for items in (3, 1001):
        with pytest.raises(StudyError, match="it should be 4"):
            draw_sample(documents, items, seed=0)


def test_a_sample_is_read_back_sorted_and_knows_its_questions(tmp_path):
    documents = benchmarks(one=30, two=20)
    drawn = draw_sample(documents, 10, seed=0)
    drawn.sample(frac=1, random_state=0).to_csv(tmp_path / "sample.csv", index=False)
    sample = samples.read_sample(tmp_path / "sample.csv")
    assert list(sample) == ["one", "two"]
    for name, part in drawn.groupby("benchmark"):
        assert sample[name].equals(part[["doc_id", "question_id"]].reset_index(drop=True))
    place, drawn_id = sample["one"].iloc[0]
    assert key(documents["one"][place]) == drawn_id
    assert key({"question": "corrected?"}) != drawn_id


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("benchmark,question_id\na,1\n", "column 'doc_id' is missing"),
        ("benchmark,doc_id,question_id\n", "the sample is empty"),
        ("", "cannot be read as CSV"),
        ("benchmark,doc_id,question_id\na,1,x\na,1,y\n", "a doc_id 1 occurs twice"),
        ("benchmark,doc_id,question_id\na,1,x\na,-1,y\n", "line 3: doc_id '-1' should be a position"),
        ("benchmark,doc_id,question_id\na,1.5,x\n", "line 2: doc_id '1.5' should be a position"),
    ],
)
def test_a_broken_sample_is_reported_in_one_line(tmp_path, text, outcome):
    (tmp_path / "sample.csv").write_text(text)
    with pytest.raises(StudyError, match=outcome) as error:
        samples.read_sample(tmp_path / "sample.csv")
    assert "\n" not in str(error.value)
    with pytest.raises(StudyError, match="no such sample"):
        samples.read_sample(tmp_path / "none.csv")


def test_the_stored_sample_of_mmlu_pro():
    sample = samples.read_sample(REPOSITORY / "parameters" / "samples" / "mmlu_pro_560.csv")
    assert sum(map(len, sample.values())) == 560
    assert len(sample) == 14
    assert all(name.startswith("mmlu_pro_") for name in sample)
    assert (len(sample["mmlu_pro_math"]), len(sample["mmlu_pro_history"])) == (63, 18)
