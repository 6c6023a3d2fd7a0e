"""A check of the parameters that a notebook was given."""

from __future__ import annotations

import ast
import sys

from helpers.study.errors import StudyError, nearest


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
