"""The questions of the benchmark tasks: how the files in `helpers/evaluation/tasks/` load, print and read them.

A document is one question in the columns its data set has. Their layouts differ; what the study asks of a
document (its question, its options, the right one, the same with its options rotated) is read off the
columns here and nowhere else.
"""

from __future__ import annotations

import os
import re
from itertools import chain, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import datasets
import numpy as np
import pandas as pd

from helpers.questions import prompts
from helpers.questions.pools import load_starter
from helpers.questions.text import LETTERS, question_id
from helpers.study.files import StudyError, cache_of

if TYPE_CHECKING:
    from collections.abc import Iterable

Document = dict[str, Any]
TASKS = Path(__file__).parent / "tasks"
MEDICAL_SUBJECTS = (
    "anatomy", "clinical_knowledge", "college_biology", "college_medicine", "medical_genetics", "professional_medicine",
    "high_school_biology", "nutrition", "virology")  # fmt: skip
COLUMNS = {  # data sets with a column an option, and the column that names the right one
    ("A", "B", "C", "D"): "Answer",  # CMMLU
    ("opa", "opb", "opc", "opd"): "cop",  # MedMCQA
    ("ending0", "ending1", "ending2", "ending3"): "label",  # MedQA as the harness has it
}
REPEATED = "\nAnswer Choices:"  # MedXpertQA repeats its options at the end of every question
SAMPLE = ("benchmark", "doc_id", "question_id")
# Medbullets (arXiv 2402.18060) is not on the hub. Its authors' repository, at one commit:
MEDBULLETS = (
    "https://raw.githubusercontent.com/HanjieChen/ChallengeClinicalQA/d20bfca3cff061460fc216e85899a86e52da4934/"
    "medbullets/medbullets_{config}.csv"
)


# Loading: `custom_dataset` and `process_docs` of a task


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
    """The folder of a data set in OFFLINE_MIRROR; the harness's tasks are scored from within it."""
    folders = [Path(os.environ.get("OFFLINE_MIRROR", "")) / dataset, Path(dataset)]
    return next((path for path in folders if path.is_dir()), None)


def _tried() -> str:
    mirror = os.environ.get("OFFLINE_MIRROR", "")
    return f"OFFLINE_MIRROR={mirror}" if mirror else "OFFLINE_MIRROR (which is not set)"


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def starter_set(name: str, subject_group: str | None = None, **_: Any) -> dict[str, datasets.Dataset]:
    """One file of the starter set in the form of the harness (`custom_dataset` of a task)."""
    return {"test": datasets.Dataset.from_list(_documents(name, subject_group))}


def _documents(name: str, subject_group: str | None) -> list[Document]:
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


# Reasoning mode: the study's training prompt, filled in while loading


def reasoning_set(name: str, prompt: dict[str, Any], model: str | None, **_: Any) -> dict[str, datasets.Dataset]:
    """Starter questions with the study's training prompt, rendered for `model`'s tokenizer."""
    return _rendered(_documents(name, None), prompt, model)


def medqa_reasoning(prompt: dict[str, Any], model: str | None, **_: Any) -> dict[str, datasets.Dataset]:
    """MedQA test, item_id as in `medqa_4options`: the position."""
    rows = enumerate(load("GBaker/MedQA-USMLE-4-options", None, "test"))
    return _rendered([_plain(str(n), row, str(row["meta_info"] or "")) for n, row in rows], prompt, model)


def mmlu_reasoning(prompt: dict[str, Any], model: str | None, **_: Any) -> dict[str, datasets.Dataset]:
    """The nine medical subjects of MMLU in turn (a question of each, then the next of each), so that a limit takes from all."""
    parts = [
        [_plain(f"{subject}-{n}", row, subject) for n, row in enumerate(load("cais/mmlu", subject, "test"))]
        for subject in MEDICAL_SUBJECTS
    ]
    return _rendered([row for row in chain.from_iterable(zip_longest(*parts)) if row is not None], prompt, model)


def gsm8k_reasoning(prompt: dict[str, Any], model: str | None, **_: Any) -> dict[str, datasets.Dataset]:
    """GSM8K test; the answer is the number after ####."""
    rows = [
        {"item_id": str(n), "question": row["question"], "options": [], "answer": prompts.number(row["answer"].split("####")[-1]),
         "subject": ""}
        for n, row in enumerate(load("openai/gsm8k", "main", "test"))
    ]  # fmt: skip
    return _rendered(rows, prompt, model)


def held_out_set(
    prompt: dict[str, Any], model: str | None, held_out: Iterable[Document] | None = None, **_: Any
) -> dict[str, datasets.Dataset]:
    """Questions of the pool that no arm trains on. held_out: question_id, question, options, answer and topic of each."""
    rows = [
        {"item_id": row["question_id"], "question": row["question"], "options": list(row["options"]), "answer": row["answer"],
         "subject": str(row.get("topic") or "")}
        for row in held_out or []
    ]  # fmt: skip
    if not rows:
        raise StudyError("pool_held_out: no question is held out; set split.held_out to how many, or leave the task out")
    return _rendered(rows, prompt, model)


def _plain(item_id: str, doc: Document, subject: str) -> Document:
    return {"item_id": item_id, "question": question_text(doc), "options": options_of(doc), "answer": LETTERS[answer_of(doc)],
            "subject": subject}  # fmt: skip


def _rendered(documents: list[Document], prompt: dict[str, Any], model: str | None) -> dict[str, datasets.Dataset]:
    """The documents with their prompts; without a model, for one who only reads the questions, the prompts are left empty."""
    from helpers.models.loading import load_tokenizer
    from helpers.study.schema import Prompt

    settings = Prompt.model_validate(prompt)
    tokenizer = load_tokenizer(model) if model else None
    for row in documents:
        row["prompt"] = prompts.render(row["question"], row["options"], settings, tokenizer) if model else ""
        row["prefill"] = settings.prefill
    return {"test": datasets.Dataset.from_list(documents)}


# Judging: `process_results` of a task


def reasoning_result(doc: Document, results: list[str]) -> dict[str, float]:
    """Right if the letter (or number) in `<answer>` is."""
    reading = prompts.read_answer(doc["prefill"] + results[0], doc["options"])
    return {"acc": float(reading.predicted == doc["answer"])}


def same_number(doc: Document, results: list[str]) -> dict[str, float]:
    """Right if the text that a filter extracted is the same number as the answer."""
    return {"exact_match": float(_number(results[0]) == float(doc["answer"]))}


def _number(text: str) -> float | None:
    try:
        return float(re.sub(r"[,$]", "", text).rstrip("."))
    except ValueError:
        return None


# Reading a document, whatever its columns


def question_text(doc: Document) -> str:
    """The bare question: no options, no passage. Raises StudyError for a document that has none."""
    for column in ("sent1", "QUESTION", "Question", "question"):
        if isinstance(doc.get(column), str):
            return doc[column].split(REPEATED)[0].strip()
    raise StudyError(f"a document without a question; its columns are {', '.join(doc)}")


def key(doc: Document) -> str:
    """The question_id of a document."""
    return question_id(question_text(doc))


def options_of(doc: Document) -> list[str] | None:
    """The options in order; None for a document that is no lettered choice (a number, yes/no/maybe).

    >>> options_of({"options": {"A": "left", "B": "right", "C": None}})
    ['left', 'right']
    """
    options = doc.get("choices", doc.get("options"))
    if isinstance(options, dict):
        return [options[letter] for letter in _given(options)] or None
    if isinstance(options, list | tuple):
        return list(options) or None
    columns = next((names for names in COLUMNS if all(name in doc for name in names)), ())
    return [doc[name] for name in columns] or None


def _given(options: dict[str, str | None]) -> list[str]:
    """Letters that have an option: `datasets` fills the rows of a column of mappings up with nulls to the same letters."""
    return [letter for letter in sorted(options) if options[letter] is not None]


def _answer_column(doc: Document) -> str:
    if isinstance(doc.get("options"), dict):
        return "answer_idx" if "answer_idx" in doc else "label"
    return next((column for names, column in COLUMNS.items() if all(name in doc for name in names)), "answer")


def answer_of(doc: Document) -> int | None:
    """Position of the right option, from 0; None where `options_of` is None. Raises StudyError if it names no option."""
    options = options_of(doc)
    if options is None:
        return None
    value = doc.get(_answer_column(doc))
    letters = _given(doc["options"]) if isinstance(doc.get("options"), dict) else LETTERS[: len(options)]
    position = letters.index(value) if isinstance(value, str) and value in list(letters) else value
    if not isinstance(position, int | np.integer) or not 0 <= position < len(options):
        raise StudyError(f"{question_text(doc)[:60]!r}: answer {value!r} names none of its {len(options)} options")
    return int(position)


def letters_of(doc: Document) -> list[str]:
    """As many letters as the document has options (`doc_to_choice` of a task)."""
    return list(LETTERS[: len(options_of(doc) or [])])


def rotate(doc: Document, by: int) -> Document:
    """A copy whose options stand `by` places further on, the last ones first again; the right answer moves along.

    An option that speaks of its place ("both A and B") does not, so a few items change their meaning.
    Raises StudyError for a document that is no lettered choice, or whose prompt is already filled in.

    >>> rotate({"question": "?", "choices": ["a", "b", "c"], "answer": 2}, 1)
    {'question': '?', 'choices': ['c', 'a', 'b'], 'answer': 0}
    """
    options, answer = options_of(doc), answer_of(doc)
    if options is None or "prompt" in doc:
        why = (
            "its prompt is filled in already (reasoning mode)" if "prompt" in doc else "it is no choice between lettered options"
        )
        raise StudyError(f"{question_text(doc)[:60]!r}: options cannot be rotated: {why}")
    by %= len(options)
    moved, position = options[len(options) - by :] + options[: len(options) - by], (answer + by) % len(options)
    column = _answer_column(doc)
    if isinstance(doc.get("options"), dict):
        letters = _given(doc["options"])
        return doc | {"options": doc["options"] | dict(zip(letters, moved, strict=True)), column: letters[position]}
    names = next((names for names in COLUMNS if all(name in doc for name in names)), ())
    changed = dict(zip(names, moved, strict=True)) if names else {"choices" if "choices" in doc else "options": moved}
    changed |= {key: position for key in ("answer_index", "target") if key in doc}  # MMLU-Pro and the starter set name it twice
    return doc | changed | {column: LETTERS[position] if isinstance(doc[column], str) else position}


# Printing a document: `doc_to_text` of a task


def lettered(doc: Document) -> str:
    """Question, options with their letters, "Answer:"; the form of the harness's `medqa_4options`."""
    rows = [f"{letter}. {option.strip()}" for letter, option in zip(letters_of(doc), options_of(doc), strict=True)]
    return "\n".join([f"Question: {question_text(doc)}", *rows, "Answer:"])


def mmlu_pro_text(doc: Document) -> str:
    """What the harness's `mmlu_pro` prints, without the words that open the reasoning."""
    from lm_eval.tasks.mmlu_pro.utils import doc_to_text

    return doc_to_text(doc).removesuffix(" Let's think step by step.")


# A fixed sample of a benchmark that is too dear as a whole


def draw_sample(documents_by_benchmark: dict[str, list[Document]], items: int, seed: int) -> pd.DataFrame:
    """Draw `items` documents, from each benchmark in proportion to its size and at least one.

    Returns one row an item: benchmark, doc_id (position among the task's documents), question_id.
    """
    sizes = {name: len(documents_by_benchmark[name]) for name in sorted(documents_by_benchmark)}
    total = sum(sizes.values())
    if not len(sizes) <= items <= total or not all(sizes.values()):
        raise StudyError(f"a sample of {items} items: it should be {len(sizes)} (one a benchmark) to {total} (all), none empty")
    shares = _shares(sizes, items)
    random = np.random.default_rng(seed)
    rows = []
    for name, size in sizes.items():
        for position in sorted(random.choice(size, shares[name], replace=False).tolist()):
            rows.append((name, position, key(documents_by_benchmark[name][position])))
    return pd.DataFrame(rows, columns=list(SAMPLE))


def _shares(sizes: dict[str, int], items: int) -> dict[str, int]:
    """Whole numbers nearest to the proportions (largest remainder), then one for each that would have none."""
    exact = {name: items * size / sum(sizes.values()) for name, size in sizes.items()}
    shares = {name: int(value) for name, value in exact.items()}
    for name in sorted(exact, key=lambda name: shares[name] - exact[name])[: items - sum(shares.values())]:
        shares[name] += 1
    for name in [name for name, share in shares.items() if share == 0]:
        shares[max(shares, key=shares.__getitem__)] -= 1
        shares[name] = 1
    return shares


def read_sample(path: Path) -> dict[str, pd.DataFrame]:
    """The items of a sample file (CSV: benchmark, doc_id, question_id): for each benchmark doc_id and question_id, by doc_id.

    Raises StudyError in one line for a file that is not there, lacks a column, is empty, or names an item twice.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except FileNotFoundError:
        raise StudyError(f"{path}: no such sample; it should be a CSV with the columns {', '.join(SAMPLE)}") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise StudyError(f"{path}: cannot be read as CSV ({str(error).strip()})") from None
    if lacking := [name for name in SAMPLE if name not in table]:
        raise StudyError(f"{path}: column {lacking[0]!r} is missing; a sample has {', '.join(SAMPLE)}")
    if table.empty:
        raise StudyError(f"{path}: the sample is empty; it needs at least one item")
    for line, value in enumerate(table["doc_id"], 2):
        if not value.isdecimal():
            raise StudyError(f"{path}: line {line}: doc_id {value!r} should be a position, a whole number from 0")
    table["doc_id"] = table["doc_id"].astype(int)
    if (twice := table.duplicated(["benchmark", "doc_id"])).any():
        first = table[twice].iloc[0]
        raise StudyError(f"{path}: {first['benchmark']} doc_id {first['doc_id']} stands twice; keep one")
    parts = table.sort_values("doc_id").groupby("benchmark")
    return {str(name): part[["doc_id", "question_id"]].reset_index(drop=True) for name, part in parts}
