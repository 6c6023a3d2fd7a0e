"""Held-out accuracy during the trainings of the search for a recipe: `python figures/recipes/plot.py` draws curves.csv."""

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns

FOLDER = Path(__file__).parent
TITLES = {"medqa": "MedQA, 500 held-out questions", "gsm8k": "GSM8K, 500 held-out questions"}


def recipe(run: pd.Series) -> str:
    """A run's recipe in words, the same for all its seeds."""
    kind = "rotated, " if run["rotated"] else ""
    penalty = f", KL {run['beta']:g}" if run["beta"] else ""
    return (
        f"{kind}{run['questions']:,} questions, {run['completions_per_step']} completions, lr {run['learning_rate']:g}{penalty}"
    )


def draw() -> plt.Figure:
    """One panel per pool; only runs that reached their last step are drawn in colour, the others in grey."""
    runs = pd.read_csv(FOLDER / "runs.csv")
    runs["recipe"] = runs.apply(recipe, axis=1)
    curves = pd.read_csv(FOLDER / "curves.csv").merge(runs[["run", "pool", "recipe", "finished"]], on="run")
    curves["accuracy"] *= 100
    sns.set_theme(style="whitegrid", context="paper")
    figure, panels = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    for panel, (pool, title) in zip(panels, TITLES.items(), strict=True):
        part = curves[curves["pool"] == pool]
        for _, run in part[~part["finished"]].groupby("run"):
            panel.plot(run["step"], run["accuracy"], color="0.8", linewidth=1)
        done = part[part["finished"]]
        sns.lineplot(done, x="step", y="accuracy", hue="recipe", units="run", estimator=None, marker="o", ax=panel)
        panel.set(
            title=title,
            ylim=(26, 40) if pool == "medqa" else None,
            xlabel="optimiser step",
            ylabel="accuracy in reasoning mode (%)",
        )
        panel.legend(title="", fontsize="x-small", loc="lower right" if pool == "gsm8k" else "upper left")
    return figure


if __name__ == "__main__":
    made = draw()
    for ending in ("png", "svg"):
        made.savefig(FOLDER / f"curves.{ending}", dpi=150, metadata={"Date": None} if ending == "svg" else None)
