"""What the opening of a study of search says, and its figure, on made-up effects."""

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from helpers.analysis import curves, opening, search_opening, search_plot
from helpers.analysis.searching import ANSWERABLE

ABOUT = {
    "question": "Does a tool help?",
    "model": "org/a",
    "pool": "org/medmcqa",
    "seeds": 5,
    "confidence": 0.95,
    "power": 0.8,
    "effect": 0.03,
}
ARMS = pd.DataFrame(
    [("random", "500 at random", "as the study (lora)"), ("random-search", "500 at random", "with the search tool")],
    columns=["arm", "questions", "trained"],
)
COMMON = pd.DataFrame({"first": ["random"], "second": ["random-search"], "both": [500], "larger": [500]})
OUTCOMES = {"pool_held_out": 1000, "mmlu_medical_reasoning": 1871}


def effect(held=(0.003, 0.6), mmlu=(-0.013, 0.3), training=0.049):
    """Rows of `searching.effect`. held, mmlu: the searching arm with the tool against random without it on each outcome, and its p."""
    rows = []
    for end, items in (("", None), (ANSWERABLE, 44)):
        for (name, count), (change, p) in zip(OUTCOMES.items(), (held, mmlu), strict=True):
            for arm in ("untrained", "random", "random-search"):
                found = {"search": -0.02 if not end else 0.1}
                if arm != "untrained":
                    found["training"] = training
                if arm == "random-search":
                    found |= {"to_search": 0.004, "against_random": change}
                row = {"benchmark": name + end, "group": "specialisation", "items": items or count, "arm": arm, "without": 0.32}
                row["without"] += training * (arm != "untrained")
                row |= {
                    f"{key}{at}": value + by
                    for key, value in found.items()
                    for at, by in (("", 0), ("_low", -0.02), ("_high", 0.02))
                }
                if arm == "random-search":
                    row |= {
                        f"against_random_{key}": value
                        for key, value in (("seeds", 5), ("p", p), ("p_equal", 0.5), ("detectable", 0.025))
                    }
                rows.append(row)
    return pd.DataFrame(rows)


def said(**how):
    return opening.lines({"study": pd.DataFrame([ABOUT]), "arms": ARMS, "common": COMMON, "search_effect": effect(**how)})


def test_the_outcome_is_the_tool_with_its_training_against_neither():
    lines = said()
    assert lines["Question"] == (
        "Does a tool help? org/a was trained with GRPO on questions of org/medmcqa, without a search tool (random) and with one (random-search). Primary "
        "outcome: accuracy in reasoning mode on 1,000 held-out questions and 1,871 MMLU medical questions, random-search with the tool against random "
        "without it; 5 seeds per arm."
    )
    assert lines["Result"] == (
        "Training works without the tool: it raises accuracy from 32.0 to 36.9 % on held-out questions (+4.9 [+2.9, +6.9] points) and from 32.0 to 36.9 % on "
        "MMLU medical questions (+4.9 [+2.9, +6.9] points) (95 % intervals over items and seeds). Training and answering with the tool (random-search) was "
        "not shown to differ from doing so without it: +0.3 [-1.7, +2.3] points on held-out questions (adjusted p = 0.600), -1.3 [-3.3, +0.7] points on MMLU "
        "medical questions (adjusted p = 0.600). Before training, the tool changes accuracy by -2.0 [-4.0, 0.0] and -2.0 [-4.0, 0.0] points (held-out "
        "questions, then MMLU medical questions). This study could detect 2.5 and 2.5 points (80 % power, one test at the 5 % level)."
    )
    assert lines["In practice"] == (
        "With a similar model, corpus and questions, the tool was not shown to be worth its tokens. Gains of up to 2.3 and losses of up to 3.3 points from "
        "random-search cannot be excluded (95 % intervals, unadjusted); no interval reaches a gain of 3 points, which would matter."
    )
    assert lines["In detail"].splitlines() == [
        "Tests are adjusted for the 2 comparisons of the primary outcome (Holm), intervals are not.",
        "The tool changes the accuracy of random by -2.0 [-4.0, 0.0] and -2.0 [-4.0, 0.0] points; with the tool in both, random-search differs from random by "
        "+0.4 [-1.6, +2.4] and +0.4 [-1.6, +2.4] points (same order).",
        "Where a search for the question itself finds the right option (44 held-out questions and 44 MMLU medical questions), the tool changes accuracy by "
        "+10.0 [+8.0, +12.0] and +10.0 [+8.0, +12.0] points before training and by +10.0 [+8.0, +12.0] and +10.0 [+8.0, +12.0] after training with it. So the tool works.",
        "Questions shared with the random arm of the same seed, on average: random-search 500.",
    ]


@pytest.mark.parametrize(
    ("how", "result", "advice"),
    [
        ({"held": (0.04, 0.001)}, "is better than without it: +4.0", "With a similar model, corpus and questions, train and answer with the tool."),
        ({"mmlu": (-0.05, 0.001)}, "is worse than without it: -5.0", "With a similar model, corpus and questions, do without the tool."),
        ({"held": (0.04, 0.001), "mmlu": (-0.05, 0.001)}, "is better than without it on one outcome and worse on another: ", "No simple advice"),
        ({"held": (0.04, 0.001), "training": 0.01}, "is better", "Nothing follows about the tool, because training was not shown to raise accuracy."),
    ],
)  # fmt: skip
def test_what_the_tests_show_and_what_it_means(how, result, advice):
    lines = said(**how)
    assert f"Training and answering with the tool (random-search) {result}" in lines["Result"]
    assert lines["In practice"].startswith(advice)


def test_one_seed_and_one_outcome_are_said_as_such():
    one = effect(training=0.01)[lambda table: table["benchmark"].str.startswith("mmlu")]
    lines = search_opening.lines({"study": pd.DataFrame([ABOUT | {"seeds": 1}]), "arms": ARMS, "search_effect": one})
    assert lines["Question"].endswith("random-search with the tool against random without it; 1 seed per arm.")
    assert lines["Result"].startswith(
        "Training without the tool was not shown to raise accuracy: it changes accuracy from 32.0 to 33.0 % on MMLU medical questions "
        "(+1.0 [-1.0, +3.0] points) (95 % intervals over items)."
    )


def test_a_study_with_other_arms_has_the_outcome_of_those():
    more = pd.concat([ARMS, pd.DataFrame([("half", "500 at random", "as the study (lora)")], columns=list(ARMS))])
    assert search_opening.asked(ARMS)
    assert not search_opening.asked(more)
    assert not search_opening.asked(ARMS.tail(1))
    assert not search_opening.asked(pd.concat([ARMS, ARMS.tail(1).assign(arm="another")]))
    assert not search_opening.asked(ARMS.assign(trained="with the search tool"))
    assert search_opening.lines({"study": pd.DataFrame([ABOUT]), "arms": more, "search_effect": effect()}) == {}


def used(*shares):
    """`searching.by` seed: an untrained model that always searches, and models that were trained with the tool."""
    rows = [("pool_held_out", "untrained", -1, 1.0), ("pool_held_out", "random", 0, 0.99), ("rollouts", "random-search", 0, 0.5)]
    rows += [("pool_held_out", "random-search", seed, share) for seed, share in enumerate(shares)]
    return pd.DataFrame(rows, columns=["what", "arm", "seed", "searched"]).assign(right_found=0.04, wrong_found=0.03)


@pytest.mark.parametrize(
    ("shares", "trained"),
    [((0.98, 0.004, 0.66), "for 98, 0 and 66 % (one model per seed)."), ((0.5,), "for 50 %.")],
)
def test_how_often_models_search_is_said_for_each_seed(shares, trained):
    tables = {"study": pd.DataFrame([ABOUT]), "arms": ARMS, "search_effect": effect()}
    result = search_opening.lines(tables | {"search_seeds": used(*shares)})["Result"]
    assert f"the model searches for 100 % of the held-out questions; after training with the tool, {trained}" in result
    assert "Of its searches, 4 % find passages with the right option; 3 % of the wrong options are found as well." in result
    never = used(*shares).assign(right_found=float("nan"))
    assert "Of its searches" not in search_opening.lines(tables | {"search_seeds": never})["Result"]
    for seeds in (used(), used(*shares).query("arm != 'untrained'")):
        assert "searches for" not in search_opening.lines(tables | {"search_seeds": seeds})["Result"]


def test_a_tool_that_breaks_the_format_is_told_from_one_that_misleads():
    rows = [(f"{name}{end}", "untrained", 0.99 - 0.1 * bool(end), 0.43) for name in OUTCOMES for end in ("", "_search")]
    reasoning = pd.DataFrame(rows, columns=["benchmark", "arm", "valid", "accuracy_if_valid"])
    tables = {"study": pd.DataFrame([ABOUT]), "arms": ARMS, "search_effect": effect()}
    assert (
        "Before training, the tool changes the share of answers in the required format from 99.0 to 89.0 % and from 99.0 to 89.0 %, and accuracy among "
        "these from 43.0 to 43.0 % and from 43.0 to 43.0 %."
    ) in search_opening.lines(tables | {"reasoning": reasoning})["In detail"]
    assert "required format" not in search_opening.lines(tables | {"reasoning": reasoning.head(1)})["In detail"]


def test_the_control_of_the_tool_may_show_nothing():
    table = effect()
    table.loc[table["benchmark"].str.endswith(ANSWERABLE), "search_low"] = -0.01
    lines = search_opening.lines({"study": pd.DataFrame([ABOUT]), "arms": ARMS, "search_effect": table})
    assert "This does not show that the tool works with this model." in lines["In detail"]


def test_the_curve_of_searching_shows_each_seed():
    table = pd.DataFrame(
        [("random-search", seed, step, share, 1.0, 0.1, 0.1) for seed, share in ((0, 0.0), (1, 0.9)) for step in range(1, 41)],
        columns=["arm", "seed", "step", "searched", "found", "right_found", "wrong_found"],
    )
    figure = curves.searches(table, ["random-search"])
    ends = [line.get_ydata()[-1] for line in figure.axes[0].lines if len(line.get_ydata()) == 40]
    assert sorted(ends) == pytest.approx([0.0, 0.45, 0.9]), "the mean alone would show a model that searches half of the time"
    assert "random-search, seed 0 0.00, random-search, seed 1 0.90" in figure.get_label()
    plt.close(figure)


def test_without_an_arm_that_was_trained_with_search_there_is_no_outcome():
    others = effect()[lambda table: table["arm"] != "random-search"]
    assert search_opening.lines({"study": pd.DataFrame([ABOUT]), "arms": ARMS, "search_effect": others}) == {}
    assert search_opening.lines({"study": pd.DataFrame([ABOUT]), "arms": ARMS}) == {}


def test_the_figure_has_a_row_for_each_difference_and_a_panel_for_each_benchmark():
    table = search_plot.effects(effect())
    assert table["benchmark"].unique().tolist() == list(OUTCOMES)
    own = table[table["benchmark"] == "pool_held_out"].set_index("what")["change"]
    assert own.round(3).to_dict() == {
        "tool, before training": -0.02, "training without the tool": 0.049, "tool, after that training": -0.02,
        "random-search − random,\nboth with the tool": 0.004, "random-search with the tool −\nrandom without": 0.003,
    }  # fmt: skip
    figure = search_plot.picture(table, ["random", "random-search"], effect=0.03)
    assert [axes.get_title() for axes in figure.axes] == ["held-out questions", "MMLU medical questions"]
    drawn = [
        line.get_xdata()[0]
        for axes in figure.axes[:1]
        for line in axes.lines
        if len(line.get_xdata()) == 1 and line.get_marker() in "oPp^sDvX*"
    ]
    assert pytest.approx(sorted(drawn)) == sorted(100 * own)
    plt.close(figure)
    assert search_plot.effects(effect()[lambda table: table["arm"] == "untrained"])["what"].unique().tolist() == [
        "tool, before training"
    ]
