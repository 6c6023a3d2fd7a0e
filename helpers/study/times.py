"""How long the notebooks of a study took."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from helpers.study.study import Study


def times(study: Study) -> pd.DataFrame:
    """How long each notebook took when it last ran: notebook, seconds, gpus (its share of a GPU; 0 without one), gpu_seconds.

    Of a study that was rebuilt from published files, as it was published there (`times.csv`).
    """
    import pandas as pd

    if study.path("times.csv").exists():
        return pd.read_csv(study.path("times.csv"))
    rows = []
    for path in sorted(study.path("notebooks").glob("*.ipynb")):
        run = json.loads(path.read_text(encoding="utf-8"))["metadata"].get("papermill", {})
        if run.get("duration") and not run.get("exception"):
            seconds, lent = run["duration"], run.get("gpus", 0.0)
            rows.append((path.stem, round(seconds, 1), round(lent, 4), round(seconds * lent, 1)))
    return pd.DataFrame(rows, columns=["notebook", "seconds", "gpus", "gpu_seconds"])
