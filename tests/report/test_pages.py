"""Pieces of the report: what is escaped, what stands where."""

import pandas as pd

from helpers.report import pages
from helpers.study.study import open_study


def test_a_table_for_readers():
    frame = pd.DataFrame(
        {
            "words": ["<b>bold</b>"[1:], "plain"],
            "share": [0.123, None],
            "change": [0.01, -0.02],
            "size": [0.5, 0.1],
            "p": [0.04, 1],
        }
    )
    shown = pages.table(frame, percent=("share",), points=("change",), sizes=("size",), digits=3).data
    assert "12.3\u00a0%" in shown
    assert "+1.0" in shown
    assert "-2.0" in shown
    assert ">50.0<" in shown
    assert "0.040" in shown
    assert "b&gt;bold" in shown
    assert 'class="dataframe left1"' in shown


def test_whole_numbers_and_those_that_are_missing():
    frame = pd.DataFrame({"seed": pd.array([1000, None], dtype="Int64"), "answers": pd.array([1000, None], dtype="Int64")})
    shown = pages.table(frame).data
    assert shown.count("<td>1000</td>") == 1  # a seed is no amount
    assert shown.count("<td>1,000</td>") == 1
    assert shown.count("<td>–</td>") == 2


def test_weights_that_are_not_the_hub_s_stand_below_every_table():
    study, frame = open_study("small"), pd.DataFrame({"a": [1]})
    notes = [
        {"model": "org/a", "weights": "offline mirror", "origin": "4-bit <GGUF>"},
        {"filter": "org/b", "weights": "package some==1.0, 4-bit <GGUF>"},  # older than the key
        {"model": "org/c", "weights": "hub", "origin": ""},
        {"model": "org/d", "weights": "offline mirror"},
        {"model": "org/a", "weights": "offline mirror"},
    ]
    shown = pages.remarks(study, ["A remark."], notes).data
    assert "A remark." in shown
    assert "Not the original weights: 4-bit &lt;GGUF&gt; (a, b)." in shown
    below = '<p class="quiet">Computed with weights that are not the original ones: 4-bit &lt;GGUF&gt; (a, b).</p>'
    assert pages.table(frame).data.endswith(below)
    assert below in pages.folded("more", frame).data
    assert "original" not in pages.remarks(study, (), notes[2:]).data
    assert "Weights" not in pages.table(frame).data


def test_missing_and_infinite_numbers_are_dashes():
    frame = pd.DataFrame({"share": [float("nan"), 0.5], "seeds_needed": [float("inf"), 3.0], "word": ["a", None]})
    shown = pages.table(frame, percent=("share",), digits=0).data
    assert shown.count("<td>–</td>") == 3
    assert "nan" not in shown.lower()
    assert "inf" not in shown.lower()
    assert pages.table(frame.head(0)) is None
    assert pages.table(None) is None


def test_the_verdict_is_escaped_and_claims_that_are_not_tested_are_folded():
    rows = [("A <claim>", "cannot tell", "<script>"), ("Another", "not tested", "<i>"), ("A third", "not tested", "No arm.")]
    shown = pages.claims(pd.DataFrame(rows, columns=["claim", "outcome", "evidence"])).data
    assert "<b>cannot tell</b>: A &lt;claim&gt;" in shown
    assert "<script>" not in shown
    assert "<details><summary>2 claims that this study does not test</summary><ul><li>Another. <i>&lt;i&gt;</i></li>" in shown
    assert shown.count('class="text claim"') == 1
    table = pd.DataFrame(rows, columns=["claim", "outcome", "evidence"])
    assert pages.claims(table, "Intervals <95 %>.").data.startswith("<p>Intervals &lt;95 %&gt;.</p><div")
    assert "95 %" not in pages.claims(table[1:], "Intervals <95 %>.").data  # no number that it could be about


def test_a_part_without_content_is_left_out(monkeypatch):
    monkeypatch.setitem(pages.EXPLAINED, "A < B", "Some *words*: {margin}.")
    assert pages.part("A < B", None, pages.table(pd.DataFrame()), margin="1 point") is None
    shown = pages.part("A < B", None, pages.note("<note>"), margin="1 point").data
    assert "<summary>A &lt; B</summary>" in shown
    assert "<em>words</em>: 1 point." in shown
    assert "&lt;note&gt;" in shown


def test_devices_and_versions_that_differ_are_shown_apart():
    labels = {"filter": "org/a", "device": "H100", "versions": {"torch": "2.11", "vllm": "0.26"}}
    log, scores = {"device": "H100", "versions": {"torch": "2.11"}}, {"step": 0, "device": "H200", "versions": {"torch": "2.12"}}
    assert pages.made_with([labels, log]) == "Device: H100. torch 2.11, vllm 0.26."
    shown = "Device: H100 (labels, training); H200 (scores). torch 2.11 and 2.12, vllm 0.26."
    assert pages.made_with([labels, log, scores, scores]) == shown


def test_code_in_a_note_is_shown_as_code_and_stays_escaped():
    shown = pages.note("The option inside `<answer>` is right, a ` alone stays.").data
    assert "inside <code>&lt;answer&gt;</code> is right, a ` alone stays." in shown
