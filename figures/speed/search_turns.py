"""Rollouts with three short turns each, as in search_step.py: `python figures/speed/search_turns.py [STEPS]`, two minutes on one core.

Processor seconds of a step's rollouts, with what the turns before have read (`kept`), with each text read from its beginning in every turn (`anew`), and
with the same tokens written in one go. The ways take turns, and processor seconds do not depend on what else the machine does. `equal`: rollouts whose
tokens are the same both ways; in bfloat16 the two round differently, and in float32 all of 50 greedy answers were equal.
"""

from __future__ import annotations

import itertools
import os
import sys
import tempfile
import time
from pathlib import Path
from unittest.mock import patch

os.environ["HF_HUB_OFFLINE"], os.environ["OMP_NUM_THREADS"] = "1", "1"

import pandas as pd  # noqa: E402
from search_step import Sampling, Tool, Transformers, episodes, find_corpus, loading, open_index, open_study, pools, searching  # noqa: E402

from helpers.questions import prompts  # noqa: E402

END = "."  # taken for </search>, so that all rollouts search


def main(steps: int) -> None:
    study, usual, rows = open_study("search_quickstart"), Transformers.write, []
    train, tokenizer = study.training("random-search"), loading.load_tokenizer(study.model.id)
    engine = Transformers(model=loading.load_model(study.model.id, study.model.dtype))
    ends, limit = tuple(engine.ends(tokenizer)), train.max_completion_tokens
    questions = pools.load_pool(study.pool).sample(frac=1, random_state=0)
    groups = train.completions_per_step // train.rollouts
    with tempfile.TemporaryDirectory() as folder, patch.object(searching, "END", END), patch.object(episodes, "END", END):
        tool = Tool(study.search, open_index(find_corpus("starter"), Path(folder)).search)
        for step in range(steps):
            asked = questions.iloc[groups * step : groups * (step + 1)]
            texts = [
                prompts.render(one.question, list(one.options), study.prompt, tokenizer, study.search)
                for one in asked.itertuples()
            ]
            ids, row, made = tokenizer([text for text in texts for _ in range(train.rollouts)])["input_ids"], {"step": step}, {}
            for way, write in (("kept", usual), ("anew", lambda self, *given: usual(self, *given[:5]))):
                with patch.object(Transformers, "write", write):
                    begun = time.process_time()
                    turn = searching._by(engine, ends, train.temperature, step, itertools.count(), tokenizer)
                    made[way] = episodes.run(ids, turn, tool, tokenizer, limit=limit, ends=ends)
                    row[way] = time.process_time() - begun
            rollouts = list(zip(ids, made["kept"], strict=True))
            longer = [[*text, *(t for t, own in zip(one.tokens, one.own, strict=True) if not own)] for text, one in rollouts]
            limits, begun = [one.written for one in made["kept"]], time.process_time()
            engine.write(longer, Sampling(max(limits), train.temperature, (), ()), [step], tokenizer, limits)
            row["in_one_go"] = time.process_time() - begun
            equal = sum(one.tokens == other.tokens for one, other in zip(made["kept"], made["anew"], strict=True))
            rows.append(row | {"equal": equal, "rollouts": len(ids)})
    print(pd.DataFrame(rows).round(1).to_csv(index=False), end="")


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 4)
