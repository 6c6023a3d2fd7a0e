"""Benchmarks: the tasks of lm-evaluation-harness, or of the project (`tasks/`), that a study names, where their data come from, and what
decides a score. A task may be a group (`mmlu`); its members are called benchmarks here."""

from __future__ import annotations

import logging
import re
import sys
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock

from helpers.evaluation import task_files
from helpers.evaluation.documents import question_text
from helpers.evaluation.mirror import in_mirror, mirror, tried
from helpers.evaluation.samples import read_sample
from helpers.questions import pools
from helpers.search import tool
from helpers.selection.held_out import read as read_held_out
from helpers.study.errors import StudyError, entry_point
from helpers.study.files import fingerprint, is_current, sha256, write_result
from helpers.study.places import TASKS
from helpers.study.progress import progress
from helpers.study.schema import HELD_OUT, SEARCH, in_reasoning_mode
from helpers.study.schema_eval import Task
from helpers.study.study import Study, open_study

# Tasks of the harness that a mirror may hold only in another form: (what the task's own data look like in a mirror, the
# project's task for the other form, that form's data set).
STAND_INS = {
    "medqa_4options": ("GBaker/MedQA-USMLE-4-options-hf", "medqa_4options_mirror", "GBaker/MedQA-USMLE-4-options"),
    "pubmedqa": ("bigbio/pubmed_qa/**/*.parquet", "pubmedqa_mirror", "qiaojin/PubMedQA"),
    "medmcqa": ("openlifescienceai/medmcqa/**/*train*", "medmcqa_mirror", "openlifescienceai/medmcqa"),
}
QUESTIONS = ["task", "benchmark", "question"]  # columns of `questions`
SCRIPTS = ("pubmedqa",)  # on the hub a loading script, which `datasets` no longer runs (lm-evaluation-harness#3645)


def stand_in(name: str) -> str:
    """The task that is run for `name`: `name` itself, or the project's form of it where its own data cannot be read."""
    if name not in STAND_INS:
        return name
    own, other, data = STAND_INS[name]
    folder = mirror()
    if folder is None or not (folder / data).is_dir():
        return other if name in SCRIPTS else name
    return name if any(folder.glob(own)) else other


def manager(study: Study, rendered: bool = True) -> Any:
    """The harness's task manager. rendered: reasoning tasks write their prompts for the study's model (needs its tokenizer)."""
    from lm_eval.tasks import TaskManager

    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    names = [task.name for task in study.eval.tasks]
    held = held_out(study).to_dict("records") if HELD_OUT in names and rendered else []
    about = {"prompt": study.prompt.model_dump(), "model": study.model.id if rendered else None, "held_out": held}
    found = TaskManager(include_path=[*_folders(names), TASKS], include_defaults=False, metadata=about)
    if not all(_known(stand_in(name), found.task_index) for name in names):
        found = TaskManager(include_path=TASKS, metadata=about)
    for name in names:
        if stand_in(name) not in found.task_index:
            raise task_files.unknown(study, name, found.task_index)
    return found


def _known(name: str, index: dict[str, Any]) -> bool:
    """Whether a task, or a group and all that it holds, is in the harness's index."""
    if name not in index:
        return False
    held = (index[name].cfg or {}).get("task")
    inner = [one if isinstance(one, str) else one.get("task") for one in held] if isinstance(held, list) else []
    return all(_known(one, index) for one in inner if isinstance(one, str))


def _folders(names: list[str]) -> list[Path]:
    """The harness's folders from whose name those of the tasks begin, as most do: all its files take many seconds to read."""
    import lm_eval.tasks

    wanted = [stand_in(name) for name in names]
    folders = [path for path in Path(lm_eval.tasks.__file__).parent.iterdir() if path.is_dir()]
    return sorted(path for path in folders if any(f"{name}_".startswith(f"{path.name}_") for name in wanted))


def held_out(study: Study) -> pd.DataFrame:
    """The questions of the pool that no arm trains on, as they were set aside before any draw."""
    return read_held_out(study)[["question_id", "question", "options", "answer", "topic"]]


def members(manager: Any, name: str) -> dict[str, Any]:
    """The harness's task objects of a task or group, by name, their data loaded. Raises StudyError if they are not available."""
    entry = manager.task_index[stand_in(name)]
    try:
        with in_mirror():
            return manager.load([stand_in(name)])["tasks"]
    except StudyError:
        raise
    except Exception as error:
        data = (entry.cfg or {}).get("dataset_path", "its data set")
        cause = f" ({error.__cause__})" if error.__cause__ else ""
        reason = " ".join(f"{error}{cause}".split())[:300] or type(error).__name__
        raise StudyError(f"eval.tasks: {name}: {data} is not available from {tried()} or the hub: {reason}") from error


def questions(study: Study) -> pd.DataFrame:
    """All benchmark questions of a study, for the contamination check: columns as QUESTIONS; read from the benchmarks' data once. Raises
    StudyError for an unknown task, missing data or a broken sample."""
    path = study.path("benchmarks", "questions.parquet")
    names = list(dict.fromkeys(task.name for task in study.eval.tasks if task.name != HELD_OUT))
    for task in study.eval.tasks:
        if task.sample:
            read_sample(study.beside(task.sample))
    if all(name.startswith("starter_") for name in names):
        return _starter_questions(names)
    mark = fingerprint(names, str(mirror()), [sha256(file) for file in sorted(TASKS.glob("*.yaml"))])
    with FileLock(f"{path}.lock"):
        if not is_current(path, mark):
            found = manager(study, rendered=False)
            rows, facts = [], {}
            for name in progress(names, desc="benchmarks read", unit="task"):
                for benchmark, task in members(found, name).items():
                    facts[benchmark] = data_facts(task)
                    rows += [(name, benchmark, question_text(doc)) for doc in task.eval_docs]
            write_result(pd.DataFrame(rows, columns=QUESTIONS), path, mark, data=facts)
    return pd.read_parquet(path)


def _starter_questions(names: list[str]) -> pd.DataFrame:
    """Questions of the starter tasks, read from their files without the harness."""
    rows = []
    for name in names:
        kept = task_files.read(name)["dataset_kwargs"]["name"]
        rows += [(name, kept, text) for text in pools.load_starter(kept)["question"]]
    return pd.DataFrame(rows, columns=QUESTIONS).drop_duplicates(["benchmark", "question"], ignore_index=True)


def data_facts(task: Any) -> dict[str, Any]:
    """The source of a task: version, data set, items, a hash of these as they were read (equal from the hub and from a mirror), and the
    commit if the hub's cache has it."""
    split_name = task.config.test_split or task.config.validation_split
    files = " ".join(entry["filename"] for entry in task.dataset[split_name].cache_files)
    commit = re.search(r"/([0-9a-f]{40})/", files)
    items = [{key: value for key, value in doc.items() if key not in ("prompt", "prefill")} for doc in task.eval_docs]
    return {"version": task.VERSION, "data": task.config.dataset_path, "config": task.config.dataset_name, "split": split_name,
            "items": len(items), "content": fingerprint(items), "revision": commit.group(1) if commit else None}  # fmt: skip


def settings(study: Study, task: Task) -> dict[str, Any]:
    """All that decides the scores of one task besides the weights."""
    common, reasoning = study.eval, in_reasoning_mode(task.name)
    chosen = {
        "task": stand_in(task.name),
        "limit": None if task.sample else task.limit or common.limit,
        "sample": sha256(study.beside(task.sample)) if task.sample else None,
        "shots": common.shots if task.shots is None else task.shots,
        "chat_template": (common.chat_template if task.chat_template is None else task.chat_template) and not reasoning,
        "max_new_tokens": task.max_new_tokens or (common.max_new_tokens if reasoning else None),
        "rotate": common.rotate if task.rotate is None else task.rotate,
    }
    if reasoning:
        chosen |= {"shots": None, "prompt": study.prompt.model_dump(), "rotate": False}
    if task.search:
        chosen[SEARCH] = [study.search.model_dump(mode="json", exclude={"corpus"}), tool.mark(study)]
    if changed := task_files.source(chosen["task"]):
        chosen["source"] = changed
    if task.name == HELD_OUT:
        chosen["items"] = held_out(study)["question_id"].tolist()
    if task.name.startswith("starter_"):
        chosen["shots"] = None
    return chosen


@entry_point
def main() -> None:
    """`python -m helpers.evaluation.benchmarks STUDY`: read the pool and all benchmark questions; one line, or an error and exit code 1."""
    study = open_study((sys.argv[1:] or ["quickstart"])[0])
    mirror()
    pools.study_pool(study)
    found = questions(study)
    print(pools.recognised(pools.pool_facts(study.pool, study.file)))
    print(f"{found['benchmark'].nunique()} benchmarks, {len(found)} questions")


if __name__ == "__main__":
    main()
