"""The plan of the house: imports between the folders of `helpers/` point one way, and no file grows too long."""

from __future__ import annotations

import ast

import pytest
from conftest import REPOSITORY

# A folder may import from those to its left, and from itself. Training and evaluation do not know of each other.
ORDER = [
    "study",
    "questions",
    "selection",
    "models",
    "search",
    "training",
    "evaluation",
    "analysis",
    "report",
    "plan",
    "workflow",
]
APART = {("evaluation", "training"), ("workflow", "plan")}
LONGEST = 300  # lines of a file
TOO_LONG: set[str] = set()  # to be divided
TO_UNDO: set[str] = set()
FILES = sorted((REPOSITORY / "helpers").glob("*/*.py"))


def imported_folders(path):
    """The folders of `helpers/` that a file imports from, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for name in names:
            if name.startswith("helpers."):
                yield name.split(".")[1]


def test_the_folders_are_those_of_the_plan():
    assert {path.parent.name for path in FILES} == set(ORDER)
    assert not [path.name for path in (REPOSITORY / "helpers").glob("*.py") if path.name != "__init__.py"]


@pytest.mark.parametrize("folder", ORDER)
def test_imports_point_one_way(folder):
    allowed = set(ORDER[: ORDER.index(folder) + 1])
    wrong = {
        f"{path.relative_to(REPOSITORY)} imports {found}"
        for path in FILES
        if path.parent.name == folder
        for found in imported_folders(path)
        if found not in allowed or (folder, found) in APART
    }
    assert wrong == {line for line in TO_UNDO if line.startswith(f"helpers/{folder}/")}


def test_no_file_is_longer_than_300_lines():
    long = {f"{path.parent.name}/{path.name}" for path in FILES if len(path.read_text(encoding="utf-8").splitlines()) > LONGEST}
    assert long == TOO_LONG


@pytest.mark.parametrize("folder", ORDER)
def test_each_folder_says_what_lives_in_it(folder):
    assert ast.get_docstring(ast.parse((REPOSITORY / "helpers" / folder / "__init__.py").read_text(encoding="utf-8")))


def test_files_of_tests_have_names_of_their_own():
    """pytest imports them by name, whatever their folder."""
    names = [path.name for path in (REPOSITORY / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))
