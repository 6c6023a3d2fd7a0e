"""Splits: nested, without replacement, in the wanted ratio; and what happens when there are too few."""

from pathlib import Path

import pandas as pd
import pytest
from conftest import REPOSITORY

from helpers.questions import overlap, pools, text
from helpers.selection import draws, held_out
from helpers.study.choices import Arm
from helpers.study.files import StudyError
from helpers.study.schema import Pool
from helpers.study.study import open_study


@pytest.fixture
def pool():
    return pools.load_pool(Pool(source="starter:medicine_pool"))


@pytest.fixture
def labels(pool):
    easy = pool.index % 5 == 0
    return pd.DataFrame({"question_id": pool["question_id"], "sample": 0, "label": ["easy" if e else "hard" for e in easy]})


def ids(frame):
    return set(frame["question_id"])


def test_ratio_and_no_question_twice(pool, labels):
    chosen, remarks = draws.choose(pool, Arm(filter="f", hard=40, easy=10), "x", labels, 0, "stop")
    assert chosen["label"].value_counts().to_dict() == {"hard": 40, "easy": 10}
    assert chosen["question_id"].is_unique
    assert remarks == []
    assert set(chosen.loc[chosen["label"] == "easy", "pass_rate"]) == {1.0}


def test_small_sets_are_inside_large_ones(pool, labels):
    sets = [ids(draws.choose(pool, Arm(filter="f", hard=4 * n, easy=n), "x", labels, 0, "stop")[0]) for n in (2, 5, 10)]
    assert sets[0] < sets[1] < sets[2]
    randoms = [ids(draws.choose(pool, Arm(size=n), "r", None, 0, "stop")[0]) for n in (10, 25, 100)]
    assert randoms[0] < randoms[1] < randoms[2]


def test_the_order_in_the_file_does_not_matter_and_the_seed_does(pool):
    first = draws.choose(pool, Arm(size=20), "r", None, 0, "stop")[0]
    assert (
        first["question_id"].tolist() == draws.choose(pool[::-1], Arm(size=20), "r", None, 0, "stop")[0]["question_id"].tolist()
    )
    assert ids(first) != ids(draws.choose(pool, Arm(size=20), "r", None, 1, "stop")[0])


def test_a_balanced_arm_applies_its_rule_within_each_letter(pool):
    """Every letter is right equally often, the remainder goes to the first letters, and of each letter the nearest pass rates are taken."""
    samples = pd.DataFrame(
        [
            (question, "easy" if sample < place % 5 else "hard")
            for place, question in enumerate(pool["question_id"])
            for sample in range(4)
        ],
        columns=["question_id", "label"],
    )
    arm = Arm(filter="f", size=22, pass_rate={"nearest": 0.5}, balanced=True)
    chosen, _ = draws.choose(pool, arm, "x", samples, 0, "stop")
    assert chosen["answer"].value_counts().sort_index().tolist() == [6, 6, 5, 5]
    assert chosen["question_id"].is_unique
    everything = draws.with_labels(pool, samples, "strict")
    distance = (
        (everything["pass_rate_shrunk"] - 0.5).abs().groupby([everything["answer"], everything["question_id"].isin(ids(chosen))])
    )
    assert (distance.max()[:, True] <= distance.min()[:, False]).all(), "of each letter the nearest"
    assert not chosen["answer"].is_monotonic_increasing, "in the order of the draw, not letter by letter"
    assert arm.rule == "22 with a pass rate near 0.5, each letter equally often right"
    mixed = Arm(filter="f", hard=8, easy=4, balanced=True)
    both = draws.choose(pool, mixed, "x", samples, 0, "stop")[0].groupby("answer")["label"].value_counts().unstack()
    assert both["hard"].tolist() == [2] * 4
    assert both["easy"].tolist() == [1] * 4


def test_a_balanced_arm_needs_letters_and_enough_of_each(pool):
    numbers = pool.assign(answer="42")
    with pytest.raises(StudyError, match=r"arms.x.balanced: needs questions whose answers are letters, the pool has '42'"):
        draws.choose(numbers, Arm(size=8, balanced=True), "x", None, 0, "stop")
    letter = pool["answer"].value_counts().index[-1]
    few = pool[(pool["answer"] != letter) | (pool.groupby("answer").cumcount() < 3)]
    with pytest.raises(StudyError, match=rf"arms.x.balanced: \d+ questions with the answer {letter} wanted, the pool has 3"):
        draws.choose(few, Arm(size=len(few) // 2, balanced=True), "x", None, 0, "stop")


def test_what_arms_share_and_are_made_of(pool, labels):
    arms = {"few": Arm(size=10), "more": Arm(size=25)}
    chosen = {name: draws.choose(pool, arm, name, None, 0, "stop")[0] for name, arm in arms.items()}
    assert draws.shared(chosen).to_numpy().tolist() == [[10, 10], [10, 25]]
    outcome = draws.composition(chosen)
    assert outcome["mean_characters"].tolist() == [frame["question"].str.len().mean() for frame in chosen.values()]
    bare = draws.composition({name: frame.drop(columns="question") for name, frame in chosen.items()})
    assert bare.equals(outcome.drop(columns="mean_characters"))


def test_shortage_stops_with_one_line_or_fills_and_says_so(pool, labels):
    wanted = Arm(filter="f", hard=20, easy=30)
    with pytest.raises(StudyError, match=r"arms\.x\.easy: 30 wanted, the filter found 21"):
        draws.choose(pool, wanted, "x", labels, 0, "stop")
    chosen, remarks = draws.choose(pool, wanted, "x", labels, 0, "fill")
    assert chosen["label"].value_counts().to_dict() == {"hard": 29, "easy": 21}
    assert remarks == ["9 of 30 easy questions are missing in the pool; hard ones take their place"]


def test_exact_and_near_copies_are_found_and_common_phrases_are_not():
    stem = "A 61-year-old man has crushing chest pain for one hour and sweats."
    phrase = " Which of the following is the most appropriate next step in management?"
    pool = pd.DataFrame({"id": ["exact", "near", "other"], "question": [stem + phrase, stem.replace("sweats", "vomits") + phrase,
                         "A child has a barking cough, a hoarse voice and stridor at night." + phrase]})  # fmt: skip
    pool["question_id"] = pool["question"].map(text.question_id)
    found = overlap.overlaps(pool, pd.DataFrame({"benchmark": ["b"], "question": [(stem + phrase).upper()]}), 8, 0.5)
    assert found[["id", "kind"]].to_numpy().tolist() == [["exact", "exact"], ["near", "near"]]


def test_by_pass_rate(pool):
    rates = [0, 1, 2, 3, 4, 5, 6, 7, 8] * 11 + [4] * 4
    rows = [{"question_id": q, "sample": k, "label": "easy" if k < rate else "hard"}
            for q, rate in zip(pool["question_id"], rates, strict=True) for k in range(8)]  # fmt: skip
    chosen, remarks = draws.choose(pool, Arm(filter="f", size=40, pass_rate={"nearest": 0.5}), "x", pd.DataFrame(rows), 0, "stop")
    assert len(chosen) == 40
    assert remarks == []
    assert (chosen["pass_rate"] == 0.5).sum() == 15  # all of them
    assert set(chosen["pass_rate"]) == {0.375, 0.5, 0.625, 0.75} | set(chosen["pass_rate"]) - {0.0, 1.0}
    few, remarks = draws.choose(pool, Arm(filter="f", size=95, pass_rate={"nearest": 0.5}), "x", pd.DataFrame(rows), 0, "stop")
    assert remarks == [f"{few['pass_rate'].isin([0.0, 1.0]).sum()} of 95 questions have a pass rate of 0 or 1: the pool has no others that fit the rule better."]  # fmt: skip


def test_a_draw_per_seed_pairs_the_arms_and_differs_between_seeds(pool, labels):
    arms = {"random": Arm(size=40), "more": Arm(size=80), "mixed": Arm(filter="f", hard=40, easy=10)}
    drawn = {}
    for seed in (0, 1, 2):
        whole = draws.order(pool, [7, seed])["question_id"].tolist()
        for name, arm in arms.items():
            chosen, _ = draws.choose(pool, arm, name, labels if arm.filter else None, [7, seed], "stop")
            drawn[name, seed] = chosen["question_id"].tolist()
            assert drawn[name, seed] == [
                question for question in whole if question in set(drawn[name, seed])
            ]  # one order for all
        assert set(drawn["random", seed]) < set(drawn["more", seed])
    for name in arms:
        assert len({tuple(sorted(drawn[name, seed])) for seed in (0, 1, 2)}) == 3
    assert (
        drawn["random", 0] == draws.choose(pool, arms["random"], "r", None, 7, "stop")[0]["question_id"].tolist()
    )  # the fixed draw


def test_arms_with_several_draws_are_compared_draw_by_draw():
    def arm(first, second):
        return pd.DataFrame(
            {"question_id": [*first, *second], "label": "hard", "pass_rate": 0.0, "draw": [0] * len(first) + [1] * len(second)}
        )

    arms = {"x": arm("abcd", "efgh"), "y": arm("abxy", "efgz"), "z": arm("efgh", "abcd")}
    found = draws.common(arms).set_index(["first", "second"])
    assert found["both"].to_dict() == {("x", "y"): 2.5, ("x", "z"): 0.0, ("y", "z"): 0.0}
    assert set(found["larger"]) == {4.0}
    assert draws.shared(arms).loc["x"].tolist() == [4.0, 2.5, 0.0]
    assert draws.composition(arms)[["questions", "hard"]].to_numpy().tolist() == [[4.0, 4.0]] * 3


@pytest.mark.parametrize("name", ["small", "control"])
def test_fixed_draws_are_those_of_the_published_studies(name):
    """dropped.csv: the pool questions that the contamination check took away, whose texts are not published."""
    study, data = open_study(name), REPOSITORY / "figures" / name / "data"
    labels = {filter: pd.read_parquet(data / "filter" / filter / "labels.parquet") for filter in study.filters}
    dropped = pd.read_csv(Path(__file__).with_name("dropped.csv")).query("study == @name")
    pool = labels["self"][["question_id"]].assign(question="")
    away = held_out.draw(pool, study.split.held_out, study.split.seed)
    clean = pool[~pool["question_id"].isin([*dropped["question_id"], *away["question_id"]])]
    for arm, spec in study.arms.items():
        published = pd.read_parquet(data / "split" / arm / "train.parquet")
        for seed in study.seeds:
            chosen, _ = draws.choose(clean, spec, arm, labels.get(spec.filter), study.draw_seed(seed), study.split.shortage)
            columns = ["question_id", "label", "pass_rate"]
            pd.testing.assert_frame_equal(chosen[columns], published[columns], check_dtype=False)


RULES = {  # rates in eighths, one question each: (rule, rates chosen of eight questions with 0, 0, 1, 2, 4, 6, 8, 8 of 8 right)
    "nearest": ({"pass_rate": {"nearest": 0.5}}, {2, 4, 6}),
    "a number": ({"pass_rate": 0.5}, {2, 4, 6}),
    "band": ({"pass_rate": {"from": 0.2, "to": 0.8}}, {2, 4, 6}),
    "lowest": ({"pass_rate": {"lowest": True}}, {0, 1}),
    "hardest solvable": ({"pass_rate": {"lowest": True, "above": 0.0}}, {1, 2, 4}),
    "above a quarter": ({"pass_rate": {"lowest": True, "above": 0.25}}, {4, 6, 8}),
    "some disagree": ({"no_zero_variance": True}, {1, 2, 4, 6}),
}


@pytest.mark.parametrize("rule", RULES)
def test_rules_by_pass_rate(rule):
    right = [0, 0, 1, 2, 4, 6, 8, 8]
    keys, allowed = RULES[rule]
    pool = pd.DataFrame({"question_id": [f"q{n}" for n in range(8)], "question": "?"})
    rows = [
        {"question_id": f"q{n}", "sample": k, "label": "easy" if k < count else "hard"}
        for n, count in enumerate(right)
        for k in range(8)
    ]
    seen = set()
    for seed in range(6):
        chosen, remarks = draws.choose(pool, Arm(filter="f", size=3, **keys), "x", pd.DataFrame(rows), [0, seed], "stop")
        found = [int(8 * rate) for rate in chosen["pass_rate"]]
        assert len(chosen) == 3
        assert set(found) <= allowed
        assert bool(remarks) == bool({0, 8} & set(found))
        seen |= set(found)
    assert seen == allowed


def test_too_few_questions_of_a_rule_are_one_line(pool):
    rows = [
        {"question_id": q, "sample": k, "label": "easy" if k < n % 9 else "hard"}
        for n, q in enumerate(pool["question_id"])
        for k in range(8)
    ]
    with pytest.raises(
        StudyError,
        match=r"arms\.x: 103 at random whose samples do not all agree: the pool has 80 such questions; lower size to 80",
    ):
        draws.choose(pool, Arm(filter="f", size=103, no_zero_variance=True), "x", pd.DataFrame(rows), 0, "stop")


def test_the_longest_questions(pool):
    lengths = pool["question"].str.len()
    chosen, remarks = draws.choose(pool, Arm(size=30, longest=True), "x", None, 0, "stop")
    assert chosen["question"].str.len().min() >= lengths.sort_values(ascending=False).iloc[30]
    assert remarks == []
    few, _ = draws.choose(pool, Arm(size=10, longest=True), "x", None, 0, "stop")
    assert ids(few) < ids(chosen)


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ({"pass_rate": {"nearest": 0.5, "to": 0.7}}, "and one of these"),
        ({"pass_rate": {"from": 0.2}}, "and one of these"),
        ({"pass_rate": {"above": 0.0}}, "and one of these"),
        ({"pass_rate": {}}, "and one of these"),
        ({"pass_rate": {"from": 0.8, "to": 0.2}}, "from should be the smaller"),
        ({"pass_rate": {"lowest": False}}, "lowest"),
        ({"pass_rate": 1.5}, "less than or equal to 1"),
        ({"pass_rate": 0.5, "no_zero_variance": True}, "an arm has either"),
        ({"longest": True}, "an arm has either"),  # a filter has no say in it
        ({"label": "lenient", "pass_rate": 0.5}, "label"),
    ],
)
def test_mistakes_in_a_rule(keys, line):
    with pytest.raises(ValueError, match=line):
        Arm(filter="f", size=3, **keys)
