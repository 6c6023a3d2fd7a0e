"""Data sets of benchmarks, loaded in the columns that their tasks expect: `custom_dataset` and `process_docs` of the task files."""

from __future__ import annotations

from typing import Any

import datasets
import pandas as pd

from helpers.evaluation.documents import Document
from helpers.evaluation.mirror import first_line, load, mirrored, tried
from helpers.questions.pools import load_starter
from helpers.questions.text import LETTERS
from helpers.study.errors import StudyError
from helpers.study.places import TASKS

# Medbullets (arXiv 2402.18060) is not on the hub. Its authors' repository, at one commit:
MEDBULLETS = (
    "https://raw.githubusercontent.com/HanjieChen/ChallengeClinicalQA/d20bfca3cff061460fc216e85899a86e52da4934/"
    "medbullets/medbullets_{config}.csv"
)


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
    if mirrored("medbullets"):
        return {"test": load("medbullets", config, "test")}
    file = MEDBULLETS.format(config=config)
    try:
        rows = datasets.load_dataset("csv", data_files=file, split="train", na_filter=False)  # "None" may be an option
    except Exception as error:
        raise StudyError(
            f"medbullets: not in {tried()}, and {file} is not available: {first_line(error)}; connect, or leave out medbullets_{config}"
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
