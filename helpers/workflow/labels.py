"""Labels without a study, for training elsewhere: `python -m helpers.workflow.labels POOL MODEL [--samples 16]`, or `make labels`.

Runs the first chapter alone. `runs/labels-<pool>-<model>/` then holds labels.csv and labels.parquet (one row per question),
answers.parquet (every answer) and a card README.md. A killed run continues from its last batch.
"""

import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock, Timeout

from helpers.analysis import filters
from helpers.questions import pools, prompts
from helpers.selection import difficulty
from helpers.study import overrides
from helpers.study.errors import StudyError, entry_point
from helpers.study.files import atomic, write_json, write_table
from helpers.study.places import runs
from helpers.study.study import Study, open_study
from helpers.workflow import execute, gpus, graph

CARD = """# Labels of {pool} by {model}

{summary}

- Model: `{model}`; {samples} at temperature {temperature:g}, at most {max_new_tokens} tokens; {date}.
- `labels.csv`, `labels.parquet`: one row per question. `label` is easy if more than half of its answers are right in the required format,
  else hard; `label_tolerant` ignores the format. `pass_rate` and `pass_rate_tolerant` are the shares of such answers; `pass_rate_shrunk`
  is shrunk towards the pool by a beta prior (empty for one answer per question).
- `answers.parquet`: every answer with how it was read.
- The prompt of the first question:

````text
{prompt}
````
"""


def study_of(pool: str, model: str, samples: int, tokens: int, changes: str = "") -> Study:
    """A study that is only its filter `labels`; its file is written to runs/. Raises StudyError for a pool or model that cannot be."""
    words = "-".join(["labels", Path(pool).stem.rpartition(":")[2], Path(model).name])
    source = str(Path(pool).resolve()) if Path(pool).exists() else pool
    values: dict[str, Any] = {
        "title": f"Labels of {pool} by {model}",
        "model": {"id": model},
        "pool": source,
        "filters": {"labels": {"model": model, "samples": samples, "temperature": float(samples > 1), "max_new_tokens": tokens}},
        "arms": {"random": {"size": 1}},
        "seeds": [0],
        "train": {"batch_size": 2, "gradient_accumulation": 1, "rollouts": 2},
        "eval": {"tasks": [{"name": "starter_general"}]},
    }
    path = runs() / f"{re.sub(r'[^A-Za-z0-9._-]+', '-', words)}.yaml"
    write_json(values, path)  # JSON is YAML, too
    return open_study(str(path), changes)


def label(study: Study) -> Path:
    """Run the filter and write labels, answers and card; returns their folder. Raises StudyError if the notebook fails."""
    pool = pools.study_pool(study)
    print(pools.recognised(pools.pool_facts(study.pool, study.file)), flush=True)
    graph.call(study, "helpers.models.loading", study.model.id)
    page = study.path("notebooks", "01_filter-labels.ipynb")
    page.parent.mkdir(parents=True, exist_ok=True)
    print(f"Progress and the time left: {page.with_suffix('.log')}", flush=True)
    with gpus.lend(1, gpus.PARTS):
        execute.run("01_filter", page, {"study": str(study.reference()), "filter": "labels"})
    answers = pd.read_parquet(study.path("filter", "labels", "labels.parquet"))
    strict, tolerant = (difficulty.by_question(answers, reading) for reading in ("strict", "tolerant"))
    beside = tolerant[["question_id", "label", "pass_rate"]]
    table = pool[["question_id", "id", "question"]].merge(strict.drop(columns=["posterior_a", "posterior_b"]))
    table = table.merge(beside, on="question_id", suffixes=("", "_tolerant"))
    for name in ("labels.csv", "labels.parquet"):
        write_table(table, study.path(name))
    write_table(answers, study.path("answers.parquet"))
    with atomic(study.path("README.md")) as partial:
        partial.write_text(_card(study, answers, pool), encoding="utf-8")
    return study.folder


def _card(study: Study, answers: pd.DataFrame, pool: pd.DataFrame) -> str:
    from helpers.models import loading  # imports torch, which a mistake on the command line need not wait for

    spec, first = study.filters["labels"], pool.iloc[0]
    summary = filters.summary(answers, pool, spec.model, study.analysis.confidence)
    samples = f"{spec.samples} answers per question" if spec.samples > 1 else "one answer per question"
    facts = spec.model_dump(include={"model", "temperature", "max_new_tokens"}) | {"samples": samples, "summary": summary}
    prompt = prompts.render(first["question"], list(first["options"]), study.prompt, loading.load_tokenizer(spec.model))
    return CARD.format(pool=Path(study.pool.source).name, date=f"{datetime.now(UTC):%d %B %Y}", prompt=prompt, **facts)


@entry_point
def main() -> None:
    """Parse the command line and label; a mistake is one line and exit code 1."""
    parser = overrides.parser(__doc__.splitlines()[0], study=False)
    parser.add_argument("pool", help="a file or folder of questions, or starter:<name>")
    parser.add_argument("model", help="a hub id, or a folder")
    parser.add_argument("--samples", default="1", help="answers per question; above 1 at temperature 1")
    parser.add_argument("--tokens", default="512", help="tokens of an answer, at most")
    given = parser.parse_args()
    try:
        if not given.pool or not given.model:
            raise StudyError("POOL and MODEL are needed, as in make labels POOL=mine.csv MODEL=org/model")
        samples, tokens = overrides.count("SAMPLES", given.samples, 1), overrides.count("--tokens", given.tokens, 1)
        study = study_of(given.pool, given.model, samples, tokens, given.changes)
        with FileLock(study.folder / ".running", timeout=0):
            print(f"Labels, answers and card: {label(study)}")
    except Timeout:
        sys.exit(f"error: {study.folder}: another process is labelling this pool with this model; wait for it or stop it")


if __name__ == "__main__":
    main()
