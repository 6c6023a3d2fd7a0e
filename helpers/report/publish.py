"""Publishing a study: what is copied to figures/<study>/, and whether tables equal those published.

`python -m helpers.report.publish STUDY` (`make publish`) copies what a reader opens (tables, figures, executed notebooks) and,
below data/, what the analysis is built from: scores without the models' texts, labels, which questions an arm was trained on, logs and
rollouts, and how long each notebook took. `helpers/workflow/rebuild.py` runs the analysis again from these files.
"""

import shutil
from collections.abc import Collection
from pathlib import Path

import pandas as pd

from helpers.analysis import answers, lettering
from helpers.analysis.drawing import style
from helpers.report import executed, readme, unfinished
from helpers.search.episodes import without_passages
from helpers.study import overrides
from helpers.study.errors import StudyError, entry_point
from helpers.study.files import atomic, read_note, write_json, write_table
from helpers.study.places import FIGURES, REPOSITORY
from helpers.study.study import Study, open_study

DATA = (  # what 05_analysis reads, and the columns that it does not need
    ("eval/**/scores.parquet", ("response", "subject")),
    ("filter/*/labels.parquet", ("response",)),
    ("split/**/train.parquet", ("question", "options", "rationale")),  # whose texts are the data set's
    ("split/held_out.parquet", ("question", "options", "rationale")),
    ("split/overlaps.parquet", ("question", "other")),
    ("search/dropped.csv", ()),
    ("train/*/*/completions.parquet", ()),
    ("train/*/*/log.csv", ()),
    ("train/*/*/following.csv", ()),
    ("eval/untrained/tasks/*.json", ()),
)
SHOWN = (".csv", ".png", ".svg", ".ipynb")
BY_HAND = {"measured.csv"}  # of the quickstart: times and memory, which no run writes


def publish(study: Study, target: Path) -> None:
    """Copy a finished study to `target`. Raises StudyError if its analysis has not run."""
    publish_shown(study, target)
    publish_data(study, target)


def publish_unfinished(study: Study, target: Path) -> None:
    """Copy what a study has so far: its data, including the finished tasks of partly scored models, `runs.csv`, `gains.csv`,
    `reasoning.csv` (how answers are written), `named.csv` and a figure (which letters they name), `drawn.csv` (composition of the arms), `common.csv` (questions
    that two arms share) and, of a search tool, `search_effect.csv` (`unfinished`), no comparison of arms."""
    write_table(unfinished.runs(study), target / "runs.csv")
    scores = unfinished.enough(study)
    write_table(unfinished.gains(study, scores), target / "gains.csv")
    if len(scores):
        write_table(answers.reasoning(scores), target / "reasoning.csv")
        style()
        named = lettering.named(scores)
        write_table(named, target / "named.csv")
        lettering.picture(named, target / "named")
    if len(composition := unfinished.composition(study)):
        write_table(composition, target / "drawn.csv")
        write_table(unfinished.common(study), target / "common.csv")
    if (found := unfinished.search(study, scores)) is not None:
        write_table(found, target / "search_effect.csv")
    publish_data(study, target, without=unfinished.rollouts(study))
    for path in unfinished.unscored(study):
        _publish_table(path, target / "data" / path.relative_to(study.folder), ("response", "subject"))


def publish_data(study: Study, target: Path, without: Collection[Path] = ()) -> None:
    """Copy the input of the analysis to `target`/data, and what the results record of themselves. without: files that are left out."""
    shutil.rmtree(target / "data", ignore_errors=True)
    for pattern, dropped in DATA:
        for path in sorted(set(study.folder.glob(pattern)) - set(without)):
            _publish_table(path, target / "data" / path.relative_to(study.folder), dropped)
    notes = {str(p.relative_to(study.folder).with_suffix("")): read_note(p) for p in sorted(study.folder.glob("*/**/*.json"))
             if p.stem in ("labels", "log", "scores") and "checkpoints" not in p.parts}  # fmt: skip
    write_json(notes, target / "provenance.json")
    write_table(executed.times(study), target / "data" / "times.csv")


def publish_shown(study: Study, target: Path) -> None:
    """Copy what a reader opens: tables, figures, executed notebooks; files of an earlier analysis go.

    Raises StudyError if the analysis has not run.
    """
    needed = (study.path("tables", "comparison.csv"), study.path("notebooks", "05_analysis.ipynb"))
    if missing := [path for path in needed if not path.exists()]:
        raise StudyError(f"{missing[0]}: no analysis yet; run make study STUDY={study.name} first")
    for old in [path for path in target.glob("*.*") if path.suffix in SHOWN and path.name not in BY_HAND]:
        old.unlink()
    for path in (path for folder in ("tables", "figures") for path in study.path(folder).iterdir()):
        _copy(path, target / path.name)
    for name in executed.chapters(study):
        executed.publish(study, name, target)


def _publish_table(path: Path, to: Path, dropped: tuple[str, ...]) -> None:
    """A table without the columns `dropped`, or any other file, with the note beside it."""
    if path.suffix == ".parquet":
        _compact(path, to, dropped)
    else:
        _copy(path, to)
    if path.suffix != ".json" and path.with_suffix(".json").exists():
        _copy(path.with_suffix(".json"), to.with_suffix(".json"))


def _copy(path: Path, to: Path) -> None:
    with atomic(to) as partial:
        shutil.copyfile(path, partial)


def _compact(path: Path, to: Path, dropped: tuple[str, ...]) -> None:
    """A table without the columns that the analysis does not read, compressed; a dropped `response` still says whether there was one.

    Of inserted passages only the ids are kept: their texts are the corpus's.
    """
    frame = pd.read_parquet(path)
    if "response" in dropped and "response" in frame:
        frame["response"] = frame["response"].where(frame["response"].isna(), "")
    if "searches" in frame:
        frame["searches"] = frame["searches"].map(without_passages, na_action="ignore")
    frame = frame.drop(columns=[name for name in dropped if name != "response"], errors="ignore")
    with atomic(to) as partial:
        frame.to_parquet(partial, index=False, compression="zstd", compression_level=19)


def differing(study: Study, source: Path) -> list[str]:
    """Names of the tables (also those beside figures) that differ from the published ones in `source`, or that only one of both has."""
    own = {path.name: path for folder in ("tables", "figures") for path in study.path(folder).glob("*.csv")}
    published = {path.name: path for path in source.glob("*.csv") if path.name not in BY_HAND}
    both = own.keys() & published.keys()
    return sorted((own.keys() ^ published.keys()) | {name for name in both if not _equal(own[name], published[name])})


def _equal(one: Path, other: Path) -> bool:
    """Whether two tables are the same; numbers to nine digits, since processors add up in different orders."""
    if one.read_bytes() == other.read_bytes():
        return True
    try:
        pd.testing.assert_frame_equal(pd.read_csv(one), pd.read_csv(other), rtol=1e-9, atol=1e-12)
    except (AssertionError, pd.errors.EmptyDataError):  # the latter: a table without columns, which the other has
        return False
    return True


@entry_point
def main() -> None:
    """`python -m helpers.report.publish STUDY`: one line and exit code 1 if something is missing."""
    parser = overrides.parser(__doc__)
    parser.add_argument("--to", type=Path, help="publish here instead of figures/<study>")
    parser.add_argument("--unfinished", action="store_true", help="publish what there is so far, without a comparison")
    arguments = parser.parse_args()
    study = open_study(arguments.study, arguments.changes)
    target = arguments.to or FIGURES / study.name
    (publish_unfinished if arguments.unfinished else publish)(study, target)
    sizes = [path.stat().st_size for path in target.rglob("*") if path.is_file()]
    print(f"{len(sizes)} files, {sum(sizes) / 1e6:.1f} MB: {target}")
    if target.resolve().parent == FIGURES and not arguments.unfinished and not readme.update(REPOSITORY / "README.md"):
        marks = ", ".join(f"<!-- {name} --> … <!-- /{name} -->" for name in readme.BLOCKS)
        print(f"README.md lacks one of its markers ({marks}); it was not changed")


if __name__ == "__main__":
    main()
