"""A study: its parameters checked before any model is loaded, its paths, and what each of its jobs depends on.

A study is one YAML file (`helpers/study/yamls.py`, `helpers/study/schema.py`). Everything a person can get
wrong in it ends in one line that names the file, the key, the value and what would be right.
"""

from __future__ import annotations

import ast
import difflib
import os
import re
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from helpers.questions import pools
from helpers.study import yamls
from helpers.study.files import StudyError, sha256
from helpers.study.schema import (
    HELD_OUT,
    NAME,
    Analysis,
    Arm,
    Eval,
    Filter,
    Model,
    Name,
    Pool,
    Prompt,
    Seed,
    Split,
    Strict,
    Train,
)

REPOSITORY = Path(__file__).resolve().parents[2]
TASKS = Path(__file__).parents[1] / "evaluation" / "tasks"
UNTRAINED = "untrained"
SPEED_ONLY = (
    "save_steps",
    "gradient_checkpointing",
    "keep_checkpoints",
    "accelerate",
    "vllm_server",
    "runs_per_gpu",
)  # change no result of a training
INFERENCE_ONLY = ("batch_size", "generation_batch_size", "runs_per_gpu")  # change greedy answers and scores by rounding only


class Study(Strict):
    """All parameters of one study."""

    title: str
    question: str = ""
    demonstration: bool = False
    model: Model
    engine: Literal["auto", "transformers", "vllm"] = "auto"
    pool: Pool
    prompt: Prompt = Prompt()
    filters: dict[Name, Filter] = {}
    arms: Annotated[dict[Name, Arm], Field(min_length=1)]
    split: Split = Split()
    seeds: Annotated[list[Seed], Field(min_length=1)]
    train: Train
    eval: Eval
    analysis: Analysis = Analysis()

    _file: Path = Path()
    _pool_size: int | None = None

    @field_validator("pool", mode="before")
    @classmethod
    def _named(cls, pool: Any) -> Any:
        return {"source": pool} if isinstance(pool, str) else pool

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, seeds: list[int]) -> list[int]:
        twice = sorted({seed for seed in seeds if seeds.count(seed) > 1})
        if twice:
            raise ValueError(f"seed {twice[0]} stands twice; a seed counts once")
        return seeds

    @field_validator("arms")
    @classmethod
    def _not_reserved(cls, arms: dict[str, Arm]) -> dict[str, Arm]:
        if UNTRAINED in arms:
            raise ValueError(f"{UNTRAINED!r} is the name of the model before training; call the arm otherwise")
        return arms

    @model_validator(mode="after")
    def _arms_fit(self) -> Study:
        for name, arm in self.arms.items():
            if arm.filter is not None and arm.filter not in self.filters:
                raise ValueError(f"arms.{name}.filter: {arm.filter!r} is no filter{_nearest(arm.filter, self.filters)}")
            if arm.pass_rate is not None and self.filters[arm.filter].samples == 1:
                raise ValueError(f"arms.{name}.pass_rate: filters.{arm.filter}.samples is 1; a pass rate needs several samples")
            try:
                train = self.training(name)
            except ValidationError as error:
                raise ValueError(f"arms.{name}.train: {_one_line(error, Train)}") from None
            if arm.wanted < train.questions_per_step:
                raise ValueError(
                    f"arms.{name}: {arm.wanted} questions are fewer than one step takes ({train.questions_per_step})"
                )
        return self

    @model_validator(mode="after")
    def _held_out_fits(self) -> Study:
        asked = HELD_OUT in [task.name for task in self.eval.tasks]
        if asked != bool(self.split.held_out):
            raise ValueError(f"split.held_out and the task {HELD_OUT!r} of eval.tasks belong together; give both or none")
        if not asked and any(self.training(arm).keep_checkpoints for arm in self.arms):
            raise ValueError(
                f"train.keep_checkpoints: checkpoints are scored on the task {HELD_OUT!r}; add it and split.held_out"
            )
        return self

    @model_validator(mode="after")
    def _apart_is_scored(self) -> Study:
        tasks = [task.name for task in self.eval.tasks]
        for name in self.analysis.apart:
            if name not in tasks:
                raise ValueError(f"analysis.apart: {name!r} is no task of eval.tasks{_nearest(name, tasks)}")
        return self

    @property
    def file(self) -> Path:
        """The YAML file the study was read from."""
        return self._file

    @property
    def name(self) -> str:
        """The study's name: its file's, without the ending."""
        return self._file.stem

    @property
    def folder(self) -> Path:
        """Where everything of this study goes: `runs/<name>`, or below `STUDY_RUNS` if that is set."""
        return REPOSITORY / (os.environ.get("STUDY_RUNS") or "runs") / self.name

    def path(self, *parts: str | int) -> Path:
        """A path inside the study's folder; whole numbers stand for seeds (`seed0`)."""
        return self.folder.joinpath(*(f"seed{part}" if isinstance(part, int) else part for part in parts))

    def beside(self, named: str) -> Path:
        """A file that the parameters name: beside the study's own file, else in `parameters/`. Raises StudyError if there is none."""
        for folder in (self._file.parent, REPOSITORY / "parameters"):
            if (folder / named).is_file():
                return folder / named
        raise StudyError(f"{self._file}: {named}: no such file (looked in {self._file.parent} and parameters/)")

    def of(self, kind: Literal["filters", "arms"], name: str) -> Any:
        """The filter or arm called `name`. Raises StudyError with the nearest name if there is none."""
        found = getattr(self, kind)
        if name not in found:
            raise StudyError(f"{self._file}: {kind} has no {name!r}{_nearest(name, found)}")
        return found[name]

    def check_seed(self, seed: int) -> int:
        """`seed` itself, if it is one of the study's. Raises StudyError otherwise."""
        if seed not in self.seeds:
            raise StudyError(f"{self._file}: seeds has no {seed!r}; it has {self.seeds}")
        return seed

    def training(self, arm: str) -> Train:
        """How an arm is trained: the study's `train` with the arm's changes on top."""
        changes = self.arms[arm].train
        return Train.model_validate(yamls.lay_over(self.train.model_dump(), changes)) if changes else self.train

    def checkpoints(self, arm: str) -> list[int]:
        """The steps before the last at which an arm's adapter is kept, to be scored on the held-out part of the pool."""
        train = self.training(arm)
        return (
            list(range(train.save_steps, train.steps(self.arms[arm].wanted), train.save_steps)) if train.keep_checkpoints else []
        )

    def check_step(self, arm: str, step: int) -> int:
        """`step` itself, if it is 0 (the end of the training) or a kept checkpoint. Raises StudyError otherwise."""
        if step and step not in self.checkpoints(arm):
            raise StudyError(f"{self._file}: {arm} keeps no checkpoint of step {step}; it keeps {self.checkpoints(arm)}")
        return step

    def models(self) -> list[tuple[str, ...]]:
        """What is compared: `('untrained',)` and `(arm, 'seed0')` for each arm and seed."""
        return [(UNTRAINED,)] + [(arm, f"seed{seed}") for arm in self.arms for seed in self.seeds]

    def scored(self) -> list[tuple[str, ...]]:
        """What 04_eval scores: the models that are compared, and `(arm, 'seed0', 'step50')` for each kept checkpoint."""
        kept = [(arm, f"seed{seed}", f"step{step}") for arm in self.arms for seed in self.seeds for step in self.checkpoints(arm)]
        return self.models() + kept

    def inputs(self, step: str, arm: str = "", filter: str = "", seed: int | None = None) -> dict[str, Any]:
        """The parameters that one job of `step` depends on, and no others.

        Snakemake compares them to decide what runs again, and results are fingerprinted with them. What
        changes speed but no result (batch sizes of inference, how often a checkpoint is saved) is left out.
        """
        dump = self.model_dump(mode="json")
        if step == "filter":
            asked = {key: value for key, value in dump["filters"][filter].items() if key not in INFERENCE_ONLY}
            if self.filters[filter].samples > 1:  # a whole batch is drawn from one seed
                asked["batch_size"] = self.filters[filter].batch_size
            return {"pool": self._pool(), "prompt": dump["prompt"], "filter": asked, "dtype": self.model.dtype}
        if step == "split":
            names = [task.name for task in self.eval.tasks]
            drawn = {key: value for key, value in dump["arms"][arm].items() if key != "train"}
            return {"pool": self._pool(), "arm": drawn, "split": dump["split"], "tasks": names}
        if step == "train":
            train = self.training(arm).model_dump(mode="json")
            decides = {key: value for key, value in train.items() if key not in SPEED_ONLY}
            return {"prompt": dump["prompt"], "model": dump["model"], "train": decides, "seed": seed}
        if step == "eval":
            decides = {key: value for key, value in dump["eval"].items() if key not in (*INFERENCE_ONLY, "groups")}
            drawn = {"pool": self._pool(), "split": dump["split"]} if self.split.held_out else {}
            return {"prompt": dump["prompt"], "model": dump["model"], "eval": decides, **drawn}
        shown = {key: dump[key] for key in ("title", "question", "demonstration", "analysis")}
        return shown | {"arms": list(self.arms), "tasks": dump["eval"]["tasks"], "groups": dump["eval"]["groups"]}

    def _pool(self) -> list[Any]:
        """The pool's parameters and, if it is a file, the fingerprint of its content."""
        path = pools.source_file(self.pool, self._file)
        return [self.pool.model_dump(mode="json"), sha256(path) if path else ""]


def _nearest(word: str, known: Any) -> str:
    """'; did you mean …?' or '; there are …', for the end of an error line."""
    close = difflib.get_close_matches(word, [str(k) for k in known], n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; there are: {', '.join(map(str, known))}" if known else "; there are none"


def find(study: str) -> Path:
    """The parameter file of a study given by name or by path. Raises StudyError if there is none."""
    path = Path(study)
    if path.suffix in {".yaml", ".yml"}:
        if not path.is_file():
            raise StudyError(f"{study}: no such file; name a study of parameters/ or a YAML file that exists")
    else:
        if not re.match(NAME, study):
            raise StudyError(
                f"STUDY={study!r}: a study's name has letters, digits, '.', '_' and '-' only (no slash); "
                "or give the path of a .yaml file"
            )
        path = REPOSITORY / "parameters" / f"{study}.yaml"
        if not path.is_file():
            raise StudyError(f"{path}: no such file{_nearest(study, sorted(p.stem for p in path.parent.glob('*.yaml')))}")
    if not re.match(NAME, path.stem):
        raise StudyError(f"{path}: a study's file name has letters, digits, '.', '_' and '-' only")
    return path


def open_study(study: str) -> Study:
    """Read and check a study, given by name (`quickstart`) or by path of its YAML file.

    Raises StudyError, in one line, for anything that can be known before a model is loaded.
    """
    path = find(study)
    try:
        checked = Study.model_validate(yamls.read(path))
    except ValidationError as error:
        raise StudyError(f"{path}: {_one_line(error)}") from None
    checked._file = path
    try:
        _check_pool(checked)
    except StudyError as error:
        raise StudyError(f"{path}: {error}") from None
    _check_tasks(checked)
    return checked


def _check_pool(study: Study) -> None:
    """Everything about the pool that can be known without the network."""
    size = pools.local_size(study.pool, study.file)
    if size is None:
        if study.pool.revision is None:
            raise StudyError(
                f"pool: {study.pool.source} is neither a starter set nor a file, so a data set of the hub, and these are read "
                "at one commit: write `pool: {source: …, revision: <commit>}`"
            )
        return
    study._pool_size = size
    check_arms(study, size)


def check_arms(study: Study, size: int) -> None:
    """Raise StudyError if an arm asks for more questions than a pool of that size has."""
    for name, arm in study.arms.items():
        if arm.wanted + study.split.held_out > size:
            held = f" and {study.split.held_out} held out" if study.split.held_out else ""
            raise StudyError(f"arms.{name}: {arm.wanted} questions wanted{held}, the pool {study.pool.source!r} has {size}")


def _check_tasks(study: Study) -> None:
    """Tasks of the project must exist, and samples; other names are lm-evaluation-harness's own (`helpers/evaluation/benchmarks.py` checks)."""
    own = sorted(path.stem for path in TASKS.glob("starter_*.yaml"))
    for task in study.eval.tasks:
        if task.name.startswith("starter_") and task.name not in own:
            raise StudyError(f"{study.file}: eval.tasks: no task {task.name!r}{_nearest(task.name, own)}")
        if task.sample:
            study.beside(task.sample)


def _one_line(error: ValidationError, root: type[BaseModel] = Study) -> str:
    """The first of pydantic's findings as one line, with the number of the others."""
    first, *others = error.errors()
    key = ".".join(str(part) for part in first["loc"] if part != "[key]")
    value, kind = first["input"], first["type"]
    if kind == "extra_forbidden":
        known = _fields_at(first["loc"][:-1], root)
        line = f"unknown key {key!r}{_nearest(str(first['loc'][-1]), known)}"
    elif kind == "missing":
        line = f"key {key!r} is missing"
    elif kind == "value_error":
        line = f"{key}: {first['ctx']['error']}" if key else str(first["ctx"]["error"])
    else:
        line = f"{key}: {value!r} is not right: {first['msg'][0].lower()}{first['msg'][1:]}"
    return line + (f" (and {len(others)} more)" if others else "")


def _fields_at(location: tuple[Any, ...], root: type[BaseModel]) -> list[str]:
    """Names of the keys that are allowed at a place in the study."""
    model: Any = root
    for part in location:
        field = getattr(model, "model_fields", {}).get(part)
        model = field.annotation if field else model
        for inner in _models_in(model):
            model = inner
    return list(getattr(model, "model_fields", {}))


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """The parameter classes named in a type such as `dict[str, Arm]`."""
    found = [annotation] if isinstance(annotation, type) and issubclass(annotation, BaseModel) else []
    for part in getattr(annotation, "__args__", ()):
        found += _models_in(part)
    return found


def refuse_unknown(*known: str) -> None:
    """Stop a notebook that was given a parameter it does not have.

    Papermill only warns of one and runs on the default (papermill#818). It puts the values it was
    given into a cell that begins with '# Parameters'; this reads that cell.
    """
    if "IPython" not in sys.modules:
        return
    shell = sys.modules["IPython"].get_ipython()
    for cell in getattr(shell, "user_ns", {}).get("In", []):
        if not cell.startswith("# Parameters"):
            continue
        given = [target.id for node in ast.parse(cell).body if isinstance(node, ast.Assign) for target in node.targets]
        for name in given:
            if name not in known:
                raise StudyError(f"-p {name}: this notebook has no such parameter{_nearest(name, known)}")


def main() -> None:
    """`python -m helpers.study.study NAME`: check a study; print its pieces, or one line and exit with 1."""
    try:
        study = open_study(sys.argv[1] if len(sys.argv) > 1 else "quickstart")
    except StudyError as error:
        sys.exit(f"error: {error}")
    pool = f" ({study._pool_size} questions)" if study._pool_size else ""
    print(
        f"{study.name}: {study.model.id}, pool {study.pool.source}{pool}, {len(study.filters)} filters, "
        f"{len(study.arms)} arms × {len(study.seeds)} seeds, {len(study.eval.tasks)} benchmarks"
    )


if __name__ == "__main__":
    main()
