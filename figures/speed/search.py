"""How fast the search is: `python figures/speed/search.py [CORPUS]`, by default on 20,000 random passages of 120 words.

The words of the random passages and of 1,000 queries of 20 words follow Zipf's law without its first hundred ranks, in a vocabulary of 50,000. For a CORPUS (a
folder, or a data set of the hub or of OFFLINE_MIRROR) the queries are 20 words in a row from its passages. Prints one row for search.csv.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil

from helpers.search.corpus import Passage, load_corpus
from helpers.search.index import Index, build

PASSAGES, WORDS, QUERIES, QUERY_WORDS, VOCABULARY = 20_000, 120, 1_000, 20, 50_000


def random_corpus(generator: np.random.Generator) -> pd.DataFrame:
    """PASSAGES passages of WORDS words each."""
    shares = 1 / (np.arange(VOCABULARY) + 100)  # the first hundred ranks of a language are stop words
    drawn = generator.choice(VOCABULARY, (PASSAGES, WORDS), p=shares / shares.sum())
    texts = [" ".join(f"word{number}" for number in row) for row in drawn]
    return pd.DataFrame({"id": [str(n) for n in range(PASSAGES)], "title": "", "text": texts, "source": "", "licence": ""})


def main() -> None:
    """Build the index, search, and print what both took."""
    generator = np.random.default_rng(0)
    name = sys.argv[1] if len(sys.argv) > 1 else "random words"
    passages = load_corpus(name) if len(sys.argv) > 1 else random_corpus(generator)
    words = passages["text"].sample(QUERIES, random_state=0).str.split()
    starts = [int(generator.integers(0, max(1, len(text) - QUERY_WORDS))) for text in words]
    queries = [" ".join(text[start : start + QUERY_WORDS]) for text, start in zip(words, starts, strict=True)]
    with tempfile.TemporaryDirectory() as folder:
        process, before, peak, done = psutil.Process(), psutil.Process().memory_info().rss, [0], threading.Event()

        def watch() -> None:
            while not done.wait(0.02):
                peak[0] = max(peak[0], process.memory_info().rss)

        threading.Thread(target=watch, daemon=True).start()
        start = time.perf_counter()
        build([passages[list(Passage._fields)]], Path(folder, "index"))
        built = time.perf_counter() - start
        done.set()
        index = Index(Path(folder, "index"))
        start = time.perf_counter()
        index.search(queries, 3)
        searched = time.perf_counter() - start
    row = {
        "corpus": name,
        "passages": len(index),
        "words": index.facts["words"],
        "build_seconds": round(built, 1),
        "build_bytes_per_word": round((peak[0] - before) / index.facts["words"]),
        "queries": len(queries),
        "search_seconds": round(searched, 2),
        "cores": os.cpu_count(),
    }
    print(pd.DataFrame([row]).to_csv(index=False), end="")


if __name__ == "__main__":
    main()
