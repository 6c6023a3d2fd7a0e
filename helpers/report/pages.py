"""The report: pieces of HTML that notebooks show, and the page made of all executed notebooks.

Whatever a model wrote is escaped here, wherever it is shown.
"""

from __future__ import annotations

import argparse
import html
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from IPython.display import HTML

from helpers.analysis.checks import Notice, lines
from helpers.study.files import StudyError, atomic
from helpers.study.study import Study, open_study

TEMPLATE = Path(__file__).parent / "report.html.j2"
FOLDED = """{%- extends 'basic/index.html.j2' -%}
{% block input_group %}<details class="code"><summary>code</summary>{{ super() }}</details>{% endblock %}
"""
STEPS = {
    "01_filter": "1 · Filter",
    "02_split": "2 · Split",
    "03_grpo_train": "3 · Train",
    "04_eval": "4 · Evaluate",
    "05_analysis": "5 · Analysis",
}


_weights: list[str] = []  # said below every table of this notebook, see remarks()


def table(
    frame: pd.DataFrame, percent: tuple[str, ...] = (), points: tuple[str, ...] = (), sizes: tuple[str, ...] = (), digits: int = 2
) -> HTML:
    """A table for readers: numbers rounded, the named columns in percent, in points with their sign, or (sizes) without; all text escaped."""
    shown = frame.copy()
    for column in shown.columns:
        if column in percent:
            shown[column] = [("" if pd.isna(v) else f"{100 * v:.1f} %") for v in shown[column]]
        elif column in points:
            shown[column] = [("" if pd.isna(v) else f"{100 * v:+z.1f}") for v in shown[column]]
        elif column in sizes:
            shown[column] = [("" if pd.isna(v) else f"{100 * v:.1f}") for v in shown[column]]
        elif pd.api.types.is_float_dtype(shown[column]):
            shown[column] = [("" if pd.isna(v) else f"{v:.{digits}f}") for v in shown[column]]
    index = any(shown.index.names)  # an index without a name only counts rows
    first = 1 + (shown.index.nlevels if index else 0)
    words = [f"left{place}" for place, column in enumerate(frame.columns, first) if _is_text(frame[column])]
    below = f'<p class="quiet">Weights, not the originals: {html.escape("; ".join(_weights))}.</p>' if _weights else ""
    return HTML(f'<div class="scroll">{shown.to_html(index=index, escape=True, border=0, na_rep="", classes=words)}</div>{below}')


def _is_text(column: pd.Series) -> bool:
    """Whether a column holds words, which stand on the left, and no numbers or marks."""
    return all(isinstance(value, str) and (value[:1].isalpha() or not value) for value in column)


def claims(verdict: pd.DataFrame) -> HTML:
    """The verdict, a block a claim: outcome, claim, evidence (columns of these names), all text escaped."""
    blocks = [
        f'<div class="text claim"><p><b>{html.escape(row.outcome)}</b>: {html.escape(row.claim)}</p><p>{html.escape(row.evidence)}</p></div>'
        for row in verdict.itertuples()
    ]
    return HTML("".join(blocks))


def arms(study: Study) -> pd.DataFrame:
    """What the arms of a study are, in words: one row an arm, with the questions it is trained on, who chose them, and how it is trained."""
    rows = []
    for name, arm in study.arms.items():
        changed = ", ".join(f"{key} {value}" for key, value in arm.train.items())
        rows.append({"arm": name, "questions": arm.rule, "chosen by": study.filters[arm.filter].model if arm.filter else "chance",
                     "trained": changed or f"as the study ({study.train.method})"})  # fmt: skip
    return pd.DataFrame(rows)


def note(text: str, kind: str = "note") -> HTML:
    """A remark in a box; kind is "note" or "warning". The text is escaped."""
    return HTML(f'<p class="box {html.escape(kind)}">{html.escape(text)}</p>')


def remarks(study: Study, lines: Sequence[str] = (), notes: Sequence[dict[str, Any]] = ()) -> HTML:
    """What stands beside the numbers of a study: that it is a demonstration, if it is one, and the given remarks.

    notes: of results or models, each with `model` (or `filter`), `weights` and `origin` (`models.weights`). Where the weights are
    not the hub's, that is said here, and from now on below every table of the notebook.
    """
    told = (
        "A demonstration. One seed and a few dozen items show how the study works; they cannot tell one arm from "
        "another, and no number here is a finding."
    )
    _weights[:] = origins(notes)
    shown = (
        ([told] if study.demonstration else [])
        + list(lines)
        + ([f"Not the original weights: {'; '.join(_weights)}."] if _weights else [])
    )
    return HTML("".join(note(line, "warning").data for line in shown))


def origins(notes: Sequence[dict[str, Any]]) -> list[str]:
    """Of notes as `remarks` takes them: in what ways weights are not the hub's, with the models (without their owners) of each."""
    told: dict[str, str] = {}
    for note in notes:
        # Results older than the key `origin` say it of packaged models in `weights`, after the package's name.
        text = note.get("origin") or (note["weights"].rpartition(", ")[2] if note["weights"].startswith("package") else "")
        if text:
            told[note.get("model", note.get("filter"))] = text
    sharing: dict[str, list[str]] = {}
    for model, text in sorted(told.items()):
        sharing.setdefault(text, []).append(model.rpartition("/")[2])
    return [f"{text} ({', '.join(dict.fromkeys(names))})" for text, names in sharing.items()]


def made_with(notes: Sequence[dict[str, Any]]) -> str:
    """All devices and versions that the notes of labels, logs and scores name; of several devices, what was made on each."""
    devices: dict[str, dict[str, None]] = {}
    versions: dict[str, dict[str, None]] = {}
    for note in (note for note in notes if "device" in note):
        made = "labels" if "filter" in note else "scores" if "step" in note else "training"
        devices.setdefault(note["device"], {})[made] = None
        for name, version in note["versions"].items():
            versions.setdefault(name, {})[version] = None
    told = [f"{device} ({', '.join(made)})" if len(devices) > 1 else device for device, made in devices.items()]
    return f"Device: {'; '.join(told)}. " + ", ".join(f"{name} {' and '.join(found)}" for name, found in versions.items()) + "."


def side_by_side(frame: pd.DataFrame, facts: Sequence[str], bodies: Sequence[str]) -> HTML:
    """Rows as columns beside each other: the named facts, then the long texts in the columns `bodies`; all text escaped."""
    cells = []
    for row in frame.to_dict("records"):
        told = "".join(f"<br>{html.escape(key)}: <b>{html.escape(_plain(row[key]))}</b>" for key in facts if key in row)
        long = "".join(
            f'<p>{html.escape(body)}</p><pre style="white-space: pre-wrap; overflow-wrap: anywhere">{html.escape(str(row[body]))}</pre>'
            for body in bodies
        )
        cells.append(f'<div class="text"><p>{told.removeprefix("<br>")}</p>{long}</div>')
    grid = "display: grid; grid-template-columns: repeat(auto-fit, minmax(13rem, 1fr)); gap: 0 1rem"
    return HTML(f'<div style="{grid}">{"".join(cells)}</div>')


def guards(fired: Sequence[Notice], models: int = 0) -> HTML:
    """The guards that fired, a line each in one box; one quiet line if none did. models: how many were looked at (`guards.lines`)."""
    if not fired:
        return HTML('<p class="quiet">No guard fired here.</p>')
    items = "".join(f"<li>Guard: {html.escape(line)}</li>" for line in lines(fired, models))
    return HTML(f'<ul class="box warning guard">{items}</ul>')


def folded(title: str, frame: pd.DataFrame, **options: Any) -> HTML:
    """A long table that a reader opens when it is wanted."""
    return HTML(f"<details><summary>{html.escape(title)} ({len(frame)} rows)</summary>{table(frame, **options).data}</details>")


def texts(frame: pd.DataFrame, facts: list[str], body: str) -> HTML:
    """A few texts in full, as the model wrote them: above each the named facts, all of it escaped."""
    blocks = []
    for row in frame.to_dict("records"):
        told = " · ".join(f"{html.escape(str(key))}: <b>{html.escape(_plain(row[key]))}</b>" for key in facts)
        blocks.append(f'<div class="text"><p>{told}</p><pre>{html.escape(str(row[body]))}</pre></div>')
    return HTML("".join(blocks))


def _plain(value: Any) -> str:
    if value is None or value is pd.NA or value != value:  # NaN
        return "–"
    return f"{value:z.2f}".removesuffix(".00") if isinstance(value, float) else str(value)


def pages(study: Study) -> list[Path]:
    """The executed notebooks of a study, in reading order. Raises StudyError if there are none."""
    folder = study.path("notebooks")
    jobs = {
        "01_filter": list(study.filters),
        "02_split": ["-".join(draw) for draw in study.draws()],
        "03_grpo_train": [f"{arm}-seed{seed}" for arm in study.arms for seed in study.seeds],
        "04_eval": ["-".join(model) for model in study.scored()],
    }
    names = [f"{step}-{job}" for step in STEPS for job in jobs.get(step, [])] + ["05_analysis"]
    found = [folder / f"{name}.ipynb" for name in names if (folder / f"{name}.ipynb").exists()]
    if not found:
        raise StudyError(f"{folder}: no executed notebooks yet; run make study STUDY={study.name} first")
    return found


def build(study: Study) -> Path:
    """Write `report/index.html`: one file with every executed notebook, which opens without a network."""
    import jinja2

    chapters: list[dict[str, Any]] = []
    for path in pages(study):
        step, _, rest = path.stem.partition("-")
        if not chapters or chapters[-1]["step"] != step:
            chapters.append({"step": step, "title": STEPS[step], "pages": []})
        chapters[-1]["pages"].append(
            {"id": _slug(path.stem), "title": rest.replace("-seed", ", seed ").replace("-step", ", step "), "body": _body(path)}
        )
    template = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(TEMPLATE.read_text("utf-8"))
    target = study.path("report", "index.html")
    with atomic(target) as partial:
        partial.write_text(template.render(study=study, chapters=chapters), encoding="utf-8")
    return target


def _body(path: Path) -> str:
    """One notebook as HTML: code folded away, no progress bars, no scripts from elsewhere."""
    import nbformat  # here, and not above: every notebook imports this file, and these take it a second or two
    from nbconvert import HTMLExporter
    from traitlets.config import Config

    notebook = nbformat.read(path, as_version=4)
    notebook.cells = [cell for cell in notebook.cells if "hide" not in cell.metadata.get("tags", [])]
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    config = Config({"HTMLExporter": {"anchor_link_text": "", "exclude_input_prompt": True, "exclude_output_prompt": True}})
    body, _ = HTMLExporter(config=config, raw_template=FOLDED).from_notebook_node(notebook)
    slug = _slug(path.stem)  # several notebooks share one page, so ids carry the notebook's name
    body = body.replace(
        'alt="No description has been provided for this image"', 'alt="Figure; what it shows stands around it and in its table"'
    )
    return re.sub(r'(<h[1-4] id=")', rf"\g<1>{slug}-", re.sub(r' id="cell-id=[^"]*"', "", body))


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", text)


def main() -> None:
    """`python -m helpers.report.pages STUDY`: render the report again from what is there."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("study")
    parser.add_argument("--quiet", action="store_true")
    arguments = parser.parse_args()
    try:
        target = build(open_study(arguments.study))
    except StudyError as error:
        print(f"error: {error}", file=sys.stdout if arguments.quiet else sys.stderr)
        sys.exit(1)
    if not arguments.quiet:
        print(f"Report: {target}")


if __name__ == "__main__":
    main()
