"""The progress of a long step: a bar in JupyterLab, a line now and then in a log."""

import os
from typing import Any

HEADLESS = "STUDY_HEADLESS"  # environment variable, set where a notebook runs without a reader, who could use widgets


def progress(*args: Any, **options: Any) -> Any:
    """A bar of tqdm with these arguments: a widget where somebody looks at a notebook, else text."""
    if os.environ.get(HEADLESS):
        from tqdm import tqdm
    else:
        from tqdm.auto import tqdm
    return tqdm(*args, **options)
