"""Every study of parameters/: what the paper states is there, what it leaves open is marked, and the graph has the jobs it should."""

import re

import pytest
import yaml
from conftest import REPOSITORY
from workflow.dry_runs import dry_runs

from helpers.evaluation import samples
from helpers.study.schema_eval import GROUPS
from helpers.study.study import open_study
from helpers.workflow import graph
from helpers.workflow.check import check

FOLDER = REPOSITORY / "parameters"
STUDIES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
# filters, arms × seeds, kept checkpoints
JOBS = {
    "quickstart": (2, 3, 3, 0), "paper": (3, 4, 12, 0), "small": (3, 4, 12, 0), "small_larger": (3, 4, 12, 0),
    "control": (1, 2, 6, 0), "ratio": (1, 5, 15, 0), "size": (2, 9, 27, 0), "gap": (4, 5, 15, 0), "shift": (3, 4, 12, 0),
    "full": (1, 4, 12, 0), "qlora": (1, 4, 12, 0), "rewards": (0, 4, 12, 0), "duration": (1, 2, 6, 54), "passrate": (2, 3, 9, 0),
    "choice": (2, 7, 56, 0), "choice_larger": (2, 4, 20, 0), "medicine": (2, 5, 40, 0),
    "letters": (2, 5, 40, 0), "medmcqa": (2, 5, 40, 0), "medmcqa_validation": (2, 5, 40, 0), "search": (0, 2, 10, 0), "search_quickstart": (2, 2, 2, 0),
    "search_dev": (0, 1, 1, 0), "search_control": (0, 1, 1, 0),
}  # fmt: skip


def test_every_study_is_counted_and_stands_in_the_table():
    assert set(STUDIES) == set(JOBS)
    readme = (FOLDER / "README.md").read_text()
    for name in STUDIES:
        assert f"]({name}.yaml)" in readme
        assert name in ("quickstart", "search_dev", "search_control") or f"`make study STUDY={name}`" in readme


@pytest.fixture(scope="module")
def planned(tmp_path_factory) -> dict[str, str]:
    """What a dry run prints, by study."""
    folder = tmp_path_factory.mktemp("planned")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STUDY_RUNS", str(folder))
        studies = [open_study(name) for name in STUDIES]
        for study in studies:
            study.folder.mkdir(parents=True)
        calls = [graph.command(study)[3:] for study in studies]  # without python -m snakemake
        return dict(zip(STUDIES, dry_runs(folder / "output", calls), strict=True))


@pytest.mark.parametrize("name", STUDIES)
def test_the_graph_has_the_jobs_it_should(name, planned):
    study = open_study(name)
    counted = dict(re.findall(r"^(\w+) +(\d+)$", planned[name].split("Job stats:")[1], re.MULTILINE))
    filters, arms, trainings, checkpoints = JOBS[name]
    draws = arms if study.split.draws == "fixed" else trainings
    expected = {"filter": filters, "split": draws, "train": trainings, "eval": trainings, "eval_checkpoint": checkpoints,
                "eval_untrained": 1, "set_aside": 1, "analysis": 1, "report": 1}  # fmt: skip
    assert {key: int(value) for key, value in counted.items() if key != "total"} == {key: n for key, n in expected.items() if n}
    assert int(counted["total"]) == sum(expected.values())


@pytest.mark.parametrize("name", STUDIES)
def test_every_study_can_start_where_the_machine_fits(name):
    assert check(open_study(name), here=False).startswith(f"{name}: ")


def test_what_the_paper_states():
    s = open_study("paper")
    assert s.model.id == "google/gemma-3-12b-it"
    assert s.pool.source == "GBaker/MedQA-USMLE-4-options"
    assert {f.model for f in s.filters.values()} == {"microsoft/phi-4", "google/gemma-3-27b-it", "google/gemma-3-12b-it"}
    assert all(f.samples == 1 for f in s.filters.values())
    arms = {name: (arm.size, arm.hard, arm.easy) for name, arm in s.arms.items()}
    assert arms == {
        "random": (500, None, None),
        "phi-4": (None, 400, 100),
        "gemma-3-27b-it": (None, 400, 100),
        "self": (None, 400, 100),
    }
    t = s.train
    assert (t.method, t.learning_rate, t.lr_scheduler, t.batch_size, t.gradient_accumulation, t.rollouts, t.scale_rewards) == (
        "lora", 2e-5, "cosine", 3, 4, 3, "none")  # fmt: skip
    assert t.reward_weights == {}
    assert (s.prompt.style, s.prompt.worked_examples, s.prompt.prefill) == ("chat", 0, "")
    assert {"mmlu", "mmlu_pro", "gsm8k", "cmmlu"} <= {task.name for task in s.eval.tasks}
    assert len(s.seeds) == 3


def test_what_the_paper_states_stands_in_its_own_file_and_is_marked():
    values = yaml.safe_load((FOLDER / "paper.yaml").read_text())
    stated = {"learning_rate", "lr_scheduler", "batch_size", "gradient_accumulation", "rollouts", "scale_rewards"}
    lines = (FOLDER / "paper.yaml").read_text().split("\ntrain:")[1].split("\neval:")[0].splitlines()
    for key in stated:
        (line,) = [line for line in lines if line.strip().startswith(f"{key}:")]
        assert "# stated" in line
    for key in set(values["train"]) - stated:
        (number,) = [n for n, line in enumerate(lines) if line.strip().startswith(f"{key}:")]
        assert "stated" not in lines[number].split("#")[0]
    assert "ours, like all values below" in next(line for line in lines if line.strip().startswith("epochs:"))


def test_what_varies():
    ratio = open_study("ratio").arms
    assert {(a.hard, a.easy) for a in ratio.values() if a.filter} == {(500, 0), (400, 100), (250, 250), (100, 400)}
    assert {a.filter for a in ratio.values() if a.filter} == {"larger"}
    size = open_study("size").arms
    assert {(a.filter, a.wanted) for a in size.values() if a.filter} == {
        (f, n) for f in ("self", "larger") for n in (100, 250, 500, 1000)
    }
    assert all(a.hard == 4 * a.easy for a in size.values() if a.filter)
    assert {t.name for t in open_study("shift").eval.tasks} >= {"medmcqa", "pubmedqa", "medxpertqa", "medbullets_op4"}
    assert open_study("shift").arms == open_study("small").arms
    left_out = {next(iter(a.train["reward_weights"])) for a in open_study("rewards").arms.values() if a.train}
    assert left_out == {"accuracy", "format", "xml_count"}
    assert {open_study("full").training(arm).method for arm in ("self", "self-full")} == {"lora", "full"}
    assert open_study("qlora").training("self-qlora").method == "qlora"
    assert open_study("passrate").arms["half"].rule == "500 with a pass rate near 0.5"
    control = open_study("control")
    assert control.pool.source == "openai/gsm8k"
    assert {control.eval.side(task, task.name) for task in control.eval.tasks if "med" in task.name} == {"robustness"}


def test_models_of_the_small_studies_can_be_had_without_a_hub():
    names = {
        "Qwen/Qwen2.5-Coder-1.5B-Instruct",
        "Qwen/Qwen2.5-Coder-0.5B-Instruct",
        "google/gemma-3-270m",
        "HuggingFaceTB/SmolLM2-135M-Instruct",
    }
    for study in map(open_study, set(STUDIES) - {"paper"}):
        assert {study.model.id, *(f.model for f in study.filters.values())} <= names, study.name


def test_the_fixed_sample():
    sample = samples.read_sample(FOLDER / "samples" / "mmlu_pro_560.csv")
    assert len(sample) == 14
    assert sum(map(len, sample.values())) == 560


def test_default_sides():
    assert len([name for name in GROUPS["specialisation"] if re.match(r"mmlu_(?!pro_)(?!medical_reasoning)", name)]) == 9
    study = open_study("small")
    cmmlu = next(task for task in study.eval.tasks if task.name == "cmmlu")
    assert study.eval.side(cmmlu, "cmmlu_traditional_chinese_medicine") == "specialisation"
    assert study.eval.side(cmmlu, "cmmlu_agronomy") == "robustness"
