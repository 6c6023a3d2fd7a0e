"""A browser for rows with long texts, such as answers and rollouts: choose by column, search, turn pages.

JupyterLab shows it as an ipywidgets widget. In an executed notebook and in the report it is a block of HTML with its rows and a short
script inside, which needs neither a kernel nor a network. Everything a model wrote is shown as text, never as markup.
"""

import hashlib
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd
from markupsafe import Markup

from helpers.search.episodes import spans
from helpers.study.progress import HEADLESS

PER_PAGE = 6
MOST = 2000  # rows inside one block of HTML, about half a megabyte of rollouts
AS_TEXT = str.maketrans({"<": r"\u003c", ">": r"\u003e", "&": r"\u0026"})  # JSON that cannot end its <script>
INSERTED = "background: #fff1d6; color: #6b4600; box-shadow: -3px 0 #e69f00"  # style of a passage that a search inserted
BEGIN, END = "\ue000", "\ue001"  # around such a passage, in texts to be shown
TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
)


class Browser:
    """Rows that a reader can choose from and page through; notebooks and reports show it by themselves.

    frame: one row a card. columns: the short facts above each text. filters: columns to choose by. text: the column, or columns, with
    the long text. most: rows that the HTML block holds at most; of more it holds every n-th block of rows with equal filter values,
    so that the rollouts of one step stay together. Raises KeyError if the frame lacks one of these columns.
    """

    def __init__(self, frame: pd.DataFrame, columns: Sequence[str], filters: Sequence[str] = (),
                 text: str | Sequence[str] = "completion", most: int = MOST) -> None:  # fmt: skip
        self.columns, self.filters, self.most = list(columns), list(filters), most
        self.texts = [text] if isinstance(text, str) else list(text)
        names = dict.fromkeys([*self.filters, *self.columns, *self.texts])
        self.rows = pd.DataFrame({name: [plain(value) for value in frame[name]] for name in names})

    def html(self) -> str:
        """The self-contained block: rows as JSON, the first page as HTML for readers without scripts, and the script that turns pages."""
        step = max(1, -(-len(self.rows) // self.most))
        kept = self.rows.iloc[_whole_blocks(self.rows, self.filters, step)]
        data = {"rows": kept.to_numpy().tolist(), "names": list(kept), "filters": self.filters, "columns": self.columns,
                "texts": self.texts, "page": PER_PAGE}  # fmt: skip
        packed = json.dumps(data, ensure_ascii=False).translate(AS_TEXT)
        mark = hashlib.sha256(packed.encode()).hexdigest()[:12]
        first = cards(kept.head(PER_PAGE), self.columns, self.texts)
        return TEMPLATE.render(data=Markup(packed), mark=mark, first=first, shown=len(kept), all=len(self.rows))

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        live = {} if os.environ.get(HEADLESS) else self.widget()._repr_mimebundle_()
        return {**live, "text/html": self.html()}

    def widget(self) -> Any:
        """The ipywidgets widget; it pages through all rows, which stay in the kernel."""
        import ipywidgets as widgets

        boxes = {
            name: widgets.Dropdown(options=[("all", ""), *zip(values, values, strict=True)], description=name)
            for name, values in ((name, _values(self.rows[name])) for name in self.filters)
        }
        search = widgets.Text(description="search", continuous_update=False)
        page = widgets.BoundedIntText(1, min=1, description="page")
        shown = widgets.HTML()

        def show(*_: Any) -> None:
            kept = np.any([self.rows[name].str.contains(search.value, case=False, regex=False) for name in self.texts], axis=0)
            for name, box in boxes.items():
                kept &= (self.rows[name] == box.value) | (box.value == "")
            found = self.rows[kept]
            page.max = max(1, -(-len(found) // PER_PAGE))
            rows = found.iloc[PER_PAGE * (page.value - 1) :].head(PER_PAGE)
            shown.value = f"<p>{len(found):,} rows, {page.max:,} pages</p>{cards(rows, self.columns, self.texts)}"

        for box in (*boxes.values(), search, page):
            box.observe(show, "value")
        show()
        return widgets.VBox([widgets.HBox([*boxes.values(), search, page], layout={"flex_flow": "row wrap"}), shown])


browse = Browser  # as notebooks call it: an action, not a thing


def with_passages(frame: pd.DataFrame, prefill: str = "") -> pd.DataFrame:
    """Rollouts whose column `completion` has the inserted passages in it, marked so that they are shown in another colour.

    frame: with the columns completion and searches (`Episode.record`); without the latter it is returned as it is. prefill: what
    each completion begins with that the model did not write.
    """
    if "searches" not in frame:
        return frame
    rows = zip(frame["completion"], frame["searches"].fillna("[]"), strict=True)
    return frame.assign(completion=[_marked(text, len(prefill), searches) for text, searches in rows])


def _marked(text: str, before: int, searches: str) -> str:
    clean = re.sub(f"[{BEGIN}{END}]", "\ufffd", text)
    pieces = spans(clean[before:], searches)
    return clean[:before] + "".join(f"{BEGIN}{piece}{END}" if inserted else piece for piece, inserted in pieces)


def shown(text: str) -> Markup:
    """A text as HTML, escaped, with the passages that `with_passages` marked in another colour."""
    pieces = re.split(f"[{BEGIN}{END}]", text)  # every second one was inserted
    colour = Markup('<span style="{}">{}</span>')
    return Markup("").join(colour.format(INSERTED, piece) if place % 2 else piece for place, piece in enumerate(pieces))


TEMPLATES.filters["shown"] = shown
TEMPLATE = TEMPLATES.get_template("browser.html.j2", globals={"inserted": INSERTED})


def cards(rows: pd.DataFrame, columns: Sequence[str], texts: Sequence[str], between: str = " · ") -> Markup:
    """Rows of strings as HTML, a card each: the short facts `columns`, then the long texts; all escaped."""
    return TEMPLATE.module.cards(rows.to_dict("records"), columns, texts, between)


def plain(value: Any) -> str:
    """A value as a reader's text: two decimals where there are any, a dash for what is missing or not finite."""
    if value is None or value is pd.NA or value is pd.NaT:
        return "–"
    if isinstance(value, float | np.floating):
        return f"{value:z.2f}".removesuffix(".00") if np.isfinite(value) else "–"
    return str(value)


def _values(column: pd.Series) -> list[str]:
    """The distinct values of a filter, numbers in their order and words as they first appear."""
    values = list(dict.fromkeys(column))
    return sorted(values, key=float) if all(value.lstrip("-").replace(".", "", 1).isdigit() for value in values) else values


def _whole_blocks(rows: pd.DataFrame, filters: Sequence[str], step: int) -> np.ndarray:
    """Positions of every `step`-th block of neighbouring rows whose filter values are equal; without filters of every `step`-th row."""
    if step == 1 or not filters:
        return np.arange(0, len(rows), step)
    named = rows[list(filters)]
    block = (named != named.shift()).any(axis=1).cumsum() - 1
    return np.flatnonzero(block % step == 0)
