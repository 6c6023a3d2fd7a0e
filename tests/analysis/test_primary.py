"""What a study whose seeds have draws of their own says first: no choice differs, one is better, one is worse; and its figure."""

import pandas as pd
import pytest

from helpers.analysis import primary, primary_detail, primary_plot

ARMS = {  # rule, how it is trained
    "random": ("500 at random", "as the study (lora)"),
    "hard500": ("500 hard, 0 easy", "as the study (lora)"),
    "half": ("500 with a pass rate near 0.5", "as the study (lora)"),
    "random-reward": ("500 at random", "reward random"),
}


def comparison(half=(0.002, 0.9), hard=(-0.004, 0.8), gain=0.14, draws=8):
    """Made-up rows of `compare.comparison`. half, hard: the arm's difference from random on the pool's outcomes, and its p after Holm."""
    found = []
    for name, items in (("pool_held_out", 2000), ("gsm8k_reasoning", 1319), ("gsm8k", 1319), ("mmlu_medical_reasoning", 1871)):
        apart = name not in ("pool_held_out", "gsm8k_reasoning")
        for arm, (change, p) in {
            "untrained": (None, None),
            "random": (None, None),
            "hard500": hard,
            "half": half,
            "random-reward": (-0.26, 0.0),
        }.items():
            row = {
                "group": "specialisation",
                "benchmark": name,
                "filter": "none",
                "setting": "5-shot",
                "arm": arm,
                "seeds": 8,
                "draws": draws,
                "items": items,
                "accuracy": 0.7,
            }
            if change is not None:
                change = 0.3 if apart else change
                row |= {"vs_random": change, "vs_random_low": change - 0.015, "vs_random_high": change + 0.015, "vs_random_p_holm": p, "vs_random_p": p / 10,
                        "vs_random_detectable": 0.019}  # fmt: skip
            if arm != "untrained":
                row["accuracy"] += gain + (change or 0)
                own = gain + (change or 0)
                row |= {"vs_untrained": own, "vs_untrained_low": own - 0.02, "vs_untrained_high": own + 0.02}
            found.append(row)
    return pd.DataFrame(found)


def arms():
    table = pd.DataFrame([(arm, *words) for arm, words in ARMS.items()], columns=["arm", "questions", "trained"])
    return table.assign(**{"chosen by": ["chance" if "random" in rule else "org/a" for rule in table["questions"]]})


def test_an_arm_says_whose_labels_chose_its_questions_if_arms_differ_in_that():
    rules = {"hard500": "500 hard, 0 easy", "random-reward": "500 at random, reward random"}
    assert primary.rules_of(arms()).items() >= rules.items()
    other = arms()
    other.loc[other["arm"] == "hard500", "chosen by"] = "org/b"
    labelled = {"hard500": "500 hard, 0 easy, labelled by b", "half": "500 with a pass rate near 0.5, labelled by a"}
    assert primary.rules_of(other).items() >= (rules | labelled).items()


def said(pool="openai/gsm8k", effect=None, rules=None, common=None, detectable=None, **how):
    about = {
        "question": "Does it matter?",
        "model": "org/a",
        "pool": pool,
        "seeds": 8,
        "confidence": 0.95,
        "power": 0.8,
        "effect": effect,
    }
    named = arms().assign(questions=lambda table: table["arm"].map(rules or {}).fillna(table["questions"]))
    tables = {"study": pd.DataFrame([about]), "arms": named, "comparison": comparison(**how).astype(object).fillna("")}
    others = {"common": common, "detectable": detectable}
    return primary.lines(tables | {name: table for name, table in others.items() if table is not None})


def test_the_outcome_is_reasoning_on_held_out_questions_and_on_the_pools_own_test():
    found = primary.rows(comparison(), "openai/gsm8k")
    assert list(found["outcome"].unique()) == ["held-out questions", "GSM8K test questions"]
    assert set(primary.rows(comparison(), "GBaker/MedQA-USMLE-4-options")["benchmark"]) == {"pool_held_out"}
    assert primary.rows(comparison(draws=1), "openai/gsm8k").empty  # the paper's design is judged by its first claim
    assert said(draws=1) == {}


def test_no_choice_differs():
    lines = said()
    assert lines["Question"] == (
        "Does it matter? org/a was trained with GRPO on questions of openai/gsm8k, chosen at random or by one of 2 rules. Primary outcome: accuracy in "
        "reasoning mode on 2,000 held-out questions and 1,319 GSM8K test questions; 8 seeds per arm, each with its own draw of questions."
    )
    assert lines["Result"] == (
        "This result is about arithmetic (questions of openai/gsm8k), not medicine. "
        "Training works: random questions raise accuracy from 70.0 to 84.0 % on held-out questions (+14.0 [+12.0, +16.0] points) and from 70.0 to "
        "84.0 % on GSM8K test questions (+14.0 [+12.0, +16.0] points) (95 % intervals over items and seeds). "
        "On the primary outcome, adjusted for all arms and benchmarks, no choice of questions was shown to be better or worse than a random one. "
        "Differences from random (held-out questions, then GSM8K test questions): hard500 (500 hard, 0 easy) -0.4 [-1.9, +1.1] and -0.4 [-1.9, +1.1]; "
        "half (500 with a pass rate near 0.5) +0.2 [-1.3, +1.7] and +0.2 [-1.3, +1.7] points. This study could detect 1.9 and 1.9 points in one test (80 % power)."
    )
    assert lines["In detail"].splitlines() == [
        "Tests are adjusted for all arms and benchmarks (Holm), intervals are not.",
        "The smallest detectable differences are 1.9 points on held-out questions and 1.9 points on GSM8K test questions (80 % power, one test at the "
        "5 % level; between-seed variance pooled over all arms except random-reward).",
        "The unadjusted intervals of the rules reach from a loss of 1.9 to a gain of 1.7 points.",
        "Change from the untrained model (held-out questions, then GSM8K test questions): random-reward (reward random) -12.0 [-14.0, -10.0] and "
        "-12.0 [-14.0, -10.0].",
        "The negative control, random-reward, differs from random by -26.0 [-27.5, -24.5] and -26.0 [-27.5, -24.5] points: significant when adjusted "
        "for all arms and benchmarks (p < 0.001 and p < 0.001); significant when adjusted for the primary outcome alone (p < 0.001 and p < 0.001). "
        "By the tests of the primary outcome alone, right rewards matter.",
    ]
    assert lines["In practice"] == (
        "With a similar model, recipe and pool, choose at random: no rule was shown to be better. "
        "Gains of up to 1.7 and losses of up to 1.9 points from some rule cannot be excluded (95 % intervals, unadjusted)."
    )
    assert said(hard=(-0.02, 0.1))["In practice"].endswith(
        "Be careful with hard500 (500 hard, 0 easy), worse on held-out questions (p = 0.040) and GSM8K test questions (p = 0.040) by the tests of the "
        "primary outcome alone."
    )
    assert said(hard=(-0.02, 0.9))["In practice"].endswith(
        "Be careful with hard500 (500 hard, 0 easy): below random on every outcome by unadjusted intervals."
    )


def test_a_study_that_cannot_detect_what_training_gains_says_so():
    words = " A choice that undoes all that training gains may thus go unnoticed."
    assert said(gain=0.015)["Result"].endswith(words)
    assert words not in said(gain=0.02)["Result"]


def test_the_subject_is_named_where_it_is_not_the_papers():
    medical = said(pool="GBaker/MedQA-USMLE-4-options")["Result"]
    assert medical.startswith("Training works: random questions raise")
    assert "not medicine" not in said(pool="gsm.jsonl")["Result"], "the name of the pool does not say"


def test_the_papers_rule_is_quoted_beside_the_strongest_one():
    result = said(rules={"hard500": "400 hard, 100 easy"})["Result"]
    assert (
        "GSM8K test questions): hard500 (400 hard, 100 easy, the paper's rule) -0.4 [-1.9, +1.1] and -0.4 [-1.9, +1.1]; "
        "half (500 with a pass rate near 0.5) +0.2 [-1.3, +1.7] and +0.2 [-1.3, +1.7] points." in result
    )
    better = said(rules={"hard500": "400 hard, 100 easy"}, hard=(0.03, 0.01))["Result"]
    assert "GSM8K test questions): half (500 with a pass rate near 0.5) +0.2" in better, (
        "the answer has the figures of the other one"
    )


def test_of_many_rules_only_the_papers_and_the_strongest_are_quoted():
    more = [comparison().assign(arm=lambda t, name=name: t["arm"].where(t["arm"] != "hard500", name)) for name in ("a", "b")]
    table = pd.concat([comparison(), *(rows[rows["arm"].isin(["a", "b"])] for rows in more)], ignore_index=True)
    about = pd.DataFrame([{"question": "", "model": "a", "pool": "openai/gsm8k", "seeds": 8, "confidence": 0.95, "power": 0.8}])
    own = arms().set_index("arm").reindex(["random", "hard500", "half", "random-reward", "a", "b"]).reset_index()
    own = own.fillna({"questions": "500 easy", "trained": "as the study (lora)"})
    result = primary.lines({"study": about, "arms": own, "comparison": table})["Result"]
    assert "GSM8K test questions): half (500 with a pass rate near 0.5) +0.2 [-1.3, +1.7] and +0.2 [-1.3, +1.7] points." in result


def test_how_many_questions_each_arm_shares_with_random_ones():
    common = pd.DataFrame(
        {"first": ["random", "half", "hard500"], "second": ["hard500", "random", "half"], "both": [310.875, 54.0, 20.0]}
    )
    line = "Questions shared with the random arm of the same seed, on average: hard500 311, half 54."
    assert line in said(common=common)["In detail"].splitlines()
    assert "shared" not in said()["In detail"]


def test_what_could_be_detected_after_adjustment_stands_beside_it():
    planned = pd.DataFrame({"task": ["gsm8k_reasoning", "mmlu", "pool_held_out"], "corrected_after": [0.048, 0.01, 0.0529]})
    assert (
        "could detect 1.9 and 1.9 points in one test, 5.3 and 4.8 when adjusting for all tests (80 %"
        in said(detectable=planned)["Result"]
    )
    for unknown in (planned.assign(corrected_after=""), planned.head(2)):  # as the README reads it; one task of two
        assert "could detect 1.9 and 1.9 points in one test (80 %" in said(detectable=unknown)["Result"]


def test_a_gain_that_would_matter_is_excluded_or_not():
    assert (
        "Gains of up to 1.7 and losses of up to 1.9 points from some rule cannot be excluded (95 % intervals, unadjusted); no interval reaches a "
        "gain of 2 points, which would matter." in said(effect=0.02)["In practice"]
    )
    assert "from some rule cannot be excluded (95 % intervals, unadjusted)." in said(effect=0.01)["In practice"]
    small = said(effect=0.01, half=(-0.009, 0.9), hard=(-0.01, 0.9))["In practice"]
    assert "no interval reaches a gain of 1 point, which would matter" in small


def test_what_the_negative_control_says_of_the_rewards():
    own = pd.DataFrame(
        {
            "outcome": ["held-out questions", "tests"],
            "vs_untrained_low": [-0.3, -0.2],
            "vs_random": [-0.3, -0.2],
            "alone": [0.01, 0.01],
        }
    )
    assert primary_detail._meaning(own) == " By the tests of the primary outcome alone, right rewards matter."
    assert primary_detail._meaning(own.assign(alone=[0.01, 0.4])) == ""
    assert primary_detail._meaning(own.assign(vs_untrained_low=[0.1, -0.2])) == " It gains on held-out questions, too."
    assert primary_detail._meaning(own.assign(vs_untrained_low=0.1)) == " It gains, too, so a gain needs no right rewards."


def test_intervals_beside_zero_are_named():
    detail = said(half=(0.02, 0.2), hard=(-0.03, 0.2))["In detail"]
    assert (
        "of these 4 intervals, 2 lie above zero (half on held-out questions; half on GSM8K test questions) and 2 lie below zero (hard500"
        in detail
    )
    assert (
        "2 lie below zero (hard500 on held-out questions; hard500 on GSM8K test questions)"
        in said(hard=(-0.03, 0.2))["In detail"]
    )
    assert "none lie above zero and" in said(hard=(-0.03, 0.2))["In detail"]


@pytest.mark.parametrize(
    ("effect", "words"),
    [
        (None, "except random-reward)."),
        ("", "except random-reward)."),
        (0.01, "except random-reward), more than the 1 point that its parameters call relevant."),
        (0.02, "except random-reward), no more than the 2 points that its parameters call relevant."),
    ],
)
def test_what_could_be_detected_stands_beside_what_is_relevant(effect, words):
    assert words in said(effect=effect)["In detail"]


def test_what_could_be_detected_may_be_relevant_on_one_outcome():
    table = primary.rows(comparison(), "openai/gsm8k").assign(
        vs_random_detectable=lambda rows: rows["benchmark"].map({"pool_held_out": 0.019, "gsm8k_reasoning": 0.021})
    )
    words = primary.detectable(table, pd.Series({"power": 0.8, "confidence": 0.95, "effect": 0.02}))
    assert words.endswith("all arms), on GSM8K test questions more than the 2 points that its parameters call relevant")


def test_the_primary_outcome_has_a_family_of_its_own():
    """Six tests: three arms, one of them the negative control, on two outcomes. A raw p of 0.01 is 0.04 there (Holm, third of six)."""
    assert "Adjusted for the" not in said()["In detail"]
    assert "Adjusted for the" not in said(half=(0.03, 0.01))["In detail"], "significant over all benchmarks"
    none = said(half=(0.02, 0.2), hard=(-0.02, 0.2))
    assert "Adjusted for the 6 tests of the primary outcome alone, none of them differs either." in none["In detail"]
    worse = (
        "Adjusted for the 6 tests of the primary outcome alone, hard500 is worse on held-out questions "
        "(p = 0.040); hard500 is worse on GSM8K test questions (p = 0.040)."
    )
    assert worse in said(hard=(-0.02, 0.1))["In detail"]


@pytest.mark.parametrize(
    ("how", "found", "advice"),
    [
        ({"half": (0.03, 0.01)}, "half is better than random: +3.0 [+1.5, +4.5] points on held-out questions (adjusted p = 0.010), +3.0", "With a similar model, recipe and pool, choose as in half (500 with a pass rate near 0.5)."),
        ({"hard": (-0.04, 0.0002)}, "hard500 is worse than random: -4.0 [-5.5, -2.5] points on held-out questions (adjusted p < 0.001), -4.0", "With a similar model, recipe and pool, choose at random and avoid hard500 (500 hard, 0 easy)."),
        ({"half": (0.03, 0.01), "hard": (-0.04, 0.0002)}, "half is better than random: +3.0", "With a similar model, recipe and pool, choose as in half (500 with a pass rate near 0.5) and avoid hard500 (500 hard, 0 easy)."),
        ({"half": (0.03, 0.01), "gain": 0.01}, "half is better", "Nothing follows about the choice of questions, because training on random ones was not shown"),
    ],
)  # fmt: skip
def test_a_choice_is_better_or_worse(how, found, advice):
    lines = said(**how)
    outcome = lines["Result"]
    assert f". {found}" in outcome
    assert outcome.count("half") == 1, "its figures stand there once"
    assert "\nOutside the primary outcome, adjusted for all arms and benchmarks, " in lines["In detail"]
    assert "differs by +30.0 [+28.5, +31.5] points on GSM8K, 5-shot (p" in lines["In detail"]
    assert lines["In practice"].startswith(advice)


def test_an_arm_that_differs_on_one_outcome_is_shown_on_both():
    """The other outcome follows, with its own adjusted p; the advice says what is possible for the rest."""
    table = comparison(hard=(-0.04, 0.0002))
    table.loc[(table["arm"] == "hard500") & (table["benchmark"] == "pool_held_out"), "vs_random_p_holm"] = 0.13
    about = pd.DataFrame([{"question": "", "model": "a", "pool": "openai/gsm8k", "seeds": 8, "confidence": 0.95, "power": 0.8}])
    lines = primary.lines({"study": about, "arms": arms(), "comparison": table})
    assert (
        "hard500 is worse than random: -4.0 [-5.5, -2.5] points on GSM8K test questions (adjusted p < 0.001), -4.0 [-5.5, -2.5] points on held-out "
        "questions (adjusted p = 0.130)." in lines["Result"]
    )
    assert lines["In practice"].endswith(
        "Gains of up to 1.7 and losses of up to 1.3 points from half cannot be excluded (95 % intervals, unadjusted)."
    )


def test_an_arm_that_is_better_and_worse_is_said_once():
    """Its figures stand there once, and nothing is said of other choices where there are none."""
    table = comparison(hard=(-0.04, 0.0002))
    better = (table["arm"] == "hard500") & (table["benchmark"] == "pool_held_out")
    table.loc[better, ["vs_random", "vs_random_low", "vs_random_high"]] = [0.04, 0.025, 0.055]
    table = table[table["arm"] != "half"]
    about = pd.DataFrame([{"question": "", "model": "a", "pool": "openai/gsm8k", "seeds": 8, "confidence": 0.95, "power": 0.8}])
    lines = primary.lines({"study": about, "arms": arms(), "comparison": table})
    assert lines["Result"].count("hard500") == 1
    assert (
        "hard500 is better than random on one outcome and worse on another: +4.0 [+2.5, +5.5] points on held-out questions (adjusted p < 0.001), "
        "-4.0 [-5.5, -2.5] points on GSM8K test questions (adjusted p < 0.001). This study" in lines["Result"]
    )
    assert lines["In practice"].startswith("No simple advice: the same choice is better on one outcome and worse on another.")


SHIFTS = {"pool_held_out": 0.01, "gsm8k_reasoning": -0.005}  # of seed 0 against the mean


def single(table: pd.DataFrame) -> pd.DataFrame:
    """Two seeds of each compared arm: one shifted by SHIFTS, one at the mean."""
    compared = table[table["vs_random"].notna()]
    return pd.concat(
        [compared.assign(seed=0, vs_random=compared["vs_random"] + compared["benchmark"].map(SHIFTS)), compared.assign(seed=1)]
    )


def test_the_figure_shows_a_far_arm_as_text_and_the_others_on_a_readable_axis():
    table = primary.rows(comparison(), "openai/gsm8k")
    figure = primary_plot.picture(table, list(ARMS), single(table), primary.rules_of(arms()), effect=0.02)
    (first, second) = figure.axes
    assert [text.get_text() for text in first.texts] == ["← −26.0 [−27.5, −24.5]"]
    assert first.get_xlim()[1] < 3
    assert [label.get_text() for label in first.get_yticklabels()] == [
        "hard500\n500 hard, 0 easy",
        "half\n500 with a pass rate near 0.5",
        "random-reward\n500 at random, reward random",
    ]
    assert "half +0.2, random-reward -26.0" in figure.get_label()
    for axes, (benchmark, shift) in zip((first, second), SHIFTS.items(), strict=True):
        circles = [line for line in axes.lines if line.get_marker() == "o"]
        assert [len(line.get_xdata()) for line in circles] == [2, 2]  # of the two arms that are drawn, not of the far one
        half = table[(table["arm"] == "half") & (table["benchmark"] == benchmark)]["vs_random"].item()
        assert circles[1].get_xdata() == pytest.approx(sorted([100 * half, 100 * (half + shift)]))
        assert all(1 < y < 1.5 for y in circles[1].get_ydata())  # below the second arm


def test_a_seed_far_from_the_others_is_marked_at_the_edge():
    table = primary.rows(comparison(), "openai/gsm8k")
    seeds = single(table)
    seeds.loc[(seeds["arm"] == "half") & (seeds["seed"] == 1), "vs_random"] = 0.9
    figure = primary_plot.picture(table, list(ARMS), seeds, primary.rules_of(arms()), effect=0.02)
    for axes in figure.axes:
        assert [x for line in axes.lines if line.get_marker() == ">" for x in line.get_xdata()] == pytest.approx(
            [0.98 * axes.get_xlim()[1]]
        )
        assert axes.get_xlim()[1] < 5
