"""Corpora: the forms they come in, what is refused, and the starter corpus."""

import json
from pathlib import Path

import pandas as pd
import pytest

from helpers.questions import pools
from helpers.questions.overlap import overlaps
from helpers.search import corpus, index, measure
from helpers.study import places
from helpers.study.errors import StudyError

TEXT = "Iron deficiency causes a microcytic anaemia with a low ferritin."
ROW = {"id": "a", "title": "Iron", "text": TEXT, "source": "WHO", "licence": "CC BY 4.0"}
MEDICINE = ("medicine_pool", "medicine_test")


def jsonl(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def test_a_folder_of_files_and_other_names_of_columns(tmp_path):
    jsonl(tmp_path / "mine" / "one.jsonl", [ROW, "", ROW | {"id": 7}])
    pd.DataFrame([{"_id": "b", "contents": TEXT, "license": "MIT"}]).to_parquet(tmp_path / "mine" / "two.parquet")
    found = corpus.load_corpus("mine", study_file=tmp_path / "study.yaml")
    assert found["id"].tolist() == ["a", "7", "b"]
    assert found.iloc[2].tolist() == ["b", "", TEXT, "mine", "MIT"]


def test_passages_are_left_out_by_the_beginnings_of_their_titles(tmp_path):
    source = jsonl(tmp_path / "mine.jsonl", [ROW, ROW | {"id": "b", "title": "Copper"}])
    found = corpus.find_corpus(source, without=("Iro",))
    assert pd.concat(corpus.passages(found))["id"].tolist() == ["b"]
    assert found.content != corpus.find_corpus(source).content
    with pytest.raises(StudyError, match=r"corpus.without: no title in .* begins with 'Zinc'"):
        corpus.load_corpus(source, without=("Iron", "Zinc"))


def test_a_data_set_of_the_mirror_leaves_out_few_broken_passages(tmp_path, monkeypatch):
    rows = [{"passage_id": str(n), "title": "", "text": f"passage {n} {TEXT}"} for n in range(300)]
    jsonl(tmp_path / "lab" / "passages" / "train.jsonl", [*rows, rows[0], {"passage_id": "x", "title": "", "text": " "}])
    monkeypatch.setenv("OFFLINE_MIRROR", str(tmp_path))
    monkeypatch.chdir("/")
    found = corpus.find_corpus("lab/passages")
    assert found.facts["from"] == "offline mirror"
    refusals: list[str] = []
    assert sum(map(len, corpus.passages(found, refusals))) == 300
    assert [line.split(": ", 2)[1:] for line in refusals] == [
        ["passage 301", "id '0' occurs twice; give each passage its own id"],
        ["passage 302", "has no text"],
    ]
    assert index.open_index(found, tmp_path / "cache").facts["refused"] == 2


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "holds no passages"),
        (["", ""], "holds no passages"),
        ([ROW, ROW], "line 2: id 'a' occurs twice"),
        ([ROW, ROW | {"id": "b", "text": "  "}], "line 2: has no text"),
        ([{"id": "a", "title": "Iron"}], "line 1: has no text"),
        ([ROW | {"text": ["Iron"]}], "line 1: text should be a text, it is list"),
        ([ROW | {"id": 1.5}], "line 1: id should be a text, it is float"),
        (["[1]"], "line 1: should be an object"),
        ([ROW, "{"], "line 2 is not valid JSON"),
        ([ROW, "[" * 100_000], "line 2 cannot be read as JSON (maximum recursion depth"),
        (['{"text": "\\ud800"}'], "half a surrogate pair"),
    ],
)
def test_a_broken_corpus_is_one_clear_line(tmp_path, rows, message):
    with pytest.raises(StudyError, match="^[^\n]*$") as error:
        corpus.load_corpus(jsonl(tmp_path / "own.jsonl", rows))
    assert message in str(error.value)
    assert "own.jsonl" in str(error.value)


def test_files_that_are_missing_or_no_corpus(tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.parquet").write_bytes(b"no parquet")
    (tmp_path / "latin.jsonl").write_bytes(b'{"text": "\xe9"}\n')
    monkeypatch.chdir(tmp_path)
    for name, message in [
        ("none.jsonl", "no such file"), ("empty", "a folder of them"), ("broken.parquet", "cannot be read as Parquet"),
        ("latin.jsonl", "not UTF-8"), ("no/such-data", "cannot be read from"),
    ]:  # fmt: skip
        with pytest.raises(StudyError, match=message):
            corpus.load_corpus(name)
    with pytest.raises(StudyError, match="corpus.config: only a data set has one"):
        corpus.load_corpus("starter", config="main")


@pytest.fixture(scope="module")
def starter():
    return corpus.load_corpus("starter")


def test_the_starter_corpus_is_complete(starter):
    assert len(starter) >= 150
    assert starter["id"].is_unique
    assert starter["title"].is_unique
    assert starter["text"].str.split().str.len().between(60, 150).all()
    assert starter["source"].str.match("StatPearls: |MedlinePlus|GeneReviews: |WHO fact sheet: |OpenStax |NCI: |Cochrane ").all()
    assert set(starter["licence"]) == {"Apache-2.0"}
    with places.STARTER_CORPUS.open(encoding="utf-8") as file:
        topics = {json.loads(line)["topic"] for line in file}
    assert topics >= {topic for name in MEDICINE for topic in pools.load_starter(name)["topic"]}


def test_the_starter_corpus_quotes_no_starter_question(starter):
    texts = pd.DataFrame({"benchmark": starter["id"], "question": starter["title"] + " " + starter["text"]})
    for path in Path(pools.STARTER).glob("*.jsonl"):
        questions = pools.load_starter(path.stem)
        assert overlaps(questions, texts, size=8, share=0.0).empty, path.stem


def test_the_starter_corpus_answers_most_medical_starter_questions(tmp_path):
    """Of the right options 82 % (pool) and 69 % (test) stand in the first three passages, of the wrong ones 39 % and 26 %."""
    found = index.open_index(corpus.find_corpus("starter"), tmp_path)
    for name, right, wrong in [("medicine_pool", 0.8, 0.4), ("medicine_test", 0.65, 0.3)]:
        shares = measure.options_found(found.search, pools.load_starter(name), k=3)
        assert shares["right"].mean() > right
        assert shares["wrong"].mean() < wrong
