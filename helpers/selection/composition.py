"""Composition of arms, and the questions that they share; tables of one or several draws."""

from itertools import combinations

import numpy as np
import pandas as pd

from helpers.selection.rates import RATES, zero_variance

BANDS = {
    "never right": 0.0,
    "up to 25 %": 0.25,
    "25 to 50 %": 0.5,
    "50 to 75 %": 0.75,
    "above 75 %": 1.0,
}  # of pass rates, with their upper ends


def by_draw(frame: pd.DataFrame) -> dict[int, pd.DataFrame]:
    """The draws of an arm, by the seed that each serves; a fixed draw has the number 0."""
    return dict(list(frame.groupby("draw"))) if "draw" in frame else {0: frame}


def repeated(frame: pd.DataFrame) -> float:
    """The share of an arm's questions that two of its draws have in common, on average over all pairs of draws; NaN with one draw.

    >>> repeated(pd.DataFrame({"question_id": ["a", "b", "b", "c"], "draw": [0, 0, 1, 1]}))
    0.5
    """
    asked = [set(part["question_id"]) for part in by_draw(frame).values()]
    shares = [len(first & second) / max(len(first), len(second)) for first, second in combinations(asked, 2)]
    return float(np.mean(shares)) if shares else np.nan


def composition(arms: dict[str, pd.DataFrame], rollouts: int | None = None, rates: pd.DataFrame | None = None) -> pd.DataFrame:
    """Composition of the arms; arms as `draws.read` returns them.

    Without `rollouts` one row per arm, the mean over its draws: questions, hard, easy, unlabelled, mean_pass_rate, and mean_characters
    where texts are at hand. With `rollouts` (of a group) the rows are arm and draw, and of several draws their mean ("all"); see `_row`.
    rates: `by_question` of the trained model's samples, which then serve all arms, also those without a filter.
    """
    if rollouts is not None:
        return pd.DataFrame([row for name, frame in arms.items() for row in _rows(name, _rated(frame, rates), rollouts)])
    rows: list[dict[str, object]] = [
        {"arm": name, "questions": _count(frame)}
        | {label: _count(frame[frame["label"] == label], frame) for label in ("hard", "easy", "unlabelled")}
        | {"mean_pass_rate": frame["pass_rate"].mean()}
        | ({"mean_characters": frame["question"].str.len().mean()} if "question" in frame else {})
        for name, frame in arms.items()
    ]
    return pd.DataFrame(rows)


def by_pass_rate(arms: dict[str, pd.DataFrame], rates: pd.DataFrame) -> pd.DataFrame:
    """Questions of each arm by the model's own pass rate: one row per arm, one column for each of BANDS; the mean over draws.

    arms: as `draws.read` returns them. rates: columns question_id and pass_rate (`by_question`). Questions without a rate are left out.
    """
    band = pd.cut(rates["pass_rate"], [-1, *BANDS.values()], labels=list(BANDS)).set_axis(rates["question_id"])
    rows = [{"arm": name} | _per_draw(frame["question_id"].map(band), frame) for name, frame in arms.items()]
    return pd.DataFrame(rows)


def _per_draw(kinds: pd.Series, frame: pd.DataFrame) -> dict[str, float]:
    """How many questions of a draw are of each of BANDS."""
    return {name: (kinds == name).sum() / len(by_draw(frame)) for name in BANDS}


def _rated(frame: pd.DataFrame, rates: pd.DataFrame | None) -> pd.DataFrame:
    """An arm's questions with the columns of RATES, from `rates` where it is given; NaN where nothing is known."""
    if rates is None:
        return frame.reindex(columns=[*frame.columns, *(name for name in RATES if name not in frame)])
    return frame.drop(columns=list(RATES), errors="ignore").merge(rates[["question_id", *RATES]], on="question_id", how="left")


def _rows(arm: str, frame: pd.DataFrame, rollouts: int) -> list[dict[str, object]]:
    """The rows of an arm: its draws, and before them their mean if there are several."""
    parts = by_draw(frame)
    rows = [{"arm": arm, "draw": str(draw)} | _row(part, rollouts) for draw, part in parts.items()]
    if len(rows) == 1:
        return rows
    means = pd.DataFrame(rows).mean(numeric_only=True)
    whole = _row(frame, rollouts)
    pooled = {key: value if isinstance(value, str) else means[key] for key, value in whole.items()}
    pooled |= {key: whole[key] for key in ("topic_share", "answer_share")}  # of one topic and one letter, not of each draw's own
    return [{"arm": arm, "draw": "all"} | pooled, *rows]


def _row(part: pd.DataFrame, rollouts: int) -> dict[str, object]:
    """One draw. Quartiles of pass rates are shrunk where several samples are known, their mean is not; zero_variance: the expected share of groups of
    `rollouts` whose answers are all right or all wrong; characters: of a question, on average; topic and answer: the most frequent."""
    rate = part["pass_rate_shrunk"].fillna(part["pass_rate"]).astype(float)
    length = part.get("characters", part["question"].str.len() if "question" in part else pd.Series(dtype=float))
    same = zero_variance(part["posterior_a"].to_numpy(float), part["posterior_b"].to_numpy(float), rollouts)
    topics = part["topic"].replace("", np.nan).dropna()
    topic, topic_share = _most_frequent(topics)
    letter, letter_share = _most_frequent(part["answer"])
    return {
        "questions": len(part),
        **{label: int((part["label"] == label).sum()) for label in ("hard", "easy", "unlabelled")},
        **{f"pass_rate_{name}": rate.quantile(at) for name, at in (("low", 0.25), ("median", 0.5), ("high", 0.75))},
        "pass_rate_mean": part["pass_rate"].mean(),
        "zero_variance": pd.Series(same).mean(),
        "characters": length.mean(),
        "topics": topics.nunique(),
        "topic": topic,
        "topic_share": topic_share,
        "answer": letter,
        "answer_share": letter_share,
    }


def _most_frequent(values: pd.Series) -> tuple[str, float]:
    """The most frequent value, the first in the alphabet of several, and its share; "" and NaN if there is none."""
    shares = values.value_counts(normalize=True)
    return (str(min(shares.index[shares == shares.max()])), float(shares.max())) if len(shares) else ("", float("nan"))


def _count(rows: pd.DataFrame, whole: pd.DataFrame | None = None) -> int | float:
    """Rows per draw; a whole number where there is one draw."""
    number = len(by_draw(rows if whole is None else whole))
    return len(rows) / number if number > 1 else len(rows)


def common(arms: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row a pair of arms: first, second, both (questions that both have), larger (questions of the larger of the two), draw by draw;
    with several draws the means."""
    ids = {name: {draw: set(part["question_id"]) for draw, part in by_draw(frame).items()} for name, frame in arms.items()}
    rows = []
    for a, b in combinations(ids, 2):
        pairs = [(ids[a][draw], ids[b][draw]) for draw in ids[a] if draw in ids[b]]
        counts = np.array([(len(x & y), max(len(x), len(y))) for x, y in pairs])
        rows.append((a, b, *(counts[0].tolist() if len(pairs) == 1 else counts.mean(axis=0))))
    return pd.DataFrame(rows, columns=["first", "second", "both", "larger"])


def shared(arms: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Arms × arms: number of questions both have in one draw, the mean over draws (the diagonal: all of an arm's)."""
    table = pd.DataFrame(np.diag([_count(frame) for frame in arms.values()]), index=list(arms), columns=list(arms))
    for row in common(arms).itertuples():
        table.loc[row.first, row.second] = table.loc[row.second, row.first] = row.both
    return table
