"""Every mistake a person makes ends in one line that names the file, the key and what would be right."""

import json

import pandas as pd
import pytest
from conftest import run

from helpers import files, questions
from helpers.files import StudyError
from helpers.study import open_study

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
    "more than the pool": (
        at("arms.random.size", 500),
        "arms.random: 500 questions wanted, the pool 'starter:medicine_pool' has 103",
    ),
    "negative split seed": (at("split.seed", -1), "split.seed: -1 is not right"),
    "huge seed": (at("seeds", [99999999999]), "seeds.0: 99999999999 is not right"),
    "seed twice": (at("seeds", [0, 1, 0]), "seed 0 stands twice"),
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
    "unknown task": (
        at("eval.tasks", [{"name": "starter_medicin", "group": "shift"}]),
        "no task 'starter_medicin'; did you mean",
    ),
    "task twice": (at("eval.tasks", [{"name": "mmlu", "group": "shift"}] * 2), "'mmlu' stands twice"),
    "unknown group": (at("eval.tasks", [{"name": "mmlu", "group": "rest"}]), "eval.tasks.0.group: 'rest' is not right"),
    "unknown loss": (at("train.loss", "ppo"), "train.loss: 'ppo' is not right"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_in_parameters(parameters, mistake):
    change, expected = MISTAKES[mistake]
    path = parameters(change)
    with pytest.raises(StudyError) as raised:
        open_study(str(path))
    assert expected in str(raised.value)
    assert "\n" not in str(raised.value)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "holds no parameters"),
        ("- a\n- b\n", "holds no parameters"),
        ("title: a\ntitle: b\n", "line 2: key 'title' stands twice"),
        ("title: [a\n", "not valid YAML"),
        ("title: 2024-13-45\n", "not valid YAML"),
    ],
)
def test_broken_files(tmp_path, text, expected):
    (tmp_path / "broken.yaml").write_text(text)
    with pytest.raises(StudyError, match=expected):
        open_study(str(tmp_path / "broken.yaml"))


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
        ([ROW, ROW], "question 2 is the same as question 1"),
        ([ROW | {"answer": "C"}], "answer 'C' names none of the options A/B"),
        ([ROW | {"answer": "AB"}], "answer 'AB' names none of the options A/B"),
        ([ROW | {"options": ["Iron"]}], "options should be 2 to 10 different texts"),
        ([ROW | {"options": ["Iron", "Iron"]}], "options should be 2 to 10 different texts"),
        ([{k: v for k, v in ROW.items() if k != "options"}], "'options' should be a list of texts, it is None"),
        ([ROW | {"options": "Iron"}], "'options' should be a list of texts, it is 'Iron'"),
        ([ROW | {"options": [1, 2]}], "'options' should be a list of texts, it is [1, 2]"),
        ([ROW | {"options": 3}], "'options' should be a list of texts, it is 3"),
        ([ROW | {"answer": 0}], "'answer' should be a text, it is 0"),
        ([ROW | {"question": " "}], "'question' should be a text, it is ' '"),
    ],
)
def test_pools_of_ones_own(tmp_path, parameters, rows, expected):
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(StudyError) as raised:
        open_study(str(parameters(at("pool", "mine.jsonl"))))
    assert expected in str(raised.value)


def test_broken_lines_and_files(tmp_path):
    (tmp_path / "p.jsonl").write_text(json.dumps(ROW) + "\n{\n")
    with pytest.raises(StudyError, match="line 2 is not valid JSON"):
        questions.load_pool(str(tmp_path / "p.jsonl"))
    (tmp_path / "p.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(StudyError, match="cannot be read as Parquet"):
        questions.load_pool(str(tmp_path / "p.parquet"))


def test_a_pool_as_parquet_and_with_options_by_letter(tmp_path):
    pd.DataFrame([ROW | {"options": {"A": "Iron", "B": "Zinc"}}]).to_parquet(tmp_path / "p.parquet")
    (row,) = questions.load_pool(str(tmp_path / "p.parquet")).to_dict("records")
    assert (row["options"], row["answer"]) == (["Iron", "Zinc"], "A")


def test_numbers_may_be_written_as_2e_5(parameters):
    path = parameters()
    path.write_text(path.read_text().replace("learning_rate: 0.0005", "learning_rate: 2e-5"))
    assert "learning_rate: 2e-5" in path.read_text()
    assert open_study(str(path)).train.learning_rate == 2e-5


def test_one_line_and_exit_code_1_on_the_command_line(parameters):
    done = run("python", "-m", "helpers.study", parameters(at("train.rollouts", 0)))
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1
    assert "Traceback" not in done.stderr


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
    for step in ("filter", "split", "train", "score", "eval"):
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
