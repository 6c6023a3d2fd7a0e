"""Which engine a study gets, where a text ends, and the log-likelihoods that transformers reads. vLLM itself: `make test-vllm`."""

from types import SimpleNamespace

import pytest
import torch
from peft import LoraConfig, get_peft_model

from helpers.models import engines, loading, shape
from helpers.models.transformers_engine import Transformers
from helpers.study.errors import StudyError


def test_attention_is_not_cudnns(tiny):
    torch.backends.cuda.enable_cudnn_sdp(True)
    loading.load_model("tiny/llama", "float32")
    assert not torch.backends.cuda.cudnn_sdp_enabled()


@pytest.mark.parametrize(
    ("configured", "eos", "pad", "ends"),
    [(5, 5, 9, [5, 9]), ([5, 9], 5, 9, [5, 9]), (None, 5, 5, [5]), ([4], 5, None, [4, 5]), (5, 5, 7, [5])],
)
def test_a_text_ends_where_a_model_would_pad(configured, eos, pad, ends):
    """Unless it pads with a word (7)."""
    special = {token: SimpleNamespace(special=token != 7) for token in (4, 5, 7, 9)}
    tokenizer = SimpleNamespace(eos_token_id=eos, pad_token_id=pad, added_tokens_decoder=special)
    assert engines.end_of_text(SimpleNamespace(eos_token_id=configured), tokenizer) == ends


def test_which_engine(monkeypatch):
    monkeypatch.setattr(engines.importlib.util, "find_spec", lambda name: None)
    assert engines.choose("auto") == engines.choose("transformers") == "transformers"
    with pytest.raises(StudyError, match="vllm is not installed here"):
        engines.choose("vllm")
    monkeypatch.setattr(engines.importlib.util, "find_spec", lambda name: name)
    assert engines.choose("auto") == "transformers"  # no GPU here
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert engines.choose("auto") == "vllm"
    assert engines.choose("auto", "qlora") == "transformers"
    with pytest.raises(StudyError, match="4-bit base"):
        engines.choose("vllm", "qlora")


def test_an_engine_is_loaded_once(tiny):
    weights = engines.Weights("tiny/llama", "float32")
    assert engines.load(weights) is engines.load(weights)
    assert engines.load(weights) is not engines.load(engines.Weights("tiny/llama", "bfloat16"))


def test_a_stop_text_ends_a_completion(tiny):
    tokenizer, engine = loading.load_tokenizer("tiny/llama"), Transformers(engines.Weights("tiny/llama", "float32"))
    prompt = tokenizer("User: a")["input_ids"]
    (whole,) = engine.write([prompt], engines.Sampling(12, 0.0, (0,)), [0], tokenizer)
    stop = tokenizer.decode(whole[2:4])
    (stopped,) = engine.write([prompt], engines.Sampling(12, 0.0, (0,), (stop,)), [0], tokenizer)
    assert len(stopped) < len(whole)
    assert stopped == whole[: len(stopped)]
    assert stop in tokenizer.decode(stopped)


@pytest.mark.parametrize(
    ("adapted", "together"), [(False, shape.READ_TOKENS), (True, shape.READ_TOKENS), (False, 32), (False, 4)]
)
def test_likelihoods_are_those_of_the_harness_with_logits_only_where_answers_stand(tiny, monkeypatch, adapted, together):
    """Also if fewer prompts are read at once because they are long."""
    from lm_eval.models.huggingface import HFLM

    model, tokenizer = loading.load_model("tiny/llama", "float32"), loading.load_tokenizer("tiny/llama")
    if adapted:
        model = get_peft_model(model, LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False)).eval()
    ours, plain = Transformers(model=model), HFLM(pretrained=model, tokenizer=tokenizer, batch_size=3, backend="causal")
    monkeypatch.setattr(Transformers, "room", 16)
    plain._max_length = 16
    # Answers of one token, which share a prompt, and longer ones; prompts of all lengths, one too long; token 0, with which batches are padded.
    pairs = [(list(range(5, 5 + size)) + [0], answer) for size in (1, 2, 7, 19) for answer in ([3], [4], [0], [5, 0, 0], [6, 7])]
    computed, read = [], []
    model.get_output_embeddings().register_forward_hook(lambda layer, given, made: computed.append(tuple(made.shape[:2])))
    model.get_input_embeddings().register_forward_pre_hook(lambda layer, given: read.append(tuple(given[0].shape)))
    monkeypatch.setattr(shape, "READ_TOKENS", together)
    found = ours.read(pairs, 3)
    assert {places for _, places in computed} == {3}
    assert all(rows == 1 or rows * width <= together for rows, width in read)
    assert (max(rows * width for rows, width in read) > 32) == (together > 32)
    # Four prompts; [3], [4] and [0] share a reading with each other, but not with [5, 0, 0] and [6, 7].
    assert sum(rows for rows, _ in read) == 4 * 3
    computed.clear()
    expected = plain._loglikelihood_tokens([(("", ""), *pair) for pair in pairs], disable_tqdm=True)
    assert max(places for _, places in computed) == 16
    assert [greedy for _, greedy in found] == [greedy for _, greedy in expected]
    assert [value for value, _ in found] == pytest.approx([value for value, _ in expected], abs=1e-5)
    assert ours.read([], 3) == []


@pytest.mark.parametrize("together", [shape.READ_TOKENS, 20])
def test_a_prompt_of_several_answers_is_read_once(tiny, monkeypatch, together):
    from lm_eval.models.huggingface import HFLM

    model, tokenizer = loading.load_model("tiny/llama", "float32"), loading.load_tokenizer("tiny/llama")
    pairs = [([*range(5, 5 + size)], answer) for answer in ([3], [4, 8], [5, 0, 0]) for size in (1, 9, 12)]
    expected = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=9)._loglikelihood_tokens(
        [(("", ""), *pair) for pair in pairs]
    )
    monkeypatch.setattr(shape, "READ_TOKENS", together)
    read, usual = [], model.forward
    monkeypatch.setattr(
        model, "forward", lambda input_ids, **given: read.append(tuple(input_ids.shape)) or usual(input_ids, **given)
    )
    monkeypatch.setattr("helpers.models.packing.why_not", lambda model, longest: "" if longest == 15 else "not asked with 15")
    found = Transformers(model=model).read(pairs, 2)
    # Three prompts, each with three answers of 6 tokens together behind its last token.
    assert read == ([(2, 14), (1, 17)] if together > 20 else [(1, 6), (1, 14), (1, 17)])
    assert [greedy for _, greedy in found] == [greedy for _, greedy in expected]
    assert [value for value, _ in found] == pytest.approx([value for value, _ in expected], abs=1e-5)


def test_the_greedy_answer_is_recognised(tiny):
    tokenizer, engine = loading.load_tokenizer("tiny/llama"), Transformers(engines.Weights("tiny/llama", "float32"))
    prompt = tokenizer("User: a")["input_ids"]
    (written,) = engine.write([prompt], engines.Sampling(3, 0.0, ()), [0], tokenizer)
    other = [*written[:2], (written[2] + 1) % 300]
    assert [greedy for _, greedy in engine.read([(prompt, written), (prompt, other), (prompt, written[:1])], 8)] == [
        True,
        False,
        True,
    ]
