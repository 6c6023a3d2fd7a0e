"""Study: the parameters as types, the YAML file they come from, paths and inputs, and results that are written whole or not at all.

A notebook begins with `open_study` and `refuse_unknown`.
"""

from helpers.study.errors import refuse_unknown
from helpers.study.study import open_study

__all__ = ["open_study", "refuse_unknown"]
