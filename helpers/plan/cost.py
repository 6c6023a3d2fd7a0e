"""How long a study takes and how much disk it fills. Time by the rates of `helpers/plan/machine.py`; what is unknown is None."""

from math import ceil
from typing import NamedTuple

from helpers.models.shape import listed_shape, shape_of
from helpers.plan import memory
from helpers.plan.machine import START_JOB, Machine, Speed, width
from helpers.plan.needs import at_a_time, writes_with_vllm
from helpers.plan.sizes import data_rows, inserted, lettered_pool, model_rows, pool_facts, prompt_tokens, workload
from helpers.study.schema import HELD_OUT
from helpers.study.study import Study


class Written(NamedTuple):
    """Completions as shares of the allowed tokens: of the mean one, and of the longest of a training step."""

    mean: float
    longest: float


# What vLLM is assumed to write of 256 tokens, measured with the 1.5B (logs and labels of `medicine` and `choice`; labels are those of the
# untrained model). Lettered options: 0.10 to 0.21 in trainings on MedQA (mean of 24: 0.15; the longest of a step 0.31 to 0.68, with a random
# reward 0.68 to 0.93), labels 0.20 (16 samples) and 0.24 (greedy), evaluations 0.07 after training. Numbers: 0.38 to 0.56 in trainings on
# GSM8K (0.14 to 0.63 with a random reward; the longest 0.82 to 0.98), labels 0.39 and 0.41, evaluations about a third. Of other tasks only
# MMLU-Pro with examples was measured (half of 1024 tokens), so all others count as numbers.
LETTERED, OTHER = Written(0.2, 0.5), Written(0.5, 1.0)


class Step(NamedTuple):
    """All jobs of one kind: how many there are, the tokens they write, and their hours (None where a size is unknown)."""

    name: str
    jobs: int
    tokens: int
    hours: float | None


def hours(study: Study, on: Machine, rate: float | None, labelled: int | None = None) -> list[Step]:
    """The hours of each kind of job on a machine; rate: tokens per second of generation where a person has measured it.

    labelled: the number of questions that the filters have labelled, if known. Without it, the pool's size is used, which may differ between the
    hub and a mirror.
    """
    return [*_filters(study, on, rate, labelled), _trainings(study, on, rate), _evaluations(study, on, rate)]


def _filters(study: Study, on: Machine, rate: float | None, labelled: int | None) -> list[Step]:
    count, mean, _ = pool_facts(study)
    count = labelled or count
    vllm, prompt, found = writes_with_vllm(study, on), prompt_tokens(study, mean), []
    for name, spec in study.filters.items():
        model, answers = listed_shape(spec.model), (count or 0) * spec.samples
        length, longest = _lengths(spec.max_new_tokens, vllm, lettered_pool(study))
        seconds = None
        if model is not None and count is not None:
            speed = Speed(model, on, width(study.model.dtype, on), rate, vllm, spec.runs_per_gpu)
            seconds = _starting(spec.runs_per_gpu, on) + speed.writing(
                answers, spec.batch_size, prompt + inserted(study, spec), length, longest, spec.samples
            )
        found.append(Step(f"01 filter {name}", 1, answers * length, seconds and seconds / 3600))
    return found


def _trainings(study: Study, on: Machine, rate: float | None) -> Step:
    model, alone = listed_shape(study.model.id), prompt_tokens(study, pool_facts(study)[1])
    written, seconds = 0, 0.0
    for arm, spec in study.arms.items():
        found, train = inserted(study, spec), study.training(arm)
        vllm = writes_with_vllm(study, on, train.method)
        steps = train.steps(spec.wanted) * len(study.seeds)
        length, longest = _lengths(train.max_completion_tokens, vllm, lettered_pool(study))
        written += steps * train.completions_per_step * length
        if model:
            speed = Speed(model, on, width(study.model.dtype, on), rate, vllm, train.runs_per_gpu)
            step = speed.rollouts(train, alone + found, length, longest) + speed.updating(train, alone, length, found)
            seconds += steps * step + len(study.seeds) * _starting(train.runs_per_gpu, on)
    return Step("03 train", len(study.arms) * len(study.seeds), written, seconds / 3600 if model else None)


def _evaluations(study: Study, on: Machine, rate: float | None) -> Step:
    """Hours of all evaluations; a checkpoint is scored on the held-out questions only."""
    model, scored, runs = listed_shape(study.model.id), study.scored(), study.eval.runs_per_gpu
    workloads = {task.label: workload(study, task) for task in study.eval.tasks}
    if model is None or None in workloads.values():
        return Step("04 eval", len(scored), 0, None)
    speed = Speed(model, on, width(study.model.dtype, on), rate, writes_with_vllm(study, on), runs)
    written, seconds = 0, len(scored) * _starting(runs, on)
    for name, work in workloads.items():
        times = len(scored) if name.startswith(HELD_OUT) else len(study.models())
        length, longest = _lengths(work.writes, speed.vllm, work.lettered)
        batch = min(at_a_time(study, work), work.passes)
        written += times * work.passes * length
        seconds += times * (
            speed.writing(work.passes, batch, work.tokens, length, longest)
            if work.writes
            else speed.asking(work.passes, batch, work.tokens)
        )
    return Step("04 eval", len(scored), written, seconds / 3600)


def _lengths(allowed: int, vllm: bool, lettered: bool) -> tuple[int, int]:
    """Tokens of the mean and of the longest completion. With transformers both are the allowed length, the worst case."""
    written = LETTERED if lettered else OTHER
    return (int(written.mean * allowed), int(written.longest * allowed)) if vllm else (allowed, allowed)


def _starting(runs: int, on: Machine) -> float:
    """Seconds before a job computes (loading and recording); jobs that share a GPU do this at the same time."""
    return START_JOB / runs if on.gpu else 0.0


def disk(study: Study) -> dict[str, float | None]:
    """Gigabytes on disk: downloads, trained weights with their checkpoints, and text at four bytes a token."""
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
