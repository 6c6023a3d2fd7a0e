"""Pools in every form they come in, what is refused, what is remembered of them, and questions that two sets share."""

import json
from types import SimpleNamespace

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from conftest import REPOSITORY

from helpers.questions import pools
from helpers.questions.overlap import overlaps
from helpers.questions.text import question_id, words
from helpers.study.files import StudyError, sha256
from helpers.study.schema import Pool

OWN = {"question": "Which metal does haemoglobin hold?", "options": ["Iron", "Zinc"], "answer": "A"}
MEDQA = {"question": "Which metal?", "answer": "Zinc", "options": {"A": "Iron", "B": "Zinc", "C": None}, "meta_info": "step1",
         "answer_idx": "B", "metamap_phrases": ["metal"]}  # fmt: skip
BIGBIO = {"meta_info": None, "question": "Which metal?", "answer_idx": "B", "answer": "Zinc",
          "options": [{"key": "B", "value": "Zinc"}, {"key": "A", "value": "Iron"}, {"key": "C", "value": "Gold"}]}  # fmt: skip
GSM8K = {"question": "How many?", "answer": "First 600 + 600 = <<600+600=1200>>1200.\n#### 1,200"}
MMLU = {"question": "Which metal?", "subject": "anatomy", "choices": ["Iron", "Zinc"], "answer": 0}


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """Write a data set as the hub lays it out: `mirror("some/id", rows, config="main")`; OFFLINE_MIRROR is set to it."""
    monkeypatch.setenv("OFFLINE_MIRROR", str(tmp_path / "mirror"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")

    def write(source, rows, config="default", split="train"):
        path = tmp_path / "mirror" / source / config / f"{split}-00000-of-00001.parquet"
        path.parent.mkdir(parents=True)
        pyarrow.parquet.write_table(pa.Table.from_pylist(rows), path)
        named = f"config_name: {config}\n  data_files:\n  - split: {split}\n    path: {config}/{path.name}\n"
        (tmp_path / "mirror" / source / "README.md").write_text(f"---\nconfigs:\n- {named}---\n")
        return path

    return write


@pytest.mark.parametrize(
    ("row", "options", "answer", "topic"),
    [
        (OWN, ["Iron", "Zinc"], "A", ""),
        (OWN | {"answer_idx": "A", "topic": "blood"}, ["Iron", "Zinc"], "A", "blood"),
        (OWN | {"answer_idx": None, "topic": None}, ["Iron", "Zinc"], "A", ""),
        (OWN | {"options": {"B": "Zinc", "A": "Iron"}}, ["Iron", "Zinc"], "A", ""),
        (MEDQA, ["Iron", "Zinc"], "B", "step1"),
        (BIGBIO, ["Iron", "Zinc", "Gold"], "B", ""),
        (OWN | {"options": [1, 2.5], "answer": 2.5}, ["1", "2.5"], "B", ""),
        (MMLU, ["Iron", "Zinc"], "A", "anatomy"),
        (GSM8K, [], "1200", ""),
        ({"question": "How many?", "answer": 3}, [], "3", ""),
        ({"question": "How many?", "answer": -0.5}, [], "-0.5", ""),
        ({"question": "How many?", "answer": "$1,200.50", "options": None}, [], "1200.5", ""),
        ({"question": "How many?", "answer": "7", "options": []}, [], "7", ""),
    ],
)
@pytest.mark.parametrize("form", ["jsonl", "parquet", "mirror"])
def test_forms(tmp_path, mirror, form, row, options, answer, topic):
    source = f"mine.{form}" if form != "mirror" else "some/id"
    if form == "jsonl":
        (tmp_path / source).write_text(json.dumps(row))
    elif form == "parquet":
        pyarrow.parquet.write_table(pa.Table.from_pylist([row]), tmp_path / source)
    else:
        mirror(source, [row])
    (loaded,) = pools.load_pool(Pool(source=source), tmp_path / "study.yaml").to_dict("records")
    assert (loaded["options"], loaded["answer"], loaded["topic"]) == (options, answer, topic)
    assert loaded["id"] == loaded["question_id"] == question_id(row["question"])


def test_nan_is_missing(tmp_path):
    rows = [OWN | {"topic": "blood", "id": "a"}, OWN | {"question": "Which?", "topic": np.nan}]
    pd.DataFrame(rows).to_parquet(tmp_path / "mine.parquet")
    pool = pools.load_pool(Pool(source=str(tmp_path / "mine.parquet")))
    assert pool["topic"].tolist() == ["blood", ""]
    assert pool["id"].tolist() == ["a", pool["question_id"].iloc[1]]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (OWN | {"answer": "C"}, "answer 'C' names none of the options A/B"),
        (OWN | {"answer_idx": "c"}, "answer_idx 'c' names none of the options A/B"),
        (OWN | {"options": {"A": "Iron", "C": "Zinc"}}, "options should go by A, B, C … without a gap, they go by A, C"),
        (OWN | {"options": [{"key": "A", "value": "Iron"}, {"key": "A", "value": "Zinc"}]}, "they go by A, A"),
        (MMLU | {"answer": 3}, "answer 3 names none of the options A/B"),
        (MMLU | {"answer": -1}, "answer -1 names none of the options A/B"),
        (MMLU | {"choices": ["Iron"]}, "choices should be 2 to 10 different texts"),
        ({"question": "Which?", "answer": "A"}, "without options 'answer' should be a number, it is 'A'"),
        ({"question": "Which?", "answer": "so\n#### two"}, "without options 'answer' should be a number, it is 'so\\n#### two'"),
        ({"question": "Which?", "answer": "1/2"}, "without options 'answer' should be a number, it is '1/2'"),
        ({"question": "Which?", "answer": True}, "without options 'answer' should be a number, it is True"),
    ],
)
@pytest.mark.parametrize("form", ["jsonl", "mirror"])
def test_broken_questions(tmp_path, mirror, form, row, expected):
    source = "some/id" if form == "mirror" else "mine.jsonl"
    if form == "mirror":
        mirror(source, [row])
    else:
        (tmp_path / source).write_text(json.dumps(row))
    with pytest.raises(StudyError) as raised:
        pools.load_pool(Pool(source=source), tmp_path / "study.yaml")
    assert expected in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("pool", "expected"),
    [
        (
            {"source": "other/id"},
            r"pool: other/id \(config None, split train\): .* cannot be read from OFFLINE_MIRROR=.* and the hub: Couldn't",
        ),
        (
            {"source": "some/id", "config": "extra"},
            r"cannot be read from the folder of the offline mirror .*some/id: .*'extra' not found. Available: \['main'\]",
        ),
        (
            {"source": "some/id", "split": "dev"},
            r"cannot be read from the folder of the offline mirror .*Unknown split \"dev\". Should be one of \['train'\]",
        ),
        ({"source": "broken/id"}, r"cannot be read from the folder of the offline mirror .*broken/id: .*Parquet"),
        ({"source": "broken.parquet"}, "broken.parquet: cannot be read as Parquet"),
        ({"source": "none.parquet"}, "pool: none.parquet: no such file"),
        ({"source": "mine.xlsx"}, r"pool: mine.xlsx: a file of your own should be .jsonl, .json, .csv, .tsv or .parquet"),
        ({"source": "mirror"}, r"pool: mirror \(config None, split train\): cannot be read from the folder .*mirror: "),
        ({"source": "starter:none"}, "no starter set 'none'; there are: arithmetic, "),
        (
            {"source": "starter:arithmetic", "split": "test"},
            "pool.split: only a data set has one; leave it out for starter",
        ),
    ],
)
def test_pools_that_cannot_be_read(tmp_path, mirror, pool, expected):
    mirror("some/id", [OWN], config="main")
    mirror("broken/id", [OWN]).write_bytes(b"PAR1 no")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 no")
    (tmp_path / "mine.xlsx").write_text("question,answer\n")
    with pytest.raises(StudyError, match=expected) as raised:
        pools.load_pool(Pool(**pool), tmp_path / "study.yaml")
    assert "\n" not in str(raised.value)


def test_repeated_and_broken_questions_of_a_hub_data_set_are_left_out_and_counted(mirror):
    rows = [OWN | {"question": f"Question {n}?"} for n in range(150)]
    path = mirror("GBaker/MedQA-USMLE-4-options", [*rows, rows[3], OWN | {"answer": "Z"}])
    pool = Pool(source="GBaker/MedQA-USMLE-4-options", revision="0" * 40)
    assert pools.load_pool(pool)["question"].tolist() == [row["question"] for row in rows]
    facts = pools.pool_facts(pool)
    name = "GBaker/MedQA-USMLE-4-options"
    refusal = f"{name}: question 152: answer 'Z' names none of the options A/B (answers are read by letter)"
    assert facts == {"source": name, "config": None, "split": "train", "from": "offline mirror",
                     "sha256": {"default/train-00000-of-00001.parquet": sha256(path)},
                     "form": "options from column options, answers by letter",
                     "rows": 150, "duplicates": 1, "refused": 1, "first_refusal": refusal}  # fmt: skip
    partial, duplicates, refused = pools.pool_remarks(facts)
    assert partial.startswith(
        f"The pool has 152 of the 10,178 training questions of {name} (from the offline mirror, split train)"
    )
    assert duplicates == f"Questions of {name} excluded because they repeat an earlier one: 1."
    assert refused == f"Malformed questions of {name} excluded: 1 (the first: {refusal})."
    assert pools.pool_remarks(facts | {"rows": 10_178, "duplicates": 0, "refused": 0}) == []


def test_more_than_a_few_broken_questions_are_an_error(mirror):
    rows = [OWN | {"question": f"Question {n}?", "answer": "Z" if n % 50 == 0 else "A"} for n in range(150)]
    mirror("some/id", rows)
    with pytest.raises(StudyError, match="question 1: answer 'Z' names none"):
        pools.load_pool(Pool(source="some/id"))


class Builder:
    """The part of a builder of `datasets` that a hub pool uses: one file, at the commit `sha`."""

    hash = "unknown"

    def __init__(self, sha):
        self.config = SimpleNamespace(data_files={"train": [f"hf://datasets/some/id@{sha}/data/train.parquet"]})

    def download_and_prepare(self):
        pass

    def as_dataset(self, split):
        return datasets.Dataset.from_list([OWN])


def test_a_hub_data_set_is_read_at_its_revision_once(monkeypatch, tmp_path):
    calls = []
    load = lambda source, config, revision: calls.append((source, config, revision)) or Builder("a" * 40)  # noqa: E731
    monkeypatch.setattr(datasets, "load_dataset_builder", load)
    monkeypatch.setenv("OFFLINE_MIRROR", str(tmp_path))
    pool = Pool(source="some/id", config="main", revision="a" * 40)
    assert len(pools.load_pool(pool)) == 1
    facts = pools.pool_facts(pool)
    assert (facts["from"], facts["revision"], facts["rows"]) == ("hub", "a" * 40, 1)
    assert "sha256" not in facts
    assert calls == [("some/id", "main", "a" * 40)]
    assert pools.pool_facts(Pool(source="some/id", revision="v1"))["revision"] == "a" * 40
    with pytest.raises(StudyError, match="revision b+ wanted, the copy at hand is a+"):
        pools.load_pool(Pool(source="some/id", revision="b" * 40))


def test_a_changed_file_is_read_again_and_each_caller_has_a_copy_of_the_pool(tmp_path):
    pool = Pool(source=str(tmp_path / "mine.jsonl"))
    (tmp_path / "mine.jsonl").write_text(json.dumps(OWN))
    first, facts = pools.load_pool(pool), pools.pool_facts(pool)
    first["answer"] = "B"
    assert pools.load_pool(pool)["answer"].tolist() == ["A"]
    (tmp_path / "mine.jsonl").write_text(json.dumps(OWN | {"answer": "B"}) + "\n" + json.dumps(OWN | {"question": "Which?"}))
    assert (len(pools.load_pool(pool)), pools.pool_facts(pool)["rows"], facts["rows"]) == (2, 2, 1)
    assert facts["from"] == "file"
    assert facts["sha256"] != pools.pool_facts(pool)["sha256"]
    assert pools.pool_facts(Pool(source="starter:arithmetic"))["from"] == "starter set"


def test_questions_with_one_stem_and_different_options_are_different_questions(tmp_path, mirror):
    stem = "Which of the following statements is correct?"
    rows = [OWN, OWN | {"question": stem}, {"question": stem, "options": ["Blood is red.", "Blood ↑"], "answer": "A"},
            {"question": stem, "options": ["Blood is red.", "Blood ↓"], "answer": "B"}]  # fmt: skip
    path = tmp_path / "mine.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    ids = pools.load_pool(Pool(source=str(path)))["question_id"]
    assert ids.is_unique
    assert ids[0] == question_id(OWN["question"])  # where the stem is unique, the id is the stem's
    path.write_text("\n".join(json.dumps(row) for row in rows[::-1]))
    assert set(pools.load_pool(Pool(source=str(path)))["question_id"]) == set(ids)  # whatever their order
    turned = rows[3] | {"options": ["BLOOD  ↓", "Blood is red."], "answer": "A"}
    path.write_text("\n".join(json.dumps(row) for row in [*rows, turned]))
    mirror("some/id", [*rows, turned])
    for pool in (Pool(source=str(path)), Pool(source="some/id")):
        assert (pools.load_pool(pool)["question_id"].tolist(), pools.pool_facts(pool)["duplicates"]) == (ids.tolist(), 1)


def test_published_ids_are_those_of_the_pool_as_it_is_read_today():
    published = pd.concat(
        map(pd.read_parquet, (REPOSITORY / "figures" / "quickstart" / "data" / "filter").glob("*/labels.parquet"))
    )
    assert set(published["question_id"]) == set(pools.load_pool(Pool(source="starter:medicine_pool"))["question_id"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (json.dumps(OWN | {"question": "\ud800"}), "line 1 has half a surrogate pair"),
        (json.dumps(OWN) + "\n" + json.dumps(OWN | {"question": "Which?", "answer": "x" * 5000}), "answer 'xxx"),
        (
            json.dumps(OWN | {"options": [{"key": 1, "value": "Iron"}, {"key": "B", "value": "Zinc"}]}),
            "they go by 1, B",
        ),
        ("\x00", "line 1 is not valid JSON"),
        ("[1]", "line 1 should be a JSON object"),
    ],
)
def test_odd_rows_are_one_short_line(tmp_path, text, expected):
    (tmp_path / "mine.jsonl").write_text(text)
    with pytest.raises(StudyError) as raised:
        pools.load_pool(Pool(source=str(tmp_path / "mine.jsonl")))
    assert expected in str(raised.value)
    assert len(str(raised.value)) < 500


def test_a_file_with_a_byte_order_mark_is_read(tmp_path):
    (tmp_path / "mine.jsonl").write_text(json.dumps(OWN), encoding="utf-8-sig")
    assert len(pools.load_pool(Pool(source=str(tmp_path / "mine.jsonl")))) == 1


@pytest.mark.parametrize("form", ["file", "mirror"])
def test_questions_with_letters_and_with_numbers_do_not_mix(tmp_path, mirror, form):
    source = str(tmp_path / "mine.jsonl") if form == "file" else "some/id"
    (tmp_path / "mine.jsonl").write_text(json.dumps(OWN) + "\n" + json.dumps(GSM8K))
    mirror("some/id", [OWN | {"answer": "A"}, {"question": "How many?", "answer": "3"}])
    with pytest.raises(StudyError, match="some questions have options, others ask for a number; make them two pools"):
        pools.load_pool(Pool(source=source))


def by_definition(pool, others, size, share):
    """Overlaps, pair by pair: what `overlaps` must find."""

    def runs(text):
        found = words(text)
        return {tuple(found[start : start + size]) for start in range(max(1, len(found) - size + 1))}

    pairs = []
    for mine in pool.itertuples():
        for other in others.itertuples():
            both, exact = runs(mine.question) & runs(other.question), mine.question_id == question_id(other.question)
            shared = len(both) / min(len(runs(mine.question)), len(runs(other.question)))
            if exact or (both and shared >= share):
                pairs.append((mine.question_id, mine.id, other.benchmark, "exact" if exact else "near", shared, mine.question,
                              other.question))  # fmt: skip
    return pd.DataFrame(pairs, columns=["question_id", "id", "benchmark", "kind", "shared", "question", "other"])


def test_overlaps_are_those_of_the_definition():
    rng = np.random.default_rng(0)

    def texts(count):
        return [" ".join(rng.choice(["a", "b", "c"], rng.integers(1, 9))) for _ in range(count)]

    pool = pd.DataFrame({"question": [*dict.fromkeys(texts(60)), "in come", "same words twice same words twice"]})
    pool = pool.assign(question_id=pool["question"].map(question_id), id=[f"q{n}" for n in range(len(pool))])
    others = pd.DataFrame({"question": [*texts(80), "Income?", "same words twice"]})
    others = others.assign(benchmark=[f"b{n % 3}" for n in range(len(others))])
    for share in (0.0, 0.5, 1.0):
        found, expected = overlaps(pool, others, 3, share), by_definition(pool, others, 3, share)
        assert {"exact", "near"} == set(expected["kind"])
        pd.testing.assert_frame_equal(found, expected)
    assert overlaps(pool.head(0), others, 3, 0.5).empty
    assert overlaps(pool, others.head(0), 3, 0.5).empty


def test_a_short_benchmark_question_is_no_copy_because_its_words_occur_somewhere():
    pool = pd.DataFrame({"question_id": ["x"], "id": ["x"], "question": ["Which nerve is hurt when a wrist drops after a fall?"]})
    others = pd.DataFrame({"benchmark": ["b"], "question": ["Which nerve is hurt?"]})
    assert overlaps(pool, others, 8, 0.5).empty
