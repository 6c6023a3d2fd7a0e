"""Files that are written whole or not at all, and notes on the inputs of each result.

A result is a table with a note beside it (`labels.parquet` → `labels.json`): a fingerprint of its inputs, and its provenance. It is made
again if the fingerprint is not that of the study's present inputs. `result` is all of this in one call.
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
import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helpers.study.errors import StudyError

if TYPE_CHECKING:
    import pandas as pd

DATA_FILES = {".md", ".parquet", ".json", ".jsonl", ".csv", ".tsv"}
MOST_FILES = 10_000  # of one data set
PACKAGES = ("torch", "transformers", "trl", "peft", "datasets", "lm_eval", "papermill", "snakemake")


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, which it becomes if the block ends without an error. StudyError: the disk is full."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}{path.suffix}")
    try:
        yield partial
        os.replace(partial, path)
    except OSError as error:
        if error.errno == 28:  # ENOSPC
            raise StudyError(f"{path}: no space left on the disk; free some and run the same command again") from error
        raise
    finally:
        partial.unlink(missing_ok=True)


def write_table(frame: pd.DataFrame, path: Path) -> None:
    """Write a table as .parquet or .csv, by the suffix of `path`; a kill leaves the old file."""
    with atomic(path) as partial:
        if path.suffix == ".parquet":
            frame.to_parquet(partial, index=False)
        else:
            frame.to_csv(partial, index=False)


def read_table(path: Path, made_by: str, inputs: Any = None) -> pd.DataFrame:
    """Read the table of an earlier step. made_by: the name of that step, for the errors.

    inputs: the parameters that the table must have been made with (`Study.inputs`); None accepts any. Raises StudyError if the file is
    missing, cannot be read or was made with other parameters.
    """
    if not path.exists():
        raise StudyError(f"{path}: not there yet; run {made_by} first")
    if inputs is not None and read_note(path).get("inputs") != fingerprint(inputs):
        raise StudyError(f"{path}: was made with other parameters than the study has now; run {made_by} again")
    import pandas as pd  # takes half a second, for which a process that only starts a notebook need not wait

    try:
        return pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    except Exception as error:
        raise StudyError(f"{path}: cannot be read as {path.suffix[1:]} ({error}); delete it, run {made_by}") from error


def write_json(value: Any, path: Path) -> None:
    """Write a value as indented JSON; a kill leaves the old file."""
    with atomic(path) as partial:
        partial.write_text(json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n", encoding="utf-8")


def sha256(path: Path) -> str:
    """SHA-256 of a file, as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_hash(path: Path) -> str:
    """SHA-256 of a file; of a folder, a fingerprint of the names and hashes of its data files."""
    if path.is_file():
        return sha256(path)
    return fingerprint([(file.relative_to(path).as_posix(), sha256(file)) for file in data_files(path)])


def data_files(folder: Path) -> list[Path]:
    """The files of a local data set, in order. Raises StudyError for a folder with too many to be one data set, such as `/`."""
    found: list[Path] = []
    for place, _, names in os.walk(folder, followlinks=True):
        found += [Path(place) / name for name in names]
        if len(found) > MOST_FILES:
            raise StudyError(f"{folder}: has more than {MOST_FILES:,} files; name the folder of one data set")
    return sorted(path for path in found if path.suffix in DATA_FILES and path.is_file())


def fingerprint(*parts: Any) -> str:
    """Sixteen hex digits that change whenever one of the `parts`, which JSON can hold, changes."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def provenance(**facts: Any) -> dict[str, Any]:
    """What a result was made with: the given `facts`, device, versions and time (UTC)."""
    torch = sys.modules.get("torch")  # not imported here: a step without it has no GPU to name
    on_gpu = torch is not None and torch.cuda.is_available()
    # vLLM's distribution has one name for a GPU and another for a processor.
    served = importlib.metadata.packages_distributions().get("vllm", []) if facts.get("engine") == "vllm" else []
    return facts | {
        "device": torch.cuda.get_device_name() if on_gpu else f"CPU, {os.environ.get('OMP_NUM_THREADS', os.cpu_count())} threads",
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in (*PACKAGES, *served)},
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
    }


_version = cache(importlib.metadata.version)  # reads and parses a file each time


def is_current(path: Path, mark: str) -> bool:
    """True if `path` exists and its note has the fingerprint `mark`."""
    return path.exists() and read_note(path).get("fingerprint") == mark


def cache_of(folder: Path) -> str:
    """A cache folder for what `datasets` reads from a local folder; it changes whenever a file in that folder does.

    The default of `datasets` (seen in 5.2) depends on the folder's name and README alone, so that a changed file, or a data set of
    the same name in another mirror, would silently give the old rows.
    """
    import datasets

    facts = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in data_files(folder)]
    return str(Path(datasets.config.HF_DATASETS_CACHE) / f"local-{fingerprint(str(folder.resolve()), facts)}")


def adopt(path: Path, mark: str, runs: Path, pattern: str, *beside: str) -> bool:
    """Copy a result that another study under `runs` has made from the same inputs to `path`; True if there was one.

    mark: the fingerprint of the inputs. pattern: where such results are, relative to `runs`. beside: names of the files and folders
    next to the result that belong to it. The note is written last, so a killed copy does not count as a result; it says where the result
    was (`adopted_from`).
    """
    for other in sorted(runs.glob(pattern)):
        if other == path or not is_current(other, mark) or not all((other.parent / name).exists() for name in beside):
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".json").unlink(missing_ok=True)
        for name in (*beside, other.name):
            source, target = other.parent / name, path.parent / name
            if source.is_dir():
                shutil.rmtree(target, ignore_errors=True)
                shutil.copytree(source, target)
            else:
                shutil.copyfile(source, target)
        write_json(read_note(other) | {"adopted_from": str(other.relative_to(runs))}, path.with_suffix(".json"))
        return True
    return False


def read_note(path: Path) -> dict[str, Any]:
    """The note beside a result (`labels.parquet` → `labels.json`); empty if there is none, or none that can be read."""
    with contextlib.suppress(OSError, json.JSONDecodeError):
        return json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    return {}


def write_result(frame: pd.DataFrame, path: Path, mark: str, inputs: Any = None, **facts: Any) -> None:
    """Write a result, then its note: the fingerprint `mark`, that of the `inputs`, and the provenance with `facts`."""
    path.with_suffix(".json").unlink(missing_ok=True)
    write_table(frame, path)
    write_json({"fingerprint": mark, "inputs": fingerprint(inputs)} | provenance(**facts), path.with_suffix(".json"))


def result(
    folder: Path,
    name: str | Path,
    *,
    make: Callable[[str], pd.DataFrame],
    inputs: dict[str, Any],
    made_from: Sequence[Any] = (),
    **facts: Any,
) -> pd.DataFrame:
    """The table `folder`/`name`, which is made only if neither this study nor one beside it has made it from the same inputs.

    make: computes the table. It gets the fingerprint, under which it may keep finished parts, so that a killed run resumes. inputs: the
    parameters of the step (`Study.inputs`). made_from: whatever else decides the result, such as prompts and weights. facts: for the
    note (`provenance`). Another study's result is looked for at the same depth under the same first folder.
    """
    path = folder / name
    first, *middle, last = path.relative_to(folder).parts
    mark = fingerprint(inputs, *made_from)
    if not is_current(path, mark) and not adopt(path, mark, folder.parent, "/".join(["*", first, *["*"] * len(middle), last])):
        write_result(make(mark), path, mark, inputs, **facts)
    return read_table(path, f"the notebook that makes {name}")
