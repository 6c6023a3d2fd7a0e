"""What the README says about the published studies, between its markers: the finding, and a table of all results.

Both are rendered from `finding.md.j2` and `results.md.j2` and the published tables.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from helpers.analysis import indices, names, opening, primary, searching
from helpers.analysis.evidence import basis, change, difference, runs_in_words
from helpers.questions import pools
from helpers.report import pages
from helpers.report.browser import TEMPLATES
from helpers.report.executed import KINDS
from helpers.study.files import StudyError, atomic
from helpers.study.places import FIGURES, PARAMETERS
from helpers.study.study import open_study

# The first of these that is published opens the README; the others are folded below it.
OPENING = ("medicine", "choice", "choice_larger", "small")
NEEDED = ("verdict", "pairs", "arms", "guards", "without", "study", "comparison")  # its tables
OPTIONAL = ("common", "balance", "detectable")  # tables that a study may have
OUTCOMES = ("supports", "contradicts", "cannot tell")
INDICES = ("specialisation", "robustness")
# In Markdown nothing is escaped: the tables hold names and numbers of the study, and no text that a model wrote.
MARKDOWN = TEMPLATES.overlay(autoescape=False)


def finding(figures: Path = FIGURES) -> str:
    """What the studies of OPENING found: of the first that is published question, answer and meaning, its figure, why it is not more certain, its
    arms, claims, control and limits; the others folded below it.

    Returns Markdown. Raises StudyError if a study was published before it had all of these tables.
    """
    others = [path.parent.name for path in sorted(figures.glob("*/groups.csv")) if _counts(path.parent.name)]
    found = [_found(figures / name) for name in OPENING if (figures / name / "study.csv").exists()]
    first, rest = (found[0], found[1:]) if found else (None, [])
    shown = MARKDOWN.get_template("finding.md.j2").render(
        study=OPENING[-1], others=others, first=first, rest=rest, outcomes=OUTCOMES
    )
    return re.sub(r"\n{3,}", "\n\n", shown)


def _found(folder: Path) -> dict[str, Any]:
    """What the README says of one published study."""
    missing = [name for name in NEEDED if not (folder / f"{name}.csv").exists()]
    if missing:
        raise StudyError(f"{folder}: has no {missing[0]}.csv; run make publish STUDY={folder.name} again")
    others = [name for name in OPTIONAL if (folder / f"{name}.csv").exists()]
    tables = {name: pd.read_csv(folder / f"{name}.csv").fillna("") for name in [*NEEDED, *others]}
    about, pairs = tables["study"].iloc[0], tables["pairs"]
    return {
        "study": folder.name,
        "about": about,
        "lines": opening.lines(tables),
        "figure": "primary" if (folder / "primary.png").exists() else "plane",
        "reason": opening.reason(tables["verdict"], tables["guards"], pairs),
        "comparison": _against_random(tables, about),
        "claims": tables["verdict"].to_dict("records"),
        "basis": basis(runs_in_words(int(about["seeds"]), int(pairs["draws"].max())), about["confidence"]),
        "limits": opening.limits(pairs, tables["guards"]),
        "origins": _origins(folder / "provenance.json"),
    }


def results(figures: Path = FIGURES) -> str:
    """All published studies that are no demonstration, in Markdown: claims, what a search tool brings, indices of each arm, remarks on pools,
    weights and GPU hours."""
    rows, remarks, verdicts, tools = [], [], [], []
    for folder in (path.parent for path in sorted(figures.glob("*/groups.csv")) if _counts(path.parent.name)):
        table = pd.read_csv(folder / "groups.csv")
        verdicts.append(pd.read_csv(folder / "verdict.csv").assign(study=folder.name))
        remarks += [f"{folder.name}: {line}" for line in _remarks(folder)]
        tools += _search(folder)
        seeds = table.drop_duplicates("arm").set_index("arm")["seeds"]
        rows += [
            (folder.name, arm, seeds[arm], *(cells.get(group, "–") for group in INDICES)) for arm, cells in _cells(table).items()
        ]
    tested = pd.concat(verdicts).query("outcome in @OUTCOMES") if verdicts else pd.DataFrame(columns=["claim"])
    claims = [
        (claim, *(", ".join(part.loc[part["outcome"] == outcome, "study"]) or "–" for outcome in OUTCOMES))
        for claim, part in tested.groupby("claim", sort=False)
    ]
    return MARKDOWN.get_template("results.md.j2").render(
        outcomes=OUTCOMES, claims=claims, tools=tools, columns=searching.SUMMARY, rows=rows, remarks=remarks
    )


BLOCKS = {"finding": finding, "results": results}


def render(text: str, figures: Path = FIGURES) -> str | None:
    """A README's text with what is published between its markers; None if it lacks one of them."""
    for name, block in BLOCKS.items():
        start, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        if start not in text or end not in text:
            return None
        text = text[: text.index(start) + len(start)] + block(figures) + text[text.index(end) :]
    return text


def update(readme: Path, figures: Path = FIGURES) -> bool:
    """Write what is published between the README's markers; False, and nothing written, if it lacks one of them."""
    text = render(readme.read_text("utf-8"), figures)
    if text is None:
        return False
    with atomic(readme) as partial:
        partial.write_text(text, encoding="utf-8")
    return True


def _origins(provenance: Path) -> list[str]:
    """How the weights of a published study differ from the hub's, with their models."""
    notes = json.loads(provenance.read_text(encoding="utf-8")).values() if provenance.is_file() else []
    return pages.origins([note for note in notes if "weights" in note])


def _remarks(folder: Path) -> list[str]:
    """What to know about a published study beside its numbers: its pool, its weights, and the GPU hours that it took."""
    changed = [f"Weights differ from the original ones: {line}." for line in _origins(folder / "provenance.json")]
    return [*pools.recorded_remarks(folder / "data"), *changed, *_gpu_hours(folder / "data" / "times.csv")]


def _search(folder: Path) -> list[list[str]]:
    """What a search tool brings in a published study: its name and the rows of `searching.summary`, with the number of planned seeds."""
    path, planned = folder / "search_effect.csv", len(open_study(folder.name).seeds)
    rows = searching.summary(pd.read_csv(path)) if path.is_file() else pd.DataFrame({"seeds": []})
    ran = rows["seeds"].map(lambda seeds: f"{seeds} of {planned}" if seeds < planned else str(seeds))
    return [[folder.name, *row] for row in rows.assign(seeds=ran).astype(str).itertuples(index=False)]


def _gpu_hours(times: Path) -> list[str]:
    """The GPU hours of the notebooks of a published study, in a sentence; nothing if it ran without a GPU."""
    if not times.is_file():
        return []
    lent = pd.read_csv(times)
    hours = lent.groupby(lent["notebook"].str[:2])["gpu_seconds"].sum() / 3600
    known = [f"{hours[step]:.2f} {what}" for step, what in KINDS.items() if hours.get(step)]
    unknown = [what for step, what in KINDS.items() if not hours.get(step, 1)]
    without = f" ({' and '.join(unknown)}: not recorded)" if unknown else ""
    return [f"GPU hours: {', '.join(known)}{without}."] if known else []


def _counts(name: str) -> bool:
    """Whether the README shows a study's results: it is one of parameters/, and no demonstration."""
    return (PARAMETERS / f"{name}.yaml").exists() and not open_study(name).demonstration


def _cells(table: pd.DataFrame) -> dict[str, dict[str, str]]:
    """Changes on indices: arm → index → change and interval, in points, as text. table: columns arm, group, change, low, high."""
    found: dict[str, dict[str, str]] = {}
    for row in table.to_dict("records"):
        found.setdefault(row["arm"], {})[row["group"]] = change(row)
    return found


def _against_random(tables: Mapping[str, pd.DataFrame], about: pd.Series) -> dict[str, Any]:
    """Arms minus the random arm: on the primary outcome if the study has one, else on the index of what was trained and on that index without
    its smallest benchmark; and on the other benchmarks.

    tables: as published. Returns heads and rows of a table, as text; no rows if the study has no random arm.
    """
    pairs, arms = tables["pairs"], tables["arms"].set_index("arm")
    cells = _cells(indices.from_random(pairs[pairs["group"].isin(INDICES)]))
    outcome = primary.rows(tables["comparison"], about["pool"])
    if len(outcome):
        heads = {name: f"{name} (points)" for name in outcome["outcome"].unique()} | {"robustness": "other benchmarks (index)"}
        for row in outcome[outcome["vs_random"].notna()].to_dict("records"):
            cells.setdefault(row["arm"], {})[row["outcome"]] = difference(row, "vs_random")
        rules = primary.rules_of(tables["arms"])
        rows = [(f"{arm}: {rules.get(arm, '')}", *(found.get(head, "–") for head in heads)) for arm, found in cells.items()]
        return {"heads": ["arm: difference from the random arm", *heads.values()], "rows": rows}
    without = tables["without"]
    heads = {
        "specialisation": "difference from the random arm: benchmarks of the trained subject (points)",
        "robustness": "other benchmarks",
    }
    rest = without[(without["first"] == "random") & (without["group"] == "specialisation")]
    rest = rest[rest["items"] == rest["items"].min()].drop_duplicates("second")
    if len(rest):
        smallest = rest["without"].iloc[0].partition(":")[0]
        title = f"the same without {names.benchmark(smallest)}, the benchmark with the fewest items ({rest['items'].iloc[0]:,})"
        heads = {"specialisation": heads["specialisation"], "rest": title, "robustness": heads["robustness"]}
        for row in rest.to_dict("records"):
            cells.setdefault(row["second"], {})["rest"] = change(row)
    chosen = arms["chosen by"]
    rows = [
        (f"{arm}{_filtered_by(arm, chosen, about['model'])}", *(found.get(head, "–") for head in heads))
        for arm, found in cells.items()
    ]
    return {"heads": ["arm: filtered by", *heads.values()], "rows": rows}


def _filtered_by(arm: str, chosen: pd.Series, model: str) -> str:
    """The model that chose an arm's questions, unless the arm is named after it, and whether it is the trained one."""
    name = chosen.get(arm, "").rpartition("/")[2]
    itself = ", the trained model itself" if chosen.get(arm) == model else ""
    return "" if name in ("", arm) else f": {name}{itself}"
