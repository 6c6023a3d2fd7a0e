"""The verdict: what this study says of each of the paper's claims, made from its tables and nothing else.

Every rule is written beside its claim. `supports` and `contradicts` need a test: a difference that is significant after
Holm's correction over all differences the claim is about, or one shown to be smaller than the margin. All else is `cannot tell`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import pandas as pd

from helpers.analysis.intervals import holm
from helpers.study.schema import HELD_OUT

if TYPE_CHECKING:
    from helpers.study.study import Study

Outcome = Literal["supports", "contradicts", "cannot tell", "not asked"]
ALPHA = 0.05
FILTERS = ("self", "larger", "smaller", "same size", "other family")  # kinds of arms that chose as the paper's do
UNPROVEN = "Training was not shown to work in the positive control, so nothing follows from this:"
SIZED = re.compile(r"[-_](\d+(?:\.\d+)?)([bm])(?=[-_]|$)", re.IGNORECASE)


class Claim(NamedTuple):
    """One claim of the paper and what the study says of it."""

    claim: str
    outcome: Outcome
    evidence: str


class Control(NamedTuple):
    """What a positive control says: True if training was shown to work there, False if not, None if there is none to look at.

    own: it is the study itself, which then asks nothing else.
    """

    works: bool | None
    told: str
    own: bool = False


class Role(NamedTuple):
    """What an arm is to the claims.

    kind: random, self, larger, smaller, same size, other family (its filter), or pass rate (chosen otherwise than in the paper); method:
    lora, qlora, full, or other if it is trained otherwise in something else; twin: the arm it differs from by method only; size: questions.
    """

    kind: str
    method: str = "lora"
    twin: str | None = None
    size: int = 500


def relation(filter_model: str, base: str) -> str:
    """How a filter's model stands to the trained one, read from their names: self, larger, smaller, same size or other family.

    >>> [relation(name, "google/gemma-3-12b-it") for name in ("google/gemma-3-12b-it", "google/gemma-3-27b-it", "microsoft/phi-4")]
    ['self', 'larger', 'other family']
    """
    if filter_model == base:
        return "self"
    (family, size), (own_family, own_size) = _family(filter_model), _family(base)
    if family != own_family or size is None or own_size is None:
        return "other family"
    return "same size" if size == own_size else "larger" if size > own_size else "smaller"


def _family(model: str) -> tuple[str, float | None]:
    """A model's series and its number of parameters, in millions: google/gemma-3-27b-it → (gemma-3, 27000)."""
    name = model.rsplit("/", 1)[-1].lower()
    found = SIZED.search(name)
    if not found:
        return name, None
    return name[: found.start()], float(found[1]) * (1000 if found[2].lower() == "b" else 1)


def roles(study: Study) -> dict[str, Role]:
    """Roles of a study's arms. Two arms that chose the same and differ by method alone are twins: the one that trains otherwise names the LoRA one."""
    chosen = {arm: spec.model_dump(exclude={"train"}) for arm, spec in study.arms.items()}
    method = {arm: _method(study, arm) for arm in study.arms}
    found = {}
    for arm, spec in study.arms.items():
        other = (x for x in study.arms if chosen[x] == chosen[arm] and method[x] == "lora")
        kind = (
            "random" if spec.filter is None else "pass rate" if spec.hard is None
            else relation(study.filters[spec.filter].model, study.model.id)
        )  # fmt: skip
        found[arm] = Role(kind, method[arm], next(other, None) if method[arm] != "lora" else None, spec.wanted)
    return found


def _method(study: Study, arm: str) -> str:
    changed = set(study.arms[arm].train)
    return "other" if changed and "method" not in changed else study.training(arm).method


def _arms(arms: dict[str, Role], *kinds: str) -> list[str]:
    """Arms that chose as the paper does, by one of these kinds of filter, and were trained as it did."""
    return [arm for arm, role in arms.items() if role.kind in kinds and role.method == "lora"]


def _points(row: pd.Series) -> str:
    return f"{100 * row['change']:+z.1f} points [{100 * row['low']:+z.1f}, {100 * row['high']:+z.1f}]"


def _p(value: float) -> str:
    return f"p = {value:.3f}" if value >= 0.001 else "p < 0.001"


def _told(rows: pd.DataFrame) -> str:
    """Every difference that was looked at: figure, interval, p after Holm's correction, and whether it is below the margin."""
    parts = []
    for _, row in rows.iterrows():
        small = ", shown to be below the margin" if row["p_equal"] < ALPHA else ""
        parts.append(f"{row['name']}: {_points(row)}, {_p(row['p_holm'])}{small}")
    seeds = int(rows["seeds"].min())
    over = f"over items and {seeds} seeds" if seeds > 1 else "over items, for the one seed that was run"
    return "; ".join(parts) + f" ({len(rows)} comparison{'s' if len(rows) > 1 else ''}, Holm; intervals {over})."


def _difference(pairs: pd.DataFrame, first: str, second: str, group: str) -> pd.Series | None:
    """second − first on a group, whichever way round the table has it; None if it has not."""
    for one, two, sign in ((first, second, 1), (second, first, -1)):
        rows = pairs[(pairs["first"] == one) & (pairs["second"] == two) & (pairs["group"] == group)]
        if len(rows):
            row = rows.iloc[0].copy()
            if sign < 0:
                row["low"], row["high"], row["change"] = -row["high"], -row["low"], -row["change"]
            row["name"] = f"{second} against {first}, {group}"
            return row
    return None


def _family_of(rows: Sequence[pd.Series | None]) -> pd.DataFrame:
    """The differences of one claim, corrected among themselves; better, worse and equal as columns."""
    table = pd.DataFrame([row for row in rows if row is not None])
    if table.empty:
        return table
    table["p_holm"] = holm(table["p"])
    found = table["p_holm"] < ALPHA
    return table.assign(better=found & (table["change"] > 0), worse=found & (table["change"] < 0), equal=table["p_equal"] < ALPHA)


def _one_way(rows: pd.DataFrame, claimed: str, opposite: str) -> Outcome:
    """Supported if a difference goes the claimed way and none the opposite one; contradicted if the reverse, or if all are shown to be equal."""
    this, that = rows[claimed].any(), rows[opposite].any()
    if this and not that:
        return "supports"
    return "contradicts" if (that and not this) or rows["equal"].all() else "cannot tell"


def filtered_beats_random(pairs: pd.DataFrame, arms: dict[str, Role]) -> Claim:
    """Supported if a filtered arm is better than a random one of its size on an index and none is worse; contradicted if one is worse
    and none is better, or if all are shown to be equal to it."""
    claim = "Questions chosen by a filter teach more than questions chosen at random"
    filtered = [arm for arm in _arms(arms, *FILTERS, "pass rate") if "random" in arms and arms[arm].size == arms["random"].size]
    rows = _family_of(
        [_difference(pairs, "random", arm, group) for arm in filtered for group in ("specialisation", "robustness")]
    )
    if rows.empty:
        return Claim(claim, "not asked", "This study has no random arm, or no filtered one of its size.")
    return Claim(claim, _one_way(rows, "better", "worse"), _told(rows))


def self_specialises(pairs: pd.DataFrame, arms: dict[str, Role]) -> Claim:
    """Supported if, against the untrained model, the self-filtered arm gains on medicine and loses on the rest; contradicted if
    an arm goes the other way on either, if all gains are shown to be smaller than the margin, or if all arms gain and their losses
    are shown to be. That a model which gained nothing lost nothing speaks for neither: it may not have learned."""
    claim = "Filtering by the trained model itself gains in medicine and loses robustness"
    own = _arms(arms, "self")
    rows = _family_of([_difference(pairs, "untrained", arm, group) for arm in own for group in ("specialisation", "robustness")])
    if rows.empty or set(rows["group"]) != {"specialisation", "robustness"}:
        return Claim(claim, "not asked", "This study has no arm filtered by the trained model itself, or no other benchmarks.")
    gains, loses = rows[rows["group"] == "specialisation"], rows[rows["group"] == "robustness"]
    against = gains["worse"].any() or loses["better"].any()
    none = (gains["equal"].all() and not gains["better"].any()) or (
        gains["better"].all() and loses["equal"].all() and not loses["worse"].any()
    )
    outcome: Outcome = (
        "contradicts" if against or none else "supports" if gains["better"].all() and loses["worse"].all() else "cannot tell"
    )
    return Claim(claim, outcome, _told(rows))


def larger_most_robust(pairs: pd.DataFrame, arms: dict[str, Role]) -> Claim:
    """Supported if the arm of the larger filter is more robust than every other arm of its size; contradicted if one is more robust
    than it, or all are shown to be equal to it."""
    claim = "A larger filter of the same series gives the most robust model"
    others = _arms(arms, "random", *(kind for kind in FILTERS if kind != "larger"))
    compared = [(other, arm) for arm in _arms(arms, "larger") for other in others if arms[arm].size == arms[other].size]
    rows = _family_of([_difference(pairs, other, arm, "robustness") for other, arm in compared])
    if rows.empty:
        return Claim(claim, "not asked", "This study has no larger filter of the trained model's series.")
    outcome: Outcome = (
        "contradicts" if rows["worse"].any() or rows["equal"].all() else "supports" if rows["better"].all() else "cannot tell"
    )
    return Claim(claim, outcome, _told(rows))


def other_family_between(pairs: pd.DataFrame, arms: dict[str, Role]) -> Claim:
    """Supported if the other family's arm is more robust than the self-filtered one and less than the larger filter's; contradicted
    if it lies beyond either."""
    claim = "A filter of another family lies between: more robust than self-filtering, less than the larger filter"
    cross = _arms(arms, "other family")
    above = [
        _difference(pairs, own, arm, "robustness")
        for arm in cross
        for own in _arms(arms, "self")
        if arms[own].size == arms[arm].size
    ]
    below = [
        _difference(pairs, arm, large, "robustness")
        for arm in cross
        for large in _arms(arms, "larger")
        if arms[large].size == arms[arm].size
    ]
    rows = _family_of([*above, *below])
    if not above or not below or rows.empty:
        return Claim(claim, "not asked", "It takes arms of three filters: the trained model, a larger one and another family's.")
    outcome: Outcome = "contradicts" if rows["worse"].any() else "supports" if rows["better"].all() else "cannot tell"
    return Claim(claim, outcome, _told(rows))


def qlora_worse(pairs: pd.DataFrame, arms: dict[str, Role]) -> Claim:
    """Supported if training in 4 bits is worse than LoRA on the same questions, on an index, and better on none; contradicted if
    better and never worse, or shown to be equal throughout."""
    claim = "Q-LoRA does worse than LoRA"
    twins = [(role.twin, arm) for arm, role in arms.items() if role.method == "qlora" and role.twin]
    rows = _family_of([_difference(pairs, lora, arm, group) for lora, arm in twins for group in ("specialisation", "robustness")])
    if rows.empty:
        return Claim(claim, "not asked", "No arm of this study was trained in 4 bits.")
    return Claim(claim, _one_way(rows, "worse", "better"), _told(rows))


def chinese_costs(comparison: pd.DataFrame, arms: dict[str, Role]) -> Claim:
    """Supported if an arm loses on the Chinese benchmarks against the untrained model and none gains; contradicted if one gains
    and none loses, or if every change is shown to be smaller than the margin."""
    claim = "Training on questions in one language costs performance in another (CMMLU)"
    mine = comparison[comparison["benchmark"].str.contains(r"^cmmlu|chinese") & comparison["arm"].isin(arms)]
    whole = mine[mine["group"] == "whole"]
    mine = whole if len(whole) else mine
    if mine.empty or "vs_untrained" not in mine:
        return Claim(claim, "not asked", "This study has no Chinese benchmark.")
    rows = _family_of([
        pd.Series({"name": f"{row['arm']}, {row['benchmark']}", "change": row["vs_untrained"], "low": row["vs_untrained_low"],
                   "high": row["vs_untrained_high"], "p": row["vs_untrained_p"], "p_equal": row["vs_untrained_p_equal"],
                   "seeds": row["seeds"]}) for _, row in mine.iterrows()])  # fmt: skip
    return Claim(claim, _one_way(rows, "worse", "better"), _told(rows))


def no_aha(reflection: pd.DataFrame, margin: float) -> Claim:
    """Supported if in every arm the rate of re-examination is shown to rise by less than the margin (its interval lies below it);
    contradicted if in one it rises significantly and by more than can be called none."""
    claim = "No aha moment: re-examination does not appear in training"
    if reflection.empty:
        return Claim(claim, "not asked", "No completions of the training are at hand.")
    p = holm(reflection["p"])
    rises = (p < ALPHA) & (reflection["low"] > 0)
    outcome: Outcome = "contradicts" if rises.any() else "supports" if (reflection["high"] < margin).all() else "cannot tell"
    parts = [
        f"{row.arm}: {_points(pd.Series(row._asdict()))}, {_p(value)}"
        for row, value in zip(reflection.itertuples(), p, strict=True)
    ]
    seeds = int(reflection["seeds"].min())
    over = f"over {seeds} seeds" if seeds > 1 else "over questions, for the one seed that was run"
    told = "Share of completions with a marker, last third minus first third of training, length held constant. "
    none = "" if reflection[["first", "last"]].any(axis=None) else f" {NO_MARKER}"
    return Claim(claim, outcome, f"{told}{'; '.join(parts)} (Holm; intervals {over}; margin {100 * margin:.0f} points).{none}")


NO_MARKER = (
    "No completion of either third has a marker, so there is no rate to compare (the intervals are Wilson's, of none of so many questions); "
    "whether completions of this length leave room for re-examination, their examples say."
)
NO_CONTROL = (
    "No positive control stands beside this study ({why}): where it finds no difference, it cannot say whether this way of training "
    "could have taught anything."
)


def no_control(named: str | None) -> Control:
    """There is no control to look at. named: the study that should be it (`analysis.control`), or None."""
    return Control(None, NO_CONTROL.format(why=f"{named} has not been run" if named else "none is named in analysis.control"))


def control(
    name: str,
    comparison: pd.DataFrame,
    groups: pd.DataFrame,
    otherwise: dict[str, tuple[Any, Any]] | None = None,
    own: bool = False,
    pool: str = "",
) -> Control:
    """What the study `name`, trained on what a model of its size can learn, says of this way of training.

    comparison, groups: its `stats.comparison` and `stats.group_changes`. otherwise: what its training has otherwise than that
    of the study which it is the control of (`control.training_differences`), which is told. own: it is the study itself. pool: what it is trained on. Training
    works if an arm is better than the untrained model after Holm's correction: on the held-out part of its pool if it has one,
    else on its index of specialisation.
    """
    held = comparison[(comparison["benchmark"] == HELD_OUT) & comparison["vs_untrained"].notna()]
    if len(held):
        rows = pd.DataFrame({"name": held["arm"] + ", held-out questions", "seeds": held["seeds"]} | {
            end: held[f"vs_untrained{column}"] for end, column in
            (("change", ""), ("low", "_low"), ("high", "_high"), ("p", "_p"), ("p_equal", "_p_equal"))})  # fmt: skip
    else:
        rows = groups[groups["group"] == "specialisation"].assign(name=lambda table: table["arm"] + ", what it is trained on")
    rows = _family_of([row for _, row in rows.iterrows()])
    works = bool(len(rows)) and bool(rows["better"].any())
    follows = "so no study beside it can tell anything" if own else "so this study cannot tell anything"
    said = "shows that training works" if works else f"does not show that training works, {follows}"
    told = f"The positive control ({name}{f', trained on {pool}' if pool else ''}) {said}: {_told(rows) if len(rows) else 'it has no arm to look at.'}"
    differs = ", ".join(f"{key} {theirs} instead of {ours}" for key, (theirs, ours) in (otherwise or {}).items())
    limit = f" It trained otherwise than this study, so it shows what the pipeline can teach and not that this training did: {differs}."
    return Control(works, told + (limit if differs else ""), own)


def verdict(
    pairs: pd.DataFrame,
    comparison: pd.DataFrame,
    reflection: pd.DataFrame,
    arms: dict[str, Role],
    reflection_margin: float,
    control: Control | None = None,
) -> pd.DataFrame:
    """All claims; one row each with claim, outcome, evidence.

    pairs: `stats.pairs` of every two models; comparison: `stats.comparison`; reflection: `mechanism.reflection_change`. Where a
    positive control did not show that training works, every outcome is `cannot tell`. The control itself asks no claim: its pool
    is no medicine.
    """
    claims = [
        filtered_beats_random(pairs, arms), self_specialises(pairs, arms), larger_most_robust(pairs, arms),
        other_family_between(pairs, arms), qlora_worse(pairs, arms), chinese_costs(comparison, arms), no_aha(reflection, reflection_margin),
    ]  # fmt: skip
    if control and control.own:
        claims = [
            Claim(claim.claim, "not asked", "This study is the positive control: it asks whether training works.")
            for claim in claims
        ]
    elif control and control.works is False:
        claims = [
            claim
            if claim.outcome == "not asked"
            else claim._replace(outcome="cannot tell", evidence=f"{UNPROVEN} {claim.evidence}")
            for claim in claims
        ]
    return pd.DataFrame(claims)


def in_words(table: pd.DataFrame, model: str, seeds: int, margin: float, control: Control | None = None) -> str:
    """The opening paragraph: what was asked of how many claims, and what came out, never more than the tests say."""
    over = f"{seeds} seeds an arm" if seeds > 1 else "one seed an arm: what it says holds for that seed"
    if control and control.own:
        return f"This study of {model} ({over}) is the positive control and asks none of the paper's claims. {control.told}"
    asked = table[table["outcome"] != "not asked"]
    parts = []
    for outcome, words in (
        ("supports", "It supports"),
        ("contradicts", "It contradicts"),
        ("cannot tell", "It cannot tell about"),
    ):
        claims = list(asked.loc[asked["outcome"] == outcome, "claim"])
        parts += [f"{words} {len(claims)}: {'; '.join(claims)}."] if claims else []
    unit = "point" if round(100 * margin, 6) == 1 else "points"
    told = [
        f"This study of {model} ({over}) asks {len(asked)} of the {len(table)} claims of the paper that are looked at here.",
        *parts,
        f"A difference counts as none only if it is shown to be below {100 * margin:g} {unit}.",
        *([control.told] if control else []),
    ]
    return " ".join(told)
