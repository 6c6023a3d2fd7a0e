"""What an evaluation takes besides the model, and whether its prompts stay the same: `python figures/speed/templates.py [STUDY] > figures/speed/templates.csv`.

lm-evaluation-harness compiles a task's Jinja template again for every document; `helpers/evaluation/scoring.py` has each compiled once per call. Every task of
the study is scored with a model that answers at once, first in the harness's way and then in ours: one row per task with its requests (token
by token), the seconds of both ways, and whether all requests are equal. Five minutes on two CPU cores for `medicine`; needs the benchmarks' data.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
import time
from pathlib import Path
from unittest.mock import patch

import pandas as pd

from helpers.evaluation import scoring
from helpers.models import loading
from helpers.study.study import Study, open_study


class Instant:
    """An engine that answers at once and keeps a hash of what it was asked."""

    name, room, reads = "vllm", 32768, "transformers"

    def __init__(self) -> None:
        self.asked, self.requests = hashlib.sha256(), 0

    def _keep(self, requests: list) -> None:
        self.requests += len(requests)
        for request in requests:
            self.asked.update(repr(request).encode())

    def read(self, pairs: list, batch_size: int) -> list[tuple[float, bool]]:
        self._keep(pairs)
        return [(float(place % 3), False) for place in range(len(pairs))]

    def write(self, prompts: list, *_: object) -> list[list[int]]:
        self._keep(prompts)
        return [[0]] * len(prompts)

    def ends(self, _: object) -> list[int]:
        return [0]


def measure(study: Study, task: str, tokenizer: object) -> tuple[float, Instant]:
    """Seconds to score one task with an instant model, and that model."""
    engine, begun = Instant(), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        scoring.score(engine, tokenizer, study, "instant", Path(folder), (task,), [0])
    return time.perf_counter() - begun, engine


def main(name: str) -> None:
    study = open_study(name)
    tokenizer, rows = loading.load_tokenizer(study.model.id), []
    for task in [task.name for task in study.eval.tasks]:
        measure(study, task, tokenizer)  # reads the task's data into the disk cache
        with patch.object(scoring, "cache", lambda function: function):
            before, each = measure(study, task, tokenizer)
        after, once = measure(study, task, tokenizer)
        same = each.asked.digest() == once.asked.digest()
        rows.append(
            {"task": task, "requests": once.requests, "compiled_each_time": before, "compiled_once": after, "same_requests": same}
        )
    print(pd.DataFrame(rows).round(1).to_csv(index=False), end="")


if __name__ == "__main__":
    main(*(sys.argv[1:] or ["medicine"]))
