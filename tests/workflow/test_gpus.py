"""GPUs lent to jobs: each has its own, or several share one, and none are lent where there are none."""

import os
import subprocess
import sys

import nbformat
import pytest
import yaml
from conftest import REPOSITORY
from workflow.dry_runs import dry_runs

from helpers.study.files import StudyError
from helpers.study.study import open_study
from helpers.workflow import execute, gpus, graph


@pytest.fixture
def two(monkeypatch, tmp_path):
    """A machine with two GPUs, and a folder for their locks."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    return tmp_path


def free(folder, count=1, taken=gpus.PARTS):
    """Whether that much could be lent now."""
    got = gpus._take(folder, ["4", "7"], count, taken)
    for lock in got[1] if got else []:
        lock.release()
    return got is not None


def test_jobs_side_by_side_have_a_gpu_each(two):
    with gpus.lend(1, 12, two) as first:
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "4"
        os.environ["CUDA_VISIBLE_DEVICES"] = "4,7"  # what another job of the machine sees
        with gpus.lend(1, 12, two) as second:
            assert (first, second) == (["4"], ["7"])
            assert not free(two, taken=1)
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "4,7"
        assert free(two)
        assert not free(two, count=2)
    assert free(two, count=2)
    assert "GPU_SHARE" not in os.environ


def test_small_runs_share_a_gpu_and_the_emptier_one_is_taken_first(two, monkeypatch):
    with gpus.lend(1, 4, two) as first:
        assert os.environ["GPU_SHARE"] == "0.333"
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
        with gpus.lend(1, 4, two) as second:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
            assert (first, second) == (["4"], ["7"])
            assert free(two, taken=8)
            assert not free(two)


def test_a_killed_job_frees_its_gpu(two):
    holds = f"import pathlib, time\nfrom helpers.workflow import gpus\nwith gpus.lend(2, 12, pathlib.Path({str(two)!r})):\n print('has', flush=True)\n time.sleep(60)"  # fmt: skip
    process = subprocess.Popen([sys.executable, "-c", holds], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY)
    assert process.stdout.readline() == "has\n"
    assert not free(two, taken=1)
    process.kill()
    process.wait()
    assert free(two, count=2)


def test_nothing_is_lent_without_a_gpu_or_where_slurm_has(two, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    with gpus.lend(1, 12, two) as lent:
        assert lent == []
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "4,7"
    monkeypatch.delenv("SLURM_JOB_ID")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with gpus.lend(1, 12, two) as lent:
        assert lent == []


def test_the_graph_uses_all_gpus(two, parameters):
    study = open_study(str(parameters(lambda p: p["train"].update(runs_per_gpu=4))))
    assert graph.room(study) == 8
    assert graph._here(study, 8) == ["--cores", "8", "--resources", "gpu_parts=24"]
    shared = open_study(str(parameters(lambda p: p["train"].update(accelerate="accelerate/ddp.yaml"))))
    assert graph._here(shared, 2)[-1] == "gpu_parts=24"
    os.environ["CUDA_VISIBLE_DEVICES"] = "4"
    with pytest.raises(StudyError, match="ddp.yaml: 2 processes need as many GPUs, this job sees 1"):
        graph._here(shared, 1)


def requests_to_slurm(folder, profile, study):
    """{rule: what its jobs ask for}, and the table of jobs, from the dry run that the profile's first lines show."""
    (printed,) = dry_runs(folder / "output", [["--profile", str(profile), "--config", f"study={study}"]])
    jobs = [block for block in printed.split("\nrule ")[1:] if "resources: " in block]
    requests = {block.split(":")[0]: block.split("resources: ")[1].splitlines()[0] for block in jobs}
    counted = dict(line.split() for line in printed.split("Job stats:")[1].split("\n\n")[0].splitlines()[3:])
    return requests, counted


def test_slurm_gets_the_resources_of_each_job(tmp_path, monkeypatch, parameters):
    """Of a study that trains in two processes."""
    monkeypatch.setenv("STUDY_RUNS", str(tmp_path))
    path = parameters(
        lambda p: p["train"].update(accelerate="accelerate/ddp.yaml", runs_per_gpu=3) or p["eval"].update(runs_per_gpu=2)
    )
    requests, _ = requests_to_slurm(tmp_path, "parameters/slurm", path)
    assert "mem_mb=48000" in requests["train"]
    assert "runtime=1440" in requests["train"]
    assert "gpu=2, gpu_parts=8" in requests["train"].replace("trainings=1, ", "")
    assert "gpu=1, gpu_parts=12" in requests["filter"]
    assert "gpu=1, gpu_parts=6" in requests["eval"]
    assert "gpu" not in requests["split"]
    assert "runtime=60" in requests["split"]


def test_slurm_gets_every_job_of_a_study(tmp_path, monkeypatch):
    """The dry run that the profile shows: jobs and what they ask for."""
    monkeypatch.setenv("STUDY_RUNS", str(tmp_path))
    study = open_study("small")
    requests, counted = requests_to_slurm(tmp_path, "parameters/slurm", "small")
    runs = str(len(study.arms) * len(study.seeds))
    assert counted["train"] == counted["eval"] == runs
    assert counted["filter"] == str(len(study.filters))
    assert counted["split"] == str(len(study.arms))
    assert set(requests) == set(counted) - {"total"}
    for rule in ("filter", "train", "eval_untrained", "eval"):
        assert "gpu=1," in requests[rule]
        assert "mem_mb=48000" in requests[rule]
    assert all("runtime=" in line and "nodes=1, tasks=1" in line for line in requests.values())


def test_a_cluster_without_gpus_gets_no_request_for_them(tmp_path, monkeypatch):
    """The change that the profile's comment tells of, in a copy of it."""
    monkeypatch.setenv("STUDY_RUNS", str(tmp_path / "runs"))
    profile = yaml.safe_load((REPOSITORY / "parameters" / "slurm" / "config.yaml").read_text())
    for asks in profile["set-resources"].values():
        asks["gpu"] = 0
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(profile))
    requests, _ = requests_to_slurm(tmp_path, tmp_path, "quickstart")
    assert all("gpu=0," in requests[rule] for rule in ("filter", "train", "eval_untrained", "eval"))


REFUSED = """Error in rule filter:
    message: SLURM sbatch failed. The error message was 'sbatch: error: Batch job submission failed
sbatch: error: Invalid generic resource (gres) specification'.
    sbatch call:
        sbatch --parsable
For further error details see the cluster/cloud log and the log files of the involved rule(s).
"""
ENDED = """Error in rule train:
    message: SLURM-job '31' failed, SLURM status is: 'TIMEOUT'. Detailed failure reason unavailable.For further error details see the log
Shutting down, this might take some time.
"""


@pytest.mark.parametrize(
    ("log", "message"),
    [
        (REFUSED, "Invalid generic resource (gres) specification"),
        (ENDED, "SLURM-job '31' failed, SLURM status is: 'TIMEOUT'"),
    ],
)
def test_messages_of_slurm_are_shown(tmp_path, log, message):
    (tmp_path / "snakemake.log").write_text(log)
    assert graph._reason(tmp_path / "snakemake.log") == message


@pytest.mark.parametrize(("names", "lent"), [(["0", "1"], 0.25), ([], 0.0)])
def test_a_result_says_how_much_of_a_gpu_its_job_was_lent(tmp_path, monkeypatch, names, lent):
    made = nbformat.v4.new_notebook(metadata={"papermill": {"duration": 1.0}})
    monkeypatch.setattr(execute.papermill, "execute_notebook", lambda *given, **options: made)
    monkeypatch.setattr(gpus, "visible", lambda: names)
    monkeypatch.setenv("GPUS", "1")
    monkeypatch.setenv("GPU_PARTS", "3")
    monkeypatch.setattr(execute.sys, "argv", ["run", "01_filter", str(tmp_path / "made.ipynb"), "filter=self"])
    execute.main()
    assert nbformat.read(tmp_path / "made.ipynb", as_version=4).metadata["papermill"] == {"duration": 1.0, "gpus": lent}
