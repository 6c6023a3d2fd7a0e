"""Corpora: tables of passages that a model may search.

A corpus has the columns id, title, text, source and licence. It comes from the starter corpus (`starter`), from a file or a folder of
JSONL or Parquet files of your own, or from a data set of the hub or in `OFFLINE_MIRROR`. It is read in batches, so that it may be larger
than memory; `helpers/search/index.py` keeps it on disk.
"""

import hashlib
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from helpers.questions import hub
from helpers.questions.pools import REFUSED_SHARE
from helpers.questions.rows import from_json
from helpers.study.errors import StudyError
from helpers.study.files import sha256
from helpers.study.places import corpus_files, corpus_path

BATCH = 10_000  # passages read at a time: about 10 MB
NAMES = {
    "id": ("id", "passage_id", "_id"),
    "title": ("title",),
    "text": ("text", "content", "contents", "passage"),
    "source": ("source",),
    "licence": ("licence", "license"),
}  # what a column may be called


class Passage(NamedTuple):
    """One row of a corpus."""

    id: str
    title: str
    text: str
    source: str
    licence: str


class Corpus(NamedTuple):
    """Where a corpus comes from; `passages` reads it.

    files: of a corpus on this machine; of a data set of the hub there are none. own: whether its reader can correct it. without: passages whose
    title begins with one of these are left out.
    """

    name: str
    files: tuple[Path, ...] = ()
    own: bool = True
    dataset: Any = None
    facts: dict[str, Any] = {}
    without: tuple[str, ...] = ()

    @property
    def content(self) -> dict[str, Any]:
        """The source, config and split of the passages, the hash of each file or the commit of the hub, and what is left out."""
        kept = {key: value for key, value in self.facts.items() if key != "from"}
        return kept | ({"without": self.without} if self.without else {})


def load_corpus(name: str, study_file: Path | None = None, **where: Any) -> pd.DataFrame:
    """All passages of a corpus, one row each, with the columns of `Passage`. For the arguments and errors see `find_corpus`."""
    frames = list(passages(find_corpus(name, study_file, **where)))
    return pd.concat(frames, ignore_index=True)


def find_corpus(
    name: str,
    study_file: Path | None = None,
    config: str | None = None,
    split: str = "train",
    revision: str | None = None,
    without: Sequence[str] = (),
) -> Corpus:
    """The corpus of that name, before it is read.

    name: `starter`; the path of a .jsonl or .parquet file or of a folder of them, which counts from the folder of `study_file`, then from
    the working folder; or the id of a data set in OFFLINE_MIRROR or on the hub. config, split, revision: of a data set of the hub.
    without: passages whose title begins with one of these are left out. Raises StudyError if there is no such corpus, or if its folder has no passages.
    """
    path = corpus_path(name, study_file)
    if path is None:
        dataset, facts = hub.read(name, config, split, revision, os.environ.get("OFFLINE_MIRROR", ""), "corpus")
        return Corpus(name, own=False, dataset=dataset, facts=facts, without=tuple(without))
    given = [key for key, value in (("config", config), ("split", split != "train"), ("revision", revision)) if value]
    if given:
        raise StudyError(f"corpus.{given[0]}: only a data set has one; leave it out for {name}")
    files = corpus_files(path)
    hashes = {str(file.relative_to(path) if path.is_dir() else file.name): sha256(file) for file in files}
    facts = {"source": name, "from": "starter corpus" if name == "starter" else "files", "sha256": hashes}
    return Corpus(name, files=tuple(files), facts=facts, without=tuple(without))


def passages(corpus: Corpus, refusals: list[str] | None = None) -> Iterator[pd.DataFrame]:
    """The passages of a corpus in batches, each checked: columns as `Passage`, distinct ids.

    A passage without an id gets one from its title and text; one without a source has the name of the corpus as its source.
    refusals: a list that is filled with one line for each passage that was left out. In files of one's own a broken passage is an
    error; of a data set of the hub at most REFUSED_SHARE are left out. Raises StudyError for a broken or an empty corpus.
    """
    kept = _passages(corpus, [] if refusals is None else refusals)
    while batch := list(itertools.islice(kept, BATCH)):
        yield pd.DataFrame(batch, columns=list(Passage._fields))


def _passages(corpus: Corpus, refusals: list[str]) -> Iterator[Passage]:
    """`passages` one by one."""
    seen: set[str] = set()
    unmatched, read = set(corpus.without), 0
    for where, row in _rows(corpus):
        read += 1
        try:
            passage = _checked(row, where, corpus.name)
            if begins := [title for title in corpus.without if passage.title.startswith(title)]:
                unmatched.difference_update(begins)
                continue
            if passage.id in seen:
                raise StudyError(f"{where}: id {passage.id!r} occurs twice; give each passage its own id")
        except StudyError as error:
            if corpus.own:
                raise
            refusals.append(str(error))
            continue
        seen.add(passage.id)
        yield passage
    if len(refusals) > REFUSED_SHARE * read:
        raise StudyError(f"{refusals[0]} ({len(refusals):,} of {read:,} passages cannot be used)")
    if unmatched:
        raise StudyError(f"corpus.without: no title in {corpus.name} begins with {min(unmatched)!r}")
    if not seen:
        raise StudyError(f"corpus: {corpus.name}: holds no passages; it needs rows with id, title, text, source and licence")


def _rows(corpus: Corpus) -> Iterator[tuple[str, Any]]:
    """(where a row stands, the row) of all rows of a corpus."""
    if corpus.dataset is not None:
        yield from _numbered(corpus.name, corpus.dataset.with_format("arrow").iter(BATCH))
    for file in corpus.files:
        yield from _parquet(file) if file.suffix == ".parquet" else _jsonl(file)


def _numbered(where: str, batches: Iterable[pa.Table | pa.RecordBatch]) -> Iterator[tuple[str, Any]]:
    rows = (row for batch in batches for row in batch.to_pylist())
    return ((f"{where}: passage {place}", row) for place, row in enumerate(rows, 1))


def _parquet(file: Path) -> Iterator[tuple[str, Any]]:
    try:
        yield from _numbered(str(file), pq.ParquetFile(file).iter_batches(batch_size=BATCH))
    except (pa.ArrowException, OSError) as error:
        raise StudyError(f"{file}: cannot be read as Parquet ({' '.join(str(error).split())})") from None


def _jsonl(file: Path) -> Iterator[tuple[str, Any]]:
    try:
        with file.open(encoding="utf-8-sig") as lines:
            for place, line in enumerate(lines, 1):
                if line.strip():
                    yield (where := f"{file}: line {place}"), from_json(line, where)
    except UnicodeDecodeError as error:
        raise StudyError(f"{file}: is not UTF-8 text ({error.reason})") from None


def _checked(row: Any, where: str, name: str) -> Passage:
    """One row as a passage. Raises StudyError if it has no text or holds something that is no text."""
    if not isinstance(row, dict):
        raise StudyError(f"{where}: should be an object with id, title, text, source and licence")
    values = {}
    for field, names in NAMES.items():
        value = next((row[key] for key in names if row.get(key) is not None), "")
        if not isinstance(value, str) and not (field == "id" and type(value) is int):
            raise StudyError(f"{where}: {field} should be a text, it is {type(value).__name__}")
        values[field] = str(value).strip()
    if not values["text"]:
        raise StudyError(f"{where}: has no text")
    try:
        key = hashlib.sha256("\x1f".join(values.values()).encode()).hexdigest()[:16]
    except UnicodeEncodeError:
        raise StudyError(f"{where}: has half a surrogate pair (\\ud800 to \\udfff), which no text can hold") from None
    return Passage(**values | {"id": values["id"] or key, "source": values["source"] or name})
