"""A training in this process, or in as many as an accelerate file states.

`accelerate launch` starts the processes, each as `python -m helpers.training.launch`; their results come back as files.
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
from helpers.study.errors import StudyError, entry_point
from helpers.study.files import fingerprint, read_table, write_table
from helpers.study.places import REPOSITORY
from helpers.study.study import Study, open_study
from helpers.training import live
from helpers.training.log import completion_table

if TYPE_CHECKING:
    import pandas as pd

LOG = "log.csv"
FOLLOWING = "following.csv"  # accuracy on held-out questions, round by round
FOLLOWING_ITEMS = "following.parquet"  # each answer to them


def accelerate(study: Study, arm: str) -> tuple[Path | None, int, bool]:
    """(the accelerate file that an arm names, beside the study or in `parameters/`; how many processes train the arm; whether each holds a
    part of the weights (FSDP, DeepSpeed) instead of all of them); (None, 1, False) if it names none.

    Raises StudyError if the file is missing, does not say how many processes, or says a number that cannot share a step evenly.
    """
    train = study.training(arm)
    if not train.accelerate:
        return None, 1, False
    path = study.beside(train.accelerate.removeprefix("parameters/"))
    settings = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    count = settings.get("num_processes")
    if not isinstance(count, int) or count < 1:
        raise StudyError(f"{path}: num_processes is {count!r}; should be a whole number, one process a GPU")
    if train.completions_per_step % count:
        raise StudyError(
            f"{study.file}: {train.accelerate} has num_processes {count}, which must divide batch_size × "
            f"gradient_accumulation of arm {arm} ({train.completions_per_step})"
        )
    return path, count, settings.get("distributed_type") != "MULTI_GPU"


def train(study: Study, arm: str, seed: int, mark: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Train an arm from its split; the weights go to `train/<arm>/seed<k>/adapter`, checkpoints beside it.

    mark: the fingerprint of the inputs. A run does not continue from checkpoints of other inputs, or of another way to share the
    weights among processes. Returns (log, one row per step; completions, one row per rollout).
    """
    live.check(study.training(arm), f"{study.file}: train")
    path, _, _ = accelerate(study, arm)
    if path is None:
        return work(study, arm, seed, mark)
    enough_gpus(study, arm)
    mark = f"{mark}-{fingerprint(yaml.safe_load(path.read_text(encoding='utf-8')))}"
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(path), "--main_process_port", "0"]
    arguments = ["--study", str(study.reference()), "--arm", arm, "--seed", str(seed), "--mark", mark]
    _stream([*launcher, "--module", "helpers.training.launch", *arguments])
    folder = study.path("train", arm, seed, "checkpoints")
    log = read_table(folder / LOG, "03_grpo_train")
    return log, completion_table(folder, int(log["step"].max()))


def enough_gpus(study: Study, arm: str) -> None:
    """Raise StudyError, in one line, if this job sees fewer GPUs than the arm has processes; a CPU does for DDP."""
    (path, count, sharded), seen = accelerate(study, arm), len(device.visible())
    if path is not None and count > seen and (seen or sharded):
        raise StudyError(f"{path}: {count} processes need as many GPUs, this job sees {seen}")


def _stream(command: list[str]) -> None:
    """Run a command and print its output as it comes; a notebook shows it. Raises StudyError if the command fails.

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
    from helpers.selection import held_out
    from helpers.training import checkpoints, follow, grpo

    settings, folder = study.training(arm), study.path("train", arm, seed)
    questions = read_table(study.draw_file(arm, seed), f"02_split (arm {arm}, seed {seed})")
    tokenizer = loading.load_tokenizer(study.model.id)
    tool = open_tool(study) if study.arms[arm].search else None
    data = grpo.to_dataset(questions, study.prompt, tokenizer, settings.rotate_options, tool and tool.settings)
    engine = engines.choose(study.engine, settings.method)
    asked = held_out.read(study) if settings.follow else None
    dtype = "float32" if settings.method == "full" else study.model.dtype
    model = loading.load_model(study.model.id, dtype, method=settings.method)
    run = folder / "checkpoints"
    trainer = grpo.make_trainer(model, tokenizer, data, settings, study.prompt, seed, run, engine, asked, tool)
    log, rollouts = grpo.run(trainer, mark)
    checkpoints.save_weights(trainer, folder / "adapter")
    if trainer.accelerator.is_main_process:
        if settings.follow:
            items = follow.table(run)
            write_table(items, folder / FOLLOWING_ITEMS)
            write_table(follow.curve(items), folder / FOLLOWING)
        write_table(log, run / LOG)
    return log, rollouts


@entry_point
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
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
