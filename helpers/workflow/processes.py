"""The processes of a running study: found by a mark in their environment, and stopped together.

Every process that the graph starts inherits the mark: Snakemake, Papermill, kernels, and what those start. So the processes are
found at any depth, and also after their parent was killed.
"""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

MARK = "STUDY_PROCESS"  # environment variable: the folder that a process writes to
PATIENCE, LIMIT = 4.0, 9.0  # seconds until a process is killed that did not end when terminated, and until we give up
GRACE = 10.0  # seconds in which a kernel notices that its parent was killed, and ends
STOPPING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


def mark(folder: Path) -> dict[str, str]:
    """The environment for processes that write to a study's folder."""
    return os.environ | {MARK: str(folder.resolve())}


def running(folder: Path) -> list[psutil.Process]:
    """The marked processes of a study's folder, without this one."""
    found, marked = [], str(folder.resolve())
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):  # it has ended, or belongs to another user
            if process.pid != os.getpid() and process.environ().get(MARK) == marked:
                found.append(process)
    return found


def left(folder: Path) -> list[psutil.Process]:
    """The marked processes that still run after GRACE seconds; after a killed run there are usually none."""
    deadline = time.monotonic() + GRACE
    while (found := running(folder)) and time.monotonic() < deadline:
        psutil.wait_procs(found, timeout=1)
    return found


def stop(folder: Path) -> None:
    """End every marked process of a study's folder: terminate it, and kill it after PATIENCE. Returns within LIMIT seconds."""
    begun = time.monotonic()
    while (left := running(folder)) and time.monotonic() - begun < LIMIT:
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.terminate() if time.monotonic() - begun < PATIENCE else process.kill()
        psutil.wait_procs(left, timeout=PATIENCE if time.monotonic() - begun < PATIENCE else 1)


@contextlib.contextmanager
def stopped_at_the_end(folder: Path) -> Iterator[None]:
    """Stop the study's processes when the block ends for any reason, also by SIGTERM, SIGHUP or SIGINT (KeyboardInterrupt), unless the
    caller ignores the signal (SIGHUP under nohup)."""
    before = {number: signal.getsignal(number) for number in (*STOPPING, signal.SIGINT)}
    for number in STOPPING:
        if before[number] is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number in before:  # a second signal must not interrupt the stopping
            signal.signal(number, signal.SIG_IGN)
        stop(folder)
        for number, handler in before.items():
            signal.signal(number, handler)
