"""The parameters of a search tool: which mistakes are found, and that studies without one are as they were."""

import pandas as pd
import pytest

from helpers.search import tool
from helpers.study.errors import StudyError
from helpers.study.files import fingerprint
from helpers.study.study import open_study
from helpers.training import check

# Of all jobs of a study (`every_job`), taken before there was a search tool. Results that are published depend on them. The questions of
# `small` (before: 1b20ab3621278257) and `control` (before: 027004b2b4e3dfd5) were reworded since; only the analysis depends on them.
BEFORE = {"quickstart": "6636c4b9fa1cdaa5", "small": "8e74f144dd155e7a", "control": "952737542253aa53"}
TOOL = {"corpus": "starter", "searches": 1}
REASONING = {"name": "starter_medicine_reasoning"}


def every_job(study):
    seed = study.seeds[0]
    return [
        *(study.inputs("filter", filter=name) for name in study.filters),
        *(study.inputs(step, arm=arm, seed=seed) for step in ("split", "train") for arm in study.arms),
        *(study.inputs(step) for step in ("overlaps", "held_out", "eval", "analysis")),
    ]


@pytest.mark.parametrize("name", BEFORE)
def test_studies_without_search_have_the_fingerprints_that_they_had(name):
    assert fingerprint(*every_job(open_study(name))) == BEFORE[name]


def test_what_searches_depends_on_the_tool_and_nothing_else_does(parameters):
    def use(values, **changed):
        values["search"] = TOOL | changed
        values["arms"]["random"]["search"] = values["filters"]["self"]["search"] = True
        values["eval"]["tasks"].append(REASONING | {"search": True})

    plain, one, other = (
        open_study(str(parameters(change, f"{n}.yaml")))
        for n, change in enumerate([lambda _: None, use, lambda values: use(values, passages=2)])
    )
    for step, named, depends in [
        ("train", {"arm": "random", "seed": 0}, True),
        ("train", {"arm": "self", "seed": 0}, False),
        ("filter", {"filter": "self"}, True),
        ("filter", {"filter": "gemma-3-270m"}, False),
        ("split", {"arm": "random", "seed": 0}, None),
        ("eval", {}, True),
    ]:
        first, second = one.inputs(step, **named), other.inputs(step, **named)
        assert (first != second) is bool(depends), step
        assert (first == plain.inputs(step, **named)) is (depends is False) or depends is None, step
    assert [task.label for task in one.eval.tasks if task.name == REASONING["name"]] == [
        "starter_medicine_reasoning",
        "starter_medicine_reasoning_search",
    ]


MISTAKES = {
    "no tool": (lambda v: v["arms"]["self"].update(search=True), "arms.self.search is true, and the study has no tool"),
    "no user": (lambda v: v.update(search=TOOL), "search: nothing uses it; set `search: true` for an arm, a filter or a task"),
    "likelihood": (
        lambda v: v.update(search=TOOL, eval={"tasks": [{"name": "starter_general", "search": True}]}),
        "search: a model searches in reasoning mode only, and starter_general is read otherwise",
    ),
    "no such file": (
        lambda v: (v.update(search={"corpus": "no.jsonl"}), v["arms"]["self"].update(search=True)),
        "search.corpus: no.jsonl: no such file",
    ),
    "no searches": (lambda v: v.update(search=TOOL | {"searches": 0}), "search.searches: 0 is not right"),
    "unknown key": (lambda v: v.update(search=TOOL | {"passage": 3}), "unknown key 'search.passage'; did you mean 'passages'?"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line(parameters, mistake):
    change, line = MISTAKES[mistake]
    with pytest.raises(StudyError) as error:
        open_study(str(parameters(change)))
    assert line in str(error.value)
    assert "\n" not in str(error.value)


def test_the_index_of_a_study_is_made_once_and_found_again(parameters, tmp_path, monkeypatch):
    monkeypatch.setenv("STUDY_RUNS", str(tmp_path / "runs"))
    (tmp_path / "own.jsonl").write_text('{"title": "Insulin", "text": "The pancreas makes it."}\n')
    study = open_study(
        str(parameters(lambda v: (v.update(search={"corpus": "own.jsonl"}), v["arms"]["self"].update(search=True))))
    )
    with pytest.raises(StudyError, match="run 02_split first"):
        tool.open_tool(study)
    assert tool.prepare(study, pd.DataFrame(columns=["benchmark", "question"])).empty
    made = tool.open_tool(study)
    assert made.settings == study.search
    assert made.search(["insulin", "kidney"], 2)[0][0].text == "The pancreas makes it."


@pytest.mark.parametrize("train", [{"vllm_server": "http://here:8000"}, {"accelerate": "accelerate/fsdp.yaml"}])
def test_rollouts_that_search_need_the_weights_in_their_own_process(parameters, train):
    def change(values):
        values.update(search=TOOL)
        values["arms"]["random"].update(search=True, train=train)

    with pytest.raises(StudyError, match=f"arms.random.train.{next(iter(train))}: rollouts that search"):
        check.check(open_study(str(parameters(change))), here=False)
