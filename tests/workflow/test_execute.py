"""What ends a notebook is reported in one line."""

from pathlib import Path

import papermill
import pytest
from papermill.exceptions import PapermillExecutionError

from helpers.study.errors import StudyError
from helpers.workflow import execute


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("SafetensorError", "I/O error: No space left on device (os error 28)",
         "no space left on the disk; free some and run the same command again$"),
        ("OutOfMemoryError", "CUDA out of memory. Tried to allocate 1.79 GiB.\nGPU 0 has",
         r"the GPU is out of memory; a smaller batch_size or runs_per_gpu of train needs less .*; finished results are kept \(see .*page.log\)$"),
        ("ValueError", "3 is no name", r"ValueError: 3 is no name \(see .*page.failed.ipynb and .*page.log\)$"),
    ],
)  # fmt: skip
def test_what_ended_a_notebook_is_one_line(tmp_path, monkeypatch, name, text, line):
    def stop(_, partial, **__):
        Path(partial).write_text("half a page")
        raise PapermillExecutionError(1, 1, "", name, text, [])

    monkeypatch.setattr(papermill, "execute_notebook", stop)
    with pytest.raises(StudyError, match=f"^03_grpo_train: {line}"):
        execute.run("03_grpo_train", tmp_path / "page.ipynb", {})
    assert not (tmp_path / "page.ipynb").exists()


@pytest.mark.parametrize(("failures", "starts"), [(0, 1), (2, 3), (3, 3)])
def test_a_kernel_that_does_not_start_is_started_again(tmp_path, monkeypatch, failures, starts):
    """None of a notebook has run when its kernel dies before it answers."""
    begun = []

    def start(_, partial, **__):
        begun.append(1)
        if len(begun) <= failures:
            raise RuntimeError("Kernel died before replying to kernel_info")
        return "done"

    monkeypatch.setattr(papermill, "execute_notebook", start)
    if failures < starts:
        assert execute._executed("01_filter", tmp_path / "page.partial", {}) == "done"
    else:
        with pytest.raises(StudyError, match="^01_filter: its kernel died 3 times while it started; "):
            execute._executed("01_filter", tmp_path / "page.partial", {})
    assert len(begun) == starts


def test_another_runtime_error_is_not_tried_again(tmp_path, monkeypatch):
    def start(*_, **__):
        raise RuntimeError("Cannot open file")

    monkeypatch.setattr(papermill, "execute_notebook", start)
    with pytest.raises(RuntimeError, match="Cannot open file"):
        execute._executed("01_filter", tmp_path / "page.partial", {})
