"""Publishing a study, and rebuilding its analysis from what was published.

`python -m helpers.report.publish STUDY` (`make publish`) copies to figures/<study>/ what a reader opens (tables, figures, the executed last
notebook) and, below data/, what the analysis is made from: scores without the models' texts, labels, which questions
an arm was trained on, logs and rollouts, and what each notebook took. `… STUDY --from figures/<study>` (`make report FROM=…`) makes the last notebook and the
report again from these files alone, below runs/published/, and says whether its tables equal those published.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pandas as pd

from helpers.analysis import checks, plots
from helpers.analysis.claims import NO_MARKER
from helpers.questions import pools
from helpers.report import pages
from helpers.study.files import StudyError, atomic, read_note, write_json, write_table
from helpers.study.study import REPOSITORY, UNTRAINED, Study, open_study
from helpers.workflow import execute

FIGURES = REPOSITORY / "figures"
DATA = (  # what 05_analysis reads, and the columns that it does not need
    ("eval/**/scores.parquet", ("response", "subject")),
    ("filter/*/labels.parquet", ("response",)),
    ("split/**/train.parquet", ("question", "options", "rationale")),  # whose texts are the data set's
    ("train/*/*/completions.parquet", ()),
    ("train/*/*/log.csv", ()),
    ("eval/untrained/tasks/*.json", ()),
)
BY_HAND = {"measured.csv"}  # of the quickstart: times and memory, which no run writes
NONE_AT_ALL = " (no completion of the first and the last third has a sign of it, so there was nothing to compare)"
GPU_STEPS = {"01": "labels", "03": "training", "04": "evaluation"}
OUTCOMES = ("supports", "contradicts", "cannot tell")
FIRST = "small"  # the study whose finding opens the README
ANSWERS = {  # to the question of the study, by the outcome of the first claim
    "supports": "a filter's choice teaches more than a random one",
    "contradicts": "a filter's choice does not teach more than a random one",
    "cannot tell": "it is not shown that a filter's choice teaches more than a random one, nor that it does not",
}


def publish(study: Study, target: Path) -> list[Path]:
    """Copy a finished study to `target`; returns the files written. Raises StudyError if its analysis has not run."""
    if not study.path("tables", "comparison.csv").exists():
        raise StudyError(f"{study.path('tables')}: no analysis yet; run make study STUDY={study.name} first")
    shutil.rmtree(target / "data", ignore_errors=True)
    for old in [path for path in target.glob("*.*") if path.suffix in (".csv", ".png", ".svg") and path.name not in BY_HAND]:
        old.unlink()
    written = [
        _copy(path, target / path.name) for folder in ("tables", "figures") for path in sorted(study.path(folder).iterdir())
    ]
    for pattern, dropped in DATA:
        for path in sorted(study.folder.glob(pattern)):
            to = target / "data" / path.relative_to(study.folder)
            written.append(_compact(path, to, dropped) if path.suffix == ".parquet" else _copy(path, to))
            if path.suffix != ".json" and path.with_suffix(".json").exists():
                written.append(_copy(path.with_suffix(".json"), to.with_suffix(".json")))
    notes = {str(p.relative_to(study.folder).with_suffix("")): read_note(p) for p in sorted(study.folder.glob("*/**/*.json"))
             if p.stem in ("labels", "log", "scores") and "checkpoints" not in p.parts}  # fmt: skip
    write_json(notes, target / "provenance.json")
    write_table(times(study), target / "data" / "times.csv")
    written.append(target / "data" / "times.csv")
    return [*written, _notebook(study, target / "05_analysis.ipynb"), target / "provenance.json"]


def times(study: Study) -> pd.DataFrame:
    """What each notebook took when it last ran: notebook, seconds, gpus (how much of a GPU it was lent; 0 without one), gpu_seconds."""
    rows = []
    for path in sorted(study.path("notebooks").glob("*.ipynb")):
        told = json.loads(path.read_text(encoding="utf-8"))["metadata"].get("papermill", {})
        if told.get("duration") and not told.get("exception"):
            lent = told.get("gpus", 0.0)
            rows.append((path.stem, round(told["duration"], 1), round(lent, 4), round(told["duration"] * lent, 1)))
    return pd.DataFrame(rows, columns=["notebook", "seconds", "gpus", "gpu_seconds"])


def _notebook(study: Study, to: Path) -> Path:
    """The executed analysis without what it says of this machine: no paths, no times, no log lines."""
    notebook = nbformat.read(study.path("notebooks", "05_analysis.ipynb"), as_version=4)
    for cell in [notebook, *notebook.cells]:
        cell.metadata.pop("papermill", None)
        if cell.get("outputs"):
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    text = nbformat.writes(notebook)
    for folder in (study.folder, study.file.parent, REPOSITORY):  # as JSON writes them
        text = text.replace(f"{json.dumps(str(folder))[1:-1]}/", "")
    with atomic(to) as partial:
        partial.write_text(text, encoding="utf-8")
    return to


def _copy(path: Path, to: Path) -> Path:
    with atomic(to) as partial:
        shutil.copyfile(path, partial)
    return to


def _compact(path: Path, to: Path, dropped: tuple[str, ...]) -> Path:
    """A table without the columns that the analysis does not read, tightly packed; a dropped `response` says only whether there was one."""
    frame = pd.read_parquet(path)
    if "response" in dropped and "response" in frame:
        frame["response"] = frame["response"].where(frame["response"].isna(), "")
    frame = frame.drop(columns=[name for name in dropped if name != "response"], errors="ignore")
    with atomic(to) as partial:
        frame.to_parquet(partial, index=False, compression="zstd")
    return to


def rebuild(study: Study, source: Path) -> Path:
    """Run the analysis on published files and render its report; returns the report's path."""
    if not (source / "data").is_dir():
        raise StudyError(f"{source}: has no folder data/; publish the study there first (make publish STUDY={study.name})")
    os.environ["STUDY_RUNS"] = str(study.folder.parent / "published")
    shutil.rmtree(study.folder, ignore_errors=True)
    shutil.copytree(source / "data", study.folder)
    execute.run("05_analysis", study.path("notebooks", "05_analysis.ipynb"), {"study": str(study.file)})
    return pages.build(study)


def differing(study: Study, source: Path) -> list[str]:
    """Names of the tables (also those beside figures) that a rebuild made otherwise than they were published (`_equal`), or not at all."""
    made = {path.name: path for folder in ("tables", "figures") for path in study.path(folder).glob("*.csv")}
    told = {path.name: path for path in source.glob("*.csv") if path.name not in BY_HAND}
    return sorted(
        name for name in made.keys() | told.keys() if not (name in made and name in told and _equal(made[name], told[name]))
    )


def _equal(one: Path, other: Path) -> bool:
    """Whether two tables are the same; their numbers to nine digits, since processors round sums in different orders."""
    if one.read_bytes() == other.read_bytes():
        return True
    try:
        frames = [pd.read_csv(path) for path in (one, other)]
    except pd.errors.EmptyDataError:  # a table without columns, which the other has
        return False
    if list(frames[0]) != list(frames[1]) or len(frames[0]) != len(frames[1]):
        return False
    return all(
        np.allclose(frames[0][name], frames[1][name], rtol=1e-9, atol=1e-12, equal_nan=True)
        if all(pd.api.types.is_float_dtype(frame[name]) for frame in frames)
        else frames[0][name].equals(frames[1][name])
        for name in frames[0]
    )


def results_table(figures: Path = FIGURES) -> str:
    """What the README says of all published studies that are no demonstration, in Markdown.

    Claims, then the indices of each arm, then what was to be said of a pool.
    """
    claims, lines, remarks = _claims(figures), [], []
    if len(claims):
        lines += ["| the paper's claim | " + " | ".join(OUTCOMES) + " |", "| --- |" + " --- |" * len(OUTCOMES)]
        for claim, part in claims.groupby("claim", sort=False):
            told = [", ".join(part.loc[part["outcome"] == outcome, "study"]) or "–" for outcome in OUTCOMES]
            lines.append(f"| {claim} | {' | '.join(told)} |")
        lines.append("")
    lines += [
        "| study | arm | seeds | change on what it was trained on: medicine, in the control GSM8K's test (points) | on other benchmarks |",
        "| --- | --- | --- | --- | --- |",
    ]
    heads = len(lines)
    for path in sorted(figures.glob("*/groups.csv")):
        table = pd.read_csv(path)
        if "seeds" not in table or not _counts(path.parent.name):
            continue
        remarks += [f"- {path.parent.name}: {line}" for line in _remarks(path.parent)]
        for arm, part in table.groupby("arm", sort=False):
            cells = part.set_index("group")
            told = [
                _cell(cells.loc[group].to_dict()) if group in cells.index else "–" for group in ("specialisation", "robustness")
            ]
            lines.append(f"| {path.parent.name} | {arm} | {cells['seeds'].iloc[0]} | {told[0]} | {told[1]} |")
    if len(lines) == heads:
        return "No real study has been published yet.\n"
    return "\n".join([*lines, *(["", *remarks] if remarks else [])]) + "\n"


def _origins(provenance: Path) -> list[str]:
    """In what ways weights of a published study are not the hub's, with their models."""
    notes = json.loads(provenance.read_text(encoding="utf-8")).values() if provenance.is_file() else []
    return pages.origins([note for note in notes if "weights" in note])


def _remarks(folder: Path) -> list[str]:
    """What is to be said of a published study beside its numbers: its pool, its weights, and the hours of GPUs that it was lent."""
    changed = [f"not the original weights: {line}." for line in _origins(folder / "provenance.json")]
    return [*pools.recorded_remarks(folder / "data"), *changed, *_gpu_hours(folder / "data" / "times.csv")]


def _gpu_hours(times: Path) -> list[str]:
    """What the notebooks of a published study were lent of GPUs, in a sentence; nothing if they were lent none."""
    lent = pd.read_csv(times) if times.is_file() else pd.DataFrame(columns=["notebook", "gpu_seconds"])
    hours = lent.groupby(lent["notebook"].str[:2])["gpu_seconds"].sum() / 3600
    told = [f"{hours[step]:.2f} {what}" for step, what in GPU_STEPS.items() if hours.get(step)]
    unknown = [what for step, what in GPU_STEPS.items() if not hours.get(step, 1)]
    without = f" ({' and '.join(unknown)}: none recorded)" if unknown else ""
    return [f"GPU hours lent to the notebooks when they last ran: {', '.join(told)}{without}."] if told else []


def _counts(name: str) -> bool:
    """Whether a study's results belong in the README: it is one of parameters/, and no demonstration."""
    return (REPOSITORY / "parameters" / f"{name}.yaml").exists() and not open_study(name).demonstration


def _claims(figures: Path) -> pd.DataFrame:
    """Claims that a published study, no demonstration, asks: columns study, claim, outcome."""
    paths = [path for path in sorted(figures.glob("*/verdict.csv")) if _counts(path.parent.name)]
    tables = [pd.read_csv(path).assign(study=path.parent.name) for path in paths]
    found = pd.concat(tables) if tables else pd.DataFrame(columns=["study", "claim", "outcome"])
    return found[found["outcome"].isin(OUTCOMES)]


def _cell(row: Mapping[str, Any]) -> str:
    return f"{100 * row['change']:+z.1f} [{100 * row['low']:+z.1f}, {100 * row['high']:+z.1f}]"


def _against_random(folder: Path, model: str) -> list[str]:
    """Arms minus the random arm on both indices, and what the first is without its smallest benchmark, in Markdown; nothing if the
    study has no such arm. model: the one that was trained."""
    pairs, chosen = pd.read_csv(folder / "pairs.csv"), pd.read_csv(folder / "arms.csv").set_index("arm")["chosen by"]
    before = pairs[(pairs["second"] == "random") & (pairs["first"] != UNTRAINED)]  # arms that stand before the random one
    turned = {
        "first": "random",
        "second": before["first"],
        "change": -before["change"],
        "low": -before["high"],
        "high": -before["low"],
    }
    rows = pd.concat([pairs[pairs["first"] == "random"], before.assign(**turned)])
    rows = rows[rows["group"].isin(["specialisation", "robustness"])]
    if rows.empty:
        return []
    told = rows.set_index(["second", "group"]).apply(_cell, axis=1).unstack().loc[rows["second"].unique()]
    told = told.reindex(columns=["specialisation", "robustness"])
    rest = pd.read_csv(folder / "without.csv")
    rest = rest[(rest["first"] == "random") & (rest["group"] == "specialisation")]
    rest = rest[rest["items"] == rest["items"].min()].drop_duplicates("second").set_index("second")
    if len(rest):
        name = plots.names(
            rest.assign(benchmark=rest["without"].str.partition(":")[0], filter="none").drop(columns="group")
        ).iloc[0]
        told.insert(1, f"the same without the {rest['items'].iloc[0]} items of {name}", rest.apply(_cell, axis=1))
    heads = {"specialisation": "minus the random arm, in medicine (points)", "robustness": "on other benchmarks"}
    return [
        f"| arm: filtered by | {' | '.join(heads.get(name, name) for name in told)} |",
        "| --- |" + " --- |" * told.shape[1],
        *(f"| {arm}{_filtered_by(arm, chosen, model)} | {' | '.join(row.fillna('–'))} |" for arm, row in told.iterrows()),
        "",
    ]


def _filtered_by(arm: str, chosen: pd.Series, model: str) -> str:
    """The model that chose an arm's questions, unless the arm is named after it, and whether it is the trained one."""
    name = chosen.get(arm, "").rpartition("/")[2]
    itself = ", the trained model itself" if chosen.get(arm) == model else ""
    return "" if name in ("", arm) else f": {name}{itself}"


def _fired(fired: pd.DataFrame, what: str, words: str) -> str:
    """The places where a guard fired (columns what, where, value), in words; nothing if it did not."""
    places = [f"{row.where} ({row.value})" for row in fired[fired["what"] == what].itertuples()]
    return f"{words}: {', '.join(places)}" if places else ""


def finding(figures: Path = FIGURES) -> str:
    """What opens the README, in Markdown: the first study's answer, what it says of the paper's claims, its arms against the random one,
    its control, its limits, its figure. Raises StudyError if it was published before there were all of these tables."""
    folder = figures / FIRST
    if not (folder / "study.csv").exists():
        others = [path.parent.name for path in sorted(figures.glob("*/groups.csv")) if _counts(path.parent.name)]
        first = f"`{FIRST}`, the study that asks, has not been published; others have ({', '.join(others)})."
        why = first if others else "What is here is the whole pipeline at the smallest real size."
        return f"**The answer so far: none yet.** {why}\n"
    missing = [name for name in ("verdict", "pairs", "arms", "guards", "without") if not (folder / f"{name}.csv").exists()]
    if missing:
        raise StudyError(f"{folder}: has no {missing[0]}.csv; run make publish STUDY={FIRST} again")
    told, claims = pd.read_csv(folder / "study.csv").iloc[0], pd.read_csv(folder / "verdict.csv")
    over = f"{told['seeds']} seeds an arm" if told["seeds"] > 1 else "one seed an arm"
    fired = pd.read_csv(folder / "guards.csv").fillna("")
    reasons = [
        _fired(fired, checks.ALIKE, "arms that train on nearly the same questions"),
        _fired(fired, checks.GUESSES, "filters whose answers are not shown to be right more often than guesses"),
    ]
    limits = [
        f"one model trained in one way on questions of one pool ({told['pool']});",
        f"the weights are not the originals': {'; '.join(changed)};" if (changed := _origins(folder / "provenance.json")) else "",
        "exam questions, not medicine; and *cannot tell* is not *no difference*: what an interval holds is not excluded.",
    ]
    return "\n".join(
        [
            f"**The answer so far: {ANSWERS.get(claims['outcome'].iloc[0], 'none')}.** So says the study [`{FIRST}`](parameters/{FIRST}.yaml) of "
            f"{told['model']} ({over}; intervals are 95 %, over items{' and seeds' if told['seeds'] > 1 else ''}).",
            "",
            *_against_random(folder, told["model"]),
            *([f"*What stands in the way of an answer*: {'; '.join(filter(None, reasons))}.", ""] if any(reasons) else []),
            *(
                f"- {row.claim}: **{row.outcome}**{NONE_AT_ALL if NO_MARKER in row.evidence else ''}."
                for row in claims.itertuples()
            ),
            "",
            "<details><summary>what each of these rests on</summary>",
            "",
            *(f"- {row.claim}: {row.evidence}" for row in claims.itertuples()),
            "",
            "</details>",
            "",
            str(told["control"]),
            "",
            f"*What this does not show*: {' '.join(filter(None, limits))}",
            "",
            f"![Robustness against specialisation of each arm, with regions](figures/{FIRST}/plane.png)",
            "",
            f"*`{FIRST}`: change of each arm from the untrained model, in points, with the region that covers both changes at once. (Table: "
            f"[figures/{FIRST}/plane.csv](figures/{FIRST}/plane.csv); the whole report: `make report STUDY={FIRST} FROM=figures/{FIRST}`.)*",
            "",
        ]
    )


BLOCKS = {"finding": finding, "results": results_table}


def _block(name: str) -> re.Pattern[str]:
    return re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)


def update_readme(readme: Path, figures: Path = FIGURES) -> bool:
    """Write what is published between the README's markers; False if it has not all of them."""
    text = readme.read_text("utf-8")
    if not all(_block(name).search(text) for name in BLOCKS):
        return False
    for name, says in BLOCKS.items():
        found = _block(name).search(text)
        text = text[: found.end(1)] + says(figures) + text[found.start(2) :]
    with atomic(readme) as partial:
        partial.write_text(text, encoding="utf-8")
    return True


def up_to_date(text: str, figures: Path = FIGURES) -> bool:
    """True if what a README says of results is just what the published files say; False also if it has no markers for it."""
    found = {name: _block(name).search(text) for name in BLOCKS}
    return all(
        found[name] and found[name][0] == f"{found[name][1]}{says(figures)}{found[name][2]}" for name, says in BLOCKS.items()
    )


def main() -> None:
    """Parse the command line; one line and exit code 1 if something is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study")
    parser.add_argument("--from", dest="source", type=Path, help="rebuild the analysis from this folder")
    parser.add_argument("--to", type=Path, help="publish here instead of figures/<study>")
    arguments = parser.parse_args()
    try:
        study = open_study(arguments.study)
        if arguments.source:
            source = arguments.source.resolve()
            page = rebuild(study, source)
            other = differing(study, source)
            print(
                f"Tables that differ from those published: {', '.join(other)}" if other else "All tables equal those published."
            )
            print(f"Report: {page}")
            return
        target = arguments.to or FIGURES / study.name
        files = publish(study, target)
        size = sum(path.stat().st_size for path in set(files)) / 1e6
        print(f"{len(set(files))} files, {size:.1f} MB: {target}")
        if not arguments.to and not update_readme(REPOSITORY / "README.md"):
            marks = ", ".join(f"<!-- {name} --> … <!-- /{name} -->" for name in BLOCKS)
            print(f"README.md has not all markers ({marks}); it was left as it is")
    except StudyError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
