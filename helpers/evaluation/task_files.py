"""Task files, read without lm-evaluation-harness, whose own index takes 20 seconds to build: names, keys, what decides their scores."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import json
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import Any

import yaml

from helpers.study.errors import StudyError, nearest
from helpers.study.files import fingerprint
from helpers.study.places import TASKS
from helpers.study.study import Study

UNCHANGED = TASKS / "unchanged.json"
# `task: name`, `group: name`, `tag: name` and, for names in lists, `- name`.
NAMED = re.compile(
    r"""^[\s-]*["']?(?:task|group|tag)["']?:[ \t]*["']?([^\s"'#\[]+)|^[#\s]*-\s*["']?([^\s"'#:]+)["']?\s*(?:\#.*)?$""",
    re.MULTILINE,
)


class _Loader(yaml.SafeLoader):
    """Reads a function as its name, without importing it."""


_Loader.add_constructor("!function", lambda loader, node: loader.construct_scalar(node))


def read(name: str) -> dict[str, Any]:
    """The keys of a task file and of the files that it includes; functions are names."""
    found = yaml.load((TASKS / f"{name}.yaml").read_text(encoding="utf-8"), Loader=_Loader)
    return read(found.pop("include").removesuffix(".yaml")) | found if "include" in found else found


@cache
def source(name: str) -> str | None:
    """A fingerprint of a task of the project: its file, and the source of its functions and of those that they call in the same module.

    None for a task of the harness, and for a task that is as it was on 27 November 2026, when scores began to depend on it: older scores
    of those stay current (`tasks/unchanged.json`).
    """
    if not (TASKS / f"{name}.yaml").is_file():
        return None
    found = fingerprint(_contents(name))
    return None if json.loads(UNCHANGED.read_text(encoding="utf-8")).get(name) == found else found


def _contents(name: str) -> dict[str, Any]:
    """A task file with its members' in place of their names, and the project's functions by their source."""
    keys = {key: _code(value) if str(value).startswith("helpers.") else value for key, value in read(name).items()}
    return keys | ({"task": [_contents(member) for member in keys["task"]]} if isinstance(keys.get("task"), list) else {})


def _code(path: str) -> list[str]:
    module, name = path.rsplit(".", 1)
    found: dict[str, str] = {}
    _collect(getattr(importlib.import_module(module), name), found)
    return [found[key] for key in sorted(found)]


def _collect(function: FunctionType, found: dict[str, str]) -> None:
    """Add the source of a function, and of those of its module that it names, without docstrings, which decide no score."""
    source = inspect.getsource(function)
    tree = ast.parse(source)
    found[function.__name__] = _without_docstring(source, tree)
    for node in ast.walk(tree):
        called = function.__globals__.get(node.id) if isinstance(node, ast.Name) else None
        if isinstance(called, FunctionType) and called.__module__ == function.__module__ and called.__name__ not in found:
            _collect(called, found)


def _without_docstring(source: str, tree: ast.Module) -> str:
    first = tree.body[0].body[0]  # type: ignore[attr-defined]  # of a function
    if not (isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)):
        return source
    lines = source.splitlines(keepends=True)
    return "".join(lines[: first.lineno - 1] + lines[first.end_lineno :])


def names_in(folder: Path) -> set[str]:
    """Names of the tasks, groups and tags that the YAML files below a folder define, and a few other words of these files."""
    files = (path for path in folder.rglob("*") if path.suffix in ("", ".yaml", ".yml") and path.is_file())
    found = (NAMED.findall(path.read_text(encoding="utf-8", errors="replace")) for path in files)
    return {name for pairs in found for pair in pairs for name in pair if name}


def known(wanted: Iterable[str]) -> set[str]:
    """Names of all tasks: those of the project, and if they are not enough, those of the harness as well (about a second)."""
    own = names_in(TASKS)
    spec = importlib.util.find_spec("lm_eval")  # finds the package without importing it
    return own if own.issuperset(wanted) or spec is None else own | names_in(Path(str(spec.origin)).parent / "tasks")


def check(study: Study) -> None:
    """Raise StudyError for a task of `eval.tasks` that neither the project nor lm-evaluation-harness has."""
    wanted = [task.name for task in study.eval.tasks]
    names = known(wanted)
    for name in wanted:
        if name not in names:
            raise unknown(study, name, names)


def unknown(study: Study, name: str, names: Iterable[str]) -> StudyError:
    return StudyError(f"{study.file}: eval.tasks: lm-evaluation-harness has no task {name!r}{nearest(name, names)}")
