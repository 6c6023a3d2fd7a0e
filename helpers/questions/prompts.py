"""The conversation put to a model; `answers.py` reads its completion.

The prompt follows DeepSeek-R1-Zero (arXiv 2501.12948, table 1): think inside `<think>`, then answer
inside `<answer>`. It holds no filler text that could be copied as an answer. A question without options
asks for a number, and has an instruction and worked examples of its own.

Two styles: `chat` renders the tokenizer's chat template; `plain` is a transcript ("User: … Assistant:")
that a model without a chat template also understands. A model that has no template gets `plain`
whatever the study says. `prefill` starts the answer for the model; it counts as part of the completion.
"""

from typing import Any

from helpers.questions.text import LETTERS
from helpers.study.schema import Prompt, Search

_THINK = "The user asks a question. The assistant first thinks about it inside <think> </think>, "
INSTRUCTION = _THINK + "then gives the letter of the answer inside <answer> </answer>."
NUMBER_INSTRUCTION = _THINK + "then gives the answer as a number inside <answer> </answer>."
WORKED_EXAMPLES: tuple[dict[str, Any], ...] = (
    {
        "question": "Which organ makes insulin?",
        "options": ["Liver", "Pancreas", "Spleen", "Kidney"],
        "thinking": "Insulin comes from islet cells. These lie in the pancreas.",
        "answer": "B",
    },
    {
        "question": "Which gas do lungs take up?",
        "options": ["Oxygen", "Nitrogen", "Helium", "Argon"],
        "thinking": "Lungs bind oxygen to haemoglobin.",
        "answer": "A",
    },
)
NUMBER_EXAMPLES: tuple[dict[str, Any], ...] = (
    {
        "question": "A ward has 6 rooms of 4 beds, and 5 beds are free. How many beds are taken?",
        "options": [],
        "thinking": "6 rooms of 4 beds are 6 * 4 = 24 beds. 5 are free, so 24 - 5 = 19 are taken.",
        "answer": "19",
    },
    {
        "question": "A bottle holds 250 ml of syrup. A child takes 5 ml twice a day. How many days does the bottle last?",
        "options": [],
        "thinking": "Twice 5 ml is 10 ml a day. 250 / 10 = 25, so it lasts 25 days.",
        "answer": "25",
    },
)
SEARCH_INSTRUCTION = (
    " While it thinks, the assistant may look something up, at most {searches}: it writes a few words inside <search> </search> and "
    "receives passages inside <information> </information>."
)
SEARCHED = "\n<information>\n[1] {passage}\n</information>"
SEARCH_EXAMPLE: dict[str, Any] = {
    "question": "Which organ makes insulin?",
    "options": ["Liver", "Pancreas", "Spleen", "Kidney"],
    "thinking": "I look up insulin. <search>organ that makes insulin</search>"
    + SEARCHED.format(
        passage="Insulin: Insulin is a hormone that islet cells of the pancreas release into the blood after a meal."
    )
    + " So the organ is the pancreas.",
    "answer": "B",
}
NUMBER_SEARCH_EXAMPLE: dict[str, Any] = {
    "question": "How many chambers do the hearts of 3 people have together?",
    "options": [],
    "thinking": "I look up the heart. <search>number of chambers of the heart</search>"
    + SEARCHED.format(passage="Heart: The human heart has four chambers: two atria, which receive blood, and two ventricles.")
    + " One heart has 4 chambers, so 3 hearts have 3 * 4 = 12.",
    "answer": "12",
}
NEXT_TURN = "\nUser"  # in a transcript, where the user would speak again


def lines(question: str, options: list[str]) -> str:
    """Question and lettered options, one a line; only the question if it asks for a number."""
    return "\n".join([question, *(f"{letter}. {option}" for letter, option in zip(LETTERS, options, strict=False))])


def is_plain(prompt: Prompt, tokenizer: Any) -> bool:
    """True if this tokenizer gets the transcript: the study says so, or it has no chat template."""
    return prompt.style == "plain" or not tokenizer.chat_template


def end_tokens(prompt: Prompt, tokenizer: Any) -> list[int]:
    """Tokens with which the model itself ends a completion, besides its end-of-text token: in a transcript those of the user's next turn,
    whose text is no part of the completion (`own_words`)."""
    if not is_plain(prompt, tokenizer):
        return []
    tokens = tokenizer("\n" + NEXT_TURN, add_special_tokens=False)["input_ids"]
    return tokens[-1:] if tokenizer.decode(tokens[-1:]).strip() == NEXT_TURN.strip() else []


def own_words(completion: str) -> str:
    """A completion up to where it begins the user's next turn.

    >>> own_words("<answer>B</answer>\\n\\nUser: And which")
    '<answer>B</answer>\\n'
    """
    return completion.split(NEXT_TURN)[0]


def render(question: str, options: list[str], prompt: Prompt, tokenizer: Any, search: Search | None = None) -> str:
    """The whole prompt as text, without the token that begins a text where the tokenizer adds it.

    search: the tool that the model may use; the instruction explains it, and the last worked example (one at least) shows a search.
    """
    instruction, examples = (INSTRUCTION, WORKED_EXAMPLES) if len(options) else (NUMBER_INSTRUCTION, NUMBER_EXAMPLES)
    examples = examples[: prompt.worked_examples]
    if search:
        times = "once" if search.searches == 1 else f"{search.searches} times"
        instruction += SEARCH_INSTRUCTION.format(searches=times)
        examples = (*examples[1:], SEARCH_EXAMPLE if len(options) else NUMBER_SEARCH_EXAMPLE)
    turns = []
    for example in examples:
        answer = f"<think>{example['thinking']}</think>\n<answer>{example['answer']}</answer>"
        turns += [("user", lines(example["question"], example["options"])), ("assistant", answer)]
    turns.append(("user", lines(question, options)))
    if is_plain(prompt, tokenizer):
        transcript = "\n\n".join(f"{role.capitalize()}: {text}" for role, text in turns)
        space = " " if prompt.prefill else ""
        return f"{instruction}\n\n{transcript}\n\nAssistant:{space}{prompt.prefill}"
    messages = [{"role": "system", "content": instruction}] + [{"role": r, "content": text} for r, text in turns]
    try:
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    except Exception:  # a template that refuses the system role, as Gemma's did: the instruction opens the first turn
        messages[1]["content"] = f"{instruction}\n\n{messages[1]['content']}"
        text = tokenizer.apply_chat_template(messages[1:], tokenize=False, add_generation_prompt=True)
    # The tokenizer may begin every text with this token itself; SmolLM2's has one, but leaves it to the template.
    begins = tokenizer.bos_token and tokenizer("x")["input_ids"][0] == tokenizer.bos_token_id
    return text.removeprefix(tokenizer.bos_token if begins else "") + prompt.prefill
