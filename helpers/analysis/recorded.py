"""The results of steps 01 to 04 of a study, read once: labels, training questions, logs, rollouts, scores."""

from functools import cached_property
from typing import Any

import pandas as pd

from helpers.analysis import compare, indices, mechanism
from helpers.analysis.drawing import BANDS
from helpers.analysis.evidence import basis, runs_in_words
from helpers.selection import draws
from helpers.study.files import StudyError, read_note, read_table
from helpers.study.study import UNTRAINED, Study

CHANCE = "chance"  # what chose the questions of an arm without a filter
WITH_TOOL = "with the search tool"  # how an arm that searches is trained


class Recorded:
    """The recorded results of a study.

    study, settings: its parameters, and those of its analysis · arms: those that were scored · missing: models that were not ·
    compared_seeds: the seeds that count, with paired arms those that all of them have · answers: all their scores, one row per item
    and model, with columns arm, seed (-1: untrained), step (0: the end of the training) and model · raw: those of the compared models ·
    scores: the same with suites joined · items: one score per item and model, for the indices ·
    paired: whether each seed has its own draw · labels: {filter: one row per answer} · logs: one row per arm, seed and step ·
    runs: {(arm, seed): folder of the training} · following: held-out questions answered during training, one row per arm, seed and round ·
    rollouts: one row per completion, with words, reflects and phase · questions: {arm: its training questions} · notes: what each result
    was made with · effects, trainings: the notes of scored models and of runs of training · pool: how 02_split read the pool.
    """

    def __init__(self, study: Study) -> None:
        self.study, self.settings = study, study.analysis
        self.answers, self.effects, self.missing = _read_scores(study)
        self.paired = study.split.draws == "per_seed"  # arms of one seed share their draw of the pool
        final = self.answers[self.answers["step"] == 0]
        compared = compare.common_seeds(final) if self.paired else final
        kept = set(compared["seed"])
        self.compared_seeds = [seed for seed in study.seeds if not self.paired or seed in kept]
        self.answers = self.answers[self.answers["seed"].isin(kept)]
        self.raw = indices.set_apart(compared, self.settings.apart)
        self.scores, self.items = compare.by_suite(self.raw), indices.item_scores(self.raw)
        scored = set(self.scores["arm"].unique())
        self.arms = [arm for arm in study.arms if arm in scored]
        files = {name: study.path("filter", name, "labels.parquet") for name in study.filters}
        self.labels = {name: read_table(path, "01_filter") for name, path in files.items() if path.exists()}
        self.runs = {(arm, seed): study.path("train", arm, seed) for arm in self.arms for seed in self.compared_seeds}
        self.logs, self.following = self._read_runs("log.csv"), self._read_runs("following.csv")
        completions = self._read_runs("completions.parquet")
        self.rollouts = mechanism.reflections(completions) if len(completions) else completions
        drawn = draws.read(study, self.arms).items()
        self.questions = {arm: rows.drop(columns="question", errors="ignore") for arm, rows in drawn}  # texts are not published
        self.split = read_note(study.draw_file(self.arms[0], study.seeds[0]))
        self.pool = self.split.get("pool", {})
        self.trainings = {f"{arm}, seed {seed}": read_note(folder / "log.csv") for (arm, seed), folder in self.runs.items()}
        paths = sorted(study.folder.glob("*/**/*.json"))
        self.notes = [read_note(path) for path in paths if path.stem in ("labels", "log", "scores")]

    def _read_runs(self, name: str) -> pd.DataFrame:
        """A file of every run of training, one after the other, with columns arm and seed; empty if no run has it."""
        parts = [
            read_table(folder / name, "03_grpo_train").assign(arm=arm, seed=seed)
            for (arm, seed), folder in self.runs.items()
            if (folder / name).exists()
        ]
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()

    @cached_property
    def seeds(self) -> int:
        """Seeds per arm, of the arm with the fewest."""
        return int(self.scores.loc[self.scores["arm"] != UNTRAINED].groupby("arm")["seed"].nunique().min())

    @property
    def over(self) -> str:
        """What the intervals cover, for captions."""
        return runs_in_words(self.seeds, self.seeds if self.paired else 1)

    @property
    def followed(self) -> str:
        """How many held-out questions were answered in a round during training, for captions: "200", or "96 to 200" if runs differ."""
        counts = self.following["n"] if len(self.following) else pd.Series([0])
        return " to ".join(dict.fromkeys(f"{count:,}" for count in (counts.min(), counts.max())))

    @property
    def basis(self) -> str:
        """What the numbers behind all claims have in common."""
        return basis(self.over, self.settings.confidence)

    @property
    def band(self) -> str:
        """The meaning of the bands around curves, for captions."""
        shown = "band: lowest to highest seed" if len(self.arms) <= BANDS else "lines: means"
        return f"{self.seeds} seeds per arm; {shown}." if self.seeds > 1 else "One seed per arm."


def _read_scores(study: Study) -> tuple[pd.DataFrame, dict[str, dict[str, Any]], list[str]]:
    """All scores, the notes of scored models, and the names of models without scores."""
    parts, effects, missing = [], {}, []
    for model in study.scored():
        path, name = study.path("eval", *model, "scores.parquet"), "/".join(model)
        if not path.exists():
            missing.append(name)
            continue
        seed, step = (int(model[1][4:]) if model[1:] else -1), (int(model[2][4:]) if model[2:] else 0)
        rows = read_table(path, f"04_eval ({' '.join(model)})", study.inputs("eval"))
        parts.append(rows.assign(arm=model[0], seed=seed, step=step, model=name))
        effects[name] = read_note(path)
    if len(parts) < 2 or UNTRAINED in missing:
        raise StudyError(
            f"{study.path('eval')}: the untrained model and at least one arm must be scored; run 04_eval for {', '.join(missing)}"
        )
    return pd.concat(parts, ignore_index=True), effects, missing


def arms_in_words(study: Study) -> pd.DataFrame:
    """One row per arm of a study: the questions it is trained on, which model chose them from what answers, and how it is trained."""
    rows = []
    for name, arm in study.arms.items():
        changed = ", ".join([f"{key} {value}" for key, value in arm.train.items()] + [WITH_TOOL] * arm.search)
        model, answers = (study.filters[arm.filter].model, study.filters[arm.filter].answers) if arm.filter else (CHANCE, "")
        rows.append({"arm": name, "questions": arm.rule, "chosen by": model, "answers": answers,
                     "trained": changed or f"as the study ({study.train.method})"})  # fmt: skip
    return pd.DataFrame(rows)


def filters_in_words(study: Study) -> str:
    """Each filter of a study, its model and how it answers, for captions; empty without filters."""
    if not study.filters:
        return ""
    return f"Filters: {'; '.join(f'{name}: {one.model}, {one.answers}' for name, one in study.filters.items())}."
