"""Tables of the models' answers, without tests: members of suites, letters, reasoning mode, held-out questions, filters."""

from itertools import combinations

import pandas as pd

from helpers.analysis.intervals import wilson
from helpers.questions.text import LETTERS
from helpers.selection import difficulty
from helpers.study.schema import HELD_OUT
from helpers.study.study import UNTRAINED

AGREEMENT = ["questions", "both_easy", "both_hard", "only_first_easy", "only_second_easy", "kappa", "jaccard_easy", "jaccard_hard",
             "both_wrong", "same_wrong", "same_wrong_letters"]  # fmt: skip


def members(scores: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Every benchmark by itself, also the members of a suite: accuracy and Wilson's interval, one row per benchmark, filter and arm."""
    plain = scores[scores["rotation"] == 0].groupby(["task", "benchmark", "filter", "arm"], sort=False)
    table = plain.agg(group=("group", "first"), setting=("setting", "first"), items=("item_id", "nunique"),
                      chance=("chance", "mean"), accuracy=("correct", "mean")).reset_index()  # fmt: skip
    ends = [wilson(round(row.accuracy * row.items), row.items, confidence) for row in table.itertuples()]
    return table.assign(low=[low for low, _ in ends], high=[high for _, high in ends])


def letters(scores: pd.DataFrame) -> pd.DataFrame:
    """Letter bias, for lettered likelihood benchmarks that were scored in every rotation; one row per suite and arm.

    Columns: items, plain (accuracy in the original order of options), rotated (accuracy averaged over all rotations of each
    item), letter (the one named most often in the original order), share (how often), right (how often that
    letter is right). A model that always names one letter has plain = right and rotated = chance.
    """
    turned = set(scores.loc[scores["rotation"] > 0, "benchmark"])
    rows = []
    for (task, arm), part in scores[scores["benchmark"].isin(turned)].groupby(["task", "arm"], sort=False):
        plain = part[part["rotation"] == 0]
        named = plain["predicted"].value_counts(normalize=True)
        averaged = part.groupby(["benchmark", "item_id"])["correct"].mean().mean()
        rows.append({"task": task, "arm": arm, "items": len(plain.groupby(["benchmark", "item_id"])), "chance": plain["chance"].mean(),
                     "plain": plain["correct"].mean(), "rotated": averaged, "letter": named.index[0], "share": named.iloc[0],
                     "right": (plain["target"] == named.index[0]).mean()})  # fmt: skip
    columns = ["task", "arm", "items", "chance", "plain", "rotated", "letter", "share", "right"]
    return pd.DataFrame(rows, columns=columns)


def favourite_letters(scores: pd.DataFrame) -> pd.DataFrame:
    """The letter that a model names most often, options as they stand; one row per task, arm and seed. Columns also: share of the answers.

    Tasks whose right answers are all the same, and answers that are not letters, are left out.
    """
    runs = scores[scores["rotation"] == 0].groupby(["task", "arm", "seed"], sort=False)
    rows = [(*run, *most_frequent_letter(part["predicted"])) for run, part in runs if part["target"].nunique() > 1]
    table = pd.DataFrame(rows, columns=["task", "arm", "seed", "letter", "share"])
    return table[table["letter"] != ""]


def most_frequent_letter(answers: pd.Series) -> tuple[str, float]:
    """The letter that stands most often among answers, and its share of all of them; ("", 0) if there is none."""
    counts = answers.where(answers.isin(list(LETTERS))).value_counts()
    return (str(counts.index[0]), float(counts.iloc[0] / len(answers))) if len(counts) else ("", 0.0)


def reasoning(scores: pd.DataFrame) -> pd.DataFrame:
    """Format and answers apart, for the benchmarks in reasoning mode; one row per benchmark and arm.

    Columns: valid (share in the right format), accuracy, accuracy_if_valid (among those), accuracy_tolerant (by the tolerant
    reading, where scores have it), and the share of answers that
    name each letter (`none`: nothing could be read). Only letters are counted, since free numbers are too many.
    """
    rows = []
    for (benchmark, arm), part in scores[scores["mode"] == "reasoning"].groupby(["benchmark", "arm"], sort=False):
        tolerant = "correct_tolerant" in part and part["correct_tolerant"].notna().all()
        named = part["predicted"].fillna("none").value_counts(normalize=True)
        letters = sorted(value for value in part["target"].unique() if value in tuple(LETTERS))
        rows.append({"benchmark": benchmark, "arm": arm, "answers": len(part), **_valid_and_right(part),
                     **({"accuracy_tolerant": part["correct_tolerant"].mean()} if tolerant else {}),
                     **{f"answers {answer}": named.get(answer, 0.0) for answer in [*letters, "none"]}})  # fmt: skip
    return pd.DataFrame(rows, columns=None if rows else ["benchmark", "arm", "answers", "valid", "accuracy", "accuracy_if_valid"])


def _valid_and_right(part: pd.DataFrame) -> dict[str, float]:
    """The share of answers in the right format, of right answers, and of right ones among those in the format."""
    valid = part["format_valid"].astype(bool)
    return {"valid": valid.mean(), "accuracy": part["correct"].mean(), "accuracy_if_valid": part.loc[valid, "correct"].mean()}


def duration(scores: pd.DataFrame, last: dict[str, int]) -> pd.DataFrame | None:
    """The held-out part of the pool over the course of training: one row per arm, seed and step; None if nothing was held out.

    scores: with columns arm, seed, step (0: the end of the training, and the untrained model); last: the steps of
    each arm's whole training. Every arm begins with the untrained model at step 0. Columns arm, seed, step, items,
    valid (share in the right format), accuracy, accuracy_if_valid.
    """
    held = scores[scores["task"] == HELD_OUT]
    trained, rows = held[held["arm"] != UNTRAINED], []
    for (arm, seed, step), part in held.groupby(["arm", "seed", "step"], sort=False):
        row = {"items": len(part)} | _valid_and_right(part)
        if arm == UNTRAINED:
            runs = trained[["arm", "seed"]].drop_duplicates().itertuples(index=False)
            rows += [{"arm": run.arm, "seed": run.seed, "step": 0} | row for run in runs]
        else:
            rows.append({"arm": arm, "seed": seed, "step": step or last[arm]} | row)
    return pd.DataFrame(rows).sort_values(["arm", "seed", "step"], ignore_index=True) if rows else None


def filter_gap(labels: dict[str, pd.DataFrame], base: str) -> pd.DataFrame:
    """Accuracy of each filter on the pool minus that of the base model; one row per filter.

    labels: one row per answer (column correct), by filter; base: the filter that is the base model itself. Columns
    filter, accuracy, gap.
    """
    accuracy = pd.Series({name: frame["correct"].mean() for name, frame in labels.items()})
    table = pd.DataFrame({"accuracy": accuracy, "gap": accuracy - accuracy[base]}).rename_axis("filter")
    return table.reset_index().sort_values("gap", ignore_index=True)


def agreement(labels: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Agreement of every two filters (`difficulty.agreement`), one row per pair; columns first, second and AGREEMENT."""
    rows = [{"first": x, "second": y} | difficulty.agreement(labels[x], labels[y]) for x, y in combinations(labels, 2)]
    return pd.DataFrame(rows, columns=["first", "second", *AGREEMENT])
