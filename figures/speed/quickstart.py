"""Seconds of the quickstart's steps with the code of two commits, on one machine, one after the other.

`python figures/speed/quickstart.py 64a7af1 HEAD` runs `make study` of each commit in a checkout of its own, with the packages of this project's
.venv and the packaged weights that were downloaded already (they are unpacked again), and writes quickstart.csv: one row per step. The machine
should do nothing else; its load average before each run is a row. A run takes about ten minutes.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from helpers.models.packages import cache_folder

ROOT = Path(__file__).resolve().parents[2]
STEP = re.compile(r"\] (0\d_\w+.*): (\d+) s$")


def checkout(commit: str, folder: Path) -> None:
    """The files of a commit in `folder`, with this project's .venv."""
    subprocess.run(["git", "-C", ROOT, "worktree", "add", "--force", "--detach", "--quiet", folder, commit], check=True)
    (folder / ".venv").mkdir()
    for path in (ROOT / ".venv").iterdir():
        if path.name != "ready":
            (folder / ".venv" / path.name).symlink_to(path.resolve())
    (folder / ".venv" / "ready").touch()


def packed(folder: Path) -> None:
    """A cache for `MODEL_CACHE` with the weights as they were downloaded."""
    for path in cache_folder().glob("*/*.gguf"):
        (folder / path.parent.name).mkdir(parents=True, exist_ok=True)
        (folder / path.parent.name / path.name).symlink_to(path)


def measure(commit: str, folder: Path) -> dict[str, float]:
    """Seconds of each notebook of the quickstart, and of the whole command."""
    checkout(commit, folder / "project")
    packed(folder / "models")
    places = {"STUDY_RUNS": folder / "runs", "MODEL_CACHE": folder / "models", "PYTHONPATH": folder / "project"}
    environment = {key: value for key, value in os.environ.items() if key != "OFFLINE_MIRROR"}
    environment |= {key: str(value) for key, value in places.items()}
    load, begun = os.getloadavg()[0], time.monotonic()
    command = ["make", "study", "STUDY=quickstart"]
    with subprocess.Popen(command, cwd=folder / "project", env=environment, stdout=subprocess.PIPE, text=True) as study:
        lines = [(line.rstrip(), time.monotonic() - begun) for line in study.stdout]
    if study.returncode:
        sys.exit(f"{commit}: make study failed: {lines[-1][0] if lines else 'no output'}")
    seconds = {found[1].strip(): float(found[2]) for line, _ in lines if (found := STEP.search(line))}
    first = next(when for line, when in lines if line.startswith("["))
    return (
        {"load average before": load, "until the first step is done, weights unpacked": first}
        | seconds
        | {"make study": lines[-1][1]}
    )


def main() -> None:
    """Measure the commits of the command line in their order."""
    found = {}
    for commit in sys.argv[1:]:
        name = subprocess.check_output(["git", "-C", ROOT, "rev-parse", "--short", commit], text=True).strip()
        with tempfile.TemporaryDirectory() as folder:
            found[name] = measure(commit, Path(folder))
        subprocess.run(["git", "-C", ROOT, "worktree", "prune"], check=True)
    table = pd.DataFrame(found).round(1).rename_axis("step")
    table.to_csv(Path(__file__).with_suffix(".csv"))
    print(table.to_string())


if __name__ == "__main__":
    main()
