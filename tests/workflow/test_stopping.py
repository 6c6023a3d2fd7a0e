"""Signals end everything within ten seconds, a study that is still written is refused, and any path or kernel name works."""

import os
import re
import signal
import subprocess
import time

import psutil
import pytest
from workflow.stand_ins import checkout, environment

from helpers.workflow import processes

STOPPED = "stopped; the same command continues from here"


def make(folder, *arguments, **more):
    return subprocess.run(
        ["make", *arguments], cwd=folder, env=environment(folder, **more), capture_output=True, text=True, check=False
    )


def heed_signals():
    """Undo what nohup or a shell's `&` did to this process: signals that they ignore stay ignored in every process below."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)


def start(folder):
    """Run `make study` until a training waits; returns make's process."""
    (folder / "runs/tiny/waiting").unlink(missing_ok=True)
    process = subprocess.Popen(
        ["make", "study", "STUDY=tiny.yaml", "JOBS=2"], cwd=folder, env=environment(folder, STAND_IN_WAIT="120"),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True, preexec_fn=heed_signals)  # fmt: skip
    deadline = time.monotonic() + 60
    while not (folder / "runs/tiny/waiting").exists():
        assert time.monotonic() < deadline, process.communicate()[0]
        time.sleep(0.1)
    return process


def busy():
    """How many times as long the machine takes for anything, since others use it as well; 1 if nobody does."""
    return max(1.0, os.getloadavg()[0] / os.cpu_count())


def graph_of(process):
    """The graph's own process, below make."""
    return next(
        child for child in psutil.Process(process.pid).children(recursive=True) if "helpers.workflow.graph" in child.cmdline()
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A checkout in a path with a space, an apostrophe and an umlaut, whose notebooks were saved under another kernel's name."""
    return checkout(tmp_path_factory.mktemp("stopping") / "My Drive" / "it's für all", kernel="myenv")


def test_signals_end_everything_within_ten_seconds_and_finished_steps_stay(folder):
    finished = None
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        process = start(folder)
        graph = graph_of(process)
        below = graph.children(recursive=True)
        words = {word for child in below for word in child.cmdline()}
        assert {"snakemake", "helpers.workflow.execute", "ipykernel_launcher"} <= words
        begun = time.monotonic()
        (process if number == signal.SIGTERM else graph).send_signal(number)  # make hands SIGTERM on
        output, _ = process.communicate(timeout=120)
        assert time.monotonic() - begun < 10 * busy()
        assert STOPPED in output
        assert not [child for child in below if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
        labels = (folder / "runs/tiny/filter/self/labels.parquet").stat().st_mtime_ns
        assert labels == (finished or labels)
        finished = labels


def test_a_study_that_is_still_written_is_refused_also_after_its_parent_was_killed(folder):
    process = start(folder)
    try:
        refused = make(folder, "study", "STUDY=tiny.yaml")
        assert error_of(refused).endswith("another process is running this study; wait for it or stop it")
        graph_of(process).kill()
        process.wait(timeout=10)
        line = error_of(make(folder, "study", "STUDY=tiny.yaml"))
        assert "processes of a killed run still write here; wait, or stop them with: kill " in line
        subprocess.run(["bash", "-c", re.search(r"kill [\d ]+$", line)[0]], check=True)
        deadline = time.monotonic() + 10
        while processes.running(folder / "runs/tiny") and time.monotonic() < deadline:
            time.sleep(0.1)
        done = make(folder, "study", "STUDY=tiny.yaml")
        assert done.returncode == 0, done.stdout + done.stderr
        assert (folder / "runs/tiny/tables/comparison.csv").exists()
    finally:
        processes.stop(folder / "runs/tiny")


def error_of(done):
    """The one error line of a command that failed."""
    assert done.returncode != 0, done.stdout
    (line,) = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("error: ")]
    return line


def test_a_path_with_a_space_an_apostrophe_and_an_umlaut_and_a_kernel_of_another_machine(folder):
    done = make(folder, "study", "STUDY=tiny.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"Report: {folder / 'runs/tiny/report/index.html'}" in done.stdout
    for command in ("plan", "report", "clean"):
        done = make(folder, command, f"STUDY={folder / 'tiny.yaml'}")
        assert done.returncode == 0, done.stdout + done.stderr
    assert not (folder / "runs/tiny").exists()


def test_processes_are_found_by_their_folder(tmp_path):
    sleeper = subprocess.Popen(["sleep", "60"], env=processes.mark(tmp_path / "a"))
    try:
        while not psutil.Process(sleeper.pid).environ():  # the kernel shows it a moment after the process has begun
            assert sleeper.poll() is None
        assert [found.pid for found in processes.running(tmp_path / "a")] == [sleeper.pid]
        assert processes.running(tmp_path / "b") == []
        processes.stop(tmp_path / "a")
        assert processes.running(tmp_path / "a") == []
        assert sleeper.poll() is not None
    finally:
        sleeper.kill()
