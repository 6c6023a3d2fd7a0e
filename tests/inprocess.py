"""Execute notebooks in the test's own process: what takes a kernel ten seconds of imports takes a second here.

The tiny study of test_pipeline.py goes through Snakemake, Papermill and kernels; other studies need only their cells run.
"""

from __future__ import annotations

import base64
import contextlib
import io
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
from conftest import REPOSITORY
from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from matplotlib_inline.backend_inline import configure_inline_support
from traitlets import Type

from helpers.report import build
from helpers.study.study import Study

INLINE = "module://matplotlib_inline.backend_inline"


class Hook(DisplayHook):
    """Takes the value of a cell's last line where everything else goes that a cell shows."""

    def write_output_prompt(self):
        pass

    def write_format_data(self, format_dict, md_dict=None):
        self.shell.display_pub.publish(format_dict, md_dict)

    def finish_displayhook(self):
        pass


class Shell(InteractiveShell):
    """IPython without a terminal or a kernel: what is shown is kept."""

    displayhook_class = Type(Hook)
    display_pub_class = Type(CapturingDisplayPublisher)


def execute(notebook: str, output: Path, **parameters: object) -> None:
    """Run `notebooks/<notebook>.ipynb` with the parameters given; `output` is the notebook with what its cells showed.

    What a cell raises is raised here.
    """
    read = nbformat.read(REPOSITORY / "notebooks" / f"{notebook}.ipynb", as_version=4)
    given = "\n".join(["# Parameters", *(f"{key} = {value!r}" for key, value in parameters.items())])
    place = next(i for i, cell in enumerate(read.cells) if "parameters" in cell.metadata.get("tags", []))
    read.cells.insert(place + 1, nbformat.v4.new_code_cell(given))
    InteractiveShell.clear_instance()
    shell = Shell.instance()
    try:
        plt.switch_backend(INLINE)
        configure_inline_support(shell, INLINE)
        for cell in (cell for cell in read.cells if cell.cell_type == "code"):
            shell.display_pub.outputs, printed = [], io.StringIO()
            with contextlib.redirect_stdout(printed):
                result = shell.run_cell(cell.source, store_history=True)
            result.raise_error()
            cell.outputs = [_output(**shown) for shown in shell.display_pub.outputs]
            if printed.getvalue():
                cell.outputs.append(nbformat.v4.new_output("stream", name="stdout", text=printed.getvalue()))
    finally:
        Shell.clear_instance()
        plt.close("all")
        plt.switch_backend("agg")
    output.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(read, output)


def _output(data: dict, metadata: dict | None, **_: object) -> nbformat.NotebookNode:
    plain = {kind: base64.b64encode(value).decode() if isinstance(value, bytes) else value for kind, value in data.items()}
    return nbformat.v4.new_output("display_data", data=plain, metadata=metadata or {})


def job(study: Study, notebook: str, **parameters: object) -> None:
    """One notebook of a study, under the name that the graph gives it."""
    parts = [f"{key}{value}" if key in ("seed", "step") else str(value) for key, value in parameters.items()]
    page = study.path("notebooks", f"{'-'.join([notebook, *parts])}.ipynb")
    execute(notebook, page, study=str(study.reference()), **parameters)


def of_arm(study: Study, name: str) -> None:
    """Draw, train and score one arm of a study that has one seed."""
    for notebook in ("02_split", "03_grpo_train", "04_eval"):
        job(study, notebook, arm=name, seed=study.seeds[0])


def whole(study: Study) -> Path:
    """Every notebook of a study in the order of its graph, and the report; returns the study's folder."""
    for name in study.filters:
        job(study, "01_filter", filter=name)
    for arm, *seed in study.draws():
        job(study, "02_split", arm=arm, **({"seed": int(seed[0].removeprefix("seed"))} if seed else {}))
    for arm in study.arms:
        for seed in study.seeds:
            job(study, "03_grpo_train", arm=arm, seed=seed)
    job(study, "04_eval", arm="untrained")
    for arm in study.arms:
        for seed in study.seeds:
            job(study, "04_eval", arm=arm, seed=seed)
            for step in study.checkpoints(arm):
                job(study, "04_eval", arm=arm, seed=seed, step=step)
    job(study, "05_analysis")
    build.build(study)
    return study.folder
