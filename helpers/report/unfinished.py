"""A study that has not run to its end: which trainings are done, what their models scored, and what training brought.

Arms are not compared with each other before every arm has all its seeds. The random arm alone counts earlier, from three seeds on: whether
training works at all does not depend on the other arms.
"""

import pandas as pd

from helpers.analysis import compare, searching
from helpers.study.errors import StudyError
from helpers.study.files import read_note
from helpers.study.study import UNTRAINED, Study

ENOUGH = 3  # seeds of the random arm

COLUMNS = ["arm", "seed", "device", "steps", "stopped_early", "task", "filter", "items", "accuracy"]
GAIN = ["benchmark", "filter", "arm", "seeds", "items", "accuracy", "vs_untrained", "vs_untrained_low", "vs_untrained_high", "vs_untrained_detectable"]  # fmt: skip


def runs(study: Study) -> pd.DataFrame:
    """One row per model, finished task and answer filter, with COLUMNS; options are not rotated.

    device: where a model was trained. steps: 0 for the untrained model. Raises StudyError if no model has a finished task.
    """
    parts = []
    for arm, seed in [(UNTRAINED, None), *((arm, seed) for seed in study.seeds for arm in study.arms)]:
        folder = [UNTRAINED] if seed is None else [arm, seed]
        log = study.path("train", *folder, "log.csv")
        if seed is not None and not log.exists():
            continue
        note = read_note(log)
        steps = 0 if seed is None else int(pd.read_csv(log)["step"].max())
        for path in sorted(study.path("eval", *folder, "tasks").glob("*.parquet")):
            rows = pd.read_parquet(path).query("rotation == 0")
            table = rows.groupby(["task", "filter"], sort=False)["correct"].agg(items="size", accuracy="mean").reset_index()
            stopped = "stopped_at" in note
            parts.append(table.assign(arm=arm, seed=seed, device=note.get("device"), steps=steps, stopped_early=stopped))
    if not parts:
        raise StudyError(f"{study.folder}: nothing is scored yet; run make study STUDY={study.reference()} first")
    found = pd.concat(parts, ignore_index=True)
    return found.assign(seed=found["seed"].astype("Int64"))[COLUMNS]


def gains(study: Study) -> pd.DataFrame:
    """The change from the untrained model (`compare.comparison`), with columns GAIN, of each arm that has enough scored seeds
    (`_enough`). One row per benchmark, answer filter and arm; empty if there is none, or the untrained model is not scored.
    """
    scores = _enough(study)
    if scores["arm"].nunique() < 2:
        return pd.DataFrame(columns=GAIN)
    table = compare.comparison(compare.by_suite(scores), study.analysis)
    return table.loc[table["arm"] != UNTRAINED, GAIN]


def search(study: Study) -> pd.DataFrame | None:
    """What a search tool brings (`searching.effect`) to the untrained model and, once every arm has all its seeds, to the arms: their rows stand
    beside each other and would be compared. None if the study has no tool or the untrained model is not scored."""
    scores = _enough(study)
    if not study.search or scores.empty:
        return None
    whole = scores.groupby("arm")["seed"].nunique().reindex(list(study.arms), fill_value=0).eq(len(study.seeds)).all()
    return searching.effect(scores if whole else scores[scores["arm"] == UNTRAINED], study.analysis)


def _enough(study: Study) -> pd.DataFrame:
    """The answers of the untrained model, of each arm whose seeds are all scored, and of the random arm if ENOUGH of its seeds are; empty if the
    untrained model is not scored."""
    files = {UNTRAINED: {-1: study.path("eval", UNTRAINED, "scores.parquet")}}
    files |= {arm: {seed: study.path("eval", arm, seed, "scores.parquet") for seed in study.seeds} for arm in study.arms}
    scored = {arm: {seed: path for seed, path in paths.items() if path.exists()} for arm, paths in files.items()}
    counts = {
        arm: paths
        for arm, paths in scored.items()
        if len(paths) >= (min(ENOUGH, len(study.seeds)) if arm == "random" else len(files[arm]))
    }
    if UNTRAINED not in counts:
        return pd.DataFrame(columns=["arm"])
    parts = [pd.read_parquet(path).assign(arm=arm, seed=seed) for arm, paths in counts.items() for seed, path in paths.items()]
    return pd.concat(parts, ignore_index=True)
