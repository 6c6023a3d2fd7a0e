"""Pieces of HTML that notebooks show: tables, notes, texts, folded sections. Whatever a model wrote is escaped here."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mistune
import numpy as np
import pandas as pd
from IPython.display import HTML
from markupsafe import Markup, escape

from helpers.analysis.checks import Notice, lines
from helpers.analysis.names import signed
from helpers.report.browser import cards, plain
from helpers.study.study import Study

# JupyterLab does not have the report's style sheet, so the little that makes boxes readable stands beside them.
BOX = {
    kind: f"border-left: 4px solid {colour}; padding: .5rem .9rem"
    for kind, colour in (("note", "#0b5c8c"), ("warning", "#b35c00"))
}
CARD = "border: 1px solid #c9d1da; border-radius: 4px; padding: .4rem .8rem; margin: .6rem 0"
GRID = "display: grid; grid-template-columns: repeat(auto-fit, minmax(13rem, 1fr)); gap: 0 1rem"
# Explanations of the parts of 05_analysis by title. Read from a file, so that they stand in the output: not every viewer hides a cell's code.
EXPLAINED = dict(
    re.findall(r"^## (.+)\n\n((?:(?!## ).*\n)+)", Path(__file__).with_name("parts.md").read_text("utf-8"), re.MULTILINE)
)
_weights: list[str] = []  # a sentence below every table of this notebook, set by remarks()


def _html(form: str, *values: Any) -> HTML:
    """HTML with the values in the places of `form`; a value that is no `Markup` is escaped."""
    return HTML(Markup(form).format(*values))


def table(
    frame: pd.DataFrame | None,
    percent: tuple[str, ...] = (),
    points: tuple[str, ...] = (),
    sizes: tuple[str, ...] = (),
    digits: int = 2,
) -> HTML | None:
    """A table for readers, with all text escaped and a dash where there is no number; None without rows or without a frame.

    percent: columns of shares, shown in percent; points: differences of shares, shown in points with their sign; sizes: the same
    without a sign. Other numbers are rounded to `digits`; a p-value (column `p`, `p_…`) that rounds to zero is shown as a bound.
    """
    if frame is None or frame.empty:
        return None
    forms = dict.fromkeys(percent, lambda v: f"{100 * v:.1f}\u00a0%") | dict.fromkeys(sizes, lambda v: f"{100 * v:.1f}")
    forms |= dict.fromkeys(points, lambda v: signed(100 * v))
    shown = frame.rename_axis(columns=None)
    for column in shown.columns:
        if column in forms or pd.api.types.is_float_dtype(shown[column]):
            write = forms.get(column, lambda v: f"{v:z.{digits}f}")
            shown[column] = [write(v) if pd.notna(v) and np.isfinite(v) else "–" for v in frame[column]]
            if str(column).partition("_")[0] == "p":
                shown[column] = shown[column].replace(f"{0:.{digits}f}", f"<\u00a0{10**-digits:g}")
        elif pd.api.types.is_integer_dtype(shown[column]):
            form = "" if column in ("seed", "step") else ","
            shown[column] = ["–" if pd.isna(v) else f"{v:{form}}" for v in frame[column]]
    index = any(shown.index.names)  # an index without a name only counts rows
    first = 1 + (shown.index.nlevels if index else 0)
    words = ["indexed"] if index else []
    words += [f"left{place}" for place, column in enumerate(frame.columns, first) if _is_text(frame[column])]
    rows = shown.to_html(index=index, escape=True, border=0, na_rep="–", classes=words)
    head, end, body = rows.partition("</thead>")
    rows = head.replace("_", "_<wbr>") + end + body  # names of columns may break, so that more columns fit
    differ = f"Computed with weights that are not the original ones: {'; '.join(_weights)}."
    below = Markup('<p class="quiet">{}</p>').format(differ) if _weights else ""
    return _html('<div class="scroll">{}</div>{}', Markup(rows), below)


def _is_text(column: pd.Series) -> bool:
    """Whether a column holds words, which are aligned left, and no numbers or marks."""
    return all(isinstance(value, str) and (value[:1].isalpha() or not value) for value in column)


def claims(verdict: pd.DataFrame, basis: str = "") -> HTML:
    """The claims with outcome and evidence (columns claim, outcome, evidence), all text escaped; those not tested in one folded list.

    basis: what the numbers of all evidence have in common, shown above it.
    """
    tested = verdict["outcome"].isin(["supports", "contradicts", "cannot tell"])
    card = Markup('<div class="text claim" style="{}"><p><b>{}</b>: {}</p><p>{}</p></div>')
    entry = Markup("<li>{}. <i>{}</i></li>")
    blocks = [card.format(CARD, row.outcome, row.claim, row.evidence) for row in verdict[tested].itertuples()]
    if blocks and basis:
        blocks.insert(0, Markup("<p>{}</p>").format(basis))
    rest = [entry.format(row.claim, row.evidence) for row in verdict[~tested].itertuples()]
    if rest:
        folded = Markup("<details><summary>{} claims that this study does not test</summary><ul>{}</ul></details>")
        blocks.append(folded.format(len(rest), Markup("").join(rest)))
    return HTML("".join(blocks))


def note(text: str, kind: str = "note") -> HTML:
    """A remark in a box; kind is "note" or "warning". The text is escaped; what stands between backticks is shown as code."""
    shown = re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text)))
    return _html('<p class="box {}" style="{}">{}</p>', kind, BOX[kind], Markup(shown))


def remarks(study: Study, lines: Sequence[str] = (), notes: Sequence[dict[str, Any]] = ()) -> HTML:
    """The remarks above the numbers of a study: that it is a demonstration, if it is one, and the given ones.

    notes: of results or models, each with `model` (or `filter`), `weights` and `origin` (`models.weights`). Where the weights are
    not the hub's, that is said here, and from now on below every table of the notebook.
    """
    demonstration = (
        "This is a demonstration. With one seed and a few dozen items it shows how the study works, but it cannot distinguish "
        "the arms, and no number here is a finding."
    )
    _weights[:] = origins(notes)
    changed = [f"Not the original weights: {'; '.join(_weights)}."] if _weights else []
    shown = [*([demonstration] if study.demonstration else []), *lines, *changed]
    return HTML("".join(note(line, "warning").data for line in shown))


def origins(notes: Sequence[dict[str, Any]]) -> list[str]:
    """The ways in which weights differ from the hub's, each with its models (without their owners). notes: as for `remarks`."""
    differences: dict[str, str] = {}
    for note in notes:
        # Results older than the key `origin` say it of packaged models in `weights`, after the package's name.
        text = note.get("origin") or (note["weights"].rpartition(", ")[2] if note["weights"].startswith("package") else "")
        if text:
            differences[note.get("model", note.get("filter"))] = text
    sharing: dict[str, list[str]] = {}
    for model, text in sorted(differences.items()):
        sharing.setdefault(text, []).append(model.rpartition("/")[2])
    return [f"{text} ({', '.join(dict.fromkeys(names))})" for text, names in sharing.items()]


def made_with(notes: Sequence[dict[str, Any]]) -> str:
    """All devices and versions in the notes of labels, logs and scores; with several devices, the results that each one made."""
    devices: dict[str, dict[str, None]] = {}
    versions: dict[str, dict[str, None]] = {}
    for note in (note for note in notes if "device" in note):
        result = "labels" if "filter" in note else "scores" if "step" in note else "training"
        devices.setdefault(note["device"], {})[result] = None
        for name, version in note["versions"].items():
            versions.setdefault(name, {})[version] = None
    named = [f"{device} ({', '.join(results)})" if len(devices) > 1 else device for device, results in devices.items()]
    return f"Device: {'; '.join(named)}. " + ", ".join(f"{name} {' and '.join(found)}" for name, found in versions.items()) + "."


def warnings(notices: Sequence[Notice], models: int = 0) -> HTML:
    """The warnings of the checks, one line each in one box; a quiet line if there is none. models: how many were checked (`checks.lines`)."""
    if not notices:
        return HTML('<p class="quiet">No check failed.</p>')
    items = Markup("").join(Markup("<li>Warning: {}</li>").format(line) for line in lines(notices, models))
    return _html('<ul class="box warning checks" style="{}; list-style: none">{}</ul>', BOX["warning"], items)


def folded(title: str, frame: pd.DataFrame | None, **options: Any) -> HTML | None:
    """A long table that a reader can open; its summary says how many rows it has; None without rows. options: of `table`."""
    if frame is None or frame.empty:
        return None
    rows = Markup(table(frame, **options).data)
    return _html("<details><summary>{} ({} rows)</summary>{}</details>", title, len(frame), rows)


def part(title: str, *content: Any, opened: bool = False, **values: str) -> HTML | None:
    """A part of 05_analysis that a reader can open: its explanation (`EXPLAINED`) and content; None if a study has no content for it.

    content: tables and notes of this file, or pictures (`plots.picture`); None is skipped. opened: show it unfolded. values: what the
    explanation names in braces.
    """
    pieces = [piece.data for piece in content if piece is not None]
    if not pieces:
        return None
    body = Markup(mistune.create_markdown()(EXPLAINED[title].format(**values)) + "".join(pieces))
    begins = '<details class="section" open>' if opened else '<details class="section">'
    return _html(begins + "<summary>{}</summary>{}</details>", title, body)


def texts(frame: pd.DataFrame, facts: Sequence[str], *bodies: str, beside: bool = False) -> HTML:
    """Texts in full, as a model read or wrote them: for each row the named facts that it has, then its columns `bodies`; all escaped.

    beside: rows stand beside each other as columns, else below each other.
    """
    known = [name for name in facts if name in frame]
    rows = pd.DataFrame({name: frame[name].map(plain) for name in known} | {name: frame[name].astype(str) for name in bodies})
    shown = cards(rows, known, bodies, Markup("<br>")) if beside else cards(rows, known, bodies)
    return _html('<div style="{}">{}</div>', GRID if beside else "", shown)
