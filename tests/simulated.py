"""A finished study built from random numbers: every file that 05_analysis reads, of any study's parameters, at any size.

For tests of the analysis where no model has run: its speed at the size of the paper, and figures of studies that were not run yet.
The numbers mean nothing. `python tests/simulated.py paper 1.0` writes below STUDY_RUNS, with benchmarks at their full size.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from helpers.plan.sizes import known  # noqa: E402
from helpers.study.files import fingerprint, write_json, write_result  # noqa: E402
from helpers.study.schema import HELD_OUT  # noqa: E402
from helpers.study.schema_eval import Task  # noqa: E402
from helpers.study.study import UNTRAINED, Study, open_study  # noqa: E402

LETTERS = np.array(list("ABCDEFGHIJ"))
SUBJECTS = ("health", "biology", "law", "physics")  # of MMLU-Pro, whose subjects' sizes are not listed
NOTE = {"weights": "simulated", "model": "simulated"}


def parts_of(task: Task, size: float) -> dict[str, tuple[int, int]]:
    """Benchmarks of a task with their items and options: {"mmlu_anatomy": (135, 4), …}; options 0: a free answer."""
    facts = known()["tasks"].get(task.name, {"items": 200, "parts": 1, "options": 0 if "arithmetic" in task.name else 4})
    options = facts.get("options") or (0 if "gsm8k" in task.name else 10 if task.name.startswith("mmlu_pro") else 4)
    subjects = known()["subjects"].get(task.name, {})
    rest = facts["parts"] - len(subjects)
    left = facts["items"] - sum(subjects.values())
    if facts["parts"] == 1:
        subjects, rest = {}, 0
        members = {task.name: facts["items"]}
    else:
        names = SUBJECTS if task.name.startswith("mmlu_pro") else ()
        members = {f"{task.name}_{subject}": items for subject, items in subjects.items()}
        members |= {f"{task.name}_{names[i] if i < len(names) else f'other{i}'}": left // rest for i in range(rest)}
    limit = task.limit or (40 if task.sample else 10**9)
    return {name: (max(8, round(size * min(items, limit))), options) for name, items in members.items()}


class Truth:
    """What the simulated models know: each item's difficulty, and how far training moves each arm on each side."""

    def __init__(self, study: Study, seed: int) -> None:
        rng = np.random.default_rng([seed, 1])
        sides = ("specialisation", "robustness", "shift")
        self.moves = {arm: dict(zip(sides, rng.normal([0.03, -0.01, 0.01], 0.02), strict=True)) for arm in study.arms}
        self.luck = {(arm, k): rng.normal(0, 0.006) for arm in study.arms for k in study.seeds}

    def answers(self, rng: np.random.Generator, own: np.ndarray, accuracy: float, arm: str, seed: int, side: str, done: float):
        """Which items are right, shape (items,). own: each item's own normal draw; done: share of the training that was run."""
        if arm != UNTRAINED:
            accuracy = accuracy + done * (self.moves[arm][side] + self.luck[arm, seed])
        mixed = np.sqrt(0.85) * own + np.sqrt(0.15) * rng.standard_normal(len(own))
        return stats.norm.cdf(mixed) < accuracy


def scores(study: Study, truth: Truth, model: tuple[str, ...], size: float, seed: int, rotations: bool) -> pd.DataFrame:
    """One model's scores: one row an item, answer filter and rotation."""
    arm, run, step = model[0], int(model[1][4:]) if model[1:] else -1, int(model[2][4:]) if model[2:] else 0
    rng, parts = np.random.default_rng([seed, 2, *"".join(model).encode()]), []
    done = step / study.training(arm).steps(study.arms[arm].wanted) if step else 1.0
    tasks = [task for task in study.eval.tasks if not step or task.name == HELD_OUT]
    for task in tasks:
        written = "reasoning" in task.name or task.name == HELD_OUT
        lettered = not written and not task.name.startswith(("gsm8k", "starter"))
        turns = 4 if rotations and lettered and (study.eval.rotate if task.rotate is None else task.rotate) else 1
        for name, (items, options) in parts_of(task, size).items():
            side = study.eval.side(task, name)
            own = np.random.default_rng([seed, 3, *name.encode()])
            place, target = own.standard_normal(items), own.integers(0, options or 10, items)
            for turn in range(turns):
                right = truth.answers(rng, place, 0.55 if options else 0.3, arm, run, side, done)
                wrong = (target + rng.integers(1, max(options, 2), items)) % (options or 10)
                named = np.where(right, target, wrong)
                words = LETTERS if options else np.arange(10).astype(str)
                valid = (rng.random(items) < (0.4 if arm == UNTRAINED else 0.4 + 0.5 * done)) if written else None
                rows = pd.DataFrame({
                    "benchmark": name, "subject": "", "item_id": np.arange(items).astype(str), "correct": right,
                    "chance": 1 / options if options else 0.0, "format_valid": pd.Series(valid, dtype=object) if written else None,
                    "response": "text" if written or not options else None,
                    "mode": "reasoning" if written else "likelihood" if options else "generation", "predicted": words[named],
                    "target": words[target], "setting": f"{study.eval.shots or 0}-shot", "rotation": turn, "task": task.label,
                    "group": side})  # fmt: skip
                if task.search:
                    rows = rows.assign(benchmark=f"{name}_search", **searches(rng, np.full(items, 0.5)))
                free = not options and not written
                for kept in ("strict-match", "flexible-extract") if free else ("none",):
                    less = rows["correct"] & (rng.random(items) < 0.8) if kept == "strict-match" else rows["correct"]
                    parts.append(rows.assign(filter=kept, correct=less))
    return pd.concat(parts, ignore_index=True)


def labels(names: list[str], samples: int, skill: float, rng: np.random.Generator, hardness: np.ndarray) -> pd.DataFrame:
    """A filter's answers. names: the pool's question ids; hardness: between 0 and 1, one a question."""
    ids, own = np.repeat(names, samples), np.repeat(hardness, samples)
    valid = rng.random(len(ids)) < 0.9
    right = rng.random(len(ids)) < np.clip(skill + 0.8 * (0.5 - own), 0.02, 0.98)
    other = np.where(rng.random(len(ids)) < 0.5, 1, rng.integers(1, 4, len(ids)))  # half of the wrong answers are shared mistakes
    return pd.DataFrame({
        "question_id": ids, "sample": np.tile(np.arange(samples), len(names)), "response": "text",
        "finish_reason": np.where(rng.random(len(ids)) < 0.03, "length", "stop"), "n_tokens": 100, "format_valid": valid,
        "predicted": LETTERS[np.where(right, 0, other)], "correct": right,
        "label": np.where(right & valid, "easy", "hard")})  # fmt: skip


def searches(rng: np.random.Generator, share: np.ndarray) -> dict[str, object]:
    """The columns of answers that may search; share: how likely each answer is to do so."""
    one = {"at": 3, "query": "a query", "text": "[1] A <b>passage</b>.", "ids": ["p1"]}
    found = rng.random(len(share)) < share
    return {"searches": [json.dumps([one] if here else []) for here in found],
            "right_found": np.where(found, rng.random(len(share)) < 0.7, np.nan), "wrong_found": np.where(found, 0.3, np.nan)}  # fmt: skip


def training(
    study: Study, arm: str, chosen: pd.DataFrame, rng: np.random.Generator, most: int | None
) -> tuple[pd.DataFrame, ...]:
    """(log, completions) of one run of at most `most` steps."""
    train = study.training(arm)
    steps, each = min(train.steps(len(chosen)), most or 10**9), train.completions_per_step
    far = np.repeat(np.linspace(0, 1, steps), each)
    groups = np.arange(steps * each) // train.rollouts
    valid, right = rng.random(len(far)) < 0.3 + 0.65 * np.minimum(1, 4 * far), rng.random(len(far)) < 0.3 + 0.05 * far
    words = rng.integers(20, 60, len(far)) + (20 * far).astype(int)
    marked = rng.random(len(far)) < 0.02 + 0.03 * far
    completions = pd.DataFrame({
        "step": np.repeat(np.arange(1, steps + 1), each), "question_id": chosen["question_id"].to_numpy()[groups % len(chosen)],
        "completion": ["word " * n + ("Wait, that is wrong." if m else "") for n, m in zip(words, marked, strict=True)],
        "reward_accuracy": 2.0 * (valid & right), "reward_format": 2.0 * valid, "reward_xml_count": np.where(valid, 1.0, 0.5),
        "advantage": 0.0})  # fmt: skip
    if study.arms[arm].search:
        completions = completions.assign(**searches(rng, 0.2 + 0.6 * far))
    parts = ["reward_accuracy", "reward_format", "reward_xml_count"]
    log = completions.groupby("step")[parts].mean().reset_index()
    flat = completions.groupby(["step", "question_id"])[parts].nunique().max(axis=1).eq(1).groupby("step").mean().to_numpy()
    log = log.assign(epoch=log["step"] / steps, reward=log[parts].sum(axis=1), reward_std=0.5, frac_reward_zero_std=flat,
                     completion_length=1.3 * words.reshape(steps, each).mean(axis=1), clipped_share=rng.random(steps) * 0.1,
                     entropy=1 - 0.5 * log["step"] / steps, learning_rate=1e-5, grad_norm=0.1, loss=0.0, seconds=5.0)  # fmt: skip
    return log, completions


def make(
    study: Study, size: float = 1.0, pool: int = 2000, steps: int | None = None, seed: int = 0, rotations: bool = True
) -> None:
    """Write a whole study to its folder. size: share of each benchmark's items; pool: questions; steps: the most a run has."""
    rng, truth = np.random.default_rng(seed), Truth(study, seed)
    hardness = rng.random(pool)
    facts = {"source": study.pool.source, "config": None, "split": "train", "from": "simulated", "rows": pool, "duplicates": 0, "refused": 0}  # fmt: skip
    names = [f"q{i:05d}" for i in range(pool)]
    for number, (name, spec) in enumerate(study.filters.items()):
        found = labels(names, spec.samples, 0.35 + 0.1 * number, np.random.default_rng([seed, 4, number]), hardness)
        wanted = study.inputs("filter", filter=name)
        write_result(found, study.path("filter", name, "labels.parquet"), "simulated", wanted, **(NOTE | {"filter": name}))
    for arm, spec in study.arms.items():
        for k in study.seeds:
            if k == study.seeds[0] or study.split.draws == "per_seed":
                kept = _chosen(study, spec, names, rng)
            inputs = study.inputs("split", arm=arm, seed=k)
            write_result(kept, study.draw_file(arm, k), "simulated", inputs, arm=arm, pool=facts, dropped=3, remarks=[])
            log, completions = training(study, arm, kept, np.random.default_rng([seed, 5, k, *arm.encode()]), steps)
            folder = study.path("train", arm, k)
            write_result(log, folder / "log.csv", fingerprint(arm, k), study.inputs("train", arm=arm, seed=k), **NOTE)
            completions.to_parquet(folder / "completions.parquet", index=False)
    for model in study.scored():
        path = study.path("eval", *model, "scores.parquet")
        effect = {"largest_weight": 0.1, "largest_logit_change": 0.5} if model[0] != UNTRAINED else {}
        write_result(
            scores(study, truth, model, size, seed, rotations), path, "simulated", study.inputs("eval"), **NOTE, **effect
        )
    if study.search:
        facts = {"corpus": "simulated", "passages": 9, "licences": {"MIT": 9}, "dropped": 1, "refused": 0}
        write_result(
            pd.DataFrame({"id": ["p0"]}), study.path("search", "dropped.csv"), "simulated", study.inputs("search"), **facts
        )
    for task in study.eval.tasks:
        outcome = {name: {"version": 1, "data": task.name, "items": items} for name, (items, _) in parts_of(task, size).items()}
        write_json({"benchmarks": outcome}, study.path("eval", UNTRAINED, "tasks", f"{task.name}.json"))


def _chosen(study: Study, arm, names: list[str], rng: np.random.Generator) -> pd.DataFrame:
    """An arm's questions by its filter's labels, as far as there are any."""
    if arm.filter is None or arm.hard is None:
        ids, kinds = rng.choice(names, min(arm.wanted, len(names)), replace=False), ["unlabelled"] * min(arm.wanted, len(names))
    else:
        found = pd.read_parquet(study.path("filter", arm.filter, "labels.parquet")).drop_duplicates("question_id")
        parts = [
            found.loc[found["label"] == kind, "question_id"].head(count)
            for kind, count in (("hard", arm.hard), ("easy", arm.easy))
        ]
        ids, kinds = pd.concat(parts).to_numpy(), ["hard"] * len(parts[0]) + ["easy"] * len(parts[1])
    return pd.DataFrame(
        {
            "question_id": ids,
            "id": ids,
            "question": "A question of some length?",
            "answer": "A",
            "topic": "",
            "label": kinds,
            "pass_rate": np.nan,
        }
    )


if __name__ == "__main__":
    make(open_study(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 1.0)
