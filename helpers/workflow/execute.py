"""Run one notebook with Papermill: `python -m helpers.workflow.execute 03_grpo_train OUTPUT study=quickstart arm=self seed=0`.

It differs from Papermill's own command: output and progress go to a log beside the result, a mistake ends in one line, the
executed notebook appears under its name only when it is complete, and the kernel is always this Python, whatever kernel the
notebook names. GPUS and GPU_PARTS, set by the graph, are the number of GPUs and the twelfths of them that the job needs
(`helpers/workflow/gpus.py`).
"""

import logging
import os
import sys
import time
import warnings
from pathlib import Path
from typing import Any

os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")  # a kernel's debugger warns of frozen modules otherwise
os.environ.setdefault("TQDM_MININTERVAL", "15")  # in a log, a line now and then
import papermill  # noqa: E402
from jupyter_client import AsyncKernelManager  # noqa: E402
from jupyter_client.kernelspec import KernelSpec  # noqa: E402
from nbclient.exceptions import DeadKernelError  # noqa: E402
from papermill.exceptions import PapermillExecutionError  # noqa: E402

from helpers.study.files import StudyError  # noqa: E402
from helpers.study.places import REPOSITORY  # noqa: E402
from helpers.study.progress import HEADLESS  # noqa: E402
from helpers.workflow import gpus  # noqa: E402

# Ports for a kernel are chosen before it takes them, so of several that start at the same moment one may find its port taken (jupyter_client#154).
STARTS, NOT_STARTED = 3, "Kernel died before replying to kernel_info"


class OwnKernel(AsyncKernelManager):
    """Starts this process's Python, whichever kernel a notebook was saved with (papermill#638 stops on an unknown name)."""

    @property
    def kernel_spec(self) -> KernelSpec:
        argv = [sys.executable, "-m", "ipykernel_launcher", "--log-level=40", "-f", "{connection_file}"]  # errors only
        return KernelSpec(argv=argv, display_name="Python 3", language="python")


WIDGET = "application/vnd.jupyter.widget-view+json"  # a progress bar


def run(notebook: str, output: Path, parameters: dict[str, str | int], lent: float = 0.0) -> None:
    """Execute `notebooks/<notebook>.ipynb` into `output`, logging to `<output>.log`. Raises StudyError; keeps `<output>.failed.ipynb` then.

    lent: the part of a GPU that the job has, which is noted in the result beside Papermill's own times.
    """
    output = output.resolve()
    output.parent.mkdir(parents=True, exist_ok=True)
    partial, failed = output.with_suffix(".partial"), output.with_suffix(".failed.ipynb")
    log = output.with_suffix(".log")
    # Appended to, so that after a kill the log has every attempt.
    logging.basicConfig(level=logging.INFO, format="%(message)s", filename=log, filemode="a")
    warnings.filterwarnings("ignore", category=UserWarning, module="papermill")
    os.environ[HEADLESS] = "1"  # no widgets where nobody can use them
    try:
        done = _executed(notebook, partial, parameters)
    except PapermillExecutionError as error:
        os.replace(partial, failed)
        raise StudyError(f"{notebook}: {_explain(notebook, error, failed, log)}") from None
    except DeadKernelError:
        raise StudyError(
            f"{notebook}: its kernel died, most likely for lack of memory; close other programs or use make JOBS=1, and run again"
        ) from None
    failed.unlink(missing_ok=True)
    done.metadata["papermill"]["gpus"] = lent
    for cell in (cell for cell in done.cells if cell.cell_type == "code"):  # progress lines, which the log has
        cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr" and WIDGET not in o.get("data", {})]
    done.metadata.pop("widgets", None)
    papermill.iorw.write_ipynb(done, str(partial))
    os.replace(partial, output)


def _executed(notebook: str, partial: Path, parameters: dict[str, str | int]) -> Any:
    """Papermill's result. A kernel that does not start is started again, since none of the notebook has run then. Raises StudyError if it never starts,
    and what Papermill raises."""
    for _ in range(STARTS):
        try:
            return papermill.execute_notebook(
                REPOSITORY / "notebooks" / f"{notebook}.ipynb",
                partial,
                parameters=parameters,
                cwd=REPOSITORY,
                log_output=True,
                progress_bar=False,
                kernel_name="python3",
                language="python",
                kernel_manager_class=OwnKernel,
            )
        except RuntimeError as error:  # jupyter_client's; it has no class of its own
            if NOT_STARTED not in str(error):
                raise
    raise StudyError(
        f"{notebook}: its kernel died {STARTS} times while it started; is there enough memory, and does `{sys.executable} -m ipykernel` run?"
    )


def _explain(notebook: str, error: PapermillExecutionError, failed: Path, log: Path) -> str:
    """One line on why a notebook failed, and what helps where that is known."""
    if error.ename == "StudyError":
        return error.evalue
    if "No space left on device" in error.evalue:  # raised by libraries that write checkpoints and weights
        return "no space left on the disk; free some and run the same command again"
    if error.ename == "OutOfMemoryError":  # torch's
        keys = {"01_filter": "filters.*", "03_grpo_train": "train", "04_eval": "eval"}
        where = keys.get(notebook, "the study")
        return (
            f"the GPU is out of memory; a smaller batch_size or runs_per_gpu of {where} needs less (make plan says how much); finished "
            f"results are kept (see {log})"
        )
    return f"{error.ename}: {error.evalue} (see {failed} and {log})"


def main() -> None:
    """Parse the command line and run the notebook; a failure is one line and exit code 1."""
    notebook, output, *pairs = sys.argv[1:]
    parameters = {key: int(value) if key in ("seed", "step") else value for key, value in (pair.split("=", 1) for pair in pairs)}
    job = " ".join([notebook, *(f"{key}={value}" for key, value in parameters.items() if key != "study")])
    count, taken = int(os.environ.pop("GPUS", "0")), int(os.environ.pop("GPU_PARTS", "0"))
    lent = taken / gpus.PARTS if gpus.visible() else 0.0
    try:
        with gpus.lend(count, taken // max(count, 1)):
            begun = time.monotonic()
            run(notebook, Path(output), parameters, lent)
    except StudyError as error:
        print(f"error: {error}")
        sys.exit(1)
    try:
        print(f"{job}: {time.monotonic() - begun:.0f} s", flush=True)
    except BrokenPipeError:  # the graph was killed; this result is complete, so the job has not failed
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
