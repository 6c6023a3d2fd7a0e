"""A question: where it is loaded from, its id, and what makes it a good one.

A pool is a table with the columns question_id, question, options (a list), answer (a letter) and
topic. A question that asks for a number has an empty list of options, and its answer is the number
as text. The pool comes from the starter set (`starter:medicine_pool`), from a JSONL or Parquet file of
one's own, or from a data set on the hub or in `OFFLINE_MIRROR`. Its form is known by its columns:

| form | columns |
| --- | --- |
| one's own, `GBaker/MedQA-USMLE-4-options`, `bigbio/med_qa` | question, options, answer or answer_idx (a letter) |
| `cais/mmlu` | question, choices, answer (a place, counted from 0) |
| `openai/gsm8k`, one's own | question, answer (a number, or a solution that ends in "#### number") |
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import unicodedata
from collections.abc import Callable, Iterable
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from helpers.study.files import StudyError, cache_of, read_note, sha256

if TYPE_CHECKING:
    from helpers.study.schema import Pool

STARTER = Path(__file__).parent / "starter"
LETTERS = "ABCDEFGHIJ"
REFUSED_SHARE = 0.01  # of a hub data set: above it the form is not understood; below it single questions are broken

# Training questions of data sets of which partial copies are about, by config. MedQA: arXiv 2009.13081, table 2;
# GSM8K: arXiv 2110.14168, section 2.
TRAINING_QUESTIONS = {
    "GBaker/MedQA-USMLE-4-options": {None: 10_178, "default": 10_178},
    "bigbio/med_qa": {
        "med_qa_en_source": 10_178,
        "med_qa_en_4options_source": 10_178,
        "med_qa_zh_source": 27_400,
        "med_qa_zh_4options_source": 27_400,
        "med_qa_tw_source": 11_298,
    },
    "openai/gsm8k": {None: 7_473, "main": 7_473, "socratic": 7_473},
}

_NUMBER = re.compile(
    r"(?:[-+]?\$?|\$[-+])((?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][-+]?[0-9]{1,2})?%?\.?"
)


class _Loaded(NamedTuple):
    """A pool as it was read, and where from."""

    table: pd.DataFrame
    facts: dict[str, Any]


def question_id(text: str) -> str:
    """The same sixteen hex digits for a question wherever it occurs: case, spaces and punctuation do not count.

    >>> question_id("What is 1 + 1?") == question_id("what is  1 + 1")
    True
    """
    return hashlib.sha256("".join(words(text)).encode()).hexdigest()[:16]


def words(text: str) -> list[str]:
    """Words of a text in lower case; each Chinese character is a word of its own."""
    normal = unicodedata.normalize("NFKC", text).lower()
    return re.findall(r"[\u3400-\u9fff]|[^\W_\u3400-\u9fff]+|[+*/=<>%-]", normal)


def number(text: str) -> str | None:
    """A text that is one number and nothing else, in the one way the study writes it; None if it is anything else.

    Commas between thousands, a dollar sign before and a percent sign or full stop after it are let pass, so is an
    exponent of up to two digits. Digits of other scripts, fractions, decimal commas, NaN and infinity are not.

    >>> [number(text) for text in ("1,200.0", "-$3.50", ".5", "12%", "1e3", "1/2", "3,5", "nan", "1e999")]
    ['1200', '-3.5', '0.5', '12', '1000', None, None, None, None]
    """
    text = text.strip().replace("\u2212", "-")  # the minus sign of print
    if not _NUMBER.fullmatch(text):
        return None
    plain = format(Decimal(re.sub("[$,%]", "", text).rstrip(".")), "f")
    if "." in plain:
        plain = plain.rstrip("0").rstrip(".")
    return "0" if plain == "-0" else plain


def source_file(pool: Pool, study_file: Path | None = None) -> Path | None:
    """The file a pool is read from; None if it is a data set on the hub.

    A relative path counts from the folder of the study's YAML file, then from the working folder.
    Raises StudyError if a file is named that does not exist, or a config, split or revision of a file.
    """
    source = pool.source
    starter = source.startswith("starter:")
    folders = ([study_file.parent] if study_file else []) + [Path()]
    path = next((folder / source for folder in folders if (folder / source).is_file()), None)
    if starter:
        path = STARTER / f"{source.removeprefix('starter:')}.jsonl"
        if not path.is_file():
            known = ", ".join(sorted(p.stem for p in STARTER.glob("*.jsonl")))
            raise StudyError(f"pool: no starter set {source.removeprefix('starter:')!r}; there are: {known}")
    elif Path(source).suffix in {".jsonl", ".parquet"}:
        if path is None:
            raise StudyError(f"pool: {source}: no such file")
    elif path is not None:
        raise StudyError(f"pool: {source}: a file of one's own should be .jsonl or .parquet")
    else:
        return None
    given = [key for key, usual in (("config", None), ("split", "train"), ("revision", None)) if getattr(pool, key) != usual]
    if given:
        raise StudyError(f"pool.{given[0]}: only a data set on the hub has one; leave it out for {source}")
    return path


def local_size(pool: Pool, study_file: Path | None = None) -> int | None:
    """Number of questions in a pool that is a file, after checking every one; None for a hub data set."""
    path = source_file(pool, study_file)
    return None if path is None else len(_from_file(path, sha256(path), pool.source).table)


def load_pool(pool: Pool, study_file: Path | None = None) -> pd.DataFrame:
    """The questions of a pool, one row each: question_id, id, question, options, answer, topic, …

    Raises StudyError for a pool that is missing, empty, or holds a broken or repeated question. Of a data set on
    the hub, which nobody here can mend, later copies of a question are left out, and so are broken questions if
    they are few (REFUSED_SHARE); `pool_facts` counts both.
    """
    return _loaded(pool, study_file).table.copy()


def pool_facts(pool: Pool, study_file: Path | None = None) -> dict[str, Any]:
    """What was loaded: source, config, split, from, rows, duplicates, refused, and first_refusal if there is one.

    from: "starter set", "file", "offline mirror" or "hub". From the hub, revision is the commit that was read;
    otherwise sha256 has the hash of each file by its name (in a mirror: its path in the data set's folder).
    """
    return dict(_loaded(pool, study_file).facts)


def pool_remarks(facts: dict[str, Any]) -> list[str]:
    """Sentences that belong beside every result made with the pool of these `pool_facts`."""
    name = facts["source"] + (f" ({facts['config']})" if facts["config"] else "")
    training = facts["split"].split("[")[0] == "train"  # also a part of it, such as train[:500]
    whole = TRAINING_QUESTIONS.get(facts["source"], {}).get(facts["config"]) if training else None
    read = facts["rows"] + facts["duplicates"] + facts["refused"]
    remarks = []
    if whole and read < whole:
        remarks.append(
            f"The pool has {read:,} of the {whole:,} training questions of {name} (from the {facts['from']}, split "
            f"{facts['split']}); they are no random sample of them, unless the notes on that copy say so."
        )
    if facts["duplicates"]:
        remarks.append(f"Questions of {name} left out because they repeat an earlier one: {facts['duplicates']}.")
    if facts["refused"]:
        remarks.append(f"Questions of {name} left out because they are broken: {facts['refused']}; {facts['first_refusal']}.")
    return remarks


def recorded_remarks(folder: Path) -> list[str]:
    """The `pool_remarks` of the pool as the splits below a study's folder recorded it.

    Not of the pool that can be had here and now: another machine may have a whole copy of it.
    """
    notes = [read_note(path) for path in sorted(folder.glob("split/*/train.json"))]
    return list(dict.fromkeys(line for note in notes if "pool" in note for line in pool_remarks(note["pool"])))


def load_starter(name: str) -> pd.DataFrame:
    """One file of the starter set as it stands, with its question_id (any kind: also arithmetic)."""
    rows = _rows(STARTER / f"{name}.jsonl")
    return pd.DataFrame([{"question_id": question_id(row["question"])} | row for row in rows])


def _loaded(pool: Pool, study_file: Path | None) -> _Loaded:
    """A pool and its facts; a process reads each pool once."""
    path = source_file(pool, study_file)
    if path is not None:
        return _from_file(path, sha256(path), pool.source)
    return _from_hub(pool.source, pool.config, pool.split, pool.revision, os.environ.get("OFFLINE_MIRROR", ""))


@functools.lru_cache(maxsize=8)
def _from_file(path: Path, content: str, source: str) -> _Loaded:
    """A pool from a file; `content` is its hash, so that a changed file is read again."""
    facts = {"source": source, "config": None, "split": "train"}
    facts |= {"from": "starter set" if source.startswith("starter:") else "file", "sha256": {path.name: content}}
    return _checked(_rows(path), str(path), facts)


@functools.lru_cache(maxsize=8)
def _from_hub(source: str, config: str | None, split: str, revision: str | None, mirror: str) -> _Loaded:
    """A pool from OFFLINE_MIRROR if the folder of that data set is there (the revision is the copy's), else from the hub."""
    import datasets

    folder = Path(mirror) / source
    mirrored = bool(mirror) and folder.is_dir()
    where = f"pool: {source} (config {config}, split {split})"
    try:
        builder = datasets.load_dataset_builder(
            str(folder) if mirrored else source,
            config,
            revision=None if mirrored else revision,
            cache_dir=cache_of(folder) if mirrored else None,
        )
        builder.download_and_prepare()
        rows = builder.as_dataset(split=split).to_list()
    except Exception as error:
        reason = _reason(error)
        if mirrored:
            raise StudyError(f"{where}: not had from the offline mirror's folder {folder}: {reason}") from None
        tried = f"OFFLINE_MIRROR={mirror} and the hub" if mirror else "the hub (OFFLINE_MIRROR is not set)"
        raise StudyError(f"{where}: neither a starter set nor a file, and not had from {tried}: {reason}") from None
    read = builder.config.data_files or {}
    files = [str(file) for file in read.get(split) or [file for part in read.values() for file in part]]
    facts: dict[str, Any] = {"source": source, "config": config, "split": split}
    if mirrored:
        hashes = {file.split(f"/{source}/")[-1]: sha256(Path(file)) for file in files}
        return _checked(rows, source, facts | {"from": "offline mirror", "sha256": hashes})
    found = re.search("@([0-9a-f]{40})/", files[0] if files else f"@{builder.hash}/")  # no files: from the cache of `datasets`
    commit = found.group(1) if found else revision
    if re.fullmatch("[0-9a-f]{40}", revision or "") and commit != revision:  # without a network, `datasets` takes what it has
        raise StudyError(f"{where}: revision {revision} wanted, the copy at hand is {commit}; load it once with a network")
    return _checked(rows, source, facts | {"from": "hub", "revision": commit})


def _reason(error: Exception) -> str:
    """An error of `datasets` in one line; what to do where it does not say so itself."""
    cause = f" ({error.__cause__})" if error.__cause__ else ""
    text = " ".join(f"{str(error).split('Example of usage')[0].strip() or type(error).__name__}{cause}".split())
    if "scripts are no longer supported" in text:
        text += "; fetch its Parquet file (branch refs/convert/parquet) and name that file as the pool"
    return text


def _rows(path: Path) -> list[dict[str, Any]]:
    """Rows of a JSONL or Parquet file. Raises StudyError with the line that is broken."""
    if path.suffix == ".parquet":
        import pyarrow.parquet

        try:
            return pyarrow.parquet.ParquetFile(path).read().to_pylist()
        except Exception as error:
            raise StudyError(f"{path}: cannot be read as Parquet ({' '.join(str(error).split())})") from None
    rows = []
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise StudyError(f"{path}: is not UTF-8 text ({error.reason} at byte {error.start})") from None
    for place, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError as error:
            raise StudyError(f"{path}: line {place} is not valid JSON ({error.msg})") from None
        if not isinstance(rows[-1], dict):
            raise StudyError(f"{path}: line {place} should be a JSON object with question, options and answer")
    return rows


def _checked(rows: list[dict[str, Any]], where: str, facts: dict[str, Any]) -> _Loaded:
    """Questions in the study's own form, each one checked, and `facts` with their numbers."""
    ours = facts["from"] in ("starter set", "file")  # can be mended, so every mistake is an error
    done: list[dict[str, Any]] = []
    first_at: dict[str, int] = {}
    duplicates, refusals = 0, []
    for place, row in enumerate(rows, 1):
        try:
            question = _one(row, f"{where}: question {place}")
        except StudyError as error:
            refusals.append(str(error))
            if ours or len(refusals) > REFUSED_SHARE * len(rows):
                raise StudyError(refusals[0]) from None
            continue
        other = first_at.setdefault(question["question_id"], place)
        if other == place:
            done.append(question)
        elif ours:
            raise StudyError(f"{where}: question {place} is the same as question {other}; keep one")
        else:
            duplicates += 1
    if not done:
        raise StudyError(f"{where}: the pool is empty; it needs questions with question, options and answer")
    facts = facts | {"rows": len(done), "duplicates": duplicates, "refused": len(refusals)}
    return _Loaded(pd.DataFrame(done), facts | ({"first_refusal": refusals[0]} if refusals else {}))


def _one(row: dict[str, Any], where: str) -> dict[str, Any]:
    """One question in the study's form, checked. What Parquet or JSON gives as null or NaN is missing."""
    row = _given(row.items())
    text = row.get("question")
    if not isinstance(text, str) or not text.strip():
        raise StudyError(f"{where}: 'question' should be a text, it is {text!r}; the columns are {', '.join(row) or 'empty'}")
    options, answer = _form(row)(row, where)
    known = {"question_id": question_id(text), "id": str(row.get("id", "")) or question_id(text)}
    topic = row.get("topic", row.get("meta_info", row.get("subject", "")))
    extra = {key: row[key] for key in ("step", "depth", "rationale") if key in row}
    return known | {"question": text, "options": options, "answer": answer, "topic": str(topic)} | extra


def _given(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """What is not missing."""
    return {key: value for key, value in pairs if value is not None and value == value}  # NaN differs from itself


def _form(row: dict[str, Any]) -> Callable[[dict[str, Any], str], tuple[list[str], str]]:
    """The converter for a row's columns: it returns options and answer, or raises StudyError."""
    if "choices" in row and "options" not in row:
        return _by_place
    return _by_letter if row.get("options", []) != [] else _by_number


def _by_place(row: dict[str, Any], where: str) -> tuple[list[str], str]:
    """choices: texts. answer: the place of the right one, counted from 0."""
    options, place = _texts(row["choices"], "choices", where), row.get("answer")
    if type(place) is not int or not 0 <= place < len(options):
        raise StudyError(f"{where}: answer should be a place among the choices, 0 to {len(options) - 1}, it is {place!r}")
    return options, LETTERS[place]


def _by_letter(row: dict[str, Any], where: str) -> tuple[list[str], str]:
    """options: texts, or by letter: {"A": text, …} or [{"key": "A", "value": text}, …]. The answer is a letter."""
    options, key = row["options"], "answer_idx" if "answer_idx" in row else "answer"
    if isinstance(options, list) and all(isinstance(option, dict) and {"key", "value"} <= option.keys() for option in options):
        letters = [option["key"] for option in options]
        options = {option["key"]: option["value"] for option in options} if len(set(letters)) == len(letters) else options
    if isinstance(options, dict):
        by_letter = _given(sorted(options.items()))
        if list(by_letter) != list(LETTERS[: len(by_letter)]):
            raise StudyError(f"{where}: options should go by A, B, C … without a gap, they go by {', '.join(by_letter)}")
        options = [str(text) for text in by_letter.values()]
    options, answer = _texts(options, "options", where), row.get(key)
    if not isinstance(answer, str) or not answer.strip():
        raise StudyError(f"{where}: {key!r} should be a text, it is {answer!r}; the columns are {', '.join(row)}")
    if answer not in LETTERS[: len(options)] or len(answer) != 1:
        raise StudyError(f"{where}: answer {answer!r} names none of the options {'/'.join(LETTERS[: len(options)])}")
    return options, answer


def _by_number(row: dict[str, Any], where: str) -> tuple[list[str], str]:
    """No options: the answer is a number, or ends in "#### number" as in GSM8K."""
    answer = row.get("answer")
    found = number(str(answer).rsplit("####", 1)[-1])
    if found is None:
        shown = answer[-40:] if isinstance(answer, str) else answer
        raise StudyError(
            f"{where}: 'options' should be a list of texts, it is {row.get('options')!r}; "
            f"without options 'answer' should be a number, it is {shown!r}"
        )
    return [], found


def _texts(options: Any, key: str, where: str) -> list[str]:
    """Options as they should be: 2 to 10 different texts."""
    if not isinstance(options, list) or not all(isinstance(option, str) and option.strip() for option in options):
        raise StudyError(f"{where}: {key!r} should be a list of texts, it is {options!r}")
    if not 2 <= len(options) <= len(LETTERS) or len(set(options)) < len(options):
        raise StudyError(f"{where}: {key} should be 2 to 10 different texts, they are {options!r}")
    return options


def _runs(text: str, size: int) -> np.ndarray:
    """Hashes of the different runs of `size` words in a text; a shorter text is one run, which only its equal has."""
    found = words(text)
    runs = {hash(tuple(found[start : start + size])) for start in range(max(1, len(found) - size + 1))}
    return np.fromiter(runs, dtype=np.int64, count=len(runs))


def overlaps(pool: pd.DataFrame, others: pd.DataFrame, size: int, share: float) -> pd.DataFrame:
    """Pool questions that occur in `others` (columns benchmark, question), exactly or nearly.

    Nearly: at least `share` of the shorter text's runs of `size` words also occur in the longer. A
    single shared run is not enough, since phrases such as "which of the following is the most
    likely diagnosis" are runs of eight words themselves. A text of fewer words than `size` is one run,
    so it is near only to a text of the same words.

    Returns one row a pair: question_id, id, benchmark, kind ("exact" or "near"), shared, question, other.
    """
    # The pool's runs are sorted once and each other text is looked up in them: 45,000 texts of about 60 words against
    # a pool of 10,000 of about 115 take 9 seconds and 50 MB on one core.
    mine = [_runs(text, size) for text in pool["question"]]
    lengths = np.array([len(runs) for runs in mine], dtype=np.int64)
    runs, owners = np.concatenate([*mine, np.empty(0, np.int64)]), np.repeat(np.arange(len(mine)), lengths)
    order = np.argsort(runs, kind="stable")
    runs, owners = runs[order], owners[order]
    same: dict[str, list[int]] = {}
    for place, identity in enumerate(pool["question_id"]):
        same.setdefault(identity, []).append(place)
    pairs = []
    for other_place, other in enumerate(others["question"]):
        theirs = _runs(other, size)
        first, last = np.searchsorted(runs, theirs, "left"), np.searchsorted(runs, theirs, "right")
        hits = [owners[start:end] for start, end in zip(first, last, strict=True) if end > start]
        exact = same.get(question_id(other), [])
        if not hits and not exact:
            continue
        shared = np.bincount(np.concatenate([*hits, np.empty(0, np.int64)]), minlength=len(mine))
        shared = shared / np.minimum(lengths, len(theirs))
        near = np.flatnonzero((shared >= share) & (shared > 0))
        pairs += [(place, other_place, shared[place], place in exact) for place in sorted({*near.tolist(), *exact})]
    rows = [
        (pool["question_id"].iloc[place], pool["id"].iloc[place], others["benchmark"].iloc[other_place],
         "exact" if exact else "near", float(shared), pool["question"].iloc[place], others["question"].iloc[other_place])
        for place, other_place, shared, exact in sorted(pairs)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["question_id", "id", "benchmark", "kind", "shared", "question", "other"])
