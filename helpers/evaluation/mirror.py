"""Data sets from a folder instead of the hub: `OFFLINE_MIRROR` holds them as <folder>/<hub id>."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from helpers.study.errors import StudyError
from helpers.study.files import cache_of

if TYPE_CHECKING:
    from datasets import Dataset


def mirror() -> Path | None:
    """The folder that OFFLINE_MIRROR names, made absolute; None if it is not set. Raises StudyError if it is no folder."""
    named = os.environ.get("OFFLINE_MIRROR", "")
    if named and not Path(named).is_dir():
        raise StudyError(f"OFFLINE_MIRROR={named}: no such folder; it should hold hub repositories as <folder>/<id>")
    return Path(named).resolve() if named else None


@contextlib.contextmanager
def in_mirror() -> Iterator[None]:
    """Have `datasets` find the mirror's folders: the harness names data sets by hub id, which is a path from the mirror."""
    folder = mirror()
    if folder is None:
        yield
        return
    import datasets

    os.environ["OFFLINE_MIRROR"] = str(folder)  # absolute, since the working folder changes
    before = datasets.config.HF_DATASETS_CACHE
    datasets.config.HF_DATASETS_CACHE = cache_of(folder)
    try:
        with contextlib.chdir(folder):
            yield
    finally:
        datasets.config.HF_DATASETS_CACHE = before


def load(dataset: str, config: str | None, split: str) -> Dataset:
    """One split of a data set: from OFFLINE_MIRROR if that has it, else from the hub. Raises StudyError if it has neither."""
    import datasets  # takes a second, which a study on the starter questions need not wait for

    folder = mirrored(dataset)
    try:
        source, cache = (str(folder), cache_of(folder)) if folder else (dataset, None)
        return datasets.load_dataset(source, config, split=split, cache_dir=cache)
    except Exception as error:
        part = f"split {split!r}" + (f" of {config!r}" if config else "")
        raise StudyError(
            f"{dataset}: {part} is not available from {folder or f'{tried()} or the hub'}: {first_line(error)}"
        ) from None


def mirrored(dataset: str) -> Path | None:
    """The folder of a data set in OFFLINE_MIRROR; None if it is not there."""
    folder = mirror()
    return folder / dataset if folder and (folder / dataset).is_dir() else None


def tried() -> str:
    """The mirror in words, for an error line."""
    named = os.environ.get("OFFLINE_MIRROR", "")
    return f"OFFLINE_MIRROR={named}" if named else "OFFLINE_MIRROR (which is not set)"


def first_line(error: Exception) -> str:
    """An error's first line, or its type's name."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
