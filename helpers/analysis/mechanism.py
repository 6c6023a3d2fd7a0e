"""The paper's three explanations as measurements: learning signal, agreement of filters, re-examination ("aha").

Pure functions on the tables of steps 01 to 03. Shares, not points.
"""

import re

import numpy as np
import pandas as pd
from scipy import special, stats

from helpers.analysis.intervals import ALPHA, wilson
from helpers.selection.composition import by_draw
from helpers.selection.difficulty import by_question

BEFORE = '\n.!?…:;>(*"“—–-'  # what may stand, spaces apart, before the first word of a sentence
# Words with which a writer takes up again what was already said. Ours, English only. The plain "however", "actually" and "but" are
# left out, since they mostly contrast two options and re-examine nothing.
MARKERS = (
    # "Wait" at the start of a sentence, and something after it that says it was none: "they wait 20 minutes." is arithmetic
    rf"(?:^|[{re.escape(BEFORE)}])\s*(?:(?:oh|but|no|hmm+|actually),? )?wait\b"
    r"(?=\W*$|\s*(?:[,!?:;…—–*-]|\.\.)|,? (?:but|no|that|this|it|i|let|actually|so|what|a (?:minute|second|moment|sec))\b)",
    r"\bhold on\b",
    r"\bon second thou?ghts?\b",
    r"\blet(?:'s| us| me) (?:re-?(?:check|examine|consider|think|evaluate|visit|read)|double[- ]check|check again|think again|go back|verify)\b",
    r"\bi (?:made|have made|must have made) (?:a|an) (?:mistake|error)\b",
    r"\b(?:that|this) (?:is|was|'s|seems|cannot be|can't be) (?:wrong|not right|incorrect)\b",
    r"\bre-?(?:examin|consider|think|evaluat|check)ing\b",
    r"\bdouble[- ]check(?:ing)?\b",
    r"\bhmm+\b",
    # an exclamation: models also write of "AHA antibodies", and mean an anaemia
    r"(?-i:\b[Aa]ha\b)(?=\W*$|\s*[,.!:;…—–]|,? (?:i|so|that|this|now)\b)",
)
REFLECTS = re.compile("|".join(MARKERS), re.IGNORECASE)
# Every marker contains one of these, and most texts none: finding them takes a twentieth of the time of the expression.
PARTS = ("wait", "hold on", "second th", "check", "examin", "consider", "rethink", "re-think", "think again", "evaluat", "visit", "re-read", "reread", "go back",
         "verify", "mistake", "error", "wrong", "not right", "incorrect", "hmm", "aha")  # fmt: skip
ROOM = 40  # words from which on a completion has room to take up again what it said; ours
PHASES = ("first third", "middle third", "last third")
BANDS = 5  # of length, for the standardised rate


def signal(labels: pd.DataFrame, rollouts: int) -> pd.DataFrame:
    """What a question can be expected to teach, from the trained model's own pass rate before training; one row per question.

    labels: one row per answer of the trained model, several samples a question, drawn at the training's temperature. Columns
    question_id, samples, pass_rate, variance (of a right-or-wrong reward within a group: p (1 − p), unbiased), flat (chance that
    all `rollouts` score the same, unbiased: of all choices of so many of the samples, the share that agree; NaN with fewer samples).
    """
    easy = (labels["label"] == "easy").groupby(labels["question_id"], sort=False)
    right, samples = easy.sum().to_numpy(float), easy.size().to_numpy(float)
    rate = right / samples
    with np.errstate(invalid="ignore", divide="ignore"):
        variance = np.where(samples > 1, rate * (1 - rate) * samples / (samples - 1), np.nan)
        flat = (special.binom(right, rollouts) + special.binom(samples - right, rollouts)) / special.binom(samples, rollouts)
    flat = np.where(samples >= rollouts, flat, np.nan)
    return pd.DataFrame({"question_id": list(easy.groups), "samples": samples.astype(int), "pass_rate": rate,
                         "variance": variance, "flat": flat})  # fmt: skip


def arm_signal(signals: pd.DataFrame, chosen: dict[str, pd.DataFrame], spread: pd.DataFrame) -> pd.DataFrame:
    """Expected learning signal of each arm's questions, and the signal in training; one row per arm.

    signals: `signal`; chosen: an arm's questions; spread: `group_spread` of all runs. Columns arm, questions (with a pass rate),
    pass_rate, variance, flat_expected, flat_accuracy_first (share of the first tenth's groups whose accuracy rewards
    are all equal), flat_accuracy, flat_reward (of all groups: accuracy alone, and the reward that was trained on).
    """
    rows = []
    for arm, questions in chosen.items():
        mine = signals[signals["question_id"].isin(questions["question_id"])]
        seen = spread[spread["arm"] == arm]
        early = seen[seen["step"] <= max(1, seen["step"].max() // 10)] if len(seen) else seen
        rows.append({"arm": arm, "questions": len(mine), "pass_rate": mine["pass_rate"].mean(), "variance": mine["variance"].mean(),
                     "flat_expected": mine["flat"].mean(), "flat_accuracy_first": early["flat_accuracy"].mean(),
                     "flat_accuracy": seen["flat_accuracy"].mean(), "flat_reward": seen["flat_reward"].mean()})  # fmt: skip
    return pd.DataFrame(rows)


def group_spread(completions: pd.DataFrame) -> pd.DataFrame:
    """Zero-variance groups and what was learned; one row per arm, seed and step.

    completions: one row per rollout, columns arm, seed, step, question_id, advantage, reward_accuracy, reward_format, reward_xml_count.
    Columns flat_reward, flat_accuracy, flat_format (share of groups whose rollouts all have the same reward, or the same part of it),
    valid (share in the right format, strictly or not), right, right_if_valid. Advantages of a group are equal exactly if the rewards
    that were trained on are; the parts do not tell, since an arm may weight them or be trained on a random reward.
    """
    parts = ["reward_accuracy", "reward_format", "reward_xml_count"]
    groups = completions.groupby(["arm", "seed", "step", "question_id"], sort=False)[["advantage", *parts]]
    flat = (groups.max() == groups.min()).groupby(["arm", "seed", "step"], sort=False).mean()
    valid, right = completions["reward_format"] > 0, completions["reward_accuracy"] > 0
    shares = completions.assign(valid=valid, right=right, right_if_valid=right.where(valid).astype(float))
    means = shares.groupby(["arm", "seed", "step"], sort=False)[["valid", "right", "right_if_valid"]].mean()
    flat = flat.rename(columns={"advantage": "flat_reward", "reward_accuracy": "flat_accuracy", "reward_format": "flat_format"})
    return flat.drop(columns="reward_xml_count").join(means).reset_index()


def predicts(labels: dict[str, pd.DataFrame], passes: pd.DataFrame) -> pd.DataFrame:
    """How a filter's one label predicts the pass rate of the trained model; one row per filter.

    labels: one row per answer, by filter; passes: question_id and pass_rate of the trained model over several samples. Of
    a filter that answered several times the first answer counts. Columns filter, questions, easy, rate_easy and rate_hard (mean
    pass rate of what the filter calls so), useful_hard (share of its hard questions that the model gets right sometimes but not
    always: they can teach), auc (chance that an easy question has the higher pass rate than a hard one; 0.5: the label says nothing).
    """
    rows = []
    for name, frame in labels.items():
        first = frame[frame["sample"] == frame["sample"].min()]
        both = by_question(first)[["question_id", "label"]].merge(passes[["question_id", "pass_rate"]], on="question_id")
        easy, hard = (both.loc[both["label"] == label, "pass_rate"] for label in ("easy", "hard"))
        higher = stats.mannwhitneyu(easy, hard).statistic / (len(easy) * len(hard)) if len(easy) and len(hard) else np.nan
        rows.append({"filter": name, "questions": len(both), "easy": len(easy), "rate_easy": easy.mean(), "rate_hard": hard.mean(),
                     "useful_hard": hard.between(0, 1, inclusive="neither").mean(), "auc": higher})  # fmt: skip
    return pd.DataFrame(rows)


def jaccard(chosen: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Arms × arms: questions that both have in one draw, of those that either has; the mean over draws."""
    ids = {name: {draw: set(part["question_id"]) for draw, part in by_draw(frame).items()} for name, frame in chosen.items()}

    def share(a: str, b: str) -> float:
        pairs = [(ids[a][draw], ids[b][draw]) for draw in ids[a].keys() & ids[b].keys()]
        return float(np.mean([len(x & y) / max(1, len(x | y)) for x, y in pairs]))

    return pd.DataFrame({a: {b: share(a, b) for b in ids} for a in ids})


def reflections(completions: pd.DataFrame) -> pd.DataFrame:
    """The rollouts with words (how many), reflects (whether a marker occurs) and phase (third of the run's steps)."""
    texts = completions["completion"].fillna("").tolist()
    last = completions.groupby(["arm", "seed"])["step"].transform("max")
    third = np.minimum(3 * (completions["step"] - 1) // (last - 1).clip(lower=1), 2).astype(int)
    return completions.assign(
        words=[len(text.split()) for text in texts], reflects=[reflects(text) for text in texts], phase=[PHASES[i] for i in third]
    )


def reflects(text: str) -> bool:
    """Whether a marker occurs in a text.

    >>> reflects("Wait, that is 7."), reflects("They wait 20 minutes.")
    (True, False)
    """
    plain = text.casefold()
    return any(part in plain for part in PARTS) and REFLECTS.search(text) is not None


def _standardised(part: pd.DataFrame, weights: np.ndarray) -> float:
    """Rate of re-examination as if lengths were distributed as `weights` says; bands without completions in `part` are left out."""
    rates = part.groupby("band")["reflects"].mean().reindex(range(len(weights)))
    known = rates.notna().to_numpy()
    return float(np.average(rates[known], weights=weights[known])) if weights[known].sum() else float("nan")


def reflection(marked: pd.DataFrame) -> pd.DataFrame:
    """Rate of re-examination over training; one row per arm, seed and third of the steps.

    marked: `reflections`. Longer texts have more room for any word, so there is also the rate with length held
    constant: directly standardised to the lengths of all completions together, in five bands. Columns arm, seed, phase,
    completions, words (mean), rate, per_1000_words (completions with a marker, over all words), standardised.
    """
    banded, weights = _banded(marked)
    rows = []
    for (arm, seed, phase), part in banded.groupby(["arm", "seed", "phase"], sort=False):
        rows.append({"arm": arm, "seed": seed, "phase": phase, "completions": len(part), "words": part["words"].mean(),
                     "rate": part["reflects"].mean(), "per_1000_words": 1000 * part["reflects"].sum() / max(1, part["words"].sum()),
                     "standardised": _standardised(part, weights)})  # fmt: skip
    return pd.DataFrame(rows)


def _banded(marked: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray]:
    """The rollouts with their band of length, and each band's share of all of them."""
    band = pd.cut(marked["words"].rank(pct=True), np.linspace(0, 1, BANDS + 1), labels=False, include_lowest=True)
    return marked.assign(band=band), np.bincount(band, minlength=BANDS) / len(band)


def reflection_change(marked: pd.DataFrame, rng: np.random.Generator, resamples: int, confidence: float = 0.95) -> pd.DataFrame:
    """Change of the standardised rate from the first to the last third of training; one row per arm.

    Several seeds: Student's interval over the changes of the runs. One seed: a bootstrap over questions, conditional on that seed. Where
    no completion of either third has a marker: as far as Wilson's interval of none of so many completions.
    Columns arm, questions, seeds, completions (of both thirds and all seeds), room (share of them with ROOM words or more), first, last,
    change, low, high, p.
    """
    banded, weights = _banded(marked)
    rows = []
    for arm, mine in banded.groupby("arm", sort=False):
        rates = {(seed, phase): _standardised(part, weights) for (seed, phase), part in mine.groupby(["seed", "phase"])}
        seeds = list(mine["seed"].unique())
        if any((seed, PHASES[i]) not in rates for seed in seeds for i in (0, 2)):
            continue  # a run of one step has no last third
        first, last = (np.array([rates.get((seed, PHASES[i]), np.nan) for seed in seeds]) for i in (0, 2))
        change = last - first
        ends = mine[mine["phase"].isin([PHASES[0], PHASES[2]])]
        if len(seeds) > 1:
            test = stats.ttest_1samp(change, 0)
            low, high = test.confidence_interval(confidence)
            p = test.pvalue if change.any() else 1.0
        else:
            draws = _question_draws(mine, weights, rng, min(resamples, 1000))
            low, high = np.nanquantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2])
            p = min(1.0, 2 * min((draws <= 0).mean(), (draws >= 0).mean()) + 1 / len(draws))
        if not ends["reflects"].any():
            far = [wilson(0, int((ends["phase"] == PHASES[i]).sum()), confidence)[1] for i in (0, 2)]
            low, high, p = -far[0], far[1], 1.0
        rows.append({"arm": arm, "questions": mine["question_id"].nunique(), "seeds": len(seeds), "completions": len(ends),
                     "room": (ends["words"] >= ROOM).mean(), "first": first.mean(), "last": last.mean(), "change": change.mean(),
                     "low": low, "high": high, "p": p})  # fmt: skip
    columns = ["arm", "questions", "seeds", "completions", "room", "first", "last", "change", "low", "high", "p"]
    return pd.DataFrame(rows, columns=columns)


def without_markers(reflection: pd.DataFrame) -> str:
    """What `reflection_change` shows where no completion has a marker: a bound of each arm's rate (exact, one-sided), and the room for one."""
    bound = 1 - ALPHA ** (1 / reflection["completions"].min())
    room = " to ".join(dict.fromkeys(f"{100 * share:.0f}" for share in (reflection["room"].min(), reflection["room"].max())))
    return (
        f"Inconclusive: none of {reflection['completions'].sum():,} completions in the first and last third of training has a marker of re-examination, "
        f"so there is no rate to compare (upper {100 * (1 - ALPHA):g} % bound of each arm's rate, assuming independent completions: {100 * bound:.2g} %). Depending on the "
        f"arm, {room} % of them have at least {ROOM} words; shorter ones have little room for re-examination."
    )


def _question_draws(mine: pd.DataFrame, weights: np.ndarray, rng: np.random.Generator, resamples: int) -> np.ndarray:
    """Bootstrap of last − first third over questions (all rollouts of a question together), shape (resamples,)."""
    ends = []
    for phase in (PHASES[0], PHASES[2]):
        part = mine[mine["phase"] == phase]
        cells = part.groupby(["question_id", "band"])["reflects"].agg(["sum", "size"]).unstack("band", fill_value=0)
        cells = cells.reindex(columns=pd.MultiIndex.from_product([["sum", "size"], range(BANDS)]), fill_value=0)
        hits, sizes = cells["sum"].to_numpy(float), cells["size"].to_numpy(float)
        drawn = rng.multinomial(len(cells), np.full(len(cells), 1 / len(cells)), size=resamples)
        with np.errstate(invalid="ignore", divide="ignore"):
            rates = (drawn @ hits) / (drawn @ sizes)
        known = np.isfinite(rates) * weights
        ends.append((np.nan_to_num(rates) * known).sum(axis=1) / known.sum(axis=1))
    return ends[1] - ends[0]


def examples(marked: pd.DataFrame, count: int, around: int = 160) -> pd.DataFrame:
    """Places where a marker occurs, spread over arms and phases, so that a reader can judge the measure: arm, seed, step, marker, text."""
    hits = marked[marked["reflects"]]
    if hits.empty:
        return pd.DataFrame(columns=["arm", "seed", "step", "marker", "text"])
    first = hits.groupby(["arm", "phase"], sort=False).cumcount()
    rows = []
    for row in hits.loc[first.sort_values(kind="stable").index[:count]].itertuples():
        found = REFLECTS.search(row.completion)
        text = row.completion[max(0, found.start() - around) : found.end() + around]
        marker = found.group().lstrip(BEFORE + " ")
        rows.append({"arm": row.arm, "seed": row.seed, "step": row.step, "marker": marker, "text": text})
    return pd.DataFrame(rows)
