"""One training of a study: an arm and a seed, its inputs, and its results."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from helpers.models import engines, loading
from helpers.questions import prompts
from helpers.questions.rotation import rotate_questions
from helpers.search import tool
from helpers.search.measure import found_by
from helpers.study.files import adopt, fingerprint, is_current, read_note, read_table, write_result, write_table
from helpers.study.schema import Search, Train
from helpers.study.study import Study
from helpers.training import adapter, checkpoints, config, grpo, launch, rewards

STEP = "03_grpo_train"
SETTINGS = (
    "learning_rate", "lr_scheduler_type", "num_train_epochs", "max_steps", "per_device_train_batch_size", "gradient_accumulation_steps",
    "num_generations", "max_completion_length", "temperature", "top_p", "beta", "epsilon", "loss_type", "scale_rewards", "reward_weights",
    "max_grad_norm", "seed", "use_vllm")  # fmt: skip
LORA_SETTINGS = ("r", "lora_alpha", "lora_dropout", "target_modules")
# Columns, and their names for readers.
PARTS = {"reward_accuracy": "accuracy", "reward_format": "format", "reward_xml_count": "tags"}
MOST = {"reward_accuracy": 2, "reward_format": 2, "reward_xml_count": 1}  # what each reward gives at most


@dataclass(frozen=True)
class Training:
    """An arm and a seed of a study. Raises StudyError if the study does not have them."""

    study: Study
    arm: str
    seed: int

    def __post_init__(self) -> None:
        self.study.of("arms", self.arm)
        self.study.check_seed(self.seed)

    @property
    def name(self) -> str:
        """The run in words, for warnings."""
        return f"{self.arm}, seed {self.seed}"

    @property
    def train(self) -> Train:
        """The parameters of the training."""
        return self.study.training(self.arm)

    @property
    def search(self) -> Search | None:
        """The tool that the rollouts may search with; None without search."""
        return self.study.search if self.study.arms[self.arm].search else None

    @cached_property
    def questions(self) -> pd.DataFrame:
        """The arm's draw for this seed, one row per question. Raises StudyError if 02_split has not written it."""
        inputs = self.study.inputs("split", arm=self.arm, seed=self.seed)
        return read_table(self.study.draw_file(self.arm, self.seed), f"02_split (arm {self.arm}, seed {self.seed})", inputs)

    @cached_property
    def weights(self) -> dict[str, str]:
        """The model and where its weights come from (`loading.weights`)."""
        return {"model": self.study.model.id} | loading.weights(self.study.model.id)

    @property
    def engine(self) -> str:
        """The engine that generates the rollouts: transformers or vllm."""
        return engines.choose(self.study.engine, self.train.method)

    @cached_property
    def folder(self) -> Path:
        """Where log, rollouts and adapter are. The training runs if neither this study nor one beside it has them from these inputs."""
        folder, inputs = self.study.path("train", self.arm, self.seed), self.study.inputs("train", arm=self.arm, seed=self.seed)
        file, kept = folder / "log.csv", self.study.checkpoints(self.arm)
        asked = self.questions[["question", "answer"]].to_numpy().tolist(), [list(row) for row in self.questions["options"]]
        mark = fingerprint(inputs, *asked, self.weights["weights"], *([tool.mark(self.study)] if self.search else []))
        beside = ["completions.parquet", "adapter", *(f"step{step}" for step in kept)]
        beside += [launch.FOLLOWING, launch.FOLLOWING_ITEMS] if self.train.follow else []
        current = is_current(file, mark) and all((folder / name).exists() for name in beside)
        if not current and not adopt(file, mark, self.study.folder.parent, "*/train/*/*/log.csv", *beside):
            log, rollouts = launch.train(self.study, self.arm, self.seed, mark)
            checkpoints.keep_checkpoints(folder, kept)
            write_table(self._with_options_found(rollouts), folder / "completions.parquet")
            facts = {"engine": self.engine, "arm": self.arm, "seed": self.seed, "questions": len(self.questions)}
            facts |= {"sampling": "run seed and step"} | grpo.notes(folder / "checkpoints")
            write_result(log, file, mark, inputs, **self.weights, **facts)
        return folder

    def _with_options_found(self, rollouts: pd.DataFrame) -> pd.DataFrame:
        """Rollouts that could search with the columns of `found_by`: which options occur in the passages."""
        if "searches" not in rollouts:
            return rollouts
        asked = {row.question_id: (list(row.options), row.answer) for row in self.questions.itertuples()}
        found = [found_by(row.searches, *asked[row.question_id]) for row in rollouts.itertuples()]
        return rollouts.join(pd.DataFrame(found, index=rollouts.index))

    @cached_property
    def log(self) -> pd.DataFrame:
        """The log, one row per optimiser step."""
        return read_table(self.folder / "log.csv", STEP)

    @cached_property
    def note(self) -> dict[str, Any]:
        """What the log's note says: weights, versions, whether prompts were shared, whether the run was stopped."""
        return read_note(self.folder / "log.csv")

    @cached_property
    def rollouts(self) -> pd.DataFrame:
        """All rollouts, one row each: id and right answer of the question, the whole completion, the parts of the reward and their
        weighted sum `reward`, the advantage."""
        rows, asked = read_table(self.folder / "completions.parquet", STEP), self.questions
        if self.train.rotate_options:
            asked = rotate_questions(asked)
        else:
            rows, asked = rows.assign(rotation=0), asked.assign(rotation=0)
        rows = rows.merge(asked[["question_id", "rotation", "id", "answer"]], on=["question_id", "rotation"])
        weighted = zip((*rewards.ALL, rewards.RANDOM), rewards.weights(self.train), strict=False)
        reward = sum(weight * rows[f"reward_{name}"] for name, weight in weighted)
        rows = rows.assign(completion=self.study.prompt.prefill + rows["completion"], reward=reward)
        return rows.rename(columns=PARTS).sort_values("step", kind="stable")

    @cached_property
    def curve(self) -> pd.DataFrame:
        """Held-out accuracy during the training, one row per look; without rows if `train.follow` is not set."""
        return read_table(self.folder / launch.FOLLOWING, STEP) if self.train.follow else pd.DataFrame()

    def group(self, step: int) -> pd.DataFrame:
        """The rollouts of one question at a step: of the group whose advantages are largest."""
        rows = self.rollouts[self.rollouts["step"] == step]
        size = rows.groupby(["question_id", "rotation"])["advantage"].transform(lambda advantages: advantages.abs().sum())
        first = rows.loc[size.idxmax()]
        return rows[(rows["question_id"] == first["question_id"]) & (rows["rotation"] == first["rotation"])]

    def prompt(self, question_id: str) -> str:
        """The rendered prompt of a question, with its options as they are."""
        row, tokenizer = self.questions.set_index("question_id").loc[question_id], loading.load_tokenizer(self.study.model.id)
        return prompts.render(row["question"], list(row["options"]), self.study.prompt, tokenizer, self.search)

    def settings(self) -> pd.DataFrame:
        """Settings of TRL's GRPOConfig and, with an adapter, of PEFT's LoraConfig that decide what is learned, under their names."""
        shared = self.note.get("shared_prompts") == "on"
        values = config.config(self.train, self.seed, self.folder / "checkpoints", shared).to_dict()
        values["use_vllm"] = self.engine == "vllm"
        rows = [("GRPOConfig", key, str(values[key])) for key in SETTINGS]
        if self.train.method != "full":
            of_adapter = adapter.lora(self.train).to_dict()
            targets = of_adapter["target_modules"]
            of_adapter["target_modules"] = targets if isinstance(targets, str) else ", ".join(sorted(targets))
            rows += [("LoraConfig", key, str(of_adapter[key])) for key in LORA_SETTINGS]
        return pd.DataFrame(rows, columns=["of", "setting", "value"])

    def summary(self) -> str:
        """The answer of the chapter in two sentences: how the reward moved, and how many groups taught something."""
        third = max(1, len(self.log) // 3)
        first, last = self.log.head(third), self.log.tail(third)
        moved = ", ".join(
            f"{name} from {first[part].mean():.2f} to {last[part].mean():.2f} (at most {MOST[part]})"
            for part, name in PARTS.items()
        )
        taught, seen = 1 - self.log["frac_reward_zero_std"].mean(), self.rollouts["question_id"].nunique()
        count = int(self.rollouts["step"].isin(first["step"]).sum())
        return (
            f"Over {len(self.log)} steps on {seen} of the arm's {len(self.questions)} questions the mean reward went from {first['reward'].mean():.2f} (first third of the steps, {count} completions) "
            f"to {last['reward'].mean():.2f} (last third). By part: {moved}. "
            f"{taught:.0%} of the groups had unequal rewards; only these have a gradient."
        )

    def outlook(self) -> str:
        """What the run means for its evaluation, in a sentence or two."""
        text = "A higher reward does not show that the model learned the subject: it also counts format and tags, and is measured on training questions."
        if len(self.curve):
            first, last = self.curve["accuracy"].iloc[0], self.curve["accuracy"].iloc[-1]
            text += f" On held-out questions accuracy went from {first:.1%} to {last:.1%} during the training."
        return text + " 04_eval evaluates the model on questions that no arm trains on."
