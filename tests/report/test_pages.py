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
    assert "12.3 %" in shown
    assert "+1.0" in shown
    assert "-2.0" in shown
    assert ">50.0<" in shown
    assert "0.040" in shown
    assert "b&gt;bold" in shown
    assert 'class="dataframe left1"' in shown


def test_weights_that_are_not_the_hub_s_stand_below_every_table():
    study, frame = open_study("small"), pd.DataFrame({"a": [1]})
    notes = [
        {"model": "org/a", "weights": "offline mirror", "origin": "4-bit <GGUF>"},
        {"filter": "org/b", "weights": "package some==1.0, 4-bit <GGUF>"},  # older than the key
        {"model": "org/c", "weights": "hub", "origin": ""},
        {"model": "org/d", "weights": "offline mirror"},
        {"model": "org/a", "weights": "offline mirror"},
    ]
    told = pages.remarks(study, ["A remark."], notes).data
    assert "A remark." in told
    assert "Not the original weights: 4-bit &lt;GGUF&gt; (a, b)." in told
    below = '<p class="quiet">Weights, not the originals: 4-bit &lt;GGUF&gt; (a, b).</p>'
    assert pages.table(frame).data.endswith(below)
    assert below in pages.folded("more", frame).data
    assert "original" not in pages.remarks(study, (), notes[2:]).data
    assert "Weights" not in pages.table(frame).data


def test_the_verdict_is_escaped():
    claims = pd.DataFrame([{"claim": "A <claim>", "outcome": "cannot tell", "evidence": "<script>"}])
    shown = pages.claims(claims).data
    assert "<b>cannot tell</b>: A &lt;claim&gt;" in shown
    assert "<script>" not in shown


def test_arms_in_words():
    told = pages.arms(open_study("passrate")).set_index("arm")
    assert told.loc["random", ["questions", "chosen by"]].tolist() == ["500 at random", "chance"]
    assert told.loc["self", "questions"] == "400 hard, 100 easy"
    assert told.loc["half", "questions"] == "500 with a pass rate near 0.5"
    assert pages.arms(open_study("qlora")).set_index("arm").loc["self-qlora", "trained"] == "method qlora"


def test_devices_and_versions_that_differ_are_told_apart():
    labels = {"filter": "org/a", "device": "H100", "versions": {"torch": "2.11", "vllm": "0.26"}}
    log, scores = {"device": "H100", "versions": {"torch": "2.11"}}, {"step": 0, "device": "H200", "versions": {"torch": "2.12"}}
    assert pages.made_with([labels, log]) == "Device: H100. torch 2.11, vllm 0.26."
    told = "Device: H100 (labels, training); H200 (scores). torch 2.11 and 2.12, vllm 0.26."
    assert pages.made_with([labels, log, scores, scores]) == told
