"""GPUs lent to jobs: each its own, several to one where that is asked for, and none where there is none."""

import os
import subprocess
import sys

import pytest
from conftest import REPOSITORY

from helpers import gpus, graph
from helpers.files import StudyError
from helpers.study import open_study


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
    holds = f"import pathlib, time\nfrom helpers import gpus\nwith gpus.lend(2, 12, pathlib.Path({str(two)!r})):\n print('has', flush=True)\n time.sleep(60)"  # fmt: skip
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
    study = open_study(str(parameters(lambda p: p["train"].update(runs_a_gpu=4))))
    assert graph.room(study) == 8
    assert graph._here(study, 8) == ["--cores", "8", "--resources", "gpu_parts=24"]
    shared = open_study(str(parameters(lambda p: p["train"].update(accelerate="accelerate/ddp.yaml"))))
    assert graph._here(shared, 2)[-1] == "gpu_parts=24"
    os.environ["CUDA_VISIBLE_DEVICES"] = "4"
    with pytest.raises(StudyError, match="ddp.yaml: 2 processes need as many GPUs, this job sees 1"):
        graph._here(shared, 1)


def test_slurm_is_told_what_each_job_needs(tmp_path, monkeypatch, parameters):
    """The dry run of parameters/README.md, of a study that trains in two processes."""
    monkeypatch.setenv("STUDY_RUNS", str(tmp_path))
    path = parameters(lambda p: p["train"].update(accelerate="accelerate/ddp.yaml", runs_a_gpu=3))
    call = [sys.executable, "-m", "snakemake", "--profile", "parameters/slurm", "--config", f"study={path}", "-n"]
    done = subprocess.run(call, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    jobs = [block for block in done.stdout.split("\nrule ")[1:] if "resources: " in block]
    asked = {block.split(":")[0]: block.split("resources: ")[1].splitlines()[0] for block in jobs}
    assert "mem_mb=48000" in asked["train"]
    assert "runtime=1440" in asked["train"]
    assert "gpu=2, gpu_parts=8" in asked["train"].replace("trainings=1, ", "")
    assert "gpu=1, gpu_parts=12" in asked["filter"]
    assert "gpu" not in asked["split"]
    assert "runtime=60" in asked["split"]
