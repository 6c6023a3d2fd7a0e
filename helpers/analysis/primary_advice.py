"""What a primary outcome (`primary.lines`) means for someone who trains, in words."""

from collections.abc import Mapping

import pandas as pd

from helpers.analysis.evidence import p_in_words
from helpers.analysis.intervals import ALPHA


def advice(tested: pd.DataFrame, found: pd.DataFrame, rules: Mapping[str, str], about: pd.Series) -> str:
    """What the outcome means for someone who trains.

    found: `primary.rows`; tested: those of the arms that are trained like the study, with columns better, worse and alone (p-values of the primary
    outcome alone); rules: how each arm's questions were chosen; about: the row of the table study.
    """
    random = found[found["arm"] == "random"]
    better, worse = (list(dict.fromkeys(tested.loc[tested[word], "arm"])) for word in ("better", "worse"))
    best, avoided = ([arm for arm in one if arm not in other] for one, other in ((better, worse), (worse, better)))
    named = {
        kind: f" {word} ".join(f"{arm} ({rules[arm]})" for arm in kept)
        for kind, kept, word in (("best", best, "or"), ("avoided", avoided, "and"))
    }
    if not (random["vs_untrained_low"] > 0).all():
        return "Nothing follows about the choice of questions, because training on random ones was not shown to raise accuracy. First find a recipe that does."
    if best:
        return f"With a similar model, recipe and pool, choose as in {named['best']}{' and avoid ' + named['avoided'] if avoided else ''}."
    if avoided:
        rest = tested[~tested["arm"].isin(avoided)]
        said = f"With a similar model, recipe and pool, choose at random and avoid {named['avoided']}. No rule was shown to be better than a random choice."
        return _joined(said, possible(rest, about), _careful(rest, rules)) if len(rest) else said
    if better:
        return "No simple advice: the same choice is better on one outcome and worse on another."
    said = "With a similar model, recipe and pool, choose at random: no rule was shown to be better."
    return _joined(said, possible(tested, about), _careful(tested, rules))


def _joined(*sentences: str) -> str:
    return " ".join(filter(None, sentences))


def possible(tested: pd.DataFrame, about: pd.Series) -> str:
    """How large a gain and a loss the unadjusted intervals allow, and whether a gain could be as large as the smallest that matters."""
    gain, loss, relevant = (
        max(0, tested["vs_random_high"].max()),
        max(0, -tested["vs_random_low"].min()),
        float(about.get("effect") or "nan"),
    )
    whose = f"from {tested['arm'].iloc[0]}" if tested["arm"].nunique() == 1 else "from some rule"
    said = f"Gains of up to {100 * gain:.1f} and losses of up to {100 * loss:.1f} points {whose} cannot be excluded ({100 * about['confidence']:g} % intervals, unadjusted)"
    if round(100 * gain, 1) < 100 * relevant:
        return f"{said}; no interval reaches a gain of {points(relevant)}, which would matter."
    return f"{said}."


def _careful(tested: pd.DataFrame, rules: Mapping[str, str]) -> str:
    """The rules that are worse by the tests of the primary outcome alone, else those whose unadjusted intervals all lie below zero; "" without any."""
    worse = tested[(tested["alone"] < ALPHA) & (tested["vs_random"] < 0)]
    said = [
        f"{arm} ({rules[arm]}), worse on {' and '.join(f'{row.outcome} ({p_in_words(row.alone)})' for row in own.itertuples())}"
        for arm, own in worse.groupby("arm", sort=False)
    ]
    if said:
        return f"Be careful with {'; '.join(said)} by the tests of the primary outcome alone."
    below = (tested["vs_random_high"] < 0).groupby(tested["arm"], sort=False).all()
    low = [f"{arm} ({rules[arm]})" for arm in below.index[below]]
    return f"Be careful with {' and '.join(low)}: below random on every outcome by unadjusted intervals." if low else ""


def points(effect: float) -> str:
    """A size in points, such as `2 points`."""
    return f"{100 * effect:g} point{'' if effect == 0.01 else 's'}"
