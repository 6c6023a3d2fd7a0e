"""A document's question, options and right answer are read off the columns of every data set, also with the options rotated."""

import pytest
from layouts import DOCUMENTS, GSM8K, PUBMEDQA

from helpers.evaluation import documents
from helpers.study.errors import StudyError


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_rotation_moves_the_right_answer_along_and_comes_full_circle(name):
    doc = DOCUMENTS[name]
    options, right = documents.options_of(doc), documents.options_of(doc)[2]
    assert documents.answer_of(doc) == 2
    assert documents.rotate(doc, 0) == doc
    turned = doc
    for turn in range(1, len(options) + 1):
        turned = documents.rotate(turned, 1)
        assert turned == documents.rotate(doc, turn)
        assert documents.answer_of(turned) == (2 + turn) % len(options)
        assert documents.options_of(turned)[documents.answer_of(turned)] == right
        assert documents.question_text(turned) == documents.question_text(doc)
    assert turned == doc
    assert documents.rotate(doc, 1) != doc


def test_a_rotation_keeps_every_name_of_the_answer_in_step():
    turned = documents.rotate(DOCUMENTS["mmlu_pro"], 9)
    assert (turned["answer"], turned["answer_index"], turned["options"][0]) == ("B", 1, "option b")
    assert documents.rotate(DOCUMENTS["starter"], 1)["target"] == 3
    assert documents.rotate(DOCUMENTS["medbullets"], 1)["options"] == {
        "A": "digoxin", "B": "aspirin", "C": "biotin", "D": "codeine", "E": None}  # fmt: skip


@pytest.mark.parametrize("doc", [PUBMEDQA, GSM8K])
def test_what_is_no_lettered_choice_has_no_options_and_is_not_rotated(doc):
    assert documents.options_of(doc) is None
    assert documents.answer_of(doc) is None
    with pytest.raises(StudyError, match="no choice between lettered options"):
        documents.rotate(doc, 1)


def test_a_filled_in_prompt_is_not_rotated():
    with pytest.raises(StudyError, match="reasoning mode"):
        documents.rotate(DOCUMENTS["starter"] | {"prompt": "Which?\nA. a"}, 1)


@pytest.mark.parametrize("change", [{"answer_idx": "E"}, {"answer_idx": ""}, {"answer_idx": None}, {"answer_idx": "AB"}])
def test_an_answer_that_names_no_option_is_reported(change):
    with pytest.raises(StudyError, match="names none of its 4 options"):
        documents.answer_of(DOCUMENTS["medbullets"] | change)


def test_the_bare_question_of_every_layout():
    texts = {name: documents.question_text(doc) for name, doc in DOCUMENTS.items()}
    assert set(texts.values()) == {"Which?", "哪个？"}
    assert documents.question_text(PUBMEDQA) == "Does it?"
    with pytest.raises(StudyError, match="without a question; its columns are text"):
        documents.question_text({"text": "?"})
