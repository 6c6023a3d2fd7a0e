"""Every number of the README, and of the README of figures/, comes from a committed file; the two ways to install cannot drift apart."""

import json
import re
import subprocess
from pathlib import Path

import pandas as pd
import pytest
import yaml

from helpers.analysis import lettering
from helpers.analysis.intervals import holm
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
    text = re.sub("## How firm the result is.*?(?=## )", "", text, flags=re.DOTALL)  # the next tests'
    found = set(re.findall(r"\d[\d.,]*\s(?:minutes?|hours?|seconds?|GB|points?|%)", text.replace("\n", " ")))
    assert found <= measured | {"8 GB"}, found - measured


def test_what_the_search_for_a_recipe_found():
    """Gains on held-out questions, their paired standard errors, and the filters' shares of hard questions."""
    (text,) = re.findall(r"\| `recipes/` \|(.*?)\n", EVIDENCE)
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
    assert f"on GSM8K two runs of the chosen recipe gained {low:.1f} and {high:.1f} points" in text
    assert len(medqa) == 6
    assert f"On MedQA six finished runs gained {medqa['gain'].min():.1f} to {medqa['gain'].max():.1f} points" in text
    assert min(100 * changes[run].sem() for run in medqa.index) > 2
    assert len(medqa[(medqa["questions"] == 500) & (medqa["learning_rate"] == recipe["steady"]["learning_rate"])]) == 1
    hard = 100 * (1 - pd.read_csv(REPOSITORY / "figures/small/filters.csv").iloc[:, 1])
    assert "{:.0f}, {:.0f} and {:.0f} % of the pool hard".format(*hard) in EVIDENCE
    assert len(open_study("medicine").seeds) == 8


def points(row: pd.Series, name: str) -> str:
    """A change and its interval as the README writes them."""
    return "{:.1f} points [{:.1f}, {:.1f}]".format(*(100 * row[f"{name}{end}"] for end in ("", "_low", "_high")))


def test_how_firm_the_result_of_choice_is():
    text = " ".join(README.split())
    primary = pd.read_csv(REPOSITORY / "figures/choice/primary.csv").query("arm != 'random-reward'")
    apart = primary[(primary["low"] > 0) | (primary["high"] < 0)].set_index(["arm", "benchmark"])["change"]
    assert len(primary) == 10
    assert (100 * apart).round(1).to_dict() == {
        ("hard500", "gsm8k_reasoning"): -2.5, ("hardest-solvable", "gsm8k_reasoning"): -2.5, ("easy500", "pool_held_out"): -1.6,
    }  # fmt: skip
    assert primary["p_holm"].min() > 0.05
    leases = pd.read_csv(REPOSITORY / "figures/validation/leases_choice.csv")
    assert f"by at most {(leases['adjusted'] - leases['difference']).abs().max():.1f} points" in text
    fitted = leases.set_index(["arm", "benchmark"])
    late = [(arm, name) for arm in ("half", "hardest-solvable") for name in ("pool_held_out", "gsm8k_reasoning")]
    stated = (
        "to {:+.1f} and {:+.1f} for *half* and to {:.1f} and {:.1f} for *hardest-solvable*, each with a standard error of {:.1f}"
    )
    words = " ".join(EVIDENCE.split())
    assert stated.format(*fitted.loc[late, "adjusted"], *fitted.loc[late, "adjusted_error"].round(1).unique()) in words
    papers = fitted.loc[[("hard400-easy100", name) for name in ("pool_held_out", "gsm8k_reasoning")]]
    (error,) = papers["adjusted_error"].round(1).unique()
    assert "those of the paper's rule change to {:.1f} and {:.1f} ({:.1f})".format(*papers["adjusted"], error) in words
    corrected = 100 * pd.read_csv(REPOSITORY / "figures/choice/detectable.csv")["corrected_after"]
    told = "Corrected for all 42 tests (six arms, seven tasks), the smallest detectable differences are {:.1f} and {:.1f} points"
    assert told.format(*corrected[:2]) in text
    assert (len(open_study("choice").arms) - 1, len(corrected)) == (6, 7)
    recipe, epochs = open_study("choice").train, 500 // 12  # whole steps of twelve questions
    assert (recipe.lora.r, recipe.learning_rate, recipe.rollouts, recipe.beta) == (16, 5e-5, 8, 0)
    assert epochs * recipe.epochs == 164
    assert "LoRA of rank 16, learning rate 5e-5, 8 rollouts of 12 questions per step, 164 steps" in words
    valid = pd.read_csv(REPOSITORY / "figures/choice/reasoning.csv").query("benchmark == 'pool_held_out'").set_index("arm")
    before, after = (100 * valid.at[arm, "accuracy_if_valid"] for arm in ("untrained", "random"))
    assert f"answers in the required format, {before:.1f} % were right before training and {after:.1f} % after it" in words


def test_how_firm_the_result_of_medicine_is():
    text, folder = " ".join(README.split()), REPOSITORY / "figures/medicine"
    study, primary = open_study("medicine"), ["pool_held_out", "medqa_reasoning"]
    table = pd.read_csv(folder / "comparison.csv").query("benchmark in @primary").set_index(["benchmark", "arm"])
    assert (table.drop(index="untrained", level="arm")["seeds"] == len(study.seeds)).all()
    assert set(table.loc["pool_held_out"].index) == {*study.arms, "untrained"}
    named = pd.read_csv(folder / "named.csv")
    letters = 100 * lettering.by_letters(named).query("arm == 'random'").set_index("task").loc[primary, "by_letters"]
    (alone,) = {f"{share:.1f}" for share in letters}
    (gain,) = {f"{100 * table.at[(name, 'random'), 'vs_untrained']:.1f}" for name in primary}
    assert f"Of *random*'s gain of {gain} points, letters alone would give {alone}" in text
    named = named.set_index(["task", "arm"])
    late = 100 * (named["C"] + named["D"])
    shares = [late["pool_held_out", arm] for arm in ("untrained", "random", "hard500")]
    stated = "Held-out answers are C or D in {:.0f} % before training, {:.0f} % after *random*, {:.0f} % after *hard500*"
    assert stated.format(*shares) in text
    valid = 100 * pd.read_csv(folder / "reasoning.csv").set_index(["benchmark", "arm"]).loc["pool_held_out", "accuracy_if_valid"]
    stated = "Of answers in the required format, {:.1f} % were right before training and {:.1f} % after it"
    assert stated.format(valid["untrained"], valid["random"]) in text
    notes = json.loads((folder / "provenance.json").read_text())
    stopped = {run: note["why"] for run, note in notes.items() if "why" in note}
    assert list(stopped) == ["train/easy500/seed7/log", "train/hard500/seed3/log"]
    assert "Two trainings ended early and count (*hard500*, *easy500*)" in text
    assert "accuracy was equal in 97%" in stopped["train/easy500/seed7/log"]
    assert "one answer" in stopped["train/hard500/seed3/log"]
    drawn = pd.read_csv(folder / "drawn.csv").query("draw == 'all'").set_index("arm")
    assert drawn["answer"][["easy500", "random", "hard500"]].tolist() == list("BBC")
    easy, random = (100 * drawn.at[arm, "answer_share"] for arm in ("easy500", "random"))
    assert f"B for {easy:.0f} % of *easy500*'s questions, against {random:.0f} %" in text
    own = (100 * drawn.loc["hard500", ["answer_share", "pass_rate_mean"]]).astype(float)
    assert f"C for {own.iloc[0]:.0f} % of *hard500*'s" in text
    random = 100 * drawn.at["random", "pass_rate_mean"]
    assert f"{random:.0f} % of sampled answers are right for random questions, {own.iloc[1]:.0f} % for *hard500*'s" in text
    fitted = pd.read_csv(REPOSITORY / "figures/validation/bias_medicine.csv").query("arm == 'hard500'").set_index("task")
    held_out, test = ("{:.1f}{} [{:.1f}, {:.1f}]".format(fitted.at[name, "difference"], unit, *fitted.loc[name, ["low", "high"]])
                      for name, unit in zip(primary, (" points", ""), strict=True))  # fmt: skip
    assert f"*hard500* would differ from *random* by {held_out} on held-out questions and by {test} on MedQA's test set" in text
    common = pd.read_csv(folder / "common.csv").query("first == 'random'").set_index("second")["both"]
    assert f"random and hard400-easy100 share {common['hard400-easy100']:.0f} of 500 questions" in text
    assert common.drop(["hard400-easy100", "random-reward"]).max() < 0.75 * 500
    read = pd.read_csv(folder / "comparison.csv").query("benchmark == 'medqa_4options_mirror' and arm == 'random'").iloc[0]
    assert f"on MedQA by likelihood +{points(read, 'vs_untrained')}, unadjusted" in " ".join(EVIDENCE.split())


def test_how_firm_the_result_of_choice_larger_is():
    text, folder = " ".join(README.split()), REPOSITORY / "figures/choice_larger"
    outcome = pd.read_csv(folder / "primary.csv").set_index(["benchmark", "arm"])
    held = outcome.loc["pool_held_out", "larger"]
    stated = "is below *random* by {:.1f} points [{:.1f}, {:.1f}] on held-out questions and in all five seeds"
    assert stated.format(-100 * held["change"], 100 * held["low"], 100 * held["high"]) in text
    seeds = pd.read_csv(folder / "seeds.csv").set_index(["benchmark", "arm"])["vs_random"]
    for name in ("pool_held_out", "gsm8k_reasoning"):
        assert len(seeds[name, "larger"]) == 5
        assert (seeds[name, "larger"] < 0).all()
    (adjusted,) = {f"{p:.3f}" for p in outcome.assign(p=holm(outcome["p"])).xs("larger", level="arm")["p"]}
    pairs = pd.read_csv(folder / "pairs.csv").query(
        "group == 'specialisation' and first == 'random' and second in ['self', 'larger']"
    )
    (index,) = pairs.assign(p=holm(pairs["p"])).query("second == 'larger'")["p"]
    assert f"adjusted for the six primary tests, p = {adjusted}; for the two on the index, p = {index:.3f}, on which" in text
    own = pd.read_csv(folder / "pairs.csv").query("group == 'specialisation' and first == 'self' and second == 'larger'").iloc[0]
    stated = "It is below *self* by {:.1f} [{:.1f}, {:.1f}] on the index (unadjusted)"
    assert stated.format(-100 * own["change"], 100 * own["low"], 100 * own["high"]) in text
    right = pd.read_parquet(folder / "data/filter/self/labels.parquet").set_index("question_id")["correct"]
    shares = [
        100 * right[pd.concat(map(pd.read_parquet, (folder / "data/split" / arm).glob("*/train.parquet")))["question_id"]].mean()
        for arm in ("larger", "random", "self")
    ]
    stated = "answers {:.0f} % of *larger*'s questions correctly, {:.0f} % of *random*'s and {:.0f} % of *self*'s"
    assert stated.format(*shares) in text
    common = pd.read_csv(folder / "common.csv").set_index(["first", "second"])["both"]
    far = 100 * seeds["pool_held_out", "self"].abs().max()
    stated = "*self* and *random* share {:.0f} of 500 questions, yet single seeds differ by up to {:.1f} points"
    assert stated.format(common["random", "self"], far) in text
    lost = [
        pd.read_csv(REPOSITORY / f"figures/{name}/groups.csv")
        .set_index(["arm", "group"])
        .at[("random-reward", "robustness"), "change"]
        for name in ("choice_larger", "choice")
    ]
    (loss,) = {f"{-100 * change:.1f}" for change in lost}
    assert f"*random-reward*, which unlearns arithmetic, loses {loss} points of it, here and in `choice`" in text


def test_the_leases_of_medicine():
    """An arm's models that were trained more than an hour away from every model of the random arm."""
    notes = json.loads((REPOSITORY / "figures/medicine/provenance.json").read_text())
    made = {arm: [pd.Timestamp(note["made"]) for run, note in notes.items() if run.startswith(f"train/{arm}/") and run.endswith("/log")]
            for arm in ("random", "easy500", "hard500")}  # fmt: skip
    away = {
        arm: sum(min(abs(day - own) for own in made["random"]) > pd.Timedelta(hours=1) for day in days)
        for arm, days in made.items()
    }
    assert away == {"random": 0, "easy500": 8, "hard500": 7}
    assert "All models of *easy500* and seven of eight of *hard500* come from leases (rented GPUs) without *random*" in " ".join(
        README.split()
    )


def test_what_is_known_of_search():
    text, folder = " ".join(README.split()), REPOSITORY / "figures/search"
    effect = pd.read_csv(folder / "search_effect.csv").query("arm == 'random-search'").set_index("benchmark")
    held, mmlu = (points(effect.loc[name], "against_random") for name in ("pool_held_out", "mmlu_medical_reasoning"))
    assert f"doing both without it: +{held} on held-out questions, {mmlu.replace(' points', '')} on medical MMLU" in text
    both = effect.loc[["pool_held_out", "mmlu_medical_reasoning"]]
    assert (both["against_random_low"] < 0).all()
    assert (both["against_random_high"] > 0).all()
    use = pd.read_csv(folder / "search_seeds.csv").query("what == 'pool_held_out' and arm == 'random-search'")
    assert list(use["seed"]) == open_study("search").seeds
    assert (100 * use.sort_values("seed")["searched"]).round().tolist() == [0, 98, 89, 0, 66]
    assert "Two of the five models give searching up" in text
    found = pd.read_csv(folder / "search_found.csv").query("what == 'pool_held_out' and arm == 'random-search'")
    assert f"{100 * found['right_found'].item():.0f} % of searches find the right option" in text
    control = pd.read_csv(REPOSITORY / "figures/search_control/search_effect.csv").set_index("benchmark")
    rows = [control.loc[f"{name}, answer in the passages"] for name in ("pool_held_out", "starter_medicine_reasoning")]
    held, test = (points(row, "search") for row in rows)
    stated = f"by {held} ({rows[0]['items']} questions) and {test.replace(' points', '')} ({rows[1]['items']}) ([control]"
    assert f"it raises the untrained model's accuracy {stated}" in text


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


def test_what_compiling_templates_once_saves():
    table = pd.read_csv(REPOSITORY / "figures/speed/templates.csv")
    assert table["task"].tolist() == [task.name for task in open_study("medicine").eval.tasks]
    assert table["same_requests"].all()
    assert "and once: {:.0f} and {:.0f} s in all".format(*table[["compiled_each_time", "compiled_once"]].sum()) in EVIDENCE


def test_what_the_multi_process_service_saves():
    means = pd.read_csv(REPOSITORY / "figures/speed/mps.csv").groupby(["arm", "service"])["seconds"].mean().unstack()
    saved = (100 * (1 - means[True] / means[False])).dropna()
    words = " ".join((REPOSITORY / "parameters" / "README.md").read_text().split())
    assert f"took {saved.min():.0f} to {saved.max():.0f} % less time" in words


def test_what_a_search_tool_adds_to_a_step():
    table = pd.read_csv(REPOSITORY / "figures/speed/search_step.csv")
    added, share = (100 * table["added"]).round().astype(int), (100 * table["searching_share"]).round().astype(int)
    few, all_ = added[table["end"] == "</search>"], added[table["end"] == "."]
    words = " ".join(EVIDENCE.split())
    assert (
        f"{few.min()} to {few.max()} % where {share.min()} % of the rollouts search, and {all_.min()} to {all_.max()} % where all do"
        in words
    )
    assert set(share) == {share.min(), 100}
    assert few.max() <= 15  # of the demonstration, on both machines
    assert added[table["machine"] == "first"].max() <= 15
    assert all_.max() <= 40
