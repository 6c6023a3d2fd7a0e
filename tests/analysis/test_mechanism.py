"""The mechanism's measures on small cases worked by hand."""

import re

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from helpers.analysis import mechanism


def answers(**questions):
    """Labels of a filter: `answers(q="eeh")` are three samples of q, two of them easy."""
    return pd.DataFrame([
        {"question_id": name, "sample": i, "label": "easy" if c == "e" else "hard", "correct": c == "e", "predicted": "A"}
        for name, kinds in questions.items() for i, c in enumerate(kinds)])  # fmt: skip


def test_signal_by_hand():
    table = mechanism.signal(answers(half="eehh", never="hhhh", once="ehhh"), rollouts=3).set_index("question_id")
    assert table["pass_rate"].tolist() == [0.5, 0.0, 0.25]
    assert table["variance"].tolist() == pytest.approx([0.25 * 4 / 3, 0, 0.1875 * 4 / 3])
    assert table["flat"].tolist() == pytest.approx([0, 1, 1 / 4])  # of the four choices of three samples, those that agree


def test_signal_is_unbiased():
    rng = np.random.default_rng(0)
    draws = {f"q{i}": "".join("e" if x else "h" for x in rng.random(8) < 0.3) for i in range(4000)}
    table = mechanism.signal(answers(**draws), rollouts=3)
    assert table["variance"].mean() == pytest.approx(0.21, abs=0.005)
    assert table["flat"].mean() == pytest.approx(0.3**3 + 0.7**3, abs=0.01)


def test_signal_with_too_few_samples_is_not_known():
    table = mechanism.signal(answers(q="e"), rollouts=3)
    assert table[["variance", "flat"]].isna().all(axis=None)


def rollouts():
    rows = [("q", 2.0, 0.0), ("q", 0.0, 2.0), ("r", 0.0, 2.0), ("r", 0.0, 2.0)]
    table = pd.DataFrame(rows, columns=["question_id", "reward_accuracy", "reward_format"])
    return table.assign(arm="x", seed=0, step=1, reward_xml_count=1.0, advantage=0.0)


def test_spread_of_groups_by_hand():
    (row,) = mechanism.group_spread(rollouts()).to_dict("records")
    # q's parts differ but their sum does not, r's do not differ at all
    assert (row["flat_reward"], row["flat_accuracy"], row["flat_format"]) == (1.0, 0.5, 0.5)
    assert (row["valid"], row["right"], row["right_if_valid"]) == (0.75, 0.25, 0.0)


def test_spread_of_groups_is_that_of_the_reward_that_was_trained_on():
    """A random reward differs within q, whose other rewards have the same sum, and within r, whose other rewards are equal."""
    coin = rollouts().assign(reward_random=[2.0, 0.0, 2.0, 0.0], advantage=[1.0, -1.0, 1.0, -1.0])
    (row,) = mechanism.group_spread(coin).to_dict("records")
    assert (row["flat_reward"], row["flat_accuracy"], row["flat_format"]) == (0.0, 0.5, 0.5)


def test_arm_signal_takes_the_arms_own_questions():
    signals = mechanism.signal(answers(q="eehh", r="hhhh"), 3)
    spread = mechanism.group_spread(rollouts())
    (row,) = mechanism.arm_signal(signals, {"x": pd.DataFrame({"question_id": ["r", "other"]})}, spread).to_dict("records")
    assert (row["questions"], row["pass_rate"], row["flat_expected"], row["flat_reward"]) == (1, 0.0, 1.0, 1.0)


def test_what_a_label_says_of_the_pass_rate():
    passes = pd.DataFrame({"question_id": list("abcd"), "pass_rate": [1.0, 0.5, 0.5, 0.0]})
    (row,) = mechanism.predicts({"f": answers(a="e", b="e", c="h", d="h")}, passes).to_dict("records")
    assert (row["rate_easy"], row["rate_hard"], row["useful_hard"]) == (0.75, 0.25, 0.5)
    assert row["auc"] == pytest.approx((1 + 1 + 0.5 + 1) / 4)


def test_jaccard():
    table = mechanism.jaccard({"x": pd.DataFrame({"question_id": ["a", "b"]}), "y": pd.DataFrame({"question_id": ["b", "c"]})})
    assert table.loc["x", "y"] == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Wait, the dose is wrong.", True),
        ("Let me double-check the sodium.", True),
        ("On second thought, it is B.", True),
        ("I made a mistake above", True),
        ("Hmm, that does not fit", True),
        ("Aha! It is the dose", True),
        ("The AHA antibodies are of the IgG type", False),
        ("Wait... that leaves two", True),
        ("wait no, three are left", True),
        ("Wait — the units differ", True),
        ("Wait until the fever falls", False),
        ("they need to wait 45 minutes for the driving", False),
        ("Players that must wait: 10 - 5 = 5", False),
        ("Time to wait = 20 minutes", False),
        ("She has to wait.", False),
        ("How long must they wait?", False),
        ("It takes 20 minutes to wait, and 5 to board", False),
        ("Wait for the second dose", False),
        ("the cars wait\nat the light", False),
        ("That makes 51. Wait a minute, he has 52", True),
        ("**Wait**, the second is right", True),
        ("It is 12.\nBut wait: that is per day", True),
        ("The patient is waiting", False),
        ("The watchful wait and see approach", False),
        ("However, B is more likely", False),
        ("Actually, option C", False),
        ("Recheck the potassium tomorrow", False),
        # each alternative of each marker
        ("Hold on.", True),
        ("On second thought, 7.", True),
        ("Let me recheck.", True),
        ("Let's re-examine it.", True),
        ("Let us reconsider.", True),
        ("Let me rethink.", True),
        ("Let me re-evaluate.", True),
        ("Let me revisit it.", True),
        ("Let me re-read it.", True),
        ("Let me check again.", True),
        ("Let me think again.", True),
        ("Let us go back.", True),
        ("Let's verify.", True),
        ("I have made an error.", True),
        ("That is wrong.", True),
        ("This can't be right; this seems incorrect.", True),
        ("That was not right.", True),
        ("After re-thinking, B.", True),
        ("By reevaluating, B.", True),
        ("A double check gives 7.", True),
    ],
)
def test_markers(text, found):
    assert bool(mechanism.REFLECTS.search(text)) == mechanism.reflects(text) == found


def test_every_marker_has_a_text_above_that_it_alone_finds():
    """So a new marker needs a text, which `reflects` must find too: it looks only at texts that contain one of PARTS."""
    tried = [text for text, found in test_markers.pytestmark[0].args[1] if found]
    alone = [[re.search(marker, text, re.IGNORECASE) is not None for marker in mechanism.MARKERS] for text in tried]
    assert {row.index(True) for row in alone if sum(row) == 1} == set(range(len(mechanism.MARKERS)))


def texts(rates, lengths, steps=30, each=40, seed=0):
    """Completions whose rate of a marker goes from rates[0] to rates[1] over training, and length likewise."""
    rng, rows = np.random.default_rng(seed), []
    for step in range(1, steps + 1):
        late = step > steps / 2
        for i in range(each):
            length = int(rng.integers(*lengths[late]))
            words = ["word"] * length
            if rng.random() < rates[late](length):
                words[length // 2] = "end. Wait,"
            rows.append(
                {
                    "arm": "x",
                    "seed": seed,
                    "step": step,
                    "question_id": f"q{(step * each + i) // 4}",
                    "completion": " ".join(words),
                }
            )
    return pd.DataFrame(rows)


def test_a_rise_of_reflection_is_seen():
    outcome = mechanism.reflections(texts([lambda _: 0.02, lambda _: 0.2], [(20, 60), (20, 60)]))
    (row,) = mechanism.reflection_change(outcome, np.random.default_rng(0), 500).to_dict("records")
    assert row["low"] > 0.05
    assert row["p"] < 0.01
    shown = mechanism.examples(outcome, 3)
    assert len(shown) == 3
    assert shown["marker"].eq("Wait").all()


def test_rate_with_length_held_constant_by_hand():
    # short texts 10 words, long ones 100; half of all texts are long. First third: 3 of 4 short, last: 3 of 4 long
    def text(words, marked):
        return " ".join(["word"] * (words - 1) + ["hmm" if marked else "word"])

    first = [(10, True), (10, False), (10, False), (100, True)]  # short 1/3, long 1/1
    last = [(10, False), (100, True), (100, True), (100, False)]  # short 0/1, long 2/3
    outcome = pd.DataFrame([
        {"arm": "x", "seed": 0, "step": step, "question_id": f"q{i}", "completion": text(*kind)}
        for step, kinds in ((1, first), (2, last), (3, last)) for i, kind in enumerate(kinds)])  # fmt: skip
    rates = mechanism.reflection(mechanism.reflections(outcome)).set_index("phase")
    assert rates.loc["first third", "rate"] == 0.5
    assert rates.loc["first third", "per_1000_words"] == pytest.approx(1000 * 2 / 130)
    shorts, longs = 5 / 12, 7 / 12
    assert rates.loc["first third", "standardised"] == pytest.approx(shorts * 1 / 3 + longs * 1)
    assert rates.loc["last third", "standardised"] == pytest.approx(shorts * 0 + longs * 2 / 3)


def test_several_seeds_are_a_t_test_of_the_runs_changes():
    parts = [mechanism.reflections(texts([lambda _: 0.05, lambda _: 0.1], [(20, 60)] * 2, seed=seed)) for seed in range(3)]
    outcome = pd.concat(parts, ignore_index=True)
    (row,) = mechanism.reflection_change(outcome, np.random.default_rng(0), 200).to_dict("records")
    by_seed = mechanism.reflection(outcome).pivot(index="seed", columns="phase", values="standardised")
    changes = by_seed["last third"] - by_seed["first third"]
    assert row["p"] == pytest.approx(stats.ttest_1samp(changes, 0).pvalue)
    assert (row["low"], row["high"]) == pytest.approx(stats.t.interval(0.95, 2, changes.mean(), stats.sem(changes)))


def test_longer_texts_alone_are_no_reflection():
    # a marker every 200 words throughout; completions only grow, from overlapping ranges of length
    outcome = mechanism.reflections(texts([lambda n: n / 200] * 2, [(20, 80), (40, 100)], each=120))
    plain = mechanism.reflection(outcome).set_index("phase")["rate"]
    assert plain["last third"] - plain["first third"] > 0.05
    (row,) = mechanism.reflection_change(outcome, np.random.default_rng(0), 500).to_dict("records")
    assert abs(row["change"]) < 0.5 * (plain["last third"] - plain["first third"])


def test_no_marker_anywhere_still_has_an_interval():
    outcome = mechanism.reflections(texts([lambda _: 0.0] * 2, [(20, 60)] * 2, steps=6, each=4))
    (row,) = mechanism.reflection_change(outcome, np.random.default_rng(0), 200).to_dict("records")
    assert row["low"] < 0 < row["high"]
    assert row["p"] == 1
    assert mechanism.examples(outcome, 3).empty


def test_several_seeds_use_students_t():
    parts = [mechanism.reflections(texts([lambda _: 0.05, lambda _: 0.2], [(20, 60)] * 2, seed=seed)) for seed in range(3)]
    outcome = pd.concat(parts, ignore_index=True)
    (row,) = mechanism.reflection_change(outcome, np.random.default_rng(0), 200).to_dict("records")
    assert row["seeds"] == 3
    assert row["low"] <= row["change"] <= row["high"]
    assert row["change"] == pytest.approx(0.15, abs=0.05)
