"""Where the tables of a positive control are found, that new ones run the analysis again, and what a control shows."""

import pandas as pd
from conftest import REPOSITORY

from helpers.analysis import control
from helpers.study.study import open_study


def test_the_positive_control_is_looked_for_beside_the_study(parameters, tmp_path, monkeypatch):
    monkeypatch.setenv("STUDY_RUNS", str(tmp_path / "runs"))
    parameters(name="mine.yaml")
    study = open_study(str(parameters(lambda p: p["analysis"].update(control="mine"))))
    assert control.tables_of(study) is None
    before = control.inputs(study)
    folder = tmp_path / "runs" / "mine" / "tables"
    folder.mkdir(parents=True)
    for name in ("comparison.csv", "groups.csv"):
        (folder / name).write_text("a\n1\n")
    assert control.tables_of(study) == folder
    assert control.inputs(study) != before  # the analysis runs again
    mine = open_study(str(parameters(lambda p: p["analysis"].update(control="mine"), "mine.yaml")))
    assert control.tables_of(mine) is None  # a study is not its own control


def test_a_control_whose_training_differs_says_so():
    small = open_study("small")
    differences = control.training_differences(small)
    assert differences == {"completions per step": (48, 12), "rollouts": (8, 3), "epochs": (2.0, 1.0)}
    groups = pd.DataFrame(
        [
            {
                "arm": "random",
                "group": "specialisation",
                "seeds": 3,
                "change": 0.05,
                "low": 0.02,
                "high": 0.08,
                "p": 0.001,
                "p_equal": 0.9,
            }
        ]
    )
    comparison = pd.DataFrame([{"benchmark": "gsm8k", "vs_untrained": 0.05}])
    found = control.judge("control", comparison, groups, differences).sentence
    changed = ", ".join(f"{key}: {theirs} instead of {ours}" for key, (theirs, ours) in differences.items())
    assert f" Its training settings differ ({changed}), so it shows" in found
    assert "differs" not in control.judge("control", comparison, groups).sentence
    gone = small.model_copy(update={"analysis": small.analysis.model_copy(update={"control": "of-another-house"})})
    assert control.training_differences(gone) == {}


def test_a_study_may_be_its_own_control_or_have_none(parameters):
    comparison, groups = (pd.read_csv(REPOSITORY / "figures" / "control" / f"{name}.csv") for name in ("comparison", "groups"))
    own = control.positive_control(open_study("control"), comparison, groups)
    assert (own.works, own.own) == (True, True)
    assert "trained on openai/gsm8k" in own.sentence
    theirs = control.positive_control(open_study("small"), comparison.head(0), groups.head(0))
    assert (theirs.works, theirs.own) == (True, False)
    none = open_study(str(parameters(lambda p: p["analysis"].update(control=None))))
    assert control.positive_control(none, comparison.query("benchmark != 'pool_held_out'"), groups).works is None


def test_a_study_without_a_control_may_show_on_held_out_questions_that_its_training_works(parameters):
    comparison = pd.read_csv(REPOSITORY / "figures" / "control" / "comparison.csv")
    none = open_study(str(parameters(lambda p: p["analysis"].update(control=None))))
    found = control.positive_control(none, comparison, comparison.head(0))
    assert (found.works, found.own) == (True, False)  # its claims are judged
    assert found.sentence.startswith("Training works in this study: random, held-out questions: +13.9 points [+8.3, +19.4]")
    assert "self" not in found.sentence
    held = comparison["benchmark"] == "pool_held_out"
    lost = comparison.assign(vs_untrained=-comparison["vs_untrained"].where(held))
    found = control.positive_control(none, lost, lost)
    assert found.works is False
    assert found.sentence.startswith("Training is not shown to work in this study, so it supports no conclusion: ")
