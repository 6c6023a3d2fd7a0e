"""Reading the YAML file of a study: numbers as people write them, no key twice, and what studies share from one file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from helpers.study.files import StudyError

SHARED = "shared"
WHOLE = ("filters", "arms", "groups", "reward_weights", "pool")  # replaced as a whole, not key by key


class _Loader(yaml.SafeLoader):
    """YAML that reads 2e-5 as a number (YAML 1.2) and refuses a key that stands twice."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"), list("-+0123456789.")
)


def _mapping(loader: _Loader, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node)
        if key in seen:
            raise StudyError(f"line {key_node.start_mark.line + 1}: key {key!r} stands twice; keep one")
        seen.add(key)
    return yaml.SafeLoader.construct_mapping(loader, node, deep)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, lambda loader, node: _mapping(loader, node, True))


def read(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The values of a study's file, laid over those of the file that its key `shared` names (a path relative to it).

    Mappings are laid over key by key, all else (lists, and the mappings in `WHOLE`) replaces. Raises
    StudyError in one line for a file that is not there, is no YAML, or shares in a circle.
    """
    values = _load(path)
    if SHARED not in values:
        return values
    named = values.pop(SHARED)
    if not isinstance(named, str):
        raise StudyError(f"{path}: {SHARED}: {named!r} is not right: it should be the path of one YAML file")
    base = path.parent / named
    if not base.is_file():
        raise StudyError(f"{path}: {SHARED}: {named}: no such file (looked for {base})")
    if base.resolve() in above or base.resolve() == path.resolve():
        raise StudyError(f"{path}: {SHARED}: {named} shares this file in turn; take one of the two out")
    return lay_over(read(base, (*above, path.resolve())), values)


def lay_over(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`base` with `changes` on top, key by key.

    >>> lay_over({"train": {"beta": 0.0, "epochs": 1}, "arms": {"a": 1}}, {"train": {"epochs": 2}, "arms": {"b": 1}})
    {'train': {'beta': 0.0, 'epochs': 2}, 'arms': {'b': 1}}
    """
    merged = dict(base)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict) and key not in WHOLE
        merged[key] = lay_over(merged[key], value) if both else value
    return merged


def _load(path: Path) -> dict[str, Any]:
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # a subclass of SafeLoader
    except StudyError as error:
        raise StudyError(f"{path}: {error}") from None
    except (yaml.YAMLError, ValueError, TypeError) as error:
        raise StudyError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise StudyError(f"{path}: holds no parameters; it should be a YAML mapping with title, model, pool, arms …")
    return values
