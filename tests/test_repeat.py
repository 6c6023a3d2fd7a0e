"""How far two runs of one arm and seed agree."""

import importlib.util
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from conftest import REPOSITORY
from safetensors.numpy import save_file

SCRIPT = REPOSITORY / "figures" / "repeat" / "compare.py"


def script(name):
    spec = importlib.util.spec_from_file_location(name, SCRIPT.with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


compare, labels = script("compare"), script("labels")


def made(folder, weight=0.5, reward=1.0, text="<think>a</think>", answer="B", scored=True):
    run = folder / "train" / "self" / "seed1"
    (run / "adapter").mkdir(parents=True)
    save_file({"a": np.array([0.25, weight], np.float32), "b": np.array([[1.0]], np.float32)}, run / "adapter" / "x.safetensors")
    pd.DataFrame(
        {"step": [1, 2], "reward": [reward, np.nan], "seconds": [1.0, hash(folder)], "seconds_sync": hash(folder)}
    ).to_csv(run / "log.csv", index=False)
    pd.DataFrame({"completion": ["one", text]}).to_parquet(run / "completions.parquet")
    pd.DataFrame({"completion": [text]}).to_parquet(run / "following.parquet")
    if scored:
        (folder / "eval" / "self" / "seed1").mkdir(parents=True)
        rows = [("mmlu", "1", answer, None), ("mmlu", "0", "A", None), ("gsm8k", "0", "4", f"#### {text}")]
        scores = pd.DataFrame(rows, columns=["task", "item_id", "predicted", "response"])
        scores = scores.assign(benchmark="x", filter="none", rotation=0, correct=scores["predicted"] == "B")
        scores.sample(frac=1, random_state=len(folder.name)).to_parquet(folder / "eval" / "self" / "seed1" / "scores.parquet")
    return folder


def test_the_same_run_twice(tmp_path):
    table = compare.compare(made(tmp_path / "one"), made(tmp_path / "three"), "self", 1)
    assert (table["compared"] == table["equal"]).all()
    assert table["largest_difference"].fillna(0).eq(0).all()
    assert table.set_index("what")["compared"].to_dict() == {
        "trained weights": 3, "log: step": 2, "log: reward": 2, "rollouts": 2, "held-out answers during training": 1,
        "answers: gsm8k": 1, "right: gsm8k": 1, "answers: mmlu": 2, "right: mmlu": 2,
    }  # fmt: skip


def test_what_differs_is_reported(tmp_path):
    other = made(tmp_path / "two", weight=0.75, reward=0.5, text="other", answer="C")
    table = compare.compare(made(tmp_path / "one"), other, "self", 1).set_index("what")
    assert table.loc["trained weights", ["equal", "largest_difference"]].tolist() == [2, 0.25]
    assert table.loc["log: reward", ["equal", "largest_difference"]].tolist() == [1, 0.5]
    assert table["equal"].drop(["trained weights", "log: reward"]).to_dict() == {
        "log: step": 2, "rollouts": 1, "held-out answers during training": 0, "answers: gsm8k": 0, "right: gsm8k": 1, "answers: mmlu": 1, "right: mmlu": 1,
    }  # fmt: skip


def test_runs_without_scores_and_runs_that_are_not_there(tmp_path):
    one, two = made(tmp_path / "one"), made(tmp_path / "two", scored=False)
    assert compare.compare(one, two, "self", 1)["what"].iloc[-1] == "held-out answers during training"
    asked = [sys.executable, str(SCRIPT), str(one), str(tmp_path / "none"), "self", "1"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "none/train/self/seed1/adapter do not hold the same weights" in done.stderr


@pytest.mark.parametrize(
    "name", sorted(path.stem for path in SCRIPT.parent.glob("*.csv") if path.stem not in ("labels", "two_seeds"))
)
def test_published_comparisons_are_of_whole_runs(name):
    table = pd.read_csv(SCRIPT.parent / f"{name}.csv").set_index("what")
    assert (table["equal"] <= table["compared"]).all()
    if name.startswith("choice"):  # the adapter of one run was not kept
        assert table.loc["rollouts", "compared"] == 164 * 96
        assert table.loc["log: grad_norm", "equal"] == (164 if name in ("choice_strict", "choice_leases", "choice_larger") else 1)
    elif name.startswith("medicine"):  # of at most one run the adapter was kept
        steps = table.loc[["log: step"], "compared"].to_numpy()
        assert (table.loc[["rollouts"], "compared"].to_numpy() == 192 * steps).all()
        assert sorted(set(steps)) == (
            [122, 200] if name == "medicine_retrained" else [200]
        )  # one run had collapsed and was stopped
        assert (table["equal"] == table["compared"]).all()
    else:
        assert table.loc["trained weights", "compared"] > 1e5
    if name in ("quickstart", "choice_larger"):  # figures/README.md says so
        assert (table["equal"] == table["compared"]).all()


def test_several_runs_in_one_table(tmp_path):
    one, two = made(tmp_path / "one"), made(tmp_path / "two", text="other")
    for folder in (one, two):
        (folder / "train" / "self" / "seed1").rename(folder / "train" / "self" / "seed2")
        made(folder, scored=False)
    asked = [sys.executable, str(SCRIPT), str(one), str(two), "self", "1", "self", "2"]
    (tmp_path / "table.csv").write_bytes(subprocess.run(asked, capture_output=True, check=True).stdout)
    table = pd.read_csv(tmp_path / "table.csv")
    assert list(table)[:3] == ["arm", "seed", "what"]
    assert table.query("what == 'rollouts'")[["seed", "equal"]].to_numpy().tolist() == [[1, 2], [2, 1]]


def test_labels_that_flip_between_two_batch_sizes_by_hand():
    first = pd.DataFrame({"response": ["a", "b", "c", "d"], "label": ["easy", "hard"] * 2, "label_tolerant": ["easy"] * 4})
    second = first.assign(response=["a", "x", "y", "d"], label=["easy", "hard", "hard", "hard"])
    assert labels.compare(first, second) == {"responses_differ": 0.5, "labels_flip": 0.25, "tolerant_labels_flip": 0.0}


def test_the_labels_made_twice_are_stated_as_measured():
    table = pd.read_csv(labels.TABLE).set_index("filter")
    assert set(table["questions"]) == {103}
    stated = re.findall(r"<!-- labels:([\w-]+) -->([\d.]+)<!--", (REPOSITORY / "figures" / "README.md").read_text())
    assert {name: float(value) for name, value in stated} == {
        f"{name}-{column}": round(100 * table.loc[name, column], 1)
        for name in table.index
        for column in ("responses_differ", "labels_flip", "tolerant_labels_flip")
    }


def test_rollouts_on_a_gpu_follow_the_seed_and_the_step():
    table = pd.read_csv(SCRIPT.with_name("two_seeds.csv"))
    same = table.iloc[:, 0].str.endswith("again")
    assert (table["equal"] == table["completions"].where(same, 0)).all()
    assert same.sum() == 1
