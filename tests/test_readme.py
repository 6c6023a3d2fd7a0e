"""Every number of the README, and of the README of figures/, comes from a committed file; the two ways to install cannot drift apart."""

import re
import subprocess
from pathlib import Path

import pandas as pd
import pytest
import yaml

from helpers.study.study import open_study

REPOSITORY = Path(__file__).resolve().parent.parent
README = (REPOSITORY / "README.md").read_text()
EVIDENCE = (REPOSITORY / "figures" / "README.md").read_text()
RESULTS = REPOSITORY / "figures" / "quickstart"


def test_measured_times_and_memory():
    for row in pd.read_csv(RESULTS / "measured.csv").itertuples():
        assert f"{row.value:g} {row.unit}" in README, row.what


def test_every_number_with_a_unit_is_known():
    """Outside the results, whose test is in test_publish.py: what was measured, and what a machine needs."""
    text = re.sub(r"<!-- (finding|results) -->.*?<!-- /\1 -->|```.*?```", "", README, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->", "", text)
    measured = {f"{row.value:g} {row.unit}" for row in pd.read_csv(RESULTS / "measured.csv").itertuples()}
    text = re.sub("## What comes next.*?(?=## )", "", text, flags=re.DOTALL)  # the next test's
    found = set(re.findall(r"\d[\d.,]*\s(?:minutes?|hours?|seconds?|GB|points?|%)", text.replace("\n", " ")))
    assert found <= measured | {"8 GB"}, found - measured


def test_what_the_search_for_a_recipe_found():
    """Gains on held-out questions, their paired standard errors, and the filters' shares of hard questions."""
    (text,) = re.findall("## What comes next(.*?)## ", README, re.DOTALL)
    text = " ".join(text.split())
    runs = pd.read_csv(REPOSITORY / "figures/recipes/runs.csv").query("finished").set_index("run")
    answers = (
        pd.read_parquet(REPOSITORY / "figures/recipes/items.parquet")
        .set_index(["run", "step", "question_id"])["correct"]
        .astype(float)
        .sort_index()
    )
    changes = {run: answers[run, steps] - answers[run, 0] for run, steps in runs["steps"].items()}
    assert {len(change) for change in changes.values()} == {500}
    runs["gain"] = [100 * change.mean() for change in changes.values()]
    medqa, gsm8k = runs[runs["pool"] == "medqa"], runs[runs["pool"] == "gsm8k"]
    recipe = {
        name: yaml.safe_load((REPOSITORY / f"parameters/recipes/{name}.yaml").read_text()) for name in ("steady", "arithmetic")
    }
    low, high = sorted(gsm8k.loc[gsm8k["learning_rate"] == recipe["arithmetic"]["learning_rate"], "gain"])
    assert f"two runs of the chosen recipe gained {low:.1f} and {high:.1f} points" in text
    assert len(medqa) == 6
    assert f"six finished runs gained {medqa['gain'].min():.1f} to {medqa['gain'].max():.1f} points" in text
    assert min(100 * changes[run].sem() for run in medqa.index) > 2
    assert len(medqa[(medqa["questions"] == 500) & (medqa["learning_rate"] == recipe["steady"]["learning_rate"])]) == 1
    hard = 100 * (1 - pd.read_csv(REPOSITORY / "figures/small/filters.csv").iloc[:, 1])
    assert "{:.0f}, {:.0f} and {:.0f} % of the pool hard".format(*hard) in text
    assert {len(open_study(name).seeds) for name in ("choice", "medicine")} == {8}
    assert not (REPOSITORY / "figures" / "medicine").exists(), "no longer 'has not been run'"


def test_how_far_choice_is():
    """Until its comparison is published."""
    assert not (REPOSITORY / "figures" / "choice" / "comparison.csv").exists(), "the README can say what choice found"
    text = " ".join(README.split())
    table, study = pd.read_csv(REPOSITORY / "figures/choice/runs.csv"), open_study("choice")
    trained = table.loc[table["arm"] != "untrained", ["arm", "seed"]].drop_duplicates()
    assert f"{len(trained)} of its {len(study.arms) * len(study.seeds)} trainings are done" in text
    gains = pd.read_csv(REPOSITORY / "figures/choice/gains.csv").query("filter == 'none'").set_index(["arm", "benchmark"])
    assert gains.groupby("arm")["seeds"].unique().map(list).to_dict() == dict.fromkeys(
        ["random", "hard500", "easy500", "hard400-easy100", "half"], [8]
    )
    held, test = gains.loc[("random", "pool_held_out")], gains.loc[("random", "gsm8k_reasoning")]
    assert (held["seeds"], held["items"], test["items"]) == (8, 2000, 1319)
    for row in (held, test):
        points = [f"{100 * row[column]:.1f}" for column in ("vs_untrained", "vs_untrained_low", "vs_untrained_high")]
        assert "{} points [{}, {}] on".format(*points) in text
    for task, what in (("pool_held_out", "the held-out questions and"), ("gsm8k_reasoning", "the test set")):
        gained = 100 * gains.xs(task, level="benchmark")["vs_untrained"]
        assert f"{gained.min():.1f} to {gained.max():.1f} " in text.split(what)[0][-60:]
        assert gains.xs(task, level="benchmark")["vs_untrained_low"].min() > 0
    of = table[table["task"] == "pool_held_out"].set_index("arm")["accuracy"]
    control, untrained = 100 * of["random-reward"], 100 * of["untrained"]
    assert (len(control), (control < untrained).sum()) == (7, 6)
    assert f"between {control.min():.1f} and {control.max():.1f} %, six of them below the untrained {untrained:.1f} %" in text


def test_the_smallest_detectable_change():
    (stated,) = re.findall(r"<!-- quickstart:detectable -->(\d+)<!--", EVIDENCE)
    table = pd.read_csv(RESULTS / "comparison.csv")
    medicine = table[table["benchmark"] == "starter_medicine"]
    assert int(stated) == round(100 * medicine["vs_untrained_detectable"].max())


def test_the_table_of_speed():
    measured = pd.read_csv(REPOSITORY / "figures/speed/generation.csv")
    kinds = {"filter": "filter", "likelihood": "by likelihood", "reasoning": "reasoning mode"}
    ways = {"": "as the study does", "-four": "four such", "-naive": "naive", "-vllm": "vLLM"}
    wanted = {
        kind + way: measured.loc[measured["what"].str.contains(what) & measured["way"].str.startswith(begins), "rate"].item()
        for kind, what in kinds.items()
        for way, begins in ways.items()
    }
    table = pd.read_csv(REPOSITORY / "figures/speed/training.csv").assign(size=lambda t: t["model"].str.extract(r"-(\d\.\d)B"))
    runs = {key: rows for key, rows in table.groupby(["engine", "size", "side_by_side"])}
    alone, vllm = runs["transformers", "0.5", 1].iloc[0], runs["vllm", "0.5", 1].iloc[0]
    four = runs["transformers", "0.5", 4]
    wanted |= {"training": 1 / alone["step_seconds"], "training-four": (1 / four["step_seconds"]).sum(), "training-vllm": 1 / vllm["step_seconds"],
               "rollouts": alone["tokens_per_second"], "rollouts-four": four["tokens_per_second"].sum(), "rollouts-vllm": vllm["tokens_per_second"],
               "first": alone["first_step_seconds"], "first-vllm": vllm["first_step_seconds"],
               "step": alone["step_seconds"], "generation": alone["generation_seconds"],
               "larger": runs["vllm", "1.5", 1]["step_seconds"].item(), "larger-three": runs["vllm", "1.5", 3]["step_seconds"].mean()}  # fmt: skip
    assert figures_in("speed") == {name: float(f"{value:.2g}") for name, value in wanted.items()}
    times = {name: value / wanted[name.split("-")[0] + "-naive" if name.split("-")[0] in kinds else name.split("-")[0]]
             for name, value in wanted.items() if name in figures_in("times")}  # fmt: skip
    assert len(times) == 13
    assert figures_in("times") == {name: float(f"{value:.2g}") for name, value in times.items()}


def figures_in(kind):
    """The numbers of figures/README.md between `<!-- kind:name -->` and `<!-- -->`."""
    return {name: float(value) for name, value in re.findall(rf"<!-- {kind}:([\w-]+) -->([\d.]+)<!--", EVIDENCE)}


def test_the_steps_in_two_processes():
    table = pd.read_csv(REPOSITORY / "figures/speed/processes.csv")
    assert table[["reward", "grad_norm", "loss", "seconds"]].notna().all(axis=None)
    steps = table.groupby("processes")["step"].max()
    assert steps.to_dict() == {"ddp": 5, "fsdp": 5, "zero3": 5}
    assert "DDP, FSDP and ZeRO-3 took [five steps](speed/processes.csv) each" in EVIDENCE


def test_what_the_caption_says_of_the_plane():
    groups, plane = pd.read_csv(RESULTS / "groups.csv"), pd.read_csv(RESULTS / "plane.csv")
    assert ((groups["low"] <= 0) & (groups["high"] >= 0)).all()
    assert set(groups["arm"]) == set(plane["arm"]) == set(open_study("quickstart").arms)
    for row in plane.itertuples() if "tilt" in plane else ():
        x, y = row.centre_x / row.half_x, row.centre_y / row.half_y
        assert x * x - 2 * row.tilt * x * y + y * y <= 1 - row.tilt**2, row.arm  # the origin is inside the ellipse


def test_the_sizes_in_the_hardware_table():
    study = open_study("quickstart")
    assert {arm.wanted for arm in study.arms.values()} == {25}
    assert len(study.seeds) == 1
    assert "135M, 25 questions an arm, 1 seed" in (REPOSITORY / "parameters" / "README.md").read_text()


@pytest.mark.parametrize("folder", [".", "figures", "parameters"])
def test_links_lead_somewhere(folder):
    place = REPOSITORY / folder
    for target in re.findall(r"\]\(([^)#]+)(?:#[\w-]+)?\)", (place / "README.md").read_text()):
        assert target.startswith("http") or (place / target).exists(), target


def test_the_tree_shows_every_room():
    (tree,) = re.findall(r"```text\n(.*?)```", README, re.DOTALL)
    names = set(re.findall(r"^ *([\w/]+)", tree, re.MULTILINE))
    rooms = {f"{path.parent.name}/" for path in (REPOSITORY / "helpers").glob("*/__init__.py")}
    notebooks = {path.stem for path in (REPOSITORY / "notebooks").glob("*.ipynb")}
    assert rooms | notebooks <= names
    assert all((REPOSITORY / name).exists() for name in names - rooms - notebooks)


def test_the_readme_fits_three_screens():
    """Without what is generated: about 50 lines of 150 characters on a screen."""
    text = re.sub(r"<!-- (finding|results) -->.*?<!-- /\1 -->", "", README, flags=re.DOTALL)
    assert len(text.splitlines()) <= 130


def test_conda_points_at_the_one_list_of_packages():
    environment = yaml.safe_load((REPOSITORY / "environment.yml").read_text())
    pip = next(part["pip"] for part in environment["dependencies"] if isinstance(part, dict))
    assert pip == ["-r requirements.txt"]
    plain = [part for part in environment["dependencies"] if isinstance(part, str)]
    assert {re.split("[=<>]", part)[0] for part in plain} == {"python", "pip", "make"}


def test_every_version_is_pinned():
    for name in ("requirements.txt", "requirements-gpu.txt"):
        lines = [line for line in (REPOSITORY / name).read_text().splitlines() if line and not line.startswith("#")]
        assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][0-9.]*|--editable \.", line) for line in lines), lines


def test_the_dockerfile_builds_from_what_is_here():
    """Its files exist, its Python is conda's, and nothing that git ignores is sent to Docker."""
    text = (REPOSITORY / "Dockerfile").read_text()
    copied = [name for line in re.findall(r"^COPY (.*) \S+$", text, re.MULTILINE) for name in line.split()]
    assert len(copied) > 4
    assert all((REPOSITORY / name).exists() for name in copied)
    (python,) = re.findall(r"^FROM python:([\d.]+)-slim$", text, re.MULTILINE)
    assert f"python={python}" in (REPOSITORY / "environment.yml").read_text()
    ignored = {line.strip("/") for line in (REPOSITORY / ".gitignore").read_text().split()}
    kept_out = {line.removeprefix("**/").rstrip("*") for line in (REPOSITORY / ".dockerignore").read_text().split()}
    assert ignored | {".git"} <= kept_out | {"*.egg-info"}
    dry = subprocess.run(
        ["make", "-n", "-W", "requirements.txt", ".venv/ready", "GPU_PACKAGES=requirements-gpu.txt"], cwd=REPOSITORY, capture_output=True, text=True, check=True)  # fmt: skip
    assert "-r requirements.txt -r requirements-gpu.txt" in dry.stdout


def test_what_the_multi_process_service_saves():
    means = pd.read_csv(REPOSITORY / "figures/speed/mps.csv").groupby(["arm", "service"])["seconds"].mean().unstack()
    saved = (100 * (1 - means[True] / means[False])).dropna()
    words = " ".join((REPOSITORY / "parameters" / "README.md").read_text().split())
    assert f"took {saved.min():.0f} to {saved.max():.0f} % less time" in words


def test_what_a_search_tool_adds_to_a_step():
    table = pd.read_csv(REPOSITORY / "figures/speed/search_step.csv")
    added, share = (100 * table["added"]).round().astype(int), (100 * table["searching_share"]).round().astype(int)
    words = " ".join(EVIDENCE.split())
    assert f"{added[0]} % where {share[0]} % of the rollouts search, and {added[1]} % where all do" in words
    assert share[1] == 100
    assert added.max() <= 15
