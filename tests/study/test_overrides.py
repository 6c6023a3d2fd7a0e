"""Overrides: `SET="train.beta=0.01 seeds=[0,1]"` makes a study of its own, typed and checked as its file."""

import json
import re

import pytest
from conftest import REPOSITORY, run

from helpers.plan import plan
from helpers.study import overrides
from helpers.study.files import StudyError
from helpers.study.places import NAME
from helpers.study.study import open_study
from helpers.workflow import labels
from helpers.workflow.check import check

MISTAKES = {
    "unknown key": ("train.betta=0.1", "with SET train.betta=0.1: unknown key 'train.betta'; did you mean 'beta'?"),
    "unknown key above": ("tran.beta=0.1", "unknown key 'tran'; did you mean 'train'?"),
    "wrong type": ("train.beta=fast", "with SET train.beta=fast: train.beta: 'fast' is not right: input should be a valid number"),
    "text for a list": ("seeds=0,1", "seeds: '0,1' is not right: input should be a valid list"),
    "no value": ("train.beta", 'SET: \'train.beta\' is not key=value, as in SET="train.beta=0.01 seeds=[0,1]"'),
    "words before": ("quick train.beta=1", "SET: 'quick' is not key=value"),
    "broken YAML": ("seeds=[0, train.beta=1", "SET: seeds=[0, train.beta=1: not valid YAML"),
    "twice": ("train.beta=1.0 train.beta=2.0", "SET: train.beta is set twice; set it once"),
    "unknown arm": ("arms.slef.hard=3", "SET: arms.slef.hard: arms has no 'slef'; did you mean 'self'?"),
    "through a value": ("model.id.name=x", "SET: model.id.name: model.id is 'HuggingFaceTB/SmolLM2-135M-Instruct', which has no keys"),
    "unknown recipe": ("train.recipe=stedy", "train.recipe: 'stedy' is not a recipe; did you mean 'steady'?"),
    "not finite": ("train.beta=.inf", "train.beta: inf is not right: input should be a finite number"),
    "more than the pool": ("arms.random.size=999", "arms.random: 999 questions wanted"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_an_override_is_one_line(mistake):
    changes, line = MISTAKES[mistake]
    with pytest.raises(StudyError) as raised:
        check(open_study("quickstart", changes))
    assert line in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_override_is_what_the_file_would_say(parameters):
    """Same parameters and fingerprints as in a file; what does not depend on the change keeps its own, so results are shared."""
    plain = open_study("quickstart")
    written = open_study(
        str(parameters(lambda p: (p["train"].update(beta=0.01), p["arms"]["self"].update(hard=18), p.update(seeds=[0, 1]))))
    )
    set_ = open_study("quickstart", "train.beta=0.01 seeds=[0,1]  arms.self.hard=18")
    for step, facts in {"train": {"arm": "self", "seed": 1}, "split": {"arm": "self", "seed": 1}, "eval": {}}.items():
        assert set_.inputs(step, **facts) == written.inputs(step, **facts)
    assert set_.inputs("train", arm="self", seed=0) != plain.inputs("train", arm="self", seed=0)
    assert set_.inputs("filter", filter="self") == plain.inputs("filter", filter="self")
    assert set_.title == "Quickstart: the whole study on a laptop (arms.self.hard=18, seeds=[0, 1], train.beta=0.01)"


def test_its_name_is_short_safe_and_does_not_depend_on_the_order():
    names = {open_study("quickstart", text).name for text in ("train.beta=0.01 seeds=[0,1]", "seeds=[0, 1]   train.beta=1e-2")}
    assert names == {"quickstart-seeds-0-1-beta-0.01-703e3a"}
    long = overrides.name("quickstart", {"title": "ü/../: a 'title' of many words, " * 20, "arms": {"ä": {"size": 8}}})
    assert re.match(NAME, long)
    assert len(long) < 60
    assert open_study("quickstart", "train.beta=0.01").folder != open_study("quickstart", "train.beta=0.02").folder


def test_another_process_opens_the_same_study_and_finds_its_files(tmp_path, monkeypatch):
    """The pool and the like lie beside the study's own file, wherever the runs are."""
    monkeypatch.setenv("STUDY_RUNS", str(tmp_path / "elsewhere" / "runs"))
    home = tmp_path / "My studies"
    home.mkdir()
    rows = [{"question": f"What is {k}?", "options": ["one", "two"], "answer": "A"} for k in range(40)]
    (home / "pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (home / "mine.yaml").write_text(f"shared: {REPOSITORY / 'parameters' / 'quickstart.yaml'}\npool: pool.jsonl\n")
    study = open_study(str(home / "mine.yaml"), "arms={random: {size: 8}} filters={}")
    again = open_study(str(study.reference()))
    assert again == study
    assert (again.name, again.folder, again.file) == (study.name, study.folder, study.file)
    assert ": 40 questions, " in check(again)
    moved = home.rename(tmp_path / "moved")
    with pytest.raises(StudyError, match="mine.yaml is not there any more; give the study and SET again"):
        open_study(str(study.reference()))
    moved.rename(home)
    assert (
        open_study(str(study.reference()), "seeds=[3]").name
        == open_study(str(home / "mine.yaml"), "seeds=[3] arms={random: {size: 8}} filters={}").name
    )


def test_a_recipe_lies_under_the_other_keys_and_names_may_have_dots(parameters):
    study = open_study("quickstart", "train.max_completion_tokens=32 train.recipe=steady")
    recipe = open_study("medicine").train
    assert (study.train.beta, study.train.max_completion_tokens) == (recipe.beta, 32)

    def change(values):
        values.update(filters={"qwen2.5": values["filters"]["self"]}, arms={"a.b": {"size": 8}})
        values["eval"]["tasks"].append({"name": "pool_held_out"})

    sets = "filters.qwen2.5.max_new_tokens=7 arms.a.b.train.beta=0.5 train.follow.every=3 split.held_out=9"
    study = open_study(str(parameters(change)), sets)
    assert study.filters["qwen2.5"].max_new_tokens == 7
    assert (study.training("a.b").beta, study.train.follow.every) == (0.5, 3)


def test_every_command_takes_it(tmp_path, monkeypatch, capsys):
    """make hands it on as one argument with its quotes, which the shell does not read."""
    for target in ("study", "plan", "labels", "report", "publish", "clean"):
        done = run("make", "-n", target, "SET=title='a $$b \"c\"'")
        assert '--set "$SET"' in done.stdout, target
    monkeypatch.setattr("sys.argv", ["plan", "small", "--gpu", "80GB", "--set", "seeds=[0,1,2,3,4,5,6,7]"])
    plan.main()
    assert "With 8 seeds" in capsys.readouterr().out
    monkeypatch.setenv("STUDY_RUNS", str(tmp_path))
    with pytest.raises(StudyError, match="unknown key 'filters.labels.sample'; did you mean 'samples'?"):
        labels.study_of("starter:medicine_pool", "tiny/llama", 1, 8, "filters.labels.sample=2")
