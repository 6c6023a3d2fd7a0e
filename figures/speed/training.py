"""What a GRPO step costs, in TRL's own way and in ours, side by side in one process: `python figures/speed/training.py --model ID --out FOLDER`.

For each pool (MedQA, GSM8K) and step size (192 and 48 completions), both ways train a fresh adapter for a few steps on the same questions
from the same seed; the first step of each is left out. vLLM is started once and shared by all, so its start is not counted. FOLDER/step.csv has one row per
combination, written as it is measured: GPU seconds per 1,000 completions and their split, peak memory, and the share of the GPU's
peak that useful work takes (model FLOPs utilisation, MFU).

Useful work is what either way has to do at least, in floating-point operations per token and parameter: 2 to read a prompt once and
2 to write a token; 4 to learn from a token (forward, and backward to the adapters; the base gets no gradients), prompts once per group.
Groups of zero variance (column zero_variance) count as work, although our way does not differentiate them.
"""

from __future__ import annotations

import argparse
import gc
import math
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

for name, value in {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_NO_USAGE_STATS": "1", "VLLM_LOGGING_LEVEL": "WARNING", "HF_HUB_OFFLINE": "1",
                    "TOKENIZERS_PARALLELISM": "false"}.items():  # fmt: skip
    os.environ.setdefault(name, value)

import pandas as pd  # noqa: E402
import torch  # noqa: E402
from transformers import TrainerCallback  # noqa: E402

from helpers.models import engines, loading  # noqa: E402
from helpers.questions import pools  # noqa: E402
from helpers.study.schema import Pool, Prompt, Train  # noqa: E402
from helpers.training import grpo  # noqa: E402

POOLS = {
    "medqa": Pool(source="GBaker/MedQA-USMLE-4-options"),
    "gsm8k": Pool(source="openai/gsm8k", config="main"),
    "starter": Pool(source="starter:medicine_pool"),
}
WAYS: dict[str, dict[str, Any]] = {
    "ours": {"shared_prompts": True, "sync": "adapter"},
    "trl": {"shared_prompts": False, "sync": "merge"},
    "ours, without checkpointing": {"shared_prompts": True, "sync": "adapter", "gradient_checkpointing": False, "batch_size": 6},
}
PEAK = {"H100": 989e12, "H200": 989e12, "A100": 312e12}  # dense bfloat16 operations per second
SPLIT = ("sampling", "sync", "log_probabilities", "update")


class Wall(TrainerCallback):
    """Seconds of each optimiser step, from its beginning to its end, with the GPU's work done."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self.begun = _now()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.seconds.append(_now() - self.begun)


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def one_engine(longest: int, kv_bytes: float) -> None:
    """Have every trainer of this process use the vLLM engine that the first one starts."""
    from trl.generation import vllm_generation

    held: list[Any] = []
    usual = vllm_generation.LLM

    def llm(**options: Any) -> Any:
        if not held:
            held.append(usual(**options | {"max_model_len": longest, "kv_cache_memory_bytes": int(kv_bytes)}))
        return held[0]

    vllm_generation.LLM = llm


def measure(model_id: str, pool: str, completions: int, way: str, steps: int, tokens: int, folder: Path) -> dict[str, Any]:
    """One row: `steps` measured steps of one way, after one that is not."""
    options = {"batch_size": 24, "gradient_checkpointing": True} | WAYS[way]
    options["batch_size"] = math.gcd(options["batch_size"], completions)
    train = Train(rollouts=8, gradient_accumulation=completions // options["batch_size"], max_completion_tokens=tokens, max_steps=steps + 1,
                  learning_rate=1e-6, save_steps=10_000, **{key: value for key, value in options.items()})  # fmt: skip
    prompt = Prompt(style="chat", worked_examples=1, prefill="<think>")
    tokenizer = loading.load_tokenizer(model_id)
    questions = pools.load_pool(POOLS[pool]).sample(frac=1, random_state=0).head(completions // 8 * (steps + 1))
    data = grpo.to_dataset(questions, prompt, tokenizer)
    model = loading.load_model(model_id, "auto")
    parameters = sum(parameter.numel() for parameter in model.parameters())
    trainer = grpo.make_trainer(
        model, tokenizer, data, train, prompt, 0, folder / f"{pool}-{completions}-{way}", engines.choose("auto")
    )
    wall = Wall()
    trainer.add_callback(wall)
    before = {name: value.clone() for name, value in trainer.model.named_parameters() if "base_layer" in name and ".1." in name}
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    log, rollouts = grpo.run(trainer, "benchmark")
    changed = [
        float((value != before[name]).float().mean()) for name, value in trainer.model.named_parameters() if name in before
    ]
    row = row_of(log.iloc[1:], wall.seconds[1:], completions)
    lengths = [len(ids) for ids in tokenizer(rollouts["completion"].tolist())["input_ids"]]
    prompts = [len(ids) for ids in tokenizer(list(data["prompt"]))["input_ids"]]
    facts = {"pool": pool, "completions": completions, "way": way, "steps": steps, "batch_size": train.batch_size} | row
    return facts | work(facts, parameters, sum(prompts) / len(prompts), sum(lengths) / len(lengths)) | {
        "sampling_distance": log["sampling_distance"].mean() if "sampling_distance" in log else None, "base_changed": max(changed),
        "zero_variance": log["frac_reward_zero_std"].iloc[1:].mean(),
        "peak_gb": torch.cuda.max_memory_allocated() / 1e9 if torch.cuda.is_available() else None,
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU", "engine": engines.choose("auto"),
        "shared_prompts": trainer.notes["shared_prompts"], "torch": torch.__version__}  # fmt: skip


def row_of(log: pd.DataFrame, wall: list[float], completions: int) -> dict[str, float]:
    """Seconds per 1,000 completions: all, and the SPLIT. What a step takes beside sampling and log-probabilities is its update."""
    sync = log["seconds_sync"].mean() if "seconds_sync" in log else 0.0
    parts = {
        "sampling": log["seconds_generation"].mean() - sync,
        "sync": sync,
        "log_probabilities": log["seconds_log_probabilities"].mean(),
    }
    whole = sum(wall) / len(wall)
    parts["update"] = whole - sum(parts.values())
    return {name: 1000 / completions * value for name, value in {"seconds": whole, **parts}.items()}


def work(row: dict[str, Any], parameters: int, prompt: float, completion: float) -> dict[str, float]:
    """Mean tokens of a prompt and a completion, and model FLOPs utilisation of the whole step and of its update alone."""
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    peak = next((value for key, value in PEAK.items() if key in name), float("nan"))
    read, written = 1000 / 8 * prompt, 1000 * completion  # tokens per 1,000 completions, eight per prompt
    learning, sampling = 4 * parameters * (read + written), 2 * parameters * (read + written)
    spent = row["log_probabilities"] + row["update"]
    return {"prompt_tokens": prompt, "completion_tokens": completion, "mfu": (learning + sampling) / row["seconds"] / peak,
            "update_mfu": learning / spent / peak}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="hub id, or a folder of weights")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--mirror", help="OFFLINE_MIRROR: a folder of data sets and models")
    parser.add_argument("--pools", nargs="+", default=["medqa", "gsm8k"], choices=POOLS)
    parser.add_argument("--completions", nargs="+", type=int, default=[192, 48])
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=256, help="longest completion")
    parser.add_argument("--longest", type=int, default=1280, help="longest prompt and completion together, for vLLM")
    parser.add_argument("--seconds", type=float, default=1e9, help="nothing is begun after this time")
    given = parser.parse_args()
    if given.mirror:
        os.environ["OFFLINE_MIRROR"] = given.mirror
    given.out.mkdir(parents=True, exist_ok=True)
    if engines.choose("auto") == "vllm":
        one_engine(given.longest, 6e9)
    begun, rows = time.time(), []
    # What the comparison needs comes first: two ways, large steps. Further ways are measured with large steps only.
    order = [(p, c, w) for c in given.completions for p in given.pools for w in given.ways[:2]]
    order += [(p, given.completions[0], w) for w in given.ways[2:] for p in given.pools]
    for pool, completions, way in order:
        if time.time() - begun > given.seconds:
            print(f"no time left for {pool}, {completions}, {way}", flush=True)
            continue
        with tempfile.TemporaryDirectory() as folder:
            try:
                rows.append(measure(given.model, pool, completions, way, given.steps, given.tokens, Path(folder)))
            except Exception as error:  # the others are still worth measuring
                print(f"{pool} {completions} {way}: {type(error).__name__}: {error}"[:2000], file=sys.stderr, flush=True)
                continue
            finally:
                gc.collect()
                torch.cuda.empty_cache() if torch.cuda.is_available() else None
        print({key: round(value, 4) if isinstance(value, float) else value for key, value in rows[-1].items()}, flush=True)
        print(f"{time.time() - begun:.0f} s", flush=True)
        pd.DataFrame(rows).to_csv(given.out / "step.csv", index=False)


if __name__ == "__main__":
    main()
