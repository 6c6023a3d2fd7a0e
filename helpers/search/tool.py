"""The search tool of a study: its index, built once without passages that contain a question of its benchmarks."""

import pandas as pd

from helpers.search.corpus import find_corpus
from helpers.search.episodes import Tool
from helpers.study.errors import StudyError
from helpers.study.files import read_note, read_table
from helpers.study.study import Study

DROPPED = "search/dropped.csv"  # passages that contain a question of a benchmark; its note names the index
INDEXES = ".indexes"  # beside the folders of studies, which share them


def prepare(study: Study, questions: pd.DataFrame) -> pd.DataFrame:
    """Build the index of a study, if it is not there, and write `search/dropped.csv`, which it returns.

    questions: those of its benchmarks, with columns benchmark and question. Raises StudyError for a broken or an empty corpus.
    """
    from helpers.search.index import open_index  # loads scipy, which studies without search need not wait for

    where = study.search.corpus.model_dump(exclude={"source"})
    corpus = find_corpus(study.search.corpus.source, study.file, **where)
    index = open_index(corpus, study.folder.parent / INDEXES, questions)
    return study.result(
        DROPPED,
        make=lambda _: pd.read_csv(index.folder / "dropped.csv"),
        inputs=study.inputs("search"),
        made_from=[index.folder.name],
        index=index.folder.name,
        **index.facts,
    )


def mark(study: Study) -> str:
    """The fingerprint of a study's index. Raises StudyError if `prepare` has not made it from the study's present parameters."""
    read_table(study.path(DROPPED), "02_split", study.inputs("search"))
    return read_note(study.path(DROPPED))["index"]


def open_tool(study: Study) -> Tool:
    """The search tool of a study. Raises StudyError if `prepare` has not made its index, or if the index was deleted."""
    from helpers.search.index import Index

    folder = study.folder.parent / INDEXES / mark(study)
    if not (folder / "index.json").exists():
        raise StudyError(f"{folder}: the search index is missing; delete {study.path(DROPPED)} and run 02_split again")
    return Tool(study.search, Index(folder).search, folder.name)
