"""Publishing: what is copied, what is dropped, and which tables differ from published ones."""

import json
import re

import nbformat
import pandas as pd
import pytest
from nbformat import v4

from helpers.report import browser, executed, pages, publish
from helpers.study.files import StudyError
from helpers.study.places import FIGURES
from helpers.study.study import open_study
from helpers.workflow import rebuild


@pytest.fixture
def study(parameters, tmp_path, monkeypatch):
    """A study with one scored model and an analysis, as files only."""
    monkeypatch.setenv("STUDY_RUNS", str(tmp_path / "runs"))
    study = open_study(str(parameters()))
    frame = pd.DataFrame({"item_id": ["0", "1"], "correct": [True, False], "response": ["a long text", None], "subject": "x"})
    path = study.path("eval", "untrained", "scores.parquet")
    path.parent.mkdir(parents=True)
    frame.to_parquet(path)
    path.with_suffix(".json").write_text('{"device": "a machine"}')
    for name in ("tables/comparison.csv", "figures/plane.csv"):
        (study.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (study.folder / name).write_text("a\n1\n")
    outputs = [
        v4.new_output("stream", text=f"kept output of {study.folder}/eval"),
        v4.new_output("stream", name="stderr", text="a warning"),
    ]
    cell = v4.new_code_cell(f"study = {str(study.file)!r}", outputs=outputs, metadata={"papermill": {"duration": 1}})
    notebook = v4.new_notebook(cells=[cell], metadata={"papermill": {"output_path": str(study.folder)}})
    study.path("notebooks").mkdir()
    nbformat.write(notebook, study.path("notebooks", "05_analysis.ipynb"))
    return study


def test_scores_are_published_without_the_models_texts(study, tmp_path):
    publish.publish(study, tmp_path / "out")
    assert {"comparison.csv", "plane.csv", "provenance.json", "05_analysis.ipynb", "data"} == {
        path.name for path in (tmp_path / "out").iterdir()
    }
    scores = pd.read_parquet(tmp_path / "out/data/eval/untrained/scores.parquet")
    assert list(scores) == ["item_id", "correct", "response"]
    assert scores["response"].isna().tolist() == [False, True]
    assert "a long text" not in scores["response"].tolist()
    assert (tmp_path / "out/data/eval/untrained/scores.json").exists()


def test_the_time_of_each_notebook_and_its_part_of_a_gpu(study):
    for name, outcome in {
        "01_filter-self": {"duration": 90.04, "exception": None, "gpus": 1.0},
        "03_grpo_train-self-seed0": {"duration": 90.04, "exception": None, "gpus": 0.25},
        "04_eval-untrained": {"duration": 90.04, "exception": None},
        "02_split-self.failed": {"duration": 5.0, "exception": True},
    }.items():
        nbformat.write(v4.new_notebook(metadata={"papermill": outcome}), study.path("notebooks", f"{name}.ipynb"))
    outcome = executed.times(study).set_index("notebook")
    assert list(outcome.index) == ["01_filter-self", "03_grpo_train-self-seed0", "04_eval-untrained"]
    assert outcome["seconds"].tolist() == [90.0] * 3
    assert outcome["gpus"].tolist() == [1.0, 0.25, 0.0]
    assert outcome["gpu_seconds"].tolist() == [90.0, 22.5, 0.0]


def test_a_continued_evaluation_counts_with_the_tasks_that_were_finished_before(study):
    """Not with its own task, which is part of its duration, and not with one that another study made."""
    run = {"duration": 10.0, "exception": None, "gpus": 0.5, "start_time": "2026-01-02T00:00:00.5+00:00"}
    for name in ("04_eval-untrained", "04_eval-self-seed0"):
        nbformat.write(v4.new_notebook(metadata={"papermill": run}), study.path("notebooks", f"{name}.ipynb"))
    for folder in ("untrained", "self/seed0"):
        tasks = study.path("eval", *folder.split("/"), "tasks")
        tasks.mkdir(parents=True)
        for name, day, more in (("gsm8k", 1, {}), ("mmlu", 3, {}), ("medmcqa", 1, {"adopted_from": "other/eval"})):
            (tasks / f"{name}.parquet").touch()
            note = {"made": f"2026-01-0{day}T00:00:00+00:00", "seconds": 30.0} | more
            (tasks / f"{name}.json").write_text(json.dumps(note))
    times = executed.times(study).set_index("notebook")
    assert times["seconds"].to_dict() == {"04_eval-self-seed0": 40.0, "04_eval-untrained": 40.0}
    assert times.at["04_eval-self-seed0", "gpu_seconds"] == 20.0


def test_tasks_without_their_own_duration_count_from_the_task_before(study):
    """As earlier notes did; not the pause between two runs, and not what the last run, begun at 02:00, made."""
    run = {"duration": 10.0, "exception": None, "gpus": 1.0, "start_time": "2026-01-01T02:00:00+00:00"}
    nbformat.write(v4.new_notebook(metadata={"papermill": run}), study.path("notebooks", "04_eval-untrained.ipynb"))
    tasks = study.path("eval", "untrained", "tasks")
    tasks.mkdir(parents=True)
    for name, at in (("a", "00:00:00"), ("b", "00:00:40"), ("c", "01:00:00"), ("d", "01:00:05"), ("e", "02:00:07")):
        (tasks / f"{name}.parquet").touch()
        (tasks / f"{name}.json").write_text(json.dumps({"made": f"2026-01-01T{at}+00:00"}))
    assert executed.times(study)["seconds"].tolist() == [10.0 + 40.0 + 5.0]


def test_what_was_published_before_and_is_no_longer_made_goes(study, tmp_path):
    (tmp_path / "out").mkdir()
    for name in ("old.png", "old.csv", "measured.csv"):
        (tmp_path / "out" / name).write_text("x")
    publish.publish(study, tmp_path / "out")
    assert not list((tmp_path / "out").glob("old.*"))
    assert (tmp_path / "out/measured.csv").exists()


@pytest.mark.parametrize("missing", ["tables/comparison.csv", "notebooks/05_analysis.ipynb"])
def test_a_study_without_an_analysis_is_refused(study, tmp_path, missing):
    study.path(missing).unlink()
    with pytest.raises(StudyError, match="no analysis yet; run make study"):
        publish.publish(study, tmp_path / "out")
    with pytest.raises(StudyError, match="has no folder data/"):
        rebuild.rebuild(study, tmp_path)


def test_the_published_notebook_has_no_paths_of_a_machine(study, tmp_path):
    publish.publish(study, tmp_path / "out")
    text = (tmp_path / "out/05_analysis.ipynb").read_text()
    assert "papermill" not in text
    assert str(tmp_path) not in text
    assert "kept output" in text
    assert "a warning" not in text


def test_a_notebook_that_another_machine_ran_has_no_paths_of_that_machine(study, tmp_path):
    cell = v4.new_code_cell(
        'study = "/far/away/parameters/a.yaml"', outputs=[v4.new_output("stream", text="/far/away/runs/a/x.csv")]
    )
    ran = {"papermill": {"parameters": {"study": "/far/away/parameters/a.yaml"}}}
    nbformat.write(v4.new_notebook(cells=[cell], metadata=ran), study.path("notebooks", "05_analysis.ipynb"))
    publish.publish(study, tmp_path / "out")
    (shown,) = nbformat.read(tmp_path / "out/05_analysis.ipynb", as_version=4).cells
    assert (shown.source, shown.outputs[0]["text"]) == ('study = "a.yaml"', "runs/a/x.csv")


@pytest.mark.parametrize("path", sorted(FIGURES.glob("*/*.ipynb")), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_published_notebooks_name_their_study_without_a_path(path):
    found = re.findall(
        r"^study(?:: str)? = (.*)$", "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells), re.MULTILINE
    )
    assert found
    assert not any("/" in one.partition("#")[0] for one in found)


def test_one_notebook_of_each_chapter_is_published(study, tmp_path):
    arms = [arm for arm, spec in study.arms.items() if spec.filter] + ["random"]
    names = [f"01_filter-{name}" for name in study.filters] + [f"02_split-{'-'.join(draw)}" for draw in study.draws()]
    names += [f"{step}-{arm}-seed0" for step in ("03_grpo_train", "04_eval") for arm in arms] + ["04_eval-untrained"]
    for name in names:
        nbformat.write(v4.new_notebook(), study.path("notebooks", f"{name}.ipynb"))
    found = executed.chapters(study)
    assert [name.partition("_")[0] for name in found] == ["01", "02", "03", "04", "05"]
    assert all(arms[0] in name for name in found[:-1])
    publish.publish(study, tmp_path / "out")
    assert {path.stem for path in (tmp_path / "out").glob("*.ipynb")} == set(found)


def test_a_study_of_search_publishes_a_run_that_searches(tmp_path, monkeypatch):
    monkeypatch.setenv("STUDY_RUNS", str(tmp_path))
    study = open_study("search")
    study.path("notebooks").mkdir(parents=True)
    for arm in study.arms:
        nbformat.write(v4.new_notebook(), study.path("notebooks", f"03_grpo_train-{arm}-seed0.ipynb"))
    assert executed.chapters(study) == ["03_grpo_train-random-search-seed0", "05_analysis"]


def shown(study, frame, **facts):
    """What a published notebook of chapter 04 has of an output with these texts."""
    html = (
        pages.texts(pd.DataFrame(frame), list(facts), "prompt")
        if facts
        else browser.browse(pd.DataFrame(frame), ["id"], text="prompt").html()
    )
    cell = v4.new_code_cell(
        "x", outputs=[v4.new_output("display_data", data={"text/html": getattr(html, "data", html), "text/plain": "x"})]
    )
    nbformat.write(v4.new_notebook(cells=[cell]), study.path("notebooks", "04_eval-x.ipynb"))
    executed.publish(study, "04_eval-x", study.folder / "out")
    return nbformat.read(study.folder / "out/04_eval-x.ipynb", as_version=4).cells[0].outputs[0]["data"]["text/html"]


def test_texts_are_shown_where_their_licence_is_known_to_allow_it(study):
    row = {"prompt": ["Which <b>nerve</b>?"], "benchmark": ["mmlu_anatomy"], "item_id": ["1"]}
    assert "Which &lt;b&gt;nerve&lt;/b&gt;?" in shown(study, row, benchmark=0, item_id=0)
    for name in ("cmmlu_anatomy", "medbullets_op4", "mine"):
        hidden = shown(study, row | {"benchmark": [name]}, benchmark=0, item_id=0)
        assert "nerve" not in hidden
        assert f"the licence of {name} is not known to allow showing them" in hidden
    theirs = study.model_copy(update={"pool": study.pool.model_copy(update={"source": "org/questions"})})
    for of_the_pool in ({"id": 0}, {"benchmark": 0}):
        assert "nerve" in shown(study, row | {"id": ["1"], "benchmark": ["pool_held_out"]}, **of_the_pool)
        assert "org/questions" in shown(theirs, row | {"id": ["1"], "benchmark": ["pool_held_out"]}, **of_the_pool)
    overlaps = pages.folded("pairs", pd.DataFrame({"benchmark": ["a"], "other": ["b"]})).data
    assert executed.not_open(study, overlaps) == []
    assert executed.not_open(theirs, overlaps) == ["org/questions"]
    assert executed.not_open(theirs, pages.table(pd.DataFrame({"benchmark": ["cmmlu"], "accuracy": [0.5]})).data) == []


def test_the_options_of_an_item_go_with_its_prompt(study):
    for name, kept in (("mmlu_anatomy", True), ("cmmlu_anatomy", False)):
        item = pages.texts(pd.DataFrame({"benchmark": [name], "prompt": ["Which nerve?"]}), ["benchmark"], "prompt")
        options = pages.table(pd.DataFrame({"continuation": ["the vagus"]}, index=pd.Index(["A"], name="option")))
        outputs = [v4.new_output("display_data", data={"text/html": part.data}) for part in (item, options)]
        notebook = v4.new_notebook(cells=[v4.new_code_cell("x", outputs=outputs)])
        executed._shorten(study, notebook)
        assert ["vagus" in str(notebook), "nerve" in str(notebook)] == [kept, kept]


def test_of_many_answers_the_first_are_published(study):
    rows = {"id": list(range(500)), "prompt": [f"answer {k} {'x' * 50}" for k in range(500)]}
    page = shown(study, rows)
    assert "answer 5 " in page
    assert "answer 6 " not in page
    assert "<script" not in page
    assert page.endswith("Published here: the first of these rows. Running the notebook shows more.</p>")


@pytest.mark.parametrize(
    ("other", "equal"),
    [
        ("name,n,x\na,1,0.3\nb,2,\n", True),
        ("name,n,x\na,1,0.30000000000000004\nb,2,\n", True),
        ("name,n,x\na,1,0.30001\nb,2,\n", False),
        ("name,n,x\na,1,0.3\nb,2,0.0\n", False),
        ("name,n,x\na,1,0.3\nb,3,\n", False),
        ("name,n,x\na,1,0.3\nc,2,\n", False),
        ("name,n,y\na,1,0.3\nb,2,\n", False),
        ("name,n,x\na,1,0.3\n", False),
        ("\n", False),
    ],
)
def test_tables_are_equal_to_nine_digits(tmp_path, other, equal):
    for name, text in (("one", "name,n,x\na,1,0.3\nb,2,\n"), ("other", other)):
        (tmp_path / name).write_text(text)
    assert publish._equal(tmp_path / "one", tmp_path / "other") == equal


def test_a_rebuilt_table_that_differs_is_named(study, tmp_path):
    publish.publish(study, tmp_path / "out")
    assert publish.differing(study, tmp_path / "out") == []
    study.path("tables", "comparison.csv").write_text("a\n2\n")
    study.path("figures", "plane.csv").unlink()
    assert publish.differing(study, tmp_path / "out") == ["comparison.csv", "plane.csv"]


def test_the_quickstart_is_published_as_a_story():
    """All five chapters as executed, small enough for GitHub to show: no error, no output of another machine's log, no script."""
    paths = sorted((FIGURES / "quickstart").glob("*.ipynb"))
    assert [path.name[:2] for path in paths] == ["01", "02", "03", "04", "05"]
    for path in paths:
        cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
        kinds = {output.output_type for cell in cells for output in cell.outputs}
        assert all(cell.execution_count for cell in cells)
        assert "error" not in kinds
        assert path.stat().st_size < (3_000_000 if path.stem == "05_analysis" else 500_000), path.name
        assert path.stem == "05_analysis" or "<script" not in path.read_text()


def test_a_study_that_has_begun_is_published_without_a_comparison(study, tmp_path):
    """One model is trained and scored on one task; the untrained model is scored on all."""
    task = study.eval.tasks[0].label
    rows = pd.DataFrame(
        {"task": task, "benchmark": task, "filter": "none", "rotation": [0, 0, 1], "correct": [True, False, False]}
    )
    rows = rows.assign(item_id=["1", "2", "1"], chance=0.0, setting="", response="a long text")
    rows = rows.assign(mode="reasoning", predicted=["A", "B", "A"], target=["A", "A", "B"], format_valid=True)
    arm, seed = next(iter(study.arms)), study.seeds[0]
    for folder in (["untrained"], [arm, seed]):
        path = study.path("eval", *folder, "tasks", f"{task}.parquet")
        path.parent.mkdir(parents=True)
        rows.to_parquet(path)
        path.with_suffix(".json").write_text('{"fingerprint": "0123"}')
    rows.assign(group="robustness").to_parquet(study.path("eval", "untrained", "scores.parquet"))
    log = study.path("train", arm, seed, "log.csv")
    log.parent.mkdir(parents=True)
    pd.DataFrame({"step": [1, 2]}).to_csv(log, index=False)
    log.with_suffix(".json").write_text('{"device": "NVIDIA H200"}')
    pd.DataFrame({"completion": ["<think>"]}).to_parquet(log.with_name("completions.parquet"))
    publish.publish_unfinished(study, tmp_path / "out")
    table = pd.read_csv(tmp_path / "out" / "runs.csv")
    assert table[["arm", "steps", "items", "accuracy"]].to_numpy().tolist() == [["untrained", 0, 2, 0.5], [arm, 2, 2, 0.5]]
    assert table["device"].fillna("").tolist() == ["", "NVIDIA H200"]
    assert not (tmp_path / "out" / "comparison.csv").exists()
    training = tmp_path / "out/data/train" / arm / f"seed{seed}"
    assert (training / "log.csv").exists()
    assert not (training / "completions.parquet").exists(), "of a model with scores only"
    assert pd.read_csv(tmp_path / "out" / "gains.csv")["arm"].tolist() == [arm], "the arm with a model for each seed"
    assert pd.read_csv(tmp_path / "out" / "reasoning.csv")["arm"].tolist() == ["untrained", arm]
    stored = tmp_path / "out/data/eval" / arm / f"seed{seed}" / "tasks" / f"{task}.parquet"
    assert pd.read_parquet(stored)["response"].tolist() == [""] * 3, (
        "a finished task of a model that has others left; without texts"
    )
    assert stored.with_suffix(".json").read_text() == '{"fingerprint": "0123"}', "so that a continued evaluation finds it"


def test_hours_of_a_study_that_is_continued_from_published_files(study):
    """What was published, and a notebook that has run since; a notebook that was published counts as published."""
    study.folder.mkdir(parents=True, exist_ok=True)
    pd.DataFrame({"notebook": ["04_eval-b"], "seconds": [5.0], "gpus": [0.5], "gpu_seconds": [2.5]}).to_csv(
        study.path("times.csv"), index=False
    )
    for name in ("03_grpo_train-a", "04_eval-b"):
        path = study.path("notebooks", f"{name}.ipynb")
        path.parent.mkdir(exist_ok=True)
        path.write_text('{"metadata": {"papermill": {"duration": 8, "gpus": 0.25}}}')
    table = executed.times(study)
    assert table[["notebook", "gpu_seconds"]].to_numpy().tolist() == [["03_grpo_train-a", 2.0], ["04_eval-b", 2.5]]
