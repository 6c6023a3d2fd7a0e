"""What each step of a study needs on a machine: memory and whether it fits, hours, disk.

Memory by the formulas of `helpers/plan/memory.py`, for the longest that is allowed: every completion is taken to end at its limit. Time by
`helpers/plan/machine.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from math import ceil

from helpers.models.shape import GIB, GPU_PART, READ_WORK, Shape, shape_of
from helpers.plan import memory
from helpers.plan.machine import CONTEXT, START_JOB, Machine, Speed, gpu, width
from helpers.plan.sizes import Asked, asked, data_rows, model_rows, pool_facts, prompt_tokens
from helpers.study.schema import HELD_OUT, Filter, Train
from helpers.study.study import Study

CARDS = (16, 24, 32, 40, 48, 80, 96, 141, 180)  # GiB of GPUs to be had
# Of the tokens that a completion may have, those that vLLM is taken to write, on average. Measured with the 1.5B: 0.47 in training on
# GSM8K, 0.09 to 0.23 on MedQA (which learns to be brief), a third of those of GSM8K with five shots and about half of MMLU-Pro's.
WRITTEN = 0.5
DECIDES = {
    "method",
    "batch_size",
    "gradient_accumulation",
    "max_completion_tokens",
    "lora",
    "gradient_checkpointing",
    "runs_per_gpu",
}
PARTS = {
    "weights": "weights",
    "optimiser": "optimiser",
    "update": "activations and logits",
    "rollouts": "rollouts",
    "vllm": "vLLM",
}


@dataclass(frozen=True)
class Need:
    """What one step needs at its highest moment, in bytes, and how it could need less: (words, bytes) in order of cost."""

    step: str
    total: float | None
    parts: str
    ways: tuple[tuple[str, float], ...] = ()


def needs(study: Study, on: Machine) -> list[Need]:
    """What each step needs: every filter, every way of training, every way of loading a model that is scored."""
    found, (_, _, longest) = [], pool_facts(study)
    prompt, size = prompt_tokens(study, longest), width(study.model.dtype, on)
    vllm = by_vllm(study, on)
    for name, spec in study.filters.items():
        one = _filter_need(f"01 filter {name}", spec, prompt, memory.precision("", size, on.gpu), shape_of(spec.model), vllm)
        found.append(_sharing(one, f"filters.{name}.runs_per_gpu", spec.runs_per_gpu, on))
    model = shape_of(study.model.id)
    for train, arms in _trainings(study):
        writes = by_vllm(study, on, train.method) and not train.vllm_server
        one = _training_need(f"03 train {_some(arms)}", model, train, prompt, size, on, writes)
        found.append(_sharing(one, "train.runs_per_gpu", train.runs_per_gpu, on))
    scored = [
        _eval_need(
            "04 eval", study, model, memory.precision("", size, on.gpu), vllm, GPU_PART * on.memory / study.eval.runs_per_gpu
        )
    ]
    if on.gpu and any(train.method == "qlora" for train, _ in _trainings(study)):
        scored.append(_eval_need("04 eval in 4 bits", study, model, memory.precision("qlora", size, on.gpu), False, 0.0))
    return found + [_sharing(one, "eval.runs_per_gpu", study.eval.runs_per_gpu, on) for one in scored]


def by_vllm(study: Study, on: Machine, method: str = "lora") -> bool:
    """Whether vLLM writes there: it does where a GPU is, with all that the study's requirements install (`engines.choose`)."""
    return on.gpu and study.engine != "transformers" and method != "qlora"


def _sharing(need: Need, key: str, runs: int, on: Machine) -> Need:
    """What jobs that share a GPU need together, a CUDA context each; fewer of them is the first way to need less."""
    if runs == 1 or need.total is None or not on.gpu:
        return need
    fewer = [(f"{key}: {some}", some * need.total + (some - 1) * CONTEXT) for some in (6, 4, 3, 2, 1) if some < runs]
    alone = [(f"{key}: 1, {words}", total) for words, total in need.ways]
    told = f"{runs} side by side, each {need.parts}"
    return Need(need.step, runs * need.total + (runs - 1) * CONTEXT, told, (*fewer, *alone))


def _trainings(study: Study) -> list[tuple[Train, list[str]]]:
    """The ways of training that need different memory, each with its arms."""
    ways: dict[str, tuple[Train, list[str]]] = {}
    for arm in study.arms:
        train = study.training(arm)
        same = train.model_dump(include=DECIDES) | {"reference": train.beta > 0}
        ways.setdefault(json.dumps(same), (train, []))[1].append(arm)
    return list(ways.values())


def _some(names: list[str]) -> str:
    """One name, or the first and how many more."""
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def _filter_need(step: str, spec: Filter, prompt: int, at: memory.Precision, model: Shape | None, vllm: bool) -> Need:
    if model is None:
        return Need(step, None, "size unknown")
    weights = memory.weight_bytes(model, at)

    def with_batch(batch: int) -> float:
        return weights + memory.generation_bytes(model, at, batch, prompt, spec.max_new_tokens)

    rest = with_batch(spec.batch_size) - weights
    ways = _smaller(f"filters.{step.split()[-1]}.batch_size", spec.batch_size, with_batch)
    if vllm:
        least = memory.vllm_bytes(model, at, 1, prompt + spec.max_new_tokens)
        told = f"weights {gib(weights)} + vLLM {gib(least - weights)}, which takes what is left for its cache"
        return Need(step, least, told, _without_vllm([("", weights + rest), *ways]))
    return Need(step, weights + rest, f"weights {gib(weights)} + {spec.batch_size} answers at once {gib(rest)}", ways)


def _without_vllm(ways: Iterable[tuple[str, float]]) -> tuple[tuple[str, float], ...]:
    """The same ways to need less, with transformers in place of vLLM: slower, and else the same."""
    return tuple((f"engine: transformers, {words}".rstrip(", "), total) for words, total in ways)


def _smaller(key: str, batch: int, total: Callable[[int], float]) -> tuple[tuple[str, float], ...]:
    """Smaller batches, halved again and again, and what they need."""
    halves = [batch // 2**k for k in range(1, batch.bit_length())]
    return tuple((f"{key}: {half}", total(half)) for half in halves)


def _training_need(step: str, model: Shape | None, train: Train, prompt: int, size: int, on: Machine, vllm: bool) -> Need:
    if model is None or (train.method == "qlora" and not on.gpu):
        return Need(step, None, "qlora needs an NVIDIA GPU" if model else "size unknown")

    def parts(changed: Train, by: bool) -> dict[str, float]:
        at = memory.precision(changed.method, size, on.gpu)
        return memory.training_bytes(model, changed, at, prompt, changed.max_completion_tokens, by and changed.method != "qlora")

    now = parts(train, vllm)
    peak = ("update", "rollouts")[now["rollouts"] > now["update"]]
    told = " + ".join(f"{PARTS[name]} {gib(now[name])}" for name in ("weights", "optimiser", peak, "vllm") if now[name])
    ways = [(words, memory.training_peak(parts(changed, vllm))) for words, changed in _changes(train, on)]
    if vllm:
        others = [("", train), *_changes(train, on)]
        ways = [*_without_vllm((words, memory.training_peak(parts(changed, False))) for words, changed in others), *ways]
    return Need(step, memory.training_peak(now), told, tuple(ways))


def _changes(train: Train, on: Machine) -> Iterator[tuple[str, Train]]:
    """Changes of a training that save memory, the ones that change no result first."""
    spare = {} if train.gradient_checkpointing else {"gradient_checkpointing": True}
    single = {"batch_size": 1, "gradient_accumulation": train.completions_per_step} if train.batch_size > 1 else {}
    cheap = [spare, single, spare | single]
    other = [{"method": "lora"}] if train.method == "full" else []
    other += [{"method": "qlora"}] if train.method != "qlora" and on.gpu else []
    for change in [*cheap, *(method | more for method in other for more in ({}, *cheap))]:
        if change:
            yield ", ".join(f"{key}: {str(value).lower()}" for key, value in change.items()), train.model_copy(update=change)


def _eval_need(step: str, study: Study, model: Shape | None, at: memory.Precision, vllm: bool, room: float) -> Need:
    """The benchmark that needs most, since all are scored by one process; a fully trained model is loaded as the base is.

    vllm: it writes, and where `room` is enough for both (`engines._division`), transformers reads beside it.
    """
    if model is None:
        return Need(step, None, "size unknown")
    weights = memory.weight_bytes(model, at)
    weights += max((at.compute * memory.adapter_parameters(model, study.training(arm).lora) for arm in study.arms), default=0)

    def most(batch: int) -> tuple[float, str]:
        known = [(task.name, asked(study, task)) for task in study.eval.tasks]
        sizes = [(_scoring_bytes(model, at, how, min(batch, _at_a_time(study, how))), name) for name, how in known if how]
        return max(sizes, default=(0.0, "tasks unknown"))

    largest = max(study.eval.batch_size, study.eval.written_at_once)
    rest, name = most(largest)
    halves = [largest // 2**k for k in range(1, largest.bit_length())]
    ways = tuple((_fewer_at_once(study, half), weights + most(half)[0]) for half in halves)
    if vllm:
        longest = max((how.longest + how.writes for task in study.eval.tasks if (how := asked(study, task))), default=0)
        own = memory.vllm_bytes(model, at, 1, longest)
        both = own + weights + READ_WORK
        total, told = (both, f"weights twice + vLLM {gib(own - weights)} + reading {gib(READ_WORK)}") if both <= room else (
            own, f"weights {gib(weights)} + vLLM {gib(own - weights)}, which reads as well for want of room")  # fmt: skip
        return Need(step, total, told, _without_vllm([("", weights + rest), *ways]))
    batch = next((_at_a_time(study, asked(study, task)) for task in study.eval.tasks if task.name == name), largest)
    return Need(step, weights + rest, f"weights {gib(weights)} + {name} in batches of {batch} {gib(rest)}", ways)


def _fewer_at_once(study: Study, most: int) -> str:
    """The keys that are to be lowered so that no batch of an evaluation holds more than `most` items."""
    now = {"batch_size": study.eval.batch_size, "generation_batch_size": study.eval.generation_batch_size}
    return ", ".join(f"eval.{key}: {most}" for key, value in now.items() if value and value > most)


def _at_a_time(study: Study, how: Asked) -> int:
    """Items of a task that one batch holds."""
    return study.eval.written_at_once if how.writes else study.eval.batch_size


def _scoring_bytes(model: Shape, at: memory.Precision, how: Asked, batch: int) -> float:
    batch = min(batch, how.passes)
    if how.writes:
        return memory.generation_bytes(model, at, batch, how.longest, how.writes)
    return memory.likelihood_bytes(model, at, batch, how.longest)


def verdict(need: Need, on: Machine) -> tuple[bool | None, str]:
    """(fits, why and what would help) of one step on a machine; None if its size is not known."""
    if need.total is None:
        return None, need.parts
    if need.total <= on.room:
        return True, f"fits: {need.parts}"
    helps = next((words for words, total in need.ways if total <= on.room), None)
    card = next((size for size in CARDS if need.total <= gpu("", size * GIB).room), None)
    larger = f"a GPU of {card} GB" if card else f"more than one GPU of {CARDS[-1]} GB"
    told = f"{helps}; or {larger}" if helps else larger
    return False, f"does not fit, because {need.parts} is more than {gib(on.room)}; would fit: {told}"


def hours(study: Study, on: Machine, rate: float | None) -> list[tuple[str, int, int, float | None]]:
    """(step, jobs, tokens written, hours) of all jobs of a kind together; None hours where something is not known."""
    count, mean, _ = pool_facts(study)
    prompt, size = prompt_tokens(study, mean), width(study.model.dtype, on)
    rows: list[tuple[str, int, int, float | None]] = []
    for name, spec in study.filters.items():
        model, answers = shape_of(spec.model), (count or 0) * spec.samples
        length, told = _length(spec.max_new_tokens, by_vllm(study, on)), model is not None and count is not None
        speed = Speed(model, on, size, rate, by_vllm(study, on), spec.runs_per_gpu) if told else None
        seconds = (_starting(spec.runs_per_gpu, on) + speed.writing(answers, spec.batch_size, prompt, length)) if speed else None
        rows.append((f"01 filter {name}", 1, answers * length, seconds and seconds / 3600))
    model = shape_of(study.model.id)
    written, seconds = 0, 0.0
    for arm, spec in study.arms.items():
        train = study.training(arm)
        steps = train.steps(spec.wanted) * len(study.seeds)
        length = _length(train.max_completion_tokens, by_vllm(study, on, train.method))
        written += steps * train.completions_per_step * length
        if model:
            speed = Speed(model, on, size, rate, by_vllm(study, on, train.method), train.runs_per_gpu)
            once = speed.writing(train.completions_per_step, train.completions_per_step, prompt, length)
            once += speed.updating(train, prompt + length)
            seconds += steps * once + len(study.seeds) * _starting(train.runs_per_gpu, on)
    rows.append(("03 train", len(study.arms) * len(study.seeds), written, seconds / 3600 if model else None))
    runs = study.eval.runs_per_gpu
    step, jobs, tokens, each = _eval_hours(study, Speed(model, on, size, rate, by_vllm(study, on), runs) if model else None)
    return [*rows, (step, jobs, tokens, each and each + jobs * _starting(runs, on) / 3600)]


def _length(allowed: int, vllm: bool) -> int:
    """Tokens that a completion is planned with. What transformers writes takes as long as the longest of a batch."""
    return int(WRITTEN * allowed) if vllm else allowed


def _starting(runs: int, on: Machine) -> float:
    """Seconds of a GPU until a job that shares it with others works: loading and recording, which they do at the same time."""
    return START_JOB / runs if on.gpu else 0.0


def _eval_hours(study: Study, speed: Speed | None) -> tuple[str, int, int, float | None]:
    """All evaluations together; a checkpoint is only asked the held-out questions."""
    written, seconds, scored = 0, 0.0, study.scored()
    for task in study.eval.tasks:
        how = asked(study, task)
        times = len(scored) if task.name == HELD_OUT else len(study.models())
        if how is None or speed is None:
            return "04 eval", len(scored), 0, None
        length, batch = _length(how.writes, speed.vllm), min(_at_a_time(study, how), how.passes)
        written += times * how.passes * length
        if how.writes:
            seconds += times * speed.writing(how.passes, batch, how.tokens, length)
        else:
            seconds += times * speed.asking(how.passes, batch, how.tokens)
    return "04 eval", len(scored), written, seconds / 3600


def disk(study: Study) -> dict[str, float | None]:
    """Gigabytes on disk: downloads, what training leaves, and text at four bytes a token."""
    downloads = [row["disk"] for row in model_rows(study)] + [(row["megabytes"] or 0) / 1e3 for row in data_rows(study)]
    model, kept, text = shape_of(study.model.id), 0.0, 0.0
    for arm, spec in study.arms.items():
        train, runs = study.training(arm), len(study.seeds)
        steps = train.steps(spec.wanted)
        text += 4 * runs * steps * train.completions_per_step * train.max_completion_tokens
        if model:
            result = 4 * memory.trained_parameters(model, train)
            saved = ceil(steps / train.save_steps)
            kept += runs * (
                result * (1 + len(study.checkpoints(arm))) + 3 * result * (saved if train.keep_checkpoints else min(2, saved))
            )
    count, *_ = pool_facts(study)
    text += sum(4 * (count or 0) * spec.samples * spec.max_new_tokens for spec in study.filters.values())
    return {"downloads": None if None in downloads else sum(downloads), "trained weights and checkpoints": kept / 1e9 if model else None,
            "answers": text / 1e9}  # fmt: skip


def gib(size: float) -> str:
    """Bytes for people."""
    return f"{size / GIB:.1f} GiB" if size >= 0.05 * GIB else f"{size / 2**20:.0f} MiB"
