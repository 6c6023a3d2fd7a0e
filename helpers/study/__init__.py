"""Study: typed parameters, the YAML files that define them, paths and inputs, and atomic writing of results.

A notebook begins with `open_study` and `refuse_unknown`.
"""

from helpers.study.errors import refuse_unknown
from helpers.study.study import open_study

__all__ = ["open_study", "refuse_unknown"]
