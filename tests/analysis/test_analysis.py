"""05_analysis on studies that are simulated (tests/simulated.py): everything a study may vary, and as little as there can be."""

import re

import inprocess
import nbformat
import pandas as pd
import pytest
import simulated
import yaml
from conftest import REPOSITORY
from PIL import Image

from helpers.analysis import searching
from helpers.study.study import open_study

ALL = """
title: "All: whatever a study may vary"
model: {id: Qwen/Qwen2.5-Coder-0.5B-Instruct}
pool: starter:medicine_pool
filters:
  self: {model: Qwen/Qwen2.5-Coder-0.5B-Instruct}
  larger: {model: Qwen/Qwen2.5-Coder-1.5B-Instruct}
  sampled: {model: Qwen/Qwen2.5-Coder-0.5B-Instruct, samples: 4, temperature: 1.0}
arms:
  random: {size: 40}
  self: {filter: self, hard: 32, easy: 8}
  larger: {filter: larger, hard: 32, easy: 8}
  larger-20: {filter: larger, hard: 16, easy: 4}
  larger-easy: {filter: larger, hard: 8, easy: 32}
  half: {filter: sampled, size: 40, pass_rate: 0.5}
  no-format: {size: 40, train: {reward_weights: {format: 0.0}}}
  larger-4bit: {filter: larger, hard: 32, easy: 8, train: {method: qlora}}
  larger-full: {filter: larger, hard: 32, easy: 8, train: {method: full}}
  searching: {size: 40, search: true}
search: {corpus: starter}
split: {held_out: 10}
seeds: [0, 1]
train: {save_steps: 4, keep_checkpoints: true}
eval:
  rotate: true
  tasks:
    - {name: mmlu, rotate: false}  # 57 benchmarks; those below have rotations
    - {name: gsm8k}
    - {name: medqa_4options}
    - {name: medqa_reasoning}
    - {name: medqa_reasoning, search: true}
    - {name: medmcqa}
    - {name: pool_held_out}
analysis: {resamples: 200}
"""
FIGURES = {"changes", "heat", "power", "plane", "rewards", "learned", "duration", "composition", "filters", "agreement", "reflection",
           "reflection_size", "gap", "ratio", "size", "method", "left_out", "shift", "search", "search_effects", "primary", "named"}  # fmt: skip


def least(values):
    """One arm, one seed, one benchmark, and that in reasoning mode: no index, no pair, no agreement."""
    values["filters"] = {}
    values["arms"] = {"random": {"size": 40}}
    values["seeds"] = [0]
    values.pop("search")
    values["eval"]["tasks"] = [{"name": "pool_held_out"}]


def analysed(study_file, monkeypatch, folder, **how):
    """The study, simulated and analysed."""
    monkeypatch.setenv("STUDY_RUNS", str(folder / "runs"))
    study = open_study(str(study_file))
    simulated.make(study, **how)
    inprocess.execute("05_analysis", study.path("notebooks", "05_analysis.ipynb"), study=str(study.file))
    return study


def text_of(study) -> str:
    """All that the executed notebook shows."""
    notebook = nbformat.read(study.path("notebooks", "05_analysis.ipynb"), as_version=4)
    shown = [output.get("data", {}).get("text/html", "") for cell in notebook.cells for output in cell.get("outputs", [])]
    return re.sub(r"<[^>]+>", " ", " ".join(shown))


def alts_of(study) -> list[str]:
    """The texts of all figures that the executed notebook shows, for those who do not see them."""
    notebook = nbformat.read(study.path("notebooks", "05_analysis.ipynb"), as_version=4)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    alone = [output["metadata"]["image/png"]["alt"] for output in outputs if "image/png" in output.get("data", {})]
    folded = re.findall(r'<img [^>]*alt="([^"]*)"', " ".join(output.get("data", {}).get("text/html", "") for output in outputs))
    return alone + folded


def test_everything_a_study_may_vary(tmp_path, monkeypatch):
    (tmp_path / "all.yaml").write_text(ALL)
    study = analysed(tmp_path / "all.yaml", monkeypatch, tmp_path, size=0.05, pool=100)
    made = study.path("figures")
    assert {path.stem for path in made.glob("*.png")} == FIGURES
    for name in FIGURES:
        assert len(pd.read_csv(made / f"{name}.csv")), name
        assert (made / f"{name}.svg").exists()
        with Image.open(made / f"{name}.png") as picture:
            assert round(picture.info["dpi"][0]) == 200
    for one, other in ((path, study.path("tables", path.name)) for path in made.glob("*.csv")):
        assert not other.exists() or one.read_bytes() == other.read_bytes(), one.name  # they are published side by side
    ids = {name: set(pd.read_csv(made / f"{name}.csv")["arm"]) for name in ("ratio", "size", "method", "left_out")}
    assert ids == {
        "ratio": {"larger", "larger-easy"},
        "size": {"larger", "larger-20"},
        "method": {"larger", "larger-4bit", "larger-full"},
        "left_out": {"random", "no-format"},
    }
    claims = pd.read_csv(study.path("tables", "verdict.csv"))
    missing = claims.loc[claims["outcome"] == "not tested", "claim"]
    assert missing.str.contains("CMMLU").sum() == 1  # no Chinese benchmark
    assert missing.str.contains("another family").sum() == 1  # no filter of another family
    assert claims["claim"].iloc[-1] == searching.CLAIM
    assert claims["evidence"].iloc[-1].count("searching with search against random without, MedQA reasoning: ") == 1
    assert len(alts_of(study)) == len(FIGURES)
    assert [alt for alt in alts_of(study) if not re.search(r"\d", alt)] == []  # each has numbers of its own figure
    text = text_of(study)
    assert "Training is not shown to work in this study, so it supports no conclusion: random, held-out questions" in text
    assert "over items and 2 seeds" in text
    for title in (
        "Reward variance by question",
        "Re-examination in completions",
        "Held-out questions during training",
        "Effects of factors that differ between arms",
        "Does a search tool help?",
    ):
        assert title in text, title


def test_as_little_as_there_can_be(tmp_path, monkeypatch):
    values = yaml.safe_load(ALL)
    least(values)
    (tmp_path / "least.yaml").write_text(yaml.safe_dump(values))
    study = analysed(tmp_path / "least.yaml", monkeypatch, tmp_path, size=0.1, pool=60)
    assert {"changes", "duration", "composition"} <= {path.stem for path in study.path("figures").glob("*.png")}
    text = text_of(study)
    for sign in ("one seed per arm", "for the one seed that was run", "No benchmark of this study is scored by likelihood"):
        assert sign in text, sign
    for title in (
        "Reward variance by question",
        "Effects of factors that differ between arms",
        "Does a search tool help?",
    ):  # nothing to show, so nothing is said
        assert title not in text, title


@pytest.mark.parametrize("name", sorted(path.stem for path in (REPOSITORY / "parameters").glob("*.yaml")))
def test_any_study_can_be_simulated(name, tmp_path, monkeypatch):
    monkeypatch.setenv("STUDY_RUNS", str(tmp_path))
    study = open_study(name)
    parts = [simulated.parts_of(task, 0.01) for task in study.eval.tasks]
    assert all(items >= 8 for part in parts for items, _ in part.values())
