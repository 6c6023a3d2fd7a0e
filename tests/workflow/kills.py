"""Kill a study at random moments, again and again, and record whether anything was lost.

`PYTHONPATH=.:tests python tests/workflow/kills.py FOLDER --kills 100 --minutes 9` runs a tiny study in FOLDER once undisturbed, and then
with kills: SIGTERM or SIGKILL, of the graph's whole process group or of the graph alone, each followed by the same command at once. A
study that reaches its end is compared with the undisturbed one and begun again. FOLDER/kills.csv has one row per kill and per finished
study. The same command continues when its minutes are over, or when it was stopped or killed itself.
tests/workflow/kills.csv is its result for 100 kills.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import psutil
from conftest import TINY, make_tiny_model
from safetensors import safe_open

from helpers.workflow import processes

WAYS = [(number, whom) for number in (signal.SIGTERM, signal.SIGKILL) for whom in ("group", "graph alone")]
LATEST = 22.0  # seconds after the start at which a study is killed, at most; the tiny one takes about a minute
LONGER = 1.2  # times as long after each kill before which no step finished, since a machine may be busy with other work
RUN = "KILLS_RUN"  # environment variable that every process of one start of the study has
READERS: dict[str, Callable[[Path], Any]] = {
    ".parquet": pd.read_parquet,
    ".csv": pd.read_csv,
    ".json": lambda path: json.loads(path.read_text()),
    ".ipynb": lambda path: nbformat.read(path, as_version=4),
    ".safetensors": lambda path: safe_open(path, "pt"),
}


def results(folder: Path) -> list[Path]:
    """A study's results: no files that have another name until they are whole, and no checkpoints, which a training checks itself."""
    files = [path for path in folder.rglob("*") if path.suffix in READERS and ".failed" not in path.name]
    return [path for path in files if not {"checkpoints", ".snakemake"} & set(path.parts) and path.name[0] != "."]


def unreadable(folder: Path) -> list[str]:
    """Results that cannot be read, with the reason. One that is replaced or removed meanwhile is none."""
    found = []
    for path in results(folder):
        try:
            READERS[path.suffix](path)
        except pd.errors.EmptyDataError:  # a table without columns is written as an empty file
            continue
        except FileNotFoundError:
            continue
        except Exception as error:  # whatever a reader raises
            found.append(f"{path.relative_to(folder)}: {error}")
    return found


def finished(folder: Path) -> dict[str, int]:
    """When a result of each finished step was written. A step is finished once the graph has recorded it."""
    incomplete, found = folder / ".snakemake" / "incomplete", {}
    for path in [*folder.glob("notebooks/0*.ipynb"), folder / "split" / "overlaps.parquet", folder / "report" / "index.html"]:
        name = path.relative_to(folder).as_posix()
        with contextlib.suppress(FileNotFoundError):
            if ".failed" not in name and not (incomplete / urlsafe_b64encode(name.encode()).decode()).exists():
                found[name] = path.stat().st_mtime_ns
    return found


def tables(folder: Path) -> dict[str, list[dict[str, str]]]:
    """The study's tables, those beside its figures included, as rows; without the seconds that a step of training took."""
    found = {}
    for path in [*folder.glob("tables/*.csv"), *folder.glob("figures/*.csv")]:
        with path.open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        found[path.name] = [{key: value for key, value in row.items() if not key.startswith("seconds")} for row in rows]
    return found


def two_at_once(folder: Path) -> bool:
    """Whether notebooks that different runs started are there at the same time."""
    runs = set()
    for process in processes.running(folder):
        with contextlib.suppress(psutil.Error):  # it has ended
            if {"helpers.workflow.execute", "ipykernel_launcher"} & set(process.cmdline()):
                runs.add(process.environ().get(RUN, ""))
    return len(runs - {""}) > 1  # a process that is just being started may show no environment


class Graph:
    """The command that runs a study. folder: the study's; log: gets the command's output."""

    def __init__(
        self, command: list[str], folder: Path, log: Path, environment: dict[str, str], place: Path | None = None
    ) -> None:
        self.command, self.folder, self.log, self.environment, self.place = command, folder, log, environment, place

    def start(self) -> subprocess.Popen[bytes]:
        environment = self.environment | {RUN: str(time.time_ns())}
        with self.log.open("a") as log:
            return subprocess.Popen(
                self.command, stdout=log, stderr=subprocess.STDOUT, env=environment, cwd=self.place, start_new_session=True)  # fmt: skip

    def run_and_kill(self, seconds: float, number: int, whom: str, steps: int | None = None) -> dict[str, Any]:
        """Run the study and kill it after so many seconds, or let it end before; returns a row of kills.csv.

        steps: kill it sooner, once so many steps more than before are finished.

        Where processes of the last run still write, the command refuses to start, and is given again a second later.
        """
        refused, second_writer = 0, False
        while True:
            begun, before = time.time(), finished(self.folder)
            process = self.start()
            enough = len(before) + steps if steps else sys.maxsize
            while process.poll() is None and time.time() - begun < seconds and len(finished(self.folder)) < enough:
                time.sleep(min(0.5, max(0.0, begun + seconds - time.time())))
                second_writer |= two_at_once(self.folder)
            if process.poll() in (None, 0):
                break
            if "still write here" not in self.log.read_text().splitlines()[-1]:
                raise RuntimeError(f"the study failed by itself; see {self.log}")
            refused += 1
            time.sleep(1)
        ended = process.poll() == 0
        killed = time.time()
        if not ended:
            os.killpg(process.pid, number) if whom == "group" else os.kill(process.pid, number)
            process.wait()
        now = finished(self.folder)
        return {
            "signal": "" if ended else signal.Signals(number).name, "sent_to": "nobody: finished" if ended else whom,
            "after_seconds": round(killed - begun, 1), "graph_ended_after": round(time.time() - killed, 1), "steps_finished": len(now),
            "steps_repeated": sum(now.get(name) != when for name, when in before.items()),
            "unreadable_files": "; ".join(unreadable(self.folder)), "second_writer": second_writer, "refused_before": refused}  # fmt: skip


def tiny_study(folder: Path) -> None:
    """A study on a tiny model, in `folder`."""
    make_tiny_model(folder / "mirror" / "tiny" / "llama")
    (folder / "tiny.yaml").write_text(TINY)


def graph_of(folder: Path, runs: str) -> Graph:
    given = {"OFFLINE_MIRROR": folder / "mirror", "STUDY_RUNS": folder / runs, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "helpers.workflow.graph", str(folder / "tiny.yaml"), "--jobs", "2"]
    return Graph(
        command, folder / runs / "tiny", folder / f"{runs}.log", os.environ | {key: str(value) for key, value in given.items()}
    )


def end_leftovers(runs: Path) -> None:
    """End the processes that an earlier call of this script left behind, when it was killed itself."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):  # it has ended, or belongs to another user
            if process.environ().get("STUDY_RUNS") == str(runs):
                process.kill()
                process.wait(10)


def killed(rows: list[dict[str, Any]]) -> int:
    """How many rows are kills."""
    return sum(bool(row["signal"]) for row in rows)


def kill_until(rows: list[dict[str, Any]], kills: int, deadline: float, graph: Graph, expected: dict[str, Any]) -> Iterator[None]:
    """Kill the study again and again; each is a row added to `rows`. expected: the tables of an undisturbed run."""
    idle = 0  # kills since a step finished
    while (count := killed(rows)) < kills and time.time() < deadline:
        before, (number, whom) = len(finished(graph.folder)), WAYS[count % len(WAYS)]
        seconds = random.Random(len(rows)).uniform(0.5, LATEST * LONGER**idle)
        row = {"row": len(rows) + 1} | graph.run_and_kill(seconds, number, whom)
        idle = 0 if row["steps_finished"] > before else idle + 1
        if not row["signal"]:
            made = tables(graph.folder)
            row["tables_different"] = (
                "; ".join(name for name in expected | made if made.get(name) != expected.get(name)) or "none"
            )
            processes.stop(graph.folder)
            shutil.rmtree(graph.folder)
        rows.append(row)
        yield


def main() -> None:
    """Parse the command line and kill."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--minutes", type=float, default=9.0)
    given = parser.parse_args()
    folder, deadline = given.folder.resolve(), time.time() + 60 * given.minutes
    undisturbed, graph = graph_of(folder, "undisturbed"), graph_of(folder, "killed")
    for one in (undisturbed, graph):
        end_leftovers(one.folder.parent)
    if not (folder / "tiny.yaml").exists():
        tiny_study(folder)
    if undisturbed.start().wait():
        sys.exit(f"the study failed by itself; see {undisturbed.log}")
    path = folder / "kills.csv"
    rows = pd.read_csv(path, keep_default_na=False).to_dict("records") if path.exists() else []
    for _ in kill_until(rows, given.kills, deadline, graph, tables(undisturbed.folder)):
        whole = path.with_suffix(".partial")
        pd.DataFrame(rows).to_csv(whole, index=False)
        whole.replace(path)
    print(f"{killed(rows)} kills: {path}")


if __name__ == "__main__":
    main()
