"""The parameters of a study, as types: what each key may be, and what it is when it is not given.

Names and defaults are the paper's (arXiv 2504.13950) where it states one; where a default is ours the
study's YAML file says so beside it. Filters, arms and the split are in `choices.py`. Nothing here reads a file.
"""

from __future__ import annotations

from typing import Annotated, Literal

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
