"""A result in one call: read it if it is current, else take it from another study, else make it.

A result is a table with a note beside it, and possibly more files and folders (an adapter) that belong to it. It is current if its note
has the fingerprint of everything it is made from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helpers.study.files import adopt, fingerprint, is_current, read_table, write_result

if TYPE_CHECKING:
    import pandas as pd


def result(
    folder: Path,
    name: str | Path,
    *,
    make: Callable[[str], pd.DataFrame],
    inputs: dict[str, Any],
    made_from: Sequence[Any] = (),
    beside: Sequence[str] = (),
    **facts: Any,
) -> pd.DataFrame:
    """The table `folder`/`name`, which is made only if neither this study nor one beside it has made it from the same inputs.

    make: computes the table. It is called with the fingerprint, under which it may keep finished parts, so that a killed run resumes;
    files of `beside` are written by it as well. inputs: the parameters of the step (`Study.inputs`). made_from: whatever else decides
    the result, such as prompts and weights. beside: names of files and folders next to the table that belong to it. facts: for the
    note, besides versions, machine and time. Another study's result is looked for at the same depth under the same first folder.
    """
    path = folder / name
    first, *middle, last = path.relative_to(folder).parts
    mark = fingerprint(inputs, *made_from)
    current = is_current(path, mark) and all((path.parent / part).exists() for part in beside)
    if not current and not adopt(path, mark, folder.parent, "/".join(["*", first, *["*"] * len(middle), last]), *beside):
        write_result(make(mark), path, mark, inputs, **facts)
    return read_table(path, f"the notebook that makes {name}")
