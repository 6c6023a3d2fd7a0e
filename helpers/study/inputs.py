"""What each job of a study depends on: the parameters that decide its result, and no others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from helpers.study.files import content_hash, sha256
from helpers.study.places import corpus_files, corpus_path, pool_file
from helpers.study.schema import SEARCH

if TYPE_CHECKING:
    from helpers.study.study import Study

# Keys that change no result of a training; and those of inference, which change greedy answers and scores by rounding only.
SPEED_ONLY = ("save_steps", "gradient_checkpointing", "keep_checkpoints", "accelerate", "vllm_server", "runs_per_gpu", "shared_prompts",
              "recipe", "report_to")  # fmt: skip
# Keys of a training younger than the published studies, left out at the value that they have there.
YOUNGER = {"reward": "verified", "rotate_options": False, "follow": None, "stop_on_collapse": False, "sync": "adapter"}
INFERENCE_ONLY = ("batch_size", "generation_batch_size", "runs_per_gpu")


def of(study: Study, step: str, arm: str = "", filter: str = "", seed: int | None = None) -> dict[str, Any]:
    """The inputs of one job of `step`; see `Study.inputs`."""
    dump = study.model_dump(mode="json")
    if step == "filter":
        chosen = {key: value for key, value in dump["filters"][filter].items() if key not in (*INFERENCE_ONLY, "label", SEARCH)}
        if study.filters[filter].samples > 1:  # a whole batch is drawn from one seed
            chosen["batch_size"] = study.filters[filter].batch_size
        chosen |= _search(study, study.filters[filter].search)
        return {"pool": _pool(study), "prompt": dump["prompt"], "filter": chosen, "dtype": study.model.dtype}
    if step == "held_out":
        split = _split(study)
        other = {key: split[key] for key in ("held_out_from",) if key in split}
        return {"pool": _pool(study)} | {key: split.get(key) for key in ("seed", "held_out", "excluded")} | other
    if step == "overlaps":
        tasks = [task.name for task in study.eval.tasks]
        return {"pool": _pool(study), "tasks": tasks} | {key: _split(study)[key] for key in ("overlap_words", "overlap_share")}
    if step == "search":
        return _search(study, True) | {"tasks": [task.name for task in study.eval.tasks]}
    if step == "split":
        names = [task.name for task in study.eval.tasks]
        drawn = {key: value for key, value in dump["arms"][arm].items() if key not in ("train", "label", SEARCH)}
        if not drawn["balanced"]:  # younger than the published studies
            del drawn["balanced"]
        chosen = {"pool": _pool(study), "arm": drawn, "split": _split(study), "tasks": names, "label": study.label(arm)}
        return chosen if study.split.draws == "fixed" else chosen | {"draw": seed}
    if step == "train":
        train = study.training(arm).model_dump(mode="json")
        decides = {key: value for key, value in train.items() if key not in SPEED_ONLY and (key, value) not in YOUNGER.items()}
        decides |= _search(study, study.arms[arm].search)
        return {"prompt": dump["prompt"], "model": dump["model"], "train": decides, "seed": seed}
    if step == "eval":
        decides = {key: value for key, value in dump["eval"].items() if key not in (*INFERENCE_ONLY, "groups")}
        decides |= {"tasks": _tasks(study)} | _search(study, any(task.search for task in study.eval.tasks))
        drawn = {"pool": _pool(study), "split": _split(study)} if study.split.held_out else {}
        return {"prompt": dump["prompt"], "model": dump["model"], "eval": decides, **drawn}
    shown = {key: dump[key] for key in ("title", "question", "demonstration", "analysis")}
    return shown | {"arms": list(study.arms), "tasks": _tasks(study), "groups": dump["eval"]["groups"]}


def _search(study: Study, used: bool) -> dict[str, Any]:
    """The search tool where a job uses it; nothing else changes by it."""
    if not used or not study.search:
        return {}
    path = corpus_path(study.search.corpus.source, study.file)
    return {SEARCH: [study.search.model_dump(mode="json"), [sha256(file) for file in corpus_files(path)] if path else []]}


def _tasks(study: Study) -> list[dict[str, Any]]:
    """The tasks' parameters; those of tasks without search are as they were before there was one."""
    return [task.model_dump(mode="json", exclude=None if task.search else {SEARCH}) for task in study.eval.tasks]


def _split(study: Study) -> dict[str, Any]:
    """The split's parameters. Keys younger than the published studies are left out at the value they have there."""
    dump = study.split.model_dump(mode="json", exclude={"exclude_from_held_out"})
    for key, usual in (("draws", "fixed"), ("held_out_from", None)):
        if dump[key] == usual:
            del dump[key]
    excluded = study.split.exclude_from_held_out
    return dump | ({"excluded": sha256(study.beside(excluded))} if excluded else {})


def _pool(study: Study) -> list[Any]:
    """The pool's parameters (those younger than the published studies if given) and, if it is a file or folder, a hash of its content."""
    path = pool_file(study.pool, study.file)
    dump = {key: value for key, value in study.pool.model_dump(mode="json").items() if value or key not in ("columns", "answers")}
    return [dump, content_hash(path) if path else ""]
