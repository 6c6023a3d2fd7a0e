"""Labels without a study: the files and the card of `make labels`, and mistakes in one line."""

import inprocess
import pandas as pd
import pytest
from conftest import refused, run

from helpers.workflow import execute, graph, labels


@pytest.fixture
def pool(tiny, tmp_path):
    path = tmp_path / "my pool.csv"
    path.write_text("Question;A;B;C;Answer\n" + "".join(f"What is {k}?;one;two;three;one\n" for k in range(6)))
    return path


def test_labels_answers_and_card(pool, tmp_path, monkeypatch, capsys):
    """Its notebook runs in this process; test_pipeline.py runs it in a kernel."""
    monkeypatch.setenv("STUDY_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(execute, "run", lambda notebook, output, given: inprocess.execute(notebook, output, **given))
    monkeypatch.setattr("sys.argv", ["labels", str(pool), "tiny/llama", "--samples=2", "--tokens=4"])
    labels.main()
    assert "my pool.csv: 6 questions, options from columns A–C, answers by text" in capsys.readouterr().out
    folder = tmp_path / "runs" / "labels-my-pool-llama"
    table, answers = pd.read_csv(folder / "labels.csv"), pd.read_parquet(folder / "answers.parquet")
    assert {"question_id", "question", "label", "pass_rate", "pass_rate_shrunk", "label_tolerant", "pass_rate_tolerant"} <= set(
        table
    )
    assert (len(table), len(answers)) == (6, 12)
    assert table["pass_rate"].tolist() == pd.read_parquet(folder / "labels.parquet")["pass_rate"].tolist()
    card = (folder / "README.md").read_text()
    assert card.startswith("# Labels of my pool.csv by tiny/llama")
    assert "2 answers per question at temperature 1" in card
    assert "What is 0?\nA. one" in card


@pytest.mark.parametrize(
    ("pool", "model", "line"),
    [
        ("none.jsonl", "tiny/llama", "no such file"),
        ("starter:none", "tiny/llama", "none"),
        ("", "", "POOL and MODEL are needed, as in make labels POOL=mine.csv MODEL=org/model"),
    ],
)
def test_mistakes_are_one_line(pool, model, line, tmp_path, monkeypatch):
    monkeypatch.setenv("STUDY_RUNS", str(tmp_path))
    assert line in refused(labels.main, pool, model)


@pytest.mark.parametrize(("main", "arguments", "line"), [
    (graph.main, ["quickstart", "--jobs=two"], "error: JOBS=two: should be a whole number of at least 0"),
    (graph.main, ["quickstart", "--jobs=-1"], "error: JOBS=-1: should be a whole number of at least 0"),
    (labels.main, ["starter:medicine_pool", "a/b", "--samples=many"], "error: SAMPLES=many: should be a whole number of at least 1"),
    (labels.main, ["starter:medicine_pool", "a/b", "--samples=0"], "error: SAMPLES=0: should be a whole number of at least 1"),
])  # fmt: skip
def test_counts_that_are_none_are_one_line(main, arguments, line):
    assert refused(main, *arguments) == line


def test_make_passes_its_values_on():
    done = run("make", "-n", "labels", "POOL=a b.jsonl", "MODEL=org/m", "SAMPLES=16")
    assert 'helpers.workflow.labels "a b.jsonl" "org/m" --samples "16"' in done.stdout
