"""Recipes: what a study's training takes from one, and what stays its own."""

import pandas as pd
import pytest
import yaml
from conftest import REPOSITORY, TINY

from helpers.study.errors import StudyError
from helpers.study.schema import Train
from helpers.study.study import open_study
from helpers.training.training import Training

RECIPES = sorted((REPOSITORY / "parameters" / "recipes").glob("*.yaml"))


@pytest.mark.parametrize("file", RECIPES, ids=lambda file: file.stem)
def test_recipes_are_trainings(file):
    Train.model_validate(yaml.safe_load(file.read_text()))
    assert "\n# Tested" in file.read_text()


def test_a_recipe_lies_between_what_is_shared_and_what_is_its_own(tiny, tmp_path):
    (tmp_path / "shared.yaml").write_text(TINY)  # says learning_rate 1e-3, max_completion_tokens 4
    changed = tmp_path / "changed.yaml"
    changed.write_text(
        "shared: shared.yaml\ntrain: {recipe: steady, max_completion_tokens: 7}\narms: {random: {size: 24, train: {recipe: paper, beta: 0.1}}}\n"
    )
    study = open_study(str(changed))
    assert (study.train.recipe, study.train.learning_rate, study.train.rollouts, study.train.max_completion_tokens) == (
        "steady",
        3e-5,
        8,
        7,
    )
    arm = study.training("random")
    assert (arm.rollouts, arm.batch_size, arm.beta, arm.max_completion_tokens) == (3, 3, 0.1, 7)
    changed.write_text("shared: shared.yaml\ntrain: {recipe: stedy}\n")
    with pytest.raises(StudyError, match="train.recipe: 'stedy' is not a recipe; did you mean 'steady'"):
        open_study(str(changed))


@pytest.mark.parametrize(
    ("study", "arm", "shown"),
    [
        ("full", "self", {"r": "16", "lora_alpha": "32", "lora_dropout": "0.0", "target_modules": "all-linear"}),
        ("qlora", "self-qlora", {"r": "16", "lora_alpha": "32", "lora_dropout": "0.0", "target_modules": "q_proj, v_proj"}),
        ("full", "self-full", {}),
    ],
)
def test_the_table_of_settings_has_the_adapter_where_one_is_trained(study, arm, shown):
    run = Training(open_study(study, "train.lora.target_modules=[v_proj,q_proj]" if "v_proj" in str(shown) else ""), arm, 0)
    vars(run).update(note={}, folder=REPOSITORY)  # what the settings need of a run that has been made
    table = run.settings().set_index(["of", "setting"])["value"]
    assert table.get("LoraConfig", default=pd.Series()).to_dict() == shown
    assert table["GRPOConfig"]["num_generations"] == str(run.train.rollouts)
