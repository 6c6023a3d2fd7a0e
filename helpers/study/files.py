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
import shutil
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from helpers.study.errors import StudyError

DATA_FILES = {".md", ".parquet", ".json", ".jsonl", ".csv"}
PACKAGES = ("torch", "transformers", "trl", "peft", "datasets", "lm_eval", "papermill", "snakemake")


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
    if inputs is not None and read_note(path).get("inputs") != fingerprint(inputs):
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
    # vLLM's distribution has one name for a GPU and another for a processor.
    served = importlib.metadata.packages_distributions().get("vllm", []) if facts.get("engine") == "vllm" else []
    return facts | {
        "device": torch.cuda.get_device_name() if on_gpu else f"CPU, {os.environ.get('OMP_NUM_THREADS', os.cpu_count())} threads",
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in (*PACKAGES, *served)},
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def is_current(path: Path, mark: str) -> bool:
    """True if `path` exists and was made from the inputs whose fingerprint is `mark`."""
    return path.exists() and read_note(path).get("fingerprint") == mark


def cache_of(folder: Path) -> str:
    """Where `datasets` should keep what it reads from a local folder: another place whenever a file in it is another.

    Its own choice (seen in 5.2) goes by the data set's folder name and README alone, so that a file which has
    changed since, or the data set of that name in another mirror, would silently give the old rows.
    """
    import datasets

    found = [Path(place) / name for place, _, names in os.walk(folder, followlinks=True) for name in names]
    facts = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(found) if path.suffix in DATA_FILES]
    return str(Path(datasets.config.HF_DATASETS_CACHE) / f"local-{fingerprint(str(folder.resolve()), facts)}")


def adopt(path: Path, mark: str, runs: Path, pattern: str, *beside: str) -> bool:
    """Take a result that another study under `runs` has made from the very same inputs; True if there was one.

    mark: the fingerprint it must bear. pattern: where such results lie, relative to `runs`. beside: names of
    files and folders next to it that belong to it. The copy is whole or not there: its note goes last.
    """
    for other in sorted(runs.glob(pattern)):
        if other == path or not is_current(other, mark) or not all((other.parent / name).exists() for name in beside):
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".json").unlink(missing_ok=True)
        for name in (*beside, other.name):
            source, target = other.parent / name, path.parent / name
            shutil.rmtree(target, ignore_errors=True) if source.is_dir() else None
            shutil.copytree(source, target) if source.is_dir() else shutil.copyfile(source, target)
        with atomic(path.with_suffix(".json")) as partial:
            shutil.copyfile(other.with_suffix(".json"), partial)
        return True
    return False


def read_note(path: Path) -> dict[str, Any]:
    """What stands in the note beside a result (`labels.parquet` → `labels.json`); nothing if there is none that can be read."""
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
