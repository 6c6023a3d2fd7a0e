"""Which completions are accepted, which refused, and what is read out of them."""

import pytest

from helpers.questions import prompts
from helpers.study.schema import Prompt

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
    assert prompts.soft_format(completion) is soft
    assert prompts.strict_format(completion) is strict
    assert prompts.read_answer(completion, OPTIONS) == (strict, predicted, exact)


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
    assert prompts.read_answer(f"<think>a</think><answer>{block}</answer>", []) == (True, predicted, exact)


def test_a_number_outside_the_answer_block_is_unread():
    assert prompts.read_answer("<think>42</think> 42", []) == (False, None, False)


@pytest.mark.parametrize("example", [*prompts.WORKED_EXAMPLES, *prompts.NUMBER_EXAMPLES])
def test_worked_examples_are_read_as_their_answer(example):
    completion = f"<think>{example['thinking']}</think>\n<answer>{example['answer']}</answer>"
    assert prompts.read_answer(completion, example["options"]) == (True, example["answer"], True)
    assert example["answer"] in (prompts.LETTERS if example["options"] else example["thinking"])


class Tokenizer:
    """As much of a tokenizer as a prompt needs."""

    bos_token, bos_token_id = "<s>", 1
    chat_template = "yes"

    def __init__(self, system_role=True, adds_begin=True):
        self.system_role, self.adds_begin = system_role, adds_begin

    def __call__(self, text):
        return {"input_ids": ([1] if self.adds_begin else []) + [5] * len(text)}

    def apply_chat_template(self, messages, tokenize, add_generation_prompt):
        if not self.system_role and messages[0]["role"] == "system":
            raise ValueError("no system role")
        return "<s>" + "".join(f"[{m['role']}]{m['content']}" for m in messages) + "[assistant]"


def test_chat_prompt_has_no_second_begin_token_and_ends_with_the_prefill():
    text = prompts.render("What?", OPTIONS, Prompt(style="chat", worked_examples=1, prefill="<think>"), Tokenizer())
    assert text.startswith("[system]The user asks")
    assert text.endswith("[user]What?\nA. Iron\nB. Iron and folate\nC. Zinc\nD. Copper[assistant]<think>")
    assert text.count("[assistant]") == 2


def test_a_begin_token_that_only_the_template_writes_stays():
    text = prompts.render("What?", OPTIONS, Prompt(style="chat"), Tokenizer(adds_begin=False))
    assert text.startswith("<s>[system]The user asks")


def test_a_template_without_system_role_gets_the_instruction_in_the_first_turn():
    text = prompts.render("What?", OPTIONS, Prompt(style="chat"), Tokenizer(system_role=False))
    assert text.startswith("[user]The user asks a question.")
    assert "What?" in text


def test_a_model_without_chat_template_gets_the_transcript():
    bare = Tokenizer()
    bare.chat_template = None
    text = prompts.render("What?", OPTIONS, Prompt(style="chat"), bare)
    assert text.endswith("User: What?\nA. Iron\nB. Iron and folate\nC. Zinc\nD. Copper\n\nAssistant:")


def test_a_question_without_options_gets_the_instruction_and_the_examples_of_numbers():
    text = prompts.render("How many?", [], Prompt(style="chat", worked_examples=2), Tokenizer())
    assert "as a number inside <answer>" in text
    assert "letter" not in text
    assert [example["question"] in text for example in prompts.NUMBER_EXAMPLES] == [True, True]
    assert text.endswith("[user]How many?[assistant]")


@pytest.mark.parametrize("options", [OPTIONS, []])
def test_the_prompt_holds_no_filler_that_could_be_copied_as_an_answer(options):
    text = prompts.render("What?", options, Prompt(style="plain"), Tokenizer())
    assert "<think> </think>" in text
    assert "here" not in text
