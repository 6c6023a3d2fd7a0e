"""Which completions are accepted, which refused, and what each of the two readings reads out of them."""

import pytest

from helpers.questions import answers

SEARCHED = "<think>I ask. <search>iron < 5</search> So iron.</think>\n<answer>A</answer>"
OPTIONS = ["Iron", "Iron and folate", "Zinc", "Copper"]
GOOD = "<think>Microcytic, so iron.</think>\n<answer>A</answer>"


@pytest.mark.parametrize(
    ("completion", "soft", "strict", "predicted", "exact"),
    [
        (GOOD, True, True, "A", True),
        ("<think>a\nb</think><answer>(C)</answer>", True, True, "C", True),
        ("  <think>a</think>\n\n<answer>\nB\n</answer>\n", True, True, "B", True),
        ("<think></think><answer>D</answer>", True, True, "D", True),
        (GOOD + " So the answer is A.", True, False, "A", True),
        ("Sure! " + GOOD, False, False, "A", True),
        ("<think>a</think> so <answer>A</answer>", False, False, "A", True),
        ("<answer>A</answer>", False, False, "A", True),
        ("<answer>A</answer><think>a</think>", False, False, "A", True),
        ("<think>a<answer>A</answer>", False, False, "A", True),
        ("<think>a</think><answer>A", False, False, None, False),
        ("<think>a</think>A", False, False, None, False),
        ("", False, False, None, False),
        ("<think>a</think><answer></answer>", True, True, None, False),
        ("<think>a</think><answer>E</answer>", True, True, None, False),
        ("<think>a</think><answer>a</answer>", True, True, None, False),
        ("<think>a</think><answer>(A</answer>", True, True, None, False),
        ("<think>a</think><answer>A. Iron</answer>", True, True, None, False),
        ("<think>a</think><answer>A or B</answer>", True, True, None, False),
        ("<think>a</think><answer>zinc, of course</answer>", True, True, "C", False),
        ("<think>a</think><answer>Iron and folate</answer>", True, True, "B", False),
        ("<think>a</think><answer>The iron</answer>", True, True, None, False),
        ("<think>a</think><answer>A</answer><answer>B</answer>", True, False, "B", True),
        ("<think>a</think><think>b</think><answer>B</answer>", True, False, "B", True),
        ("<THINK>a</THINK><ANSWER>B</ANSWER>", False, False, None, False),
    ],
)
def test_completions(completion, soft, strict, predicted, exact):
    assert answers.soft_format(completion) is soft
    assert answers.strict_format(completion) is strict
    assert answers.read_answer(completion, OPTIONS) == (strict, predicted, exact)


@pytest.mark.parametrize(
    ("block", "predicted", "exact"),
    [
        ("42", "42", True),
        (" 42\n", "42", True),
        ("1,234,567", "1234567", True),
        ("1200.00", "1200", True),
        ("$1,200.50", "1200.5", True),
        ("-$3", "-3", True),
        ("\u22123", "-3", True),
        ("+7", "7", True),
        (".5", "0.5", True),
        ("-0", "0", True),
        ("007", "7", True),
        ("42.", "42", True),
        ("15%", "15", True),
        ("2.5e3", "2500", True),
        ("72 clips", "72", False),
        ("The answer is 1,200.", "1200", False),
        ("x = -4", "-4", False),
        ("about $18 a day", "18", False),
        ("**42**", "42", False),
        ("5 mg of vitamin B12", "5", False),
        ("", None, False),
        ("forty", None, False),
        ("1/2", None, False),
        ("3 + 4 = 7", None, False),
        ("12-15", None, False),
        ("7:30", None, False),
        ("3,5", None, False),
        ("1,2000", None, False),
        ("12.5.3", None, False),
        ("1 200", None, False),
        ("nan", None, False),
        ("-inf", None, False),
        ("1e999999", None, False),
        ("about 1e999999", None, False),
        ("\uff14\uff12", None, False),  # 42 in full-width digits
        ("\u0664\u0662", None, False),  # 42 in Arabic digits
        ("4\uff12", None, False),
    ],
)
def test_numbers(block, predicted, exact):
    assert answers.read_answer(f"<think>a</think><answer>{block}</answer>", []) == (True, predicted, exact)


def test_a_number_outside_the_answer_block_is_unread():
    assert answers.read_answer("<think>42</think> 42", []) == (False, None, False)


ORGANS = ["Liver", "Pancreas", "Spleen", "Pancreas and spleen"]
SPELLINGS = {  # of an answer block: (strict, tolerant)
    "B": ("B", "B"),
    "(B)": ("B", "B"),
    "b": (None, "B"),
    "B.": (None, "B"),
    "b)": (None, "B"),
    "[B]": (None, "B"),
    "B. Pancreas": (None, "B"),
    "B) pancreas": (None, "B"),
    "B: Pancreas.": (None, "B"),
    "B - Pancreas": (None, "B"),
    "B Pancreas": (None, "B"),
    "(B) Pancreas": (None, "B"),
    "B (Pancreas)": (None, "B"),
    "**B**": (None, "B"),
    "**B. Pancreas**": (None, "B"),
    "`B`": (None, "B"),
    "'B'": (None, "B"),
    "Option B": (None, "B"),
    "option (b)": (None, "B"),
    "Answer: B": (None, "B"),
    "The correct answer is (B) Pancreas.": (None, "B"),
    "So the answer is: **B**.": (None, "B"),
    "B is correct.": (None, "B"),
    r"\boxed{B}": (None, "B"),
    r"$\boxed{\text{B}}$": (None, "B"),
    r"It holds the islets, so \boxed{B. Pancreas}.": (None, "B"),
    "\uff22": (None, "B"),  # full width
    "\uff08B\uff09": (None, "B"),
    "Pancreas": ("B", "B"),
    "the pancreas": (None, "B"),
    "**Pancreas**": (None, "B"),
    "Pancreas (B)": ("B", "B"),
    "pancreas and spleen": ("D", "D"),
    "d. pancreas and spleen": (None, "D"),
    "B. Pancreas, since islets lie there": (None, "B"),
    # hostile: nothing, no option, or more than one answer
    "": (None, None),
    "A or B": (None, None),
    "A, B": (None, None),
    "A/B": (None, None),
    "AB": (None, None),
    "A and B": (None, None),
    "Option A or option B": (None, None),
    "B) Pancreas or C) Spleen": (None, None),
    "B. Liver": (None, None),  # the text of A
    "the liver or the spleen": (None, None),
    "E": (None, None),
    "(J)": (None, None),
    "Option E": (None, None),
    "K": (None, None),
    "not B": (None, None),
    "neither": (None, None),
    "letter": (None, None),
    "a gland": (None, None),
    "I think so": (None, None),
    "Because": (None, None),
    "Pancreatic duct": (None, None),
    r"\boxed{A} or \boxed{B}": (None, None),
    r"\boxed{}": (None, None),
    "42": (None, None),
}


@pytest.mark.parametrize("block", SPELLINGS)
def test_spellings_of_an_answer_by_both_readings(block):
    completion = f"<think>Islet cells.</think>\n<answer>{block}</answer>"
    assert (answers.read_answer(completion, ORGANS).predicted, answers.read_tolerant(completion, ORGANS)) == SPELLINGS[block]


@pytest.mark.parametrize(
    ("completion", "tolerant"),
    [
        ("<think>a</think> B", "B"),
        ("<think>a</think>\n\n**Answer: B**", "B"),
        ("<think>a</think><answer>B", "B"),
        ("<ANSWER>b</ANSWER>", "B"),
        ("B", "B"),
        (r"Islets lie there. \boxed{B}", "B"),
        ("<answer>B</answer><think>a</think>", "B"),
        ("<answer> </answer> is the form.</think><answer>B</answer>", "B"),
        ("<answer>A</answer><answer>B</answer>", None),
        ("<think>a, so B", None),
        ("Islets lie in the pancreas, so B", None),
        ("<think>B</think>", None),
        ("", None),
    ],
)
def test_the_tolerant_reading_where_the_format_is_wrong(completion, tolerant):
    assert answers.read_tolerant(completion, ORGANS) == tolerant


def test_what_the_strict_reading_calls_right_in_the_right_format_is_right_by_the_tolerant_one():
    blocks = [*SPELLINGS, "Pancreas or spleen", "Liver, not spleen"]  # the strict reading takes the option that begins the block
    for completion in [f"<think>x</think><answer>{block}</answer>" for block in blocks]:
        strict = answers.read_answer(completion, ORGANS)
        assert strict.predicted in (None, answers.read_tolerant(completion, ORGANS))
        assert strict.format_valid


@pytest.mark.parametrize(
    ("completion", "tolerant"),
    [
        ("<think>a</think><answer>42</answer>", "42"),
        (r"<think>a</think><answer>\boxed{1,200}</answer>", "1200"),
        ("<think>a</think> The answer is **42** clips.", "42"),
        ("<think>6 * 7</think> 6 * 7 = 42", None),
        ("Tom has 5 apples", None),
        ("5", "5"),
        (r"6 * 7 is \boxed{42}.", "42"),
        ("<think>a</think><answer>4 or 5</answer>", None),
    ],
)
def test_numbers_by_the_tolerant_reading(completion, tolerant):
    assert answers.read_tolerant(completion, []) == tolerant


@pytest.mark.parametrize(
    ("completion", "right"),
    [
        (GOOD, True),
        (SEARCHED, True),
        (SEARCHED.replace("So iron.", "<search>ferritin</search> So"), True),
        ("<think>a</think> <search>iron</search>\n<answer>A</answer>", True),
        (SEARCHED.replace("iron < 5", " \n"), False),
        (SEARCHED.replace("</search>", ""), False),
        (SEARCHED.replace("<search>", ""), False),
        (SEARCHED.replace("iron <", "<search>iron"), False),
        (SEARCHED.replace("iron <", "</think><answer>A</answer>"), False),
        (SEARCHED.replace(" So iron", "<information>Iron it is.</information>"), False),
        (GOOD.replace("A</", "<search>iron</search>A</"), False),
        (GOOD + "<search>iron</search>", False),
        ("<search>" * 1000 + GOOD, False),
    ],
)
def test_search_blocks_are_part_of_the_format_and_broken_ones_break_it(completion, right):
    assert answers.soft_format(completion, search=True) is answers.strict_format(completion, search=True) is right
    assert answers.read_answer(completion, OPTIONS, search=True).format_valid is right


def test_without_the_tool_search_tags_are_words():
    assert answers.strict_format(SEARCHED.replace("</search>", ""))
    assert not answers.strict_format("<think>a</think> <search>iron</search>\n<answer>A</answer>")
