"""Pool questions that a benchmark also contains."""

import numpy as np
import pandas as pd

from helpers.questions.text import question_id, words


def overlaps(pool: pd.DataFrame, others: pd.DataFrame, size: int, share: float) -> pd.DataFrame:
    """Pool questions that occur in `others` (columns benchmark, question), exactly or nearly.

    Exactly: the same words, whatever the options. Nearly: at least `share` of the shorter text's runs of `size` words also occur in
    the longer text. A single shared run is not enough, since phrases such as "which of the following is the most likely diagnosis"
    have eight words themselves. A text of fewer words than `size` is one run, so it is near only to a text of the same words.

    Returns one row per pair: question_id, id, benchmark, kind ("exact" or "near"), shared, question, other.
    """
    # The pool's runs are sorted once, and each other text is looked up in them: 45,000 texts of about 60 words against a pool of
    # 10,000 texts of about 115 words take 9 seconds and 50 MB on one core.
    mine = [_runs(text, size) for text in pool["question"]]
    lengths = np.array([len(runs) for runs in mine], dtype=np.int64)
    runs, owners = np.concatenate([*mine, np.empty(0, np.int64)]), np.repeat(np.arange(len(mine)), lengths)
    order = np.argsort(runs, kind="stable")
    runs, owners = runs[order], owners[order]
    same: dict[str, list[int]] = {}
    for place, text in enumerate(pool["question"]):
        same.setdefault(question_id(text), []).append(place)
    pairs = []
    for other_place, other in enumerate(others["question"]):
        theirs = _runs(other, size)
        first, last = np.searchsorted(runs, theirs, "left"), np.searchsorted(runs, theirs, "right")
        hits = [owners[start:end] for start, end in zip(first, last, strict=True) if end > start]
        exact = same.get(question_id(other), [])
        if not hits and not exact:
            continue
        shared = np.bincount(np.concatenate([*hits, np.empty(0, np.int64)]), minlength=len(mine))
        shared = shared / np.minimum(lengths, len(theirs))
        near = np.flatnonzero((shared >= share) & (shared > 0))
        pairs += [(place, other_place, shared[place], place in exact) for place in sorted({*near.tolist(), *exact})]
    rows = [
        (pool["question_id"].iloc[place], pool["id"].iloc[place], others["benchmark"].iloc[other_place],
         "exact" if exact else "near", float(shared), pool["question"].iloc[place], others["question"].iloc[other_place])
        for place, other_place, shared, exact in sorted(pairs)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["question_id", "id", "benchmark", "kind", "shared", "question", "other"])


def _runs(text: str, size: int) -> np.ndarray:
    """Hashes of the distinct runs of `size` words in a text; a shorter text is one run."""
    found = words(text)
    runs = {hash(tuple(found[start : start + size])) for start in range(max(1, len(found) - size + 1))}
    return np.fromiter(runs, dtype=np.int64, count=len(runs))
