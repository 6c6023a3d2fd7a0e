"""Names of benchmarks and models, and numbers with a sign, for readers. Tables that are joined keep the names of tasks and folders."""

import re

import pandas as pd

READ = {"custom": "written answers", "flexible": "last number", "strict": "strict format"}  # answer filters of the harness
PLAIN = {"medqa 4options": "MedQA", "medqa": "MedQA", "mmlu pro": "MMLU-Pro", "cmmlu": "CMMLU", "mmlu": "MMLU", "gsm8k": "GSM8K", "medmcqa": "MedMCQA",
         "pubmedqa": "PubMedQA", "medbullets op4": "Medbullets, 4 options", "medbullets op5": "Medbullets, 5 options", "medxpertqa": "MedXpertQA", "medcalc bench": "MedCalc-Bench",
         "pool held out": "held-out questions", "chinese": "Chinese"}  # fmt: skip
SUBJECTS = {"gsm8k": "arithmetic", "arithmetic": "arithmetic", "med": "medicine"}  # of pools, by a part of their names
COLUMNS = ("task", "without", "worst_benchmark")  # further columns of tables that hold the name of a benchmark


def benchmark(name: str, answer_filter: str = "none", group: str = "") -> str:
    """A benchmark without what the project adds to its name, with `whole` for a whole suite, and with its answer filter if it has one.

    >>> [benchmark("starter_arithmetic", "strict-match"), benchmark("cmmlu", group="whole"), benchmark("pool_held_out_search")]
    ['arithmetic (strict format)', 'CMMLU (whole)', 'held-out questions, with search']
    >>> [benchmark("mmlu_pro_likelihood"), benchmark("mmlu_professional_law"), benchmark("medbullets_op4")]
    ['MMLU-Pro likelihood', 'MMLU professional law', 'Medbullets, 4 options']
    """
    plain = name.removeprefix("starter_").removesuffix("_mirror").replace("_", " ")
    plain = re.sub(rf"^({'|'.join(PLAIN)})\b", lambda found: PLAIN[found[0]], plain)
    plain = re.sub(" search$", ", with search", plain)
    rule = answer_filter.partition("-")[0]
    return plain + (" (whole)" if group == "whole" else "") + ("" if rule == "none" else f" ({READ.get(rule, rule)})")


def subject(pool: str) -> str:
    """What the questions of a pool are about, as far as its name says; else "".

    >>> [subject(pool) for pool in ("openai/gsm8k", "GBaker/MedQA-USMLE-4-options", "mine.jsonl")]
    ['arithmetic', 'medicine', '']
    """
    return next((subject for part, subject in SUBJECTS.items() if part in pool.lower()), "")


def of(table: pd.DataFrame) -> pd.Series:
    """The benchmark of each row, from the column benchmark and, where a table has them, filter and group."""
    given = table.assign(**{column: "none" for column in ("filter", "group") if column not in table})
    keys = zip(given["benchmark"], given["filter"], given["group"], strict=True)
    return pd.Series([benchmark(*key) for key in keys], table.index, dtype=object)


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """A table with its benchmarks named for readers; the answer filter stands in the name."""
    named = {column: table[column].map(benchmark) for column in COLUMNS if column in table}
    if "benchmark" in table:
        return table.assign(**named, benchmark=of(table)).drop(columns="filter", errors="ignore")
    return table.assign(**named)


def model(folder: str) -> str:
    """A scored model or a run by its folder, or by its notebook, in words.

    >>> [model("self/seed0"), model("self-seed0-step50"), model("untrained")]
    ['self, seed 0', 'self, seed 0, step 50', 'untrained']
    """
    return re.sub(r"[/-](seed|step)(?=\d)", r", \1 ", folder)


def signed(points: float, digits: int = 1) -> str:
    """A number with its sign, without a sign if it rounds to zero. digits: after the point.

    >>> [signed(1.26), signed(-0.04), signed(-0.04, 2), signed(-2)]
    ['+1.3', '0.0', '-0.04', '-2.0']
    """
    text = f"{points:+z.{digits}f}"
    return text.removeprefix("+") if float(text) == 0 else text
