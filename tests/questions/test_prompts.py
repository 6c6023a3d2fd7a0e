"""The prompt in both styles, and that its worked examples are read as their answers."""

import pytest

from helpers.questions import answers, prompts
from helpers.questions.text import LETTERS
from helpers.study.schema import Prompt

OPTIONS = ["Iron", "Iron and folate", "Zinc", "Copper"]


@pytest.mark.parametrize("example", [*prompts.WORKED_EXAMPLES, *prompts.NUMBER_EXAMPLES])
def test_worked_examples_are_read_as_their_answer(example):
    completion = f"<think>{example['thinking']}</think>\n<answer>{example['answer']}</answer>"
    assert answers.read_answer(completion, example["options"]) == (True, example["answer"], True)
    assert example["answer"] in (LETTERS if example["options"] else example["thinking"])


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
