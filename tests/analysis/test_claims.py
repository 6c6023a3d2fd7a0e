"""The verdict, fed tables with every outcome: what it says, and that it says no more than they do."""

import pandas as pd
import pytest

from helpers.analysis import claims
from helpers.analysis.claims import Role
from helpers.analysis.control import training_differences
from helpers.study.study import open_study

ARMS = {
    "random": Role("random"),
    "self": Role("self"),
    "larger": Role("larger"),
    "phi": Role("other family"),
    "self-4bit": Role("self", "qlora", "self"),
}
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


@pytest.mark.parametrize(
    ("pairs", "outcome"),
    [
        (table(("random", "self", "specialisation", BETTER)), "supports"),
        (table(("random", "self", "robustness", WORSE)), "contradicts"),
        (table(("random", "self", "specialisation", BETTER), ("random", "phi", "robustness", WORSE)), "cannot tell"),
        (table(other=EQUAL), "contradicts"),
        (table(), "cannot tell"),
    ],
)
def test_filtered_beats_random(pairs, outcome):
    assert claims.filtered_beats_random(pairs, ARMS).outcome == outcome


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
    assert claims.self_specialises(pairs, ARMS).outcome == outcome


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
    assert claims.larger_most_robust(table(*rows), ARMS).outcome == outcome
    mixed = claims.larger_most_robust(table(*rows[1:]), ARMS).outcome
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
    assert claims.other_family_between(pairs, ARMS).outcome == outcome


@pytest.mark.parametrize(("kind", "outcome"), [(WORSE, "supports"), (BETTER, "contradicts"), (UNSURE, "cannot tell")])
def test_qlora(kind, outcome):
    assert claims.qlora_worse(table(("self", "self-4bit", "robustness", kind)), ARMS).outcome == outcome
    assert claims.qlora_worse(table(other=EQUAL), ARMS).outcome == "contradicts"
    assert claims.qlora_worse(table(), {"random": Role("random")}).outcome == "not asked"


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
    assert claims.chinese_costs(chinese(*kinds), ARMS).outcome == outcome


@pytest.mark.parametrize(
    ("low", "high", "p", "outcome"),
    [(-0.01, 0.02, 0.8, "supports"), (0.04, 0.2, 0.001, "contradicts"), (-0.05, 0.2, 0.3, "cannot tell")],
)
def test_aha(low, high, p, outcome):
    rows = pd.DataFrame(
        [{"arm": "self", "first": 0.0, "last": 0.1, "change": (low + high) / 2, "low": low, "high": high, "p": p, "seeds": 3}]
    )
    assert claims.no_aha(rows, 0.05).outcome == outcome
    assert claims.NO_MARKER not in claims.no_aha(rows, 0.05).evidence
    assert claims.NO_MARKER in claims.no_aha(rows.assign(last=0.0), 0.05).evidence
    assert claims.no_aha(rows.head(0), 0.05).outcome == "not asked"


def test_correction_for_the_number_of_comparisons():
    # 0.02 alone would be significant; of six comparisons it is not
    pairs = table(("random", "self", "specialisation", (0.05, 0.02, 0.9)), other=(0.0, 0.9, 0.9))
    assert claims.filtered_beats_random(pairs, ARMS).outcome == "cannot tell"


def test_evidence_has_figure_interval_and_test():
    told = claims.filtered_beats_random(table(("random", "self", "specialisation", BETTER)), ARMS).evidence
    assert "self against random, specialisation: +5.0 points [+2.0, +8.0], p = 0.006" in told
    assert "6 comparisons, Holm; intervals over items and 3 seeds" in told
    assert "for the one seed that was run" in claims.filtered_beats_random(table(seeds=1), ARMS).evidence


def test_the_paragraph_says_what_the_table_says():
    found = claims.verdict(table(), chinese(UNSURE), pd.DataFrame(), ARMS, 0.05)
    words = claims.in_words(found, "a model", 1, 0.01)
    assert "asks 6" in words
    assert "cannot tell about 6" in words
    assert "It supports" not in words
    assert "It contradicts" not in words
    assert "one seed" in words


def control_tables(change, p, held_out=False):
    """Tables of a control with one arm: on its index, or on the held-out part of its pool."""
    ends = {"": change, "_low": change - 0.03, "_high": change + 0.03, "_p": p, "_p_equal": 0.9}
    name = claims.HELD_OUT if held_out else "gsm8k"
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
    control = claims.control("control", *control_tables(change, p, held_out))
    assert control.works is works
    pairs = table(("random", "self", "specialisation", BETTER), other=UNSURE)
    found = claims.verdict(pairs, chinese(EQUAL, EQUAL), pd.DataFrame(), ARMS, 0.05, control)
    asked = found[found["outcome"] != "not asked"]
    assert set(asked["outcome"]) == ({"supports", "contradicts", "cannot tell"} if works else {"cannot tell"})
    assert asked["evidence"].str.startswith(claims.UNPROVEN).all() == (not works)
    words = claims.in_words(found, "a model", 3, 0.01, control)
    assert ("does not show that training works" in words) == (not works)
    assert ("It supports" in words) == works


def test_a_control_that_trained_otherwise_says_so():
    small = open_study("small")
    otherwise = training_differences(small)
    assert otherwise == {"completions a step": (48, 12), "rollouts": (8, 3), "epochs": (2.0, 1.0)}
    told = claims.control("control", *control_tables(0.05, 0.001), otherwise).told
    assert told.endswith(
        "not that this training did: " + ", ".join(f"{k} {a} instead of {b}" for k, (a, b) in otherwise.items()) + "."
    )
    assert "otherwise" not in claims.control("control", *control_tables(0.05, 0.001)).told
    gone = small.model_copy(update={"analysis": small.analysis.model_copy(update={"control": "of-another-house"})})
    assert training_differences(gone) == {}


@pytest.mark.parametrize(
    ("p", "said"),
    [(0.001, "shows that training works:"), (0.2, "does not show that training works, so no study beside it can tell")],
)
def test_the_control_itself_asks_no_claim(p, said):
    own = claims.control("control", *control_tables(0.05, p, held_out=True), own=True)
    found = claims.verdict(
        table(("random", "self", "specialisation", BETTER), other=UNSURE), chinese(EQUAL, EQUAL), pd.DataFrame(), ARMS, 0.05, own
    )
    assert set(found["outcome"]) == {"not asked"}
    words = claims.in_words(found, "a model", 3, 0.01, own)
    assert words.startswith(
        "This study of a model (3 seeds an arm) is the positive control and asks none of the paper's claims. The positive control (control) "
        + said
    )
    assert "held-out questions" in words


def test_no_control_is_a_limit_that_is_told():
    found = claims.verdict(table(), chinese(UNSURE), pd.DataFrame(), ARMS, 0.05, claims.no_control(None))
    words = claims.in_words(found, "a model", 3, 0.01, claims.no_control(None))
    assert "No positive control stands beside this study (none is named in analysis.control)" in words
    assert "control has not been run" in claims.no_control("control").told


def test_one_arm_of_two_that_is_equal_is_not_enough():
    arms = ARMS | {"self-20": Role("self")}
    pairs = table(("untrained", "self", "robustness", EQUAL), ("untrained", "self", "specialisation", BETTER))
    more = pairs[pairs["second"] == "self"].assign(second="self-20", change=0.02, p=0.2, p_equal=0.3)
    assert claims.self_specialises(pairs, ARMS).outcome == "contradicts"
    assert claims.self_specialises(pd.concat([pairs, more]), arms).outcome == "cannot tell"


def test_relations_of_filters():
    base = "Qwen/Qwen2.5-Coder-0.5B-Instruct"
    names = [base, "Qwen/Qwen2.5-Coder-1.5B-Instruct", "google/gemma-3-270m", "HuggingFaceTB/SmolLM2-135M-Instruct"]
    assert [claims.relation(name, base) for name in names] == ["self", "larger", "other family", "other family"]
    assert claims.relation(base, names[1]) == "smaller"


def test_roles_of_the_studies():
    qlora = claims.roles(open_study("qlora"))
    assert (qlora["random-qlora"].twin, qlora["self-qlora"].twin, qlora["self"].twin) == ("random", "self", None)
    assert qlora["self-qlora"] == Role("self", "qlora", "self", 500)
    assert [role.kind for role in claims.roles(open_study("paper")).values()] == ["random", "other family", "larger", "self"]
    assert claims.roles(open_study("small"))["smaller"].kind == "smaller"
    assert claims.roles(open_study("passrate"))["half"].kind == "pass rate"
    assert {role.method for role in claims.roles(open_study("rewards")).values()} == {"lora", "other"}


def test_arms_of_another_size_or_rule_are_not_compared():
    arms = {"random": Role("random"), "self": Role("self", size=100), "larger": Role("larger"), "half": Role("pass rate")}
    pairs = table(("random", "self", "specialisation", BETTER), other=UNSURE)
    assert claims.filtered_beats_random(pairs, {"random": Role("random"), "self": Role("self", size=100)}).outcome == "not asked"
    told = claims.larger_most_robust(pairs, arms).evidence
    assert "larger against random" in told
    assert "self" not in told
    assert claims.self_specialises(pairs, {"half": Role("pass rate")}).outcome == "not asked"
