"""Easy and hard: what a filter model's answers say of the questions, and how far filters agree.

Paper, section 3: a question is `easy` if the filter answers it right in the right format, `hard` otherwise. Every answer is kept.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from helpers.questions.answers import read_answer, read_tolerant
from helpers.selection.rates import shrink
from helpers.study.files import StudyError

KINDS = (  # of answers; plots.answer_kinds draws them in this order
    "easy (right, in the right format)",
    "wrong answer, in the right format",
    "right format, but no readable answer",
    "cut off before the format was complete",
    "otherwise not in the right format",
)


def label(pool: pd.DataFrame, completions: pd.DataFrame, prefill: str, search: bool = False) -> pd.DataFrame:
    """Read and judge a filter's completions, by both readings.

    pool: one row per question. completions: question_id, sample, response, finish_reason, n_tokens. search: the filter had a search tool.
    Returns one row per answer: the same columns, then format_valid, predicted, correct and label (strict, as in the paper: `easy` is
    right in the right format), and predicted_tolerant, correct_tolerant and label_tolerant (`easy` is right, however it is written).
    """
    questions = pool.set_index("question_id").loc[completions["question_id"]]
    texts = [prefill + response for response in completions["response"]]
    options = [list(one) for one in questions["options"]]
    strict = [read_answer(text, one, search) for text, one in zip(texts, options, strict=True)]
    tolerant = [read_tolerant(text, one) for text, one in zip(texts, options, strict=True)]
    rows = completions.assign(
        format_valid=[reading.format_valid for reading in strict],
        predicted=pd.array([reading.predicted for reading in strict], dtype="object"),
    )
    rows["correct"] = rows["predicted"].to_numpy() == questions["answer"].to_numpy()
    rows["label"] = np.where(rows["format_valid"] & rows["correct"], "easy", "hard")
    rows["predicted_tolerant"] = pd.array(tolerant, dtype="object")
    rows["correct_tolerant"] = rows["predicted_tolerant"].to_numpy() == questions["answer"].to_numpy()
    rows["label_tolerant"] = np.where(rows["correct_tolerant"], "easy", "hard")
    return rows


def disagreements(labels: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per filter whose labels have both readings: filter, answers, easy_strict, easy_tolerant, differ (answers whose labels
    differ). labels: one row per answer, by filter."""
    rows = []
    for name, frame in labels.items():
        if "label_tolerant" in frame:
            strict, tolerant = frame["label"] == "easy", frame["label_tolerant"] == "easy"
            rows.append((name, len(frame), int(strict.sum()), int(tolerant.sum()), int((strict != tolerant).sum())))
    return pd.DataFrame(rows, columns=["filter", "answers", "easy_strict", "easy_tolerant", "differ"])


def by_question(labels: pd.DataFrame, reading: str = "strict") -> pd.DataFrame:
    """One row per question: question_id, pass_rate (share of samples that are easy), label (easy if above one half), pass_rate_shrunk,
    posterior_a and posterior_b (`rates.shrink`; NaN for one sample).

    reading: "strict" or "tolerant", the reading of the answers that counts. Raises StudyError if the labels lack the latter.
    """
    column = "label" if reading == "strict" else "label_tolerant"
    if column not in labels:
        raise StudyError("label: tolerant: these labels have no tolerant reading; run 01_filter again")
    found = (labels[column] == "easy").groupby(labels["question_id"], sort=False).agg(["sum", "size", "mean"])
    table = found.rename(columns={"mean": "pass_rate"}).join(shrink(found["sum"], found["size"]))
    table["label"] = np.where(table["pass_rate"] > 0.5, "easy", "hard")
    return table.drop(columns=["sum", "size"]).reset_index()


def kinds(labels: pd.DataFrame) -> pd.Series:
    """The kind of each answer: one of `KINDS`, with the index of the labels."""
    cut, valid = labels["finish_reason"] == "length", labels["format_valid"]
    cases = [labels["label"] == "easy", valid & labels["predicted"].notna(), valid, cut]
    return pd.Series(np.select(cases, KINDS[:-1], KINDS[-1]), index=labels.index)


def rates(labels: pd.DataFrame) -> dict[str, float]:
    """The share of each kind of answer; the shares sum to 1."""
    return kinds(labels).value_counts(normalize=True).reindex(list(KINDS), fill_value=0.0).to_dict()


def easy_by(labels: pd.DataFrame, pool: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Where difficulty lies: easy rate and number of questions by each value of each key (topic, length, …); none is "not stated"."""
    joined = by_question(labels).merge(pool, on="question_id")
    quarters = ["shortest quarter", "second", "third", "longest"]
    joined["length"] = pd.qcut(joined["question"].str.len().rank(method="first"), 4, labels=quarters)
    parts = []
    for key in keys:
        if key in joined and joined[key].astype(str).str.len().gt(0).any():
            values = joined[key] if key == "length" else joined[key].replace("", np.nan).fillna("not stated")
            rates = joined.groupby(values, observed=True)["pass_rate"].agg(easy_rate="mean", questions="size")
            parts.append(rates.reset_index(names="value").assign(by=key))
    return pd.concat(parts)[["by", "value", "questions", "easy_rate"]].reset_index(drop=True)


def agreement(first: pd.DataFrame, second: pd.DataFrame) -> dict[str, float]:
    """How far two filters agree on the questions both labelled.

    Returns questions, both_easy, both_hard, only_first_easy, only_second_easy, kappa (Cohen's, as in
    statsmodels; NaN if both gave one label only), jaccard_easy and jaccard_hard (questions both call so, of those either does),
    both_wrong (questions on which both gave a wrong answer in their first sample), same_wrong (share of these on
    which it is the same answer) and same_wrong_letters (that share if each only followed how often it gives each letter or number).
    """
    from statsmodels.stats.inter_rater import cohens_kappa  # takes a second, which other uses of labels need not wait for

    both = by_question(first).merge(by_question(second), on="question_id", suffixes=("_1", "_2"))
    easy_1, easy_2 = both["label_1"] == "easy", both["label_2"] == "easy"
    table = pd.crosstab(easy_1, easy_2).reindex(index=[True, False], columns=[True, False], fill_value=0).to_numpy()
    with np.errstate(invalid="ignore", divide="ignore"):  # NaN where there is nothing to divide by
        kappa = float(cohens_kappa(table).kappa)
        jaccard = [float((x & y).sum() / (x | y).sum()) for x, y in ((easy_1, easy_2), (~easy_1, ~easy_2))]
    wrong = _first_wrong(first).merge(_first_wrong(second), on="question_id")
    same = wrong["predicted_x"] == wrong["predicted_y"]
    return {
        "questions": len(both),
        "both_easy": int((easy_1 & easy_2).sum()),
        "both_hard": int((~easy_1 & ~easy_2).sum()),
        "only_first_easy": int((easy_1 & ~easy_2).sum()),
        "only_second_easy": int((~easy_1 & easy_2).sum()),
        "kappa": kappa,
        "jaccard_easy": jaccard[0],
        "jaccard_hard": jaccard[1],
        "both_wrong": len(wrong),
        "same_wrong": float(same.mean()),
        "same_wrong_letters": _by_counts(wrong["predicted_x"], wrong["predicted_y"]),
    }


def _by_counts(first: pd.Series, second: pd.Series) -> float:
    """Chance of the same answer if each were drawn from its own counts: Σ p₁(answer) p₂(answer); NaN for no answers."""
    one, two = first.value_counts(normalize=True), second.value_counts(normalize=True)
    return float((one * two.reindex(one.index).fillna(0)).sum()) if len(first) else float("nan")


def _first_wrong(labels: pd.DataFrame) -> pd.DataFrame:
    rows = labels[(labels["sample"] == 0) & labels["predicted"].notna() & ~labels["correct"]]
    return rows[["question_id", "predicted"]]
