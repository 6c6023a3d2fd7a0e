"""Texts continued turn by turn: with the cache of the turns before, the same tokens are written and fewer are read."""

import pytest
import torch
from scripted import tool
from transformers import DynamicCache, MistralConfig
from transformers.generation import GenerateDecoderOnlyOutput

from helpers.models import loading
from helpers.models.engines import Sampling
from helpers.models.transformers_engine import Transformers
from helpers.models.turns import TurnCache
from helpers.search import episodes

SHARED = "Twenty characters and more that all texts begin with. "


@pytest.fixture
def written(tiny, monkeypatch):
    """Function (temperature, whether turns share a cache) → (episodes, tokens read in each forward pass of more than one)."""
    monkeypatch.setattr(episodes, "END", "a")  # a letter that a random model writes now and then
    tokenizer, engine = loading.load_tokenizer("tiny/llama"), Transformers(model=loading.load_model("tiny/llama", "float32"))
    prompts = [tokenizer(SHARED + text)["input_ids"] for text in ("Why?", "Why?", "And how long is it?", "B", "Or", "Who is it?")]
    usual, read = Transformers.write, []
    engine.model.register_forward_pre_hook(lambda _, __, given: read.append(given["input_ids"].shape[1]), with_kwargs=True)

    def write(temperature, cached):
        read.clear()
        if not cached:
            monkeypatch.setattr(Transformers, "write", lambda self, *given: usual(self, *given[:5]))
        made = tool(searches=3)[0].write(engine, prompts, Sampling(40, temperature, (0,)), [7] * len(prompts), tokenizer)
        return made, [count for count in read if count > 1]

    return write


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_the_same_episodes_with_less_to_read(written, temperature):
    (made, read), (plain, read_again) = written(temperature, True), written(temperature, False)
    assert made == plain
    searches = [len(one.searches) for one in made]
    assert 0 in searches
    assert sum(searches) > 1
    inserted = max(len(one.tokens) - one.written for one in made)
    assert sum(read) < sum(read_again)
    assert max(read[2:]) <= inserted + 1


def test_states_of_layers_that_do_not_see_all_tokens_are_not_kept():
    cache, states = TurnCache(), DynamicCache(config=MistralConfig(sliding_window=8))
    cache.keep(torch.ones(1, 2), GenerateDecoderOnlyOutput(sequences=torch.tensor([[1, 2, 3]]), past_key_values=states))
    assert cache.states is None
