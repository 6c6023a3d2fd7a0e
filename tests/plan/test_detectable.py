"""The smallest detectable effects of a plan: from a published study's deviations, by hand, and what is said where there are none."""

import pandas as pd
import pytest

from helpers.analysis.power import minimum_detectable_effect
from helpers.plan import detectable, machine, plan
from helpers.study.study import open_study

COLUMNS = ["group", "benchmark", "filter", "items", "draws", "sd_seed", "sd_items", "sd_difference"]


@pytest.fixture
def figures(tmp_path):
    """A folder with one published study, of the control's pool."""
    folder = tmp_path / "figures" / "choice"
    folder.mkdir(parents=True)
    pd.DataFrame([{"model": "m", "pool": "openai/gsm8k", "seeds": 8}]).to_csv(folder / "study.csv", index=False)
    rows = [
        ("specialisation", "pool_held_out", "none", 500, 8, 0.020, 0.01, 0.025),
        ("robustness", "medqa_4options_mirror", "none", 1273, 8, 0.010, 0.0, 0.012),
        ("specialisation", "gsm8k", "flexible-extract", 1319, 8, 0.010, 0.0, 0.011),
        ("specialisation", "gsm8k", "strict-match", 1319, 8, 0.030, 0.0, 0.031),
        ("robustness", "cmmlu: robustness", "none", 10000, 8, 0.010, 0.0, 0.013),
        ("whole", "cmmlu", "none", 11582, 8, 0.010, 0.0, 0.014),
        ("specialisation", "cmmlu: specialisation", "none", 1582, 8, 0.010, 0.02, 0.015),
    ]
    pd.DataFrame(rows, columns=COLUMNS).to_csv(folder / "components.csv", index=False)
    return folder.parent


def by_task(study, figures):
    return {effect.task: effect for effect in detectable.effects(study, figures)}


def test_effects_follow_from_the_published_deviations(figures):
    """The held-out set has 2,000 items here and 500 there, so three quarters of the items' variance fall away."""
    study = open_study("control")
    found = by_task(study, figures)
    held_out = found["pool_held_out"]
    one, two = (0.020**2 - 0.75 * 0.01**2) ** 0.5, (0.025**2 - 2 * 0.75 * 0.01**2) ** 0.5
    assert held_out.untrained == pytest.approx(minimum_detectable_effect(one, 3))
    assert held_out.arms == pytest.approx(minimum_detectable_effect(two, 3))
    tests = len(study.eval.tasks)
    assert held_out.corrected == pytest.approx(minimum_detectable_effect(two, 3, alpha=0.05 / tests)), "one arm against random"
    assert found["gsm8k"].untrained == pytest.approx(minimum_detectable_effect(0.010, 3)), "the flexible answer filter counts"
    assert found["cmmlu"].arms == pytest.approx(minimum_detectable_effect(0.014, 3)), "of a suite the whole counts"
    assert (found["medqa_4options"].source, found["mmlu"].source) == ("choice", "")


def test_a_held_out_set_of_another_pool_is_no_guide(figures):
    assert by_task(open_study("duration"), figures)["pool_held_out"].source == ""


def test_the_correction_is_for_all_arms_that_are_compared_with_random_on_all_tasks(figures):
    study = open_study("control")
    study = study.model_copy(update={"arms": study.arms | {"other": study.arms["self"], "third": study.arms["self"]}})
    two = by_task(study, figures)["gsm8k"]
    assert two.corrected == pytest.approx(minimum_detectable_effect(0.011, 3, alpha=0.05 / (3 * len(study.eval.tasks))))
    assert two.corrected > two.arms


def test_what_three_seeds_detect_on_gsm8k():
    """Five to six points on held-out questions, from the variance of `choice` (eight seeds); figures/control/comparison.csv has 7.3 from three."""
    found = {effect.task: effect for effect in detectable.effects(open_study("control"))}
    assert 0.05 < found["pool_held_out"].untrained < 0.06
    assert found["pool_held_out"].source == "choice"


@pytest.mark.parametrize(("effect", "warned"), [(0.001, True), (0.9, False)])
def test_an_effect_that_is_too_small_is_warned_of(effect, warned):
    study = open_study("control")
    study = study.model_copy(update={"analysis": study.analysis.model_copy(update={"effect": effect})})
    text = " ".join(plan.report(study, machine.machine("80GB")).split())
    assert ("Warning: the study is about a difference of" in text) == warned


def test_one_seed_detects_nothing():
    assert "one seed allows no test over seeds" in plan.report(open_study("quickstart"), machine.machine("80GB"))
