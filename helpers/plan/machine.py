"""The machine of a study: its memory, and how long work takes on it.

Time follows a roofline (Williams et al. 2009, doi 10.1145/1498765.1498785): the larger of the time to move weights and KV cache
and the time of the arithmetic. Each token also waits until each layer's kernels have started. The rates are assumptions, which
the plan prints.
"""

import re
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import psutil

from helpers.models.device import cores, driver
from helpers.models.shape import GIB, Shape, cache_bytes
from helpers.study.files import StudyError
from helpers.study.schema import Train

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
# Seconds to start the kernels of one layer: in a forward pass, for one token of generation by transformers, and for forward and backward
# of one batch. 0.5B model on two H100s: with CUDA graphs 256 tokens on 24 layers took 2.9 s, without them five times as long (which is how
# transformers generates here); an update 0.99 s for four batches (figures/speed/training.csv).
START_STEP, START_TOKEN, START_UPDATE = 0.5e-3, 2.5e-3, 10e-3
# With vLLM: seconds per layer and token, seconds of the processor per item scored by likelihood, and seconds to start a job
# (on an H100 with a slow processor: 12 rollouts of the 0.5B took 0.73 s for 24 layers and about 256 tokens; a start 40 to 100 s).
# Per item: 51,700 took 117 s with a model that answers at once, on two cores of another processor.
START_VLLM, START_ITEM, START_JOB = 0.1e-3, 2.3e-3, 70.0
# Seconds of a training step's rollouts beside prompts and tokens (adapter, requests, texts): 1.27 and 0.72 s in all for 192 and 48
# completions to MedQA, alone on an H200 (figures/speed/step.csv), of which prompts and tokens explain 0.5 and 0.4.
START_ROLLOUTS = 0.35
VLLM_BATCH = 256  # answers that vLLM generates at once, if its cache has room for them
# Jobs that share a GPU wait for the processor at the same time: n jobs do the waiting of n to this power. Four small trainings did the
# work of 2.4, four evaluations that of 1.7 to 2.6. With NVIDIA's multi-process service the kernels of updates overlap, too: an update of
# `choice` and `medicine` reached 133 and 144 Tflop/s alone (figures/speed/step.csv), 260 with three per H100 and 370 to 500 with six per H200 (logs
# of `choice` and `medicine`; completions without gradient counted as a forward pass). The plan counts on the forward rate at most. Without the
# service updates take turns and gain nothing: 150 to 165 Tflop/s with four, and three times as long with three (`control`).
SHARED = 0.63
# Share of completions in groups whose rewards are all equal, which are only read: 0.43 on average in 48 trainings on GSM8K and 0.41 in 20 on
# MedQA (0.17 to 0.65), but 0.01 with a random reward (column frac_reward_zero_std of the logs of `choice` and `medicine`).
NO_GRADIENT = 0.4
# Known cards: memory in GiB, bytes/s (nine tenths of the maker's figure for the largest card of that name), and operations/s of a
# forward pass in large batches: 40 % of the peak for an A100, measured for the others (three or four evaluations of the 1.5B with adapters
# scored about 100,000 tokens/s together on an H200, by likelihood on MMLU, CMMLU and MMLU-Pro).
NAMED = {"A100": (80, 1.8e12, 120e12), "H100": (80, 3.0e12, 310e12), "H200": (140, 4.3e12, 310e12)}
CONTEXT = 1.0 * GIB  # of CUDA, for each process on a GPU


@dataclass(frozen=True)
class Machine:
    """Memory in bytes, bandwidth in bytes/s, and sustained arithmetic in operations/s: of training, and of a forward pass alone."""

    name: str
    memory: float
    gpu: bool
    bandwidth: float
    arithmetic: float
    forward: float

    @property
    def reserve(self) -> float:
        """Bytes reserved for the CUDA context (or for Python and the system) and for fragmentation."""
        return (CONTEXT if self.gpu else 2.5 * GIB) + 0.08 * self.memory

    @property
    def room(self) -> float:
        """Bytes for tensors."""
        return self.memory - self.reserve


def machine(named: str | None) -> Machine:
    """The named GPU (`24GB`, `H100`), else the smallest GPU of this computer, else its processor. Raises StudyError."""
    if named and named.upper() in NAMED:
        return gpu(f"one {named.upper()}", NAMED[named.upper()][0] * GIB)
    if named:
        found = re.fullmatch(r"(\d+(?:\.\d+)?) ?(?:GB|GiB|G)?", named, re.IGNORECASE)
        if not found or not 1 <= float(found[1]) <= 1000:
            raise StudyError(
                f"GPU={named}: should be the memory of a GPU, such as GPU=24GB or GPU=80GB, or one of {', '.join(NAMED)}"
            )
        return gpu(f"a GPU of {float(found[1]):g} GB", float(found[1]) * GIB)
    if cards := [line.split(", ", 1) for line in driver("memory.total,name") if re.match(r"\d+, ", line)]:
        mebibytes, name = min(cards, key=lambda card: int(card[0]))
        return gpu(name, int(mebibytes) * 2**20)
    count = cores()
    return Machine(f"this computer, no GPU, {count} cores", psutil.virtual_memory().total, False, 20e9, *(count * 50e9,) * 2)


def gpu(name: str, size: float) -> Machine:
    """A card of `NAMED`; any other counts as an A100 if it has 40 GB or more, else as an RTX 4090. Training is assumed to reach 40 % of an
    A100's or RTX 4090's bfloat16 peak; an H100 was measured at the same rate (12 % of its peak)."""
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


def start_of_token(vllm: bool, on: Machine) -> float:
    """Seconds per layer and token of generation: by vLLM, by transformers on a GPU, or on a processor, which starts no kernels."""
    return START_VLLM if vllm else START_TOKEN if on.gpu else START_STEP


@dataclass(frozen=True)
class Speed:
    """The speed of one model on a machine.

    rate: tokens per second of generation, where a person has measured it; vllm: vLLM generates; runs: jobs that share the GPU, by the
    multi-process service.
    Each method returns one job's part of the time in which all of them finish.
    """

    model: Shape
    on: Machine
    width: int
    rate: float | None
    vllm: bool = False
    runs: int = 1

    def waiting(self, seconds: float) -> float:
        """One job's part of a wait for the processor; jobs that share a GPU wait at the same time."""
        return seconds / self.runs**SHARED if self.on.gpu else seconds

    def asking(self, sequences: int, batch: int, tokens: int) -> float:
        """Seconds to score `sequences` by likelihood, with the processor's preparation of each item.

        A job prepares before it computes, and meanwhile the other jobs of its GPU compute. So together they keep the GPU busy, and a
        single job takes the sum (an evaluation of MMLU-Pro took 53 s; by this formula, 53).
        """
        reads, prepares = self.reading(sequences, batch, tokens), sequences * START_ITEM
        return max(reads, (reads + prepares) / self.runs) if self.on.gpu else reads + prepares

    def forward(self, tokens: int) -> float:
        """Seconds of arithmetic of a forward pass: 2 operations per parameter and token."""
        return 2 * self.model.parameters() * tokens / self.on.forward

    def writing(self, sequences: int, batch: int, prompt: int, new: int, longest: int | None = None, answers: int = 1) -> float:
        """Seconds to process `sequences` prompts and generate `new` tokens after each, in batches.

        longest: tokens of the longest completion, for which the last batch of vLLM waits; earlier ones are refilled as completions end.
        answers: completions per prompt, which vLLM reads once.
        """
        if self.rate:
            return sequences * new / self.rate
        batch = max(batch, min(sequences, VLLM_BATCH)) if self.vllm else batch
        tokens = (ceil(sequences / batch) - 1) * new + (longest or new)
        active = max(1, sequences * new // tokens) if new else batch  # completions in progress, on average
        cached = cache_bytes(self.model, self.width, active, prompt + new // 2)
        # The cache is read once per token; transformers also copies it as it grows.
        moved = self.width * self.model.parameters() + (1 if self.vllm else 3) * cached
        work = self.forward(active)
        start = self.waiting(self.model.layers * start_of_token(self.vllm, self.on))
        step = start + max(moved / self.on.bandwidth, work)
        return tokens * step + self.reading(ceil(sequences / answers) if self.vllm else sequences, batch, prompt)

    def rollouts(self, train: Train, prompt: int, new: int, longest: int) -> float:
        """Seconds to generate the rollouts of one optimiser step."""
        count = train.completions_per_step
        start = self.waiting(START_ROLLOUTS) if self.vllm and not self.rate else 0.0
        return start + self.writing(count, count, prompt, new, longest, train.rollouts)

    def reading(self, sequences: int, batch: int, tokens: int) -> float:
        """Seconds of one forward pass over `sequences` of `tokens` each."""
        start = self.waiting(ceil(sequences / batch) * self.model.layers * START_STEP)
        return max(start, self.forward(sequences * tokens))

    def updating(self, train: Train, prompt: int, completion: int, inserted: int = 0) -> float:
        """Seconds of one optimiser step without its rollouts: per parameter and token 2 operations forward, 2 backward, 2 for the gradient.

        With shared prompts the prompt of a group is computed once, micro-batches are filled by tokens (`helpers/models/packing.py`), and
        groups without a gradient are only read. inserted: tokens of passages in a rollout; each rollout of a group has its own.
        """
        prompts = train.completions_per_step // (train.rollouts if train.shared_prompts else 1)
        tokens = train.completions_per_step * (completion + inserted) + prompts * prompt
        batches = ceil(tokens / (train.batch_size * (prompt + completion + inserted)))
        passes = (6 if train.method == "full" else 4) + 2 * train.gradient_checkpointing
        if train.shared_prompts and not train.beta and train.reward != "random":
            passes = (1 - NO_GRADIENT) * passes + NO_GRADIENT * 2
        work = passes * self.model.parameters() * tokens / self.training_rate
        return max(batches * self.waiting(self.model.layers * START_UPDATE), work)

    @property
    def training_rate(self) -> float:
        """Operations/s of the updates of all jobs on the GPU together."""
        alone = self.on.arithmetic
        return min(self.on.forward, alone * self.runs**SHARED) if self.on.gpu else alone
