"""The parameters `eval` and `analysis` of a study: what is scored, on which side of the report it stands, and how it is tested."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Annotated, Literal, get_args

from pydantic import Field, field_validator, model_validator

from helpers.study.schema import HELD_OUT, SEARCH, Count, Name, Seed, Share, Sharing, Strict, Text, in_reasoning_mode

Side = Literal["specialisation", "robustness", "shift"]
SIDES: tuple[str, ...] = get_args(Side)

MMLU_MEDICAL = (
    "anatomy", "clinical_knowledge", "college_biology", "college_medicine", "medical_genetics", "professional_medicine",
    "high_school_biology", "nutrition", "virology")  # fmt: skip
_CMMLU_MEDICAL = (
    "anatomy", "clinical_knowledge", "college_medical_statistics", "college_medicine", "genetics", "nutrition",
    "professional_medicine", "traditional_chinese_medicine", "virology")  # fmt: skip
GROUPS: dict[str, list[str]] = {
    "specialisation": [f"mmlu_{subject}" for subject in MMLU_MEDICAL]
    + [f"cmmlu_{subject}" for subject in _CMMLU_MEDICAL]
    + ["mmlu_pro_health", "mmlu_pro_biology", "mmlu_pro_likelihood_health", "mmlu_pro_likelihood_biology"]
    + ["medqa_*", "mmlu_medical_reasoning", HELD_OUT],
    "shift": ["medmcqa*", "pubmedqa*", "medxpertqa*", "medbullets*", "medcalc_bench"],
}  # benchmarks that match no pattern count as robustness


class Task(Strict):
    """One benchmark; what is not given here is taken from `eval`. `search`: the model may use the study's search tool."""

    name: Text
    group: Side | None = None
    limit: Count | None = None
    sample: str | None = None
    shots: Annotated[int, Field(ge=0)] | None = None
    chat_template: bool | None = None
    max_new_tokens: Count | None = None
    rotate: bool | None = None
    search: bool = False

    @property
    def label(self) -> str:
        """The name of its scores: a task that is answered with and without search has scores of both."""
        return f"{self.name}_{SEARCH}" if self.search else self.name

    @model_validator(mode="after")
    def _searches_while_reasoning(self) -> Task:
        if self.search and not in_reasoning_mode(self.name):
            raise ValueError(
                f"search: a model searches in reasoning mode only, and {self.name} is read otherwise; leave search out"
            )
        return self

    @model_validator(mode="after")
    def _one_selection(self) -> Task:
        if self.limit and self.sample:
            raise ValueError("limit and sample exclude each other; give one")
        return self


class Eval(Strict):
    """What is scored, by lm-evaluation-harness."""

    tasks: Annotated[list[Task], Field(min_length=1)]
    groups: dict[Side, list[str]] = GROUPS
    batch_size: Count = 16
    generation_batch_size: Count | None = None
    runs_per_gpu: Sharing = 1
    limit: Count | None = None
    shots: Annotated[int, Field(ge=0)] | None = None
    chat_template: bool = False
    max_new_tokens: Count = 1024
    rotate: bool = False

    @field_validator("tasks")
    @classmethod
    def _once(cls, tasks: list[Task]) -> list[Task]:
        names = [task.label for task in tasks]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"{twice[0]!r} occurs twice; score each task once")
        return tasks

    @property
    def written_at_once(self) -> int:
        """Answers that a model writes at once, where transformers writes: each keeps its cache, which reading a likelihood does not need."""
        return self.generation_batch_size or self.batch_size

    @property
    def about(self) -> str:
        """What specialisation is measured on, in words."""
        return "medical benchmarks" if self.groups == GROUPS else "benchmarks of what was trained"

    def side(self, task: Task, benchmark: str) -> str:
        """The side of the report on which a benchmark of a task stands: the task's own, else the first that names it."""
        if task.group:
            return task.group
        for side, patterns in self.groups.items():
            if any(fnmatchcase(benchmark, pattern) for pattern in patterns):
                return side
        return "robustness"


class Analysis(Strict):
    """Settings of intervals and tests; all are ours, the paper tests nothing.

    `margin`: a difference of accuracies smaller than this counts as none (two one-sided tests). `reflection_margin`: a rise
    of the rate of re-examination by less than this share of its rate in the first third of training counts as none. `control`: the study
    that is this one's positive control; if it did not show that training works, this one's verdicts are "cannot tell". `apart`: tasks
    that are shown but left out of the indices. `effect`: the difference between arms that the study is about (a share), which `make plan`
    compares with what its seeds can detect.
    """

    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    resamples: Annotated[int, Field(ge=100)] = 10_000
    power: Annotated[float, Field(gt=0.5, lt=1)] = 0.8
    seed: Seed = 0
    unparsed: Share = 0.2
    margin: Annotated[float, Field(gt=0, lt=1)] = 0.01
    reflection_margin: Annotated[float, Field(gt=0)] = 0.5
    control: Name | None = None
    apart: list[str] = []
    effect: Annotated[float, Field(gt=0, lt=1)] | None = None
