"""Publishing: what is copied, what is dropped, and the README's table."""

import pandas as pd
import pytest

from helpers import publish
from helpers.files import StudyError, write_json
from helpers.study import REPOSITORY, open_study


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
    return study


def test_scores_are_published_without_the_models_texts(study, tmp_path):
    publish.publish(study, tmp_path / "out")
    assert {"comparison.csv", "plane.csv", "provenance.json", "data"} == {path.name for path in (tmp_path / "out").iterdir()}
    scores = pd.read_parquet(tmp_path / "out/data/eval/untrained/scores.parquet")
    assert list(scores) == ["item_id", "correct", "response"]
    assert scores["response"].isna().tolist() == [False, True]
    assert "a long text" not in scores["response"].tolist()
    assert (tmp_path / "out/data/eval/untrained/scores.json").exists()


def test_a_study_without_an_analysis_is_refused(study, tmp_path):
    study.path("tables", "comparison.csv").unlink()
    with pytest.raises(StudyError, match="no analysis yet; run make study"):
        publish.publish(study, tmp_path / "out")
    with pytest.raises(StudyError, match="has no folder data/"):
        publish.rebuild(study, tmp_path)


def test_the_readmes_table_comes_from_the_published_files(tmp_path):
    rows = [("self", "specialisation", 0.012, -0.001, 0.025), ("self", "robustness", -0.004, -0.02, 0.012)]
    (tmp_path / "small").mkdir()
    pd.DataFrame(rows, columns=["arm", "group", "change", "low", "high"]).assign(seeds=3).to_csv(
        tmp_path / "small/groups.csv", index=False
    )
    note = {"pool": {"source": "openai/gsm8k", "config": "main", "split": "train", "from": "offline mirror", "rows": 40,
                     "duplicates": 0, "refused": 0}}  # fmt: skip
    for arm in ("random", "self"):
        write_json(note, tmp_path / "small/data/split" / arm / "train.json")
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- results -->\nold\n<!-- /results -->\nafter\n")
    assert publish.update_readme(readme, tmp_path)
    told = readme.read_text()
    assert "| small | self | 3 | +1.2 [-0.1, +2.5] | -0.4 [-2.0, +1.2] |" in told
    assert told.count("- small: The pool has 40 of the 7,473 training questions of openai/gsm8k (main)") == 1
    assert "old" not in told
    assert told.startswith("before\n")
    assert told.endswith("after\n")


def test_the_readme_is_up_to_date():
    found = publish.BLOCK.search((REPOSITORY / "README.md").read_text())
    if found:
        assert found[0] == f"{found[1]}{publish.results_table()}{found[2]}"
