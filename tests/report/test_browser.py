"""The browser for rows: its filters, its pages, and that no text of a model becomes markup. The block of HTML is opened in Chromium."""

import html
import re
import shutil
import subprocess

import pandas as pd
import pytest
from markupsafe import escape

from helpers.report import browser
from helpers.report.browser import browse

HOSTILE = '</script><script>document.title = "run"</script><b>&amp;</b>'
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def rollouts():
    """Two arms with 20 steps of two rollouts each; the first text is hostile."""
    rows = [
        (arm, step, f"{arm} wrote {step}.{i}", 1.0 / (i + 1))
        for arm in ("random", "self")
        for step in range(1, 21)
        for i in (0, 1)
    ]
    frame = pd.DataFrame(rows, columns=["arm", "step", "completion", "reward"])
    frame.loc[0, "completion"] = HOSTILE
    return frame


def opened(text, tmp_path, fragment=""):
    """The document of a page with this block after its script ran, as Chromium has it."""
    if not CHROMIUM:
        pytest.skip("Chromium is not installed")
    (tmp_path / "page.html").write_text(f"<!DOCTYPE html><meta charset=utf-8><title>still</title>{text}", encoding="utf-8")
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", "--virtual-time-budget=2000",
               f"--user-data-dir={tmp_path / 'profile'}", f"{(tmp_path / 'page.html').as_uri()}{fragment}"]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def texts_of(document):
    """What stands in the cards of a document."""
    return [html.unescape(text) for text in re.findall(r"<pre>(.*?)</pre>", document, re.DOTALL)]


def test_a_text_of_a_model_never_becomes_markup():
    block = browse(rollouts(), ["arm"], ["arm"]).html()
    assert block.count("</script>") == 2  # the rows' own and the script's own
    assert str(escape(HOSTILE)) in block
    assert r"\u003c/script\u003e\u003cscript\u003e" in block
    assert "<b>&amp;</b>" not in block


def test_chromium_shows_the_first_page_and_a_hostile_text_as_text(tmp_path):
    document = opened(browse(rollouts(), ["arm", "reward"], ["arm", "step"]).html(), tmp_path)
    assert texts_of(document)[0] == HOSTILE
    assert len(texts_of(document)) == browser.PER_PAGE
    assert "<title>still</title>" in document
    assert "80 of 80 rows, page 1 of 14" in document


def test_chromium_filters_and_turns_pages(tmp_path):
    block = browse(rollouts(), ["arm", "reward"], ["arm", "step"]).html()
    document = opened(block, tmp_path, "#arm=self&page=2")
    assert texts_of(document) == [f"self wrote {step}.{i}" for step in (4, 5, 6) for i in (0, 1)]
    assert "40 of 80 rows, page 2 of 7" in document
    assert "reward: <b>0.50</b>" in document
    assert texts_of(opened(block, tmp_path, "#arm=self&step=7")) == ["self wrote 7.0", "self wrote 7.1"]
    assert texts_of(opened(block, tmp_path, "#search=WROTE+12.1")) == ["random wrote 12.1", "self wrote 12.1"]
    assert "page 14 of 14" in opened(block, tmp_path, "#page=99")


def test_of_many_rows_whole_groups_are_kept():
    shown = browse(rollouts(), ["arm"], ["arm", "step"], most=30)
    kept = browser._whole_blocks(shown.rows, shown.filters, 3)
    assert len(kept) == 28
    assert shown.rows.iloc[kept].groupby(["arm", "step"]).size().eq(2).all()
    assert "28 rows (an even sample of 80)" in shown.html()


def test_the_widget_filters_and_turns_pages():
    widget = browse(rollouts(), ["arm", "step"], ["arm", "step"]).widget()
    (arm, step, search, page), cards = widget.children[0].children, widget.children[1]
    assert step.options[:3] == (("all", ""), ("1", "1"), ("2", "2"))
    assert str(escape(HOSTILE)) in cards.value
    assert "<script>" not in cards.value
    arm.value, page.value = "self", 2
    assert "40 rows, 7 pages" in cards.value
    assert "self wrote 4.0" in cards.value
    search.value = "wrote 20.1"
    assert "1 rows, 1 pages" in cards.value
    assert page.value == 1


def test_a_run_without_a_reader_has_no_widget(monkeypatch):
    monkeypatch.delenv(browser.HEADLESS, raising=False)  # another test may have run a notebook in this process
    rows = browse(rollouts(), ["arm"])
    assert set(rows._repr_mimebundle_()) > {"text/html"}
    monkeypatch.setenv(browser.HEADLESS, "1")
    assert set(rows._repr_mimebundle_()) == {"text/html"}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.5, "0.50"),
        (2.0, "2"),
        (-0.0, "0"),
        (float("nan"), "–"),
        (float("inf"), "–"),
        (None, "–"),
        (pd.NA, "–"),
        (3, "3"),
        ("a", "a"),
    ],
)
def test_a_value_as_text(value, text):
    assert browser.plain(value) == text
