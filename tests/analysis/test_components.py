"""Variance components of a study against cases worked by hand."""

import numpy as np
import pandas as pd
import pytest

from helpers.analysis import components


def test_what_a_study_tells_of_seeds_by_hand():
    runs = {"untrained": {-1: [1, 1, 0, 0]}, "x": {0: [1, 0, 0, 0], 1: [1, 1, 1, 0]}}
    frame = pd.DataFrame([
        {"benchmark": "b", "arm": arm, "seed": seed, "group": "robustness", "filter": "none", "item_id": str(i), "correct": bool(c),
         "mode": "likelihood"} for arm, seeds in runs.items() for seed, items in seeds.items() for i, c in enumerate(items)])  # fmt: skip
    outcome = components.seed_spread(frame)
    # each run changes one of four items; means 0.25 and 0.75 vary by 0.125, of which the runs' own scatter on items is taken
    rest = np.array([[0.25, -0.25, -0.25, 0.25], [-0.25, 0.25, 0.25, -0.25]])
    assert outcome["discordant"] == 0.25
    assert outcome["seed_sd"] == pytest.approx(np.sqrt(0.125 - (rest**2).sum() / 3 / 4))
    assert np.isnan(components.seed_spread(frame.assign(mode="reasoning"))["discordant"])


def crossed():
    """Two arms with three seeds each, 40 items."""
    rng = np.random.default_rng(0)
    rows = [(arm, seed, str(item), bool(rng.random() < 0.4 + 0.1 * seed))
            for arm in ("untrained", "random", "x") for seed in ((-1,) if arm == "untrained" else range(3)) for item in range(40)]  # fmt: skip
    table = pd.DataFrame(rows, columns=["arm", "seed", "item_id", "correct"])
    return table.assign(benchmark="b", filter="none", group="robustness", score=table["correct"].astype(float))


def test_components_agree_with_an_analysis_of_variance():
    import statsmodels.api as sm
    from statsmodels.formula.api import ols

    table = crossed()
    means = table[table["arm"] != "untrained"].groupby(["arm", "seed"])["score"].mean()
    fitted = sm.stats.anova_lm(ols("score ~ C(arm) + C(seed)", means.reset_index()).fit())
    seeds, rest = fitted["mean_sq"][["C(seed)", "Residual"]]
    one, index = components.components(table, table, paired=True).to_dict("records")
    assert one["sd_seed"] ** 2 == pytest.approx(means.unstack().var(axis=1, ddof=1).mean())
    assert one["sd_draw"] ** 2 == pytest.approx(max(0, (seeds - rest) / 2))
    assert one["sd_difference"] ** 2 == pytest.approx(2 * rest)
    within = means.unstack("arm")
    assert one["sd_difference"] == pytest.approx((within["x"] - within["random"]).std(ddof=1))  # of two arms it is just that
    assert (index["benchmark"], index["sd_seed"], index["sd_items"]) == ("index", one["sd_seed"], one["sd_items"])
    assert (one["arms"], one["seeds"], one["draws"], one["items"]) == (2, 3, 3, 40)


def test_components_of_a_fixed_draw_take_runs_as_independent():
    table = crossed()
    one = components.components(table, table).iloc[0]
    assert np.isnan(one["sd_draw"])
    assert one["sd_difference"] == pytest.approx(np.sqrt(2) * one["sd_seed"])
    assert one["draws"] == 1
    control = table[table["arm"] == "x"].assign(arm="control", correct=False, score=0.0)  # would halve the variance between seeds
    assert components.components(*2 * [pd.concat([table, control])], controls=["control"]).iloc[0].equals(one)
    single = table[table["seed"] <= 0]
    assert components.components(single, single).empty
    assert list(components.components(single, single)) == components.COLUMNS
