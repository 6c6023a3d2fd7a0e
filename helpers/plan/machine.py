"""The machine a study runs on, or is meant to: its memory, and how long work takes on it.

Time is a roofline (Williams et al. 2009, doi 10.1145/1498765.1498785): the longer of moving weights and KV cache and of the
arithmetic; a token also waits for the start of each layer's kernels. The rates are assumptions, which the plan states.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import psutil

from helpers.models.shape import GIB, Shape, cache_bytes
from helpers.study.files import StudyError
from helpers.study.schema import Train

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
# Seconds a layer takes to start its kernels: one token of generation (0.5B model on an H100: 256 tokens in 2.9 s on 24
# layers), and forward and backward of a batch (the same model on another H100, whose processor is slower: 0.99 s for four,
# figures/speed/training.csv). There a recorded token takes as long; one that is not recorded (all parameters, 4 bits) five times as long.
START_STEP, START_UPDATE = 0.5e-3, 10e-3
# With vLLM: a layer's part of a token, an item's work outside the GPU when its likelihoods are read, and what a job takes
# before it works (on an H100 with a slow processor: 12 rollouts of the 0.5B took 0.73 s, 24 layers, some 256 tokens; 40 to 100 s).
# An item: 51,700 in 117 s with a model that answers at once, on two cores of another processor.
START_VLLM, START_ITEM, START_JOB = 0.1e-3, 2.3e-3, 70.0
VLLM_BATCH = 256  # answers that vLLM writes at once, if its cache holds them
# Jobs that share a GPU wait beside each other, so many as their number to this power: four did the work of 2.4 small trainings, and of
# 1.7 to 2.6 evaluations. What the GPU computes is taken not to be shared: three trainings with 48 completions a step took 7.4 to 8.0 s a
# step each, 5.3 to 5.9 s of it in the update, which is three times what the arithmetic of one takes here.
SHARED = 0.63
# Cards that are known by name: memory in GiB, bytes/s (nine tenths of what their makers state for the largest of the name), and
# operations/s without a gradient, in large batches. The last is an A100's 40 % of its peak; of the others it is from a measurement: three
# or four evaluations of the 1.5B with adapters read some 100,000 tokens/s together on an H200 (MMLU, CMMLU, MMLU-Pro by likelihood).
NAMED = {"A100": (80, 1.8e12, 120e12), "H100": (80, 3.0e12, 310e12), "H200": (140, 4.3e12, 310e12)}
CONTEXT = 1.0 * GIB  # of CUDA, for each process on a GPU


@dataclass(frozen=True)
class Machine:
    """What a study is to run on: memory in bytes, its bandwidth in bytes/s, sustained arithmetic in operations/s.

    arithmetic: of training; forward: without a gradient, where prompts are read and answers written.
    """

    name: str
    memory: float
    gpu: bool
    bandwidth: float
    arithmetic: float
    forward: float

    @property
    def reserve(self) -> float:
        """Bytes that no tensor gets: the CUDA context (or Python and the system), and a share for fragmentation."""
        return (CONTEXT if self.gpu else 2.5 * GIB) + 0.08 * self.memory

    @property
    def room(self) -> float:
        """Bytes for tensors."""
        return self.memory - self.reserve


def machine(named: str | None) -> Machine:
    """The GPU named (`24GB`, `H100`), else the smallest that is here, else this computer's processor. Raises StudyError."""
    if named and named.upper() in NAMED:
        return gpu(f"one {named.upper()}", NAMED[named.upper()][0] * GIB)
    if named:
        found = re.fullmatch(r"(\d+(?:\.\d+)?) ?(?:GB|GiB|G)?", named, re.IGNORECASE)
        if not found or not 1 <= float(found[1]) <= 1000:
            raise StudyError(
                f"GPU={named}: should be the memory of a GPU, such as GPU=24GB or GPU=80GB, or one of {', '.join(NAMED)}"
            )
        return gpu(f"a GPU of {float(found[1]):g} GB", float(found[1]) * GIB)
    if shutil.which("nvidia-smi"):
        asked = ["nvidia-smi", "--query-gpu=memory.total,name", "--format=csv,noheader,nounits"]
        done = subprocess.run(asked, capture_output=True, text=True, check=False)
        cards = [line.split(", ", 1) for line in done.stdout.splitlines() if re.match(r"\d+, ", line)]
        if done.returncode == 0 and cards:
            mebibytes, name = min(cards, key=lambda card: int(card[0]))
            return gpu(name, int(mebibytes) * 2**20)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Machine(f"this computer, no GPU, {cores} cores", psutil.virtual_memory().total, False, 20e9, *(cores * 50e9,) * 2)


def gpu(name: str, size: float) -> Machine:
    """A card of `NAMED`, or one of 40 GB and more, which is taken for an A100, or a smaller one, for an RTX 4090.

    Training computes at 40 % of an A100's or RTX 4090's peak in bfloat16. So it did on an H100 (12 % of its own peak).
    """
    known = next((card for card in NAMED if re.search(rf"\b{card}\b", name)), "A100" if size >= 40 * GIB else None)
    if known is None:
        return Machine(name, size, True, 0.9e12, 60e12, 60e12)
    return Machine(name, size, True, NAMED[known][1], 120e12, NAMED[known][2])


def width(dtype: str, on: Machine) -> int:
    """Bytes of a weight: `auto` is bfloat16 where the processor has it in hardware, else float32, as in `helpers/models/loading.py`."""
    if dtype != "auto":
        return BYTES[dtype]
    flags = Path("/proc/cpuinfo").read_text() if not on.gpu and Path("/proc/cpuinfo").exists() else ""
    return 2 if on.gpu or "avx512_bf16" in flags or "amx_bf16" in flags else 4


@dataclass(frozen=True)
class Speed:
    """How fast one model is on a machine; rate: tokens per second of all generation, if a person has stated it; vllm: it writes.

    runs: jobs that share the GPU. What each method gives is one job's part of the time in which all of them are done.
    """

    model: Shape
    on: Machine
    width: int
    rate: float | None
    vllm: bool = False
    runs: int = 1

    def waiting(self, seconds: float) -> float:
        """A job's part of a wait for the processor, which jobs that share a GPU do beside each other."""
        return seconds / self.runs**SHARED if self.on.gpu else seconds

    def asking(self, sequences: int, batch: int, tokens: int) -> float:
        """Seconds to read so many sequences for their likelihoods, the processor's work on each included.

        A job does that work before it reads; while it does, the jobs that share its GPU read. So the GPU is never idle if they read for
        longer than one of them prepares, and alone a job takes the sum (an evaluation of MMLU-Pro took 53 s; by this, 53).
        """
        reads, prepares = self.reading(sequences, batch, tokens), sequences * START_ITEM
        return max(reads, (reads + prepares) / self.runs) if self.on.gpu else reads + prepares

    def forward(self, tokens: int) -> float:
        """Seconds of arithmetic for so many tokens: 2 operations a parameter and token."""
        return 2 * self.model.parameters() * tokens / self.on.forward

    def writing(self, sequences: int, batch: int, prompt: int, new: int) -> float:
        """Seconds to read `sequences` prompts and write `new` tokens after each, in batches."""
        if self.rate:
            return sequences * new / self.rate
        batch = max(batch, min(sequences, VLLM_BATCH)) if self.vllm else batch
        cached = cache_bytes(self.model, self.width, batch, prompt + new // 2)
        moved = self.width * self.model.parameters() + (1 if self.vllm else 3) * cached  # it is read, and else copied as it grows
        work = self.forward(batch)
        start = self.waiting(self.model.layers * (START_VLLM if self.vllm else START_STEP))
        step = start + max(moved / self.on.bandwidth, work)
        return ceil(sequences / batch) * new * step + self.reading(sequences, batch, prompt)

    def reading(self, sequences: int, batch: int, tokens: int) -> float:
        """Seconds to read so many sequences of `tokens` once."""
        start = self.waiting(ceil(sequences / batch) * self.model.layers * START_STEP)
        return max(start, self.forward(sequences * tokens))

    def updating(self, train: Train, tokens: int) -> float:
        """Seconds of one optimiser step, rollouts apart: 2 operations a parameter and token forward, 2 back, 2 for its gradient."""
        passes = (6 if train.method == "full" else 4) + 2 * train.gradient_checkpointing
        work = passes * self.model.parameters() * train.batch_size * tokens / self.on.arithmetic
        return train.gradient_accumulation * max(self.waiting(self.model.layers * START_UPDATE), work)
