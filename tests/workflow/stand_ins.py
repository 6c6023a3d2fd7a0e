"""A copy of the project in a folder of any name, with stand-in notebooks: the real graph, Papermill and kernels in seconds."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import nbformat
from conftest import REPOSITORY, TINY
from nbformat import v4

PARAMETERS = 'study = "quickstart"\nfilter = ""\narm = ""\nseed = 0\nstep = 0'
OUTPUTS = {
    "01_filter": ["filter/{filter}/labels.parquet"],
    "02_split": [],  # where draws go depends on the study, see WORK
    "03_grpo_train": ["train/{arm}/seed{seed}/log.csv", "train/{arm}/seed{seed}/completions.parquet"],
    "04_eval": [],
    "05_analysis": ["tables/comparison.csv"],
}
COMPARISON = "group,benchmark,filter,arm,accuracy,items,chance\\nspecialisation,a,none,untrained,0.5,6,0.25\\n"
WORK = """
import os, sys, time
from pathlib import Path
from helpers.study.study import open_study
s = open_study(study)
outputs = {outputs}
if "{name}" == "02_split":
    outputs = [getattr(s, "draw_pattern", "split/{{arm}}/train.parquet")]
if "{name}" == "04_eval":
    outputs = ["eval/{{arm}}/" + ("" if arm == "untrained" else "seed{{seed}}/") + "scores.parquet"]
print(sys.executable)
if "{name}" == "03_grpo_train" and (wait := float(os.environ.get("STAND_IN_WAIT", "0"))):
    s.path("waiting").touch()
    time.sleep(wait)
for output in outputs:
    path = s.folder / output.format(filter=filter, arm=arm, seed=seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{text}")
"""


def checkout(folder: Path, kernel: str = "python3") -> Path:
    """Copy the project to `folder`, with stand-in notebooks that name `kernel`, and a study `tiny.yaml`; returns the folder."""
    for name in ("helpers", "parameters"):
        shutil.copytree(REPOSITORY / name, folder / name)
    for name in ("Makefile", "Snakefile", "pyproject.toml", "requirements.txt"):
        shutil.copyfile(REPOSITORY / name, folder / name)
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / ".venv" / "bin" / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (folder / ".venv" / "bin" / "python").chmod(0o755)
    (folder / ".venv" / "ready").touch()
    (folder / "notebooks").mkdir()
    for name, outputs in OUTPUTS.items():
        code = WORK.format(name=name, outputs=outputs, text=COMPARISON if name == "05_analysis" else name)
        parameters = v4.new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]})
        cells = [v4.new_markdown_cell(f"# {name}"), parameters, v4.new_code_cell(code)]
        spec = {"name": kernel, "display_name": kernel, "language": "python"}
        nbformat.write(v4.new_notebook(cells=cells, metadata={"kernelspec": spec}), folder / "notebooks" / f"{name}.ipynb")
    (folder / "tiny.yaml").write_text(TINY.replace("  random: {size: 8}\n", ""))
    processes = folder / "helpers" / "workflow" / "processes.py"
    processes.write_text(processes.read_text().replace("GRACE = 10.0", "GRACE = 3.0"))  # so that tests need not wait so long
    (folder / "helpers" / "models" / "loading.py").write_text('"""A stand-in: there are no weights to get."""\n')
    return folder


def environment(folder: Path, **more: str) -> dict[str, str]:
    """The environment in which the copy's commands run its own code."""
    return os.environ | {"PYTHONPATH": str(folder), "STUDY_RUNS": str(folder / "runs")} | more
