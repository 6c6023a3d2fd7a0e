"""Every claim on tables with every outcome: what it says, and that it says no more than they do."""

import pandas as pd
import pytest

from helpers.analysis import claims, evidence, opening
from helpers.analysis.claims import Arms
from helpers.analysis.control import judge, no_control
from helpers.analysis.evidence import runs_in_words
from helpers.analysis.roles import Role
from helpers.study.schema import HELD_OUT


def labelled(kind, filter, hard=0.8, **more):
    return Role(kind, filter=filter, hard=hard, **more)


ARMS = {
    "random": Role("random"),
    "self": labelled("self", "self"),
    "larger": labelled("larger", "larger"),
    "phi": labelled("other family", "phi"),
    "self-4bit": labelled("self", "self", method="qlora", twin="self"),
}
KNOWING = {"self", "larger", "phi"}
STUDY = Arms(ARMS, KNOWING)
NONE = no_control(None)
BETTER, WORSE, EQUAL, UNSURE = (0.05, 0.001, 0.9), (-0.05, 0.001, 0.9), (0.0, 0.9, 0.001), (0.02, 0.2, 0.3)


def table(*rows, other=UNSURE, seeds=3):
    """Pairs of all models: `(first, second, group, kind)` as given, all others as `other`."""
    given = {row[:3]: row[3] for row in rows}
    models, out = ["untrained", *ARMS], []
    for i, first in enumerate(models):
        for second in models[i + 1 :]:
            for group in ("specialisation", "robustness"):
                change, p, p_equal = given.get((first, second, group), other)
                out.append({"first": first, "second": second, "group": group, "change": change, "low": change - 0.03,
                            "high": change + 0.03, "p": p, "p_equal": p_equal, "seeds": seeds})  # fmt: skip
    return pd.DataFrame(out)


@pytest.mark.parametrize(("judge", "group"), [(claims.filter_teaches, "specialisation"), (claims.filter_keeps, "robustness")])
def test_filtered_against_random(judge, group):
    other = "robustness" if group == "specialisation" else "specialisation"

    def outcome(*rows, **more):
        return judge(table(*rows, **more), STUDY).outcome

    assert outcome(("random", "self", group, BETTER)) == "supports"
    assert outcome(("random", "self", group, WORSE)) == "contradicts"
    assert outcome(("random", "self", group, BETTER), ("random", "phi", group, WORSE)) == "cannot tell"
    assert outcome(("random", "self", other, BETTER)) == "cannot tell"  # another claim's
    learned = ("untrained", "self", "specialisation", BETTER)
    assert outcome(learned, other=EQUAL) == "contradicts"
    assert outcome(other=EQUAL) == (
        "contradicts" if group == "specialisation" else "cannot tell"
    )  # who learned nothing need not lose
    assert outcome() == "cannot tell"


def test_that_arms_of_nearly_the_same_questions_are_equal_says_nothing():
    near = {frozenset(("random", arm)) for arm in ("self", "larger", "phi")}
    found = claims.filter_teaches(table(other=EQUAL), Arms(ARMS, KNOWING, near))
    assert (found.outcome, "but the arms train on nearly the same questions" in found.evidence) == ("cannot tell", True)
    assert claims.filter_teaches(table(other=EQUAL), Arms(ARMS, KNOWING, list(near)[:2])).outcome == "contradicts"
    worse = table(("random", "self", "specialisation", WORSE), other=EQUAL)
    assert claims.filter_teaches(worse, Arms(ARMS, KNOWING, near)).outcome == "contradicts"


def test_equal_robustness_says_nothing_where_the_untrained_model_only_guesses():
    """But a significant difference does, and so does equality on the trained subject."""
    why = "the untrained model only guesses on MedQA"
    blind, gain = STUDY._replace(guesses=why), ("untrained", "self", "specialisation", BETTER)
    equal = table(gain, other=EQUAL)
    for tested in (claims.filter_keeps, claims.self_specialises, claims.larger_most_robust):
        assert tested(equal, STUDY).outcome == "contradicts"
        found = tested(equal, blind)
        assert (found.outcome, f", but {why}." in found.evidence) == ("cannot tell", True)
    assert claims.filter_teaches(equal, blind).outcome == "contradicts"
    lost = [(other, "larger", "robustness", WORSE) for other in ("random", "self")]
    worse = table(gain, *lost, ("untrained", "self", "robustness", BETTER), other=EQUAL)
    for tested in (claims.filter_keeps, claims.self_specialises, claims.larger_most_robust):
        assert tested(worse, blind).outcome == "contradicts"


def test_a_filter_that_may_only_guess_or_is_not_of_the_papers_kinds_is_no_evidence():
    pairs = table(("random", "self", "specialisation", BETTER))
    left = claims.filter_teaches(pairs, Arms(ARMS, {"larger", "phi"}))
    assert left.outcome == "cannot tell"
    assert "Excluded (filter not shown to be better than guessing): self." in left.evidence
    assert claims.filter_teaches(pairs, Arms(ARMS)).outcome == "not tested"
    more = ARMS | {"small": labelled("smaller", "small"), "tiny": labelled("smaller", "tiny")}
    left = claims.filter_teaches(pairs, Arms(more, {"self", "larger", "small"}))
    assert "not shown to be better than guessing): phi, tiny. Excluded (no filter of this kind in the paper): small." in left.evidence  # fmt: skip
    assert claims.filter_teaches(pairs, Arms(ARMS | {"self": labelled("smaller", "self")}, KNOWING)).outcome == "cannot tell"
    assert (
        claims.filter_teaches(pairs, Arms(ARMS | {"self": labelled("self", "self", hard=0.2)}, KNOWING)).outcome == "cannot tell"
    )


def test_equivalence_is_corrected_for_the_number_of_comparisons():
    # 0.02 alone would be shown to be equal; of three comparisons it is not
    assert claims.filter_teaches(table(other=(0.0, 0.9, 0.02)), STUDY).outcome == "cannot tell"
    alone = {"random": Role("random"), "self": ARMS["self"]}
    assert claims.filter_teaches(table(other=(0.0, 0.9, 0.02)), Arms(alone, KNOWING)).outcome == "contradicts"


def test_a_pass_rate_near_one_half():
    arms = {"random": Role("random"), "self": Role("half", filter="self"), "larger": Role("other", filter="larger")}
    pairs = table(("random", "self", "specialisation", BETTER), ("random", "larger", "specialisation", WORSE))
    assert claims.half_teaches(pairs, Arms(arms, KNOWING)).outcome == "supports"
    assert claims.half_teaches(pairs, Arms(arms, {"larger"})).outcome == "not tested"
    assert claims.half_teaches(pairs, STUDY).outcome == "not tested"


@pytest.mark.parametrize(
    ("kind", "outcome"), [(BETTER, "supports"), (WORSE, "contradicts"), (EQUAL, "contradicts"), (UNSURE, "cannot tell")]
)
def test_hard_against_easy(kind, outcome):
    arms = {
        "self": labelled("larger", "larger", hard=0.0),
        "larger": labelled("larger", "larger", hard=1.0),
        "phi": labelled("larger", "larger", hard=0.5),
    }
    pairs = table(("self", "larger", "specialisation", kind))
    assert claims.hard_teaches(pairs, Arms(arms, KNOWING)).outcome == outcome
    assert claims.hard_teaches(pairs, Arms(arms, {"self"})).outcome == "not tested"
    assert (
        claims.hard_teaches(
            pairs, Arms({"self": labelled("self", "self", hard=0.4), "larger": labelled("self", "self")}, KNOWING)
        ).outcome
        == "not tested"
    )


@pytest.mark.parametrize(
    ("medicine", "rest", "outcome"),
    [
        (BETTER, WORSE, "supports"),
        (BETTER, UNSURE, "cannot tell"),
        (BETTER, BETTER, "contradicts"),
        (WORSE, UNSURE, "contradicts"),
        (BETTER, EQUAL, "contradicts"),
        (UNSURE, UNSURE, "cannot tell"),
        (UNSURE, EQUAL, "cannot tell"),  # who learned nothing need not lose anything
        (EQUAL, UNSURE, "contradicts"),
    ],
)
def test_self_filtering(medicine, rest, outcome):
    pairs = table(("untrained", "self", "specialisation", medicine), ("untrained", "self", "robustness", rest))
    assert claims.self_specialises(pairs, STUDY).outcome == outcome


@pytest.mark.parametrize(
    ("medicine", "rest", "words"),
    [
        (BETTER, WORSE, "We found a gain on the trained subject and a loss elsewhere."),
        (BETTER, UNSURE, "Inconclusive: we found a gain on the trained subject and no significant loss elsewhere."),
        (BETTER, EQUAL, "Only the second half is contradicted: we found a gain on the trained subject and no significant loss elsewhere."),
        (BETTER, (0.004, 0.001, 0.001), "Only the second half is contradicted: we found a gain on the trained subject and a gain elsewhere, shown to be smaller than 1 point."),
        (WORSE, UNSURE, "Only the first half is contradicted: we found no significant gain on the trained subject and no significant loss elsewhere."),
        (WORSE, BETTER, "Both halves are contradicted: we found no significant gain on the trained subject and a gain elsewhere."),
    ],
)  # fmt: skip
def test_self_filtering_names_the_half_that_is_contradicted(medicine, rest, words):
    pairs = table(("untrained", "self", "specialisation", medicine), ("untrained", "self", "robustness", rest))
    assert claims.self_specialises(pairs, STUDY).evidence.startswith(words)


@pytest.mark.parametrize(
    ("against", "outcome"), [(BETTER, "supports"), (WORSE, "contradicts"), (EQUAL, "contradicts"), (UNSURE, "cannot tell")]
)
def test_larger_filter(against, outcome):
    other_way = (-against[0], *against[1:])
    rows = [
        ("random", "larger", "robustness", against),
        ("self", "larger", "robustness", against),
        ("larger", "phi", "robustness", other_way),
    ]
    assert claims.larger_most_robust(table(*rows), STUDY).outcome == outcome
    mixed = claims.larger_most_robust(table(*rows[1:]), STUDY).outcome
    assert mixed == ("contradicts" if against == WORSE else "cannot tell")


@pytest.mark.parametrize(
    ("over_self", "under_larger", "outcome"),
    [
        (BETTER, WORSE, "supports"),
        (BETTER, BETTER, "contradicts"),
        (WORSE, WORSE, "contradicts"),
        (BETTER, UNSURE, "cannot tell"),
    ],
)
def test_other_family(over_self, under_larger, outcome):
    # the table has larger → phi, so that a loss there is phi lying below
    pairs = table(("self", "phi", "robustness", over_self), ("larger", "phi", "robustness", under_larger))
    assert claims.other_family_between(pairs, STUDY).outcome == outcome


@pytest.mark.parametrize(("kind", "outcome"), [(WORSE, "supports"), (BETTER, "contradicts"), (UNSURE, "cannot tell")])
def test_qlora(kind, outcome):
    assert claims.qlora_worse(table(("self", "self-4bit", "robustness", kind)), STUDY).outcome == outcome
    assert claims.qlora_worse(table(other=EQUAL), STUDY).outcome == "contradicts"
    assert claims.qlora_worse(table(), Arms({"random": Role("random")})).outcome == "not tested"


def chinese(*kinds):
    return pd.DataFrame([
        {"benchmark": "cmmlu", "group": "whole", "arm": arm, "vs_untrained": change, "vs_untrained_low": change - 0.03,
         "vs_untrained_high": change + 0.03, "vs_untrained_p": p, "vs_untrained_p_equal": equal, "seeds": 3}
        for arm, (change, p, equal) in zip(ARMS, kinds, strict=False)])  # fmt: skip


@pytest.mark.parametrize(
    ("kinds", "outcome"),
    [((WORSE, UNSURE), "supports"), ((BETTER, UNSURE), "contradicts"), ((EQUAL, EQUAL), "contradicts"), ((BETTER, WORSE), "cannot tell"), ((UNSURE,), "cannot tell")],
)  # fmt: skip
def test_chinese(kinds, outcome):
    assert claims.chinese_costs(chinese(*kinds), STUDY).outcome == outcome


def test_a_contradicted_claim_says_how_many_comparisons_show_the_opposite():
    small = (0.004, 0.001, 0.001)
    found = claims.chinese_costs(chinese(small, EQUAL), STUDY).evidence
    assert found.startswith(
        "We found no loss in Chinese: 1 of 2 comparisons shows a gain, and every difference is shown to be smaller than 1 point."
    )
    assert claims.chinese_costs(chinese(BETTER, BETTER), STUDY).evidence.startswith(
        "We found no loss in Chinese: 2 of 2 comparisons show a gain. "
    )
    worse = claims.filter_teaches(table(("random", "self", "specialisation", WORSE)), STUDY).evidence
    assert worse.startswith("We found no benefit of filtering: 1 of 3 comparisons shows the opposite. ")


def rates(**changed):
    row = {
        "arm": "self",
        "seeds": 3,
        "completions": 3000,
        "room": 0.9,
        "first": 0.1,
        "last": 0.1,
        "change": 0.0,
        "low": -0.01,
        "high": 0.02,
        "p": 0.8,
    }
    return pd.DataFrame([row | changed])


@pytest.mark.parametrize(
    ("changed", "outcome", "said"),
    [
        ({}, "supports", "does not become more frequent"),
        ({"high": 0.06}, "cannot tell", "cannot rule out a relevant one"),  # more than half of 0.1
        ({"first": 0.02}, "cannot tell", "cannot rule out a relevant one"),  # the margin is relative to the rate
        ({"low": 0.04, "high": 0.2, "p": 0.001}, "contradicts", "becomes more frequent"),
        ({"room": 0.0}, "cannot tell", "no completion is long enough"),
        (
            {"first": 0.0, "last": 0.0, "room": 0.05},
            "cannot tell",
            "independent completions: 0.1 %). Depending on the arm, 5 % of them have at least 40 words",
        ),
        ({"first": 0.0, "low": 0.04, "high": 0.2, "p": 0.001}, "contradicts", "becomes more frequent"),
    ],
)
def test_aha(changed, outcome, said):
    found = claims.no_aha(rates(**changed), 0.5)
    assert found.outcome == outcome
    assert said in found.evidence
    assert "3,000 completions" in found.evidence
    assert claims.no_aha(rates().head(0), 0.5).outcome == "not tested"


def test_small_rates_of_re_examination_are_not_rounded_away():
    found = claims.no_aha(rates(first=0.0026, last=0.0021, change=-0.0005, low=-0.0017, high=0.0007), 0.5)
    assert "self: 0.26% to 0.21%, a change of -0.05 points [-0.17, +0.07], p = 0.800 (3,000 completions" in found.evidence


def test_correction_for_the_number_of_comparisons():
    # 0.02 alone would be significant; of three comparisons it is not
    pairs = table(("random", "self", "specialisation", (0.05, 0.02, 0.9)), other=(0.0, 0.9, 0.9))
    assert claims.filter_teaches(pairs, STUDY).outcome == "cannot tell"


def test_evidence_has_a_sentence_and_figure_interval_and_test():
    found = claims.filter_teaches(table(("random", "self", "specialisation", BETTER)), STUDY).evidence
    assert found.startswith(
        "We found a benefit of filtering. self against random, specialisation: +5.0 points [+2.0, +8.0], p = 0.003"
    )
    assert found.endswith("[-1.0, +5.0], p = 0.400.")
    assert "interval" not in found  # said once, above all claims
    open_ended = claims.filter_teaches(table(), STUDY).evidence
    none = "Inconclusive: none of 3 comparisons shows a benefit of filtering; depending on the comparison, the intervals allow up to "
    assert open_ended.startswith(none)


def test_the_paragraph_says_what_the_table_says():
    found = claims.verdict(table(), chinese(UNSURE), pd.DataFrame(), STUDY, 0.5, NONE)
    words = opening.paragraph(found, "a model", 1, "1 point", NONE)
    assert "tests 7 of 10 claims" in words
    assert "It cannot decide 7: Training on filtered questions raises" in words
    assert "It supports" not in words
    assert "It contradicts" not in words
    assert "one seed" in words


def test_one_arm_of_two_that_is_equal_is_not_enough():
    arms = ARMS | {"self-20": labelled("self", "self")}
    pairs = table(("untrained", "self", "robustness", EQUAL), ("untrained", "self", "specialisation", BETTER))
    more = pairs[pairs["second"] == "self"].assign(second="self-20", change=0.02, p=0.2, p_equal=0.3)
    assert claims.self_specialises(pairs, STUDY).outcome == "contradicts"
    assert claims.self_specialises(pd.concat([pairs, more]), Arms(arms)).outcome == "cannot tell"


def test_arms_of_another_size_or_rule_are_not_compared():
    small = labelled("self", "self", size=100)
    arms = {"random": Role("random"), "self": small, "larger": ARMS["larger"], "half": Role("half")}
    pairs = table(("random", "self", "specialisation", BETTER), other=UNSURE)
    assert claims.filter_teaches(pairs, Arms({"random": Role("random"), "self": small}, KNOWING)).outcome == "not tested"
    found = claims.larger_most_robust(pairs, Arms(arms)).evidence
    assert "larger against random" in found
    assert "self" not in found
    assert claims.self_specialises(pairs, Arms({"half": Role("half")})).outcome == "not tested"


def control_tables(change, p, held_out=False):
    """Tables of a control with one arm: on its index, or on the held-out part of its pool."""
    ends = {"": change, "_low": change - 0.03, "_high": change + 0.03, "_p": p, "_p_equal": 0.9}
    name = HELD_OUT if held_out else "gsm8k"
    rows = pd.DataFrame([{"benchmark": name, "arm": "random", "seeds": 3} | {f"vs_untrained{end}": value for end, value in ends.items()},
                         {"benchmark": name, "arm": "untrained", "seeds": 0}])  # fmt: skip
    flat = (
        {"change": 0.0, "low": -0.1, "high": 0.1, "p": 0.9}
        if held_out
        else {"change": change, "low": change, "high": change, "p": p}
    )
    groups = pd.DataFrame([{"arm": "random", "group": "specialisation", "seeds": 3, "p_equal": 0.9} | flat])
    return rows, groups


@pytest.mark.parametrize("held_out", [True, False])
@pytest.mark.parametrize(("change", "p", "works"), [(0.05, 0.001, True), (0.05, 0.2, False), (-0.05, 0.001, False)])
def test_a_control_that_did_not_work_takes_every_verdict_back(change, p, works, held_out):
    control = judge("control", *control_tables(change, p, held_out))
    assert control.works is works
    pairs = table(("random", "self", "specialisation", BETTER), other=UNSURE)
    found = claims.verdict(pairs, chinese(EQUAL, EQUAL), pd.DataFrame(), STUDY, 0.5, control)
    asked = found[found["outcome"] != "not tested"]
    assert set(asked["outcome"]) == ({"supports", "contradicts", "cannot tell"} if works else {"cannot tell"})
    assert asked["evidence"].str.startswith(claims.UNPROVEN).all() == (not works)
    words = opening.paragraph(found, "a model", 3, "1 point", control)
    assert ("does not show that training works" in words) == (not works)
    assert ("It supports" in words) == works


@pytest.mark.parametrize(
    ("p", "said"),
    [
        (0.001, "shows that training works:"),
        (0.2, "does not show that training works, so a study with this control supports no conclusion"),
    ],
)
def test_the_control_itself_asks_no_claim(p, said):
    own = judge("control", *control_tables(0.05, p, held_out=True), own=True)
    found = claims.verdict(
        table(("random", "self", "specialisation", BETTER), other=UNSURE),
        chinese(EQUAL, EQUAL),
        pd.DataFrame(),
        STUDY,
        0.5,
        own,
    )
    assert set(found["outcome"]) == {"not tested"}
    words = opening.paragraph(found, "a model", 3, "1 point", own)
    assert words.startswith(
        "This study of a model (3 seeds per arm) is the positive control and tests none of the claims. The positive control (control) "
        + said
    )
    assert "held-out questions" in words


def test_no_control_is_a_limit_that_is_reported():
    found = claims.verdict(table(), chinese(UNSURE), pd.DataFrame(), STUDY, 0.5, NONE)
    words = opening.paragraph(found, "a model", 3, "1 point", NONE)
    assert "This study has no positive control (analysis.control names none)" in words
    assert "control has not been run" in no_control("control").sentence


def test_a_margin_has_its_size():
    found = claims.verdict(
        table(other=EQUAL), chinese(EQUAL, EQUAL), pd.DataFrame(), STUDY._replace(margin="2.5 points"), 0.5, NONE
    )
    evidence = found.set_index("claim")["evidence"]
    assert "every difference is shown to be smaller than 2.5 points." in evidence.iloc[0]
    assert evidence.iloc[0].count("shown to be below 2.5 points") == 3
    assert "below 2.5 points" in evidence[next(claim for claim in evidence.index if "CMMLU" in claim)]


def test_what_all_numbers_have_in_common_names_seeds_draws_and_confidence():
    assert "with 95 % confidence intervals over items and 3 seeds, for one draw of questions. " in evidence.basis(
        runs_in_words(3), 0.95
    )
    assert "with 90 % confidence intervals over items and 8 seeds, each with its own draw" in evidence.basis(
        runs_in_words(8, 8), 0.9
    )
    assert "for the one seed that was run" in evidence.basis(runs_in_words(1), 0.95)


def test_titles_of_claims_are_statements_about_training_or_filtering():
    titles = claims.verdict(table(), chinese(UNSURE), pd.DataFrame(), STUDY, 0.5, NONE)["claim"]
    assert titles.str.contains(r"^(?:Ours: )?(?:Training|Filtering|training) .*(?:preserves|raises|lowers|gives|make) ").all()
    assert not titles.str.contains("gains in|loses|medicine").any()
