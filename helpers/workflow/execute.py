"""Run one notebook with Papermill: `python -m helpers.workflow.execute 03_grpo_train OUTPUT study=quickstart arm=self seed=0`.

What Papermill's own command does, and besides: output and progress go to a log beside the result, a
mistake ends in one line, and the executed notebook appears under its name only when it is whole. The graph says
with GPUS and GPU_PARTS how many GPUs a job needs, and how many twelfths of them in all (`helpers/workflow/gpus.py`).
"""

from __future__ import annotations

import logging
import os
import sys
import time
import warnings
from pathlib import Path

os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")  # a kernel's debugger warns of frozen modules otherwise
os.environ.setdefault("TQDM_MININTERVAL", "15")  # in a log, a line now and then
# jsonschema, which checks notebooks, builds a grammar of web addresses on import if this is installed: a second for every job.
sys.modules.setdefault("rfc3987_syntax", None)
import papermill  # noqa: E402
from nbclient.exceptions import DeadKernelError  # noqa: E402
from papermill.exceptions import PapermillExecutionError  # noqa: E402

from helpers.report.browser import HEADLESS  # noqa: E402
from helpers.study.files import StudyError  # noqa: E402
from helpers.study.study import REPOSITORY  # noqa: E402
from helpers.workflow import gpus  # noqa: E402


def run(notebook: str, output: Path, parameters: dict[str, str | int], lent: float = 0.0) -> None:
    """Execute `notebooks/<notebook>.ipynb` into `output`, logging to `<output>.log`.

    lent: how much of a GPU, which is noted in the result beside Papermill's own times.
    Raises StudyError in one line; the notebook as far as it came is kept as `<output>.failed.ipynb`.
    """
    output = output.resolve()
    output.parent.mkdir(parents=True, exist_ok=True)
    partial, failed = output.with_suffix(".partial"), output.with_suffix(".failed.ipynb")
    log = output.with_suffix(".log")
    # The log is appended to: after a kill it tells the whole story.
    logging.basicConfig(level=logging.INFO, format="%(message)s", filename=log, filemode="a")
    warnings.filterwarnings("ignore", category=UserWarning, module="papermill")
    os.environ[HEADLESS] = "1"  # no widgets where nobody can use them
    try:
        done = papermill.execute_notebook(
            REPOSITORY / "notebooks" / f"{notebook}.ipynb",
            partial,
            parameters=parameters,
            cwd=REPOSITORY,
            log_output=True,
            progress_bar=False,
        )
    except PapermillExecutionError as error:
        os.replace(partial, failed)
        raise StudyError(f"{notebook}: {_told(notebook, error, failed, log)}") from None
    except DeadKernelError:
        raise StudyError(
            f"{notebook}: its kernel died, most likely for lack of memory; close other programs or use make JOBS=1, and run again"
        ) from None
    failed.unlink(missing_ok=True)
    done.metadata["papermill"]["gpus"] = lent
    papermill.iorw.write_ipynb(done, str(partial))
    os.replace(partial, output)


def _told(notebook: str, error: PapermillExecutionError, failed: Path, log: Path) -> str:
    """One line on what ended a notebook, and what helps where that is known."""
    if error.ename == "StudyError":
        return error.evalue
    if "No space left on device" in error.evalue:  # as libraries say it that write checkpoints and weights themselves
        return "no space left on the disk; free some and run the same command again"
    if error.ename == "OutOfMemoryError":  # torch's
        keys = {"01_filter": "filters.*", "03_grpo_train": "train", "04_eval": "eval"}
        where = keys.get(notebook, "the study")
        return (
            f"the GPU is out of memory; a smaller batch_size or runs_per_gpu of {where} needs less (make plan says how much), what is finished "
            f"is kept (see {log})"
        )
    return f"{error.ename}: {error.evalue} (see {failed} and {log})"


def main() -> None:
    """Parse the command line, run the notebook; one line and exit code 1 if it fails."""
    notebook, output, *pairs = sys.argv[1:]
    parameters = {key: int(value) if key in ("seed", "step") else value for key, value in (pair.split("=", 1) for pair in pairs)}
    asked = " ".join(f"{key}={value}" for key, value in parameters.items() if key != "study")
    count, taken = int(os.environ.pop("GPUS", "0")), int(os.environ.pop("GPU_PARTS", "0"))
    lent = taken / gpus.PARTS if gpus.visible() else 0.0
    begun = time.monotonic()
    try:
        with gpus.lend(count, taken // max(count, 1)):
            begun = time.monotonic()
            run(notebook, Path(output), parameters, lent)
    except StudyError as error:
        print(f"error: {error}")
        sys.exit(1)
    print(f"{notebook} {asked}: {time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main()
