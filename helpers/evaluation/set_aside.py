"""Questions that no arm may draw: those that a benchmark also contains, and those held out.

Both are written once per study, before any draw: by `python -m helpers.evaluation.set_aside STUDY`, or by 02_split if it runs alone.
"""

from __future__ import annotations

import sys

import pandas as pd
from filelock import FileLock

from helpers.evaluation import benchmarks
from helpers.questions.overlap import overlaps
from helpers.questions.pools import study_pool
from helpers.search import tool
from helpers.search.episodes import Tool
from helpers.selection import held_out
from helpers.study.errors import StudyError
from helpers.study.schema import HELD_OUT
from helpers.study.study import Study, open_study


def set_aside(study: Study) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(pool questions that a benchmark also contains, as `overlaps` returns them; held-out questions), read if they are current."""
    pool, rule = study_pool(study), study.split
    with FileLock(study.path("split", ".lock")):
        away = study.result(
            held_out.FILE,
            inputs=study.inputs("held_out"),
            made_from=pool["question_id"].tolist(),
            make=lambda _: held_out.draw_of(study, pool),
        )
        tested = benchmarks.questions(study)
        every = pd.concat([tested, away[["question"]].assign(task=HELD_OUT, benchmark=HELD_OUT)], ignore_index=True)
        if rule.held_out_from:  # the pool may have copies of these questions
            tested = every
        if study.search:
            tool.prepare(study, every)
        found = study.result(
            "split/overlaps.parquet",
            inputs=study.inputs("overlaps"),
            made_from=[pool["question_id"].tolist(), tested.to_numpy().tolist()],
            make=lambda _: overlaps(pool, tested, rule.overlap_words, rule.overlap_share),
            pool=len(pool),
            benchmarks=int(tested["benchmark"].nunique()),
            questions=len(tested),
        )
    return found, away


def search_tool(study: Study) -> Tool:
    """The search tool of a study, with an index (built if it is missing) without passages that contain a question of a benchmark."""
    set_aside(study)
    return tool.open_tool(study)


def main() -> None:
    """Write both files of the study that the command line names; one line, or an error and exit code 1."""
    try:
        found, away = set_aside(open_study((sys.argv[1:] or ["quickstart"])[0]))
    except StudyError as error:
        print(f"error: {error}")  # where the graph looks for it
        sys.exit(1)
    print(f"set aside: {found['question_id'].nunique()} questions that a benchmark also contains, {len(away)} held out")


if __name__ == "__main__":
    main()
