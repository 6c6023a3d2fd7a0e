"""The claims: what this study says of each claim of the paper, and of two of ours, from its tables alone.

Every rule is written beside its claim. `supports` and `contradicts` need a test: a difference that is significant after
Holm's correction over all differences of the claim, or differences all shown to be smaller than the margin (corrected likewise). All else is
`cannot tell`. `not tested`: the study lacks what the claim is about.
"""

from collections.abc import Collection
from typing import NamedTuple

import pandas as pd

from helpers.analysis.control import Control
from helpers.analysis.evidence import Outcome, change, compared, corrected, from_untrained, in_figures, in_words, p_in_words
from helpers.analysis.intervals import ALPHA, holm
from helpers.analysis.mechanism import without_markers
from helpers.analysis.roles import Role

PAPER_FILTERS = ("self", "larger", "other family")  # what the paper's three filters are to the trained model
PAPER_HARD = 0.8  # share of hard questions in the paper's filtered arms: 400 of 500
OTHER_FILTERS = ("smaller", "same size")
CONTRAST = 0.5  # the least difference in the share of hard questions between a hard and an easy arm
UNPROVEN = "Training was not shown to work, so these numbers support no conclusion:"
BOTH = ("specialisation", "robustness")


class Arms(NamedTuple):
    """The arms of a study and how they are judged.

    roles: of each arm. knowing: filters shown to be right more often than guesses (`checks.knows`). alike: pairs of arms that train on
    nearly the same questions (`checks.alike`). margin: of equivalence, in points (`analysis.margin`). guesses: why equal robustness is no
    evidence, in words (`index_checks.insensitive`); "" if it is.
    """

    roles: dict[str, Role]
    knowing: Collection[str] = ()
    alike: Collection[frozenset[str]] = ()
    margin: str = "1 point"
    guesses: str = ""

    def of(self, *kinds: str) -> list[str]:
        """Arms whose questions were chosen in one of these ways, with the paper's share of hard ones, and trained as the paper did."""
        return [arm for arm, role in self.roles.items() if role.kind in kinds and role.method == "lora"
                and (role.hard is None or abs(role.hard - PAPER_HARD) < 0.01)]  # fmt: skip

    def pairs(self, first: Collection[str], second: str) -> list[tuple[str, str]]:
        """Pairs of an arm of the kinds `first` and one of the kind `second` with as many questions."""
        size = {arm: role.size for arm, role in self.roles.items()}
        return [(one, other) for other in self.of(second) for one in self.of(*first) if size[one] == size[other]]


class Claim(NamedTuple):
    """One claim and what the study says of it."""

    claim: str
    outcome: Outcome
    evidence: str


def _judged(claim: str, outcome: Outcome, rows: pd.DataFrame, effect: str, arms: Arms, claimed: str = "better") -> Claim:
    words = in_words(outcome, rows, effect, arms.margin, claimed)
    return Claim(claim, outcome, f"{words} {in_figures(rows, arms.margin)}.")


def _only_small(claim: str, rows: pd.DataFrame, arms: Arms, why: str) -> Claim:
    """All differences are shown to be small, which is no evidence. why: in words."""
    small = f"Inconclusive: every difference is shown to be smaller than {arms.margin}, but {why}."
    return Claim(claim, "cannot tell", f"{small} {in_figures(rows, arms.margin)}.")


def one_way(claim: str, rows: pd.DataFrame, effect: str, arms: Arms, claimed: str = "better") -> Claim:
    """Supported if a difference goes the claimed way and none the opposite; contradicted if the reverse, or if all are equal."""
    this, that = rows[claimed].any(), rows["worse" if claimed == "better" else "better"].any()
    outcome: Outcome = "cannot tell"
    if this and not that:
        outcome = "supports"
    elif (that and not this) or rows["equal"].all():
        outcome = "contradicts"
    return _judged(claim, outcome, rows, effect, arms, claimed)


def _against_random(claim: str, effect: str, group: str, pairs: pd.DataFrame, arms: Arms, kinds: Collection[str]) -> Claim:
    """Arms of some kinds against the random arm of their size on one index; arms whose filter may only guess are left out.

    That all are equal contradicts the claim only if they could have differed: an arm must share less than nearly all
    questions with the random one and, for robustness, one must have learned something and the benchmarks must be able to fall.
    """
    roles = arms.roles
    if "random" not in roles:
        return Claim(claim, "not tested", "This study has no random arm.")
    sized = [arm for arm in arms.of(*kinds) if roles[arm].size == roles["random"].size]
    chosen = [arm for arm in sized if roles[arm].filter in arms.knowing]
    other = arms.of(*OTHER_FILTERS) if kinds is PAPER_FILTERS else []
    notes = {
        "Excluded (filter not shown to be better than guessing)": [
            arm for arm in [*sized, *other] if roles[arm].filter not in arms.knowing
        ],
        "Excluded (no filter of this kind in the paper)": [arm for arm in other if roles[arm].filter in arms.knowing],
    }
    note = "".join(f" {why}: {', '.join(found)}." for why, found in notes.items() if found)
    rows = compared(pairs, [("random", arm, group) for arm in chosen])
    if rows.empty:
        return Claim(claim, "not tested", f"No arm of this study fits the claim.{note}")
    found = one_way(claim, rows, effect, arms)
    if found.outcome == "contradicts" and not rows["worse"].any():
        learned = compared(pairs, [("untrained", arm, "specialisation") for arm in ["random", *chosen]])
        robust = group == "robustness"
        reasons = {
            "the arms train on nearly the same questions": all(frozenset(("random", arm)) in arms.alike for arm in chosen),
            "no arm gained on what it was trained on": robust and not learned["better"].any(),
            arms.guesses: robust and bool(arms.guesses),
        }
        why = next((words for words, applies in reasons.items() if applies), "")
        found = _only_small(claim, rows, arms, why) if why else found
    return found._replace(evidence=found.evidence + note)


def filter_teaches(pairs: pd.DataFrame, arms: Arms) -> Claim:
    """Supported if an arm that chose as the paper did is better than the random arm of its size on specialisation and none is worse;
    contradicted if one is worse and none is better, or if all are shown to be equal to it. Arms: a filter of the paper's kinds that is
    shown to be right more often than guesses, and four hard questions to one easy one."""
    claim = "Training on filtered questions raises accuracy on the trained subject more than training on random ones"
    return _against_random(claim, "benefit of filtering", "specialisation", pairs, arms, PAPER_FILTERS)


def filter_keeps(pairs: pd.DataFrame, arms: Arms) -> Claim:
    """As `filter_teaches`, on robustness. If no model learned anything, equal robustness is no evidence either way."""
    claim = "Training on filtered questions preserves robustness better than training on random ones"
    return _against_random(claim, "benefit of filtering for robustness", "robustness", pairs, arms, PAPER_FILTERS)


def self_specialises(pairs: pd.DataFrame, arms: Arms) -> Claim:
    """Supported if, against the untrained model, every self-filtered arm gains on the trained subject and loses on the rest; contradicted if
    an arm goes the other way on either, if all gains are shown to be smaller than the margin, or if all arms gain and their losses
    are shown to be. A model without a gain may have learned nothing, so that it lost nothing is no evidence either way; nor is it where
    robustness can hardly fall."""
    claim = "Filtering by the trained model itself raises accuracy on the trained subject and reduces robustness"
    rows = compared(pairs, [("untrained", arm, group) for arm in arms.of("self") for group in BOTH])
    if set(rows["group"]) != set(BOTH):
        return Claim(claim, "not tested", "This study has no arm filtered by the trained model itself, or no other benchmarks.")
    gains, loses = (rows[rows["group"] == group] for group in BOTH)
    no_gain = gains["equal"].all() and not gains["better"].any()
    small_losses = gains["better"].all() and loses["equal"].all() and not loses["worse"].any()
    no_loss = small_losses and not arms.guesses
    both = gains["better"].all() and loses["worse"].all()
    refuted = [gains["worse"].any() or no_gain, loses["better"].any() or no_loss]  # the first half, the second half
    outcome: Outcome = "contradicts" if any(refuted) else "supports" if both else "cannot tell"
    halves = "Both halves are" if all(refuted) else f"Only the {'first' if refuted[0] else 'second'} half is"
    who = {"contradicts": f"{halves} contradicted: we", "supports": "We", "cannot tell": "Inconclusive: we"}[outcome]
    gain = "a gain" if gains["better"].all() else "no significant gain"
    loss = "a loss" if loses["worse"].all() else "a gain" if loses["better"].all() else "no significant loss"
    small = f", shown to be smaller than {arms.margin}" if loss == "a gain" and loses["equal"].all() else ""
    but = f", but {arms.guesses}" if small_losses and outcome == "cannot tell" else ""
    words = f"{who} found {gain} on the trained subject and {loss} elsewhere{small}{but}."
    return Claim(claim, outcome, f"{words} {in_figures(rows, arms.margin)}.")


def larger_most_robust(pairs: pd.DataFrame, arms: Arms) -> Claim:
    """Supported if the arm of the larger filter is more robust than every other arm of its size; contradicted if one is more robust
    than it, or all are shown to be equal to it where robustness can fall."""
    claim = "Filtering by a larger model of the same series preserves robustness best"
    same = arms.pairs(("random", "self", "other family", *OTHER_FILTERS), "larger")
    rows = compared(pairs, [(*pair, "robustness") for pair in same])
    if rows.empty:
        return Claim(claim, "not tested", "This study has no larger filter of the trained model's series.")
    if arms.guesses and rows["equal"].all() and not rows[["better", "worse"]].any(axis=None):
        return _only_small(claim, rows, arms, arms.guesses)
    outcome: Outcome = "supports" if rows["better"].all() else "cannot tell"
    if rows["worse"].any() or rows["equal"].all():
        outcome = "contradicts"
    return _judged(claim, outcome, rows, "benefit of the larger filter", arms)


def other_family_between(pairs: pd.DataFrame, arms: Arms) -> Claim:
    """Supported if the other family's arm is more robust than the self-filtered one and less than the larger filter's; contradicted
    if it lies beyond either."""
    claim = "Filtering by a model of another family preserves robustness better than filtering by the trained model, but less well than filtering by a larger one"
    above, below = arms.pairs(("self",), "other family"), arms.pairs(("other family",), "larger")
    rows = compared(pairs, [(*pair, "robustness") for pair in [*above, *below]])
    if rows.empty or not (above and below):
        needed = "This study lacks arms of all three filters: the trained model, a larger one and one of another family."
        return Claim(claim, "not tested", needed)
    outcome: Outcome = "contradicts" if rows["worse"].any() else "supports" if rows["better"].all() else "cannot tell"
    return _judged(claim, outcome, rows, "difference in this order", arms)


def qlora_worse(pairs: pd.DataFrame, arms: Arms) -> Claim:
    """Supported if training in 4 bits is worse than LoRA on the same questions, on an index, and better on none; contradicted if
    better and never worse, or shown to be equal throughout."""
    claim = "Training with Q-LoRA gives lower accuracy than training with LoRA"
    twins = [(role.twin, arm) for arm, role in arms.roles.items() if role.method == "qlora" and role.twin]
    rows = compared(pairs, [(*twin, group) for twin in twins for group in BOTH])
    if rows.empty:
        return Claim(claim, "not tested", "No arm of this study was trained with 4-bit weights.")
    return one_way(claim, rows, "loss from training with 4-bit weights", arms, claimed="worse")


def chinese_costs(comparison: pd.DataFrame, arms: Arms) -> Claim:
    """Supported if an arm loses on the Chinese benchmarks against the untrained model and none gains; contradicted if one gains
    and none loses, or if every change is shown to be smaller than the margin."""
    claim = "Training on questions in one language lowers accuracy in another (CMMLU)"
    mine = comparison[comparison["benchmark"].str.contains(r"^cmmlu|chinese") & comparison["arm"].isin(arms.roles)]
    whole = mine[mine["group"] == "whole"]
    if mine.empty:
        return Claim(claim, "not tested", "This study has no Chinese benchmark.")
    rows = corrected(from_untrained(whole if len(whole) else mine))
    return one_way(claim, rows, "loss in Chinese", arms, claimed="worse")


def no_aha(reflection: pd.DataFrame, margin: float) -> Claim:
    """Supported if in every arm the rate of re-examination is shown to rise by less than `margin` of its rate in the first third (its
    interval lies below that); contradicted if it rises significantly in one. Without a rate in the first third, or where no
    completion has room for re-examination, nothing can be shown to stay small."""
    claim = "Training does not make re-examination more frequent (no aha moment)"
    if reflection.empty:
        return Claim(claim, "not tested", "No completions of the training are available.")
    p = holm(reflection["p"])
    rises = (p < ALPHA) & (reflection["low"] > 0)
    small = (reflection["high"] < margin * reflection["first"]) & (reflection["room"] > 0)
    outcome: Outcome = "contradicts" if rises.any() else "supports" if small.all() else "cannot tell"
    if not reflection[["first", "last"]].any(axis=None):
        return Claim(claim, outcome, without_markers(reflection))
    if not (reflection["room"] > 0).all():
        found = "Inconclusive: in at least one arm no completion is long enough to re-examine anything."
    else:
        found = {"contradicts": "Re-examination becomes more frequent.", "supports": "Re-examination does not become more frequent.",
                 "cannot tell": "Inconclusive: we found no increase and cannot rule out a relevant one."}[outcome]  # fmt: skip
    parts = [
        f"{row['arm']}: {row['first']:.2%} to {row['last']:.2%}, a change of {change(row, ' points', digits=2)}, {p_in_words(value)} ("
        f"{row['completions']:,} completions, {row['room']:.0%} long enough)"
        for row, value in zip(reflection.to_dict("records"), p, strict=True)
    ]
    seeds = int(reflection["seeds"].min())
    over = f"over {seeds} seeds" if seeds > 1 else "over questions, for the one seed that was run"
    return Claim(claim, outcome, f"{found} Share of completions with a marker, from the first to the last third of training, length held constant: "
                 f"{'; '.join(parts)} (Holm; intervals {over}; margin {margin:.0%} of the rate in the first third).")  # fmt: skip


def half_teaches(pairs: pd.DataFrame, arms: Arms) -> Claim:
    """Ours. As `filter_teaches`, for arms of questions whose pass rate is near one half, where a group of rollouts differs most."""
    claim = "Ours: training on questions with a pass rate near one half raises accuracy on the trained subject more than training on random ones"
    return _against_random(claim, "benefit of a pass rate near one half", "specialisation", pairs, arms, ("half",))


def hard_teaches(pairs: pd.DataFrame, arms: Arms) -> Claim:
    """Ours. Of each filter and size the arm with the most hard questions against that with the fewest, if their shares differ by
    half or more. Supported if one is better on specialisation and none worse; contradicted if the reverse, or if all are equal."""
    claim = "Ours: training on hard questions raises accuracy on the trained subject more than training on easy ones"
    kinds: dict[tuple, dict[str, float]] = {}
    for arm, role in arms.roles.items():
        if role.hard is not None and role.method == "lora" and role.filter in arms.knowing:
            kinds.setdefault((role.filter, role.size), {})[arm] = role.hard
    ends = [
        (min(hard, key=hard.get), max(hard, key=hard.get), max(hard.values()) - min(hard.values())) for hard in kinds.values()
    ]
    apart = [(fewest, most, "specialisation") for fewest, most, contrast in ends if contrast >= CONTRAST]
    rows = compared(pairs, apart)
    if rows.empty:
        lacking = "This study has no two arms of the same filter and size, one of mostly hard and one of mostly easy questions."
        return Claim(claim, "not tested", lacking)
    return one_way(claim, rows, "benefit of hard questions", arms)


def verdict(
    pairs: pd.DataFrame,
    comparison: pd.DataFrame,
    reflection: pd.DataFrame,
    arms: Arms,
    reflection_margin: float,
    control: Control,
    others: Collection[Claim] = (),
) -> pd.DataFrame:
    """All claims, then `others`; one row each with claim, outcome, evidence.

    pairs: `indices.pairs` of every two models; comparison: `compare.comparison`; reflection: `mechanism.reflection_change`. Where a
    positive control did not show that training works, every outcome is `cannot tell`. The control itself tests no claim: its pool is
    not medicine.
    """
    claims = [
        filter_teaches(pairs, arms), filter_keeps(pairs, arms), self_specialises(pairs, arms), larger_most_robust(pairs, arms),
        other_family_between(pairs, arms), qlora_worse(pairs, arms), chinese_costs(comparison, arms),
        no_aha(reflection, reflection_margin), half_teaches(pairs, arms), hard_teaches(pairs, arms), *others,
    ]  # fmt: skip
    table = pd.DataFrame(claims)
    tested = table["outcome"] != "not tested"
    if control.own:
        return table.assign(outcome="not tested", evidence="This study is the positive control: it tests whether training works.")
    if control.works is False:
        table.loc[tested, "outcome"] = "cannot tell"
        table.loc[tested, "evidence"] = f"{UNPROVEN} " + table["evidence"]
    return table
