"""One GRPO run: questions and parameters in, TRL's trainer, an adapter and a log out.

data = to_dataset(questions, prompt, tokenizer)
trainer = make_trainer(model, tokenizer, data, train, prompt, seed, folder)
log, completions = run(trainer, mark)
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from datasets import Dataset
from filelock import FileLock
from transformers import PreTrainedTokenizerBase, PrinterCallback, TrainerState, set_seed

from helpers.models import engines, packing
from helpers.questions import prompts
from helpers.questions.rotation import rotate_questions
from helpers.search.episodes import Tool
from helpers.study.files import write_json
from helpers.study.schema import ROTATIONS, Prompt, Search, Train
from helpers.training import checkpoints, collapse, follow, live, rewards, sampling, searching
from helpers.training.adapter import frozen_bits, lora, multiply_in_model_dtype
from helpers.training.callbacks import Finite, Progress
from helpers.training.config import config, processes, share
from helpers.training.determinism import deterministic, order_gradients
from helpers.training.log import completion_table, log_table
from helpers.training.trainer import Trainer

NOTES = "notes.json"


def to_dataset(
    questions: pd.DataFrame, prompt: Prompt, tokenizer: Any, rotate: bool = False, search: Search | None = None
) -> Dataset:
    """TRL's training data, one row per question: the rendered prompt and the columns that the rewards read.

    rotate: each question has a row for every rotation of its options (`rotate_questions`). search: the tool that rollouts may use.
    """
    questions = rotate_questions(questions) if rotate else questions.assign(rotation=0)
    texts = [prompts.render(row.question, list(row.options), prompt, tokenizer, search) for row in questions.itertuples()]
    rows = questions[["question_id", "rotation", "answer", "options"]].assign(prompt=texts, prefill=prompt.prefill)
    return Dataset.from_pandas(rows.assign(search=True) if search else rows, preserve_index=False)


def why_not_shared(train: Train, model: Any, longest: int) -> str:
    """As `packing.why_not`, for the prompts of this run."""
    if not train.shared_prompts:
        return "train.shared_prompts is false"
    if os.environ.get("ACCELERATE_USE_DEEPSPEED", "false").lower() in ("1", "true"):
        return "DeepSpeed takes an optimiser step after every backward"
    return packing.why_not(model, longest)


def make_trainer(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    data: Dataset,
    train: Train,
    prompt: Prompt,
    seed: int,
    folder: Path,
    engine: Literal["transformers", "vllm"] = "transformers",
    held_out: pd.DataFrame | None = None,
    tool: Tool | None = None,
) -> Trainer:
    """TRL's trainer with a fresh LoRA adapter, or on all parameters; the seed is set before the adapter is created (trl#6688).

    TRL reads the tokens that end a rollout from the model's generation config; vLLM gets them as an option. engine: what writes the
    rollouts. held_out: questions to ask during training (`train.follow`). tool: what rollouts may search with.
    """
    set_seed(seed)
    ends = engines.end_of_text(model.generation_config, tokenizer) + prompts.end_tokens(prompt, tokenizer)
    model.generation_config.eos_token_id = ends
    lengths, inserted = [len(tokenizer(text)["input_ids"]) for text in data["prompt"]], tool.settings.inserted if tool else 0
    longest = max(lengths) + inserted
    why = why_not_shared(train, model, longest + train.max_completion_tokens)
    asked = held_out.head(train.follow.questions) if train.follow and held_out is not None else pd.DataFrame()
    # vLLM cuts answers at its limit, so the prompts of held-out questions count for it, too
    room = max([*lengths, *map(len, follow.encode(asked, prompt, tokenizer, tool))]) + inserted
    rollouts = sampling.options(train, room, ends, not why) if engine == "vllm" else {}
    with sampling.vllm_inside(model.name_or_path, train, room, seed) if rollouts else contextlib.nullcontext():
        args = config(train, seed, folder, not why, **rollouts)
        live.prepare(args)
        trainer = Trainer(
            model=model.train(),
            reward_funcs=rewards.functions(train, seed, args.process_index, args.world_size),
            args=args,
            train_dataset=data,
            processing_class=tokenizer,
            peft_config=None if train.method == "full" else lora(train),
            callbacks=[Progress()],
            **({"rollout_func": searching.rollout_func(tool, seed)} if tool else {}),
        )
    trainer.rotations = ROTATIONS if train.rotate_options else 1
    trainer.notes = {"shared_prompts": f"off: {why}" if why else "on"}
    if not why:
        trainer.budget = share(train, processes())[0] * (longest + train.max_completion_tokens)
        multiply_in_model_dtype(trainer.model)
    trainer.add_callback(Finite(trainer))
    if train.stop_on_collapse:
        trainer.add_callback(collapse.StopOnCollapse())
    if train.follow and held_out is not None:
        trainer.add_callback(follow.Following(trainer, held_out, train, prompt, tokenizer, tool))
    trainer.remove_callback(PrinterCallback)  # one bar is enough; the log is a table
    return trainer


def run(trainer: Trainer, mark: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Train to the end, from the last complete checkpoint if `mark` says that it belongs to the same inputs.

    Returns (log, one row per step; completions, one row per rollout). A run that was stopped early stays stopped.
    """
    folder, first = Path(trainer.args.output_dir), trainer.accelerator.is_main_process
    folder.parent.mkdir(parents=True, exist_ok=True)
    # A kernel outlives the kill of its parents by a second or two; wait for it, so that two never write the same checkpoints.
    with FileLock(f"{folder}.lock") if first else contextlib.nullcontext():
        if first:
            checkpoints.prepare(folder, mark)
            _note(folder, trainer.notes)
            if trainer.notes["shared_prompts"] != "on":
                sys.stderr.write(f"shared prompts are {trainer.notes['shared_prompts']}\n")
        trainer.accelerator.wait_for_everyone()
        checkpoint = checkpoints.last_checkpoint(folder)
        if checkpoint and first:
            sys.stderr.write(f"continuing from {checkpoint.name}\n")
        _train(trainer, checkpoint)
        trainer.accelerator.wait_for_everyone()
    return log_table(trainer.state.log_history), completion_table(folder, trainer.state.global_step)


def _train(trainer: Trainer, checkpoint: Path | None) -> None:
    """Train from a checkpoint, or load it if the run ended with it: with part of an epoch left, transformers 5.23 would train another step."""
    if checkpoint:
        state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
        sharded = trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled
        if not sharded and state.global_step in (state.max_steps, notes(checkpoint.parent).get("stopped_at")):
            trainer._load_from_checkpoint(str(checkpoint))
            trainer.state = state
            return
        trainer.epochs_done = int(state.epoch)
    before = _base(trainer)
    if trainer.budget and trainer.accelerator.device.type == "cuda" and not order_gradients(trainer):
        sys.stderr.write("gradients are not added up in one order: runs of one seed may differ\n")
    with deterministic():
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if before and trainer.accelerator.is_main_process:
        _note_base(trainer, before)


def _base(trainer: Trainer) -> dict[str, str]:
    """Checksums of the base below the adapter; empty without an adapter, and where processes share the parameters."""
    sharded = trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled
    return {} if sharded or not trainer.accelerator.is_main_process else frozen_bits(trainer.model)


def _note_base(trainer: Trainer, before: dict[str, str]) -> None:
    """Note how many tensors of the base differ from what they were when this process began to train; none may."""
    after = frozen_bits(trainer.model)
    changed = [name for name, bits in before.items() if after[name] != bits]
    _note(Path(trainer.args.output_dir), {"base_tensors_changed": len(changed)})
    if changed:
        sys.stderr.write(f"{len(changed)} tensors of the base model changed during the training, first {changed[0]}\n")


def _note(folder: Path, facts: dict[str, Any]) -> None:
    """Add facts to the run's own note; what an earlier process noted stays."""
    file = folder / NOTES
    write_json((json.loads(file.read_text()) if file.is_file() else {}) | facts, file)


def notes(folder: Path) -> dict[str, Any]:
    """What a run notes in its folder of checkpoints: whether prompts were shared, how many tensors of the base below the adapter
    changed (base_tensors_changed), and, if it collapsed, when and why it was stopped (stopped_at, planned, why)."""
    files = [folder / name for name in (NOTES, collapse.STOPPED)]
    return {key: value for file in files if file.is_file() for key, value in json.loads(file.read_text()).items()}
