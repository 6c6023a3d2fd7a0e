"""Every mistake a person makes ends in one line that names the file, the key and what would be right."""

import importlib.util
import json
import os
import re

import pandas as pd
import pytest
from conftest import REPOSITORY, run

from helpers.questions import pools
from helpers.study import files
from helpers.study.files import StudyError
from helpers.study.schema import Pool
from helpers.study.study import open_study
from helpers.workflow.check import check

ROW = {"question": "Which metal does haemoglobin hold?", "options": ["Iron", "Zinc"], "answer": "A"}


def at(path, value):
    """A change of one key, named by its path."""

    def change(values):
        *parents, last = path.split(".")
        for key in parents:
            values = values[key]
        values[last] = value

    return change


MISTAKES = {
    "unknown key": (at("train.learning_rat", 1e-5), "unknown key 'train.learning_rat'; did you mean 'learning_rate'?"),
    "unknown top key": (at("filter", {}), "unknown key 'filter'; did you mean 'filters'?"),
    "wrong type": (at("train.learning_rate", "fast"), "train.learning_rate: 'fast' is not right"),
    "yes for a number": (at("train.rollouts", True), "train.rollouts: True is not right"),
    "negative": (at("train.learning_rate", -1.0), "train.learning_rate: -1.0 is not right: input should be greater than 0"),
    "missing key": (lambda v: v.pop("pool"), "key 'pool' is missing"),
    "no arms": (at("arms", {}), "arms: {} is not right"),
    "unknown filter": (at("arms.self.filter", "slef"), "arms.self.filter: 'slef' is no filter; did you mean 'self'?"),
    "filter that is a list": (at("arms.self.filter", ["self"]), "arms.self.filter: ['self'] is not right"),
    "unknown task set apart": (
        at("analysis", {"apart": ["starter_generl"]}),
        "analysis.apart: 'starter_generl' is no task of eval.tasks; did you mean 'starter_general'?",
    ),
    "more than the pool": (
        at("arms.random.size", 500),
        "arms.random: 500 questions wanted, the pool 'starter:medicine_pool' has 103",
    ),
    "negative split seed": (at("split.seed", -1), "split.seed: -1 is not right"),
    "huge seed": (at("seeds", [99999999999]), "seeds.0: 99999999999 is not right"),
    "seed twice": (at("seeds", [0, 1, 0]), "seed 0 occurs twice"),
    "no seeds": (at("seeds", []), "seeds: [] is not right"),
    "arm of two kinds": (at("arms.self.size", 30), "an arm has either `size` (random) or all of"),
    "half an arm": (at("arms.self", {"filter": "self", "hard": 3}), "an arm has either `size` (random) or all of"),
    "arm too small": (at("arms.random.size", 3), "arms.random: 3 questions are fewer than one step takes (4)"),
    "arm named untrained": (at("arms.untrained", {"size": 8}), "'untrained' is the name of the model before training"),
    "arm with a slash": (at("arms.a/b", {"size": 8}), "arms.a/b"),
    "broken groups": (at("train.rollouts", 5), "must be a multiple of rollouts (5)"),
    "samples that are equal": (at("filters.self.samples", 4), "samples above 1 need a temperature above 0"),
    "unknown starter set": (at("pool", "starter:medecine"), "no starter set 'medecine'; there are: arithmetic, chinese"),
    "missing pool file": (at("pool", "mine.jsonl"), "pool: mine.jsonl: no such file"),
    "hub pool at a branch": (at("pool", {"source": "a/b", "revision": "main"}), "pool.revision: 'main' is no commit"),
    "pool with columns the wrong way round": (
        at("pool", {"source": "mine.csv", "columns": {"stem": "question"}}),
        "pool.columns.stem: 'stem' is not right: input should be 'question', 'options', 'answer'",
    ),
    "pool with an empty column": (
        at("pool", {"source": "mine.csv", "columns": {"question": None}}),
        "pool.columns.question: None is not right",
    ),
    "pool with unknown answers": (at("pool", {"source": "mine.csv", "answers": "index"}), "pool.answers: 'index' is not right"),
    "pool that is the whole disk": (at("pool", "/"), "/: has more than 10,000 files; name the folder of one data set"),
    "pool with a folder's name and no commit": (at("pool", "nowhere/"), "these are read at one commit"),
    "nothing to follow": (at("train.follow", {}), "train.follow: no question is held out to be followed; set split.held_out"),
    "no accelerate file": (at("train.accelerate", ""), "train.accelerate: '' is not right: it should be one line of text"),
    "server without an address": (
        at("train.vllm_server", "node7:8000"),
        "train.vllm_server: 'node7:8000' is not right: it should be an address such as http://node7:8000",
    ),
    "modules that are no pattern": (
        at("train.lora.target_modules", "("),
        "train.lora.target_modules: '(' is no regular expression (missing ), unterminated subpattern",
    ),
    "title of two lines": (at("title", "a\nb"), "title: 'a\\nb' is not right: it should be one line of text"),
    "arm that is a number": (at("arms.random", 25), "arms.random: 25 is not right: it should be a mapping (`key: value`)"),
    "tasks that are names": (at("eval.tasks", ["mmlu"]), "eval.tasks.0: 'mmlu' is not right: it should be a mapping"),
    "rotated options of a pool of numbers": (
        lambda v: (v["train"].update(recipe="rotated"), v.update(pool="starter:arithmetic", arms={"random": {"size": 25}})),
        "train.rotate_options: needs questions with 4 options each; this pool's have no options",
    ),
    "unknown recipe": (at("train.recipe", "stedy"), "train.recipe: 'stedy' is not a recipe; did you mean 'steady'?"),
    "unknown task": (
        at("eval.tasks", [{"name": "starter_medicin", "group": "shift"}]),
        "no task 'starter_medicin'; did you mean",
    ),
    "task twice": (at("eval.tasks", [{"name": "mmlu", "group": "shift"}] * 2), "'mmlu' occurs twice"),
    "unknown group": (at("eval.tasks", [{"name": "mmlu", "group": "rest"}]), "eval.tasks.0.group: 'rest' is not right"),
    "unknown loss": (at("train.loss", "ppo"), "train.loss: 'ppo' is not right"),
    "hub pool without a commit": (at("pool", "nobody/questions"), "a data set of the hub, and these are read at one commit"),
    "unknown key of an arm's training": (
        at("arms.random.train", {"learning_rat": 1e-6}),
        "arms.random.train: unknown key 'learning_rat'; did you mean 'learning_rate'?",
    ),
    "an arm's training with broken groups": (at("arms.random.train", {"rollouts": 5}), "arms.random.train: batch_size"),
    "pass rate of one answer": (
        lambda v: (at("arms.self", {"filter": "self", "size": 20, "pass_rate": 0.5})(v), at("filters.self.samples", 1)(v)),
        "filters.self.samples is 1; a pass rate needs several samples",
    ),
    "pass rate without a filter": (at("arms.random.pass_rate", 0.5), "an arm has either"),
    "held out, but never scored": (at("split.held_out", 20), "split.held_out and the task 'pool_held_out'"),
    "checkpoints that nobody scores": (at("train.keep_checkpoints", True), "checkpoints are scored on the task 'pool_held_out'"),
    "more held out than the pool has": (
        lambda v: (v["split"].update(held_out=90), v["eval"]["tasks"].append({"name": "pool_held_out"})),
        "25 questions wanted and 90 held out, the pool 'starter:medicine_pool' has 103",
    ),
    "no reward counts": (
        at("train.reward_weights", {"accuracy": 0.0, "format": 0.0, "xml_count": 0.0}),
        "reward_weights are all 0",
    ),
    "infinite": (
        at("train.learning_rate", float("inf")),
        "train.learning_rate: inf is not right: input should be a finite number",
    ),
    "a rate above 1": (
        at("train.learning_rate", 20.0),
        "train.learning_rate: 20.0 is not right: input should be less than or equal to 1",
    ),
    "a count beyond reason": (at("train.save_steps", 10**30), "train.save_steps"),
    "a name of 100 letters": (at("arms", {"a" * 100: {"size": 8}}), "at most 80 characters"),
    "name that is a number": (
        lambda v: v["arms"].update({500: {"size": 8}}),
        "arms.500: 500 is not right: it should be a text, in quotes",
    ),
    "empty model": (at("model.id", ""), "model.id: '' is not right"),
    "pool of two lines": (at("pool", "x\ny"), "pool.source: 'x\\ny' is not right"),
    "task without a name": (at("eval.tasks", [{"name": ""}]), "eval.tasks.0.name: '' is not right"),
    "no number": (at("train.reward_weights", {"accuracy": float("nan")}), "train.reward_weights.accuracy: nan is not right"),
    "negative weight": (at("train.reward_weights", {"format": -0.5}), "train.reward_weights.format: -0.5 is not right"),
    "no target modules": (at("train.lora.target_modules", []), "train.lora.target_modules"),
    "everything dropped": (at("train.lora.dropout", 1.0), "train.lora.dropout: 1.0 is not right: input should be less than 1"),
    "less than a step": (
        at("train.epochs", 1e-9),
        "arms.gemma-3-270m: 1e-09 epochs of 6 steps are less than one step; raise train.epochs",
    ),
    "control that is no study": (
        at("analysis", {"control": "contrl"}),
        "analysis.control: 'contrl' is no study; did you mean 'control'?",
    ),
    "arms that are one folder on macOS": (at("arms.Self", {"size": 8}), "arms: 'Self' and 'self' differ by case only"),
    "filters that are one folder on macOS": (
        lambda v: v["filters"].update(SELF=v["filters"]["self"]),
        "filters: 'SELF' and 'self' differ by case only",
    ),
    "key of an older file": (at("train.runs_a_gpu", 2), "unknown key 'train.runs_a_gpu'; did you mean 'runs_per_gpu'?"),
    "task that the harness does not have": (
        at("eval.tasks", [{"name": "mmlu_anatmy"}]),
        "eval.tasks: lm-evaluation-harness has no task 'mmlu_anatmy'; did you mean 'mmlu_anatomy'?",
    ),
    "modules that the model does not have": (
        at("train.lora.target_modules", ["q_proj", "query"]),
        "train.lora.target_modules: HuggingFaceTB/SmolLM2-135M-Instruct has no module 'query'; it has q_proj, k_proj",
    ),
    "modules that no path matches": (at("train.lora.target_modules", "q_proj"), "SmolLM2-135M-Instruct has no module 'q_proj'"),
    "limit and sample": (
        at("eval.tasks", [{"name": "mmlu", "limit": 3, "sample": "s.csv"}]),
        "limit and sample exclude each other",
    ),
    "missing sample": (at("eval.tasks", [{"name": "mmlu", "sample": "s.csv"}]), "s.csv: no such file"),
    "unknown side": (at("eval.groups", {"medicine": ["mmlu_*"]}), "eval.groups.medicine"),
    "missing shared file": (at("shared", "nowhere.yaml"), "shared: nowhere.yaml: no such file"),
    "shared is no path": (at("shared", ["a", "b"]), "it should be the path of one YAML file"),
    "shares itself": (at("shared", "changed.yaml"), "shared: changed.yaml shares this file in turn"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_in_parameters(parameters, mistake):
    change, expected = MISTAKES[mistake]
    path = parameters(change)
    with pytest.raises(StudyError) as raised:
        check(open_study(str(path)))
    assert expected in str(raised.value)
    assert "\n" not in str(raised.value)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (at("engine", "vllm"), "engine: vllm is not installed here (requirements-gpu.txt); use auto or transformers"),
        (at("train.method", "qlora"), "train.method: qlora needs an NVIDIA GPU (bitsandbytes), and there is none; use lora here"),
        (at("arms.random.train", {"method": "qlora"}), "arms.random.train.method: qlora needs an NVIDIA GPU (bitsandbytes)"),
    ],
)
def test_what_this_machine_does_not_have(parameters, monkeypatch, change, expected):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "vllm" else find(name))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    study = open_study(str(parameters(change)))
    with pytest.raises(StudyError) as raised:
        check(study)
    assert expected in str(raised.value)
    check(study, here=False)  # a cluster may have it


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "holds no parameters"),
        ("- a\n- b\n", "holds no parameters"),
        ("title: a\ntitle: b\n", "line 2: not valid YAML: found duplicate key .title."),
        ("title: [a\n", "not valid YAML"),
        ("title: 2024-13-45\n", "not valid YAML"),
    ],
)
def test_broken_files(tmp_path, text, expected):
    (tmp_path / "broken.yaml").write_text(text)
    with pytest.raises(StudyError, match=expected):
        open_study(str(tmp_path / "broken.yaml"))


def test_a_file_that_is_not_utf8_and_a_folder(tmp_path):
    (tmp_path / "wide.yaml").write_text("title: a\n", encoding="utf-16")
    (tmp_path / "folder.yaml").mkdir()
    for name, expected in {
        "wide": "is not UTF-8 text (invalid start byte at byte 0); save it",
        "folder": "a folder; name",
    }.items():
        with pytest.raises(StudyError) as raised:
            open_study(str(tmp_path / f"{name}.yaml"))
        assert f"{name}.yaml: {expected}" in str(raised.value)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a/b", "no slash"),
        ("quickstar", "did you mean 'quickstart'?"),
        ("nowhere/x.yaml", "no such file"),
        ("../quickstart", "no slash"),
    ],
)
def test_names(name, expected):
    with pytest.raises(StudyError) as raised:
        open_study(name)
    assert expected in str(raised.value)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([], "the pool is empty"),
        ([ROW, ROW], "the pool 'mine.jsonl' has 1"),
        ([ROW, ROW | {"answer": "B"}], "question 2 is question 1 with another answer"),
        ([ROW | {"answer": "C"}], "answer 'C' names none of the options A/B"),
        ([ROW | {"answer": "AB"}], "answer 'AB' names none of the options A/B"),
        ([ROW | {"options": ["Iron"]}], "options should be 2 to 10 different texts"),
        ([ROW | {"options": ["Iron", "Iron"]}], "options should be 2 to 10 different texts"),
        ([{k: v for k, v in ROW.items() if k != "options"}], "'options' should be a list of texts, it is None"),
        ([ROW | {"options": "Iron"}], "'options' should be a list of texts, it is 'Iron'"),
        ([ROW | {"options": [["Iron"], 2]}], "'options' should be a list of texts, it is [['Iron'], 2]"),
        ([ROW | {"options": 3}], "'options' should be a list of texts, it is 3"),
        ([ROW | {"answer": 3}], "answer 3 names none of the options A/B"),
        ([ROW | {"question": " "}], "'question' should be a text, it is ' '"),
    ],
)
def test_pools_of_ones_own(tmp_path, parameters, rows, expected):
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(StudyError) as raised:
        check(open_study(str(parameters(at("pool", "mine.jsonl")))))
    assert expected in str(raised.value)


def test_broken_lines_and_files(tmp_path):
    (tmp_path / "p.jsonl").write_text(json.dumps(ROW) + "\n{\n")
    with pytest.raises(StudyError, match="line 2 is not valid JSON"):
        pools.load_pool(Pool(source=str(tmp_path / "p.jsonl")))
    (tmp_path / "p.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(StudyError, match="cannot be read as Parquet"):
        pools.load_pool(Pool(source=str(tmp_path / "p.parquet")))


def test_a_pool_as_parquet_and_with_options_by_letter(tmp_path):
    pd.DataFrame([ROW | {"options": {"A": "Iron", "B": "Zinc"}}]).to_parquet(tmp_path / "p.parquet")
    (row,) = pools.load_pool(Pool(source=str(tmp_path / "p.parquet"))).to_dict("records")
    assert (row["options"], row["answer"]) == (["Iron", "Zinc"], "A")


def test_numbers_may_be_written_as_2e_5(parameters):
    path = parameters()
    path.write_text(path.read_text().replace("learning_rate: 0.0005", "learning_rate: 2e-5"))
    assert "learning_rate: 2e-5" in path.read_text()
    assert open_study(str(path)).train.learning_rate == 2e-5


def test_runs_that_are_a_file(parameters, tmp_path, monkeypatch):
    (tmp_path / "runs").write_text("")
    monkeypatch.setenv("STUDY_RUNS", str(tmp_path / "runs"))
    with pytest.raises(StudyError, match="STUDY_RUNS: .*runs is a file; it should be the folder of all runs"):
        open_study(str(parameters()))


def test_one_line_and_exit_code_1_on_the_command_line(parameters):
    done = run("python", "-m", "helpers.workflow.graph", parameters(at("train.rollouts", 0)))
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1
    assert "Traceback" not in done.stderr


def test_an_unknown_task_is_reported_within_five_seconds_and_before_a_library_is_loaded(parameters):
    path, before = parameters(at("eval.tasks", [{"name": "mmlu_anatmy"}])), os.times()
    done = run("python", "-X", "importtime", "-m", "helpers.workflow.graph", path)
    after = os.times()  # seconds of its own: other tests may run beside it
    assert after.children_user + after.children_system - before.children_user - before.children_system < 5
    assert "has no task 'mmlu_anatmy'" in done.stderr
    assert not re.search(r"\| +(torch|transformers|lm_eval)$", done.stderr, re.MULTILINE)


def test_changing_one_arm_changes_the_inputs_of_its_split_only(parameters):
    before = open_study(str(parameters()))
    after = open_study(str(parameters(lambda v: v["arms"]["self"].update(hard=20, easy=10))))
    assert before.inputs("split", arm="self") != after.inputs("split", arm="self")
    assert before.inputs("split", arm="random") == after.inputs("split", arm="random")
    for step in ("filter", "train", "eval", "analysis"):
        given = {"filter": "self"} if step == "filter" else {"arm": "self", "seed": 0}
        assert before.inputs(step, **given) == after.inputs(step, **given)


def test_another_pool_of_the_same_name_is_another_input(tmp_path, parameters):
    rows = [ROW | {"question": f"Question number {i}?"} for i in range(30)]

    def inputs(changed):
        (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [changed, *rows[1:]]))
        return open_study(str(parameters(at("pool", "mine.jsonl")))).inputs("filter", filter="self")

    assert inputs(rows[0]) == inputs(rows[0])
    assert inputs(rows[0]) != inputs(rows[0] | {"answer": "B"})


def test_settings_that_change_no_result_are_no_inputs(parameters):
    before = open_study(str(parameters()))
    after = open_study(str(parameters(lambda v: (v["train"].update(save_steps=5), v["eval"].update(batch_size=2),
                                                 v["filters"]["self"].update(batch_size=1)))))  # fmt: skip
    for step in ("filter", "split", "train", "eval"):
        assert before.inputs(step, arm="self", filter="self", seed=0) == after.inputs(step, arm="self", filter="self", seed=0)


def test_a_table_made_with_other_parameters_is_refused(tmp_path):
    files.write_result(pd.DataFrame({"a": [1]}), tmp_path / "t.parquet", "mark", {"lr": 1})
    assert len(files.read_table(tmp_path / "t.parquet", "03", {"lr": 1})) == 1
    with pytest.raises(StudyError, match="other parameters than the study has now; run 03 again"):
        files.read_table(tmp_path / "t.parquet", "03", {"lr": 2})


def test_a_result_is_whole_or_absent(tmp_path):
    class Half(pd.DataFrame):
        def to_csv(self, path, **kwargs):
            path.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        files.write_table(Half({"a": [1]}), tmp_path / "t.csv")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_line(tmp_path):
    with pytest.raises(StudyError, match="no space left on the disk"), files.atomic(tmp_path / "t.csv"):
        raise OSError(28, "No space left on device")


def test_results_of_other_inputs_are_not_current(tmp_path):
    files.write_result(pd.DataFrame({"a": [1]}), tmp_path / "t.parquet", "one")
    assert files.is_current(tmp_path / "t.parquet", "one")
    assert not files.is_current(tmp_path / "t.parquet", "two")
    (tmp_path / "t.json").write_text("{")
    assert not files.is_current(tmp_path / "t.parquet", "one")


def test_what_studies_share_is_laid_under_what_they_say(tmp_path):
    (tmp_path / "base.yaml").write_text((REPOSITORY / "parameters" / "quickstart.yaml").read_text())
    (tmp_path / "mine.yaml").write_text(
        "shared: base.yaml\ntitle: Mine\ntrain: {epochs: 2}\narms: {random: {size: 8}}\nseeds: [3]\n"
    )
    study = open_study(str(tmp_path / "mine.yaml"))
    assert (study.title, study.train.epochs, study.train.learning_rate) == ("Mine", 2, 5e-4)
    assert list(study.arms) == ["random"]
    assert study.seeds == [3]
    (tmp_path / "copied.yaml").write_text((REPOSITORY / "parameters" / "medicine.yaml").read_text())
    assert open_study(str(tmp_path / "copied.yaml")).seeds == open_study("medicine").seeds  # what it shares is in parameters/


def test_an_arm_may_train_differently(parameters):
    path = parameters(
        lambda v: v["arms"].update(slow={"size": 25, "train": {"learning_rate": 1e-6, "reward_weights": {"format": 0.0}}})
    )
    study = open_study(str(path))
    assert study.training("random") == study.train
    assert study.training("slow").learning_rate == 1e-6
    assert study.training("slow").reward_weights == {"format": 0.0}
    assert study.training("slow").rollouts == study.train.rollouts
    assert study.inputs("split", arm="slow", seed=0)["arm"] == study.inputs("split", arm="random", seed=0)["arm"]


def test_steps_and_kept_checkpoints(parameters):
    change = lambda v: (v["train"].update(epochs=2.5, save_steps=5, keep_checkpoints=True), v["split"].update(held_out=8),  # noqa: E731
                        v["eval"]["tasks"].append({"name": "pool_held_out"}))  # fmt: skip
    study = open_study(str(parameters(change)))
    assert study.train.steps(25) == 15
    assert study.checkpoints("random") == [5, 10]
    assert ("random", "seed0", "step10") in study.scored()
    assert ("random", "seed0", "step10") not in study.models()


def test_sides_of_the_report(parameters):
    study = open_study(str(parameters(at("eval.tasks", [{"name": "mmlu"}, {"name": "gsm8k", "group": "shift"}]))))
    mmlu, gsm8k = study.eval.tasks
    assert study.eval.side(mmlu, "mmlu_anatomy") == "specialisation"
    assert study.eval.side(mmlu, "mmlu_astronomy") == "robustness"
    assert study.eval.side(mmlu, "medmcqa_mirror") == "shift"
    assert study.eval.side(gsm8k, "gsm8k") == "shift"


def test_a_result_that_another_study_made_is_taken(tmp_path):
    other, mine = tmp_path / "runs/a/train/random/seed0", tmp_path / "runs/b/train/all/seed0"
    (other / "adapter").mkdir(parents=True)
    (other / "adapter" / "weights").write_text("w")
    files.write_result(pd.DataFrame({"step": [1]}), other / "log.csv", "mark")
    assert not files.adopt(mine / "log.csv", "other mark", tmp_path / "runs", "*/train/*/*/log.csv", "adapter")
    assert not files.adopt(mine / "log.csv", "mark", tmp_path / "runs", "*/train/*/*/log.csv", "adapter", "completions.parquet")
    assert not mine.exists()
    assert files.adopt(mine / "log.csv", "mark", tmp_path / "runs", "*/train/*/*/log.csv", "adapter")
    assert files.is_current(mine / "log.csv", "mark")
    assert files.read_note(mine / "log.csv")["adopted_from"] == "a/train/random/seed0/log.csv"
    assert (mine / "adapter" / "weights").read_text() == "w"
