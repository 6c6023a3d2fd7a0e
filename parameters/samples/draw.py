"""How the samples of this folder were drawn: `python parameters/samples/draw.py TASK ITEMS SEED FILE`, from the harness's task or group."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd

from helpers.evaluation.documents import Document, key
from helpers.evaluation.samples import SAMPLE
from helpers.study.errors import StudyError


def draw_sample(documents_by_benchmark: dict[str, list[Document]], items: int, seed: int) -> pd.DataFrame:
    """Draw `items` documents, from each benchmark in proportion to its size and at least one.

    Returns one row an item: benchmark, doc_id (position among the task's documents), question_id.
    """
    sizes = {name: len(documents_by_benchmark[name]) for name in sorted(documents_by_benchmark)}
    total = sum(sizes.values())
    if not len(sizes) <= items <= total or not all(sizes.values()):
        raise StudyError(f"a sample of {items} items: it should be {len(sizes)} (one a benchmark) to {total} (all), none empty")
    shares = _shares(sizes, items)
    random = np.random.default_rng(seed)
    rows = []
    for name, size in sizes.items():
        for position in sorted(random.choice(size, shares[name], replace=False).tolist()):
            rows.append((name, position, key(documents_by_benchmark[name][position])))
    return pd.DataFrame(rows, columns=list(SAMPLE))


def _shares(sizes: dict[str, int], items: int) -> dict[str, int]:
    """Whole numbers nearest to the proportions (largest remainder), then one for each that would have none."""
    exact = {name: items * size / sum(sizes.values()) for name, size in sizes.items()}
    shares = {name: int(value) for name, value in exact.items()}
    for name in sorted(exact, key=lambda name: shares[name] - exact[name])[: items - sum(shares.values())]:
        shares[name] += 1
    for name in [name for name, share in shares.items() if share == 0]:
        shares[max(shares, key=shares.__getitem__)] -= 1
        shares[name] = 1
    return shares


def main() -> None:
    from lm_eval.tasks import TaskManager

    task, items, seed, file = sys.argv[1:]
    members = TaskManager().load([task])["tasks"]
    drawn = draw_sample({name: list(one.eval_docs) for name, one in members.items()}, int(items), int(seed))
    drawn.to_csv(file, index=False)


if __name__ == "__main__":
    main()
