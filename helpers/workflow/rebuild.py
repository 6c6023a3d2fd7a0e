"""The analysis of a study again, from its published files alone.

`python -m helpers.workflow.rebuild STUDY --from figures/STUDY` (`make report FROM=…`) runs the last notebook and renders its report
below runs/published/, and says whether its tables equal those published. It needs neither models nor runs. With `--update` the
rebuilt tables, figures and notebook replace the published ones: that is how an improved analysis reaches published studies.
"""

import os
import shutil
from pathlib import Path

from helpers.report import build, publish, readme
from helpers.study import overrides
from helpers.study.errors import StudyError, entry_point
from helpers.study.places import REPOSITORY
from helpers.study.study import Study, open_study
from helpers.workflow import execute


def rebuild(study: Study, source: Path) -> Path:
    """Run the analysis on the published files in `source` and render its report; returns the report's path. Sets STUDY_RUNS, so that
    `study` lies below runs/published/ from now on. Raises StudyError if `source` has no data."""
    if not (source / "data").is_dir():
        raise StudyError(f"{source}: has no folder data/; publish the study there first (make publish STUDY={study.name})")
    os.environ["STUDY_RUNS"] = str(study.folder.parent / "published")
    shutil.rmtree(study.folder, ignore_errors=True)
    shutil.copytree(source / "data", study.folder)
    for path in source.glob("0[1-4]_*.ipynb"):  # as they were run; the report shows them beside the rebuilt analysis
        study.path("notebooks").mkdir(exist_ok=True)
        shutil.copyfile(path, study.path("notebooks", path.name))
    execute.run("05_analysis", study.path("notebooks", "05_analysis.ipynb"), {"study": str(study.reference())})
    return build.build(study)


@entry_point
def main() -> None:
    """Parse the command line; one line and exit code 1 if something is missing."""
    parser = overrides.parser(__doc__)
    parser.add_argument("--from", dest="source", type=Path, required=True, help="the folder with the published files")
    parser.add_argument(
        "--update", action="store_true", help="replace the published tables, figures and notebook by the rebuilt ones"
    )
    arguments = parser.parse_args()
    study, source = open_study(arguments.study, arguments.changes), arguments.source.resolve()
    page = rebuild(study, source)
    other = publish.differing(study, source)
    if arguments.update:
        publish.publish_shown(study, source)
        readme.update(REPOSITORY / "README.md")
    print(f"Tables that differ from those published: {', '.join(other)}" if other else "All tables equal those published.")
    print(f"Report: {page}")


if __name__ == "__main__":
    main()
