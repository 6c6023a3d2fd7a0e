"""Measure the peak memory of a GRPO run and write the row beside the formula's: `python figures/plan/measure.py MODEL DTYPE PROMPT NEW [METHOD] [checkpointing]`.

What is measured is the process's resident memory, sampled every 2 ms, at its highest during two optimiser steps, less what
the process held before the model was loaded. Freed memory has to go back to the system at once for that to mean anything,
so glibc maps every larger block on its own (MALLOC_MMAP_THRESHOLD_). On a GPU it is what PyTorch's allocator gave out at
once, at its highest during twenty steps; what it keeps in reserve is printed beside it. MEASURED names another table than the published one.
A model of which all parameters are trained is loaded in float32, as in 03_grpo_train: give float32 as DTYPE.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
from pathlib import Path

if os.environ.get("MALLOC_MMAP_THRESHOLD_") != "65536":
    os.environ |= {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536", "OMP_NUM_THREADS": "1"}
    os.execv(sys.executable, [sys.executable, *sys.argv])

import pandas as pd
import psutil
import torch

from helpers.models import loading, shape
from helpers.plan import memory
from helpers.study.schema import Prompt, Train
from helpers.training import grpo

TABLE = Path(os.environ.get("MEASURED") or Path(__file__).parent / "measured_memory.csv")
ON_GPU = torch.cuda.is_available()


class Peak(threading.Thread):
    """The highest resident memory since the start, in bytes."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.process, self.highest, self.going = psutil.Process(), 0, True

    def run(self) -> None:
        while self.going:
            self.highest = max(self.highest, self.process.memory_info().rss)
            time.sleep(0.002)


def main() -> None:
    model_id, dtype, prompt_tokens, new = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    tokenizer = loading.load_tokenizer(model_id)
    word = " vitamin"
    words = prompt_tokens - len(tokenizer("")["input_ids"])
    shown = len(tokenizer(word * words)["input_ids"])
    # Prompts of unequal length, as questions are: with padding, attention takes a mask.
    rows = [{"prompt": word * (words - 8 * (k % 4)), "question_id": str(k), "answer": "A", "options": ["x", "y"], "prefill": ""}
            for k in range(8)]  # fmt: skip
    method, checkpointing = sys.argv[5] if len(sys.argv) > 5 else "lora", "checkpointing" in sys.argv
    if method == "full" and dtype != "float32":
        sys.exit("error: all parameters train in float32 (helpers/training/launch.py); give float32 as DTYPE")
    steps = 20 if ON_GPU else 2
    train = Train(
        method=method, gradient_checkpointing=checkpointing, max_steps=steps, max_completion_tokens=new, save_steps=1000
    )
    before = psutil.Process().memory_info().rss
    peak = Peak()
    with tempfile.TemporaryDirectory() as folder:
        trainer = grpo.make_trainer(loading.load_model(model_id, dtype, method=method), tokenizer, grpo.Dataset.from_list(rows), train,
                                    Prompt(style="plain"), 0, Path(folder))  # fmt: skip
        trainer.generation_config.min_new_tokens = new  # so that the length is known
        loaded = psutil.Process().memory_info().rss - before
        peak.start()
        trainer.train()
        peak.going = False
        peak.join()
    width = {"float32": 4, "bfloat16": 2}[dtype]
    model = shape.shape(shape.known_models()[model_id])
    parts = memory.training_bytes(model, train, memory.precision(train.method, width, gpu=ON_GPU), shown, new)
    measured, estimated = torch.cuda.max_memory_allocated() if ON_GPU else peak.highest - before, memory.training_peak(parts)
    machine = torch.cuda.get_device_name() if ON_GPU else "two-core CPU with bfloat16 instructions, one thread"
    row = {"model": model_id, "dtype": dtype, "method": method, "gradient_checkpointing": checkpointing, "batch": train.batch_size, "prompt_tokens": shown,
           "completion_tokens": new, "measured_gb": round(measured / 1e9, 3), "estimated_gb": round(estimated / 1e9, 3),
           "ratio": round(estimated / measured, 3), "machine": machine}  # fmt: skip
    print(
        {key: round(value / 1e9, 3) for key, value in parts.items()}, f"loaded {loaded / 1e9:.3f}", trainer.state.log_history[0]
    )
    if ON_GPU:
        seconds = [entry["step_time"] for entry in trainer.state.log_history if "step_time" in entry]
        print(f"{trainer.state.global_step} steps, median {sorted(seconds)[len(seconds) // 2]:.2f} s; "
              f"reserved {torch.cuda.max_memory_reserved() / 1e9:.3f} GB")  # fmt: skip
    table = pd.concat([pd.read_csv(TABLE), pd.DataFrame([row])]) if TABLE.exists() else pd.DataFrame([row])
    keys = ["model", "dtype", "method", "gradient_checkpointing", "batch", "prompt_tokens", "completion_tokens"]
    table.drop_duplicates(keys, keep="last").sort_values(keys).to_csv(TABLE, index=False)
    print(row)


main()
