"""Single items as a model meets them, for the chapter that evaluates it (04_eval)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from helpers.evaluation.benchmarks import manager, members, settings
from helpers.evaluation.scoring import Selection, samples_of
from helpers.questions.text import LETTERS
from helpers.study.schema import SEARCH

if TYPE_CHECKING:
    from helpers.evaluation.evaluation import Evaluation


def by_likelihood(model: Evaluation, scores: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame] | None:
    """One item that is scored by log-likelihood, from the smallest of these tasks; None if there is none.

    Returns (one row: benchmark, item_id, prompt; one row per option: option, continuation, log-likelihood, per character, right, chosen).
    """
    from helpers.models.harness_model import HarnessModel

    row = _first(scores, "likelihood")
    if row is None:
        return None
    found, task, doc, place = _document(model, row)
    harness = HarnessModel(model.engine, model.tokenizer, 1, 1)
    chosen = settings(model.study, next(one for one in model.study.eval.tasks if one.name == row["task"]))
    (sample,) = samples_of(harness, found, [Selection(task, [doc], [place], 1)], chosen)[row["benchmark"]]
    sent, values = sample["arguments"], [float(value) for value, _ in sample["filtered_resps"]]
    letters = list(LETTERS[: len(sent)])
    options = pd.DataFrame(
        {
            "option": letters,
            "continuation": [one[1].strip() for one in sent],
            "log-likelihood": values,
            "per character": [value / max(1, len(one[1].lstrip())) for value, one in zip(values, sent, strict=True)],
            "right": ["right" if letter == row["target"] else "" for letter in letters],
            "chosen": ["chosen" if letter == row["predicted"] else "" for letter in letters],
        }
    )
    return pd.DataFrame([{"benchmark": row["benchmark"], "item_id": row["item_id"], "prompt": sent[0][0]}]), options


def in_reasoning_mode(model: Evaluation, scores: pd.DataFrame) -> pd.DataFrame | None:
    """One item in reasoning mode, with its prompt: the scores' row of the first answer in the right format, else of the first; None if
    there is none."""
    row = _first(scores, "reasoning", "format_valid")
    return None if row is None else pd.DataFrame([row | {"prompt": _document(model, row)[2]["prompt"]}])


def _first(scores: pd.DataFrame, mode: str, preferred: str = "") -> dict[str, Any] | None:
    """A row of the smallest task in that mode, if possible in English and on what was trained; one with `preferred`, if there is one."""
    rows = scores[(scores["mode"] == mode) & (scores["rotation"] == 0)]
    if rows.empty:
        return None
    for part in ("not task.str.contains('chinese|cmmlu')", "group == 'specialisation'"):
        rows = found if len(found := rows.query(part)) else rows
    rows = rows[rows["task"] == rows.groupby("task", sort=False).size().idxmin()]
    return rows.loc[rows[preferred].astype(bool).idxmax() if preferred else rows.index[0]].to_dict()


def _document(model: Evaluation, row: dict[str, Any]) -> tuple[Any, Any, dict[str, Any], int]:
    """(task manager, task, document, its position) of a row of scores."""
    found = manager(model.study)
    asked = next(one for one in model.study.eval.tasks if one.label == row["task"])
    task = members(found, asked.name)[row["benchmark"].removesuffix(f"_{SEARCH}") if asked.search else row["benchmark"]]
    place, doc = next((n, doc) for n, doc in enumerate(task.eval_docs) if str(doc.get("item_id", n)) == row["item_id"])
    selected = Selection(task, [doc], [place], 1)
    return found, task, (selected.searching(model.study, model.tokenizer) if asked.search else selected).documents[0], place
