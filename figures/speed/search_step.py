"""The cost of a search tool in a training step apart from its tokens: `python figures/speed/search_step.py MACHINE`, six minutes on two cores.

The arm random-search of search_quickstart is trained for a few steps from one seed in two ways. In the first, rollouts search: a turn ends, passages
are found and inserted, and the next turn goes on behind them. In the second, the same rollouts are written in one go: each prompt is longer by the number
of tokens that were inserted, and as many tokens are written as the model wrote. What both read for the first time, write and learn from is equal.

Measured (search_step.csv): 4 % more for the demonstration, of whose rollouts 22 % search, on one machine, and 14 and 13 % on a faster one. The other
rows count each full stop as a search, so that all rollouts have three short turns: 14 %, and 26 and 36 % more. A likely reason: each turn lasts as long
as its longest text, so several turns need more decoding steps. The key-value cache is kept between turns (`helpers/models/turns.py`; vLLM does the same).
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

os.environ["HF_HUB_OFFLINE"] = "1"

import pandas as pd  # noqa: E402

from helpers.models import loading  # noqa: E402
from helpers.models.engines import Sampling  # noqa: E402
from helpers.models.transformers_engine import Transformers  # noqa: E402
from helpers.questions import pools  # noqa: E402
from helpers.search import episodes  # noqa: E402
from helpers.search.corpus import find_corpus  # noqa: E402
from helpers.search.episodes import Episode, Tool  # noqa: E402
from helpers.search.index import open_index  # noqa: E402
from helpers.study import open_study  # noqa: E402
from helpers.training import grpo, searching  # noqa: E402

STEPS = 4  # the first is left out
Play = Callable[..., list[Episode]]


def run(folder: Path, play: Play, end: str) -> tuple[pd.DataFrame, list[float]]:
    """(log, seconds of rollouts) of a training whose rollouts are written by `play`. end: the text that ends a search."""
    study = open_study("search_quickstart")
    train = study.training("random-search").model_copy(update={"max_steps": STEPS, "save_steps": 10_000})
    index = open_index(find_corpus("starter"), folder / "index")
    tool, seconds = Tool(study.search, index.search), []
    tokenizer = loading.load_tokenizer(study.model.id)
    questions = pools.load_pool(study.pool).sample(frac=1, random_state=0).head(25)
    data = grpo.to_dataset(questions, study.prompt, tokenizer, search=study.search)

    def timed(*given: Any) -> list[Episode]:
        begun = time.perf_counter()
        made = play(*given)
        seconds.append(time.perf_counter() - begun)
        return made

    with patch.object(searching, "play", timed), patch.object(searching, "END", end), patch.object(episodes, "END", end):
        model = loading.load_model(study.model.id, study.model.dtype)
        place = Path(tempfile.mkdtemp(dir=folder))
        trainer = grpo.make_trainer(model, tokenizer, data, train, study.prompt, 0, place, "transformers", None, tool)
        log, _ = grpo.run(trainer, "measure")
    return log.iloc[1:], seconds[1:]


def measure(folder: Path, end: str) -> dict[str, Any]:
    """One row: seconds a step of both ways, on the same rollouts."""
    usual, kept = searching.play, []

    def recorded(*given: Any) -> list[Episode]:
        kept.append(usual(*given))
        return kept[-1]

    def in_one_go(trainer: Any, tool: Tool, prompts: Sequence[list[int]], temperature: float, seed: int) -> list[Episode]:
        made = kept.pop(0)
        longer = [
            [*prompt, *(token for token, own in zip(one.tokens, one.own, strict=True) if not own)]
            for prompt, one in zip(prompts, made, strict=True)
        ]
        limits = [one.written for one in made]
        trainer.model.eval()
        engine = Transformers(model=trainer.accelerator.unwrap_model(trainer.model))
        engine.write(longer, Sampling(max(limits), temperature, (), ()), [seed], trainer._tokenizer, limits)
        trainer.model.train()
        return made

    log, with_search = run(folder, recorded, end)
    again, without = run(folder, in_one_go, end)
    steps = [frame["seconds"].mean() for frame in (log, again)]
    return {
        "end": end, "searching_share": log["searching_share"].mean(), "inserted_tokens": log["inserted_length"].mean(),
        "rollouts_seconds": sum(with_search) / len(with_search), "rollouts_in_one_go_seconds": sum(without) / len(without),
        "step_seconds": steps[0], "step_in_one_go_seconds": steps[1], "added": steps[0] / steps[1] - 1, "steps": len(log), "cores": os.cpu_count(),
    }  # fmt: skip


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        rows = [measure(Path(folder), end) for end in ("</search>", ".")]
    table = pd.DataFrame(rows).round(3)
    table.insert(0, "machine", sys.argv[1] if len(sys.argv) > 1 else "this")
    print(table.to_csv(index=False), end="")


if __name__ == "__main__":
    main()
