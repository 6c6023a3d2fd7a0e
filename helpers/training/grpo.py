"""One GRPO run: parameters in, TRL's trainer, an adapter and a log out.

Every setting that TRL or transformers has a changing default for is set here explicitly. A run that
was killed goes on from its last complete checkpoint.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import socket
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from unittest.mock import patch

import pandas as pd
import torch
from datasets import Dataset
from filelock import FileLock
from peft import LoraConfig
from tqdm import tqdm
from transformers import PreTrainedTokenizerBase, PrinterCallback, TrainerCallback, set_seed

from helpers.models import device, engines, loading, shape
from helpers.questions import prompts
from helpers.study.files import StudyError, fingerprint, write_json
from helpers.training import rewards

os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
from trl import GRPOConfig, GRPOTrainer  # noqa: E402

if TYPE_CHECKING:
    from helpers.study.study import Prompt, Train

LOG_COLUMNS = {
    "step": "step",
    "epoch": "epoch",
    "reward": "reward",
    "rewards/accuracy/mean": "reward_accuracy",
    "rewards/format/mean": "reward_format",
    "rewards/xml_count/mean": "reward_xml_count",
    "reward_std": "reward_std",
    "frac_reward_zero_std": "frac_reward_zero_std",
    "completions/mean_length": "completion_length",
    "completions/clipped_ratio": "clipped_share",
    "entropy": "entropy",
    "kl": "kl",
    "learning_rate": "learning_rate",
    "grad_norm": "grad_norm",
    "skipped": "skipped",
    "loss": "loss",
    "step_time": "seconds",
    "generation_seconds": "seconds_generation",
}
COMPLETIONS, CHECKPOINT = "completions", "checkpoint-"
VLLM_PART = 0.3  # of a GPU's memory, or of the share that is lent, for vLLM's weights and cache beside the training


def to_dataset(questions: pd.DataFrame, prompt: Prompt, tokenizer: PreTrainedTokenizerBase) -> Dataset:
    """What TRL trains on: the rendered prompt and the columns that the rewards read."""
    rows = [
        {
            "prompt": prompts.render(row.question, list(row.options), prompt, tokenizer),
            "question_id": row.question_id,
            "answer": row.answer,
            "options": list(row.options),
            "prefill": prompt.prefill,
        }
        for row in questions.itertuples()
    ]
    return Dataset.from_list(rows)


def share(train: Train, processes: int) -> tuple[int, int]:
    """(batch size, gradient accumulation) of each process, so that the completions of a step stay the same in total.

    Accumulation is divided first, since a smaller batch is slower. Raises StudyError if it does not come out even.
    """
    if train.completions_per_step % processes:
        raise StudyError(
            f"train.accelerate: {processes} processes cannot share a step of {train.completions_per_step} completions "
            "(batch_size × gradient_accumulation); change num_processes of the accelerate file, or the batch"
        )
    fewer = math.gcd(train.gradient_accumulation, processes)
    return train.batch_size * fewer // processes, train.gradient_accumulation // fewer


def vllm_options(train: Train, longest: int, ends: list[int]) -> dict[str, Any]:
    """TRL's options for rollouts by vLLM: inside the training process, or by a server (`trl vllm-serve`) that the training names.

    longest: tokens of the longest prompt. ends: tokens that end a rollout; of itself vLLM reads them from the model's files. It rounds
    otherwise than the model that learns; TRL weighs each rollout by the ratio of the two probabilities and leaves it out where
    that is above 3 (its default, said here since defaults move).
    """
    where = (
        {"vllm_mode": "server", "vllm_server_base_url": train.vllm_server}
        if train.vllm_server
        else {"vllm_mode": "colocate", "vllm_gpu_memory_utilization": VLLM_PART * device.share(),
              "vllm_max_model_length": longest + train.max_completion_tokens}
    )  # fmt: skip
    return where | {"use_vllm": True, "generation_kwargs": {"stop_token_ids": ends}, "vllm_importance_sampling_correction": True,
                    "vllm_importance_sampling_mode": "sequence_mask", "vllm_importance_sampling_clip_max": 3.0}  # fmt: skip


@contextlib.contextmanager
def vllm_inside(model: str, train: Train, longest: int) -> Iterator[None]:
    """Within it, vLLM starts inside the training process as runs side by side need it, which TRL has no options for.

    Each run gets a port of its own, through which the process speaks to its vLLM (TRL tries 29500 first), and a cache for
    the rollouts of one step, twice over: of itself vLLM takes what it measures to be free (`engines._division`).
    """
    if train.vllm_server or not torch.cuda.is_available():
        yield
        return
    import trl.generation.vllm_generation as module

    if "LOCAL_RANK" not in os.environ:  # accelerate has given its processes a port
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    known, options = shape.shape_of(model), {}
    if known:
        batch_size, accumulation = share(train, int(os.environ.get("WORLD_SIZE", "1")))
        need = shape.cache_bytes(known, 2, batch_size * accumulation, longest + train.max_completion_tokens)
        options = {"kv_cache_memory_bytes": int(2 * need)}
    with patch.object(module, "LLM", partial(module.LLM, **options)):
        yield


def config(train: Train, seed: int, folder: Path, **rollouts: Any) -> GRPOConfig:
    """TRL's configuration of a run. The paper's advantage is not divided by the standard deviation (scale_rewards none).

    rollouts: `vllm_options`, if vLLM makes them; else the model itself does.
    """
    batch_size, accumulation = share(train, int(os.environ.get("WORLD_SIZE", "1")))
    made = GRPOConfig(
        output_dir=str(folder),
        seed=seed,
        data_seed=seed,
        learning_rate=train.learning_rate,
        lr_scheduler_type=train.lr_scheduler,
        warmup_steps=0,
        weight_decay=0.0,
        max_grad_norm=1.0,
        num_train_epochs=train.epochs,
        max_steps=train.max_steps or -1,
        per_device_train_batch_size=batch_size,
        gradient_accumulation_steps=accumulation,
        steps_per_generation=accumulation,
        num_generations=train.rollouts,
        num_iterations=1,
        max_completion_length=train.max_completion_tokens,
        temperature=train.temperature,
        top_p=1.0,
        top_k=0,
        beta=train.beta,
        epsilon=0.2,
        loss_type=train.loss,
        scale_rewards=train.scale_rewards,
        reward_weights=[train.reward_weights.get(name, 1.0) for name in rewards.ALL],
        mask_truncated_completions=False,
        shuffle_dataset=True,
        # An adapter trains in the model's own dtype, which autocast would change. All parameters train in float32, since
        # bfloat16 rounds steps of this size away; their products are computed in bfloat16 where the GPU can.
        # DeepSpeed wants to be told what its accelerate file says.
        bf16=(train.method == "full" and torch.cuda.is_available()) or os.environ.get("ACCELERATE_MIXED_PRECISION") == "bf16",
        fp16=False,
        use_cpu=not torch.cuda.is_available(),
        gradient_checkpointing=train.gradient_checkpointing,
        ddp_find_unused_parameters=False,
        logging_steps=1,
        logging_first_step=True,
        log_completions=True,
        save_strategy="steps",
        save_steps=train.save_steps,
        save_total_limit=None if train.keep_checkpoints else 2,
        report_to=[],
        disable_tqdm=True,
        push_to_hub=False,
        **({"use_vllm": False} | rollouts),
    )
    # transformers spreads one process over all GPUs it sees (DataParallel), which would multiply the batch.
    made._n_gpu = min(made.n_gpu, 1)
    return made


class Progress(TrainerCallback):
    """One bar with the time left, of the first process: in JupyterLab a bar, in a log a line now and then."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        first = state.is_world_process_zero
        self.bar = tqdm(total=state.max_steps, initial=state.global_step, desc="optimiser steps", unit="step", disable=not first)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        if logs and "reward" in logs:
            self.bar.set_postfix_str(f"reward {logs['reward']:.2f}, length {logs['completions/mean_length']:.0f}")
            self.bar.update(state.global_step - self.bar.n)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.bar.close()


class Finite(TrainerCallback):
    """Leaves an optimiser step out if its gradient is not a finite number: one such step makes every weight NaN for good.

    How often that was stands in the log, as `skipped`. Where DeepSpeed keeps the gradients, nothing is looked at.
    """

    def __init__(self, trainer: GRPOTrainer) -> None:
        self.trainer = trainer

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        held = [parameter for parameter in self.trainer.model.parameters() if parameter.grad is not None]
        if not held:
            return
        norm = torch.nn.utils.get_total_norm([parameter.grad for parameter in held])
        norm = norm.full_tensor() if hasattr(norm, "full_tensor") else norm
        broken = (~norm.isfinite()).float()
        if torch.distributed.is_initialized():  # a part of the gradients each: all leave the step out, or none
            torch.distributed.all_reduce(broken, torch.distributed.ReduceOp.MAX)
        if broken:
            for parameter in held:
                parameter.grad = None
        self.trainer._metrics["train"]["skipped"].append(float(broken))


class _Trainer(GRPOTrainer):
    """TRL's trainer, quiet: completions go to files (TRL's own Parquet), not as rich tables into the log."""

    epochs_done = 0

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        import trl.trainer.grpo_trainer as module

        module.is_rich_available = lambda: False
        # A run resumed after its last step has no rollouts to log, and must not overwrite those of that step.
        self.log_completions = bool(self._logs["prompt"])
        super().log(logs, start_time)

    def _get_train_sampler(self, dataset: Any = None) -> Any:
        """The order of questions; on resume, moved on by the epochs that are done (no checkpoint keeps its generator)."""
        sampler = super()._get_train_sampler(dataset)
        for _ in range(self.epochs_done):
            torch.randperm(sampler.num_samples, generator=sampler.generator)
        return sampler

    def _generate(self, prompts: list[Any]) -> Any:
        """The rollouts of a step; the seconds they take go into the log beside those of the whole step."""
        begun = time.perf_counter()
        made = super()._generate(prompts)
        self._metrics["train"]["generation_seconds"].append(time.perf_counter() - begun)
        return made

    def _calculate_rewards(self, inputs: Any, *args: Any) -> torch.Tensor:
        self._log_completion_extra("question_id", [row["question_id"] for row in inputs])
        return super()._calculate_rewards(inputs, *args)


def lora(train: Train) -> LoraConfig:
    """PEFT's configuration of the adapter."""
    targets = train.lora.target_modules
    return LoraConfig(
        r=train.lora.r,
        lora_alpha=train.lora.alpha,
        lora_dropout=train.lora.dropout,
        target_modules=targets if isinstance(targets, str) else list(targets),
        task_type="CAUSAL_LM",
    )


def make_trainer(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    data: Dataset,
    train: Train,
    prompt: Prompt,
    seed: int,
    folder: Path,
    engine: Literal["transformers", "vllm"] = "transformers",
) -> GRPOTrainer:
    """TRL's trainer with a fresh LoRA adapter, or on all parameters; the seed is set before the adapter is created (trl#6688).

    TRL reads the tokens that end a rollout from the model's generation config; vLLM is told them. engine: what writes the rollouts.
    """
    set_seed(seed)
    ends = engines.end_of_text(model.generation_config, tokenizer) + prompts.end_tokens(prompt, tokenizer)
    model.generation_config.eos_token_id = ends
    longest = max(len(tokenizer(text)["input_ids"]) for text in data["prompt"])
    by_vllm = engine == "vllm"
    with vllm_inside(model.name_or_path, train, longest) if by_vllm else contextlib.nullcontext():
        trainer = _Trainer(
            model=model.train(),
            reward_funcs=list(rewards.ALL.values()),
            args=config(train, seed, folder, **(vllm_options(train, longest, ends) if by_vllm else {})),
            train_dataset=data,
            processing_class=tokenizer,
            peft_config=None if train.method == "full" else lora(train),
            callbacks=[Progress()],
        )
    trainer.add_callback(Finite(trainer))
    trainer.remove_callback(PrinterCallback)  # one bar is enough; the log is a table
    alone = trainer.accelerator.num_processes == 1  # weights that several processes share come and go; no recording can follow
    same = not trainer.args.bf16  # autocast makes bfloat16 keys, which do not go into a fixed cache of a float32 model
    if engine == "transformers" and loading.fixed_cache(trainer.model) and alone and same:
        # TRL forbids the recording of steps (CUDA graphs), without which a small model writes several times slower.
        trainer.generation_config.cache_implementation, trainer.generation_config.disable_compile = "static", False
        loading.size_cache(trainer.model, loading.rounded(longest + train.max_completion_tokens))
    return trainer


def run(trainer: GRPOTrainer, mark: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Train to the end, from the last complete checkpoint if `mark` says that it belongs to the same inputs.

    Returns (log, one row a step; completions, one row a rollout).
    """
    folder, first = Path(trainer.args.output_dir), trainer.accelerator.is_main_process
    folder.parent.mkdir(parents=True, exist_ok=True)
    # A kernel outlives the kill of its parents by a second or two; wait for it, so that two never write the same checkpoints.
    with FileLock(f"{folder}.lock") if first else contextlib.nullcontext():
        if first:
            _begin(folder, mark)
        trainer.accelerator.wait_for_everyone()
        checkpoint = last_checkpoint(folder)
        if checkpoint:
            trainer.epochs_done = int(json.loads((checkpoint / "trainer_state.json").read_text())["epoch"])
        sys.stderr.write(f"going on from {checkpoint.name}\n" if checkpoint and first else "")
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        trainer.accelerator.wait_for_everyone()
    return log_table(trainer.state.log_history), completion_table(folder, trainer.state.global_step)


def _begin(folder: Path, mark: str) -> None:
    """Leave in a run's folder what belongs to the inputs `mark` and is whole, and nothing else."""
    note = folder / "inputs.json"
    if not (note.exists() and json.loads(note.read_text()) == mark):
        shutil.rmtree(folder, ignore_errors=True)
        write_json(mark, note)
        (folder / COMPLETIONS).mkdir()
    last_checkpoint(folder)


def last_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that was written to its end; one that a kill cut short is removed.

    transformers writes trainer_state.json last, so a checkpoint with a readable one is complete.
    """
    found = sorted(folder.glob(f"{CHECKPOINT}*"), key=lambda path: int(path.name.removeprefix(CHECKPOINT)))
    for path in reversed(found):
        try:
            json.loads((path / "trainer_state.json").read_text())
            return path
        except (OSError, json.JSONDecodeError):
            shutil.rmtree(path)
    return None


def log_table(history: list[dict[str, Any]]) -> pd.DataFrame:
    """TRL's log as a table, one row an optimiser step, under the study's column names."""
    rows = [row for row in history if "reward" in row]
    table = pd.DataFrame(rows).reindex(columns=list(LOG_COLUMNS)).rename(columns=LOG_COLUMNS)
    return table.drop_duplicates("step", keep="last").dropna(axis="columns", how="all").reset_index(drop=True)


def completion_table(folder: Path, steps: int) -> pd.DataFrame:
    """All rollouts of a run, from the file that TRL keeps for each step: step, question_id, completion, rewards, advantage."""
    paths = [folder / COMPLETIONS / f"completions_{step:05d}.parquet" for step in range(1, steps + 1)]
    missing = [path for path in paths if not path.exists()]
    if missing:
        raise StudyError(f"{missing[0]}: the rollouts of this step are missing; delete {folder} and run 03_grpo_train again")
    table = pd.concat([pd.read_parquet(path) for path in paths], ignore_index=True)
    names = {name: f"reward_{name}" for name in rewards.ALL}
    return table.rename(columns=names)[["step", "question_id", "completion", *names.values(), "advantage"]]


def training_mark(inputs: dict[str, Any], questions: pd.DataFrame, weights: str) -> str:
    """Fingerprint of what decides a run: parameters, questions in their order, and where the weights are from."""
    return fingerprint(
        inputs, questions[["question", "answer"]].to_numpy().tolist(), [list(o) for o in questions["options"]], weights
    )


def keep_checkpoints(run: Path, steps: list[int]) -> None:
    """Copy the adapters of the given steps out of a run's checkpoints, to `run`/step<k>: they are results of their own."""
    for step in steps:
        source, target = run / "checkpoints" / f"{CHECKPOINT}{step}", run / f"step{step}"
        partial = target.with_name(f".{target.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for path in [*source.glob("*.safetensors"), *source.glob("*config.json")]:
            shutil.copyfile(path, partial / path.name)
        shutil.rmtree(target, ignore_errors=True)
        partial.rename(target)


def save_weights(trainer: GRPOTrainer, folder: Path) -> None:
    """Write the adapter (or the whole model, if all of it was trained) as safetensors, all of it or nothing.

    With several processes all call this, since each may hold a part of the weights; the first one writes.
    """
    accelerator = trainer.accelerator
    sharded = trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled
    whole = {"state_dict": accelerator.get_state_dict(trainer.model_wrapped)} if sharded else {}
    if accelerator.is_main_process:
        partial = folder.with_name(f".{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        accelerator.unwrap_model(trainer.model).save_pretrained(str(partial), safe_serialization=True, **whole)
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    accelerator.wait_for_everyone()
