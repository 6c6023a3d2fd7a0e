"""What the questions of the arms have in common, as 05_analysis shows it."""

import pandas as pd

from helpers.analysis import plots
from helpers.analysis.drawing import KINDS, Picture
from helpers.analysis.recorded import filters_in_words
from helpers.analysis.results import Results
from helpers.report.chapter import picture
from helpers.selection import difficulty, draws
from helpers.selection.composition import by_pass_rate


def composition(r: Results) -> Picture | None:
    """Training questions of each arm by the trained model's own pass rate, on one scale for all arms; without such a rate by the label of the arm's own filter."""
    mean = ", mean over draws" if r.paired else ""
    if r.sampled is None:
        labels, text = ["hard", "easy", "unlabelled"], f"Training questions of each arm by the label of its own filter{mean}."
        drawn, colours, title = draws.composition(r.questions)[["arm", *labels]], [KINDS[1], KINDS[0], KINDS[3]], ""
    else:
        samples, title = r.sampled.groupby("question_id").size().max(), "pass rate"
        text = (
            f"Training questions of each arm by the share of right answers among {samples} samples of the untrained model{mean}."
        )
        drawn, colours = by_pass_rate(r.questions, difficulty.by_question(r.sampled)), KINDS
    text = f"{text} {filters_in_words(r.study)}".strip()
    return picture(r, "composition", lambda table, _: plots.composition(table, colours, title), drawn, text)


def hard_by_filter(r: Results) -> pd.DataFrame:
    """The share of each arm's questions that each filter calls hard: arms × filters, the random arm included; empty without labels."""
    hard = {name: difficulty.by_question(rows).set_index("question_id")["label"].eq("hard") for name, rows in r.labels.items()}
    asked = {arm: r.questions[arm]["question_id"] for arm in r.arms}
    return pd.DataFrame(
        {name: {arm: label.reindex(ids).dropna().mean() for arm, ids in asked.items()} for name, label in hard.items()}
    )


def composed(r: Results) -> pd.DataFrame:
    """`Results.composition` for readers: one row per arm, the mean over its draws (the CSV has each draw). Arms without labels have no counts of hard and
    easy questions."""
    mix = r.composition
    mix = mix[mix["draw"].eq("all") | ~mix["arm"].isin(mix.loc[mix["draw"].eq("all"), "arm"])].set_index("arm")
    labelled = mix["unlabelled"] < mix["questions"]
    mix = mix.assign(hard=mix["hard"].where(labelled), easy=mix["easy"].where(labelled))
    return mix.drop(columns=["draw", "unlabelled", "topics"], errors="ignore").dropna(axis=1, how="all")
