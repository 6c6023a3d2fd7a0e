"""The index: what a search finds, in which order, for any query, and what is dropped or refused."""

import json

import pytest

from helpers.search import index
from helpers.search.corpus import Passage, find_corpus

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
