"""Sizes of models, data sets and benchmarks, known before a download: from `sizes.yaml` and from files on disk, without network. What is
not known is None, and printed as "unknown"."""

import os
import re
from dataclasses import dataclass
from functools import cache
from math import ceil
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from helpers.evaluation import task_files
from helpers.models.shape import folder_of, known_models, shape_of
from helpers.questions import pools, prompts
from helpers.study.choices import Arm, Filter
from helpers.study.places import pool_file
from helpers.study.schema import HELD_OUT, in_reasoning_mode
from helpers.study.schema_eval import Task
from helpers.study.study import Study

SIZES = Path(__file__).with_suffix(".yaml")
# Tokens of the training prompt around a question, and of a worked example: by Qwen2.5's tokenizer 49, and 61 (letters) or 86 (numbers).
TEMPLATE, EXAMPLE = 50, 86
UNKNOWN_QUESTION = (200, 700)  # tokens of the mean and the longest question, assumed for a pool of which nothing is known


@cache
def known() -> dict[str, Any]:
    """The contents of `sizes.yaml`."""
    return yaml.safe_load(SIZES.read_text(encoding="utf-8"))


def model_rows(study: Study) -> list[dict[str, Any]]:
    """One row per model: id, use, parameters, gigabytes to download and on disk, where it is, licence."""
    uses: dict[str, list[str]] = {study.model.id: ["trained"]}
    for name, spec in study.filters.items():
        uses.setdefault(spec.model, []).append(f"filter {name}")
    rows = []
    for model, used in uses.items():
        facts, model_shape, place = known_models().get(model, {}), shape_of(model), folder_of(model)
        weights = 2 * model_shape.parameters() / 1e9 if model_shape else None  # hub and cache hold bfloat16
        package = facts.get("package", 0) / 1e3
        licence = facts.get("licence", "see its model card")
        gated = bool(facts.get("agreement")) and not place and not package
        rows.append({
            "model": model, "use": ", ".join(used), "parameters": model_shape.parameters() if model_shape else None,
            "download": 0.0 if place else package or weights, "disk": 0.0 if place else (package + weights if weights else None),
            "where": f"here ({place[1]})" if place else "package index" if package else "hub", "gated": gated,
            "licence": licence + (": accept it on the hub" if gated else "")})  # fmt: skip
    return rows


def data_rows(study: Study) -> list[dict[str, Any]]:
    """One row per data set: id, use, questions, megabytes, where it is."""
    mirror = os.environ.get("OFFLINE_MIRROR", "")
    count, *_ = pool_facts(study)
    source = study.pool.source
    local = pool_file(study.pool, study.file) is not None
    facts = known()["pools"].get(source, {})
    there = bool(mirror) and (Path(mirror) / source).is_dir()
    rows = [{"data": source, "use": "pool", "questions": count, "megabytes": 0 if local or there else facts.get("megabytes"),
             "where": "here" if local else "here (mirror)" if there else f"hub at {(study.pool.revision or '?')[:12]}"}]  # fmt: skip
    by_data: dict[str, list[Task]] = {}
    for task in study.eval.tasks:
        if not task.name.startswith("starter_") and task.name != HELD_OUT:
            by_data.setdefault(_task(task.name).get("data", f"of {task.name}"), []).append(task)
    for name, tasks in by_data.items():
        facts = _task(tasks[0].name)
        there = bool(mirror) and any((Path(mirror) / id).is_dir() for id in (name, facts.get("mirror", name)))
        items = [item_count(study, task) for task in tasks]
        home = facts.get("home", "hub")
        rows.append({"data": name, "use": ", ".join(task.label for task in tasks),
                     "questions": None if None in items else max(items), "megabytes": 0 if there else facts.get("megabytes"),
                     "where": "here (mirror)" if there else home if facts else "unknown"})  # fmt: skip
    return rows


def pool_facts(study: Study) -> tuple[int | None, int, int]:
    """(questions, mean tokens, longest tokens) of the pool; questions is None if unknown."""
    if pool_file(study.pool, study.file):
        table = pools.load_pool(study.pool, study.file)
        length = [len(prompts.lines(row.question, list(row.options))) / 4 for row in table.itertuples()]
        return len(table), ceil(sum(length) / len(length)), ceil(max(length))
    source, facts = study.pool.source, known()["pools"].get(study.pool.source, {})
    mean, longest = facts.get("tokens", UNKNOWN_QUESTION[0]), facts.get("longest", UNKNOWN_QUESTION[1])
    count = _mirror_rows(study) or pools.TRAINING_QUESTIONS.get(source, {}).get(study.pool.config)
    first = re.search(r"\[:(\d+)\]$", study.pool.split)  # "train[:2000]"
    return min(count, int(first.group(1))) if count and first else count, mean, longest


def lettered_pool(study: Study) -> bool:
    """Whether the pool's questions have lettered options; False for a pool of which nothing is known."""
    if pool_file(study.pool, study.file):
        return len(pools.load_pool(study.pool, study.file)["options"].iloc[0]) > 0
    return bool(known()["pools"].get(study.pool.source, {}).get("lettered"))


def _mirror_rows(study: Study) -> int:
    """Rows of the pool's split in OFFLINE_MIRROR, from the Parquet files' footers; 0 if it is not there."""
    from pyarrow.parquet import read_metadata

    mirror, pool = os.environ.get("OFFLINE_MIRROR", ""), study.pool
    files = (Path(mirror) / pool.source).rglob(f"{pool.split.split('[')[0]}-*.parquet") if mirror else []
    return sum(read_metadata(file).num_rows for file in files if pool.config in (None, "default", *file.parts))


def prompt_tokens(study: Study, question: int) -> int:
    """Tokens of the training prompt for a question of `question` tokens."""
    return question + TEMPLATE + EXAMPLE * study.prompt.worked_examples


@cache
def _task(name: str) -> dict[str, Any]:
    """The entry of a task in `sizes.yaml`, or of its group if it is one subject of it; empty for an unknown task."""
    tasks = known()["tasks"]
    if name in tasks or name.startswith("starter_"):
        return tasks.get(name, {})
    for group in sorted(known()["subjects"], key=len, reverse=True):
        items = known()["subjects"][group].get(name.removeprefix(f"{group}_"))
        if name.startswith(f"{group}_") and items:
            return tasks[group] | {"items": items, "parts": 1}
    return {}


@cache
def _starter(name: str) -> pd.DataFrame:
    """Questions of a starter task."""
    source = task_files.read(name)["dataset_kwargs"]
    table = pools.load_starter(source["name"])
    return table[table["subject_group"] == source["subject_group"]] if "subject_group" in source else table


def item_count(study: Study, task: Task) -> int | None:
    """Questions of a task, rotations not counted; None if unknown."""
    if task.sample:
        return len(pd.read_csv(study.beside(task.sample)))
    limit = task.limit or study.eval.limit
    if task.name == HELD_OUT:
        return min(study.split.held_out, limit or study.split.held_out)
    if task.name.startswith("starter_"):
        return min(len(_starter(task.name)), limit or len(_starter(task.name)))
    facts = _task(task.name)
    return min(facts["items"], limit * facts["parts"] if limit else facts["items"]) if facts else None


@dataclass(frozen=True)
class Workload:
    """The work of one model for a task: passes, tokens of the mean and the longest prompt, tokens that it may write (0: likelihood mode).

    lettered: it reasons about lettered options.
    """

    passes: int
    tokens: int
    longest: int
    writes: int
    lettered: bool = False


def inserted(study: Study, user: Arm | Filter | Task) -> int:
    """The most tokens that a search tool adds to the prompt and completion of an arm, a filter or a task; 0 without search."""
    return study.search.inserted if user.search and study.search else 0


def workload(study: Study, task: Task) -> Workload | None:
    """The work of one model on a task; None for an unknown task."""
    items = item_count(study, task)
    if items is None:
        return None
    if in_reasoning_mode(task.name):
        if task.name == HELD_OUT:
            _, mean, longest = pool_facts(study)
        elif task.name.startswith("starter_"):
            mean, longest = _starter_tokens(task.name)
        else:
            mean, longest = _task(task.name)["tokens"], _task(task.name)["longest"]
        more, writes = inserted(study, task), task.max_new_tokens or study.eval.max_new_tokens
        lettered = lettered_pool(study) if task.name == HELD_OUT else bool(_task(task.name).get("lettered"))
        return Workload(items, prompt_tokens(study, mean) + more, prompt_tokens(study, longest) + more, writes, lettered)
    if task.name.startswith("starter_"):  # likelihood mode, over the text of each option
        table, (mean, longest) = _starter(task.name), _starter_tokens(task.name)
        written = "options" not in table or table["options"].isna().all()
        return Workload(items if written else items * ceil(table["options"].map(len).mean()), mean, longest, 64 if written else 0)
    facts = _task(task.name)
    given = study.eval.shots if task.shots is None else task.shots
    shots = facts.get("shots", 0) if given is None else given
    rotated = study.eval.rotate if task.rotate is None else task.rotate
    times = facts["options"] if rotated and facts.get("options") else 1
    mean, longest = (facts[key] + shots * facts["shot"][place] for place, key in enumerate(("tokens", "longest")))
    return Workload(items * times, mean, longest, (task.max_new_tokens or facts["writes"]) if "writes" in facts else 0)


def _starter_tokens(name: str) -> tuple[int, int]:
    """Tokens of the mean and the longest question of a starter task."""
    each = 1.0 if "chinese" in name else 0.25  # tokens a character
    length = [each * len(text) for text in _starter(name)["question"]]
    return ceil(sum(length) / len(length)) + 30, ceil(max(length)) + 60  # with the longest option
