"""A study: its parameters checked before anything is loaded, its paths, and the inputs of each of its jobs.

A study is one YAML file (`yamls.py`), whose keys are in `schema.py`. A mistake in it is one line that names the file, the key, the value
and what would be right.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from helpers.study import files, inputs, overrides, references, yamls
from helpers.study.choices import SAMPLES, TEMPERATURE, Arm, Filter, Split
from helpers.study.errors import StudyError, nearest, one_line
from helpers.study.places import beside, parameter_file, runs
from helpers.study.schema import BY_NAME, HELD_OUT, Model, Name, Pool, Prompt, Search, Seed, Strict, Text, Train
from helpers.study.schema_eval import Analysis, Eval

if TYPE_CHECKING:
    import pandas as pd

UNTRAINED = "untrained"


class Study(Strict):
    """All parameters of one study."""

    title: Text
    question: str = ""
    demonstration: bool = False
    model: Model
    engine: Literal["auto", "transformers", "vllm"] = "auto"
    pool: Annotated[Pool, BY_NAME]
    prompt: Prompt = Prompt()
    search: Search | None = None
    filters: dict[Name, Filter] = {}
    arms: Annotated[dict[Name, Arm], Field(min_length=1)]
    split: Split = Split()
    seeds: Annotated[list[Seed], Field(min_length=1)]
    train: Train
    eval: Eval
    analysis: Analysis = Analysis()

    _file: Path = Path()
    _changes: dict[str, Any] = {}

    @model_validator(mode="before")
    @classmethod
    def _sampled(cls, values: Any) -> Any:
        """Filters give SAMPLES answers per question if an arm needs several and the filter sets no number."""
        arms, filters = values.get("arms"), values.get("filters")
        for arm in arms.values() if isinstance(arms, dict) and isinstance(filters, dict) else []:
            found = filters.get(str(arm.get("filter"))) if isinstance(arm, dict) else None
            if isinstance(found, dict) and "samples" not in found and arm.keys() & {"pass_rate", "no_zero_variance"}:
                filters = filters | {arm["filter"]: {"temperature": TEMPERATURE} | found | {"samples": SAMPLES}}
        return values | {"filters": filters} if filters else values

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, seeds: list[int]) -> list[int]:
        twice = sorted({seed for seed in seeds if seeds.count(seed) > 1})
        if twice:
            raise ValueError(f"seed {twice[0]} occurs twice; give each seed once")
        return seeds

    @field_validator("arms", "filters")
    @classmethod
    def _own_folders(cls, named: dict[str, Any]) -> dict[str, Any]:
        if UNTRAINED in named:
            raise ValueError(f"{UNTRAINED!r} is the name of the model before training; choose another name")
        folders: dict[str, str] = {}
        for name in named:
            other = folders.setdefault(name.casefold(), name)
            if other != name:
                raise ValueError(
                    f"{other!r} and {name!r} differ by case only, so macOS and Windows give them one folder; rename one"
                )
        return named

    @model_validator(mode="after")
    def _arms_fit(self) -> Study:
        for name, arm in self.arms.items():
            if arm.filter is not None and arm.filter not in self.filters:
                raise ValueError(f"arms.{name}.filter: {arm.filter!r} is no filter{nearest(arm.filter, self.filters)}")
            if arm.needs_samples and self.filters[arm.filter].samples == 1:
                raise ValueError(f"arms.{name}: filters.{arm.filter}.samples is 1; a pass rate needs several samples")
            try:
                train = self.training(name)
            except ValidationError as error:
                raise ValueError(f"arms.{name}.train: {one_line(error)}") from None
            a_step, per_epoch = train.questions_per_step, arm.wanted // train.questions_per_step
            if not per_epoch:
                raise ValueError(f"arms.{name}: {arm.wanted} questions are fewer than one step takes ({a_step})")
            if not train.max_steps and train.epochs * per_epoch < 1:
                raise ValueError(
                    f"arms.{name}: {train.epochs:g} epochs of {per_epoch} steps are less than one step; raise train.epochs"
                )
        return self

    @model_validator(mode="after")
    def _held_out_fits(self) -> Study:
        scored, trainings = HELD_OUT in [task.name for task in self.eval.tasks], [self.training(arm) for arm in self.arms]
        if scored != bool(self.split.held_out):
            raise ValueError(f"split.held_out and the task {HELD_OUT!r} of eval.tasks belong together; give both or none")
        if not scored and any(train.follow for train in trainings):
            raise ValueError("train.follow: no question is held out to be followed; set split.held_out")
        if self.split.held_out_from and (not scored or self.split.held_out_from == self.pool.split):
            raise ValueError("split.held_out_from is another split than the pool's, and needs split.held_out")
        if not scored and any(train.keep_checkpoints for train in trainings):
            raise ValueError(
                f"train.keep_checkpoints: checkpoints are scored on the task {HELD_OUT!r}; add it and split.held_out"
            )
        return self

    @model_validator(mode="after")
    def _search_is_used(self) -> Study:
        used = [f"{kind}.{name}" for kind in ("arms", "filters") for name, one in getattr(self, kind).items() if one.search]
        used += [f"eval.tasks.{task.name}" for task in self.eval.tasks if task.search]
        if used and not self.search:
            raise ValueError(f"{used[0]}.search is true, and the study has no tool; add `search: {{corpus: …}}`")
        if self.search and not used:
            raise ValueError("search: nothing uses it; set `search: true` for an arm, a filter or a task, or leave it out")
        return self

    @model_validator(mode="after")
    def _apart_is_scored(self) -> Study:
        tasks = [task.label for task in self.eval.tasks]
        for name in self.analysis.apart:
            if name not in tasks:
                raise ValueError(f"analysis.apart: {name!r} is no task of eval.tasks{nearest(name, tasks)}")
        return self

    @property
    def file(self) -> Path:
        """The YAML file that the study was read from; names of files in it count from its folder."""
        return self._file

    def reference(self) -> Path:
        """The file by which another process opens this study: its own or, with overrides, one below `runs/` that is written now."""
        if not self._changes:
            return self._file.resolve()
        path = self.folder.parent / f"{self.name}.yaml"
        overrides.write(path, self._file, self._changes)
        return path

    @property
    def name(self) -> str:
        """The name of the study: that of its file, without the suffix, and what overrides set (`overrides.name`)."""
        return overrides.name(self._file.stem, self._changes)

    @property
    def folder(self) -> Path:
        """The folder of everything that this study makes: `runs/<name>`, or `<name>` in the folder that STUDY_RUNS names."""
        return runs() / self.name

    def path(self, *parts: str | int) -> Path:
        """A path in the study's folder; an integer k stands for `seed<k>`."""
        return self.folder.joinpath(*(f"seed{part}" if isinstance(part, int) else part for part in parts))

    @property
    def draw_pattern(self) -> str:
        """The path of an arm's questions in the study's folder: one draw per seed, or a fixed one for all seeds."""
        return "split/{arm}/train.parquet" if self.split.draws == "fixed" else "split/{arm}/seed{seed}/train.parquet"

    def draw_file(self, arm: str, seed: int) -> Path:
        """The questions on which a seed of an arm is trained."""
        return self.folder / self.draw_pattern.format(arm=arm, seed=seed)

    def draws(self) -> list[tuple[str, ...]]:
        """What 02_split draws: `(arm, 'seed0')` for each arm and seed, or `(arm,)` if all seeds share a fixed draw."""
        seeds = [()] if self.split.draws == "fixed" else [(f"seed{seed}",) for seed in self.seeds]
        return [(arm, *seed) for arm in self.arms for seed in seeds]

    def draw_seed(self, seed: int) -> int | list[int]:
        """The seed for the order of the pool, for the draw of a training seed; draw 0 is the fixed draw."""
        return self.split.seed if self.split.draws == "fixed" else [self.split.seed, self.check_seed(seed)]

    def label(self, arm: str) -> str:
        """The reading of a filter's answers by which an arm chooses: the arm's own, else its filter's."""
        spec = self.arms[arm]
        return spec.label or (self.filters[spec.filter].label if spec.filter else "strict")

    def beside(self, named: str) -> Path:
        """A file that the parameters name (`places.beside`)."""
        return beside(self._file, named)

    def of(self, kind: Literal["filters", "arms"], name: str) -> Any:
        """The filter or arm called `name`. Raises StudyError with the nearest name if there is none."""
        found = getattr(self, kind)
        if name not in found:
            raise StudyError(f"{self._file}: {kind} has no {name!r}{nearest(name, found)}")
        return found[name]

    def check_seed(self, seed: int) -> int:
        """`seed`, if it is one of the study's. Raises StudyError otherwise."""
        if seed not in self.seeds:
            raise StudyError(f"{self._file}: seeds has no {seed!r}; it has {self.seeds}")
        return seed

    def training(self, arm: str) -> Train:
        """The training of an arm: the study's `train` with the changes of the arm."""
        changes = self.arms[arm].train
        return Train.model_validate(yamls.lay_over(self.train.model_dump(), changes)) if changes else self.train

    def checkpoints(self, arm: str) -> list[int]:
        """The steps before the last at which an arm's adapter is kept, to be scored on the held-out part of the pool."""
        train = self.training(arm)
        steps = train.steps(self.arms[arm].wanted) if train.keep_checkpoints else 0
        return list(range(train.save_steps, steps, train.save_steps))

    def check_step(self, arm: str, step: int) -> int:
        """`step`, if it is 0 (the end of the training) or a kept checkpoint. Raises StudyError otherwise."""
        if step and step not in self.checkpoints(arm):
            raise StudyError(f"{self._file}: {arm} has no checkpoint of step {step}; it has {self.checkpoints(arm)}")
        return step

    def models(self) -> list[tuple[str, ...]]:
        """The models that are compared: `('untrained',)`, and `(arm, 'seed0')` for each arm and seed."""
        return [(UNTRAINED,)] + [(arm, f"seed{seed}") for arm in self.arms for seed in self.seeds]

    def scored(self) -> list[tuple[str, ...]]:
        """The models that 04_eval scores: those that are compared, and `(arm, 'seed0', 'step50')` for each kept checkpoint."""
        kept = [(arm, f"seed{seed}", f"step{step}") for arm in self.arms for seed in self.seeds for step in self.checkpoints(arm)]
        return self.models() + kept

    def notebooks(self) -> list[str]:
        """Names of the executed notebooks, without their suffix, in reading order."""
        return [
            *(f"01_filter-{name}" for name in self.filters),
            *(f"02_split-{'-'.join(draw)}" for draw in self.draws()),
            *(f"03_grpo_train-{arm}-seed{seed}" for arm in self.arms for seed in self.seeds),
            *(f"04_eval-{'-'.join(model)}" for model in self.scored()),
            "05_analysis",
        ]

    def result(self, name: str | Path, **how: Any) -> pd.DataFrame:
        """The table `name` of this study's folder: read if it is current, else adopted, else made. how: as in `files.result`."""
        return files.result(self.folder, name, **how)

    def inputs(self, step: str, arm: str = "", filter: str = "", seed: int | None = None) -> dict[str, Any]:
        """The parameters that one job of `step` depends on: results are fingerprinted with them, and Snakemake compares them."""
        return inputs.of(self, step, arm, filter, seed)


def open_study(study: str, changes: str = "") -> Study:
    """Read and check a study, given by name (`quickstart`) or by the path of its YAML file.

    changes: keys to set, as in `train.beta=0.01 seeds=[0,1]` (`overrides.parse`).
    Raises StudyError, in one line, for every mistake that the parameters alone show. What only the pool's questions, the models
    or this machine can show is checked by `helpers/workflow/check.py`.
    """
    path, given = overrides.read(parameter_file(study))
    given |= overrides.parse(changes)
    shown = f"{path} with SET {overrides.words(given)}" if given else str(path)
    values = yamls.read(path)
    try:
        checked = Study.model_validate(overrides.lay(values, given, path))
    except ValidationError as error:
        raise StudyError(f"{shown}: {one_line(error)}") from None
    checked._file, checked._changes = path, given
    references.check(checked)
    return checked
