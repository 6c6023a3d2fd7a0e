"""Agreement of filters and where difficulty lies, against cases worked by hand."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats as scipy_stats

from helpers.analysis import intervals
from helpers.selection import difficulty


def test_where_difficulty_lies():
    pool = pd.DataFrame(
        {"question_id": list("abcd"), "question": ["q", "qq", "qqq", "qqqq"], "topic": ["heart", "", None, "heart"]}
    )
    labels = pd.DataFrame({"question_id": list("abcd"), "sample": 0, "label": ["easy", "hard", "easy", "hard"]})
    outcome = difficulty.easy_by(labels, pool, ["topic", "length", "depth"]).set_index("value")
    assert outcome.loc["heart", ["questions", "easy_rate"]].tolist() == [2, 0.5]
    assert outcome.loc["not stated", ["questions", "easy_rate"]].tolist() == [2, 0.5]
    assert outcome["questions"].sum() == 8
    assert set(outcome["by"]) == {"topic", "length"}


def test_kappa_by_hand():
    def labels(text):
        return pd.DataFrame({"question_id": [str(i) for i in range(len(text))], "sample": 0, "correct": [c == "e" for c in text],
                             "predicted": list("ABCABCABCA"[: len(text)]), "label": ["easy" if c == "e" else "hard" for c in text]})  # fmt: skip

    found = difficulty.agreement(labels("eehhhhhhhh"), labels("ehehhhhhhh"))
    # observed 0.8, expected 0.2 · 0.2 + 0.8 · 0.8 = 0.68
    assert found["kappa"] == pytest.approx((0.8 - 0.68) / 0.32)
    assert (found["both_easy"], found["only_first_easy"], found["only_second_easy"]) == (1, 1, 1)
    assert found["same_wrong"] == 1.0
    assert found["jaccard_easy"] == pytest.approx(1 / 3)
    assert found["jaccard_hard"] == pytest.approx(7 / 9)
    # both wrong: D-less letters of places 3 to 9, A 3, B 2, C 2 of 7
    assert found["same_wrong_letters"] == pytest.approx((9 + 4 + 4) / 49)


def test_kappa_and_mcnemar_agree_with_other_code():
    from sklearn.metrics import cohen_kappa_score

    rng = np.random.default_rng(0)
    kinds = [rng.random(200) < 0.4, rng.random(200) < 0.5]
    first, second = (pd.DataFrame({"question_id": np.arange(200).astype(str), "sample": 0, "correct": easy, "predicted": "A",
                                   "label": np.where(easy, "easy", "hard")}) for easy in kinds)  # fmt: skip
    assert difficulty.agreement(first, second)["kappa"] == pytest.approx(cohen_kappa_score(*kinds))
    gains, losses = int((kinds[1] & ~kinds[0]).sum()), int((kinds[0] & ~kinds[1]).sum())
    tail = scipy_stats.binom.cdf(min(gains, losses), gains + losses, 0.5)
    assert intervals.benchmark_p(kinds[0][None].astype(float), kinds[1][None].astype(float)) == pytest.approx(min(1, 2 * tail))
