"""Seconds of one core for the quickstart's answers and rollouts, with prompts read one by one and with shared parts read once.

`OMP_NUM_THREADS=1 python figures/speed/shared_prefix.py` writes shared_prefix.csv. Seconds are the process's own, so other programs on the
machine hardly count.
"""

import time
from pathlib import Path

import pandas as pd

from helpers.models import engines, loading, shared_prefix
from helpers.models.transformers_engine import Transformers
from helpers.questions import pools, prompts
from helpers.study import open_study

WAYS = {"usual_seconds": 10**6, "shared_seconds": shared_prefix.WORTH}  # shared tokens from which they are read once
study = open_study("quickstart")
questions = list(pools.study_pool(study).head(35).itertuples())
rows = []
for model in dict.fromkeys(spec.model for spec in study.filters.values()):
    tokenizer, engine = loading.load_tokenizer(model), Transformers(engines.Weights(model))
    texts = [
        tokenizer(prompts.render(row.question, list(row.options), study.prompt, tokenizer))["input_ids"] for row in questions
    ]
    work = {"35 answers of a filter": (texts, 0.0)}
    if model == study.model.id:
        work["12 rollouts of a training step"] = ([texts[place] for place in (3, 14, 15, 30) for _ in range(3)], 0.7)
    for what, (batch, temperature) in work.items():
        row = {"what": what, "model": model}
        for name, worth in WAYS.items():
            shared_prefix.WORTH, begun = worth, time.process_time()
            engine.write(batch, engines.Sampling(64, temperature, tuple(engine.ends(tokenizer))), [0] * len(batch), tokenizer)
            row[name] = round(time.process_time() - begun, 1)
        rows.append(row)
pd.DataFrame(rows).to_csv(Path(__file__).with_suffix(".csv"), index=False)
