"""Scores: tasks of lm-evaluation-harness in, one row an item out.

The project's own tasks are YAML files in `helpers/tasks/`; every other name is one of the harness's.
Each task's items are kept on disk as soon as they are scored.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import datasets
import pandas as pd
import yaml
from tqdm import tqdm

from helpers import prompts
from helpers.files import StudyError, fingerprint, is_current, write_result
from helpers.questions import LETTERS, load_starter

if TYPE_CHECKING:
    from helpers.study import Eval, Prompt

TASKS = Path(__file__).parent / "tasks"
REASONING = "reasoning"
METRICS = ("acc_norm", "acc", "exact_match")  # of those a task has, the first counts


def starter_set(name: str, subject_group: str | None = None, **_: Any) -> dict[str, datasets.Dataset]:
    """One file of the starter set in the form of the harness (`custom_dataset` of a task)."""
    return {"test": datasets.Dataset.from_list(_documents(name, subject_group))}


def reasoning_set(name: str, prompt: dict[str, Any], model: str, **_: Any) -> dict[str, datasets.Dataset]:
    """Starter questions with the study's training prompt, rendered for `model`'s tokenizer."""
    from helpers.models import load_tokenizer
    from helpers.study import Prompt

    settings, tokenizer = Prompt.model_validate(prompt), load_tokenizer(model)
    documents = _documents(name, None)
    for row in documents:
        row["prompt"] = prompts.render(row["question"], row["options"], settings, tokenizer)
        row["prefill"] = settings.prefill
    return {"test": datasets.Dataset.from_list(documents)}


def _documents(name: str, subject_group: str | None) -> list[dict[str, Any]]:
    rows = []
    for row in load_starter(name).to_dict("records"):
        if subject_group and row.get("subject_group") != subject_group:
            continue
        document = {"item_id": row["id"], "question": row["question"], "answer": row["answer"], "subject": row["topic"]}
        if isinstance(row.get("options"), list):
            document |= {"options": row["options"], "target": LETTERS.index(row["answer"])}
        else:
            document["solution"] = row["answer"]
        rows.append(document)
    return rows


def reasoning_result(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """Right if the letter in `<answer>` is (`process_results` of a task)."""
    reading = prompts.read_answer(doc["prefill"] + results[0], doc["options"])
    return {"acc": float(reading.predicted == doc["answer"])}


def same_number(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """Right if the text that a filter extracted is the same number as the answer."""
    return {"exact_match": float(_number(results[0]) == float(doc["answer"]))}


def _number(text: str) -> float | None:
    try:
        return float(re.sub(r"[,$]", "", text).rstrip("."))
    except ValueError:
        return None


def questions_of(tasks: list[str]) -> pd.DataFrame:
    """The questions of the project's own tasks, for the contamination check: columns benchmark, question."""
    rows = []
    for name in tasks:
        path = TASKS / f"{name}.yaml"
        source = yaml.load(path.read_text("utf-8"), Loader=_Plain)["dataset_kwargs"]["name"] if path.exists() else None
        if source:
            rows += [{"benchmark": source, "question": text} for text in load_starter(source)["question"]]
    return pd.DataFrame(rows, columns=["benchmark", "question"]).drop_duplicates(ignore_index=True)


class _Plain(yaml.SafeLoader):
    """Reads a task file without importing the functions it names."""


_Plain.add_constructor("!function", lambda loader, node: loader.construct_scalar(node))


def _manager(metadata: dict[str, Any], defaults: bool = False) -> Any:
    from lm_eval.tasks import TaskManager

    return TaskManager(include_path=str(TASKS), include_defaults=defaults, metadata=metadata)


def score(model: Any, tokenizer: Any, model_id: str, settings: Eval, prompt: Prompt, mark: str, folder: Path) -> pd.DataFrame:
    """Score a model on every task of the study; tasks whose file in `folder` bears the same `mark` are not run again.

    model: a function that returns the model; it is called only if something is left to score.
    Returns one row an item and answer filter: task, group, benchmark (of a group of tasks, the member), subject, mode, filter, item_id, predicted,
    target, correct, format_valid, response.
    """
    parts, harness = [], None
    for task in tqdm(settings.tasks, desc="benchmarks", unit="task"):
        path, task_mark = folder / f"{task.name}.parquet", fingerprint(mark, task.name, task.limit)
        if not is_current(path, task_mark):
            harness = harness or _harness(model(), tokenizer, settings)
            rows, facts = _score_one(harness, task.name, task.limit, model_id, settings, prompt)
            write_result(rows.assign(task=task.name, group=task.group), path, task_mark, **facts)
        parts.append(pd.read_parquet(path).assign(group=task.group))
    return pd.concat(parts, ignore_index=True)


def _harness(model: Any, tokenizer: Any, settings: Eval) -> Any:
    from lm_eval.models.huggingface import HFLM

    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    return HFLM(pretrained=model, tokenizer=tokenizer, batch_size=settings.batch_size, backend="causal")


def _score_one(
    harness: Any, name: str, limit: int | None, model_id: str, settings: Eval, prompt: Prompt
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Run one task. Raises StudyError if the harness has none of that name."""
    from lm_eval import simple_evaluate

    manager = _manager({"prompt": prompt.model_dump(), "model": model_id}, defaults=not name.startswith("starter_"))
    if name not in manager.all_tasks:
        raise StudyError(f"eval.tasks: lm-evaluation-harness has no task {name!r}")
    reasoning = REASONING in name
    result = simple_evaluate(
        model=harness,
        tasks=[name],
        task_manager=manager,
        limit=limit,
        num_fewshot=None if name.startswith("starter_") else settings.num_fewshot,
        apply_chat_template=settings.chat_template and not reasoning,
        gen_kwargs={"max_gen_toks": settings.max_new_tokens, "repetition_penalty": 1.0} if reasoning else None,
        log_samples=True,
        bootstrap_iters=0,
        random_seed=0,
        numpy_random_seed=0,
        torch_random_seed=0,
        fewshot_random_seed=0,
    )
    if not result["samples"]:
        raise StudyError(f"eval.tasks: {name!r} gave no items")
    rows = [_row(task, sample, reasoning) for task, samples in result["samples"].items() for sample in samples]
    facts = {
        "task_versions": result["versions"],
        "shots": {task: config.get("num_fewshot") for task, config in result["configs"].items()},
        "chat_template": settings.chat_template and not reasoning,
        "limit": limit,
    }
    return pd.DataFrame(rows), facts


def _row(task: str, sample: dict[str, Any], reasoning: bool) -> dict[str, Any]:
    """One item as a row, from the harness's log of it."""
    doc = sample["doc"]
    row = {
        "benchmark": task,
        "subject": str(doc.get("subject", "")),
        "item_id": str(doc.get("item_id", sample["doc_id"])),
        "filter": sample.get("filter", "none"),
        "correct": bool(next(sample[metric] for metric in METRICS if metric in sample)),
        "chance": 0.0,
        "format_valid": None,
        "response": None,
    }
    first = sample["resps"][0][0]
    if isinstance(first, str):
        return row | _written(doc, sample, first, reasoning)
    likelihoods = [float(pair[0]) for pair in sample["filtered_resps"]]
    if "acc_norm" in sample:  # the harness divides by the option's length in characters
        lengths = [len(arguments[1].lstrip()) for arguments in sample["arguments"]]
        likelihoods = [value / length for value, length in zip(likelihoods, lengths, strict=True)]
    best = max(range(len(likelihoods)), key=likelihoods.__getitem__)
    return row | {"mode": "likelihood", "predicted": LETTERS[best], "target": LETTERS[int(sample["target"])],
                  "chance": 1 / len(likelihoods)}  # fmt: skip


def _written(doc: dict[str, Any], sample: dict[str, Any], response: str, reasoning: bool) -> dict[str, Any]:
    """The part of a row that a written answer has: in reasoning mode read from `<answer>`, else as the task's filter found it."""
    if not reasoning:
        return {"mode": "generation", "predicted": str(sample["filtered_resps"][0]), "target": str(doc["answer"]),
                "response": response}  # fmt: skip
    text = doc["prefill"] + response
    reading = prompts.read_answer(text, doc["options"])
    return {"mode": REASONING, "predicted": reading.predicted, "target": doc["answer"], "response": text,
            "format_valid": reading.format_valid, "chance": 1 / len(doc["options"])}  # fmt: skip
