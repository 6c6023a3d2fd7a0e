"""Dry runs of the graph: all in one process, since importing Snakemake takes longer than a dry run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from conftest import REPOSITORY

# Each run has a process of its own, forked after the imports, because Snakemake's command ends its process.
FORKS = """
import json, os, sys
import helpers.analysis.control, helpers.training.launch, smart_open, snakemake.cli, snakemake.dag

snakemake.cli.get_argument_parser()  # imports Snakemake's plugins
for number, call in enumerate(json.load(sys.stdin)):
    if not (child := os.fork()):
        os.dup2(os.open(f"{sys.argv[1]}/{number}.out", os.O_WRONLY | os.O_CREAT), 1)
        os.dup2(os.open(f"{sys.argv[1]}/{number}.err", os.O_WRONLY | os.O_CREAT), 2)
        snakemake.cli.main(call)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def dry_runs(folder: Path, calls: list[list[str]]) -> list[str]:
    """What `python -m snakemake … -n` prints for each list of arguments, run in the repository. folder: for output."""
    folder.mkdir(parents=True, exist_ok=True)
    call = [sys.executable, "-c", FORKS, str(folder)]
    done = subprocess.run(
        call, input=json.dumps([[*call, "-n"] for call in calls]), cwd=REPOSITORY, env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True, text=True, check=True)  # fmt: skip
    texts = [{kind: (folder / f"{number}.{kind}").read_text() for kind in ("out", "err")} for number in range(len(calls))]
    for code, text in zip(done.stdout.split(), texts, strict=True):
        assert code == "0", text["err"]
    return [text["out"] for text in texts]
