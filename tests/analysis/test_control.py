"""Where the tables of a positive control are found, and that new ones run the analysis again."""

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
