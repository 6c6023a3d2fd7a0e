"""The details of a primary outcome (`primary.lines`), in words: how far its intervals reach, what other trainings and the negative control did."""

from collections.abc import Collection, Sequence

import pandas as pd

from helpers.analysis.evidence import difference, p_in_words
from helpers.analysis.intervals import ALPHA

AS_STUDY = "as the study"  # how `recorded.arms_in_words` begins for an arm whose training is the study's


def reach(tested: pd.DataFrame) -> str:
    """How large a difference the intervals of the arms that were not shown to differ on any outcome allow, and how many lie beside zero."""
    rest = tested[~tested.groupby("arm")["differs"].transform("any")]
    if rest.empty:
        return ""
    gain, loss = 100 * max(0, rest["vs_random_high"].max()), 100 * max(0, -rest["vs_random_low"].min())
    whose = "the rules" if len(rest) == len(tested) else "the other rules"
    beside = f"; of these {len(rest)} intervals, {sides}" if (sides := _sides(rest)) else ""
    return f"The unadjusted intervals of {whose} reach from a loss of {loss:.1f} to a gain of {gain:.1f} points{beside}."


def apart(rest: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The rows whose intervals lie above and below zero."""
    return {"above": rest[rest["vs_random_low"] > 0], "below": rest[rest["vs_random_high"] < 0]}


def _sides(rest: pd.DataFrame) -> str:
    """How many intervals lie above and below zero and whose they are, in words; "" if none does."""
    sides = apart(rest)
    if not any(map(len, sides.values())):
        return ""
    said = {
        side: "; ".join(f"{' and '.join(own['arm'])} on {outcome}" for outcome, own in rows.groupby("outcome", sort=False))
        for side, rows in sides.items()
    }
    return " and ".join(
        f"{len(rows) or 'none'} {'lies' if len(rows) == 1 else 'lie'} {side} zero" + (f" ({said[side]})" if len(rows) else "")
        for side, rows in sides.items()
    )


def trained(found: pd.DataFrame, arms: pd.DataFrame, differ: Collection[str] = ()) -> str:
    """What training did to arms that were trained in another way than the study, or that differ from random, against the untrained model."""
    said = []
    for arm, own in found[found["vs_untrained"].notna()].groupby("arm", sort=False):
        how = arms["trained"].get(arm, "")
        own_way = bool(how) and not how.startswith(AS_STUDY)
        if own_way or arm in differ:
            figures = " and ".join(difference(row, "vs_untrained") for row in own.to_dict("records"))
            said.append(f"{arm}{f' ({how})' if own_way else ''} {figures}")
    where = ", then ".join(found["outcome"].unique())
    return f"Change from the untrained model ({where}): {'; '.join(said)}." if said else ""


def control(compared: pd.DataFrame, controls: Sequence[str]) -> list[str]:
    """How each negative control differs from the random arm, and whether the tests of either family show it."""
    said = []
    for arm in controls:
        own = compared[compared["arm"] == arm]
        families = {"vs_random_p_holm": "all arms and benchmarks", "alone": "the primary outcome alone"}
        tests = [
            f"{_significant(own[p])} when adjusted for {family} ({' and '.join(map(p_in_words, own[p]))})"
            for p, family in families.items()
        ]
        if len(own):
            said.append(
                f"The negative control, {arm}, differs from random by {bare(own)} points: {'; '.join(tests)}.{_meaning(own)}"
            )
    return said


def _meaning(own: pd.DataFrame) -> str:
    """What a negative control says of the rewards, in a sentence after a space; "" if nothing was shown."""
    gained = own.loc[own["vs_untrained_low"] > 0, "outcome"]
    if len(gained) == len(own):
        return " It gains, too, so a gain needs no right rewards."
    if len(gained):
        return f" It gains on {' and '.join(gained)}, too."
    below = (own["vs_random"] < 0) & (own["alone"] < ALPHA)
    return " By the tests of the primary outcome alone, right rewards matter." if below.all() else ""


def _significant(p: pd.Series) -> str:
    found = p < ALPHA
    return "significant" if found.all() else "significant in part" if found.any() else "not significant"


def bare(own: pd.DataFrame) -> str:
    """The differences of one arm from the random one, in the order of the outcomes."""
    return " and ".join(difference(row, "vs_random") for row in own.to_dict("records"))
