"""Checkpoints of a run: which one to continue from, which ones to keep, and the weights at the end."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from helpers.study.files import write_json
from helpers.training.log import COMPLETIONS

CHECKPOINT = "checkpoint-"


def prepare(folder: Path, mark: str) -> None:
    """Clear the run folder unless its inputs match `mark`, and drop incomplete checkpoints."""
    note = folder / "inputs.json"
    if not (note.exists() and json.loads(note.read_text()) == mark):
        shutil.rmtree(folder, ignore_errors=True)
        write_json(mark, note)
        (folder / COMPLETIONS).mkdir()
    last_checkpoint(folder)


def last_checkpoint(folder: Path) -> Path | None:
    """The newest complete checkpoint; incomplete ones, which a kill leaves, are removed.

    transformers writes trainer_state.json last, so a checkpoint with a readable one is complete.
    """
    found = folder.glob(f"{CHECKPOINT}*")
    for path in sorted(found, key=lambda path: int(path.name.removeprefix(CHECKPOINT)), reverse=True):
        try:
            json.loads((path / "trainer_state.json").read_text())
            return path
        except (OSError, json.JSONDecodeError):
            shutil.rmtree(path)
    return None


def keep_checkpoints(run: Path, steps: list[int]) -> None:
    """Copy the adapters of the given steps out of a run's checkpoints, to `run`/step<k>; after an early stop, the last one."""
    for step in steps:
        source, target = run / "checkpoints" / f"{CHECKPOINT}{step}", run / f"step{step}"
        if not source.exists():
            source = last_checkpoint(run / "checkpoints")
        partial = target.with_name(f".{target.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for path in [*source.glob("*.safetensors"), *source.glob("*config.json")]:
            shutil.copyfile(path, partial / path.name)
        shutil.rmtree(target, ignore_errors=True)
        partial.rename(target)


def save_weights(trainer: Any, folder: Path) -> None:
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
