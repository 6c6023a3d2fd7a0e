"""The parameters of a study, as types: what each key may be, and what it is when it is not given.

Names and defaults are the paper's (arXiv 2504.13950) where it states one; where a default is ours the
study's YAML file says so beside it. Nothing here reads a file.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from helpers.study.places import NAME

REWARDS = ("accuracy", "format", "xml_count")
HELD_OUT = "pool_held_out"  # the task that asks the held-out part of the pool

Name = Annotated[str, Field(pattern=NAME)]
Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Modules = Annotated[str, Field(min_length=1)]  # names or a regular expression of modules, as PEFT reads them
Sharing = Annotated[int, Field(ge=1, le=12)]  # how many jobs of a kind share one GPU


class Strict(BaseModel):
    """Unknown keys, values of the wrong type, and numbers that are not finite are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Model(Strict):
    """The model that is trained, by hub id or folder."""

    id: str
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"


class Pool(Strict):
    """The questions to choose from; see `helpers/questions/pools.py`. A hub data set is named with the commit it is read at."""

    source: str
    config: str | None = None
    split: str = "train"
    revision: str | None = None


class Prompt(Strict):
    """How a question is put; see `helpers/questions/prompts.py`."""

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
    runs_per_gpu: Sharing = 1

    @model_validator(mode="after")
    def _samples_differ(self) -> Filter:
        if self.samples > 1 and self.temperature == 0:
            raise ValueError("samples above 1 need a temperature above 0, else all samples are equal")
        return self


class Arm(Strict):
    """A way to choose training questions, and what is trained differently with them.

    `size`: at random. `filter`, `hard`, `easy`: by a filter's labels. `filter`, `size`, `pass_rate`: those whose
    pass rate lies nearest. `train`: keys of the study's `train` that this arm changes.
    """

    size: Count | None = None
    filter: Name | None = None
    hard: Annotated[int, Field(ge=0)] | None = None
    easy: Annotated[int, Field(ge=0)] | None = None
    pass_rate: Share | None = None
    train: dict[str, Any] = {}

    @model_validator(mode="after")
    def _one_kind(self) -> Arm:
        given = {key for key in ("size", "filter", "hard", "easy", "pass_rate") if getattr(self, key) is not None}
        if given not in ({"size"}, {"filter", "hard", "easy"}, {"filter", "size", "pass_rate"}):
            raise ValueError(
                "an arm has either `size` (random) or all of `filter`, `hard` and `easy`, or all of `filter`, `size` and `pass_rate`"
            )
        if given == {"filter", "hard", "easy"} and self.hard + self.easy == 0:
            raise ValueError("hard and easy are both 0; an arm needs at least one question")
        return self

    @property
    def wanted(self) -> int:
        """Number of training questions."""
        return self.size or self.hard + self.easy


class Split(Strict):
    """How questions are drawn, which are dropped because a benchmark has them, and how many no arm may have."""

    seed: Seed = 0
    shortage: Literal["stop", "fill"] = "stop"
    overlap_words: Count = 8
    overlap_share: Share = 0.5
    held_out: Annotated[int, Field(ge=0)] = 0


class Lora(Strict):
    """LoRA as in PEFT."""

    r: Count = 16
    alpha: Count = 32
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    target_modules: Modules | Annotated[list[Modules], Field(min_length=1)] = "all-linear"


class Train(Strict):
    """GRPO; the names are TRL's where TRL has one."""

    method: Literal["lora", "qlora", "full"] = "lora"
    learning_rate: Annotated[float, Field(gt=0)] = 2e-5
    lr_scheduler: Literal["cosine", "linear", "constant"] = "cosine"
    batch_size: Count = 3
    gradient_accumulation: Count = 4
    rollouts: Annotated[int, Field(ge=2)] = 3
    epochs: Annotated[float, Field(gt=0)] = 1.0
    max_steps: Count | None = None
    max_completion_tokens: Count = 1024
    temperature: Annotated[float, Field(gt=0)] = 1.0
    beta: Annotated[float, Field(ge=0)] = 0.0
    loss: Literal["grpo", "bnpo", "dr_grpo", "dapo"] = "grpo"
    scale_rewards: Literal["none", "group", "batch"] = "none"
    reward_weights: dict[Literal["accuracy", "format", "xml_count"], Annotated[float, Field(ge=0)]] = {}
    gradient_checkpointing: bool = False
    save_steps: Count = 25
    keep_checkpoints: bool = False
    accelerate: str | None = None
    vllm_server: str | None = None
    runs_per_gpu: Sharing = 1
    lora: Lora = Lora()

    @model_validator(mode="after")
    def _whole_groups(self) -> Train:
        if self.completions_per_step % self.rollouts:
            raise ValueError(
                f"batch_size × gradient_accumulation is {self.completions_per_step}, "
                f"which must be a multiple of rollouts ({self.rollouts}), so that groups are whole"
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
        return self.completions_per_step // self.rollouts

    def steps(self, questions: int) -> int:
        """Optimiser steps of a run over so many questions; those that fill no whole step are left out of an epoch."""
        full = -(-self.epochs * (questions // self.questions_per_step) // 1)
        return self.max_steps or int(full)
