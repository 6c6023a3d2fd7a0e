"""GPUs of a machine, shared out to jobs: each job sees its own GPUs, or its share of one.

A GPU is lent in twelfths, so that 1, 2, 3, 4, 6 or 12 jobs fit on it exactly. Each twelfth is a file lock, which the operating
system releases when the job ends for any reason. The locks belong to the machine, so two studies that run at once share it too.
"""

import contextlib
import getpass
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

from filelock import FileLock, Timeout

from helpers.models.device import visible

PARTS = 12


def parts(runs_per_gpu: int) -> int:
    """Twelfths of a GPU for each of `runs_per_gpu` jobs.

    >>> [parts(runs) for runs in (1, 2, 3, 4, 5, 8, 12)]
    [12, 6, 4, 3, 2, 1, 1]
    """
    return PARTS // runs_per_gpu


@contextlib.contextmanager
def lend(count: int, taken: int, folder: Path | None = None) -> Iterator[list[str]]:
    """Lend `taken` twelfths of each of `count` GPUs, the emptiest first, after waiting until they are free.

    Yields their names, and sets CUDA_VISIBLE_DEVICES to them and GPU_SHARE to the lent part of each (for engines that would
    otherwise take all memory). Yields an empty list and sets nothing if there is no GPU, if count is 0, and inside a Slurm job,
    where Slurm has assigned the GPUs.
    """
    names = visible()
    if not names or not count or "SLURM_JOB_ID" in os.environ:
        yield []
        return
    folder = folder or Path(tempfile.gettempdir()) / f"open-medical-r1-{getpass.getuser()}"
    while (got := _take(folder, names, count, taken)) is None:
        time.sleep(1)
    lent, locks = got
    # The driver numbers GPUs by their place on the bus; CUDA by speed, unless CUDA_DEVICE_ORDER is set.
    seen = {"CUDA_VISIBLE_DEVICES": ",".join(lent), "CUDA_DEVICE_ORDER": "PCI_BUS_ID", "GPU_SHARE": f"{taken / PARTS:.3f}"}
    try:
        with patch.dict(os.environ, seen):
            yield lent
    finally:
        for lock in locks:
            lock.release()


def _take(folder: Path, names: list[str], count: int, taken: int) -> tuple[list[str], list[FileLock]] | None:
    """(GPUs, their locks): all that the job needs, or None, so that no two jobs wait for each other."""
    with FileLock(folder / "lending.lock"):
        free = {name: _free(folder, name) for name in names}
        fitting = sorted((name for name in names if len(free[name]) >= taken), key=lambda name: -len(free[name]))
        lent = sorted(fitting[:count], key=names.index)
        kept = [lock for name in lent for lock in free[name][:taken]] if len(lent) == count else []
        for lock in (lock for locks in free.values() for lock in locks):
            if lock not in kept:
                lock.release()
        return (lent, kept) if kept else None


def _free(folder: Path, name: str) -> list[FileLock]:
    """Locks of the twelfths of a GPU that no job had; this process holds them now."""
    held = []
    for part in range(PARTS):
        lock = FileLock(folder / f"{name.replace('/', '_')}-{part}.lock")
        with contextlib.suppress(Timeout):
            lock.acquire(timeout=0)
            held.append(lock)
    return held
