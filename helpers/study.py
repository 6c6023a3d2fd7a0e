"""The parameters of a study: typed, strict, and checked before any model is loaded.

A study is one YAML file. Everything a person can get wrong in it ends in one line that names the
file, the key, the value and what would be right.
"""

from __future__ import annotations

import ast
import difflib
import os
import re
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from helpers import questions
from helpers.files import StudyError, sha256

REPOSITORY = Path(__file__).resolve().parent.parent
UNTRAINED = "untrained"
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"

Name = Annotated[str, Field(pattern=NAME)]
Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]


class Strict(BaseModel):
    """Unknown keys and values of the wrong type are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Model(Strict):
    """The model that is trained, by hub id or folder."""

    id: str
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"


class Prompt(Strict):
    """How a question is put; see `helpers/prompts.py`."""

    style: Literal["chat", "plain"] = "chat"
    worked_examples: Annotated[int, Field(ge=0, le=2)] = 0
    prefill: Literal["", "<think>"] = ""


class Filter(Strict):
    """A model that labels the pool."""

    model: str
    samples: Count = 1
    temperature: Annotated[float, Field(ge=0)] = 0.0
    max_new_tokens: Count = 1024
    batch_size: Count = 32

    @model_validator(mode="after")
    def _samples_differ(self) -> Filter:
        if self.samples > 1 and self.temperature == 0:
            raise ValueError("samples above 1 need a temperature above 0, else all samples are equal")
        return self


class Arm(Strict):
    """A way to choose training questions: `size` at random, or `hard` and `easy` from a filter's labels."""

    size: Count | None = None
    filter: Name | None = None
    hard: Annotated[int, Field(ge=0)] | None = None
    easy: Annotated[int, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Arm:
        filtered = self.filter is not None and self.hard is not None and self.easy is not None
        random = self.size is not None
        if filtered == random or (random and (self.filter or self.hard is not None or self.easy is not None)):
            raise ValueError("an arm has either `size` (random) or all of `filter`, `hard` and `easy`")
        if filtered and self.hard + self.easy == 0:
            raise ValueError("hard and easy are both 0; an arm needs at least one question")
        return self

    @property
    def wanted(self) -> int:
        """Number of training questions."""
        return self.size or self.hard + self.easy


class Split(Strict):
    """How questions are drawn, and which are dropped because a benchmark has them."""

    seed: Seed = 0
    shortage: Literal["stop", "fill"] = "stop"
    overlap_words: Count = 8
    overlap_share: Share = 0.5


class Lora(Strict):
    """LoRA as in PEFT."""

    r: Count = 16
    alpha: Count = 32
    dropout: Share = 0.0
    target_modules: str | list[str] = "all-linear"


class Train(Strict):
    """GRPO; the names are TRL's where TRL has one."""

    learning_rate: Annotated[float, Field(gt=0)] = 2e-5
    lr_scheduler: Literal["cosine", "linear", "constant"] = "cosine"
    batch_size: Count = 3
    gradient_accumulation: Count = 4
    rollouts: Annotated[int, Field(ge=2)] = 3
    epochs: Annotated[float, Field(gt=0)] = 1.0
    max_completion_tokens: Count = 1024
    temperature: Annotated[float, Field(gt=0)] = 1.0
    beta: Annotated[float, Field(ge=0)] = 0.0
    loss: Literal["grpo", "bnpo", "dr_grpo", "dapo"] = "grpo"
    scale_rewards: Literal["none", "group", "batch"] = "none"
    reward_weights: dict[Literal["accuracy", "format", "xml_count"], float] = {}
    gradient_checkpointing: bool = False
    save_steps: Count = 25
    lora: Lora = Lora()

    @model_validator(mode="after")
    def _whole_groups(self) -> Train:
        if (self.batch_size * self.gradient_accumulation) % self.rollouts:
            raise ValueError(
                f"batch_size × gradient_accumulation is {self.batch_size * self.gradient_accumulation}, "
                f"which must be a multiple of rollouts ({self.rollouts}), so that groups are whole"
            )
        return self

    @property
    def completions_a_step(self) -> int:
        """Completions in one optimiser step, on one device."""
        return self.batch_size * self.gradient_accumulation

    @property
    def questions_a_step(self) -> int:
        """Questions in one optimiser step."""
        return self.completions_a_step // self.rollouts


class Task(Strict):
    """One benchmark and the side of the report it stands on."""

    name: str
    group: Literal["specialisation", "robustness", "shift"]
    limit: Count | None = None


class Eval(Strict):
    """What is scored, by lm-evaluation-harness."""

    tasks: Annotated[list[Task], Field(min_length=1)]
    batch_size: Count = 16
    num_fewshot: Annotated[int, Field(ge=0)] | None = None
    chat_template: bool = False
    max_new_tokens: Count = 1024

    @field_validator("tasks")
    @classmethod
    def _once(cls, tasks: list[Task]) -> list[Task]:
        names = [task.name for task in tasks]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"{twice[0]!r} stands twice; score each task once")
        return tasks


class Analysis(Strict):
    """Settings of intervals and tests."""

    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    resamples: Annotated[int, Field(ge=100)] = 10_000
    power: Annotated[float, Field(gt=0.5, lt=1)] = 0.8
    seed: Seed = 0


class Study(Strict):
    """All parameters of one study."""

    title: str
    demonstration: bool = False
    model: Model
    pool: str
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
    def _known_filters(self) -> Study:
        for name, arm in self.arms.items():
            if arm.filter is not None and arm.filter not in self.filters:
                raise ValueError(f"arms.{name}.filter: {arm.filter!r} is no filter{_nearest(arm.filter, self.filters)}")
            if arm.wanted < self.train.questions_a_step:
                raise ValueError(
                    f"arms.{name}: {arm.wanted} questions are fewer than one step takes ({self.train.questions_a_step})"
                )
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

    def models(self) -> list[tuple[str, ...]]:
        """What 04_eval scores: `('untrained',)` and `(arm, 'seed0')` for each arm and seed."""
        return [(UNTRAINED,)] + [(arm, f"seed{seed}") for arm in self.arms for seed in self.seeds]

    def inputs(self, step: str, arm: str = "", filter: str = "", seed: int | None = None) -> dict[str, Any]:
        """The parameters that one job of `step` depends on, and no others.

        Snakemake compares them to decide what runs again, and results are fingerprinted with them. What
        changes speed but no result (batch sizes of inference, how often a checkpoint is saved) is left out.
        """
        dump = self.model_dump(mode="json")
        tasks = [(task.name, task.limit) for task in self.eval.tasks]
        if step == "filter":
            asked = {key: value for key, value in dump["filters"][filter].items() if key != "batch_size"}
            return {"pool": self._pool(), "prompt": dump["prompt"], "filter": asked, "dtype": self.model.dtype}
        if step == "split":
            names = [name for name, _ in tasks]
            return {"pool": self._pool(), "arm": dump["arms"][arm], "split": dump["split"], "tasks": names}
        if step == "train":
            decides = {key: value for key, value in dump["train"].items() if key not in ("save_steps", "gradient_checkpointing")}
            return {"prompt": dump["prompt"], "model": dump["model"], "train": decides, "seed": seed}
        if step == "score":
            decides = {key: value for key, value in dump["eval"].items() if key not in ("tasks", "batch_size")}
            return {"prompt": dump["prompt"], "model": dump["model"], "eval": decides}
        if step == "eval":
            return self.inputs("score") | {"tasks": tasks}
        shown = {key: dump[key] for key in ("title", "demonstration", "analysis")}
        return shown | {"arms": list(self.arms), "tasks": dump["eval"]["tasks"]}

    def _pool(self) -> list[str]:
        """The pool's name and, if it is a file, the fingerprint of its content."""
        path = questions.source_file(self.pool, self._file)
        return [self.pool, sha256(path) if path else ""]


def _nearest(word: str, known: Any) -> str:
    """'; did you mean …?' or '; there are …', for the end of an error line."""
    close = difflib.get_close_matches(word, [str(k) for k in known], n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; there are: {', '.join(map(str, known))}" if known else "; there are none"


class _Loader(yaml.SafeLoader):
    """YAML that reads 2e-5 as a number (YAML 1.2) and refuses a key that stands twice."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"), list("-+0123456789.")
)


def _mapping(loader: _Loader, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node)
        if key in seen:
            raise StudyError(f"line {key_node.start_mark.line + 1}: key {key!r} stands twice; keep one")
        seen.add(key)
    return yaml.SafeLoader.construct_mapping(loader, node, deep)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, lambda loader, node: _mapping(loader, node, True))


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
        values = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # a subclass of SafeLoader
    except StudyError as error:
        raise StudyError(f"{path}: {error}") from None
    except (yaml.YAMLError, ValueError, TypeError) as error:
        raise StudyError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise StudyError(f"{path}: holds no parameters; it should be a YAML mapping with title, model, pool, arms …")
    try:
        checked = Study.model_validate(values)
    except ValidationError as error:
        raise StudyError(f"{path}: {_one_line(error)}") from None
    checked._file = path
    _check_pool(checked, path)
    _check_tasks(checked, path)
    return checked


def _check_pool(study: Study, path: Path) -> None:
    """Everything about the pool that can be known without the network."""
    try:
        size = questions.local_size(study.pool, path)
    except StudyError as error:
        raise StudyError(f"{path}: {error}") from None
    if size is None:
        return
    study._pool_size = size
    for name, arm in study.arms.items():
        if arm.wanted > size:
            raise StudyError(f"{path}: arms.{name}: {arm.wanted} questions wanted, the pool {study.pool!r} has {size}")


def _check_tasks(study: Study, path: Path) -> None:
    """Tasks of the project must exist; other names are lm-evaluation-harness's own and are checked by it."""
    own = sorted(p.stem for p in (Path(__file__).parent / "tasks").glob("starter_*.yaml"))
    for task in study.eval.tasks:
        if task.name.startswith("starter_") and task.name not in own:
            raise StudyError(f"{path}: eval.tasks: no task {task.name!r}{_nearest(task.name, own)}")


def _one_line(error: ValidationError) -> str:
    """The first of pydantic's findings as one line, with the number of the others."""
    first, *others = error.errors()
    key = ".".join(str(part) for part in first["loc"] if part != "[key]")
    value, kind = first["input"], first["type"]
    if kind == "extra_forbidden":
        known = _fields_at(first["loc"][:-1])
        line = f"unknown key {key!r}{_nearest(str(first['loc'][-1]), known)}"
    elif kind == "missing":
        line = f"key {key!r} is missing"
    elif kind == "value_error":
        line = f"{key}: {first['ctx']['error']}" if key else str(first["ctx"]["error"])
    else:
        line = f"{key}: {value!r} is not right: {first['msg'][0].lower()}{first['msg'][1:]}"
    return line + (f" (and {len(others)} more)" if others else "")


def _fields_at(location: tuple[Any, ...]) -> list[str]:
    """Names of the keys that are allowed at a place in the study."""
    model: Any = Study
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
    """`python -m helpers.study NAME`: check a study; print its pieces, or one line and exit with 1."""
    try:
        study = open_study(sys.argv[1] if len(sys.argv) > 1 else "quickstart")
    except StudyError as error:
        sys.exit(f"error: {error}")
    pool = f" ({study._pool_size} questions)" if study._pool_size else ""
    print(
        f"{study.name}: {study.model.id}, pool {study.pool}{pool}, {len(study.filters)} filters, "
        f"{len(study.arms)} arms × {len(study.seeds)} seeds, {len(study.eval.tasks)} benchmarks"
    )


if __name__ == "__main__":
    main()
