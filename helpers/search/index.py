"""BM25 over the passages of a corpus: built once, kept on disk, and read through memory maps.

The method is `lucene` of bm25s (arXiv 2407.03618) with its usual k1 = 1.5 and b = 0.75. Title and text of a passage are indexed together,
since many passages name their subject in the title only.
"""

import html
import itertools
import os
import re
import shutil
from array import array
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

# Imported with JAX installed, bm25s tries JAX at once, and JAX would reserve most of a GPU's memory.
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import bm25s
import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
from bm25s.stopwords import STOPWORDS_EN
from filelock import FileLock

from helpers.questions.overlap import overlaps
from helpers.questions.text import words
from helpers.search.corpus import Corpus, Passage, passages
from helpers.study.errors import StudyError
from helpers.study.files import fingerprint, read_note, write_json

VERSION = 2  # raised when the terms or the scores of an index change
OVERLAP_WORDS, OVERLAP_SHARE = 8, 0.5  # of a question in a passage, as between pool and benchmarks (`Split`)
LONGEST_QUERY = 64  # distinct terms; a model that rambles gets what its first words find
BYTES_PER_TERM = 60  # memory that bm25s needs to build an index, per word of the corpus
STOP = frozenset(STOPWORDS_EN)
SCHEMA = pa.schema([(field, pa.large_string()) for field in Passage._fields])


class Index:
    """The passages of a corpus and the BM25 scores of their terms, in a folder.

    facts: corpus, passages, words, licences (passages by licence), dropped (passages that contain a question of a benchmark), refused
    (broken passages of a data set).
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.facts = read_note(folder / "index.json")
        self._bm25 = bm25s.BM25.load(folder, mmap=True, show_progress=False)
        self._passages = pa.ipc.open_file(pa.memory_map(str(folder / "passages.arrow"))).read_all()

    def __len__(self) -> int:
        return self._passages.num_rows

    def search(self, queries: list[str], k: int) -> list[list[Passage]]:
        """The best `k` passages for each query, best first; fewer if fewer share a term with it, none for a query without terms.

        Of passages with equal scores, the earlier in the corpus comes first. Of a query, the first LONGEST_QUERY terms count.
        """
        found = [self.places(query, k) for query in queries]
        rows = self._passages.take(pa.array([place for places in found for place in places], pa.int64())).to_pydict()
        every = map(Passage, *(rows[field] for field in Passage._fields))
        return [list(itertools.islice(every, len(places))) for places in found]

    def places(self, query: str, k: int) -> list[int]:
        """Row numbers of the best `k` passages for a query, as `search` returns them."""
        known = self._bm25.vocab_dict
        ids = [known[term] for term in dict.fromkeys(terms(query)) if term in known][:LONGEST_QUERY]
        if not ids or k < 1:
            return []
        scores = self._bm25.get_scores_from_ids(ids)
        found = np.flatnonzero(scores > 0)
        if k < len(found):
            found = found[scores[found] >= np.partition(scores[found], -k)[-k]]
        return found[np.argsort(-scores[found], kind="stable")][:k].tolist()


def open_index(corpus: Corpus, cache: Path | str, questions: pd.DataFrame | None = None) -> Index:
    """The index of a corpus without passages that contain one of the `questions`; built if `cache` does not have it.

    corpus: of `find_corpus`. cache: a folder for indexes; each has a folder named by the hash of what it is made from.
    questions: those of the benchmarks, with columns benchmark and question. Raises StudyError for a broken or an empty corpus.
    """
    asked = [] if questions is None else questions[["benchmark", "question"]].to_numpy().tolist()
    mark = fingerprint(VERSION, corpus.content, asked)
    cache = Path(cache)
    folder = cache / mark
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / f".{mark}.lock"):
        if not (folder / "index.json").exists():
            refusals: list[str] = []
            build(passages(corpus, refusals), folder, questions, corpus.name, refusals)
    return Index(folder)


def build(
    batches: Iterable[pd.DataFrame],
    folder: Path,
    questions: pd.DataFrame | None = None,
    name: str = "",
    refusals: list[str] | None = None,
) -> None:
    """Write the index of some passages to `folder`; its index.json is written last, so that a killed build does not count.

    batches: frames with the columns of `Passage`. questions: as for `open_index`. refusals: filled while the batches are read.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    vocabulary: dict[str, int] = {}
    documents: list[array[int]] = []
    dropped: list[pd.DataFrame] = []
    licences: Counter[str] = Counter()
    with pa.OSFile(str(folder / "passages.arrow"), "wb") as file, pa.ipc.new_file(file, SCHEMA) as writer:
        for batch in batches:
            found = containing(batch, questions)
            dropped.append(found)
            kept = batch[~batch["id"].isin(found["id"])]
            writer.write_table(pa.Table.from_pandas(kept[list(Passage._fields)], SCHEMA, preserve_index=False))
            licences.update(kept["licence"])
            for text in kept["title"] + " " + kept["text"]:
                documents.append(array("i", [vocabulary.setdefault(term, len(vocabulary)) for term in terms(text)]))
    count = sum(len(document) for document in documents)
    if not vocabulary:
        raise StudyError(f"corpus: {name}: no passage is left to search; each is empty or contains a question of a benchmark")
    _check_memory(count, name)
    index = bm25s.BM25(method="lucene", k1=1.5, b=0.75)
    index.index((documents, vocabulary), create_empty_token=False, show_progress=False)
    index.save(folder, show_progress=False)
    dropped_all = pd.concat(dropped, ignore_index=True)
    dropped_all.to_csv(folder / "dropped.csv", index=False)
    facts = {"corpus": name, "passages": len(documents), "words": count, "licences": licences,
             "dropped": dropped_all["id"].nunique()}  # fmt: skip
    write_json(facts | {"refused": len(refusals or [])}, folder / "index.json")


def containing(batch: pd.DataFrame, questions: pd.DataFrame | None) -> pd.DataFrame:
    """Passages that contain a question, with columns id, benchmark and shared (of its runs): exactly, or half of its runs of eight words."""
    if questions is None or questions.empty:
        return pd.DataFrame(columns=["id", "benchmark", "shared"])
    asked = pd.DataFrame({"question_id": "", "id": questions["benchmark"], "question": questions["question"]})
    others = pd.DataFrame({"benchmark": batch["id"], "question": batch["title"] + " " + batch["text"]})
    found = overlaps(asked, others, OVERLAP_WORDS, OVERLAP_SHARE)
    found = found.rename(columns={"benchmark": "id", "id": "benchmark"})
    return found[["id", "benchmark", "shared"]]


def terms(text: str) -> list[str]:
    """The terms of a text or a query: its words in lower case without markup, frequent words, plural endings and British spellings.

    >>> terms("<b>Haemorrhages</b> &amp; oedema of the lungs")
    ['hemorrhage', 'edema', 'lung']
    """
    plain = re.sub(r"</?[A-Za-z][^<>]*>", " ", html.unescape(text))
    return [_folded(word) for word in words(plain) if word not in STOP and word.isalnum()]


def _folded(word: str) -> str:
    """A word in American spelling without a plural -s, so that haemorrhages and hemorrhage are one term."""
    word = word.replace("ae", "e").replace("oe", "e")
    return word[:-1] if len(word) > 3 and word[-1] == "s" and word[-2] not in "siu" else word


def _check_memory(count: int, name: str) -> None:
    """Raise StudyError if the index of `count` words does not fit into memory while it is built."""
    needed, free = count * BYTES_PER_TERM, psutil.virtual_memory().available
    if needed > free:
        raise StudyError(
            f"corpus: {name}: {count:,} words need about {needed / 1e9:.1f} GB of memory to index, {free / 1e9:.1f} GB are free; "
            "take a smaller corpus or build the index on a larger machine (search itself needs little memory)"
        )
