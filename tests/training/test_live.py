"""Live logs: what is reported, that a missing package is one line, and that the run itself stays the same."""

import os
import sqlite3
import subprocess
import sys
from types import SimpleNamespace

import pandas as pd
import pytest
from conftest import REPOSITORY
from training import small_runs
from transformers import TrainerCallback
from transformers.integrations import integration_utils

from helpers.study.files import StudyError
from helpers.study.schema import Follow, Train
from helpers.study.study import open_study
from helpers.training import grpo, live
from helpers.workflow.check import check

RUN = {"max_steps": 2, "reward": "random", "follow": Follow(questions=2, every=1)}


class Stub(TrainerCallback):
    """A reporter that keeps what it is given; `texts` as TensorBoard's writer gets them."""

    __module__ = "transformers.integrations.stub"

    def __init__(self):
        self.logs, self.texts, self.tb_writer = [], [], self

    def on_log(self, args, state, control, logs=None, **_):
        self.logs.append((state.global_step, dict(logs)))

    def add_text(self, name, text, step):
        self.texts.append((name, text, step))


def test_a_run_reports_numbers_held_out_accuracy_and_rollouts_and_stays_the_same(tiny, tmp_path, monkeypatch):
    monkeypatch.setitem(integration_utils.INTEGRATION_TO_CALLBACK, "tensorboard", Stub)
    held_out, results = small_runs.questions(30).tail(2), {}
    for name in ("none", "tensorboard"):
        made = small_runs.trainer(tmp_path / name / "train/self/seed0", report_to=name, held_out=held_out, **RUN)
        results[name] = grpo.run(made, "mark")
    assert (made.args.project, made.args.run_name[:11]) == ("tensorboard", "self-seed0-")
    same = ["step", "reward", "loss", "grad_norm", "entropy"]
    assert results["none"][0][same].equals(results["tensorboard"][0][same])
    assert results["none"][1].equals(results["tensorboard"][1])
    (stub,) = live._reporting(made)
    assert [step for step, logs in stub.logs if "reward" in logs] == [1, 2]
    assert {"reward_std", "grad_norm", "seconds_generation", "top_answer_share"} <= set(stub.logs[1][1])
    assert [step for step, logs in stub.logs if "eval_held_out_accuracy" in logs] == [0, 2]
    assert {step for _, _, step in stub.texts} == {1, 2}
    assert stub.texts[0][1].startswith("| step | prompt | completion |")


def test_what_a_model_wrote_is_shown_as_text():
    cell = live.markdown(pd.DataFrame({"completion": ["<b>a</b>\n|`*_[x](y)"], "advantage": [1 / 3]})).splitlines()[-1]
    assert cell == "| &lt;b&gt;a&lt;/b&gt;<br>&#124;&#96;&#42;&#95;&#91;x](y) | 0.333 |"


def test_a_missing_package_or_key_is_one_line_before_anything_is_loaded(tmp_path, monkeypatch):
    monkeypatch.setattr(live.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        StudyError, match=r"quickstart.yaml: train.report_to: trackio is not installed; pip install trackio, or set it to none"
    ):
        check(open_study("quickstart", "train.report_to=trackio"))
    monkeypatch.setattr(live.importlib.util, "find_spec", lambda name: name)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in live.WANDB:
        monkeypatch.delenv(name, raising=False)
    wandb = open_study("quickstart", "train.report_to=wandb")
    with pytest.raises(StudyError, match="train.report_to: wandb has no key; run wandb login first, or set WANDB_MODE=offline"):
        check(wandb)
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert check(wandb)
    with pytest.raises(StudyError, match="train.report_to: 'neptune' is not right"):
        open_study("quickstart", "train.report_to=neptune")


def test_trackio_starts_no_server_in_a_notebook_and_prints_to_the_log(monkeypatch, capsys):
    begun = []
    stand_in = SimpleNamespace(init=lambda **options: (begun.append(options), print("Trackio project initialized")))
    monkeypatch.setitem(sys.modules, "trackio", stand_in)
    live.prepare(SimpleNamespace(report_to=["trackio"], project="small"))
    stand_in.init(project="small", resume="allow")
    assert begun == [{"project": "small", "resume": "allow", "embed": False}]
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "Trackio project initialized\n")


def test_reporting_is_off_by_default_and_no_part_of_a_result(tmp_path):
    assert live.options(Train(), tmp_path) == {"report_to": []}
    plain, shown = (open_study("small", text) for text in ("", "train.report_to=trackio"))
    assert plain.inputs("train", arm="self", seed=0) == shown.inputs("train", arm="self", seed=0)


def test_trackio_itself(tiny, tmp_path):
    """With the real package, in a process of its own: its folder is read when it is imported."""
    pytest.importorskip("trackio")
    code = (
        "import sys; sys.path.insert(0, 'tests')\nfrom pathlib import Path\nfrom training import small_runs\nfrom helpers.training import grpo\n"
        "from helpers.study.schema import Follow\n"
        "made = small_runs.trainer(Path(sys.argv[1]), report_to='trackio', max_steps=2, reward='random', follow=Follow(questions=2, every=1),"
        " held_out=small_runs.questions(30).tail(2))\ngrpo.run(made, 'mark')"
    )
    run = tmp_path / "mine/train/self/seed0"
    done = subprocess.run([sys.executable, "-c", code, str(run)], cwd=REPOSITORY, env=os.environ | {"TRACKIO_DIR": str(tmp_path / "logs")},
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    with sqlite3.connect(tmp_path / "logs/mine.db") as logs:
        metrics = "".join(str(row[0]) for row in logs.execute("SELECT metrics FROM metrics"))
    assert all(name in metrics for name in ("train/reward", "train/grad_norm", "eval/held_out_accuracy", "trackio.table"))
