"""The starter set: counts, balance, no repeats, no overlap, and arithmetic that is recomputed."""

import ast
import csv
import operator
from collections import Counter

import pytest

from helpers.questions import pools
from helpers.questions.overlap import overlaps
from helpers.questions.text import LETTERS
from helpers.study.places import STARTER

CHOICE = {"medicine_pool": (96, 4), "medicine_test": (48, 4), "general": (40, 4), "ten_options": (24, 10), "chinese": (40, 4)}
OPERATORS = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod, ast.Pow: operator.pow,
}  # fmt: skip


@pytest.mark.parametrize("name", CHOICE)
def test_counts_fields_and_letters(name):
    least, options = CHOICE[name]
    rows = pools.load_starter(name)
    assert len(rows) >= least
    assert (rows["options"].str.len() == options).all()
    assert rows["options"].map(lambda o: len(set(o)) == options).all()
    assert rows[["id", "question", "answer", "topic", "rationale"]].notna().all().all()
    assert rows["rationale"].str.len().gt(10).all()
    shares = rows["answer"].value_counts(normalize=True).reindex(list(LETTERS[:options]), fill_value=0)
    assert (shares - 1 / options).abs().max() <= 0.03


@pytest.mark.parametrize("name", CHOICE)
def test_the_right_option_is_not_given_away_by_its_length(name):
    rows = pools.load_starter(name)
    lengths = [[len(option) for option in options] for options in rows["options"]]
    right = [numbers[LETTERS.index(answer)] for numbers, answer in zip(lengths, rows["answer"], strict=True)]
    alone = [key == max(n) and n.count(key) == 1 for key, n in zip(right, lengths, strict=True)]
    # a quarter (a tenth) by chance, and two standard errors on top
    fair = 1 / CHOICE[name][1]
    assert sum(alone) / len(alone) <= fair + 2 * (fair * (1 - fair) / len(alone)) ** 0.5


def test_subjects():
    assert pools.load_starter("general")["topic"].nunique() >= 8
    groups = Counter(pools.load_starter("chinese")["subject_group"])
    assert abs(groups["medical"] - groups["other"]) <= 2
    for name in ("medicine_pool", "medicine_test"):
        rows = pools.load_starter(name)
        assert rows["topic"].nunique() >= 12
        assert set(rows["step"]) == {1, 2, 3}
        assert {"recall", "three-step"} <= set(rows["depth"])


def test_no_question_twice_and_none_of_the_test_in_the_pool():
    every = [row for name in [*CHOICE, "arithmetic"] for row in pools.load_starter(name)["question_id"]]
    assert len(every) == len(set(every))
    pool, tested = pools.load_starter("medicine_pool"), pools.load_starter("medicine_test").assign(benchmark="test")
    assert overlaps(pool, tested, size=8, share=0.2).empty


def evaluate(node):
    """The value of an arithmetic expression of numbers, + - * / // % ** and parentheses."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -evaluate(node.operand)
    return OPERATORS[type(node.op)](evaluate(node.left), evaluate(node.right))


def test_arithmetic_answers_are_what_their_expressions_give():
    rows = pools.load_starter("arithmetic")
    assert len(rows) >= 40
    for row in rows.itertuples():
        assert evaluate(ast.parse(row.expression, mode="eval").body) == pytest.approx(float(row.answer), abs=1e-9), row.id


def test_every_question_was_answered_blind_and_the_table_says_how():
    with (STARTER / "agreement.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    keys = {row.id: row.answer for name in [*CHOICE, "arithmetic"] for row in pools.load_starter(name).itertuples()}
    kept = {row["id"]: row for row in table if row["id"] in keys}
    assert kept.keys() == keys.keys()
    assert all(row["key"] == keys[identity] for identity, row in kept.items())
    assert all(row["agrees"] == "yes" for row in kept.values())
    assert all(row["action"] for row in kept.values() if row["flag"] != "ok")
