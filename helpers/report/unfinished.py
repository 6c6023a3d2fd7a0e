"""A study that has not run to its end: which trainings are done, what their models scored, and what training brought.

Arms are not compared with each other before every arm has all its seeds. The random arm alone counts earlier, from three seeds on: whether
training works at all does not depend on the other arms. A model counts on each task that it has finished.
"""

from pathlib import Path

import pandas as pd

from helpers.analysis import compare, searching
from helpers.evaluation import scoring
from helpers.selection import difficulty, draws
from helpers.study.errors import StudyError
from helpers.study.files import read_note
from helpers.study.study import UNTRAINED, Study

ENOUGH = 3  # seeds of the random arm

COLUMNS = ["arm", "seed", "device", "steps", "stopped_early", "base_tensors_changed", "task", "filter", "items", "accuracy"]
GAIN = ["benchmark", "filter", "arm", "seeds", "items", "accuracy", "vs_untrained", "vs_untrained_low", "vs_untrained_high", "vs_untrained_detectable"]  # fmt: skip


def runs(study: Study) -> pd.DataFrame:
    """One row per model, finished task and answer filter, with COLUMNS; options are not rotated.

    device: where a model was trained. steps: 0 for the untrained model. base_tensors_changed: of the model below the adapter, empty for trainings
    that did not record it. Raises StudyError if no model has a finished task.
    """
    parts = []
    for arm, seed in [(UNTRAINED, None), *((arm, seed) for seed in study.seeds for arm in study.arms)]:
        folder = [UNTRAINED] if seed is None else [arm, seed]
        log, scores = study.path("train", *folder, "log.csv"), _answers(study, *folder)
        if scores is None or (seed is not None and not log.exists()):
            continue
        note = read_note(log)
        steps = 0 if seed is None else int(pd.read_csv(log)["step"].max())
        rows = scores[scores["rotation"] == 0].groupby(["task", "filter"], sort=False)["correct"]
        table = rows.agg(items="size", accuracy="mean").reset_index()
        facts = {"stopped_early": "stopped_at" in note, "base_tensors_changed": note.get("base_tensors_changed")}
        parts.append(table.assign(arm=arm, seed=seed, device=note.get("device"), steps=steps, **facts))
    if not parts:
        raise StudyError(f"{study.folder}: nothing is scored yet; run make study STUDY={study.reference()} first")
    found = pd.concat(parts, ignore_index=True)
    return found.astype({"seed": "Int64", "base_tensors_changed": "Int64"})[COLUMNS]


def composition(study: Study) -> pd.DataFrame:
    """`draws.composition` of the arms whose questions are drawn, with the trained model's own pass rates where a filter has sampled them: what
    an arm's questions have in common, known before any training. Empty without draws."""
    own = [name for name, spec in study.filters.items() if spec.model == study.model.id and spec.samples > 1 and not spec.search]
    files = [path for name in own if (path := study.path("filter", name, "labels.parquet")).exists()]
    rates = difficulty.by_question(pd.read_parquet(files[0])) if files else None
    return draws.composition(draws.read(study, _drawn(study)), study.train.rollouts, rates)


def common(study: Study) -> pd.DataFrame:
    """`draws.common` of the arms whose questions are drawn."""
    return draws.common(draws.read(study, _drawn(study)))


def _drawn(study: Study) -> list[str]:
    return [arm for arm in study.arms if any(study.draw_file(arm, seed).exists() for seed in study.seeds)]


def unscored(study: Study) -> list[Path]:
    """The stored tasks of models that are not scored on all of them."""
    folders = [path for path in study.folder.glob("eval/**/tasks") if not (path.parent / "scores.parquet").exists()]
    return [path for folder in sorted(folders) for path in sorted(folder.glob("*.parquet"))]


def rollouts(study: Study) -> list[Path]:
    """The rollouts of models without scores. They are the largest files, and until a model is scored its training may have to be repeated."""
    files = study.folder.glob("train/*/*/completions.parquet")
    return [path for path in files if not study.path("eval", *path.parts[-3:-1], "scores.parquet").exists()]


def gains(study: Study, scores: pd.DataFrame) -> pd.DataFrame:
    """The change from the untrained model (`compare.comparison`), with columns GAIN, of each arm that has enough scored seeds on a benchmark
    (scores: `enough`). One row per benchmark, answer filter and arm; empty if there is none, or the untrained model is not scored.
    """
    if scores["arm"].nunique() < 2:
        return pd.DataFrame(columns=GAIN)
    table = compare.comparison(compare.by_suite(scores), study.analysis)
    trained = table["arm"] != UNTRAINED
    return table.loc[trained & table["vs_untrained"].notna(), GAIN]


def search(study: Study, scores: pd.DataFrame) -> pd.DataFrame | None:
    """What a search tool brings (`searching.effect`) to the untrained model and, on tasks that all seeds of every arm have finished, to the arms:
    their rows stand beside each other and would be compared. scores: `enough`. None if the study has no tool or the untrained model is not scored."""
    if not study.search or scores.empty:
        return None
    seeds = scores.groupby(["task", "arm"])["seed"].nunique().unstack().reindex(columns=list(study.arms))
    whole = seeds.index[seeds.eq(len(study.seeds)).all(axis=1)]
    return searching.effect(scores[scores["task"].isin(whole) | (scores["arm"] == UNTRAINED)], study.analysis)


def _answers(study: Study, *model: str | int) -> pd.DataFrame | None:
    """The answers of one model (an arm and a seed, or UNTRAINED): all of them, or those of its finished tasks; None without any."""
    path = study.path("eval", *model, "scores.parquet")
    return pd.read_parquet(path) if path.exists() else scoring.finished(study, path.parent / "tasks")


def enough(study: Study) -> pd.DataFrame:
    """The answers of the untrained model and, task by task, of each arm whose seeds have all finished the task, and of the random arm if
    ENOUGH of its seeds have; empty if the untrained model is not scored."""
    models = {(UNTRAINED, -1): _answers(study, UNTRAINED)}
    models |= {(arm, seed): _answers(study, arm, seed) for arm in study.arms for seed in study.seeds}
    parts = [rows.assign(arm=arm, seed=seed) for (arm, seed), rows in models.items() if rows is not None]
    if models[UNTRAINED, -1] is None:
        return pd.DataFrame(columns=["arm"])
    scores = pd.concat(parts, ignore_index=True)
    seeds = scores.groupby(["task", "arm"])["seed"].transform("nunique")
    wanted = scores["arm"].map({UNTRAINED: 1, "random": min(ENOUGH, len(study.seeds))}).fillna(len(study.seeds))
    return scores[seeds >= wanted]
