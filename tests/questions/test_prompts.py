"""The prompt in both styles, and that its worked examples are read as their answers."""

import pytest

from helpers.questions import answers, prompts
from helpers.questions.text import LETTERS
from helpers.study.schema import Prompt, Search

OPTIONS = ["Iron", "Iron and folate", "Zinc", "Copper"]


@pytest.mark.parametrize("example", [*prompts.WORKED_EXAMPLES, *prompts.NUMBER_EXAMPLES])
def test_worked_examples_are_read_as_their_answer(example):
    completion = f"<think>{example['thinking']}</think>\n<answer>{example['answer']}</answer>"
    assert answers.read_answer(completion, example["options"]) == (True, example["answer"], True)
    assert example["answer"] in (LETTERS if example["options"] else example["thinking"])


@pytest.mark.parametrize("example", [prompts.SEARCH_EXAMPLE, prompts.NUMBER_SEARCH_EXAMPLE])
def test_the_worked_search_is_of_the_right_format_and_its_passage_has_the_answer(example):
    inserted = example["thinking"].partition("</search>")[2].partition("</information>")[0] + "</information>"
    own = f"<think>{example['thinking'].replace(inserted, '')}</think>\n<answer>{example['answer']}</answer>"
    assert answers.read_answer(own, example["options"], search=True) == (True, example["answer"], True)
    assert ("pancreas" if example["options"] else "four chambers") in inserted


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


@pytest.mark.parametrize(("count", "shown"), [(0, 1), (1, 1), (2, 2)])
def test_the_prompt_explains_the_search_tool_and_its_last_example_searches(count, shown):
    prompt = Prompt(style="chat", worked_examples=count, prefill="<think>")
    plain, text = (prompts.render("What?", OPTIONS, prompt, Tokenizer(), tool) for tool in (None, Search(corpus="starter")))
    assert "search" not in plain
    assert "look something up, at most 2 times" in text
    assert text.count("[user]") == shown + 1
    assert text.split("[user]")[-2].count("</search>\n<information>\n[1]") == 1
    assert "at most once" in prompts.render("?", [], prompt, Tokenizer(), Search(corpus="starter", searches=1))
