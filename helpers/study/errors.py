"""Mistakes in what a person wrote, reported in one line."""

import ast
import difflib
import functools
import re
import sys
from collections.abc import Callable, Iterable
from typing import Any

from pydantic import ValidationError

LISTED = 30  # as many names fit into an error line
PLAIN = {  # patterns of the schema in words
    r"^[^\x00-\x1f]+$": "it should be one line of text",
    r"^[A-Za-z0-9][A-Za-z0-9._-]*$": "a name has letters, digits, '.', '_' and '-' only",
    r"^https?://[^\s/]+": "it should be an address such as http://node7:8000",
}


class StudyError(Exception):
    """A mistake that its reader can correct: one line with the file, the key and what would be right."""

    def _render_traceback_(self) -> list[str]:
        """What Jupyter shows instead of a traceback (IPython's hook for exceptions)."""
        return [f"StudyError: {self}"]


def entry_point(main: Callable[[], None]) -> Callable[[], None]:
    """The entry point of a command: a mistake ends it in one line, with exit code 1."""

    @functools.wraps(main)
    def run() -> None:
        try:
            main()
        except StudyError as error:
            sys.exit(f"error: {error}")

    return run


def nearest(word: str, known: Iterable[Any]) -> str:
    """The end of an error line about an unknown word: '; did you mean …?', or the list of known words if it is short.

    >>> nearest("slef", ["self", "larger"]), nearest("x", ["self", "larger"]), nearest("x", [])
    ("; did you mean 'self'?", '; there are: self, larger', '; there are none')
    """
    names = [str(name) for name in known]
    close = difflib.get_close_matches(word, names, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    if len(names) > LISTED:
        return ""
    return f"; there are: {', '.join(names)}" if names else "; there are none"


def one_line(error: ValidationError) -> str:
    """The first finding of pydantic as one line, with the number of the others."""
    first, *others = error.errors()
    path = [str(part) for part in first["loc"] if not re.match(r"\[key\]$|constrained-|function-|list\[|str$", str(part))]
    key, value, kind = ".".join(path), first["input"], first["type"]
    if kind == "unknown_key":
        unknown = first["ctx"]["key"]
        key = ".".join([*path, unknown])
        line = f"unknown key {key!r}{nearest(unknown, first['ctx']['known'])}"
    elif kind == "missing":
        line = f"key {key!r} is missing"
    elif kind == "value_error":
        line = f"{key}: {first['ctx']['error']}" if key else str(first["ctx"]["error"])
    else:
        said = PLAIN.get(first.get("ctx", {}).get("pattern"), f"{first['msg'][0].lower()}{first['msg'][1:]}")
        said = re.sub(r"input should be a valid dictionary( or instance of \w+)?", "it should be a mapping (`key: value`)", said)
        said = said.replace("input should be a valid string", "it should be a text, in quotes")
        line = f"{key}: {value!r} is not right: {said}"
    return line + (f" (and {len(others)} more)" if others else "")


def refuse_unknown(*known: str) -> None:
    """Stop a notebook that was given a parameter it does not have.

    Papermill only warns and goes on with the default (papermill#818). It writes the values it was given into a cell that begins
    with '# Parameters', which is read here.
    """
    if "IPython" not in sys.modules:
        return
    shell = sys.modules["IPython"].get_ipython()
    for cell in getattr(shell, "user_ns", {}).get("In", []):
        if not cell.startswith("# Parameters"):
            continue
        given = [target.id for node in ast.parse(cell).body if isinstance(node, ast.Assign) for target in node.targets]
        for name in given:
            if name not in known:
                raise StudyError(f"-p {name}: this notebook has no such parameter{nearest(name, known)}")
