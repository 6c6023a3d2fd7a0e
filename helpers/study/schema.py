"""The parameters of a study as types: the values that each key can have, and its default.

Names and defaults follow the paper (arXiv 2504.13950) where it states them; the YAML files of the studies mark our own choices.
`choices.py` has the keys `filters`, `arms` and `split`; `schema_eval.py` has `eval` and `analysis`.
"""

from __future__ import annotations

from math import ceil
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from helpers.study.places import NAME

REWARDS = ("accuracy", "format", "xml_count")
HELD_OUT = "pool_held_out"  # the task over the held-out questions of the pool
REASONING = "reasoning"  # in the names of tasks with the training prompt; two have it without the word
SEARCH = "search"  # at the end of the names of tasks that are answered with the search tool
NOTICE = 64  # tokens of a notice in place of passages, at most
ROTATIONS = 4  # options of a question that is trained on in all rotations

Name = Annotated[str, Field(pattern=NAME, max_length=80)]  # of files and folders, too
Text = Annotated[str, Field(pattern=r"^[^\x00-\x1f]+$")]  # one line, not empty
Count = Annotated[int, Field(ge=1, le=10**9)]
Share = Annotated[float, Field(ge=0, le=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Modules = Annotated[str, Field(min_length=1)]  # names or a regular expression of modules, as PEFT reads them
Sharing = Annotated[int, Field(ge=1, le=12)]  # how many jobs of a kind share one GPU
# A mapping that may be its source alone.
BY_NAME = BeforeValidator(lambda value: {"source": value} if isinstance(value, str) else value)


def in_reasoning_mode(task: str) -> bool:
    """Whether the model answers a task with the training prompt.

    >>> [in_reasoning_mode(name) for name in ("medqa_reasoning", "medcalc_bench", "gsm8k")]
    [True, True, False]
    """
    return REASONING in task or task in (HELD_OUT, "medcalc_bench")


class Strict(BaseModel):
    """Unknown keys, values of the wrong type, and numbers that are not finite are errors."""

    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, values: Any) -> Any:
        known = [field.alias or name for name, field in cls.model_fields.items()]
        for key in values if isinstance(values, dict) else ():
            if key not in known:
                raise PydanticCustomError("unknown_key", "unknown key", {"key": str(key), "known": known})
        return values


class Model(Strict):
    """The model that is trained, by hub id or folder."""

    id: Text
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"


class DataSet(Strict):
    """Where rows come from: a file or folder, or a split of a data set of the hub at one commit (`revision`)."""

    source: Text
    config: str | None = None
    split: Text = "train"
    revision: str | None = None


class Pool(DataSet):
    """The questions to choose from (`helpers/questions/pools.py`).

    `columns`: names of columns that are not those of a known form
    (`parameters/README.md`). `answers`: how these name an option, where the rows alone do not tell.
    """

    columns: dict[Literal["question", "options", "answer", "context", "topic", "id"], Text | list[Text]] = {}
    answers: Literal["letter", "text", "from_0", "from_1"] | None = None

    @field_validator("columns")
    @classmethod
    def _one_each(cls, columns: dict[str, str | list[str]]) -> dict[str, str | list[str]]:
        for key, named in columns.items():
            if isinstance(named, list) and (key != "options" or len(named) < 2):
                raise ValueError(f"{key} should be the name of one column" + (", or of two and more" if key == "options" else ""))
        return columns


class Prompt(Strict):
    """The prompt of a question (`helpers/questions/prompts.py`)."""

    style: Literal["chat", "plain"] = "chat"
    worked_examples: Annotated[int, Field(ge=0, le=2)] = 0
    prefill: Literal["", "<think>"] = ""


class Corpus(DataSet):
    """Passages to search (`helpers/search/corpus.py`); those whose title begins with one of `without` are left out."""

    without: list[Text] = []


class Search(Strict):
    """A search tool that a model may use while it answers (`helpers/search`); arms, filters and tasks turn it on with `search: true`.

    `passages`: how many a search returns; `tokens`: the most that are inserted for them; `searches`: how many an answer may make.
    The values are those of Search-R1 (arXiv 2503.09516). `corpus`: `starter`, a file or a folder, or a data set of the hub.
    """

    corpus: Annotated[Corpus, BY_NAME]
    passages: Annotated[int, Field(ge=1, le=50)] = 3
    searches: Annotated[int, Field(ge=1, le=20)] = 2
    tokens: Annotated[int, Field(ge=NOTICE, le=10_000)] = 500

    @property
    def inserted(self) -> int:
        """The most tokens that are inserted into an answer: passages, and a notice that no searches are left."""
        return self.searches * self.tokens + NOTICE


class Lora(Strict):
    """LoRA as in PEFT."""

    r: Count = 16
    alpha: Count = 32
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    target_modules: Modules | Annotated[list[Modules], Field(min_length=1)] = "all-linear"


class Follow(Strict):
    """Held-out questions answered during training: how many, and every how many steps; at most a tenth of the run's completions."""

    questions: Count = 200
    every: Count = 20


class Train(Strict):
    """GRPO. Keys have the names of TRL where TRL has one.

    `recipe`: a file of `parameters/recipes` on which these values are laid. `reward`: "random" rewards half of all completions, whatever
    they say (a negative control). `rotate_options`: each question with its options in every rotation. `shared_prompts`: compute a group's
    prompt once. `sync`: how a colocated vLLM gets the adapter: added to a base that stays untouched, or TRL's merging.
    """

    recipe: Name | None = None
    method: Literal["lora", "qlora", "full"] = "lora"
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 2e-5
    lr_scheduler: Literal["cosine", "linear", "constant"] = "cosine"
    batch_size: Count = 3
    gradient_accumulation: Count = 4
    rollouts: Annotated[int, Field(ge=2)] = 3
    epochs: Annotated[float, Field(gt=0, le=10_000)] = 1.0
    max_steps: Count | None = None
    max_completion_tokens: Count = 1024
    temperature: Annotated[float, Field(gt=0)] = 1.0
    beta: Annotated[float, Field(ge=0)] = 0.0
    loss: Literal["grpo", "bnpo", "dr_grpo", "dapo"] = "grpo"
    scale_rewards: Literal["none", "group", "batch"] = "none"
    reward: Literal["verified", "random"] = "verified"
    reward_weights: dict[Literal["accuracy", "format", "xml_count"], Annotated[float, Field(ge=0)]] = {}
    rotate_options: bool = False
    follow: Follow | None = None
    stop_on_collapse: bool = False
    shared_prompts: bool = True
    sync: Literal["adapter", "merge"] = "adapter"
    gradient_checkpointing: bool = False
    save_steps: Count = 25
    keep_checkpoints: bool = False
    accelerate: Text | None = None
    vllm_server: Annotated[str, Field(pattern=r"^https?://[^\s/]+")] | None = None
    report_to: Literal["none", "trackio", "tensorboard", "wandb"] = "none"
    runs_per_gpu: Sharing = 1
    lora: Lora = Lora()

    @model_validator(mode="after")
    def _whole_groups(self) -> Train:
        if self.completions_per_step % self.rollouts:
            raise ValueError(
                f"batch_size × gradient_accumulation is {self.completions_per_step}, "
                f"which must be a multiple of rollouts ({self.rollouts}), so that groups are whole"
            )
        if self.rotate_options and self.completions_per_step % (self.rollouts * ROTATIONS):
            raise ValueError(
                f"rotate_options: a step of {self.completions_per_step} completions should be a multiple of {ROTATIONS} rotations × "
                f"{self.rollouts} rollouts, so that all rotations of a question are in one step"
            )
        if self.reward_weights and not any(self.reward_weights.get(name, 1.0) for name in REWARDS):
            raise ValueError("reward_weights are all 0; at least one reward must count")
        return self

    @property
    def completions_per_step(self) -> int:
        """Completions in one optimiser step, on one device."""
        return self.batch_size * self.gradient_accumulation

    @property
    def questions_per_step(self) -> int:
        """Questions in one optimiser step."""
        return self.completions_per_step // self.rollouts // (ROTATIONS if self.rotate_options else 1)

    def steps(self, questions: int) -> int:
        """Optimiser steps of a run over this number of questions; questions of an epoch that do not fill a step are left out."""
        return self.max_steps or ceil(self.epochs * (questions // self.questions_per_step))
