"""Reading the YAML file of a study, and the file that it shares with others."""

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from helpers.study.errors import StudyError, nearest
from helpers.study.places import PARAMETERS, beside

SHARED, RECIPES = "shared", "recipes"
WHOLE = ("filters", "arms", "groups", "reward_weights", "pool")  # replaced as a whole, not key by key


def read(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The values of a study's file, on top of those of the file that its key `shared` names (beside it, else in `parameters/`).

    Mappings are merged key by key; lists and the mappings in `WHOLE` replace. above: the files that led here through `shared`.
    Raises StudyError if a file is missing, is not YAML, or shares in a circle.
    """
    values = _with_recipes(load(path), path)
    if SHARED not in values:
        return values
    named = values.pop(SHARED)
    if not isinstance(named, str):
        raise StudyError(f"{path}: {SHARED}: {named!r} is not right: it should be the path of one YAML file")
    base = beside(path, named, f"{SHARED}: ")
    if base.resolve() in above or base.resolve() == path.resolve():
        raise StudyError(f"{path}: {SHARED}: {named} shares this file in turn; remove one of the two")
    return lay_over(read(base, (*above, path.resolve())), values)


def _with_recipes(values: dict[str, Any], path: Path) -> dict[str, Any]:
    """The values of one file, with the recipes that trainings name (`train: {recipe: steady, …}`) laid below their own keys."""
    arms = values.get("arms")
    holders = [values, *(arms.values() if isinstance(arms, dict) else [])]
    for holder in holders:
        train = holder.get("train") if isinstance(holder, dict) else None
        if isinstance(train, dict) and isinstance(train.get("recipe"), str):
            holder["train"] = lay_over(recipe(train["recipe"], path), train)
    return values


def recipe(name: str, path: Path) -> dict[str, Any]:
    """The values of a recipe that the file `path` names: `recipes/<name>.yaml` beside it or in `parameters/`. Raises StudyError if there is none."""
    folders = (path.parent / RECIPES, PARAMETERS / RECIPES)
    for file in (folder / f"{name}.yaml" for folder in folders):
        if file.is_file():
            return load(file)
    known = sorted({file.stem for folder in folders for file in folder.glob("*.yaml")})
    raise StudyError(f"{path}: train.recipe: {name!r} is not a recipe{nearest(name, known)}")


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


def load(path: Path) -> dict[str, Any]:
    """The values of one file, read as YAML 1.2: 2e-5 is a number, `yes` is a text, and no key may occur twice."""
    try:
        values = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise StudyError(f"{path}: is not UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8") from None
    except (YAMLError, ValueError, TypeError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark else ""
        raise StudyError(f"{path}: {line}not valid YAML: {_problem(error)}") from None
    if not isinstance(values, dict):
        raise StudyError(f"{path}: holds no parameters; it should be a YAML mapping with title, model, pool, arms …")
    return values


def value(text: str) -> tuple[Any, str]:
    """(a value as a study's file has it, what is wrong with the text).

    >>> value("2e-5"), value("[0, 1]"), value("'x")
    ((2e-05, ''), ([0, 1], ''), (None, 'not valid YAML: found unexpected end of stream'))
    """
    try:
        return YAML(typ="safe", pure=True).load(text), ""
    except (YAMLError, ValueError, TypeError) as error:
        return None, f"not valid YAML: {_problem(error)}"


def _problem(error: Exception) -> str:
    return " ".join(str(getattr(error, "problem", None) or error).split())
