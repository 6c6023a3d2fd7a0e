"""A result in one call: read, adopted from another study, or made; whole or not at all."""

import pandas as pd
import pytest

from helpers.study import files
from helpers.study.errors import StudyError
from helpers.study.files import result


def test_a_result_is_made_once_for_each_set_of_inputs(tmp_path):
    marks = []

    def call(rate=1, text="a"):
        make = lambda mark: marks.append(mark) or pd.DataFrame({"rate": [rate]})  # noqa: E731
        return result(tmp_path / "mine", "filter/self/labels.parquet", make=make, inputs={"rate": rate}, made_from=[text])

    assert [call()["rate"].item(), call()["rate"].item(), call(rate=2)["rate"].item()] == [1, 1, 2]
    call(rate=2, text="b")
    assert len(marks) == len(set(marks)) == 3
    assert marks[0] == files.fingerprint({"rate": 1}, "a")  # the fingerprint of results that are there already
    note = files.read_note(tmp_path / "mine/filter/self/labels.parquet")
    assert note["inputs"] == files.fingerprint({"rate": 2})


def test_a_result_of_another_study_is_adopted(tmp_path):
    how = {"inputs": {"filter": "self"}}
    made = result(tmp_path / "other", "filter/self/labels.parquet", make=lambda mark: pd.DataFrame({"label": ["easy"]}), **how)
    name = "filter/all/labels.parquet"
    found = result(tmp_path / "mine", name, make=lambda mark: pytest.fail("it was there"), **how)
    assert found.equals(made)
    note = files.read_note(tmp_path / "other/filter/self/labels.parquet") | {"adopted_from": "other/filter/self/labels.parquet"}
    assert files.read_note(tmp_path / "mine" / name) == note


def test_a_killed_run_leaves_no_result_and_resumes_from_its_parts(tmp_path):
    parts = []

    def make(mark):
        parts.append(mark)
        if len(parts) == 1:
            raise KeyboardInterrupt
        return pd.DataFrame({"parts": [len(parts)]})

    how = {"make": make, "inputs": {}, "made_from": ["prompts"]}
    with pytest.raises(KeyboardInterrupt):
        result(tmp_path / "mine", "filter/self/labels.parquet", **how)
    assert not (tmp_path / "mine" / "filter").exists()
    assert result(tmp_path / "mine", "filter/self/labels.parquet", **how)["parts"].item() == 2
    assert parts[0] == parts[1]  # the same fingerprint names the finished parts of both


def test_an_error_of_the_step_is_its_own(tmp_path):
    def make(mark):
        raise StudyError("too few questions")

    with pytest.raises(StudyError, match="^too few questions$"):
        result(tmp_path / "mine", "split/self/train.parquet", make=make, inputs={})
