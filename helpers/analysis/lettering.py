"""Which letters models name: a reward for right answers can also reward naming one letter, in training and therefore in every benchmark with letters."""

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from helpers.analysis import names
from helpers.analysis.drawing import KINDS, Picture, finished, hatch, in_words
from helpers.analysis.drawing import picture as saved
from helpers.questions.text import LETTERS
from helpers.study.schema import HELD_OUT
from helpers.study.study import UNTRAINED

RIGHT = "right answers"  # the row of `named` that is no model
LETTERED = 4  # options; questions with fewer are of the kind yes, no, maybe, which prompts ask without letters
DRAWN = list("ABCDE")  # a figure leaves out tasks with more options
COLUMNS = ["task", "arm", "answers", "accuracy", "by_letters", "none"]


def named(scores: pd.DataFrame) -> pd.DataFrame:
    """How often each letter is named, options as they stand, for tasks with at least LETTERED options; one row per task and arm.

    Columns: task, arm (first RIGHT: how often each letter is right), answers, accuracy, by_letters (the accuracy if each model named its letters as
    often but independently of the question), none (no letter could be read), and one column per letter, empty where a task has no such option.
    """
    plain = scores[(scores["rotation"] == 0) & scores["target"].isin(list(LETTERS))]
    rows = []
    for task, part in plain.groupby("task", sort=False):
        letters = sorted({*part["target"], *part["predicted"]} & set(LETTERS))
        if len(letters) < LETTERED:
            continue
        items = part.drop_duplicates(["benchmark", "item_id"])
        right = items["target"].value_counts(normalize=True).reindex(letters, fill_value=0.0)
        rows.append({"task": task, "arm": RIGHT, **right})
        for arm, mine in part.groupby("arm", sort=False):
            said = mine["predicted"].where(mine["predicted"].isin(right.index), "none")
            shares = said.groupby(mine["seed"]).value_counts(normalize=True).unstack(fill_value=0.0)
            shares = shares.reindex(columns=right.index, fill_value=0.0)
            rows.append({"task": task, "arm": arm, "answers": len(mine), "accuracy": mine["correct"].mean(),
                         "by_letters": (shares * right).sum(axis=1).mean(), "none": (said == "none").mean(), **shares.mean()})  # fmt: skip
    found = sorted({name for row in rows for name in row} - set(COLUMNS))
    return pd.DataFrame(rows, columns=COLUMNS + found).astype({"answers": "Int64"})


def largest_change(table: pd.DataFrame) -> str:
    """The largest change of a letter's share from the untrained model, in one sentence; "" without trained models. table: `named`."""
    shares = table.melt(["task", "arm"], list(table.columns[len(COLUMNS) :]), "letter", "share").dropna(subset="share")
    wide = shares.pivot(index=["task", "letter"], columns="arm", values="share")
    arms = [arm for arm in wide if arm not in (RIGHT, UNTRAINED)]
    if UNTRAINED not in wide or not arms:
        return ""
    changes = wide[arms].sub(wide[UNTRAINED], axis=0).abs().stack().dropna()
    if changes.empty:
        return ""
    task, letter, arm = changes.idxmax()
    after, before, right = wide.loc[(task, letter), [arm, UNTRAINED, RIGHT]]
    said = f"{letter} on {names.benchmark(task)} from {before:.0%} to {after:.0%}, where it is right for {right:.0%}"
    return f"Largest change of a letter's share: after {arm}, {said}."


def by_letters(table: pd.DataFrame) -> pd.DataFrame:
    """The part of each arm's change in accuracy from the untrained model that its letter frequencies explain. table: `named`.

    One row per task and arm. Columns: task, arm, change, by_letters (the change expected if every model kept its letter frequencies but chose
    letters independently of the question) and besides (change minus by_letters).
    """
    models = table[table["arm"] != RIGHT].set_index(["task", "arm"])[["accuracy", "by_letters"]]
    before = models[models.index.get_level_values("arm") == UNTRAINED].droplevel("arm")
    found = models.sub(before.reindex(models.index, level="task")).drop(UNTRAINED, level="arm", errors="ignore").dropna()
    found = found.rename(columns={"accuracy": "change"}).assign(besides=found["accuracy"] - found["by_letters"])
    return found.reset_index()


def drawn_tasks(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the tasks whose letters are all among DRAWN. table: `named`."""
    return table[table.drop(columns=[*COLUMNS, *DRAWN], errors="ignore").isna().all(axis=1)]


def bars(drawn: pd.DataFrame) -> Figure:
    """How often each letter is right and is named, one panel per task. drawn: `drawn_tasks`."""
    letters = [letter for letter in DRAWN if letter in drawn]
    tasks = dict(list(drawn.groupby("task", sort=False)))
    arms = list(dict.fromkeys(drawn["arm"]))
    columns = min(3, len(tasks))
    lines = -(-len(tasks) // columns)
    size = (1.6 + 2.5 * columns, 0.5 + (0.5 + 0.27 * len(arms)) * lines)
    figure, grid = plt.subplots(lines, columns, figsize=size, sharex=True, sharey=True, squeeze=False)
    for axes, (task, part) in zip(grid.flat, tasks.items(), strict=False):
        part.set_index("arm")[letters].reindex(arms).plot.barh(stacked=True, ax=axes, color=KINDS, width=0.75, legend=False)
        hatch(axes)
        axes.set(title=names.benchmark(task), xlim=(0, 1), xticks=(0, 0.5, 1), ylabel="", xlabel="share of answers")
    for axes in grid.flat[len(tasks) :]:
        axes.set_axis_off()
    grid[0][0].invert_yaxis()
    first, part = next(iter(tasks.items()))
    parts = [f"{arm}: {in_words(row, '.0%')}" for arm, row in part.set_index("arm")[letters].iterrows()]
    return finished(figure, f"Letters named on {names.benchmark(first)}. {'; '.join(parts)}.", grid[0][0])


def picture(table: pd.DataFrame, path: Path) -> Picture | None:
    """Draw and save `bars` at `path`, with the table; None unless the answers to the pool's questions are letters among DRAWN, since only then training
    rewards them."""
    drawn = drawn_tasks(table)
    if HELD_OUT not in set(drawn["task"]):
        return None
    text = f"Mean over seeds. What is missing from a bar named no letter. {largest_change(table)}"
    return saved(bars(drawn), table, path, text)
