"""The project's task files: their keys, and a fingerprint of what decides their scores. Reads them without lm-evaluation-harness."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
from functools import cache
from types import FunctionType
from typing import Any

import yaml

from helpers.study.files import fingerprint
from helpers.study.places import TASKS

UNCHANGED = TASKS / "unchanged.json"


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
    keys = {key: _code(value) if _is_ours(value) else value for key, value in read(name).items()}
    return keys | ({"task": [_contents(member) for member in keys["task"]]} if isinstance(keys.get("task"), list) else {})


def _is_ours(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("helpers.")


def _code(path: str) -> list[str]:
    module, name = path.rsplit(".", 1)
    found: dict[str, str] = {}
    _collect(getattr(importlib.import_module(module), name), found)
    return [found[key] for key in sorted(found)]


def _collect(function: FunctionType, found: dict[str, str]) -> None:
    """Add the source of a function, and of those of its module that it names."""
    found[function.__name__] = inspect.getsource(function)
    for node in ast.walk(ast.parse(found[function.__name__])):
        called = function.__globals__.get(node.id) if isinstance(node, ast.Name) else None
        if isinstance(called, FunctionType) and called.__module__ == function.__module__ and called.__name__ not in found:
            _collect(called, found)
