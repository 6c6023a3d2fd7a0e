"""All notebooks through Snakemake and Papermill on the tiny model; the report in a browser; the README's commands."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path

import inprocess
import nbformat
import pandas as pd
import pytest
from conftest import REPOSITORY, run
from workflow.dry_runs import dry_runs

from helpers.study.errors import StudyError
from helpers.study.study import open_study
from helpers.workflow import graph

NOTEBOOKS = ["01_filter", "02_split", "03_grpo_train", "04_eval", "05_analysis"]


def make(tiny: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return run("make", "study", f"STUDY={tiny / 'tiny.yaml'}", *options)


@pytest.fixture(scope="session")
def made(tiny) -> Path:
    """The tiny study; its folder. `make study` is killed in a training, and given again.

    The notebooks of the arm `random` run in this process before, which is sooner done; the graph finds their files.
    """
    study = open_study(str(tiny / "tiny.yaml"))
    inprocess.of_arm(study, "random")
    checkpoints = study.path("train", "self", 0, "checkpoints")
    process = subprocess.Popen(
        ["make", "study", f"STUDY={study.file}"], cwd=REPOSITORY, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    deadline = time.monotonic() + 240
    reached = checkpoints / "checkpoint-1/trainer_state.json"
    while process.poll() is None and not reached.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert reached.exists()
    while "another process" in (done := make(tiny)).stderr and time.monotonic() < deadline:
        time.sleep(1)  # the kernel outlives the kill, and holds the lock
    assert done.returncode == 0, done.stdout + done.stderr
    assert "accuracy in percent" in done.stdout
    assert "report/index.html" in done.stdout
    return study.folder


def times(folder: Path) -> dict[str, int]:
    """When each file that a job declares was written."""
    kinds = (".parquet", ".csv", ".ipynb", ".safetensors")
    return {str(p.relative_to(folder)): p.stat().st_mtime_ns for p in folder.rglob("*")
            if p.suffix in kinds and not {"checkpoints", "parts", ".snakemake"} & set(p.parts)}  # fmt: skip


def test_everything_is_there(made):
    labels = pd.read_parquet(made / "filter/self/labels.parquet")
    assert {
        "question_id",
        "sample",
        "response",
        "finish_reason",
        "n_tokens",
        "format_valid",
        "predicted",
        "correct",
        "label",
    } <= set(labels)
    assert len(labels) == 103
    split = pd.read_parquet(made / "split/self/seed0/train.parquet")
    assert {"question_id", "question", "options", "answer", "label", "pass_rate"} <= set(split)
    log = pd.read_csv(made / "train/random/seed0/log.csv")
    assert log["step"].tolist() == [1, 2]
    assert {
        "reward",
        "reward_accuracy",
        "reward_std",
        "frac_reward_zero_std",
        "clipped_share",
        "learning_rate",
        "seconds",
    } <= set(log)
    rollouts = pd.read_parquet(made / "train/random/seed0/completions.parquet")
    assert len(rollouts) == 24
    assert rollouts["question_id"].isin(pd.read_parquet(made / "split/random/seed0/train.parquet")["question_id"]).all()
    for model in ("untrained", "random/seed0", "self/seed0"):
        scores = pd.read_parquet(made / "eval" / model / "scores.parquet")
        assert {"benchmark", "subject", "mode", "item_id", "predicted", "target", "correct"} <= set(scores)
        assert scores.groupby("benchmark")["item_id"].nunique().to_dict() == {
            "starter_chinese_medicine": 6, "starter_medicine_reasoning": 6, "starter_arithmetic": 3, "starter_chinese_other": 6}  # fmt: skip
        assert set(scores.loc[scores["benchmark"] == "starter_arithmetic", "filter"]) == {"strict-match", "flexible-extract"}
    note = json.loads((made / "eval/self/seed0/scores.json").read_text())
    assert note["versions"]["trl"] == "1.16.0"
    assert (note["weights"], note["origin"]) == ("offline mirror", "drawn at random, in a test")
    for page in ("01_filter-self", "02_split-self-seed0", "03_grpo_train-self-seed0", "04_eval-self-seed0", "05_analysis"):
        page_text = (made / "notebooks" / f"{page}.ipynb").read_text()
        assert page_text.count("Not the original weights: drawn at random, in a test (llama).</p>") == 1, page
        assert page_text.count(
            "Computed with weights that are not the original ones: drawn at random, in a test (llama).</p>"
        ) == page_text.count('class=\\"scroll'), page
    for figure in ("rewards", "plane", "changes"):
        assert {p.suffix for p in (made / "figures").glob(f"{figure}.*")} == {".png", ".svg", ".csv"}


def test_again_does_nothing(made, tiny):
    before, begun = times(made), time.monotonic()
    assert make(tiny, "JOBS=1").returncode == 0
    assert time.monotonic() - begun < 30
    assert times(made) == before


def test_a_missing_analysis_is_made_again_and_nothing_else_is(made, tiny):
    """Not so a missing page of a training: to make it again, Snakemake would delete the training's log."""
    page, before = made / "notebooks" / "05_analysis.ipynb", times(made)
    other = made / "notebooks" / "03_grpo_train-self-seed0.ipynb"
    kept = other.read_bytes()
    page.unlink()
    assert make(tiny, "JOBS=1").returncode == 0
    assert page.exists()
    steps = ("eval", "filter", "split", "train")
    results = {name: when for name, when in times(made).items() if str(name).split("/")[0] in steps}
    assert results
    assert results == {name: when for name, when in before.items() if str(name).split("/")[0] in steps}
    other.unlink()
    assert make(tiny, "JOBS=1").returncode == 0
    assert {name: when for name, when in times(made).items() if name in results} == results
    other.write_bytes(kept)


def test_published_files_alone_give_the_same_analysis(made, tiny, tmp_path):
    """`make publish`, then `make report FROM=…` where there are neither models nor runs."""
    done = run("make", "publish", f"STUDY={tiny / 'tiny.yaml'}", f"TO={tmp_path / 'published'}")
    assert done.returncode == 0, done.stdout + done.stderr
    kept = {path.name for path in (tmp_path / "published").rglob("*")}
    assert {"scores.parquet", "labels.parquet", "train.parquet", "log.csv", "completions.parquet", "provenance.json"} <= kept
    assert not {"adapter", "adapter_model.safetensors", "checkpoints"} & kept
    nowhere = {"STUDY_RUNS": str(tmp_path / "runs"), "OFFLINE_MIRROR": "", "MODEL_CACHE": str(tmp_path / "none")}
    done = run("make", "report", f"STUDY={tiny / 'tiny.yaml'}", f"FROM={tmp_path / 'published'}", **nowhere)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All tables equal those published." in done.stdout
    rebuilt = tmp_path / "runs" / "published" / "tiny"
    assert (rebuilt / "report/index.html").exists()
    pictures = sorted((rebuilt / "figures").glob("*.*g"))
    assert len(pictures) >= 12
    for picture in pictures:
        assert picture.read_bytes() == (tmp_path / "published" / picture.name).read_bytes(), picture.name


def test_a_kill_in_a_training_loses_nothing(made):
    assert pd.read_csv(made / "train/self/seed0/log.csv")["step"].tolist() == [1, 2]
    log = (made / "notebooks/03_grpo_train-self-seed0.log").read_text()
    assert re.search(r"continuing from checkpoint-\d", log)  # the kernel outlives the kill for up to a second


def test_one_changed_arm_runs_what_follows_only(made, tiny, tmp_path):
    """In a copy of the study, so that other tests find theirs as it was: what the graph would run, and what that makes anew."""
    path, folder = tmp_path / "changed.yaml", made.parent / "changed"
    path.write_text((tiny / "tiny.yaml").read_text().replace("hard: 8, easy: 2", "hard: 7, easy: 2"))
    shutil.copytree(made, folder)
    study, before = open_study(str(path)), times(folder)
    (printed,) = dry_runs(tmp_path / "output", [graph.command(study, "--cores", "2", "--rerun-triggers", *graph.TRIGGERS)[3:]])
    jobs = re.findall(r"^rule (\w+):$", printed.split("Job stats:")[1], re.MULTILINE)
    assert sorted(jobs) == ["analysis", "eval", "report", "split", "train"]
    outputs = [path for line in re.findall(r"^ +output: (.*)$", printed, re.MULTILINE) for path in line.split(", ")]
    assert "train/self/seed0/log.csv" in outputs
    assert not re.search(r"random|untrained|filter/", " ".join(outputs))
    for path in outputs:  # as the graph does before a job
        (folder / path).unlink()
    inprocess.of_arm(study, "self")
    inprocess.job(study, "05_analysis")
    changed = {path for path, when in times(folder).items() if before.get(path) != when}
    assert not [path for path in changed if "random" in path or "untrained" in path or path.startswith("filter")]
    assert {
        "split/self/seed0/train.parquet",
        "train/self/seed0/log.csv",
        "eval/self/seed0/scores.parquet",
        "tables/comparison.csv",
    } <= changed


def test_each_seed_trains_on_a_draw_of_its_own(made, tiny):
    """Two draws, by overrides. What seed 0 of `random` trains on is what the tiny study drew, so its run is taken from there.

    The notebooks run in this process, which is sooner done; then the graph finds all its files there and runs no notebook again.
    """
    tasks = "[{name: starter_chinese_medicine, group: specialisation, limit: 6}, {name: starter_arithmetic, group: robustness, limit: 3}]"
    setting = f"filters={{}} arms={{random: {{size: 8}}, more: {{size: 12}}}} seeds=[0, 1] eval.tasks={tasks}"
    two = inprocess.whole(open_study(str(tiny / "tiny.yaml"), setting))
    before = times(two)
    done = run("make", "study", f"STUDY={tiny / 'tiny.yaml'}", f"SET={setting}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [two] == [path for path in (tiny / "runs").glob("tiny-arms-random-size-8-more-size-12*") if path.is_dir()]
    assert str(two / "report/index.html") in done.stdout
    assert times(two) == before
    drawn = {(arm, seed): pd.read_parquet(two / f"split/{arm}/seed{seed}/train.parquet")["question_id"].tolist()
             for arm in ("random", "more") for seed in (0, 1)}  # fmt: skip
    for seed in (0, 1):
        assert drawn["random", seed] == drawn["more", seed][:8]  # paired and nested
    assert set(drawn["more", 0]) != set(drawn["more", 1])
    for (arm, seed), questions in drawn.items():
        rollouts = pd.read_parquet(two / f"train/{arm}/seed{seed}/completions.parquet")
        assert set(rollouts["question_id"]) <= set(questions)
    first, second = (json.loads((folder / "train/random/seed0/log.json").read_text()) for folder in (made, two))
    assert second == first | {"adopted_from": second["adopted_from"]}
    assert len(pd.read_parquet(two / "split/overlaps.parquet")) == len(pd.read_parquet(two / "split/held_out.parquet")) == 0
    common = pd.read_csv(two / "tables/common.csv")
    assert common[["first", "second", "both", "larger"]].to_numpy().tolist() == [["random", "more", 8, 12]]
    pages = {path.stem for path in (two / "notebooks").glob("02_split-*.ipynb")}
    assert pages == {f"02_split-{arm}-seed{seed}" for arm in ("random", "more") for seed in (0, 1)}


def test_a_mistake_found_in_a_step_is_one_line(made, tiny, tmp_path):
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(
        (tiny / "tiny.yaml")
        .read_text()
        .replace("hard: 8, easy: 2", "hard: 8, easy: 60")
        .replace("shortage: fill", "shortage: stop")
    )
    shutil.copytree(made, made.parent / "wrong")  # the filter has answered already
    done = run("make", "study", f"STUDY={wrong}")
    errors = [line for line in (done.stdout + done.stderr).splitlines() if "error: " in line]
    assert done.returncode != 0
    assert len(errors) == 1
    assert re.search(r"02_split: arms\.self\.easy: 60 wanted, the filter found \d+ in the pool", errors[0])
    assert "Traceback" not in done.stdout + done.stderr


def test_a_notebook_alone_with_papermill(made, tiny, tmp_path, monkeypatch):
    """Its mistakes; the README's own command is run by test_every_command_of_the_readme."""
    call = ["papermill", "notebooks/02_split.ipynb", tmp_path / "out.ipynb", "-p", "study", tiny / "tiny.yaml"]
    refused = run("python", "-m", *call, "-p", "amr", "self")
    assert refused.returncode != 0
    assert "-p amr: this notebook has no such parameter; did you mean 'arm'?" in refused.stderr
    monkeypatch.setenv("STUDY_RUNS", str(tmp_path))
    with pytest.raises(StudyError, match=re.escape("not there yet; run 02_split (arm self, seed 0) first")):
        inprocess.execute("03_grpo_train", tmp_path / "out.ipynb", study=str(tiny / "tiny.yaml"))


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebooks_are_stored_without_outputs(name):
    notebook = nbformat.read(REPOSITORY / "notebooks" / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in code)
    assert [cell for cell in code if "parameters" in cell.metadata.get("tags", [])] == [code[0]]
    assert re.search(r'^study(: str)? = "quickstart"', code[0].source, re.MULTILINE)
    assert notebook.cells[0].source.startswith("# ")


def test_the_report_opens_without_a_network_and_escapes_what_a_model_wrote(made, tmp_path):
    html = (made / "report/index.html").read_text()
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', html)
    assert re.findall(r'<section class="chapter" id="([^"]+)"', html) == NOTEBOOKS
    assert "&lt;think&gt;" in html
    assert "<think>" not in html
    assert html.count('src="data:image/png;base64,') >= 5


def test_the_report_in_a_browser(made, tmp_path):
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not browser:
        assert not os.environ.get("CI"), "CI needs Chromium"
        pytest.skip("no Chromium on this machine: the report was not opened in a browser")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
               "--disable-component-update", "--disable-sync", f"--user-data-dir={tmp_path}"]  # fmt: skip
    page = f"file://{made / 'report/index.html'}"
    for width in (1280, 390):
        shot = tmp_path / f"{width}.png"
        subprocess.run(
            [browser, *options, f"--window-size={width},900", f"--screenshot={shot}", page], capture_output=True, check=False
        )
        assert shot.stat().st_size > 20_000
    measured = subprocess.run([browser, *options, "--dump-dom", page], capture_output=True, text=True, check=False).stdout
    assert measured.count('class="chapter"') == len(NOTEBOOKS)


def readme_commands() -> list[str]:
    """Every command that the README shows in a `sh` block, without its comment."""
    blocks = re.findall(r"```sh\n(.*?)```", (REPOSITORY / "README.md").read_text(), re.DOTALL)
    lines = [line.split("  #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def test_every_command_of_the_readme(made, tiny, tmp_path):
    """Each command runs on the tiny study instead of the one the README names; those that a test cannot run are named here."""
    elsewhere = {"make test", "conda env create -f environment.yml", "make publish", "make report FROM=figures/quickstart"}
    elsewhere |= {"make study", "make study JOBS=1"}  # run by the fixture `made` and by test_again_does_nothing
    commands = readme_commands()
    assert {"make study", "make test", "make lab", "make report", "make publish"} <= set(commands)
    for command in commands:
        if command in elsewhere or command.startswith("git clone"):
            continue
        if command.startswith("make labels"):  # run by test_labels_answers_and_card, with shorter answers to fewer questions
            command = command.replace("make labels", "make -n labels")
        if command == "make lab":
            _starts(["make", "lab"], "is running at")
            continue
        if " SET=" in command:  # run by test_each_seed_trains_on_a_draw_of_its_own
            command = command.replace("make study", "make plan")
        study, out = shlex.quote(str(tiny / "tiny.yaml")), shlex.quote(str(tmp_path / "out.ipynb"))
        here = command.replace("STUDY=quickstart", "").replace("study quickstart", f"study {study}").replace("out.ipynb", out)
        here = here.replace("HuggingFaceTB/SmolLM2-135M-Instruct", "tiny/llama")
        here = f"STUDY={study} {here}" if here.startswith("make ") else here  # a variable of make that has no value on its line
        elsewhere_runs = {"STUDY_RUNS": str(tmp_path / "runs")} if command == "make clean" else {}
        if elsewhere_runs:
            shutil.copytree(tiny / "runs", tmp_path / "runs")
        done = run("bash", "-c", f"export PATH={shlex.quote(str(REPOSITORY / '.venv/bin'))}:$PATH; {here}", **elsewhere_runs)
        assert not elsewhere_runs or not (tmp_path / "runs" / "tiny").exists()
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"


def _starts(command: list[str], sign: str) -> None:
    """Start a server, wait until it says `sign`, stop it."""
    extra = {"JUPYTER_PORT": "0", "JUPYTER_TOKEN": "test"}
    root = ["LAB_OPTIONS=--no-browser --allow-root --ServerApp.port=0"]
    process = subprocess.Popen([*command, *root], cwd=REPOSITORY, env=os.environ | extra, text=True, start_new_session=True,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip
    try:
        deadline, seen = time.monotonic() + 60, ""
        for line in process.stdout:
            seen += line
            if sign in line or time.monotonic() > deadline:
                break
        assert sign in seen, seen
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=20)
