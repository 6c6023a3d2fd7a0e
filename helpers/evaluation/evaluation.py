"""One model of a study and its scores: the untrained model, or a trained one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from helpers.evaluation import scoring
from helpers.evaluation.benchmarks import settings
from helpers.models import engines, loading
from helpers.study.errors import StudyError
from helpers.study.files import fingerprint, read_note, read_table, sha256
from helpers.study.schema import HELD_OUT
from helpers.study.study import UNTRAINED, Study


@dataclass(frozen=True)
class Evaluation:
    """A model of a study. step: 0 after the last step of a training, else a checkpoint, which is scored on held-out questions alone."""

    study: Study
    arm: str = UNTRAINED
    seed: int = 0
    step: int = 0

    @property
    def folder(self) -> Path:
        """Where the model's scores are."""
        parts = [] if self.arm == UNTRAINED else [self.seed, *([f"step{self.step}"] if self.step else [])]
        return self.study.path("eval", self.arm, *parts)

    @property
    def name(self) -> str:
        """`untrained`, `self/seed0` or `self/seed0/step50`."""
        return self.folder.relative_to(self.study.path("eval")).as_posix()

    @property
    def file(self) -> Path:
        """The table of scores."""
        return self.folder / "scores.parquet"

    @cached_property
    def trained(self) -> Path | None:
        """The folder of the trained weights; None for the untrained model. Raises StudyError if they are missing or out of date."""
        s, arm, seed = self.study, self.arm, self.seed
        if arm == UNTRAINED:
            return None
        s.of("arms", arm)
        run = s.path("train", arm, s.check_seed(seed))
        read_table(run / "log.csv", f"03_grpo_train (arm {arm}, seed {seed})", s.inputs("train", arm=arm, seed=seed))
        folder = run / (f"step{s.check_step(arm, self.step)}" if self.step else "adapter")
        if not folder.is_dir():
            raise StudyError(f"{folder}: the trained weights are missing; delete {run / 'log.csv'} and run 03_grpo_train again")
        return folder

    @cached_property
    def weights(self) -> dict[str, str]:
        """The base model and where its weights come from, as results record it."""
        return {"model": self.study.model.id} | loading.weights(self.study.model.id)

    @cached_property
    def tokenizer(self) -> Any:
        return loading.load_tokenizer(self.study.model.id)

    @property
    def engine(self) -> engines.Engine:
        """The engine with this model in it."""
        s = self.study
        method = s.training(self.arm).method if self.trained else "lora"
        return engines.load(engines.Weights(s.model.id, s.model.dtype, self.trained, method, read=True), s.engine)

    def scores(self) -> pd.DataFrame:
        """The model's scores (`scoring.score`); tasks that are scored already are read. A trained model is compared with the base first
        (`effect.training_effect`): raises StudyError if its weights are not used."""
        s, engine = self.study, self.engine
        effect = engine.effect(self.tokenizer) if self.trained else {}
        files = [sha256(path) for path in sorted(self.trained.glob("*.safetensors"))] if self.trained else [UNTRAINED]
        mark = fingerprint(s.model.id, self.weights["weights"], str(loading.dtype_of(s.model.dtype)), files)
        only, ends = (HELD_OUT,) if self.step else (), engine.ends(self.tokenizer)
        return s.result(
            self.file.relative_to(s.folder),
            make=lambda _: scoring.score(engine, self.tokenizer, s, mark, self.folder / "tasks", only, ends),
            inputs=s.inputs("eval"),
            made_from=[mark, self.name, only, ends, s.eval.groups, [settings(s, task) for task in s.eval.tasks]],
            engine=engine.name,
            likelihoods=engine.reads,
            arm=self.arm,
            seed=self.seed if self.trained else None,
            step=self.step,
            **self.weights,
            **effect,
        )

    def effect(self) -> dict[str, float]:
        """The effect of training on the model, as recorded with its scores: `largest_weight`, `largest_logit_change`; empty for the untrained model."""
        note = read_note(self.file)
        return {key: note[key] for key in ("largest_weight", "largest_logit_change") if key in note}


def untrained_scores(study: Study) -> pd.DataFrame:
    """The untrained model's scores: read if the study's parameters already have some, else computed here."""
    untrained = Evaluation(study)
    current = read_note(untrained.file).get("inputs") == fingerprint(study.inputs("eval"))
    return pd.read_parquet(untrained.file) if current and untrained.file.exists() else untrained.scores()
