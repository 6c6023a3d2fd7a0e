"""Where things are: the repository, the starter set, and the files that a study names."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from helpers.study.errors import StudyError, nearest

if TYPE_CHECKING:
    from helpers.study.schema import Pool

REPOSITORY = Path(__file__).resolve().parents[2]
PARAMETERS = REPOSITORY / "parameters"
STARTER_CORPUS = REPOSITORY / "helpers" / "search" / "starter.jsonl"
STARTER = REPOSITORY / "helpers" / "questions" / "starter"
FIGURES = REPOSITORY / "figures"
TASKS = REPOSITORY / "helpers" / "evaluation" / "tasks"
POOL_FILES = (".jsonl", ".json", ".csv", ".tsv", ".parquet")
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"


def parameter_file(study: str) -> Path:
    """The parameter file of a study given by name or by path. Raises StudyError if there is none."""
    path = Path(study)
    if path.suffix not in {".yaml", ".yml"}:
        if not re.match(NAME, study):
            raise StudyError(
                f"STUDY={study!r}: a study's name has letters, digits, '.', '_' and '-' only (no slash); "
                "or give the path of a .yaml file"
            )
        path = PARAMETERS / f"{study}.yaml"
        if not path.is_file():
            raise StudyError(f"{path}: no such file{nearest(study, study_names())}")
    elif not path.is_file():
        what = "a folder" if path.is_dir() else "no such file"
        raise StudyError(f"{study}: {what}; name a study of parameters/ or a YAML file that exists")
    if not re.match(NAME, path.stem):
        raise StudyError(f"{path}: a study's file name has letters, digits, '.', '_' and '-' only")
    return path


def study_names() -> list[str]:
    """Names of the studies in parameters/."""
    return sorted(path.stem for path in PARAMETERS.glob("*.yaml"))


def runs() -> Path:
    """The folder of all runs: `runs/`, or the one that STUDY_RUNS names."""
    return REPOSITORY / (os.environ.get("STUDY_RUNS") or "runs")


def beside(file: Path, named: str, key: str = "") -> Path:
    """A file that the parameters in `file` name: in its folder, else in `parameters/`. Raises StudyError, with `key`, if there is none."""
    for folder in (file.parent, PARAMETERS):
        if (folder / named).is_file():
            return folder / named
    raise StudyError(f"{file}: {key}{named}: no such file (looked in {file.parent} and parameters/)")


def pool_file(pool: Pool, study_file: Path | None = None) -> Path | None:
    """The file that a pool is read from, or the folder of a data set; None if the pool is a data set of the hub.

    A relative path counts from the folder of the study's YAML file, then from the working folder. A data set with a revision is
    the hub's, whatever folders there are. Raises StudyError if the file does not exist or has another format, and if a config,
    split or revision is given for a file.
    """
    source, places = pool.source, _places(pool.source, study_file)
    path = next((place for place in places if place.is_file()), None)
    folder = next((place for place in places if place.is_dir()), None)
    if source.startswith("starter:"):
        name = source.removeprefix("starter:")
        path = STARTER / f"{name}.jsonl"
        if not path.is_file():
            known = ", ".join(sorted(p.stem for p in STARTER.glob("*.jsonl")))
            raise StudyError(f"pool: no starter set {name!r}; there are: {known}")
    elif folder and pool.revision is None:
        return folder
    elif Path(source).suffix.lower() in POOL_FILES:
        if path is None:
            raise StudyError(f"pool: {source}: no such file")
    elif path is not None:
        raise StudyError(f"pool: {source}: a file of your own should be {', '.join(POOL_FILES[:-1])} or {POOL_FILES[-1]}")
    else:
        return None
    given = [key for key, usual in (("config", None), ("split", "train"), ("revision", None)) if getattr(pool, key) != usual]
    if given:
        raise StudyError(f"pool.{given[0]}: only a data set has one; leave it out for {source}")
    return path


def _places(source: str, study_file: Path | None) -> list[Path]:
    return [folder / source for folder in ([study_file.parent] if study_file else []) + [Path()]]


def corpus_path(source: str, study_file: Path | None = None) -> Path | None:
    """The file or folder of a corpus, found as by `pool_file`; None if it is a data set of the hub. StudyError: a file is missing."""
    found = (place for place in _places(source, study_file) if place.exists())
    path = STARTER_CORPUS if source == "starter" else next(found, None)
    if path is None and Path(source).suffix in {".jsonl", ".parquet"}:
        raise StudyError(f"corpus: {source}: no such file")
    return path


def corpus_files(path: Path) -> list[Path]:
    """The files of a corpus at `path`. Raises StudyError if there are none."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    files = [file for file in files if file.suffix in {".jsonl", ".parquet"} and file.is_file()]
    if not files:
        raise StudyError(f"corpus: {path}: a corpus of your own should be .jsonl or .parquet files, or a folder of them")
    return files
