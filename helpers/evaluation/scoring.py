"""Scores: a model and the benchmarks of a study in, one row per item out. They are stored task by task and rotation by rotation, or copied
from another study under the same `runs/` that has made them from the same inputs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from unittest.mock import patch

import pandas as pd

from helpers.evaluation.benchmarks import data_facts, manager, members, settings
from helpers.evaluation.documents import key, options_of, rotate
from helpers.evaluation.judging import is_right
from helpers.evaluation.mirror import in_mirror
from helpers.evaluation.samples import read_sample
from helpers.questions import prompts
from helpers.questions.answers import read_answer, read_tolerant
from helpers.questions.text import LETTERS
from helpers.search import tool
from helpers.search.measure import answerable, found_by
from helpers.study.files import StudyError, adopt, fingerprint, is_current, write_result
from helpers.study.progress import progress
from helpers.study.schema import REASONING, SEARCH, in_reasoning_mode

if TYPE_CHECKING:
    from helpers.models.engines import Engine
    from helpers.study.schema_eval import Task
    from helpers.study.study import Study

METRICS = ("acc_norm", "acc", "exact_match")  # of those a task has, the first counts


def score(
    engine: Engine,
    tokenizer: Any,
    study: Study,
    weights: str,
    folder: Path,
    only: tuple[str, ...] = (),
    ends: Sequence[int] = (),
) -> pd.DataFrame:
    """Score a model on every task of the study; a task whose scores are stored is not run again.

    weights: fingerprint of the weights. folder: for finished tasks. only: names of the tasks to score, if not all. ends: tokens that end
    a text for the engine; with other ends, what a model writes is scored again.

    Returns one row per item, answer filter and rotation: task, group, benchmark, subject, mode, filter, rotation, item_id, predicted,
    target, correct, chance, format_valid, response, setting; in reasoning mode also predicted_tolerant and correct_tolerant
    (`answers.read_tolerant`), which scores from before 27 November 2026 do not have. A task with search is called `<name>_search`, and so
    are its benchmarks; its `response` is what the model wrote, `searches` what was inserted (`search.episodes.Episode`, as JSON),
    right_found and wrong_found say which options occur in it (`search.measure.found_by`), and answerable whether the right one occurs in
    what the question itself finds.
    """
    parts: list[pd.DataFrame] = []
    work = _Work(engine, tokenizer, study, weights, folder)
    tasks = [task for task in study.eval.tasks if not only or task.name in only]
    for task in progress(tasks, desc="benchmarks", unit="task"):
        chosen = settings(study, task)
        chosen |= {"ends": list(ends)} if chosen["max_new_tokens"] else {}
        path, mark = folder / f"{task.label}.parquet", fingerprint(weights, chosen)
        if not (is_current(path, mark) or adopt(path, mark, study.folder.parent, f"*/eval/**/tasks/{task.label}.parquet")):
            begun = time.monotonic()
            rows, facts = work.run(task, chosen)
            seconds = round(time.monotonic() - begun, 1)
            write_result(rows.assign(task=task.label), path, mark, settings=chosen, benchmarks=facts, seconds=seconds)
        parts.append(_read(path, study, task))
    return pd.concat(parts, ignore_index=True)


def finished(study: Study, folder: Path) -> pd.DataFrame | None:
    """The rows of `score` of those tasks of the study that are stored in `folder`; None if there are none. Whose weights they belong to is
    not checked."""
    files = {task.label: folder / f"{task.label}.parquet" for task in study.eval.tasks}
    parts = [_read(files[task.label], study, task) for task in study.eval.tasks if files[task.label].exists()]
    return pd.concat(parts, ignore_index=True) if parts else None


def _read(path: Path, study: Study, task: Task) -> pd.DataFrame:
    rows = pd.read_parquet(path)
    rows["group"] = [study.eval.side(task, name) for name in rows["benchmark"]]
    if task.search:
        rows["benchmark"] += f"_{SEARCH}"
    return rows


@dataclass
class _Work:
    """What all tasks of a model share. The task manager and the harness around the model are built when the first task needs them."""

    engine: Engine
    tokenizer: Any
    study: Study
    weights: str
    folder: Path

    @cached_property
    def manager(self) -> Any:
        return manager(self.study)

    @cached_property
    def harness(self) -> Any:
        from helpers.models.harness_model import HarnessModel

        return HarnessModel(self.engine, self.tokenizer, self.study.eval.batch_size, self.study.eval.written_at_once)

    def run(self, task: Task, chosen: dict[str, Any]) -> tuple[pd.DataFrame, dict[str, Any]]:
        """Score every benchmark of a task, one rotation of the options after the other, from where a killed run stopped."""
        found = members(self.manager, task.name)
        selected, parts = self._selected(task, chosen, found), []
        for by in range(max(one.options for one in selected.values()) if chosen["rotate"] else 1):
            path, mark = self.folder / task.label / f"rotation{by}.parquet", fingerprint(self.weights, chosen, by)
            if not is_current(path, mark):
                self.harness.tool = tool.open_tool(self.study) if task.search else None
                turned = [one.turned(by) for one in selected.values() if by == 0 or one.options > by]
                write_result(_rows(self.harness, self.manager, turned, chosen).assign(rotation=by), path, mark)
            parts.append(pd.read_parquet(path))
        facts = {
            name: data_facts(one) | {"shots": one.config.num_fewshot, "scored": len(selected[name].places)}
            for name, one in found.items()
        }
        return pd.concat(parts, ignore_index=True), facts

    def _selected(self, task: Task, chosen: dict[str, Any], found: dict[str, Any]) -> dict[str, Selection]:
        """The documents to score of each benchmark of a task."""
        path = self.study.beside(task.sample) if task.sample else None
        drawn = read_sample(path) if path else dict.fromkeys(found)
        if unknown := sorted(set(drawn) - set(found)):
            raise StudyError(f"{path}: {unknown[0]!r} is no benchmark of {task.name}; it has {', '.join(found)}")
        places = {name: _places(found[name], chosen["limit"], sample) for name, sample in drawn.items()}
        selected = {name: Selection.of(found[name], at) for name, at in places.items()}
        return {name: one.searching(self.study, self.tokenizer) for name, one in selected.items()} if task.search else selected


class Selection(NamedTuple):
    """A benchmark and the documents to score. places: their positions; options: the most that a document has, 1 if it has no letters."""

    task: Any
    documents: list[Any]
    places: list[int]
    options: int

    @classmethod
    def of(cls, task: Any, places: list[int]) -> Selection:
        held = task.eval_docs  # read once: some tasks filter their whole data set each time
        documents = [held[place] for place in places]
        lettered = task.OUTPUT_TYPE == "multiple_choice" and not task.task_name.startswith("starter_")
        counts = [len(options_of(doc) or [""]) for doc in documents] if lettered else [1]
        return cls(task, documents, places, max(counts))

    def searching(self, study: Study, tokenizer: Any) -> Selection:
        """The same with prompts that explain the study's search tool."""
        texts = [
            prompts.render(doc["question"], list(doc["options"]), study.prompt, tokenizer, study.search) for doc in self.documents
        ]
        return self._replace(documents=[doc | {"prompt": text} for doc, text in zip(self.documents, texts, strict=True)])

    def turned(self, by: int) -> Selection:
        """The same with the options of each document rotated; documents that have no such rotation are left out."""
        if by == 0:
            return self
        able = [number for number, doc in enumerate(self.documents) if by < len(options_of(doc))]
        turned = [rotate(self.documents[number], by) for number in able]
        return self._replace(documents=turned, places=[self.places[number] for number in able])


def _places(task: Any, limit: int | None, sample: pd.DataFrame | None) -> list[int]:
    """Positions of the documents to score; of a sample, those whose questions have not changed since it was drawn (data sets are corrected
    over time). Raises StudyError if more than a tenth of the sample is another question now."""
    held = task.eval_docs
    if sample is None:
        return list(range(min(limit or len(held), len(held))))
    drawn = [(int(place), identity) for place, identity in zip(sample["doc_id"], sample["question_id"], strict=True)]
    kept = [place for place, identity in drawn if place < len(held) and key(held[place]) == identity]
    if len(kept) < 0.9 * len(drawn):
        raise StudyError(
            f"eval.tasks: {task.task_name}: {len(drawn) - len(kept)} of {len(drawn)} items of the sample are now different questions; the "
            "data set has changed since the sample was drawn, so draw it again"
        )
    return kept


def _rows(harness: Any, manager: Any, selected: list[Selection], chosen: dict[str, Any]) -> pd.DataFrame:
    """Scores of the given documents by the harness; one row per item and answer filter."""
    samples, rows = samples_of(harness, manager, selected, chosen), []
    for one in selected:
        words = _setting(one.task, chosen)
        for sample in samples[one.task.task_name]:
            row, doc = _row(one.task, sample, one.places, SEARCH in chosen) | {"setting": words}, sample["doc"]
            if SEARCH in chosen:
                searches, options = harness.searches[doc["prompt"]], list(doc.get("options") or [])
                row |= {"searches": searches, "answerable": answerable(harness.tool, doc["question"], options, row["target"])}
                row |= found_by(searches, options, row["target"])
            rows.append(row)
    return pd.DataFrame(rows)


def samples_of(harness: Any, manager: Any, selected: list[Selection], chosen: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The harness's log of the given documents, by benchmark: what was sent, what came back, and how it was judged."""
    from lm_eval import evaluator, utils
    from lm_eval.api import task

    for one in selected:
        source = "test_docs" if one.task.has_test_docs() else "validation_docs"
        setattr(one.task, source, lambda documents=one.documents: documents)
    writes = any(_writes(one.task) for one in selected)
    tokens = {"gen_kwargs": {"max_gen_toks": chosen["max_new_tokens"]}} if chosen["max_new_tokens"] and writes else {}
    # At each call the harness would collect versions of the system's programs, which takes a second, and the working folder's commit.
    apart = patch.multiple(evaluator, add_env_info=lambda results: None, get_git_commit_hash=lambda: None)
    quiet = patch.object(task, "tqdm", lambda items, **_: items)  # a bar for putting prompts together, which takes no time
    # The harness compiles a task's template again for each document (figures/speed/templates.csv). Not for several threads: it has one environment.
    once = patch.object(utils.env, "from_string", cache(utils.env.from_string))
    with in_mirror(), apart, quiet, once:
        result = evaluator.simple_evaluate(
            model=harness,
            tasks=[one.task for one in selected],
            task_manager=manager,
            num_fewshot=chosen["shots"],
            apply_chat_template=chosen["chat_template"],
            log_samples=True,
            bootstrap_iters=0,
            **tokens,
        )
    for one in selected:
        delattr(one.task, "test_docs" if "test_docs" in vars(one.task) else "validation_docs")
    return result["samples"]


def _writes(task: Any) -> bool:
    return task.OUTPUT_TYPE == "generate_until"


def _setting(task: Any, chosen: dict[str, Any]) -> str:
    """How a score was computed, in a few words, for the column `setting`."""
    words = [] if chosen.get("prompt") else [f"{task.config.num_fewshot or 0}-shot"]
    words += ["chat template"] if chosen["chat_template"] else []
    words += [f"≤ {chosen[SEARCH][0]['searches']} searches"] if SEARCH in chosen else []
    words += ["fixed sample"] if chosen["sample"] else []
    words += [f"first {chosen['limit']}"] if chosen["limit"] else []
    words += [f"≤ {chosen['max_new_tokens']} tokens"] if chosen["max_new_tokens"] and _writes(task) else []
    return ", ".join(words)


def _row(task: Any, sample: dict[str, Any], places: list[int], search: bool) -> dict[str, Any]:
    """One item as a row, from the harness's log of it. search: the model had a search tool."""
    doc, reasoning = sample["doc"], in_reasoning_mode(task.task_name)
    row = {
        "benchmark": task.task_name,
        "subject": str(doc.get("subject") or doc.get("category") or doc.get("subject_name") or ""),
        "item_id": str(doc.get("item_id", places[sample["doc_id"]])),
        "filter": sample.get("filter", "none"),
        "correct": bool(next(sample[metric] for metric in METRICS if metric in sample)),
        "chance": 0.0,
        "format_valid": None,
        "response": None,
    }
    first = sample["resps"][0][0]
    if isinstance(first, str):
        return row | _written(doc, sample, first, reasoning, search)
    likelihoods = [float(pair[0]) for pair in sample["filtered_resps"]]
    if "acc_norm" in sample:  # the harness divides by the option's length in characters
        lengths = [len(arguments[1].lstrip()) for arguments in sample["arguments"]]
        likelihoods = [value / length for value, length in zip(likelihoods, lengths, strict=True)]
    best = max(range(len(likelihoods)), key=likelihoods.__getitem__)
    target = sample["target"]
    right = task.doc_to_choice(doc).index(target) if isinstance(target, str) and not target.isdigit() else int(target)
    return row | {"mode": "likelihood", "predicted": LETTERS[best], "target": LETTERS[right], "chance": 1 / len(likelihoods)}


def _written(doc: dict[str, Any], sample: dict[str, Any], response: str, reasoning: bool, search: bool) -> dict[str, Any]:
    """The part of a row that a written answer has: in reasoning mode read from `<answer>`, else as the task's filter found it."""
    options = list(doc.get("options") or [])
    chance = 1 / len(options) if options else 0.0
    if not reasoning:
        return {"mode": "generation", "predicted": str(sample["filtered_resps"][0]), "target": str(doc["answer"]).split("#### ")[-1],
                "response": response, "chance": chance}  # fmt: skip
    text = doc["prefill"] + response
    reading, tolerant = read_answer(text, options, search), read_tolerant(text, options)
    return {"mode": REASONING, "predicted": reading.predicted, "target": doc["answer"], "response": text,
            "format_valid": reading.format_valid, "chance": chance, "predicted_tolerant": tolerant,
            "correct_tolerant": is_right(doc, tolerant)}  # fmt: skip
