"""Overrides: keys of a study that one command sets, as in `make study STUDY=small SET="train.beta=0.01 seeds=[0,1]"`.

Such a study has a name and a folder of its own. Other processes open it by a file with two keys below `runs/`: `study`, the path of the
study's file, and `set`, the keys and their values.
"""

import argparse
import json
import os
import re
from pathlib import Path
from typing import Any

from helpers.study import yamls
from helpers.study.errors import StudyError, nearest
from helpers.study.files import fingerprint, write_json

KEY = re.compile(r"(?:^|\s)(?=[A-Za-z_][\w.-]*=)")
LONGEST = 32  # characters of a study's name that show what was set
NAMED = ("arms", "filters")  # whose keys are names that the study gives


def parser(about: str | None, study: bool = True) -> argparse.ArgumentParser:
    """The parser of a command: it takes a study, unless the command makes one, and what `--set` sets, as `changes`."""
    found = argparse.ArgumentParser(description=about)
    if study:
        found.add_argument("study")
    found.add_argument("--set", dest="changes", default="", help='keys to set, such as "train.beta=0.01 seeds=[0,1]"')
    return found


def count(name: str, text: str, least: int) -> int:
    """A whole number of the command line. Raises StudyError, which names it as `make` does, for anything else."""
    if not re.fullmatch(r"\d{1,6}", text) or int(text) < least:
        raise StudyError(f"{name}={text}: should be a whole number of at least {least}")
    return int(text)


def parse(text: str) -> dict[str, Any]:
    """Keys and their values, read as in a study's file. Raises StudyError for text that is no `key=value`, and for a key set twice.

    >>> parse("train.beta=0.01 seeds=[0, 1] title='ours: a=b'")
    {'train.beta': 0.01, 'seeds': [0, 1], 'title': 'ours: a=b'}
    """
    found: dict[str, Any] = {}
    places = [match.end() for match in KEY.finditer(text)]
    before = text[: places[0]] if places else text
    if before.strip():
        raise StudyError(f'SET: {before.strip()!r} is not key=value, as in SET="train.beta=0.01 seeds=[0,1]"')
    begun = 0
    for end in [*places[1:], len(text)] if places else []:
        key, _, value = text[begun:end].strip().partition("=")
        loaded, problem = yamls.value(value)
        if problem and end < len(text):
            continue  # a value with `name=` inside its quotes or brackets
        if problem:
            raise StudyError(f"SET: {key}={value}: {problem}")
        if key in found:
            raise StudyError(f"SET: {key} is set twice; set it once")
        found[key], begun = loaded, end
    return found


def words(changes: dict[str, Any]) -> str:
    """The overrides as text, sorted.

    >>> words({"train.beta": 0.01, "seeds": [0, 1]})
    'seeds=[0, 1], train.beta=0.01'
    """
    return ", ".join(f"{key}={_text(changes[key])}" for key in sorted(changes))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def name(study: str, changes: dict[str, Any]) -> str:
    """The name of a study with overrides: what is set, shortened, and a fingerprint. It is safe as a folder's name.

    >>> name("small", {"train.beta": 0.01, "seeds": [0, 1]}), name("small", {})
    ('small-seeds-0-1-beta-0.01-703e3a', 'small')
    """
    if not changes:
        return study
    last = [f"{key.rpartition('.')[2]}-{_text(changes[key])}" for key in sorted(changes)]
    short = re.sub(r"[^A-Za-z0-9.]+", "-", "-".join(last))[:LONGEST].strip("-.")
    return f"{study}-{short}-{fingerprint(changes)[:6]}"


def lay(values: dict[str, Any], changes: dict[str, Any], path: Path) -> dict[str, Any]:
    """The `values` of the study's file `path` with `changes` on top; a recipe first, so that other keys of the training lie on it."""
    for key in sorted(changes, key=lambda key: (not key.endswith("train.recipe"), key)):
        _set(values, key, changes[key])
        if key.endswith("train.recipe") and isinstance(changes[key], str):
            above = key.removesuffix(".recipe")
            recipe = yamls.recipe(changes[key], path)
            for inner in recipe:
                _set(values, f"{above}.{inner}", recipe[inner])
    if changes and "title" not in changes and "title" in values:
        values["title"] = f"{values['title']} ({words(changes)})"
    return values


def _set(values: dict[str, Any], key: str, value: Any) -> None:
    """Set a key that is named by its path. Raises StudyError if the path leads through a value, or through an unknown arm or filter."""
    within, above, parts = values, "", key.split(".")
    while True:
        # A name may have dots itself: filters.qwen2.5.samples.
        count = next((n for n in range(len(parts), 0, -1) if ".".join(parts[:n]) in within), 1)
        last, parts = ".".join(parts[:count]), parts[count:]
        if not parts:
            within[last] = value
            return
        if above in NAMED and last not in within:
            raise StudyError(f"SET: {key}: {above} has no {last!r}{nearest(last, within)}")
        inner = {} if within.get(last) is None else within[last]
        if not isinstance(inner, dict):
            whole = key.removesuffix("." + ".".join(parts))
            raise StudyError(f"SET: {key}: {whole} is {inner!r}, which has no keys; set {whole} itself")
        within[last] = inner
        within, above = inner, last


def read(path: Path) -> tuple[Path, dict[str, Any]]:
    """(study, what is set) of a file that `write` wrote; of any other file, itself and nothing. Raises StudyError if the study has gone."""
    values = yamls.load(path)
    if values.keys() != {"study", "set"} or not isinstance(values["set"], dict):
        return path, {}
    study = Path(os.path.normpath(path.resolve().parent / str(values["study"])))
    if not study.is_file():
        raise StudyError(f"{path}: its study {study} is not there any more; give the study and SET again")
    return study, values["set"]


def write(path: Path, study: Path, changes: dict[str, Any]) -> None:
    """Write the file by which other processes open a study with overrides (JSON is YAML, too)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json({"study": os.path.relpath(study.resolve(), path.parent.resolve()), "set": changes}, path)
