"""Prompts read once give what prompts read one by one give."""

import pytest
import torch
from transformers import Gemma3ForCausalLM, Gemma3TextConfig

from helpers.models import loading
from helpers.models.engines import Sampling
from helpers.models.shared_prefix import read_once
from helpers.models.transformers_engine import Transformers

BEGIN = list(range(20, 60))
PROMPTS = [[*BEGIN, 70, 71, 72], [*BEGIN, 80], [*BEGIN, 70, 71, 72], [*BEGIN, 90, 91]]


def inputs(prompts):
    width = max(map(len, prompts))
    return (torch.tensor([[fill] * (width - len(row)) + (row if tokens else [1] * len(row)) for row in prompts])
            for fill, tokens in ((1, True), (0, False)))  # fmt: skip


def gemma(window):
    """Alternating layers, some of which see `window` tokens."""
    torch.manual_seed(0)
    config = Gemma3TextConfig(
        vocab_size=300, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=1,
        head_dim=8, sliding_window=window, layer_types=["sliding_attention", "full_attention"], initializer_range=0.5)  # fmt: skip
    return Gemma3ForCausalLM(config).eval()


@pytest.mark.parametrize("name", ["llama", "gemma"])
def test_logits_after_prompts_read_once_are_those_of_whole_prompts(tiny, name):
    model = loading.load_model("tiny/llama", "float32") if name == "llama" else gemma(100)
    ids, mask = inputs(PROMPTS)
    given = read_once(model, ids, mask, 8)
    assert given["past_key_values"].get_seq_length() == ids.shape[1] - 1
    assert given["input_ids"][1].tolist() == [*BEGIN, 1, 1, 80]
    assert given["attention_mask"][1].tolist() == [*[1] * 40, 0, 0, 1]
    options = {"max_new_tokens": 6, "do_sample": False, "output_logits": True, "return_dict_in_generate": True, "pad_token_id": 1}
    ours = model.generate(**given, **options)
    theirs = model.generate(input_ids=ids, attention_mask=mask, **options)
    assert torch.equal(ours.sequences[:, ids.shape[1] :], theirs.sequences[:, ids.shape[1] :])
    for one, other in zip(ours.logits, theirs.logits, strict=True):
        assert (one - other).abs().max() < 1e-4


def test_each_token_is_read_once(tiny, monkeypatch):
    model = loading.load_model("tiny/llama", "float32")
    read, usual = [], model.forward
    monkeypatch.setattr(model, "forward", lambda input_ids, **given: read.append(input_ids.numel()) or usual(input_ids, **given))
    Transformers(model=model).write(PROMPTS, Sampling(1, 0.0, (0,)), [0], loading.load_tokenizer("tiny/llama"))
    assert read == [40, 3 * 2, 4]  # what all share; the rest of three prompts; the last token of four


@pytest.mark.parametrize("prompts", [PROMPTS[:1], [[*range(20, 30), 70], [*range(20, 30), 80]], [[2, *BEGIN], [3, *BEGIN]]])
def test_prompts_that_share_little_are_passed_on(tiny, prompts):
    ids, mask = inputs(prompts)
    given = read_once(loading.load_model("tiny/llama", "float32"), ids, mask, 8)
    assert set(given) == {"input_ids", "attention_mask"}
    assert given["input_ids"] is ids


def test_a_window_that_is_too_short_shares_nothing():
    ids, mask = inputs(PROMPTS)
    assert "past_key_values" not in read_once(gemma(50), ids, mask, 8)
    assert "past_key_values" in read_once(gemma(51), ids, mask, 8)
