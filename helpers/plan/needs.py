"""The memory that each step of a study needs on a machine, whether it fits, and what would help; by `memory.py`, for the worst case: the
longest question, every completion at its limit."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from helpers.models.shape import GIB, GPU_PART, READ_WORK, Shape, shape_of
from helpers.plan import memory
from helpers.plan.machine import CONTEXT, Machine, gpu, width
from helpers.plan.sizes import Workload, inserted, pool_facts, prompt_tokens, workload
from helpers.study.choices import Filter
from helpers.study.schema import Train
from helpers.study.study import Study

CARDS = (16, 24, 32, 40, 48, 80, 96, 141, 180)  # memory of the GPUs on the market, in GiB
MEMORY_KEYS = {"method", "batch_size", "gradient_accumulation", "max_completion_tokens", "lora", "gradient_checkpointing",
               "runs_per_gpu"}  # fmt: skip
Ways = Sequence[tuple[str, float]]


@dataclass(frozen=True)
class Need:
    """Peak memory of one step in bytes, what it consists of, and cheaper settings as (words, bytes), the least costly first."""

    step: str
    total: float | None
    parts: str
    ways: Ways = ()


def needs(study: Study, on: Machine) -> list[Need]:
    """One `Need` for each filter, each kind of training and each way to load a model for evaluation."""
    found, (_, _, longest) = [], pool_facts(study)
    prompt, size = prompt_tokens(study, longest), width(study.model.dtype, on)
    vllm = writes_with_vllm(study, on)
    for name, spec in study.filters.items():
        whole = prompt + inserted(study, spec)
        one = _filter_need(f"01 filter {name}", spec, whole, memory.precision("", size, on.gpu), shape_of(spec.model), vllm)
        found.append(_sharing(one, f"filters.{name}.runs_per_gpu", spec.runs_per_gpu, on))
    model = shape_of(study.model.id)
    for train, arms in _trainings(study):
        vllm_here = writes_with_vllm(study, on, train.method) and not train.vllm_server
        others = f" and {len(arms) - 1} more" if len(arms) > 1 else ""
        whole = prompt + max(inserted(study, study.arms[arm]) for arm in arms)
        one = _training_need(f"03 train {arms[0]}{others}", model, train, whole, size, on, vllm_here)
        found.append(_sharing(one, "train.runs_per_gpu", train.runs_per_gpu, on))
    room = GPU_PART * on.memory / study.eval.runs_per_gpu
    scored = [_eval_need("04 eval", study, model, memory.precision("", size, on.gpu), vllm, room)]
    if on.gpu and any(train.method == "qlora" for train, _ in _trainings(study)):
        scored.append(_eval_need("04 eval in 4 bits", study, model, memory.precision("qlora", size, on.gpu), False, 0.0))
    return found + [_sharing(one, "eval.runs_per_gpu", study.eval.runs_per_gpu, on) for one in scored]


def writes_with_vllm(study: Study, on: Machine, method: str = "lora") -> bool:
    """True if vLLM generates: on a GPU, with the packages of requirements-gpu.txt installed (`engines.choose`)."""
    return on.gpu and study.engine != "transformers" and method != "qlora"


def _sharing(need: Need, key: str, runs: int, on: Machine) -> Need:
    """The memory of all jobs that share a GPU, with a CUDA context each; running fewer is the first way to need less."""
    if runs == 1 or need.total is None or not on.gpu:
        return need
    fewer = [(f"{key}: {count}", count * need.total + (count - 1) * CONTEXT) for count in (6, 4, 3, 2, 1) if count < runs]
    alone = [(f"{key}: 1, {words}", total) for words, total in need.ways]
    together = runs * need.total + (runs - 1) * CONTEXT
    return Need(need.step, together, f"{runs} side by side, each {need.parts}", (*fewer, *alone))


def _trainings(study: Study) -> list[tuple[Train, list[str]]]:
    """Settings of training that differ in memory, each with the arms that use them."""
    kinds: dict[str, tuple[Train, list[str]]] = {}
    for arm in study.arms:
        train = study.training(arm)
        same = train.model_dump(include=MEMORY_KEYS) | {"reference": train.beta > 0}
        kinds.setdefault(json.dumps(same), (train, []))[1].append(arm)
    return list(kinds.values())


def _filter_need(step: str, spec: Filter, prompt: int, at: memory.Precision, model: Shape | None, vllm: bool) -> Need:
    if model is None:
        return Need(step, None, "size unknown")
    weights = memory.weight_bytes(model, at)

    def answers(batch: int) -> float:
        return memory.generation_bytes(model, at, batch, prompt, spec.max_new_tokens)

    rest, key = answers(spec.batch_size), f"filters.{step.split()[-1]}.batch_size"
    ways = [(f"{key}: {half}", weights + answers(half)) for half in _halves(spec.batch_size)]
    if vllm:
        least = memory.vllm_bytes(model, at, 1, prompt + spec.max_new_tokens)
        parts = f"weights {gib(weights)} + vLLM {gib(least - weights)}, which uses the rest of the memory for its cache"
        return Need(step, least, parts, _without_vllm([("", weights + rest), *ways]))
    return Need(step, weights + rest, f"weights {gib(weights)} + {spec.batch_size} answers at once {gib(rest)}", ways)


def _without_vllm(ways: Ways) -> Ways:
    """The same settings with transformers instead of vLLM, which is slower."""
    return [(f"engine: transformers, {words}".rstrip(", "), total) for words, total in ways]


def _halves(batch: int) -> list[int]:
    return [batch // 2**k for k in range(1, batch.bit_length())]


def _training_need(step: str, model: Shape | None, train: Train, prompt: int, size: int, on: Machine, vllm: bool) -> Need:
    if model is None or (train.method == "qlora" and not on.gpu):
        return Need(step, None, "qlora needs an NVIDIA GPU" if model else "size unknown")

    def parts(changed: Train, by: bool) -> dict[str, float]:
        at = memory.precision(changed.method, size, on.gpu)
        return memory.training_bytes(model, changed, at, prompt, changed.max_completion_tokens, by and changed.method != "qlora")

    now = parts(train, vllm)
    peak = max("activations and logits", "rollouts", key=now.__getitem__)
    described = " + ".join(f"{name} {gib(now[name])}" for name in ("weights", "optimiser", peak, "vLLM") if now[name])
    others = list(_changes(train, on))
    ways = [(words, memory.training_peak(parts(changed, vllm))) for words, changed in others]
    if vllm:
        without = [(words, memory.training_peak(parts(changed, False))) for words, changed in [("", train), *others]]
        ways = [*_without_vllm(without), *ways]
    return Need(step, memory.training_peak(now), described, ways)


def _changes(train: Train, on: Machine) -> Iterator[tuple[str, Train]]:
    """Changes of a training that save memory; those that leave results unchanged come first."""
    spare = {} if train.gradient_checkpointing else {"gradient_checkpointing": True}
    single = {"batch_size": 1, "gradient_accumulation": train.completions_per_step} if train.batch_size > 1 else {}
    cheap = [spare, single, spare | single]
    other = [{"method": "lora"}] if train.method == "full" else []
    other += [{"method": "qlora"}] if train.method != "qlora" and on.gpu else []
    for change in [*cheap, *(method | more for method in other for more in ({}, *cheap))]:
        if change:
            yield ", ".join(f"{key}: {str(value).lower()}" for key, value in change.items()), train.model_copy(update=change)


def _eval_need(step: str, study: Study, model: Shape | None, at: memory.Precision, vllm: bool, room: float) -> Need:
    """Memory of the largest benchmark; a fully trained model needs as much as the base. vllm: vLLM generates; where `room` (bytes) is
    enough for both, transformers scores log-likelihoods beside it."""
    if model is None:
        return Need(step, None, "size unknown")
    weights = memory.weight_bytes(model, at)
    weights += max((at.compute * memory.adapter_parameters(model, study.training(arm).lora) for arm in study.arms), default=0)

    known = {task.label: work for task in study.eval.tasks if (work := workload(study, task))}

    def most(batch: int) -> tuple[float, str]:
        sizes = [(0.0, "tasks unknown")]
        for name, work in known.items():
            items = min(batch, at_a_time(study, work), work.passes)
            if work.writes:
                sizes.append((memory.generation_bytes(model, at, items, work.longest, work.writes), name))
            else:
                sizes.append((memory.likelihood_bytes(model, at, items, work.longest), name))
        return max(sizes)

    largest = max(study.eval.batch_size, study.eval.written_at_once)
    rest, name = most(largest)
    now = {"batch_size": study.eval.batch_size, "generation_batch_size": study.eval.generation_batch_size or 0}
    ways = [
        (", ".join(f"eval.{key}: {half}" for key, value in now.items() if value > half), weights + most(half)[0])
        for half in _halves(largest)
    ]
    if vllm:
        longest = max((work.longest + work.writes for work in known.values()), default=0)
        own = memory.vllm_bytes(model, at, 1, longest)
        total, parts = own, f"weights {gib(weights)} + vLLM {gib(own - weights)}, which also scores: no room for a second copy"
        if own + weights + READ_WORK <= room:
            total = own + weights + READ_WORK
            parts = f"weights twice + vLLM {gib(own - weights)} + log-likelihoods {gib(READ_WORK)}"
        return Need(step, total, parts, _without_vllm([("", weights + rest), *ways]))
    batch = at_a_time(study, known[name]) if known else largest
    return Need(step, weights + rest, f"weights {gib(weights)} + {name} in batches of {batch} {gib(rest)}", ways)


def at_a_time(study: Study, work: Workload) -> int:
    """Items in one batch of a task."""
    return study.eval.written_at_once if work.writes else study.eval.batch_size


def fit(need: Need, on: Machine) -> tuple[bool | None, str]:
    """(fits, explanation) of one step on a machine; fits is None if its size is unknown."""
    if need.total is None:
        return None, need.parts
    if need.total <= on.room:
        return True, f"fits: {need.parts}"
    helps = next((words for words, total in need.ways if total <= on.room), None)
    card = next((size for size in CARDS if need.total <= gpu("", size * GIB).room), None)
    larger = f"a GPU of {card} GB" if card else f"more than one GPU of {CARDS[-1]} GB"
    advice = f"{helps}; or {larger}" if helps else larger
    return False, f"does not fit, because {need.parts} is more than {gib(on.room)}; would fit: {advice}"


def gib(size: float) -> str:
    """Bytes as text, in GiB or MiB."""
    return f"{size / GIB:.1f} GiB" if size >= 0.05 * GIB else f"{size / 2**20:.0f} MiB"
