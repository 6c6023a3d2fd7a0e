"""Executed notebooks: how long they took, and those for figures/<study>/: one of each chapter, without traces of the machine, and with a few
questions in full.

GitHub shows them as they are. 01 to 04 show questions of the pool and items of benchmarks: where the licence of the data is not known to
allow it, those outputs are replaced by a sentence. Of all answers and all rollouts the first few are kept.
"""

import html
import json
import re
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd

from helpers.study.files import atomic, read_note
from helpers.study.places import REPOSITORY
from helpers.study.schema import HELD_OUT
from helpers.study.study import Study

# Pools and benchmarks whose texts may be shown: the project's own (Apache-2.0), and those whose authors publish them under the MIT licence.
OPEN = (
    "starter:*", "starter_*", "openai/gsm8k", "gsm8k*", "GBaker/MedQA-USMLE-4-options", "bigbio/med_qa", "medqa*", "cais/mmlu", "mmlu*",
    "openlifescienceai/medmcqa", "medmcqa*", "qiaojin/PubMedQA", "pubmedqa*")  # fmt: skip
LEFT_OUT = '<p class="box note">Texts left out: the licence of {names} is not known to allow showing them here. Running the notebook shows them.</p>'
LOGGED = re.compile(r"^(?:DEBUG|INFO|WARNING|ERROR) \d\d-\d\d \d\d:\d\d:\d\d \[.*\n?", re.MULTILINE)
SCRIPTS = re.compile(r"<script.*?</script>", re.DOTALL)
KINDS = {"01": "labels", "03": "training", "04": "evaluation"}  # of jobs that use a GPU, by the number of their notebook
PAUSE = 900  # seconds: a longer gap between two finished tasks is a pause between two runs
FIRST_ONLY = '<p class="quiet">Published here: the first of these rows. Running the notebook shows more.</p>'


def times(study: Study) -> pd.DataFrame:
    """How long each notebook took when it last ran: notebook, seconds, gpus (its share of a GPU; 0 without one), gpu_seconds.

    The duration of an evaluation that resumed an interrupted one includes the tasks finished before the interruption, but not the time that
    the interrupted run spent on loading the model and on its unfinished task.
    Of a study that was rebuilt, or is continued, from published files: as published (`times.csv`), and the notebooks that have run since.
    """
    rows = []
    for path in sorted(study.path("notebooks").glob("*.ipynb")):
        run = json.loads(path.read_text(encoding="utf-8"))["metadata"].get("papermill", {})
        if run.get("duration") and not run.get("exception"):
            seconds, lent = run["duration"] + _scored_before(study, path.stem, run.get("start_time")), run.get("gpus", 0.0)
            rows.append((path.stem, round(seconds, 1), round(lent, 4), round(seconds * lent, 1)))
    found = pd.DataFrame(rows, columns=["notebook", "seconds", "gpus", "gpu_seconds"])
    if not study.path("times.csv").exists():
        return found
    before = pd.read_csv(study.path("times.csv"))
    new = found[~found["notebook"].isin(before["notebook"])]
    return pd.concat([before, new], ignore_index=True).sort_values("notebook", ignore_index=True)


def _scored_before(study: Study, notebook: str, start: str | None) -> float:
    """Seconds of the tasks that an evaluation found finished when it began, unless they were another study's.

    Earlier notes lack the duration of a task; the time since the previous task was finished replaces it. After a pause of PAUSE or more the
    duration is unknown and not counted.
    """
    if not notebook.startswith("04_") or start is None:
        return 0.0
    arm, _, seed = notebook.removeprefix("04_eval-").rpartition("-seed")
    folder = study.path("eval", arm, f"seed{seed}") if arm else study.path("eval", seed)
    notes = sorted((read_note(path) for path in folder.glob("tasks/*.parquet")), key=lambda note: note["made"])
    begun, total, last = datetime.fromisoformat(start), 0.0, None
    for note in notes:
        made = datetime.fromisoformat(note["made"])
        gap = (made - last).total_seconds() if last else PAUSE
        if made < begun and "adopted_from" not in note:
            total += note.get("seconds", gap if gap < PAUSE else 0.0)
        last = made
    return total


def chapters(study: Study) -> list[str]:
    """Names of the executed notebooks to publish: one filter, one draw, one training and its scores, as far as there are any, and the analysis.

    They are of the first arm with a filter, else of the first that searches, else of the first.
    """
    arm = max(study.arms, key=lambda name: (bool(study.arms[name].filter), study.arms[name].search))  # of equals the first
    run = f"{arm}-seed{study.seeds[0]}"
    draw = next("-".join(draw) for draw in study.draws() if draw[0] == arm)
    names = [f"01_filter-{study.arms[arm].filter}", f"02_split-{draw}", f"03_grpo_train-{run}", f"04_eval-{run}"]
    return [*(name for name in names if study.path("notebooks", f"{name}.ipynb").exists()), "05_analysis"]


def publish(study: Study, name: str, target: Path) -> None:
    """Copy an executed notebook to `target` without paths, times and log lines of the machine that ran it."""
    notebook = read(study.path("notebooks", f"{name}.ipynb"))
    ran = Path(notebook.metadata.get("papermill", {}).get("parameters", {}).get("study", ""))  # elsewhere perhaps
    for cell in [notebook, *notebook.cells]:
        cell.metadata.pop("papermill", None)
    if not name.startswith("05_"):
        _shorten(study, notebook)
    text = nbformat.writes(notebook)
    elsewhere = (ran.parent, ran.parent.parent) if ran.is_absolute() and ran.parent.name == "parameters" else ()
    for folder in (study.folder, study.folder.parent, study.file.parent, REPOSITORY, *elsewhere):  # as JSON writes them
        text = text.replace(f"{json.dumps(str(folder))[1:-1]}/", "")
    with atomic(target / f"{name}.ipynb") as partial:
        partial.write_text(text, encoding="utf-8")


def read(path: Path) -> Any:
    """An executed notebook for readers: without log lines, and without parts of 05_analysis (`pages.part`) that the study has no data for."""
    notebook = nbformat.read(path, as_version=4)
    for cell in (cell for cell in notebook.cells if cell.cell_type == "code"):
        cell.outputs = [
            output for output in map(_without_log, cell.outputs) if output.get("name") != "stderr" and output.get("text") != ""
        ]
    notebook.cells = [cell for cell in notebook.cells if "pages.part(" not in cell.source or cell.get("outputs")]
    return notebook


def _without_log(output: Any) -> Any:
    """An output without the lines that vLLM logs to standard output."""
    if output.get("name") == "stdout":
        output["text"] = LOGGED.sub("", output["text"])
    return output


def _shorten(study: Study, notebook: Any) -> None:
    """Leave out of a notebook's outputs the rows inside scripts, which GitHub does not run, and texts that may not be shown."""
    closed: list[str] = []
    shown = (output for cell in notebook.cells for output in cell.get("outputs", []))
    for output in (output for output in shown if "text/html" in output.get("data", {})):
        page = output["data"]["text/html"]
        if ">continuation</th>" not in page:  # the options of the item in the output before
            closed = not_open(study, page)
        if closed:
            output["data"] = {"text/html": LEFT_OUT.format(names=html.escape(" and ".join(closed)))}
        elif SCRIPTS.search(page):
            output["data"] = {"text/html": SCRIPTS.sub("", page) + FIRST_ONLY}


def not_open(study: Study, page: str) -> list[str]:
    """The pool or benchmarks whose texts an output shows although no known licence allows it; empty if showing is allowed.

    Texts are set in <pre>, each with its benchmark, if it is of one; 02's list of overlaps has texts of the pool and of all benchmarks.
    """
    tasks = [task.name for task in study.eval.tasks]
    if "<th>other</th>" in page:
        shown = [study.pool.source, *tasks]
    elif "<pre" in page:
        shown = re.findall(r"benchmark: <b>(.*?)</b>", page) or [study.pool.source]
    else:
        return []
    sources = dict.fromkeys(study.pool.source if name == HELD_OUT else html.unescape(name) for name in shown)
    return [name for name in sources if not any(fnmatchcase(name, pattern) for pattern in OPEN)]
