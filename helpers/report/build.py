"""The report of a study: one HTML page built from all its executed notebooks."""

import base64
import re
import sys
from pathlib import Path
from typing import Any

from nbconvert import HTMLExporter
from traitlets.config import Config

from helpers.analysis import names
from helpers.report import executed
from helpers.report.browser import TEMPLATES
from helpers.study import overrides
from helpers.study.files import StudyError, atomic
from helpers.study.study import Study, open_study

TEMPLATE = TEMPLATES.get_template("report.html.j2")
FOLDED = """{%- extends 'basic/index.html.j2' -%}
{% block input_group %}<details class="code"><summary>code</summary>{{ super() }}</details>{% endblock %}
"""
FIRST = ("primary", "search_effects", "plane")  # the figure below the answer: the first of these that a study has
STEPS = {
    "01_filter": "1 · Filter",
    "02_split": "2 · Split",
    "03_grpo_train": "3 · Train",
    "04_eval": "4 · Evaluate",
    "05_analysis": "5 · Analysis",
}


def pages(study: Study) -> list[Path]:
    """The executed notebooks of a study, in reading order. Raises StudyError if there are none."""
    folder = study.path("notebooks")
    found = [path for name in study.notebooks() if (path := folder / f"{name}.ipynb").exists()]
    if not found:
        raise StudyError(f"{folder}: no executed notebooks yet; run make study STUDY={study.name} first")
    return found


def build(study: Study) -> Path:
    """Write `report/index.html`: one file with every executed notebook, which opens without a network. Returns its path."""
    chapters: list[dict[str, Any]] = []
    for path in pages(study):
        step, _, rest = path.stem.partition("-")
        if not chapters or chapters[-1]["step"] != step:
            chapters.append({"step": step, "title": STEPS[step], "pages": []})
        title = names.model(rest)
        chapters[-1]["pages"].append({"id": _slug(path.stem), "title": title, "body": _body(path)})
    for chapter in (chapter for chapter in chapters if len(chapter["pages"]) == 1):  # it lists its headings
        found = re.findall(r'<h2 id="([^"]*)">(.*?)</h2>', chapter["pages"][0]["body"])
        chapter["headings"] = [{"id": place, "title": re.sub(r"<[^>]+>", "", text)} for place, text in found]
    target = study.path("report", "index.html")
    with atomic(target) as partial:
        opening = {"answer": _answer(study), "figure": _figure(study)}
        partial.write_text(TEMPLATE.render(study=study, chapters=chapters, **opening), encoding="utf-8")
    return target


def _answer(study: Study) -> str:
    """The box that opens the last chapter (`chapter.answer`), as HTML; "" if it has not run."""
    path = study.path("notebooks", "05_analysis.ipynb")
    cells = executed.read(path).cells if path.exists() else []
    outputs = [output for cell in cells if "chapter.answer(" in cell.source for output in cell.get("outputs", [])]
    return next((output["data"]["text/html"] for output in outputs if "text/html" in output.get("data", {})), "")


def _figure(study: Study) -> dict[str, str] | None:
    """The figure of the answer, with the name of its table as the text for those who do not see it; None before the analysis."""
    found = next((path for name in FIRST if (path := study.path("figures", f"{name}.png")).exists()), None)
    if found is None:
        return None
    return {"data": base64.b64encode(found.read_bytes()).decode(), "alt": f"Figure; its numbers are in figures/{found.stem}.csv"}


def _body(path: Path) -> str:
    """One notebook as HTML: code folded away, no progress bars, no scripts from elsewhere, without the answer that opens the report."""
    notebook = executed.read(path)
    for cell in (cell for cell in notebook.cells if "chapter.answer(" in cell.source):
        cell.outputs = []
    tags = [set(cell.metadata.get("tags", [])) for cell in notebook.cells]
    if {"injected-parameters"} in tags:  # the defaults say nothing beside the values of this run
        notebook.cells = [cell for cell, tag in zip(notebook.cells, tags, strict=True) if "parameters" not in tag]
    config = Config({"HTMLExporter": {"anchor_link_text": "", "exclude_input_prompt": True, "exclude_output_prompt": True}})
    body, _ = HTMLExporter(config=config, raw_template=FOLDED).from_notebook_node(notebook)
    slug = _slug(path.stem)  # several notebooks share one page, so ids carry the notebook's name
    body = body.replace(
        'alt="No description has been provided for this image"', 'alt="Figure; its numbers are in the table beside it"'
    )
    return re.sub(r'(<h[1-4] id=")', rf"\g<1>{slug}-", re.sub(r' id="cell-id=[^"]*"', "", body))


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", text)


def main() -> None:
    """`python -m helpers.report.build STUDY`: render the report again from the executed notebooks."""
    parser = overrides.parser(main.__doc__)
    parser.add_argument("--quiet", action="store_true")
    arguments = parser.parse_args()
    try:
        target = build(open_study(arguments.study, arguments.changes))
    except StudyError as error:
        print(f"error: {error}", file=sys.stdout if arguments.quiet else sys.stderr)
        sys.exit(1)
    if not arguments.quiet:
        print(f"Report: {target}")


if __name__ == "__main__":
    main()
