"""Writing a result so that a kill never leaves half of one, and remembering what it was made from.

Every result file has a small JSON file beside it (`labels.parquet` → `labels.json`) that holds a
fingerprint of its inputs and where it came from. A result whose fingerprint differs from what the
study now asks for is not used again.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

PACKAGES = ("torch", "transformers", "trl", "peft", "datasets", "lm_eval", "papermill", "snakemake")


class StudyError(Exception):
    """A mistake a person can mend, told in one line: which file, which key, what would be right."""

    def _render_traceback_(self) -> list[str]:
        """What Jupyter shows instead of a traceback (IPython's hook for exceptions)."""
        return [f"StudyError: {self}"]


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; it becomes `path` only if the block ends without an error.

    Raises StudyError in one line when the disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
    os.close(handle)
    partial = Path(name)
    try:
        yield partial
        partial.chmod(0o666 & ~_umask())  # a temporary file is for its owner only
        os.replace(partial, path)
    except OSError as error:
        if error.errno == 28:  # ENOSPC
            raise StudyError(f"{path}: no space left on the disk; free some and run the same command again") from error
        raise
    finally:
        partial.unlink(missing_ok=True)


def _umask() -> int:
    """The process's umask, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_table(frame: pd.DataFrame, path: Path) -> None:
    """Write a table as .parquet or .csv, by the ending of `path`, all of it or nothing."""
    with atomic(path) as partial:
        if path.suffix == ".parquet":
            frame.to_parquet(partial, index=False)
        else:
            frame.to_csv(partial, index=False)


def read_table(path: Path, made_by: str, inputs: Any = None) -> pd.DataFrame:
    """Read a table an earlier step left; `made_by` names that step, for the errors.

    inputs: the parameters it should have been made with (`Study.inputs`), if that matters here.
    Raises StudyError when the file is missing, cannot be read, or was made with other parameters.
    """
    if not path.exists():
        raise StudyError(f"{path}: not there yet; run {made_by} first")
    if inputs is not None and _note(path).get("inputs") != fingerprint(inputs):
        raise StudyError(f"{path}: was made with other parameters than the study has now; run {made_by} again")
    try:
        return pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    except Exception as error:
        raise StudyError(f"{path}: cannot be read as {path.suffix[1:]} ({error}); delete it, run {made_by}") from error


def write_json(value: Any, path: Path) -> None:
    """Write a value as indented JSON, all of it or nothing."""
    with atomic(path) as partial:
        partial.write_text(json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n", encoding="utf-8")


def sha256(path: Path) -> str:
    """SHA-256 of a file, as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(*parts: Any) -> str:
    """Sixteen hex digits that change whenever one of the JSON-able `parts` does."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def provenance(**facts: Any) -> dict[str, Any]:
    """What a result was made with: versions, machine and time, and the `facts` the caller adds."""
    torch = sys.modules.get("torch")  # a step that computes nothing does not load it to say so
    on_gpu = torch is not None and torch.cuda.is_available()
    return facts | {
        "device": torch.cuda.get_device_name() if on_gpu else f"CPU, {os.environ.get('OMP_NUM_THREADS', os.cpu_count())} threads",
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def is_current(path: Path, mark: str) -> bool:
    """True if `path` exists and was made from the inputs whose fingerprint is `mark`."""
    return path.exists() and _note(path).get("fingerprint") == mark


def _note(path: Path) -> dict[str, Any]:
    """What stands in the note beside a result; nothing if there is none that can be read."""
    with contextlib.suppress(OSError, json.JSONDecodeError):
        return json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    return {}


def write_result(frame: pd.DataFrame, path: Path, mark: str, inputs: Any = None, **facts: Any) -> None:
    """Write a result and, beside it, the fingerprint of all it was made from and its provenance.

    inputs: the parameters of its step, for those who read it later (`read_table`). The note goes
    last: a result without its note counts as not made.
    """
    path.with_suffix(".json").unlink(missing_ok=True)
    write_table(frame, path)
    write_json({"fingerprint": mark, "inputs": fingerprint(inputs)} | provenance(**facts), path.with_suffix(".json"))
