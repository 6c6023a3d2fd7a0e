"""TRL's configuration of a run, with every setting whose default changes between releases stated."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import torch

from helpers.training import live, rewards

os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what cuBLAS needs to be deterministic; read when CUDA starts
from trl import GRPOConfig  # noqa: E402

from helpers.study.schema import Train


def processes() -> int:
    """How many processes share this training."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def share(train: Train, processes: int) -> tuple[int, int]:
    """(batch size, gradient accumulation) of each process, so that the completions of a step stay the same in total.

    Accumulation is divided first, since a smaller batch is slower. `launch.accelerate` refuses a step that cannot be divided.
    """
    fewer = math.gcd(train.gradient_accumulation, processes)
    return train.batch_size * fewer // processes, train.gradient_accumulation // fewer


def config(train: Train, seed: int, folder: Path, shared: bool = False, **rollouts: Any) -> GRPOConfig:
    """TRL's configuration of a run. The paper's advantage is not divided by the standard deviation (scale_rewards none).

    shared: prompts are shared, so a process gets its completions of a step at once and divides them itself (`shared_prompts`).
    rollouts: `sampling.options`, if vLLM writes them; else the model itself does.
    """
    batch_size, accumulation = share(train, processes())
    if shared:
        batch_size, accumulation = batch_size * accumulation, 1
    settings = GRPOConfig(
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
        use_bias_correction_kl=True,
        epsilon=0.2,
        loss_type=train.loss,
        scale_rewards=train.scale_rewards,
        reward_weights=rewards.weights(train),
        mask_truncated_completions=False,
        shuffle_dataset=True,
        # An adapter trains without autocast: its weights are float32, its products and the model's bfloat16 where the model is. All
        # parameters train in float32, since bfloat16 rounds steps of this size away; their products are bfloat16 where the GPU can.
        # DeepSpeed expects what its accelerate file says.
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
        disable_tqdm=True,
        push_to_hub=False,
        **live.options(train, folder),
        **({"use_vllm": False} | rollouts),
    )
    # transformers spreads one process over all GPUs it sees (DataParallel), which would multiply the batch.
    settings._n_gpu = min(settings.n_gpu, 1)
    return settings
