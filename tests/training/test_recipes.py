"""Recipes: what a study's training takes from one, and what stays its own."""

import pytest
import yaml
from conftest import REPOSITORY, TINY

from helpers.study.errors import StudyError
from helpers.study.schema import Train
from helpers.study.study import open_study

RECIPES = sorted((REPOSITORY / "parameters" / "recipes").glob("*.yaml"))


@pytest.mark.parametrize("file", RECIPES, ids=lambda file: file.stem)
def test_recipes_are_trainings(file):
    Train.model_validate(yaml.safe_load(file.read_text()))
    assert "# Seen to work" in file.read_text()


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
