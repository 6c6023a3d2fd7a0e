"""How fast a GPU is with this study, beside the naive way: `python figures/speed/measure.py PART FOLDER [ARM …]`.

PART is `filter` (answers to pool questions), `score` (benchmark items) or `train` (one GRPO run of the named arms side by side, each in a
process of its own, on the GPU that is visible). SIDE=4 has four processes filter or score beside each other; BATCH is how many items are scored at once (four at 64 do not fit 80 GB). Rows go to FOLDER/<part>….csv. The study is `small_larger`, cut short; MODEL names another base.

The naive way is one question at a time, and one run after the other. Loading is not counted; the first batch is counted apart. The tables of 25
November 2026 also have rows of transformers with recorded CUDA graphs, which the project no longer uses.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import torch

from helpers.evaluation import scoring
from helpers.models import engines, generate, loading
from helpers.questions import pools, prompts
from helpers.selection import draws
from helpers.study.files import write_result, write_table
from helpers.study.places import REPOSITORY
from helpers.study.study import open_study
from helpers.training import launch

DEFAULTS = (("QUESTIONS", 768), ("NAIVE", 12), ("STEPS", 30), ("SIDE", 1), ("BATCH", 64))
QUESTIONS, NAIVE, STEPS, SIDE, BATCH = (int(os.environ.get(name, value)) for name, value in DEFAULTS)
STUDY = """
shared: {shared}
title: "Speed"
model: {{id: {model}, dtype: bfloat16}}
filters: {{}}
arms:
  lora: {{size: {size}}}
  lora-a: {{size: {size}}}
  lora-b: {{size: {size}}}
  lora-c: {{size: {size}}}
  lora-d: {{size: {size}}}
  ddp: {{size: 20, train: {{accelerate: accelerate/ddp.yaml}}}}
  fsdp: {{size: 20, train: {{accelerate: accelerate/fsdp.yaml}}}}
  zero3: {{size: 20, train: {{accelerate: accelerate/zero3.yaml}}}}
seeds: [0]
eval:
  tasks:
    - {{name: medqa_4options, rotate: false}}
    - {{name: medqa_reasoning, limit: 256}}
"""


def study(folder: Path):
    """The study of the measurement, written to `folder`."""
    path = folder / "speed.yaml"
    path.write_text(
        STUDY.format(
            shared=REPOSITORY / "parameters" / "small_larger.yaml",
            model=os.environ.get("MODEL", "Qwen/Qwen2.5-Coder-0.5B-Instruct"),
            size=4 * STEPS,
        )
    )
    return open_study(str(path))


def row(what: str, way: str, unit: str, count: float, seconds: float, **more: object) -> dict[str, object]:
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    facts = {
        "what": what,
        "way": way,
        "unit": unit,
        "count": count,
        "seconds": round(seconds, 3),
        "rate": round(count / seconds, 2),
    }
    print(facts | more, flush=True)
    return facts | more | {"device": device, "torch": torch.__version__}


def timed(call):
    begun = time.perf_counter()
    made = call()
    return made, time.perf_counter() - begun


def filter_rates(s, folder: Path, engine: str) -> list[dict[str, object]]:
    """Questions and tokens a second of a filter: the engine as the study uses it, and one question at a time."""
    pool = pools.load_pool(s.pool, s.file)
    order = pool.sample(frac=1, random_state=0).head(QUESTIONS)
    tokenizer = loading.load_tokenizer(s.model.id)
    queries = order[["question_id"]].assign(
        prompt=[prompts.render(q.question, list(q.options), s.prompt, tokenizer) for q in order.itertuples()]
    )
    settings = {"max_new_tokens": 256, "end_tokens": prompts.end_tokens(s.prompt, tokenizer), "batch_size": 128, "engine": engine}
    weights = engines.Weights(s.model.id, s.model.dtype)
    loaded, load_seconds = timed(lambda: engines.load(weights, engine))
    longest = queries.loc[queries["prompt"].str.len().nlargest(128).index]
    _, first = timed(lambda: generate.complete(longest, weights, tokenizer, **settings))
    ways = [(f"{loaded.name}, 128 at once" if loaded.name == "transformers" else loaded.name, queries, 128)]
    rows = []
    if loaded.name == "transformers" and NAIVE:
        ways += [("naive: one question at a time", queries.head(NAIVE), 1)]
    for way, some, batch in ways:
        made, seconds = timed(
            lambda some=some, batch=batch: generate.complete(some, weights, tokenizer, **settings | {"batch_size": batch})
        )
        tokens = int(made["n_tokens"].sum())
        rows.append(row("filter", way, "questions", len(some), seconds, tokens=tokens, tokens_per_second=round(tokens / seconds),
                        loading=round(load_seconds, 1), first_batch=round(first, 1)))  # fmt: skip
    return rows


def score_rates(s, folder: Path, engine: str) -> list[dict[str, object]]:
    """Items a second of the evaluation, by likelihood and in reasoning mode: in batches, and one item at a time."""
    tokenizer = loading.load_tokenizer(s.model.id)
    loaded = engines.load(engines.Weights(s.model.id, s.model.dtype, read=True), engine)
    rows = []
    ways = [("warm-up", BATCH, (64, 64)), (f"as the study does, {BATCH} at once", BATCH, (None, 256))]
    for way, batch, limits in ways + ([("naive: one item at a time", 1, (64, NAIVE))] if NAIVE else []):
        for task, limit in zip(s.eval.tasks, limits, strict=True):
            cut = s.model_copy(update={"eval": s.eval.model_copy(update={
                "batch_size": batch, "generation_batch_size": None, "tasks": [task.model_copy(update={"limit": limit})]})})  # fmt: skip
            cut._file = s.file
            place = folder / f"tasks-{engine}-{batch}-{limit}"
            made, seconds = timed(lambda cut=cut, way=way, place=place: scoring.score(loaded, tokenizer, cut, way, place))
            rows.append(
                row(
                    f"score {task.name}",
                    f"{loaded.name if limit == limits[1] else loaded.reads}, {way}",
                    "items",
                    len(made),
                    seconds,
                    right=float(made["correct"].mean()),
                )
            )
    return rows


def beside(part: str, folder: Path, engine: str) -> list[dict[str, object]]:
    """What `part` measures of the study's own way, in SIDE processes that begin at once: all items over the slowest one's seconds."""
    places = [folder / f"side{number}" for number in range(SIDE)]
    running = [
        subprocess.Popen([sys.executable, __file__, part, str(place)], env=os.environ | {"SIDE": "1", "NAIVE": "0",
                         "STUDY_RUNS": str(place / "runs")}, stdout=subprocess.DEVNULL) for place in places]  # fmt: skip
    if any([process.wait() for process in running]):
        raise SystemExit(f"one of {SIDE} processes failed")
    facts = pd.concat([pd.read_csv(place / f"{part}-{engine}.csv") for place in places])
    return [
        row(what, f"{way}, {SIDE} side by side", some["unit"].iloc[0], int(some["count"].sum()), float(some["seconds"].max()))
        for (what, way), some in facts.groupby(["what", "way"], sort=False)
    ]


def train_rates(s, folder: Path, arms: list[str]) -> list[dict[str, object]]:
    """Seconds a step of runs side by side on the GPU that is visible."""
    for arm in arms:
        prepare(s, arm)
    command = [sys.executable, __file__, "one", str(folder)]
    begun = time.perf_counter()
    running = [
        subprocess.Popen([*command, arm], stdout=(folder / f"{arm}.log").open("w"), stderr=subprocess.STDOUT) for arm in arms
    ]
    failed = [arm for arm, process in zip(arms, running, strict=True) if process.wait()]
    wall = time.perf_counter() - begun
    rows = []
    for arm in arms:
        if arm in failed:
            print(arm, "failed:", (folder / f"{arm}.log").read_text()[-1500:])
            continue
        facts = json.loads((folder / f"{arm}.json").read_text())
        rows.append(
            row(
                "train",
                f"{arm}, one of {len(arms)} side by side",
                "steps",
                facts.pop("steps"),
                facts.pop("training"),
                wall=round(wall, 1),
                **facts,
            )
        )
    return rows


def prepare(s, arm: str) -> None:
    """An arm's training questions, as 02_split leaves them."""
    chosen, _ = draws.choose(pools.load_pool(s.pool, s.file), s.arms[arm], arm, None, 0, "stop")
    inputs = s.inputs("split", arm=arm)
    write_result(chosen, s.path("split", arm, "train.parquet"), "measured", inputs)


def one(s, folder: Path, arm: str) -> None:
    """One run; its figures go to FOLDER/<arm>.json, its log to FOLDER/<arm>.csv."""
    (log, rollouts), seconds = timed(lambda: launch.train(s, arm, 0, "measured"))
    late = log.iloc[len(log) // 3 :]  # after CUDA graphs have been recorded
    tokenizer = loading.load_tokenizer(s.model.id)
    written = sum(
        len(ids) for ids in tokenizer(rollouts.loc[rollouts["step"].isin(late["step"]), "completion"].tolist())["input_ids"]
    )
    table = log.assign(arm=arm)
    write_table(table, folder / f"{arm}.csv")
    facts = {"steps": len(log), "training": seconds, "step": late["seconds"].median(), "generation": late["seconds_generation"].median(),
             "update": (late["seconds"] - late["seconds_generation"]).median(), "first_step": log["seconds"].iloc[0],
             "rollout_tokens_per_second": written / late["seconds_generation"].sum(),
             "memory_gb": torch.cuda.max_memory_reserved() / 1e9 if torch.cuda.is_available() else None,
             "loss": [round(value, 5) for value in log["loss"].tolist()[:5]]}  # fmt: skip
    (folder / f"{arm}.json").write_text(json.dumps({key: round(v, 3) if isinstance(v, float) else v for key, v in facts.items()}))


def main() -> None:
    part, folder, *rest = sys.argv[1:]
    folder = Path(folder).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("STUDY_RUNS", str(folder / "runs"))
    s = study(folder)
    if part == "one":
        return one(s, folder, rest[0])
    engine = os.environ.get("ENGINE", "transformers")
    rows = beside(part, folder, engine) if SIDE > 1 else {"filter": lambda: filter_rates(s, folder, engine), "score": lambda: score_rates(s, folder, engine),
            "train": lambda: train_rates(s, folder, rest)}[part]()  # fmt: skip
    name = f"{part}-{engine}" + (f"-{SIDE}" if SIDE > 1 else "") if part != "train" else f"train-{len(rest)}-{rest[0]}"
    pd.DataFrame(rows).to_csv(folder / f"{name}.csv", index=False)
    return None


if __name__ == "__main__":
    main()
