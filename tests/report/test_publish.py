"""Publishing: what is copied, what is dropped, and the README's table."""

import nbformat
import pandas as pd
import pytest
from nbformat import v4

from helpers.analysis import checks
from helpers.report import publish
from helpers.study.files import StudyError, write_json
from helpers.study.study import REPOSITORY, open_study


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
    for name, told in {
        "01_filter-self": {"duration": 90.04, "exception": None, "gpus": 1.0},
        "03_grpo_train-self-seed0": {"duration": 90.04, "exception": None, "gpus": 0.25},
        "04_eval-untrained": {"duration": 90.04, "exception": None},
        "02_split-self.failed": {"duration": 5.0, "exception": True},
    }.items():
        nbformat.write(v4.new_notebook(metadata={"papermill": told}), study.path("notebooks", f"{name}.ipynb"))
    told = publish.times(study).set_index("notebook")
    assert list(told.index) == ["01_filter-self", "03_grpo_train-self-seed0", "04_eval-untrained"]
    assert told["seconds"].tolist() == [90.0] * 3
    assert told["gpus"].tolist() == [1.0, 0.25, 0.0]
    assert told["gpu_seconds"].tolist() == [90.0, 22.5, 0.0]


def test_what_was_published_before_and_is_no_longer_made_goes(study, tmp_path):
    (tmp_path / "out").mkdir()
    for name in ("old.png", "old.csv", "measured.csv"):
        (tmp_path / "out" / name).write_text("x")
    publish.publish(study, tmp_path / "out")
    assert not list((tmp_path / "out").glob("old.*"))
    assert (tmp_path / "out/measured.csv").exists()


def test_a_study_without_an_analysis_is_refused(study, tmp_path):
    study.path("tables", "comparison.csv").unlink()
    with pytest.raises(StudyError, match="no analysis yet; run make study"):
        publish.publish(study, tmp_path / "out")
    with pytest.raises(StudyError, match="has no folder data/"):
        publish.rebuild(study, tmp_path)


def published(folder, low=-0.001):
    """Published tables of one real study."""
    rows = [("self", "specialisation", 0.012, low, 0.025), ("self", "robustness", -0.004, -0.02, 0.012)]
    (folder / "small").mkdir()
    (folder / "somebody_elses").mkdir()
    (folder / "somebody_elses" / "groups.csv").write_text("arm,seeds\nx,1\n")
    groups = pd.DataFrame(rows, columns=["arm", "group", "change", "low", "high"]).assign(seeds=3)
    groups.to_csv(folder / "small/groups.csv", index=False)
    groups.rename(columns={"arm": "second"}).assign(first="random").to_csv(folder / "small/pairs.csv", index=False)
    claims = [("Filtering pays", "cannot tell", "…"), ("A larger one pays more", "not asked", "…")]
    pd.DataFrame(claims, columns=["claim", "outcome", "evidence"]).to_csv(folder / "small/verdict.csv", index=False)
    opens = {
        "model": "org/a",
        "pool": "org/pool",
        "seeds": 3,
        "control": "The control works.",
    }
    pd.DataFrame([opens]).to_csv(folder / "small/study.csv", index=False)
    fired = [
        (checks.ALIKE, "random and self", "496 of 500"),
        (checks.GUESSES, "self", "22% right, by guessing 25%"),
        ("else", "x", ""),
    ]
    pd.DataFrame(fired, columns=["what", "where", "value"]).to_csv(folder / "small/guards.csv", index=False)
    arms = [("self", "org/a-1.5B"), ("random", "chance")]
    pd.DataFrame(arms, columns=["arm", "chosen by"]).to_csv(folder / "small/arms.csv", index=False)
    rest = [("random", "self", "specialisation", "mmlu: specialisation", 1871, 0.0, -0.1, 0.1),
            ("random", "self", "specialisation", "mmlu_pro: specialisation", 71, 0.003, -0.002, 0.007)]  # fmt: skip
    columns = ["first", "second", "group", "without", "items", "change", "low", "high"]
    pd.DataFrame(rest, columns=columns).to_csv(folder / "small/without.csv", index=False)


def test_the_readmes_table_comes_from_the_published_files(tmp_path):
    published(tmp_path)
    note = {"pool": {"source": "openai/gsm8k", "config": "main", "split": "train", "from": "offline mirror", "rows": 40,
                     "duplicates": 0, "refused": 0}}  # fmt: skip
    for arm in ("random", "self"):
        write_json(note, tmp_path / "small/data/split" / arm / "train.json")
    made = {"model": "org/a", "weights": "offline mirror", "origin": "4-bit GGUF"}
    write_json({"eval/untrained/scores": made, "train/self/seed0/log": made, "x": {}}, tmp_path / "small/provenance.json")
    (tmp_path / "small/data/times.csv").write_text(
        "notebook,seconds,gpus,gpu_seconds\n03_a,7200,0.5,3600\n03_b,9000,1,9000\n01_c,5,0,0\n04_d,720,1,720\n05_e,9,0,0\n"
    )
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- finding -->\nold\n<!-- /finding -->\n<!-- results -->\nold\n<!-- /results -->\nafter\n")
    assert not publish.up_to_date(readme.read_text(), tmp_path)
    assert publish.update_readme(readme, tmp_path)
    told = readme.read_text()
    assert publish.up_to_date(told, tmp_path)
    assert "| small | self | 3 | +1.2 [-0.1, +2.5] | -0.4 [-2.0, +1.2] |" in told
    assert told.count("- small: The pool has 40 of the 7,473 training questions of openai/gsm8k (main)") == 1
    assert told.count("- small: not the original weights: 4-bit GGUF (a).") == 1
    assert "lent to the notebooks when they last ran: 3.50 training, 0.20 evaluation (labels: none recorded).\n" in told
    assert "| Filtering pays | – | – | small |" in told
    first, _, _ = told.partition("<!-- /finding -->")
    assert (
        "So says the study [`small`](parameters/small.yaml) of org/a (3 seeds an arm; intervals are 95 %, over items and seeds)."
        in first
    )
    assert "**The answer so far: it is not shown that a filter's choice teaches more" in first
    assert "- Filtering pays: **cannot tell**.\n- A larger one pays more: **not asked**.\n\n<details>" in first
    assert "- Filtering pays: …\n" in first
    assert "</details>\n\nThe control works.\n" in first
    assert "| the same without the 71 items of mmlu pro |" in first
    assert "| self: a-1.5B | +1.2 [-0.1, +2.5] | +0.3 [-0.2, +0.7] | -0.4 [-2.0, +1.2] |\n\n*What stands" in first
    assert "one model trained in one way on questions of one pool (org/pool)" in first
    assert "the weights are not the originals': 4-bit GGUF (a)" in first
    assert "*: arms that train on nearly the same questions: random and self (496 of 500); filters whose answers" in first
    assert "else" not in first
    assert "figures/small/plane.png" in first
    assert "none yet" not in told
    assert "\nold\n" not in told
    assert told.startswith("before\n")
    assert told.endswith("after\n")


def test_arms_before_the_random_one_are_turned_and_an_answer_is_only_the_first_claim_s(tmp_path):
    published(tmp_path)
    pairs = pd.read_csv(tmp_path / "small/pairs.csv")
    turned = pairs.assign(first="self", second="random", change=-pairs["change"], low=-pairs["high"], high=-pairs["low"])
    turned.to_csv(tmp_path / "small/pairs.csv", index=False)
    claims = pd.read_csv(tmp_path / "small/verdict.csv")
    claims.iloc[::-1].to_csv(tmp_path / "small/verdict.csv", index=False)
    told = publish.finding(tmp_path)
    assert "| self: a-1.5B | +1.2 [-0.1, +2.5] |" in told
    assert "**The answer so far: none.**" in told
    (tmp_path / "small/without.csv").unlink()
    with pytest.raises(StudyError, match="small: has no without.csv; run make publish STUDY=small again"):
        publish.finding(tmp_path)


def test_what_opens_the_readme_before_the_study_that_asks_is_published(tmp_path):
    assert "the whole pipeline at the smallest real size" in publish.finding(tmp_path)
    published(tmp_path)
    (tmp_path / "small").rename(tmp_path / "control")
    assert "`small`, the study that asks, has not been published; others have (control)." in publish.finding(tmp_path)


def test_a_number_that_is_not_in_the_files_is_seen(tmp_path):
    published(tmp_path)
    readme = tmp_path / "README.md"
    readme.write_text("<!-- finding -->\n<!-- /finding -->\n<!-- results -->\n<!-- /results -->\n")
    publish.update_readme(readme, tmp_path)
    assert not publish.up_to_date(readme.read_text().replace("+1.2 [-0.1", "+1.3 [-0.1"), tmp_path)
    assert not publish.up_to_date("a README without markers\n", tmp_path)


def test_the_readme_is_up_to_date():
    assert publish.up_to_date((REPOSITORY / "README.md").read_text()), "run make publish, or write publish.results_table() there"


def test_the_published_notebook_tells_no_paths_of_a_machine(study, tmp_path):
    publish.publish(study, tmp_path / "out")
    text = (tmp_path / "out/05_analysis.ipynb").read_text()
    assert "papermill" not in text
    assert str(tmp_path) not in text
    assert "kept output" in text
    assert "a warning" not in text


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
