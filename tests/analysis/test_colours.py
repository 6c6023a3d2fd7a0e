"""Colours of arms: the same name has the same colour in every study, and no two arms of a study look alike to a colour-blind reader."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from conftest import REPOSITORY
from matplotlib.colors import to_rgb

from helpers.analysis import plots
from helpers.analysis.drawing import COLOURS, MARKERS, UNTRAINED_GREY, colours, markers
from helpers.study.study import open_study

STUDIES = sorted(path.stem for path in (REPOSITORY / "parameters").glob("*.yaml"))
SEEN = {  # what a reader sees, in linear RGB: Machado, Oliveira and Fernandes 2009, the strongest degree of each kind
    "all": np.eye(3),
    "no red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "no green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "no blue": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
XYZ = np.array([[0.4339, 0.3762, 0.1899], [0.2126, 0.7152, 0.0722], [0.0177, 0.1095, 0.8728]])  # relative to white
LEAST = 12  # CIE 1976 difference; 2.3 is just noticeable, and arms have different markers besides


def lab(colour, reader):
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = XYZ @ np.clip(np.array(SEEN[reader]) @ linear, 0, 1)
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def nearest(shown, reader):
    return min((np.linalg.norm(lab(shown[a], reader) - lab(shown[b], reader)), a, b) for a, b in combinations(shown, 2))


def test_an_arm_has_one_colour_and_one_marker_in_all_studies():
    seen = {}
    for name in STUDIES:
        arms = list(open_study(name).arms)
        for arm, colour in colours(arms).items():
            seen.setdefault(arm, set()).add((colour, markers(arms).get(arm)))
    several = {arm: looks for arm, looks in seen.items() if len(looks) > 1}
    assert not several
    assert seen["random"] == {("#000000", "o")}
    assert seen["self"] == seen["hard400-easy100"]  # one rule under two names


@pytest.mark.parametrize("reader", SEEN)
def test_arms_of_a_study_differ_for_every_reader(reader):
    for name in STUDIES:
        distance, *pair = nearest(colours(list(open_study(name).arms)), reader)
        assert distance >= LEAST, f"{name}: {pair} for a reader who sees {reader}"


def test_the_measure_finds_colours_that_are_alike():
    assert nearest({"a": "#00ff00", "b": "#ff0000", "c": "#b8a000"}, "all")[0] > 40
    assert nearest({"a": "#595959", "b": "#882255"}, "no green")[0] < 5


def test_arms_of_any_name_and_number_have_a_colour():
    arms = ["random", "a", "self", "b", "hard400-easy100", *(f"more-{place}" for place in range(20))]
    shown = colours(arms)
    assert len({shown[arm] for arm in arms[:11]}) == 11 == len(COLOURS) == len(set(MARKERS[: len(COLOURS)]))
    assert shown.keys() == {*arms, "untrained"}
    assert colours(["b", "self"])["self"] == colours(["self"])["self"]


def test_a_figure_draws_arms_in_their_colours():
    table = pd.DataFrame([(arm, 0.01, 0.01, 0.01, 0.01, 0.02, 0.02, 0.0) for arm in ("self", "random")],
                         columns=["arm", "x", "y", "centre_x", "centre_y", "half_x", "half_y", "tilt"])  # fmt: skip
    axes = plots.plane(table, ["self", "random"], 0.95, "benchmarks").axes[0]
    shown = {line.get_label(): (line.get_color(), line.get_marker()) for line in axes.lines if line.get_marker() != "None"}
    assert shown == {"self": (COLOURS[1], "s"), "random": (COLOURS[0], "o"), "untrained": (UNTRAINED_GREY, "+")}


def test_an_arm_far_away_from_the_others_does_not_hide_them():
    """A second panel shows the others alone; an arm that only has a wide region is not far away."""
    columns = ["arm", "x", "y", "centre_x", "centre_y", "half_x", "half_y", "tilt"]
    near = [("random", 0.1, 0.0, 0.1, 0.0, 0.02, 0.01, 0.0), ("self", 0.12, 0.0, 0.12, 0.0, 0.02, 0.01, 0.0)]
    far, wide = ("mine", -0.3, 0.0, -0.3, 0.0, 0.02, 0.01, 0.0), ("mine", 0.1, 0.0, 0.1, 0.0, 0.5, 0.01, 0.0)
    for third, titles in ((far, ["all arms", "without mine"]), (wide, [""])):
        panels = plots.plane(pd.DataFrame([*near, third], columns=columns), ["random", "self", "mine"], 0.95, "medicine").axes
        assert [axes.get_title() for axes in panels] == titles
    assert {line.get_label() for line in plots.plane(pd.DataFrame([*near, far], columns=columns), ["random", "self", "mine"], 0.95,
            "medicine").axes[1].lines} >= {"random", "self"}  # fmt: skip
