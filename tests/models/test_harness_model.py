"""lm-evaluation-harness on our engines: texts become the same tokens as with its own model class, and answers end where they should."""

from types import SimpleNamespace

import pytest
import torch
from tokenizers.processors import TemplateProcessing

from helpers.models import harness_model, loading
from helpers.models.harness_model import HarnessModel
from helpers.models.transformers_engine import Transformers

WORDS = ["What", "is a vitamin?", "Which organ makes bile, and what is bile for?", "Name it.", "No"]


class Engine:
    """Writes one token for each prompt and remembers what it was given."""

    name, room = "transformers", 2048

    def __init__(self):
        self.batches, self.pairs, self.sampling = [], [], []

    def ends(self, tokenizer):
        return [0]

    def write(self, prompts, sampling, seeds, tokenizer):
        self.batches.append([len(prompt) for prompt in prompts])
        self.sampling.append(sampling)
        return [prompt[-1:] for prompt in prompts]

    def read(self, pairs, batch_size):
        self.pairs += pairs
        return [(float(-len(answer)), False) for _, answer in pairs]


def asked(*arguments):
    return [SimpleNamespace(args=one) for one in arguments]


@pytest.mark.parametrize("begins", [False, True])
def test_texts_become_tokens_as_in_the_harness_and_each_prompt_once(tiny, monkeypatch, begins):
    """Also spaces at a prompt's end, a prompt that is empty, blank or begins with the first token of a text, and the same pair twice."""
    from lm_eval.models.huggingface import HFLM

    model, tokenizer = loading.load_model("tiny/llama", "float32"), loading.load_tokenizer("tiny/llama")
    monkeypatch.setattr(HFLM, "_loglikelihood_tokens", lambda self, requests, disable_tqdm=False, **options: requests)
    monkeypatch.setattr(harness_model, "ENCODED_AT_ONCE", 5)
    if begins:  # a tokenizer that puts a first token before every text, as Gemma's does
        start = ("<|end|>", tokenizer.eos_token_id)
        tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="<|end|> $A", special_tokens=[start])
        assert tokenizer.encode(WORDS[0])[0] == tokenizer.eos_token_id
    engine = Engine()
    ours = HarnessModel(engine, tokenizer, 2, 2)
    plain = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=2, backend="causal")
    assert ours.prefix_token_id == plain.prefix_token_id
    first = tokenizer.decode(ours.prefix_token_id)
    texts = [*WORDS, WORDS[0] + "  ", WORDS[1] + "\n", "", "   ", f"{first}{WORDS[0]}", "über 中文 B", WORDS[0]]
    pairs = asked(*((text, answer) for text in texts for answer in (" A", "B", f" {WORDS[1]}")))
    expected = [(prompt, answer) for _, prompt, answer in plain.loglikelihood(pairs, disable_tqdm=True)]
    alone, encode = [], tokenizer.encode
    monkeypatch.setattr(type(tokenizer), "encode", lambda self, text, **options: alone.append(text) or encode(text, **options))
    found = ours.loglikelihood(pairs, disable_tqdm=True)
    assert engine.pairs == expected
    assert found == [(float(-len(answer)), False) for _, answer in expected]
    assert not any(text.startswith(tuple(WORDS)) for text in alone)
    assert ours.encoded == {}


def test_answers_are_written_in_batches_of_their_own_the_longest_first_and_come_back_in_order(tiny):
    tokenizer, engine = loading.load_tokenizer("tiny/llama"), Engine()
    harness = HarnessModel(engine, tokenizer, 1, 2)
    how = {"until": ["Q:"], "max_gen_toks": 9, "do_sample": False}
    requests = asked(*((word, how) for word in WORDS), ("other", how | {"max_gen_toks": 3}))
    lengths = [len(tokenizer.encode(word)) for word in WORDS]
    written = harness.generate_until(requests, disable_tqdm=True)
    assert written == [tokenizer.decode(tokenizer.encode(text)[-1:]) for text in (*WORDS, "other")]
    longest_first = sorted(lengths, reverse=True)
    assert engine.batches[1:] == [longest_first[:2], longest_first[2:4], longest_first[4:]]
    assert engine.sampling[0] == (3, 0.0, (0,), ("Q:",))
    assert engine.sampling[1] == (9, 0.0, (0,), ("Q:",))
    engine.name, engine.batches = "vllm", []
    HarnessModel(engine, tokenizer, 1, 2).generate_until(requests[:5], disable_tqdm=True)
    assert engine.batches == [longest_first]


def test_a_text_is_cut_at_its_stop_and_a_prompt_that_is_too_long_on_the_left(tiny):
    tokenizer, engine = loading.load_tokenizer("tiny/llama"), Engine()
    text = tokenizer.encode("The answer is 4. Q: And which")
    engine.write = lambda prompts, sampling, seeds, tokenizer: engine.batches.extend(prompts) or [text for _ in prompts]
    engine.room = 12
    (written,) = HarnessModel(engine, tokenizer, 1, 1).generate_until(
        asked((WORDS[2], {"until": ["Q:"], "max_gen_toks": 5})), disable_tqdm=True
    )
    assert written == "The answer is 4. "
    assert engine.batches == [tokenizer.encode(WORDS[2])[-7:]]


def test_a_benchmarks_text_ends_where_the_model_would_pad(tiny):
    model, tokenizer = loading.load_model("tiny/llama", "float32"), loading.load_tokenizer("tiny/llama")
    pad, steps = torch.tensor([tokenizer.pad_token_id]), []
    assert pad.item() not in (tokenizer.eos_token_id, model.generation_config.eos_token_id)
    model.get_output_embeddings().register_forward_hook(
        lambda layer, given, made: steps.append(1) or made.index_fill(-1, pad, 1e4)
    )
    harness = HarnessModel(Transformers(model=model), tokenizer, 2, 2)
    assert harness.generate_until(asked((WORDS[1], {"max_gen_toks": 9, "until": ["Q:"]})), disable_tqdm=True) == [""]
    assert len(steps) == 1
