"""The real forms at the smallest size: a mirror with MMLU and GSM8K of a few made-up rows, scored, compared with the harness's own command."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import datasets
import inprocess
import pandas as pd
import pytest
import yaml
from conftest import REPOSITORY, refused

from helpers.evaluation import benchmarks, documents, items, mirror, scoring
from helpers.evaluation.evaluation import Evaluation
from helpers.models import engines, loading
from helpers.models.transformers_engine import Transformers
from helpers.study import files
from helpers.study.files import StudyError
from helpers.study.schema_eval import Task
from helpers.study.study import open_study
from helpers.workflow import graph

SUBJECTS = {"anatomy": 6, "world_religions": 4}
STUDY = {
    "title": "Forms",
    "model": {"id": "tiny/llama", "dtype": "float32"},
    "pool": {"source": "openai/gsm8k", "config": "main", "revision": "e" * 40},
    "prompt": {"style": "plain", "prefill": "<think>"},
    "filters": {"self": {"model": "tiny/llama", "max_new_tokens": 4, "samples": 2, "temperature": 1.0}},
    "arms": {
        "half": {"filter": "self", "size": 8, "pass_rate": 0.5},
        "full": {"size": 8, "train": {"method": "full", "learning_rate": 1e-3, "keep_checkpoints": False}},
    },
    "split": {"held_out": 3},
    "seeds": [0],
    "train": {"learning_rate": 1e-3, "max_completion_tokens": 4, "save_steps": 1, "keep_checkpoints": True, "lora": {"r": 4}},
    "eval": {
        "batch_size": 8,
        "max_new_tokens": 4,
        "rotate": True,
        "tasks": [
            {"name": "mmlu_anatomy", "shots": 2},
            {"name": "gsm8k", "shots": 1, "limit": 2, "max_new_tokens": 4},
            {"name": "pool_held_out"},
        ],
    },
    "analysis": {"resamples": 200},
}


def repository(folder: Path, files: dict[str, list[dict]]) -> None:
    """A data set's folder as the hub has it: files by split, `config/split.parquet`, and the README that names them."""
    configs: dict[str, list] = {}
    for name, rows in files.items():
        config, split = name.split("/")
        (folder / config).mkdir(parents=True, exist_ok=True)
        datasets.Dataset.from_list(rows).to_parquet(folder / f"{name}.parquet")
        configs.setdefault(config, []).append({"split": split, "path": f"{name}.parquet"})
    front = yaml.safe_dump({"configs": [{"config_name": config, "data_files": parts} for config, parts in configs.items()]})
    (folder / "README.md").write_text(f"---\n{front}---\n")


def choice(number: int, subject: str) -> dict:
    options = [f"choice {letter} of {number}" for letter in "wxyz"]
    return {"question": f"Made-up question {number} on {subject}?", "subject": subject, "choices": options, "answer": number % 4}


def sum_of(number: int) -> dict:
    return {
        "question": f"Ann has {number} pens and buys {number + 2} more. How many?",
        "answer": f"{number} + {number + 2} = {2 * number + 2}\n#### {2 * number + 2}",
    }


@pytest.fixture(scope="module")
def forms(tiny) -> Path:
    """A study over a pool and benchmarks in hub form, in the mirror beside the tiny model."""
    mirror = tiny / "mirror"
    mmlu = {f"{subject}/{split}": [choice(i, subject) for i in range(count)]
            for subject, items in SUBJECTS.items() for split, count in (("test", items), ("dev", 5))}  # fmt: skip
    repository(mirror / "cais" / "mmlu", mmlu)
    repository(
        mirror / "openai" / "gsm8k",
        {"main/train": [sum_of(i) for i in range(40)], "main/test": [sum_of(i) for i in range(38, 44)]},
    )
    (tiny / "forms.yaml").write_text(yaml.safe_dump(STUDY, sort_keys=False))
    return tiny / "forms.yaml"


@pytest.fixture(scope="module")
def made(forms, tiny) -> Path:
    return inprocess.whole(open_study(str(forms)))


def test_all_forms_end_to_end(made):
    report = (made / "report" / "index.html").read_text()
    labels = pd.read_parquet(made / "filter/self/labels.parquet")
    assert labels.groupby("question_id").size().tolist() == [2] * 40
    scores = pd.read_parquet(made / "eval/full/seed0/scores.parquet")
    assert scores.groupby(["benchmark", "rotation"]).size().to_dict() == {
        ("gsm8k", 0): 4, ("mmlu_anatomy", 0): 6, ("mmlu_anatomy", 1): 6, ("mmlu_anatomy", 2): 6, ("mmlu_anatomy", 3): 6,
        ("pool_held_out", 0): 3}  # fmt: skip
    turned = scores[scores["benchmark"] == "mmlu_anatomy"].pivot(index="item_id", columns="rotation", values="target")
    assert turned.loc["0"].tolist() == ["A", "B", "C", "D"]
    assert set(scores["group"]) == {"specialisation", "robustness"}
    checkpoint = pd.read_parquet(made / "eval/half/seed0/step1/scores.parquet")
    assert set(checkpoint["benchmark"]) == {"pool_held_out"}
    duration = pd.read_csv(made / "tables/duration.csv")
    assert duration.loc[duration["arm"] == "half", "step"].tolist() == [0, 1, 2]
    assert {p.name for p in (made / "train/full/seed0/adapter").glob("*.safetensors")} == {"model.safetensors"}
    for part in (
        "Warning:",
        "if they differ, the plain score depends on the letters",
        "Of 40 questions of the pool, 2 occur in a benchmark",
    ):
        assert part in report, part
    note = json.loads((made / "filter/self/labels.json").read_text())
    assert note["pool"]["from"] == "offline mirror"
    assert note["pool"]["rows"] == 40


def test_what_is_to_be_said_of_the_pool_stands_beside_every_result(made):
    outcome = "The pool has 40 of the 7,473 training questions of openai/gsm8k (main) (from the offline mirror, split train)"
    for page in (made / "notebooks").glob("*.ipynb"):
        assert outcome in page.read_text() or page.name == "04_eval-untrained.ipynb", page.name  # which may come before any split


def test_the_guards_that_fired_are_a_table(made):
    fired = pd.read_csv(made / "tables" / "guards.csv")
    assert list(fired) == ["what", "where", "value"]
    assert ("Pool questions that occur in a benchmark were dropped; 02_split lists them", "2 of 40") in set(
        zip(fired["what"], fired["where"], strict=True)
    )


def test_every_benchmark_records_what_it_read(made):
    note = files.read_note(made / "eval/untrained/tasks/mmlu_anatomy.parquet")
    facts = note["benchmarks"]["mmlu_anatomy"]
    assert note["seconds"] > 0
    rows = [choice(i, "anatomy") for i in range(SUBJECTS["anatomy"])]
    assert (facts["data"], facts["config"], facts["items"], facts["content"]) == (
        "cais/mmlu",
        "anatomy",
        6,
        files.fingerprint(rows),
    )
    held = files.read_note(made / "eval/untrained/tasks/pool_held_out.parquet")["benchmarks"]["pool_held_out"]
    assert re.fullmatch("[0-9a-f]{16}", held["content"])


def test_no_arm_trains_on_what_is_held_out_or_in_a_benchmark(made, forms):
    study = open_study(str(forms))
    away = set(benchmarks.held_out(study)["question_id"])
    tested = set(benchmarks.questions(study)["question"])
    for arm in study.arms:
        chosen = pd.read_parquet(study.draw_file(arm, 0))
        assert not away & set(chosen["question_id"])
        assert not tested & set(chosen["question"])


def test_a_second_study_takes_what_the_first_has_made(made, forms, tiny, tmp_path):
    """Its only arm is the first one's under another name: its weights and scores are copies, with the time they were made."""
    other = tiny / "second.yaml"
    other.write_text(yaml.safe_dump({"shared": "forms.yaml", "title": "Second", "arms": {"same": STUDY["arms"]["full"]}}))
    for notebook in ("02_split", "03_grpo_train", "04_eval"):
        seed = {} if notebook == "02_split" else {"seed": 0}
        inprocess.execute(notebook, tmp_path / f"{notebook}.ipynb", study=str(other), arm="same", **seed)
    second = tiny / "runs/second"
    copied = files.read_note(second / "train/same/seed0/log.csv")
    assert copied.pop("adopted_from") == "forms/train/full/seed0/log.csv"
    assert files.read_note(made / "train/full/seed0/log.csv") == copied
    assert not (second / "train/same/seed0/checkpoints").exists()
    assert (second / "eval/untrained/scores.parquet").exists()  # the first evaluation of an arm scores the untrained model too
    for task in ("mmlu_anatomy", "gsm8k", "pool_held_out"):
        name = (
            f"seed0/tasks/{task}.parquet"  # of any arm: two that learned nothing have the same weights, and may be scored at once
        )
        copied = files.read_note(second / "eval/same" / name)
        assert copied.pop("adopted_from").startswith("forms/eval/")
        there = [files.read_note(path) for path in made.glob(f"eval/*/{name}")]
        assert copied in [{key: value for key, value in note.items() if key != "adopted_from"} for note in there]


def test_scores_are_those_of_the_harness_s_own_command(made, tiny, tmp_path):
    """Item by item, with the same arguments: `lm_eval run` on the tiny model."""
    for task, options in (("gsm8k", ["--num_fewshot", "1", "--limit", "2", "--gen_kwargs", "max_gen_toks=4"]),):
        command = [sys.executable, "-m", "lm_eval", "run", "--model", "hf", "--device", "cpu", "--batch_size", "8", "--log_samples",
                   "--model_args", f"pretrained={tiny / 'mirror/tiny/llama'},dtype=float32", "--tasks", task, *options,
                   "--output_path", str(tmp_path)]  # fmt: skip
        done = subprocess.run(
            command, cwd=tiny / "mirror", capture_output=True, text=True, env=os.environ | {"HF_HOME": str(tmp_path)}, check=False
        )
        assert done.returncode == 0, done.stderr[-2000:]
        (log,) = tmp_path.rglob(f"samples_{task}_*.jsonl")
        theirs = [json.loads(line) for line in log.read_text().splitlines()]
        ours = pd.read_parquet(made / "eval/untrained/scores.parquet")
        ours = ours[(ours["benchmark"] == task) & (ours["rotation"] == 0)].set_index(["item_id", "filter"])
        assert len(ours) == len(theirs)
        for item in theirs:
            row = ours.loc[(str(item["doc_id"]), item["filter"])]
            assert float(row["correct"]) == item.get("acc", item.get("exact_match"))
            if task == "gsm8k":
                assert row["response"] == item["resps"][0][0]


class _Counting(Transformers):
    """Counts how often it was asked."""

    calls = 0

    def read(self, *given):
        self.calls += 1
        return super().read(*given)

    def write(self, *given):
        self.calls += 1
        return super().write(*given)


def scored(tiny, forms, tmp_path, tasks, only=(), ends=()):
    values = STUDY | {
        "eval": STUDY["eval"] | {"tasks": tasks},
        "split": {},
        "train": STUDY["train"] | {"keep_checkpoints": False},
    }
    (tmp_path / "one.yaml").write_text(yaml.safe_dump(values))
    study = open_study(str(tmp_path / "one.yaml"))
    engine = _Counting(engines.Weights("tiny/llama", "float32"))
    table = scoring.score(engine, loading.load_tokenizer("tiny/llama"), study, "w", tmp_path / "tasks", only, ends)
    return table, engine.calls


def test_scores_on_disk_are_not_made_again_down_to_one_task(tiny, forms, tmp_path):
    tasks = [{"name": "mmlu_anatomy", "rotate": False}, {"name": "mmlu_world_religions", "rotate": False}]
    first, calls = scored(tiny, forms, tmp_path, tasks)
    assert calls == 2
    again, calls = scored(tiny, forms, tmp_path, tasks)
    assert calls == 0
    pd.testing.assert_frame_equal(first, again)
    when = (tmp_path / "tasks/mmlu_anatomy.parquet").stat().st_mtime_ns
    changed, calls = scored(tiny, forms, tmp_path, [tasks[0], tasks[1] | {"limit": 2}])
    assert calls == 1
    assert (tmp_path / "tasks/mmlu_anatomy.parquet").stat().st_mtime_ns == when
    assert changed.groupby("benchmark").size().to_dict() == {"mmlu_anatomy": 6, "mmlu_world_religions": 2}
    assert changed["setting"].unique().tolist() == ["0-shot", "0-shot, first 2"]


def test_what_was_written_with_other_ends_is_written_again(tiny, forms, tmp_path):
    tasks = [{"name": "mmlu_anatomy", "limit": 2}, {"name": "gsm8k", "limit": 2, "max_new_tokens": 4}]
    before, _ = scored(tiny, forms, tmp_path, tasks, ends=[0])
    when = [(tmp_path / f"tasks/{name}.parquet").stat().st_mtime_ns for name in ("mmlu_anatomy", "gsm8k")]
    assert scored(tiny, forms, tmp_path, tasks, ends=[0])[1] == 0
    after, calls = scored(tiny, forms, tmp_path, tasks, ends=[0, 1])
    assert calls == 1
    now = [(tmp_path / f"tasks/{name}.parquet").stat().st_mtime_ns for name in ("mmlu_anatomy", "gsm8k")]
    assert (now[0] == when[0], now[1] > when[1]) == (True, True)
    assert len(before) == len(after)


def test_a_study_in_which_no_model_writes(tiny, forms, tmp_path):
    values = STUDY | {"eval": {"tasks": [{"name": "mmlu_anatomy", "limit": 2}]}, "split": {}}
    (tmp_path / "letters.yaml").write_text(yaml.safe_dump(values | {"train": STUDY["train"] | {"keep_checkpoints": False}}))
    inprocess.execute("04_eval", tmp_path / "p.ipynb", study=str(tmp_path / "letters.yaml"), arm="untrained")
    assert "In none of these benchmarks does the model write its answer." in (tmp_path / "p.ipynb").read_text()


def test_a_fixed_sample_and_a_data_set_that_has_changed(tiny, forms, tmp_path):
    key = documents.key
    rows = [("mmlu_anatomy", i, key(choice(i, "anatomy"))) for i in (1, 4)]
    pd.DataFrame(rows, columns=["benchmark", "doc_id", "question_id"]).to_csv(tmp_path / "s.csv", index=False)
    table, _ = scored(tiny, forms, tmp_path, [{"name": "mmlu_anatomy", "sample": "s.csv", "rotate": False}])
    assert table["item_id"].tolist() == ["1", "4"]
    pd.DataFrame([("mmlu_anatomy", 1, "other")], columns=["benchmark", "doc_id", "question_id"]).to_csv(
        tmp_path / "s.csv", index=False
    )
    with pytest.raises(StudyError, match="1 of 1 items of the sample are now different questions"):
        scored(tiny, forms, tmp_path, [{"name": "mmlu_anatomy", "sample": "s.csv"}])
    pd.DataFrame([("mmlu_law", 1, "x")], columns=["benchmark", "doc_id", "question_id"]).to_csv(tmp_path / "s.csv", index=False)
    with pytest.raises(StudyError, match="'mmlu_law' is no benchmark of mmlu_anatomy"):
        scored(tiny, forms, tmp_path, [{"name": "mmlu_anatomy", "sample": "s.csv"}])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mmlu_anatomi", "lm-evaluation-harness has no task 'mmlu_anatomi'; did you mean 'mmlu_anatomy'?"),
        ("cmmlu_anatomy", "cmmlu_anatomy: haonan-li/cmmlu is not available from OFFLINE_MIRROR="),
        ("mmlu_virology", "mmlu_virology: cais/mmlu is not available from OFFLINE_MIRROR="),
        ("medbullets_op4", "medbullets: not in OFFLINE_MIRROR="),
    ],
)
def test_benchmarks_that_are_not_there_are_one_line(tiny, forms, tmp_path, name, expected):
    values = STUDY | {"eval": {"tasks": [{"name": name}]}, "split": {}, "train": STUDY["train"] | {"keep_checkpoints": False}}
    (tmp_path / "missing.yaml").write_text(yaml.safe_dump(values))
    assert expected in refused(benchmarks.main, tmp_path / "missing.yaml")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"arms": {"all": {"size": 400}}}, "arms.all: 400 questions wanted and 3 held out, the pool 'openai/gsm8k' has 40"),
        (
            {"eval": STUDY["eval"] | {"tasks": [{"name": "mmlu_anatomy", "sample": "bad.csv"}, {"name": "pool_held_out"}]}},
            "bad.csv: column 'question_id' is missing",
        ),
    ],
)
def test_what_only_a_look_at_the_data_shows_is_one_line(tiny, forms, tmp_path, change, expected):
    (tmp_path / "bad.csv").write_text("benchmark,doc_id\nmmlu_anatomy,0\n")
    (tmp_path / "early.yaml").write_text(yaml.safe_dump(STUDY | change))
    assert expected in refused(benchmarks.main, tmp_path / "early.yaml")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            {
                "filters": STUDY["filters"] | {"other": {"model": "nobody/nothing"}},
                "eval": {"tasks": [{"name": "pool_held_out"}]},
            },
            "nobody/nothing: not in OFFLINE_MIRROR=",
        ),
        ({"pool": STUDY["pool"] | {"config": "mainn"}}, "'mainn' not found. Available: ['main']"),
    ],
)
def test_what_is_not_there_stops_the_graph_before_any_notebook(tiny, forms, tmp_path, change, expected):
    (tmp_path / "early.yaml").write_text(yaml.safe_dump(STUDY | change))
    assert expected in refused(graph.main, tmp_path / "early.yaml")
    assert not (tiny / "runs" / "early" / "notebooks").exists()


def test_a_benchmark_that_is_broken_in_the_mirror_is_reported_with_its_cause(tiny, forms, tmp_path, monkeypatch):
    mirror = tmp_path / "mirror"
    shutil.copytree(tiny / "mirror", mirror)
    (mirror / "cais/mmlu/anatomy/test.parquet").write_bytes(b"PAR1 no")
    monkeypatch.setenv("OFFLINE_MIRROR", str(mirror))
    study = open_study(str(forms))
    with pytest.raises(StudyError, match="mmlu_anatomy: cais/mmlu is not available from OFFLINE_MIRROR=.*Parquet"):
        benchmarks.members(benchmarks.manager(study, rendered=False), "mmlu_anatomy")


def test_a_mirror_that_is_no_folder_is_one_line(forms, monkeypatch):
    monkeypatch.setenv("OFFLINE_MIRROR", "/nowhere/at/all")
    with pytest.raises(StudyError, match="OFFLINE_MIRROR=/nowhere/at/all: no such folder"):
        mirror.mirror()


def test_stand_ins_where_a_mirror_has_another_form_only(tmp_path, monkeypatch):
    monkeypatch.delenv("OFFLINE_MIRROR", raising=False)
    assert [benchmarks.stand_in(name) for name in ("medqa_4options", "medmcqa", "pubmedqa", "mmlu")] == [
        "medqa_4options", "medmcqa", "pubmedqa_mirror", "mmlu"]  # fmt: skip
    monkeypatch.setenv("OFFLINE_MIRROR", str(tmp_path))
    (tmp_path / "GBaker/MedQA-USMLE-4-options").mkdir(parents=True)
    assert benchmarks.stand_in("medqa_4options") == "medqa_4options_mirror"
    (tmp_path / "GBaker/MedQA-USMLE-4-options-hf").mkdir()
    assert benchmarks.stand_in("medqa_4options") == "medqa_4options"


def test_a_group_whose_members_lie_elsewhere_is_loaded_whole():
    """Almost all tasks lie in a folder from whose name theirs begins; some groups name members of other folders."""
    entry = lambda task: SimpleNamespace(cfg={"task": task})  # noqa: E731
    index = {"suite": entry(["near", {"task": "far"}]), "near": entry("near"), "larger": entry(["suite"])}
    assert benchmarks._known("near", index)
    assert not benchmarks._known("suite", index)
    assert not benchmarks._known("larger", index)
    assert benchmarks._known("larger", index | {"far": entry("far")})


def test_what_decides_a_score_and_what_does_not(forms):
    study = open_study(str(forms))
    mmlu, reasoning = Task(name="mmlu_anatomy"), Task(name="medqa_reasoning")
    assert "prompt" not in benchmarks.settings(study, mmlu)  # another training prompt leaves likelihoods as they are
    assert benchmarks.settings(study, reasoning)["prompt"]["prefill"] == "<think>"
    assert benchmarks.settings(study, mmlu) != benchmarks.settings(study, Task(name="mmlu_anatomy", shots=3))
    assert REPOSITORY.joinpath("helpers/evaluation/tasks/medqa_reasoning.yaml").exists()


class _Counted:
    """A benchmark of six documents that counts how often they are asked for."""

    OUTPUT_TYPE, task_name = "generate_until", "gsm8k"

    def __init__(self, read):
        self.read = read

    @property
    def eval_docs(self):
        self.read.append(1)
        return list("abcdef")


def test_the_documents_of_a_benchmark_are_read_once():
    """The harness lets a task that filters its data set do so for every document."""
    read: list[int] = []
    selected = scoring.Selection.of(_Counted(read), scoring._places(_Counted(read), 4, None))
    assert (selected.documents, len(read)) == (list("abcd"), 2)  # once for the places, once for the documents


def test_a_template_is_compiled_once_for_all_documents(tiny, forms, tmp_path, monkeypatch):
    """The harness compiles a task's templates for every document, which took longer than reading them."""
    from lm_eval import utils

    compiled, usual = [], utils.env.compile
    monkeypatch.setattr(
        utils.env, "compile", lambda source, *rest, **more: compiled.append(source) or usual(source, *rest, **more)
    )
    scored(tiny, forms, tmp_path, [{"name": "mmlu_anatomy", "shots": 2, "rotate": False}])
    assert compiled
    assert max(Counter(compiled).values()) <= 2  # building a task compiles them once more


def test_the_items_that_04_shows_are_those_that_were_scored(made, forms):
    study = open_study(str(forms))
    model, scores = Evaluation(study), pd.read_parquet(made / "eval/untrained/scores.parquet")
    shown, options = items.by_likelihood(model, scores)
    row = scores[(scores["benchmark"] == "mmlu_anatomy") & (scores["rotation"] == 0)].iloc[0]
    assert (shown["benchmark"].item(), shown["item_id"].item()) == ("mmlu_anatomy", row["item_id"])
    assert shown["prompt"].item().endswith("Answer:")
    assert options["continuation"].tolist() == list("ABCD")
    assert options.loc[options["log-likelihood"].idxmax(), ["option", "chosen"]].tolist() == [row["predicted"], "chosen"]
    assert options.loc[options["right"] == "right", "option"].tolist() == [row["target"]]
    asked = items.in_reasoning_mode(model, scores)
    assert asked["benchmark"].item() == "pool_held_out"
    assert asked["prompt"].item().endswith("Assistant: <think>")
    assert items.by_likelihood(model, scores[scores["mode"] == "reasoning"]) is None
    assert items.in_reasoning_mode(model, scores[scores["mode"] != "reasoning"]) is None
