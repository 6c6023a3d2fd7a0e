"""The primary outcome of a study in which each seed has its own draw: its question, its result, and one figure of it.

The primary outcome is accuracy in the mode that was trained (reasoning), on held-out questions of the pool and on the pool's own test, of each
arm against the random one. Tests are those of `compare.comparison`, adjusted for all arms and benchmarks (Holm). Shares, not points.
"""

import re
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from helpers.analysis import compare, names
from helpers.analysis.drawing import colours, finished, in_words, markers
from helpers.analysis.evidence import difference, finds, p_in_words, runs_in_words
from helpers.analysis.intervals import ALPHA, holm
from helpers.study.schema import HELD_OUT, in_reasoning_mode

AS_STUDY = "as the study"  # how `recorded.arms_in_words` begins for an arm whose training is the study's
NEAR = "pass rate near"  # and the rule of the arm that is compared first: the strongest one known before the study
FAR = 3  # an arm whose difference is larger than this many times those of the others is named at the figure's edge


def rows(comparison: pd.DataFrame, pool: str) -> pd.DataFrame:
    """The rows of `compare.comparison` that are the primary outcome, with a column `outcome`: its name in a sentence; none with one draw.

    pool: the source of the pool. Columns of other tests are numbers (NaN where there is none), also in a table that was published.
    """
    own = re.match(r"[a-z0-9]*", pool.rpartition("/")[2].lower())[0]  # openai/gsm8k: gsm8k; GBaker/MedQA-USMLE-4-options: medqa
    if "vs_random" not in comparison or not own:
        return comparison.head(0).assign(outcome="")
    name = comparison["benchmark"]
    reasons = name.map(in_reasoning_mode) & (comparison["group"] == "specialisation")
    found = comparison[reasons & (name.eq(HELD_OUT) | name.str.startswith(own)) & (comparison["draws"].max() > 1)]
    numbers = [column for column in found if column.startswith("vs_")]
    found = found.assign(**found[numbers].apply(pd.to_numeric, errors="coerce"))
    tests = names.of(found).str.removesuffix(" reasoning") + " test questions"
    return found.assign(outcome=tests.where(found["benchmark"] != HELD_OUT, "held-out questions"))


def lines(tables: Mapping[str, pd.DataFrame]) -> dict[str, str]:
    """The lines Question, Result and In practice, in words; none if the study has no primary outcome.

    tables: arms, study, comparison of a study, as they are published.
    """
    about, arms = tables["study"].iloc[0], tables["arms"].set_index("arm")
    found = rows(tables["comparison"], about["pool"])
    if found.empty:
        return {}
    tested = found[found["arm"].map(arms["trained"]).str.startswith(AS_STUDY, na=False) & found["vs_random"].notna()]
    if tested.empty:
        return {}
    differs = tested["vs_random_p_holm"] < ALPHA
    better, worse = differs & (tested["vs_random"] > 0), differs & (tested["vs_random"] < 0)
    tested = tested.assign(differs=differs, better=better, worse=worse)
    rules = rules_of(tables["arms"])
    said = [_answer(tested), _first(tested, rules, about["confidence"]), *_narrower(tested, found), _reach(tested)]
    said += [f"This study could detect {detectable(tested, about, controls(arms))}.", *_trained(found, arms)]
    return {"Question": _asked(about, tested), "Result": " ".join(said), "In practice": _advice(tested, found, rules)}


def rules_of(arms: pd.DataFrame) -> dict[str, str]:
    """How each arm's questions were chosen and, where its training is not the study's, how it was trained. arms: `recorded.arms_in_words`."""
    own = arms["trained"].str.startswith(AS_STUDY)
    return dict(zip(arms["arm"], arms["questions"].where(own, arms["questions"] + ", " + arms["trained"]), strict=True))


def _asked(about: pd.Series, tested: pd.DataFrame) -> str:
    outcomes = " and ".join(f"{row.items:,} {row.outcome}" for row in tested.drop_duplicates("outcome").itertuples())
    ways = tested["arm"].nunique()
    return (
        f"{about['question']} {about['model']} was trained with GRPO on questions of {about['pool']}, chosen at random or by "
        f"{'one of ' + str(ways) + ' rules' if ways > 1 else 'a rule'}. Primary outcome: accuracy in reasoning mode on {outcomes}; {about['seeds']} seeds "
        "per arm, each with its own draw of questions."
    )


def _answer(tested: pd.DataFrame) -> str:
    """Which arms are better or worse than the random one, with the figures of those that are."""
    parts = []
    for word in ("better", "worse"):
        for arm, own in tested[tested[word]].groupby("arm", sort=False):
            figures = ", ".join(
                f"{difference(row, 'vs_random')} points on {row['outcome']} ({p_in_words(row['vs_random_p_holm'])})"
                for row in own.to_dict("records")
            )
            parts.append(f"{arm} is {word} than random: {figures}")
    if not parts:
        return "Adjusted for all arms and benchmarks, no choice of questions was shown to be better or worse than a random one."
    rest = " No other choice was shown to differ from a random one." if not tested["differs"].all() else ""
    return f"{'; '.join(parts)}.{rest}"


def _first(tested: pd.DataFrame, rules: Mapping[str, str], confidence: float) -> str:
    """The difference of the arm that is compared first, unless the answer has it; and what all intervals and tests cover."""
    near = [arm for arm in dict.fromkeys(tested["arm"]) if NEAR in rules[arm]]
    arm = (near or list(tested["arm"]))[0]
    own = tested[tested["arm"] == arm]
    over = runs_in_words(int(own["seeds"].min()), int(own["draws"].max()))
    cover = f"{100 * confidence:g} % intervals {over}; tests adjusted for all arms and benchmarks, intervals not"
    if own["differs"].all():
        return f"({cover[0].upper()}{cover[1:]}.)"
    figures = " and ".join(f"{difference(row, 'vs_random')} points on {row['outcome']}" for row in own.to_dict("records"))
    return f"Training on {arm} ({rules[arm]}) differs from training on random questions by {figures} ({cover})."


def _narrower(tested: pd.DataFrame, found: pd.DataFrame) -> list[str]:
    """What the intervals and the tests of the primary outcome alone say of differences that are not significant over all arms and benchmarks.

    The primary outcome's own family has one test for each arm and outcome (Holm), negative controls included.
    """
    rest = tested[~tested["differs"]]
    sides = {"above": (rest["vs_random_low"] > 0).sum(), "below": (rest["vs_random_high"] < 0).sum()}
    apart = " and ".join(f"{count} {'lies' if count == 1 else 'lie'} {side} zero" for side, count in sides.items() if count)
    if not apart:
        return []
    compared = found[found["vs_random"].notna()]
    alone = pd.Series(holm(compared["vs_random_p"]), index=compared.index).reindex(rest.index)
    said = [
        f"{row.arm} is {'better' if row.vs_random > 0 else 'worse'} on {row.outcome} ({p_in_words(alone[row.Index])})"
        for row in rest[alone < ALPHA].itertuples()
    ]
    family = f"Adjusted for the {len(compared)} tests of the primary outcome alone, {'; '.join(said) or 'none of these differences is significant'}."
    return [f"Of the {len(tested)} intervals, {apart}. {family}"]


def _reach(tested: pd.DataFrame) -> str:
    """How large a difference the intervals of the arms that were not shown to differ allow."""
    rest = tested[~tested["differs"]]
    if rest.empty:
        return ""
    gain, loss = 100 * max(0, rest["vs_random_high"].max()), 100 * max(0, -rest["vs_random_low"].min())
    whose = "the rules" if len(rest) == len(tested) else "the differences that were not significant"
    return f"The intervals of {whose} allow a gain of at most {gain:.1f} and a loss of at most {loss:.1f} points."


def controls(arms: pd.DataFrame) -> list[str]:
    """The negative controls: arms trained on a random reward. arms: `recorded.arms_in_words`, indexed by arm."""
    return list(arms.index[arms["trained"].str.contains("reward random")])


def detectable(tested: pd.DataFrame, about: pd.Series, apart: Sequence[str] = ()) -> str:
    """The smallest differences from the random arm that a study can detect on its primary outcome, in words. tested: from `rows`; about: of the table study;
    apart: the negative controls, over which the variance is not pooled."""
    found = tested.dropna(subset="vs_random").groupby("outcome", sort=False)["vs_random_detectable"]
    besides = f" except {' and '.join(apart)}" if apart else ""
    smallest = found.median()  # nearly the same for all arms
    parts = " and ".join(f"{100 * value:.1f} points on {outcome}" for outcome, value in smallest.items())
    return f"{parts} ({finds(about['power'], about['confidence'])}; between-seed variance pooled over all arms{besides})"


def _trained(found: pd.DataFrame, arms: pd.DataFrame) -> list[str]:
    """What training itself did: the random arm against the untrained model, and the arms that were trained in another way."""
    said = []
    for arm, own in found[found["vs_untrained"].notna()].groupby("arm", sort=False):
        how = arms["trained"].get(arm, "")
        if arm == "random" or not how.startswith(AS_STUDY):
            figures = " and ".join(difference(row, "vs_untrained") for row in own.to_dict("records"))
            said.append(f"{arm}{'' if how.startswith(AS_STUDY) else f' ({how})'} {figures}")
    return [f"Change from the untrained model, outcomes in the same order: {'; '.join(said)}."] if said else []


def _advice(tested: pd.DataFrame, found: pd.DataFrame, rules: Mapping[str, str]) -> str:
    """What the outcome means for someone who trains."""
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
        return f"With a similar model, recipe and pool, choose at random and avoid {named['avoided']}. No rule was shown to be better than a random choice."
    if better:
        return "No simple advice: the same choice is better on one outcome and worse on another."
    most = 100 * max(0, tested["vs_random_high"].max())
    return (
        f"With a similar model, recipe and pool, choose at random: no rule was shown to be better, and a filter must first answer the whole "
        f"pool. A rule could still gain up to {most:.1f} points."
    )


def table(found: pd.DataFrame) -> pd.DataFrame | None:
    """`rows` for readers: one row per outcome and arm, accuracy and difference from the random arm; None without any."""
    if found.empty:
        return None
    shown = compare.against(found, "random").assign(outcome=found["outcome"], accuracy=found["accuracy"])
    return shown[["outcome", "arm", "accuracy", "change", "low", "high", "p_holm", "p_equal_holm", "detectable"]]


def picture(table: pd.DataFrame, arms: Sequence[str], rules: Mapping[str, str], effect: float | None = None) -> Figure:
    """Arms × primary outcome: difference from the random arm in points, with its interval. table: `rows`.

    rules: how each arm's questions are chosen, in words. effect: the smallest difference that would matter (`analysis.effect`), drawn as a band. An arm far from all others, such as a negative
    control, is written at the edge, so that differences between the others can be read.
    """
    part = table[table["vs_random"].notna()]
    shown, outcomes = [arm for arm in arms if arm in set(part["arm"])], list(dict.fromkeys(part["outcome"]))
    near = _near(part)
    ends = 100 * part.loc[part["arm"].isin(near), ["vs_random_low", "vs_random_high"]].to_numpy()
    most = 1.12 * max(np.abs(ends).max(), 100 * (effect or 0))
    figure, grid = plt.subplots(
        1, len(outcomes), figsize=(2.8 + 3.0 * len(outcomes), 1.6 + 0.48 * len(shown)), sharex=True, sharey=True, squeeze=False
    )
    palette, marker = colours(arms), markers(arms)
    for axes, outcome in zip(grid[0], outcomes, strict=True):
        own = part[part["outcome"] == outcome].set_index("arm")
        for place, arm in enumerate(shown):
            x, low, high = (100 * own.loc[arm, f"vs_random{end}"] for end in ("", "_low", "_high"))
            if arm in near:
                drawn = {"fmt": marker[arm], "color": palette[arm], "capsize": 3, "markersize": 7}
                axes.errorbar(x, place, xerr=[[x - low], [high - x]], **drawn)
            else:
                text = f"{x:+.1f} [{low:+.1f}, {high:+.1f}]".replace("-", "−")
                text, at, side = (f"← {text}", 0.02, "left") if x < 0 else (f"{text} →", 0.98, "right")
                written = {"ha": side, "va": "center", "fontsize": 9, "color": "0.25", "backgroundcolor": "white"}
                axes.text(at, place, text, transform=axes.get_yaxis_transform(), **written)
        if effect:
            axes.axvspan(-100 * effect, 100 * effect, color="0.93", zorder=0)
        axes.axvline(0, color=palette["random"], linewidth=1.5)
        axes.set(xlim=(-most, most), ylim=(len(shown) - 0.4, -0.6), title=f"{outcome} (n = {own['items'].iloc[0]:,})")
        axes.set_yticks(range(len(shown)), [f"{arm}\n{rules.get(arm, '')}" for arm in shown], fontsize=10)
    figure.supxlabel("difference from the random arm (points)", fontsize=11)
    words = "; ".join(
        f"{name}: {in_words(100 * rows.set_index('arm')['vs_random'])}" for name, rows in part.groupby("outcome", sort=False)
    )
    return finished(figure, f"Difference from the random arm in points. {words}.")


def _near(part: pd.DataFrame) -> list[str]:
    """Arms whose differences are within FAR times the median reach of all arms; all of them if there are only two."""
    reach = part[["vs_random_low", "vs_random_high"]].abs().max(axis=1).groupby(part["arm"], sort=False).max()
    return list(reach.index if len(reach) < 3 else reach.index[reach <= FAR * reach.median()])
