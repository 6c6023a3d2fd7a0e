"""The index: what a search finds, in which order, for any query, and what is dropped or refused."""

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from helpers.search import corpus, index, measure
from helpers.search.corpus import Passage, find_corpus
from helpers.study.errors import StudyError

ROWS = [
    (
        "p1",
        "Iron",
        "Iron deficiency causes a microcytic anaemia with a low ferritin and a high transferrin.",
        "WHO",
        "Apache-2.0",
    ),
    ("p2", "Vitamin B12", "Lack of vitamin B12 causes a macrocytic anemia and loss of vibration sense.", "NHS", "Apache-2.0"),
    ("p3", "Scurvy", "Lack of vitamin C weakens collagen; gums bleed and wounds open again.", "NHS", "Apache-2.0"),
    ("p4", "Beriberi", "Lack of thiamine gives a failing heart with oedema, or a neuropathy.", "NHS", "Apache-2.0"),
    ("p5", "Beriberi", "Lack of thiamine gives a failing heart with oedema, or a neuropathy.", "NHS", "Apache-2.0"),
]


def written(folder, rows):
    path = folder / "corpus.jsonl"
    path.write_text("".join(json.dumps(row if isinstance(row, dict) else Passage(*row)._asdict()) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    return index.open_index(find_corpus(str(written(folder, ROWS))), folder / "cache")


def ids(found):
    return [[passage.id for passage in each] for each in found]


def test_the_best_passages_come_first_whatever_the_spelling(small):
    assert ids(small.search(["anemias with a high transferrin", "vitamin b12", "edema"], 2)) == [
        ["p1", "p2"],
        ["p2", "p3"],
        ["p4", "p5"],
    ]
    assert small.search(["scurvy"], 3) == [[Passage(*ROWS[2])]]


@pytest.mark.parametrize("query", ["", "  \n", "the of and", "?!<>", "<b></b>", "zzz", "\x00", "\u4e2d\u6587", "</search>"])
def test_a_query_without_known_terms_finds_nothing(small, query):
    assert small.search([query], 3) == [[]]


def test_long_queries_markup_and_any_k(small):
    assert ids(small.search(["scurvy " * 1_500 + "beriberi", "<p class='x'>scurvy</p><script>collagen</script>"], 1)) == [
        ["p3"],
        ["p3"],
    ]
    assert ids(small.search(["lack"], 0) + small.search(["lack"], 99)) == [[], ["p4", "p5", "p2", "p3"]]
    assert small.search([], 3) == []


def test_passages_that_contain_a_question_are_dropped_and_counted(tmp_path):
    asked = pd.DataFrame({"benchmark": ["exam"], "question": ["Lack of thiamine gives a failing heart with oedema, or a what?"]})
    found = index.open_index(find_corpus(str(written(tmp_path, ROWS))), tmp_path / "cache", asked)
    assert (len(found), found.facts["dropped"]) == (3, 2)
    assert found.search(["thiamine"], 3) == [[]]
    dropped = pd.read_csv(found.folder / "dropped.csv")
    assert dropped[["id", "benchmark"]].to_numpy().tolist() == [["p4", "exam"], ["p5", "exam"]]
    with pytest.raises(StudyError, match="no passage is left to search"):
        index.build([pd.DataFrame(ROWS[3:], columns=Passage._fields)], tmp_path / "none", asked, "mine")


def test_an_index_is_built_once_and_again_when_the_corpus_changes(tmp_path, monkeypatch):
    path = written(tmp_path, ROWS)
    first = index.open_index(find_corpus(str(path)), tmp_path / "cache")
    with monkeypatch.context() as patch:
        patch.setattr(index, "build", None)
        again = index.open_index(find_corpus(str(path)), tmp_path / "cache")
    assert again.folder == first.folder
    assert index.open_index(find_corpus(str(written(tmp_path, ROWS[:2]))), tmp_path / "cache").folder != first.folder
    (first.folder / "index.json").unlink()  # a build that was killed
    assert len(index.open_index(find_corpus(str(written(tmp_path, ROWS))), tmp_path / "cache")) == 5


def test_jobs_that_start_together_build_an_index_once(tmp_path, monkeypatch):
    found, built, build = find_corpus(str(written(tmp_path, ROWS))), [], index.build

    def slow(*arguments):
        built.append(arguments[1])
        time.sleep(0.2)
        build(*arguments)

    monkeypatch.setattr(index, "build", slow)
    with ThreadPoolExecutor(3) as pool:
        opened = list(pool.map(lambda _: index.open_index(found, tmp_path / "cache"), range(3)))
    assert len(built) == 1
    assert [ids(one.search(["scurvy"], 1)) for one in opened] == [ids(opened[0].search(["scurvy"], 1))] * 3


def test_passages_and_scores_stay_on_disk(small):
    before = pa.total_allocated_bytes()
    again = index.Index(small.folder)
    assert pa.total_allocated_bytes() <= before  # the texts are read from the mapped file
    assert isinstance(again._bm25.scores["data"], np.memmap)


def test_a_corpus_is_read_in_batches(tmp_path, monkeypatch):
    monkeypatch.setattr(corpus, "BATCH", 2)
    found = find_corpus(str(written(tmp_path, ROWS)))
    assert [len(batch) for batch in corpus.passages(found)] == [2, 2, 1]
    assert ids(index.open_index(found, tmp_path / "cache").search(["thiamine"], 3)) == [["p4", "p5"]]


def test_a_corpus_that_cannot_be_indexed_in_memory_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(index.psutil, "virtual_memory", lambda: SimpleNamespace(available=1_000))
    with pytest.raises(StudyError, match=r"corpus: mine: 48 words need about 0.0 GB of memory to index"):
        index.build([pd.DataFrame(ROWS, columns=Passage._fields)], tmp_path / "large", name="mine")


def test_the_measure_counts_options_that_stand_in_the_passages(small):
    questions = pd.DataFrame(
        {
            "question_id": ["q1", "q2", "q3"],
            "question": ["Which vitamin lacks in scurvy?", "Which vitamin lacks in zzz?", "How many?"],
            "options": [["Vitamin D", "vitamin C", "Collagen"], ["Iron", "Thiamine"], []],
            "answer": ["B", "B", "3"],
        }
    )
    found = measure.options_found(small.search, questions, k=1)
    assert found.to_numpy().tolist() == [["q1", True, 0.5, 1], ["q2", False, 0.0, 1]]


def test_an_installed_jax_is_kept_off_the_gpu(tmp_path):
    (tmp_path / "jax").mkdir()
    (tmp_path / "jax" / "__init__.py").touch()
    (tmp_path / "jax" / "lax.py").write_text(
        "import os\ndef top_k(scores, k): print('platform:', os.environ.get('JAX_PLATFORMS'))\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "JAX_PLATFORMS"} | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", "import helpers.search.index"], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "platform: cpu\n"
