"""Where benchmarks' data come from: a folder of `OFFLINE_MIRROR` that has the data set's hub id, else the hub.

The task files name the functions that load a data set (`custom_dataset`) or rename its columns (`process_docs`).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import pandas as pd

from helpers.evaluation.documents import Document
from helpers.questions.pools import load_starter
from helpers.questions.text import LETTERS
from helpers.study.errors import StudyError
from helpers.study.files import cache_of
from helpers.study.places import TASKS

# Medbullets (arXiv 2402.18060) is not on the hub. Its authors' repository, at one commit:
MEDBULLETS = (
    "https://raw.githubusercontent.com/HanjieChen/ChallengeClinicalQA/d20bfca3cff061460fc216e85899a86e52da4934/"
    "medbullets/medbullets_{config}.csv"
)


def mirror() -> Path | None:
    """The folder that OFFLINE_MIRROR names, made absolute; None if it is not set. Raises StudyError if it is no folder."""
    named = os.environ.get("OFFLINE_MIRROR", "")
    if named and not Path(named).is_dir():
        raise StudyError(f"OFFLINE_MIRROR={named}: no such folder; it should hold hub repositories as <folder>/<id>")
    return Path(named).resolve() if named else None


@contextlib.contextmanager
def in_mirror() -> Iterator[None]:
    """Have `datasets` find the mirror's folders: the harness names data sets by hub id, which is a path from the mirror."""
    folder = mirror()
    if folder is None:
        yield
        return
    os.environ["OFFLINE_MIRROR"] = str(folder)  # absolute, since the working folder changes
    before = datasets.config.HF_DATASETS_CACHE
    datasets.config.HF_DATASETS_CACHE = cache_of(folder)
    try:
        with contextlib.chdir(folder):
            yield
    finally:
        datasets.config.HF_DATASETS_CACHE = before


def load(dataset: str, config: str | None, split: str) -> datasets.Dataset:
    """One split of a data set: from OFFLINE_MIRROR if it is there, else from the hub.

    Raises StudyError in one line if it cannot be had.
    """
    folder = _mirrored(dataset)
    try:
        source, cache = (str(folder), cache_of(folder)) if folder else (dataset, None)
        return datasets.load_dataset(source, config, split=split, cache_dir=cache)
    except Exception as error:
        part = f"split {split!r}" + (f" of {config!r}" if config else "")
        raise StudyError(f"{dataset}: {part} not had from {folder or f'{_tried()} or the hub'}: {_first_line(error)}") from None


def _mirrored(dataset: str) -> Path | None:
    """The folder of a data set in OFFLINE_MIRROR; None if it is not there."""
    folder = mirror()
    return folder / dataset if folder and (folder / dataset).is_dir() else None


def _tried() -> str:
    mirror = os.environ.get("OFFLINE_MIRROR", "")
    return f"OFFLINE_MIRROR={mirror}" if mirror else "OFFLINE_MIRROR (which is not set)"


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def starter_set(name: str, subject_group: str | None = None, **_: Any) -> dict[str, datasets.Dataset]:
    """One file of the starter set in the form of the harness (`custom_dataset` of a task)."""
    return {"test": datasets.Dataset.from_list(starter_documents(name, subject_group))}


def starter_documents(name: str, subject_group: str | None) -> list[Document]:
    rows = []
    for row in load_starter(name).to_dict("records"):
        if subject_group and row.get("subject_group") != subject_group:
            continue
        document = {"item_id": row["id"], "question": row["question"], "answer": row["answer"], "subject": row["topic"]}
        if isinstance(row.get("options"), list):
            document |= {"options": row["options"], "target": LETTERS.index(row["answer"])}
        else:
            document["solution"] = row["answer"]
        rows.append(document)
    return rows


def medbullets(config: str, **_: Any) -> dict[str, datasets.Dataset]:
    """Medbullets with four or five options (`op4`, `op5`): from the mirror, else, since the hub has it not, from its authors."""
    if _mirrored("medbullets"):
        return {"test": load("medbullets", config, "test")}
    file = MEDBULLETS.format(config=config)
    try:
        rows = datasets.load_dataset("csv", data_files=file, split="train", na_filter=False)  # "None" may be an option
    except Exception as error:
        raise StudyError(
            f"medbullets: not in {_tried()}, and {file} cannot be had: {_first_line(error)}; connect, or leave out medbullets_{config}"
        ) from None
    return {"test": datasets.Dataset.from_list([_medbullets_row(row) for row in rows])}


def _medbullets_row(row: Document) -> Document:
    """A row of the authors' file, which has a column an option: opa, opb, … (empty, or not there, where there are fewer)."""
    options = {letter: row.get(f"op{letter.lower()}", "") for letter in "ABCDE"}
    given = {letter: text for letter, text in options.items() if text}
    return {"question": row["question"], "options": given, "answer": row["answer"], "answer_idx": row["answer_idx"]}


def pubmedqa(**_: Any) -> dict[str, datasets.Dataset]:
    """The expert-labelled part of PubMedQA in the columns of the harness's task.

    `test`: the 500 official test questions, by the ids in `pubmedqa_test_ids.csv`; `train`: the other 500.
    """
    rows = {int(row["pubid"]): row for row in load("qiaojin/PubMedQA", "pqa_labeled", "train")}
    test = pd.read_csv(TASKS / "pubmedqa_test_ids.csv")["pubid"].tolist()
    if lost := [number for number in test if number not in rows]:
        raise StudyError(
            f"qiaojin/PubMedQA: {len(lost)} of the {len(test)} test questions are not in pqa_labeled, first {lost[0]}"
        )
    parts = {"test": test, "train": sorted(set(rows) - set(test))}
    return {name: datasets.Dataset.from_list([_pubmedqa_row(rows[n]) for n in numbers]) for name, numbers in parts.items()}


def _pubmedqa_row(row: Document) -> Document:
    return {"item_id": str(row["pubid"]), "QUESTION": row["question"], "CONTEXTS": list(row["context"]["contexts"]),
            "final_decision": row["final_decision"]}  # fmt: skip


def medqa_as_in_harness(dataset: datasets.Dataset) -> datasets.Dataset:
    """GBaker/MedQA-USMLE-4-options in the columns of its sibling …-hf, which the harness's task reads."""
    return dataset.map(_medqa_row, remove_columns=dataset.column_names)


def _medqa_row(row: Document) -> Document:
    endings = {f"ending{number}": row["options"][letter] for number, letter in enumerate("ABCD")}
    return {"sent1": row["question"], "sent2": ""} | endings | {"label": LETTERS.index(row["answer_idx"])}
