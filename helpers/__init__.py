"""The package behind the notebooks: one folder per topic of the study."""

import sys

# jsonschema, which checks notebooks, builds a grammar of web addresses on import if this is installed: a second for every job.
sys.modules.setdefault("rfc3987_syntax", None)
