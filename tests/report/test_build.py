"""The page that is built from executed notebooks: its menu, what it leaves out, and that it opens without a network."""

import base64
import re

import nbformat
import pytest
from nbformat import v4

from helpers.report import build
from helpers.study.files import StudyError
from helpers.study.study import open_study

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


@pytest.fixture
def study(parameters, tmp_path, monkeypatch):
    """A study with an executed last notebook and nothing else."""
    monkeypatch.setenv("STUDY_RUNS", str(tmp_path / "runs"))
    study = open_study(str(parameters()))
    picture = {"image/png": PIXEL}
    cells = [
        v4.new_markdown_cell("## First *heading*\n\n## Second"),
        v4.new_code_cell("default = 1", metadata={"tags": ["parameters"]}),
        v4.new_code_cell("given = 2", metadata={"tags": ["injected-parameters"]}),
        v4.new_code_cell("shown", outputs=[
            v4.new_output("stream", name="stderr", text="a progress bar"),
            v4.new_output("stream", text="WARNING 11-27 08:04:04 [arg_utils.py:1631] a line of a log\nWARNING: printed by a cell\n"),
            v4.new_output("display_data", picture, metadata={"image/png": {"alt": "random +0.5"}}),
            v4.new_output("display_data", picture)]),
        v4.new_code_cell("chapter.answer(r)", outputs=[v4.new_output("execute_result", {"text/html": "<b>The result</b>"})]),
    ]  # fmt: skip
    study.path("notebooks").mkdir(parents=True)
    nbformat.write(v4.new_notebook(cells=cells), study.path("notebooks", "05_analysis.ipynb"))
    return study


def test_a_report_of_one_notebook_lists_its_headings(study):
    page = build.build(study).read_text()
    menu = page.partition("<nav")[2].partition("</nav>")[0]
    assert '<li><a href="#05-analysis-First-heading">First heading</a></li>' in menu
    assert 'id="05-analysis-First-heading"' in page
    assert "rebuilt from its published files" in page


def test_what_a_page_shows_and_leaves_out(study):
    page = build.build(study).read_text()
    assert "a progress bar" not in page
    assert "a line of a log" not in page
    assert "WARNING: printed by a cell" in page
    assert page.index("<b>The result</b>") < page.index("This report contains"), "the page opens with the answer"
    assert "given" in page
    assert "default" not in page.partition("<main")[2]
    assert 'alt="random +0.5"' in page
    assert page.count("No description has been provided") == 0
    assert "https://" not in page
    assert 'src="http' not in page


def test_the_answer_stands_once_with_its_figure_below(study):
    """A study of its primary outcome shows that figure, not the one of the indices."""
    for name in ("plane", "primary"):
        study.path("figures").mkdir(exist_ok=True)
        study.path("figures", f"{name}.png").write_bytes(base64.b64decode(PIXEL) + name.encode())
    page = build.build(study).read_text()
    assert page.count("<b>The result</b>") == 1
    (figure,) = re.findall(r'<img src="data:image/png;base64,(\S+)" alt="Figure; its numbers are in figures/(\w+).csv">', page)
    assert (base64.b64decode(figure[0])[-7:], figure[1]) == (b"primary", "primary")
    assert page.index("<b>The result</b>") < page.index(figure[0]) < page.index("This report contains")


def test_a_study_that_has_not_run_has_no_report(study):
    study.path("notebooks", "05_analysis.ipynb").unlink()
    with pytest.raises(StudyError, match="no executed notebooks yet"):
        build.build(study)
