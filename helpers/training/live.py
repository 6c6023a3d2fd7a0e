"""Live logs: `train.report_to` shows a run in trackio, TensorBoard or wandb while it trains.

transformers reports every logged number, and TRL the rollouts of each step as a table to trackio and wandb. Added here: accuracy on
held-out questions, and the rollouts for TensorBoard. trackio and TensorBoard write to this machine only; wandb does what its user set.
"""

from __future__ import annotations

import contextlib
import html
import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

import pandas as pd

from helpers.study.errors import StudyError
from helpers.study.files import fingerprint
from helpers.study.inputs import SPEED_ONLY
from helpers.study.schema import Train
from helpers.training.log import COMPLETIONS

# One of these, or a file of its login, says where wandb's logs go.
WANDB = ("WANDB_API_KEY", "WANDB_MODE", "WANDB_IDENTITY_TOKEN_FILE", "NETRC")
SHOWN = 16  # rollouts of a step in TensorBoard, which keeps the texts of ten steps
MARKDOWN = str.maketrans({"|": "&#124;", "\n": "<br>", "`": "&#96;", "*": "&#42;", "_": "&#95;", "[": "&#91;"})


def check(train: Train, key: str) -> None:
    """Raise StudyError, in one line, if the package of `train.report_to` is missing, or wandb has no key. key: where `train` stands."""
    if train.report_to == "none":
        return
    if not importlib.util.find_spec(train.report_to):
        raise StudyError(f"{key}.report_to: {train.report_to} is not installed; pip install {train.report_to}, or set it to none")
    known = {*WANDB} & {*os.environ} or any((Path.home() / name).exists() for name in (".netrc", "_netrc", ".config/wandb"))
    if train.report_to == "wandb" and not known:
        raise StudyError(f"{key}.report_to: wandb has no key; run wandb login first, or set WANDB_MODE=offline")


def options(train: Train, folder: Path) -> dict[str, Any]:
    """What TRL's configuration says about reporting. folder: `<study>/train/<arm>/seed<k>/checkpoints`.

    A study is a project and an arm with a seed a run. A resumed run goes on in trackio; one with other parameters is a run of its own.
    """
    if train.report_to == "none":
        return {"report_to": []}
    study, _, arm, seed, _ = folder.resolve().parts[-5:]
    decides = train.model_dump(mode="json", exclude={*SPEED_ONLY})
    name = f"{arm}-{seed}-{fingerprint(decides)[:4]}"
    return {"report_to": [train.report_to], "project": study, "run_name": name, "trackio_space_id": None}


def prepare(args: Any) -> None:
    """Call before building a trainer: names the project for wandb, and makes trackio write only its log. args: TRL's configuration.

    In a notebook trackio (seen in 0.43) would also start a server and show it in the cell, and print paths of this machine.
    """
    if "wandb" in args.report_to:
        os.environ.setdefault("WANDB_PROJECT", args.project)
    if "trackio" in args.report_to:
        import trackio

        begin = trackio.init

        def init(*given: Any, **options: Any) -> Any:
            with contextlib.redirect_stdout(sys.stderr):
                return begin(*given, **options | {"embed": False})

        trackio.init = init


def held_out(trainer: Any, items: pd.DataFrame) -> None:
    """Report a round of held-out answers (`follow.ITEMS`); they go to the live log alone, so the run's own log stays as it is."""
    numbers = {"eval_held_out_accuracy": float(items["correct"].mean()), "eval_held_out_valid": float(items["valid"].mean())}
    for callback in _reporting(trainer):
        callback.on_log(trainer.args, trainer.state, trainer.control, logs=numbers, model=trainer.model)


def rollouts(trainer: Any) -> None:
    """Show the rollouts of this step, which TRL has written to a file, in TensorBoard; to the other two TRL reports them itself."""
    for callback in _reporting(trainer):
        if getattr(callback, "tb_writer", None):
            step = trainer.state.global_step
            table = pd.read_parquet(Path(trainer.args.output_dir) / COMPLETIONS / f"completions_{step:05d}.parquet")
            callback.tb_writer.add_text("completions", markdown(table.head(SHOWN)), step)


def markdown(table: pd.DataFrame) -> str:
    """A table in Markdown that shows the texts of a model unchanged."""
    lines = [list(table), ["---"] * table.shape[1], *table.to_numpy().tolist()]
    return "\n".join(f"| {' | '.join(_cell(value) for value in line)} |" for line in lines)


def _cell(value: Any) -> str:
    return html.escape(f"{value:.3g}" if isinstance(value, float) else str(value)).translate(MARKDOWN)


def _reporting(trainer: Any) -> list[Any]:
    """The callbacks by which transformers reports; empty without `train.report_to`."""
    return [one for one in trainer.callback_handler.callbacks if type(one).__module__.startswith("transformers.integrations")]
