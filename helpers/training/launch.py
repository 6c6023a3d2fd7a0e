"""A training in this process, or in as many as an accelerate file states.

`accelerate launch` (huggingface/accelerate) starts the processes, each as `python -m helpers.training.launch`. Their output is
printed here, so that a notebook shows it, and their results come back as files.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from helpers.models import device
from helpers.search.tool import open_tool
from helpers.study.errors import StudyError
from helpers.study.files import fingerprint, read_table, write_table
from helpers.study.places import REPOSITORY
from helpers.study.study import Study, open_study
from helpers.training import live

if TYPE_CHECKING:
    import pandas as pd

    from helpers.study.schema import Train

LOG = "log.csv"
FOLLOWING = "following.csv"  # accuracy on held-out questions, round by round
FOLLOWING_ITEMS = "following.parquet"  # each answer to them


def accelerate_file(study: Study, train: Train) -> Path | None:
    """The accelerate file that a training names, beside the study or in `parameters/`; None: one process."""
    return study.beside(train.accelerate.removeprefix("parameters/")) if train.accelerate else None


def processes(study: Study, arm: str) -> int:
    """How many processes train an arm. Raises StudyError if its accelerate file is missing or does not say."""
    path = accelerate_file(study, study.training(arm))
    if path is None:
        return 1
    count = (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("num_processes")
    if not isinstance(count, int) or count < 1:
        raise StudyError(f"{path}: num_processes is {count!r}; should be a whole number, one process a GPU")
    return count


def is_sharded(study: Study, train: Train) -> bool:
    """Whether a training's processes each hold a part of the weights (FSDP, DeepSpeed) instead of all of them."""
    path = accelerate_file(study, train)
    return path is not None and (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("distributed_type") != "MULTI_GPU"


def check(study: Study) -> None:
    """Raise StudyError, in one line, if the processes of an arm cannot share its batch."""
    for arm in study.arms:
        train, count = study.training(arm), processes(study, arm)
        if train.completions_per_step % count:
            raise StudyError(
                f"{study.file}: {train.accelerate} has num_processes {count}, which must divide batch_size × "
                f"gradient_accumulation of arm {arm} ({train.completions_per_step})"
            )


def train(study: Study, arm: str, seed: int, mark: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Train an arm from its split; the weights go to `train/<arm>/seed<k>/adapter`, checkpoints beside it.

    mark: the fingerprint of the inputs. A run does not continue from checkpoints of other inputs, or of another way to share the
    weights among processes. Returns (log, one row per step; completions, one row per rollout).
    """
    from helpers.training import grpo

    live.check(study.training(arm), f"{study.file}: train")
    path = accelerate_file(study, study.training(arm))
    if path is None:
        return work(study, arm, seed, mark)
    check(study)
    enough_gpus(study, arm)
    mark = f"{mark}-{fingerprint(yaml.safe_load(path.read_text(encoding='utf-8')))}"
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(path), "--main_process_port", "0"]
    arguments = ["--study", str(study.reference()), "--arm", arm, "--seed", str(seed), "--mark", mark]
    _stream([*launcher, "--module", "helpers.training.launch", *arguments])
    folder = study.path("train", arm, seed, "checkpoints")
    log = read_table(folder / LOG, "03_grpo_train")
    return log, grpo.completion_table(folder, int(log["step"].max()))


def enough_gpus(study: Study, arm: str) -> None:
    """Raise StudyError, in one line, if this job sees fewer GPUs than the arm has processes; a CPU does for DDP."""
    path, count, seen = accelerate_file(study, study.training(arm)), processes(study, arm), len(device.visible())
    if path is not None and count > seen and (seen or is_sharded(study, study.training(arm))):
        raise StudyError(f"{path}: {count} processes need as many GPUs, this job sees {seen}")


def _stream(command: list[str]) -> None:
    """Run a command and print its output as it comes. Raises StudyError with its last error if it fails.

    When a kernel is killed, the pipe closes, and the next line of progress ends the processes.
    """
    process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    printed = ""
    try:
        while piece := os.read(process.stdout.fileno(), 4096):
            text = piece.decode("utf-8", errors="replace")
            printed = (printed + text)[-20_000:]
            sys.stderr.write(text)
        process.wait()
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
    if process.returncode:
        raise StudyError(_why(printed))


def _why(printed: str) -> str:
    """The reason in the output of the processes: the study's own error line, else the first exception."""
    lines = [line.strip() for line in printed.replace("\r", "\n").splitlines()]
    own = [line.partition("error: ")[2] for line in lines if line.startswith("error: ")]
    errors = [line.partition("]:")[2].strip() if line.startswith("[rank") else line for line in lines if "Error: " in line]
    return own[0] if own else f"training in several processes stopped: {(errors or lines or ['no output'])[0]}"


def work(study: Study, arm: str, seed: int, mark: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The training itself, in this process: alone, or as one of several."""
    from helpers.models import engines, loading
    from helpers.training import follow, grpo

    settings, folder = study.training(arm), study.path("train", arm, seed)
    questions = read_table(study.draw_file(arm, seed), f"02_split (arm {arm}, seed {seed})")
    tokenizer = loading.load_tokenizer(study.model.id)
    tool = open_tool(study) if study.arms[arm].search else None
    data = grpo.to_dataset(questions, study.prompt, tokenizer, settings.rotate_options, tool and tool.settings)
    engine = engines.choose(study.engine, settings.method)
    held_out = follow.held_out_questions(study, settings.follow.questions) if settings.follow else None
    dtype = "float32" if settings.method == "full" else study.model.dtype
    model = loading.load_model(study.model.id, dtype, method=settings.method)
    checkpoints = folder / "checkpoints"
    trainer = grpo.make_trainer(model, tokenizer, data, settings, study.prompt, seed, checkpoints, engine, held_out, tool)
    log, rollouts = grpo.run(trainer, mark)
    grpo.save_weights(trainer, folder / "adapter")
    if trainer.accelerator.is_main_process:
        if settings.follow:
            items = follow.table(folder / "checkpoints", int(log["step"].max()))
            write_table(items, folder / FOLLOWING_ITEMS)
            write_table(follow.curve(items), folder / FOLLOWING)
        write_table(log, folder / "checkpoints" / LOG)
    return log, rollouts


def main() -> None:
    """One of several processes: `accelerate launch … --module helpers.training.launch --study … --arm … --seed … --mark …`."""
    import torch

    parser = argparse.ArgumentParser(prog="python -m helpers.training.launch", description=__doc__.splitlines()[0])
    for name in ("study", "arm", "mark"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--seed", type=int, required=True)
    given = parser.parse_args()
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    try:
        work(open_study(given.study), given.arm, given.seed, given.mark)
    except StudyError as error:
        sys.exit(f"error: {error}")
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
