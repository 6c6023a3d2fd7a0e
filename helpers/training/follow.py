"""Held-out questions answered during training, in reasoning mode, by the engine that writes the rollouts.

They show what the reward cannot: whether a rising reward is knowledge, format or one letter.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from accelerate.utils import gather_object
from transformers import PreTrainedTokenizerBase, TrainerCallback

from helpers.models.engines import Sampling
from helpers.models.transformers_engine import Transformers
from helpers.questions import prompts
from helpers.questions.answers import read_answer
from helpers.search.episodes import Tool
from helpers.study.files import write_table
from helpers.study.schema import Follow, Prompt, Train
from helpers.training import live, searching
from helpers.training.sampling import noise

SHARE = 0.1  # of a run's completions that following may add: an answer costs no more than a completion's sampling
FOLDER = "following"
ITEMS = ["step", "question_id", "completion", "predicted", "answer", "correct", "valid", "seconds"]


def rounds(follow: Follow, steps: int, completions: int) -> tuple[int, list[int]]:
    """(questions per round, steps after which they are asked): before the first step, after the last, and between as far as SHARE allows.

    >>> from helpers.study.schema import Follow
    >>> rounds(Follow(questions=200, every=20), 100, 192)
    (200, [0, 20, 40, 60, 80, 100])
    >>> rounds(Follow(questions=200, every=20), 40, 48)
    (96, [0, 40])
    """
    answers = SHARE * steps * completions
    questions = max(1, min(follow.questions, int(answers / 2)))
    every = max(follow.every, -(-steps // max(1, int(answers / questions) - 1)))
    return questions, sorted({*range(0, steps, every), steps})


def encode(questions: pd.DataFrame, prompt: Prompt, tokenizer: PreTrainedTokenizerBase, tool: Tool | None) -> list[list[int]]:
    """The tokens of the prompts with which held-out questions are asked. tool: what the model may search with."""
    settings = tool and tool.settings
    texts = (prompts.render(row.question, list(row.options), prompt, tokenizer, settings) for row in questions.itertuples())
    return [tokenizer(text)["input_ids"] for text in texts]


@dataclass(eq=False)
class Following(TrainerCallback):
    """Asks held-out questions after some steps; a round's answers go to `following/step_<k>.parquet` in the run's folder.

    questions: held-out ones, at least as many as are asked. tool: what the model may search with, as in its rollouts. A resumed run
    does not ask again what it has on disk.
    """

    trainer: Any
    questions: pd.DataFrame
    train: Train
    prompt: Prompt
    tokenizer: PreTrainedTokenizerBase
    tool: Tool | None

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        count, self.at = rounds(self.train.follow, state.max_steps, self.train.completions_per_step)
        self.questions = self.questions.head(count)
        self.encoded = encode(self.questions, self.prompt, self.tokenizer, self.tool)
        self.on_step_end(args, state, control)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        file = Path(args.output_dir) / FOLDER / f"step_{state.global_step:05d}.parquet"
        last = control.should_training_stop and state.global_step
        if (state.global_step in self.at or last) and not file.exists():
            items = self.ask(state.global_step)
            if state.is_world_process_zero:
                write_table(items, file)
                live.held_out(self.trainer, items)

    def ask(self, step: int) -> pd.DataFrame:
        """One row per question, with the columns ITEMS; each process asks its part of them."""
        accelerator, begun = self.trainer.accelerator, time.perf_counter()
        mine = range(accelerator.process_index, len(self.encoded), accelerator.num_processes)
        if self.trainer.use_vllm and self.trainer.vllm_mode == "server":  # the first process alone sends requests
            mine = range(len(self.encoded) if accelerator.is_main_process else 0)
        asked = [self.encoded[place] for place in mine]
        if self.tool:
            written = [one.text for one in searching.play(self.trainer, self.tool, asked, 0.0, 0)]
        else:
            written = self.tokenizer.batch_decode(answers(self.trainer, asked), skip_special_tokens=True)
        texts = dict(zip(mine, written, strict=True))
        if accelerator.num_processes > 1:
            texts = dict(gather_object(list(texts.items())))
        items = []
        for place, row in enumerate(self.questions.itertuples()):
            text = self.prompt.prefill + prompts.own_words(texts[place])
            given = read_answer(text, list(row.options), self.tool is not None)
            right = given.predicted == row.answer
            items.append((step, row.question_id, text, given.predicted, row.answer, right, given.format_valid))
        return pd.DataFrame(items, columns=ITEMS[:-1]).assign(seconds=time.perf_counter() - begun)


def answers(trainer: Any, encoded: Sequence[list[int]]) -> list[list[int]]:
    """Greedy completions (tokens) of encoded prompts by the trainer's engine, with its current weights."""
    limit = trainer.max_completion_length
    if trainer.use_vllm:
        trainer.sync()
        return trainer.vllm_generation.ask(list(encoded), limit) if encoded else []
    model, ends = trainer.accelerator.unwrap_model(trainer.model), trainer.generation_config.eos_token_id
    greedy = Sampling(limit, 0.0, tuple(ends) if isinstance(ends, list) else (ends,))
    order = sorted(range(len(encoded)), key=lambda place: -len(encoded[place]))
    rows = trainer.args.per_device_train_batch_size * trainer.args.gradient_accumulation_steps
    written: dict[int, list[int]] = {}
    model.eval()
    with noise(0):
        for start in range(0, len(order), rows):
            places = order[start : start + rows]
            batch = [encoded[place] for place in places]
            written |= zip(places, Transformers(model=model).write(batch, greedy, [0], trainer._tokenizer), strict=True)
    model.train()
    return [written[place] for place in range(len(encoded))]


def table(folder: Path) -> pd.DataFrame:
    """All answers of a run that followed questions, from its folder; the columns are ITEMS."""
    return pd.concat([pd.read_parquet(path) for path in sorted((folder / FOLDER).glob("step_*.parquet"))], ignore_index=True)


def curve(items: pd.DataFrame) -> pd.DataFrame:
    """One row per round: step, accuracy, valid (share in the right format), top_answer_share, n, seconds."""
    rows = items.groupby("step").agg(
        accuracy=("correct", "mean"),
        valid=("valid", "mean"),
        top_answer_share=("predicted", lambda given: given.value_counts().max() / len(given)),
        n=("correct", "size"),
        seconds=("seconds", "first"),
    )
    return rows.fillna({"top_answer_share": 0.0}).reset_index()  # no answer could be read
