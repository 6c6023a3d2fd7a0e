"""Label the quickstart's pool twice, in batches of two sizes: `python figures/repeat/labels.py`.

A greedy answer can depend on what else is in its batch: padding and the order of additions change logits by rounding, and where two tokens
are nearly equally likely, the other one may win (vllm#5898). labels.csv beside this script gets one row per filter: the share of
responses that differ, and the share of questions whose label flips. About ten minutes on two cores.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import torch

from helpers.models import engines, generate, loading
from helpers.questions import pools, prompts
from helpers.selection import difficulty
from helpers.study import open_study

TABLE = Path(__file__).with_name("labels.csv")
SIZES = 35, 8  # the quickstart's own batch size, and another one


def compare(first: pd.DataFrame, second: pd.DataFrame) -> dict[str, float]:
    """Shares of questions with another response, and with another label by either reading. Both: `difficulty.label`, in one order."""
    columns = {"responses_differ": "response", "labels_flip": "label", "tolerant_labels_flip": "label_tolerant"}
    return {name: float((first[column] != second[column]).mean()) for name, column in columns.items()}


def main() -> None:
    """Label with every filter and write the table."""
    s = open_study("quickstart")
    pool, rows = pools.study_pool(s), []
    for name, spec in s.filters.items():
        tokenizer = loading.load_tokenizer(spec.model)
        texts = [prompts.render(row.question, row.options, s.prompt, tokenizer) for row in pool.itertuples()]
        queries, model = pool[["question_id"]].assign(prompt=texts), engines.Weights(spec.model, s.model.dtype)
        how = {
            "max_new_tokens": spec.max_new_tokens,
            "end_tokens": prompts.end_tokens(s.prompt, tokenizer),
            "engine": "transformers",
        }
        written = [generate.complete(queries, model, tokenizer, batch_size=size, **how) for size in SIZES]
        labels = [difficulty.label(pool, answers, s.prompt.prefill) for answers in written]
        made = {"device": "CPU", "dtype": str(loading.dtype_of(s.model.dtype)).removeprefix("torch."), "torch": torch.__version__}
        rows.append(
            {"filter": name, "batch_sizes": " and ".join(map(str, SIZES)), "questions": len(pool), **compare(*labels), **made}
        )
    pd.DataFrame(rows).to_csv(TABLE, index=False)


if __name__ == "__main__":
    main()
