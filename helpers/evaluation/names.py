"""Names of benchmarks, read as text from the files of lm-evaluation-harness: building its own index takes 20 seconds."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from helpers.study.errors import StudyError, nearest
from helpers.study.places import TASKS

if TYPE_CHECKING:
    from helpers.study.study import Study

# `task: name`, `group: name`, `tag: name` and, for names in lists, `- name`.
NAMED = re.compile(
    r"""^[\s-]*["']?(?:task|group|tag)["']?:[ \t]*["']?([^\s"'#\[]+)|^[#\s]*-\s*["']?([^\s"'#:]+)["']?\s*(?:\#.*)?$""",
    re.MULTILINE,
)


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
            raise StudyError(f"{study.file}: eval.tasks: lm-evaluation-harness has no task {name!r}{nearest(name, names)}")
