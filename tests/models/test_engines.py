"""Engines: which one a study gets, and that a cache of fixed size changes nothing but the speed. vLLM itself: `make test-vllm`."""

import contextlib
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from tokenizers.processors import TemplateProcessing

from helpers.models import engines, generate, loading, shape
from helpers.study.files import StudyError

WORDS = ["What", "is a vitamin?", "Which organ makes bile, and what is bile for?", "Name it.", "No"]


@pytest.fixture
def fixed(monkeypatch):
    """Have models write as they do on a GPU, with a cache of fixed size (steps are recorded on a GPU only)."""
    monkeypatch.setattr(loading, "fixed_cache", lambda model: True)


def answers(batch_size):
    prompts = pd.DataFrame({"question_id": [str(i) for i in range(5)], "prompt": WORDS})
    tokenizer = loading.load_tokenizer("tiny/llama")
    loaded = engines.Transformers(loading.load_model("tiny/llama", "float32"))
    weights = engines.Weights("tiny/llama", "float32")
    engines._LOADED.clear()
    engines._LOADED[(weights, "transformers")] = loaded
    made = generate.complete(prompts, weights, tokenizer, max_new_tokens=6, batch_size=batch_size, likely=2)
    return made, loaded


def test_a_fixed_cache_gives_the_same_answers(tiny, monkeypatch):
    plain, _ = answers(2)
    monkeypatch.setattr(loading, "fixed_cache", lambda model: True)
    filled, loaded = answers(2)  # 5 prompts in batches of 2: the last one is filled up
    assert loaded.rows == 2
    assert filled["tokens"].tolist() == plain["tokens"].tolist()
    assert filled["n_tokens"].tolist() == plain["n_tokens"].tolist()


def test_the_harness_fills_its_batches_up(tiny, fixed):
    tokenizer = loading.load_tokenizer("tiny/llama")
    seen = []
    model = loading.load_model("tiny/llama", "float32")
    harness = engines.harness(model, tokenizer, 4, 4)
    plain = model.generate
    model.generate = lambda **options: (
        seen.append((len(options["input_ids"]), options["cache_implementation"])) or plain(**options)
    )
    context = tokenizer(WORDS[:3], return_tensors="pt", padding=True)
    asked = {"max_length": context["input_ids"].shape[1] + 5, "stop": ["zzz"], "attention_mask": context["attention_mask"]}
    made = harness._model_generate(context["input_ids"], **asked)
    assert seen == [(4, "static")]
    alone = plain(**context, max_new_tokens=5, do_sample=False, pad_token_id=tokenizer.pad_token_id)
    assert len(made) == 3
    assert torch.equal(made[:, : alone.shape[1]], alone)


def test_attention_is_not_cudnns(tiny):
    torch.backends.cuda.enable_cudnn_sdp(True)
    loading.load_model("tiny/llama", "float32")
    assert not torch.backends.cuda.cudnn_sdp_enabled()


def test_a_cache_is_made_anew_only_where_it_must(tiny):
    model = loading.load_model("tiny/llama", "float32")
    for asked, held in ((512, 512), (300, 512), (256, 256), (600, 600)):  # half as much or less: a long cache costs at each token
        loading.size_cache(model, asked)
        assert model._previous_max_cache_length == held


def test_the_harness_has_one_cache_for_all_requests(tiny, fixed, monkeypatch):
    from lm_eval.models.huggingface import HFLM

    harness = engines.harness(loading.load_model("tiny/llama", "float32"), loading.load_tokenizer("tiny/llama"), 2, 2)
    monkeypatch.setattr(HFLM, "generate_until", lambda self, requests, disable_tqdm=False: requests)
    asked = [SimpleNamespace(args=(text, {"max_gen_toks": 300})) for text in WORDS]
    assert harness.generate_until(asked) == asked
    assert harness.model._previous_max_cache_length == 512


@pytest.mark.parametrize(
    ("configured", "eos", "pad", "ends"),
    [(5, 5, 9, [5, 9]), ([5, 9], 5, 9, [5, 9]), (None, 5, 5, [5]), ([4], 5, None, [4, 5]), (5, 5, 7, [5])],
)
def test_a_text_ends_where_a_model_would_pad(configured, eos, pad, ends):
    """Unless it pads with a word (7)."""
    special = {token: SimpleNamespace(special=token != 7) for token in (4, 5, 7, 9)}
    tokenizer = SimpleNamespace(eos_token_id=eos, pad_token_id=pad, added_tokens_decoder=special)
    assert engines.end_of_text(SimpleNamespace(eos_token_id=configured), tokenizer) == ends


def test_a_benchmark_s_text_ends_where_the_model_would_pad(tiny):
    model, tokenizer = loading.load_model("tiny/llama", "float32"), loading.load_tokenizer("tiny/llama")
    pad, steps = torch.tensor([tokenizer.pad_token_id]), []
    assert pad.item() not in (tokenizer.eos_token_id, model.generation_config.eos_token_id)
    model.get_output_embeddings().register_forward_hook(
        lambda layer, given, made: steps.append(1) or made.index_fill(-1, pad, 1e4)
    )
    asked = [SimpleNamespace(args=(WORDS[1], {"max_gen_toks": 9, "until": ["Q:"]}))]
    engines.harness(model, tokenizer, 2, 2).generate_until(asked, disable_tqdm=True)
    assert len(steps) == 1


def test_vllm_is_told_every_end_of_a_text(tiny, monkeypatch):
    """The harness tells it the tokenizer's own alone. Its class for vLLM cannot be loaded without vLLM; `make test-vllm` has the real one."""
    import lm_eval.models

    class Harness:
        @staticmethod
        def modify_gen_kwargs(asked, eos=None, default_max_gen_toks=256):
            return {"temperature": 0.0}, [*asked["until"], eos], default_max_gen_toks

    library = SimpleNamespace(VLLM=lambda **_: Harness(), LLM=None)
    monkeypatch.setattr(lm_eval.models, "vllm_causallms", library, raising=False)
    tokenizer = loading.load_tokenizer("tiny/llama")
    made = engines._writer(_VLLM(engines.Weights("tiny/llama", "float32"), "transformers"), tokenizer)
    expected = {"temperature": 0.0, "stop_token_ids": [tokenizer.eos_token_id, tokenizer.pad_token_id]}
    assert made.modify_gen_kwargs({"until": ["Q:"]}, eos="<end>", default_max_gen_toks=7) == (expected, ["Q:", "<end>"], 7)


def test_the_harness_writes_other_batches_than_it_reads(tiny, monkeypatch):
    from lm_eval.models.huggingface import HFLM

    model, tokenizer = loading.load_model("tiny/llama", "float32"), loading.load_tokenizer("tiny/llama")
    monkeypatch.setattr(HFLM, "generate_until", lambda self, requests, disable_tqdm=False: self.batch_size)
    monkeypatch.setattr(HFLM, "loglikelihood", lambda self, requests, disable_tqdm=False: self.batch_size)
    harness = engines.harness(model, tokenizer, 2, 7)
    assert (harness.loglikelihood([]), harness.generate_until([]), harness.loglikelihood([])) == (2, 7, 2)


@pytest.mark.parametrize(
    ("adapted", "together"), [(False, shape.READ_TOKENS), (True, shape.READ_TOKENS), (False, 32), (False, 4)]
)
def test_likelihoods_are_those_of_the_harness_with_logits_only_where_answers_stand(tiny, monkeypatch, adapted, together):
    """Also if the prompts of a batch are read in parts, each no wider than its longest."""
    from lm_eval.models.huggingface import HFLM
    from peft import LoraConfig, get_peft_model

    model, tokenizer = loading.load_model("tiny/llama", "float32"), loading.load_tokenizer("tiny/llama")
    if adapted:
        model = get_peft_model(model, LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False)).eval()
    ours = engines.harness(model, tokenizer, 3, 3)
    plain = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=3, backend="causal")
    ours._max_length = plain._max_length = 16
    # Answers of one token, which share a prompt, and longer ones; prompts of all lengths, one too long; token 0, with which batches are padded.
    asked = [
        (("", ""), list(range(5, 5 + size)) + [0], answer)
        for size in (1, 2, 7, 19)
        for answer in ([3], [4], [0], [5, 0, 0], [6, 7])
    ]
    seen, read = [], []
    model.get_output_embeddings().register_forward_hook(lambda layer, given, made: seen.append(tuple(made.shape[:2])))
    model.get_input_embeddings().register_forward_pre_hook(lambda layer, given: read.append(tuple(given[0].shape)))
    monkeypatch.setattr(shape, "READ_TOKENS", together)
    found = ours._loglikelihood_tokens(asked, disable_tqdm=True)
    assert {places for _, places in seen} == {3}
    assert all(rows == 1 or rows * width <= together for rows, width in read)
    assert (max(rows * width for rows, width in read) > 32) == (together > 32)
    seen.clear()
    expected = plain._loglikelihood_tokens(asked, disable_tqdm=True)
    assert max(places for _, places in seen) == 16
    assert [greedy for _, greedy in found] == [greedy for _, greedy in expected]
    assert [value for value, _ in found] == pytest.approx([value for value, _ in expected], abs=1e-5)
    texts = [SimpleNamespace(args=(" ".join(WORDS),)), SimpleNamespace(args=(WORDS[2],))]
    assert ours.loglikelihood_rolling(texts) == pytest.approx(plain.loglikelihood_rolling(texts), abs=1e-4)


def test_logits_of_letters_leave_the_gpu_and_those_of_texts_do_not(tiny, monkeypatch):
    from lm_eval.models.huggingface import HFLM

    harness = engines.harness(loading.load_model("tiny/llama", "float32"), loading.load_tokenizer("tiny/llama"), 2, 2)
    harness._device = torch.device("cuda", 0)
    monkeypatch.setattr(HFLM, "_loglikelihood_tokens", lambda self, requests, **options: self.device.type)
    asked = [(("", ""), [5, 6], [7] * size) for size in (1, engines.SHORT, engines.SHORT + 1)]
    assert [harness._loglikelihood_tokens(asked[: k + 1]) for k in range(3)] == ["cpu", "cpu", "cuda"]
    assert harness.device.type == "cuda"


@pytest.mark.parametrize(("told", "begins"), [(None, False), (None, True), (False, True)])
def test_prompts_are_cut_into_tokens_as_the_harness_does_and_each_once(tiny, monkeypatch, told, begins):
    """Also spaces at a prompt's end, a prompt that is empty, blank or begins with the first token of a text, and the same pair twice."""
    from lm_eval.models.huggingface import HFLM

    model, tokenizer = loading.load_model("tiny/llama", "float32"), loading.load_tokenizer("tiny/llama")
    monkeypatch.setattr(HFLM, "_loglikelihood_tokens", lambda self, requests, disable_tqdm=False, **options: requests)
    monkeypatch.setattr(engines, "CUT_AT_ONCE", 5)
    if begins:  # a tokenizer that puts a first token before every text, as Gemma's does
        start = ("<|end|>", tokenizer.eos_token_id)
        tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="<|end|> $A", special_tokens=[start])
        assert tokenizer.encode(WORDS[0])[0] == tokenizer.eos_token_id
    ours = engines.harness(model, tokenizer, 2, 2)
    plain = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=2, backend="causal")
    ours.add_bos_token = plain.add_bos_token = told
    first = tokenizer.decode(ours.prefix_token_id)
    texts = [*WORDS, WORDS[0] + "  ", WORDS[1] + "\n", "", "   ", f"{first}{WORDS[0]}", "über 中文 B", WORDS[0]]
    asked = [SimpleNamespace(args=(text, answer)) for text in texts for answer in (" A", "B", f" {WORDS[1]}")]
    expected = plain.loglikelihood(asked, disable_tqdm=True)
    alone, cut = [], ours.tok_encode
    monkeypatch.setattr(ours, "tok_encode", lambda text, **options: alone.append(text) or cut(text, **options))
    assert ours.loglikelihood(asked, disable_tqdm=True) == expected
    assert ours.pairs == {}
    assert any(text.startswith(tuple(WORDS)) for text in alone) == (told is not None)


class _VLLM(engines.VLLM):
    """The engine without vLLM behind it."""

    def __init__(self, weights, reads):
        self.weights, self.llm, self.request, self.reads = weights, None, None, reads


def test_vllm_writes_and_transformers_reads_if_there_is_room(tiny, monkeypatch):
    writer = SimpleNamespace(generate_until=lambda asked, disable_tqdm: ["written"])
    monkeypatch.setattr(engines, "_writer", lambda engine, tokenizer: writer)
    weights, tokenizer = engines.Weights("tiny/llama", "float32", read=True), loading.load_tokenizer("tiny/llama")
    harness = engines.harness(_VLLM(weights, "transformers"), tokenizer, 2, 2)
    assert harness.generate_until([]) == ["written"]
    ((value, _),) = harness._loglikelihood_tokens([(("", ""), [5, 6], [7])], disable_tqdm=True)
    assert value < 0
    assert engines.harness(_VLLM(weights, "vllm"), tokenizer, 2, 2) is writer


def test_the_model_that_reads_is_checked_as_well(tiny, tmp_path, monkeypatch):
    from peft import LoraConfig, get_peft_model

    adapted = get_peft_model(loading.load_model("tiny/llama", "float32"), LoraConfig(r=2, init_lora_weights=False))
    adapted.save_pretrained(tmp_path)
    tokenizer = loading.load_tokenizer("tiny/llama")
    engine = _VLLM(engines.Weights("tiny/llama", "float32", tmp_path, read=True), "transformers")
    assert engine.effect(tokenizer)["largest_logit_change"] > 0
    monkeypatch.setattr(type(engine.reader), "disable_adapter", lambda self: contextlib.nullcontext())
    with pytest.raises(StudyError, match="they are not used"):
        engine.effect(tokenizer)


@pytest.fixture
def gpu(monkeypatch):
    """A GPU of 80 GB that can be asked about, and nothing else."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(total_memory=80 * 10**9))


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_how_vllm_divides_a_gpu(tiny, gpu, monkeypatch, dtype):
    size = shape.shape_of("tiny/llama").parameters() * loading.dtype_of(dtype).itemsize
    alone, reading = engines.Weights("tiny/llama", dtype), engines.Weights("tiny/llama", dtype, read=True)
    assert engines._division(alone) == (False, shape.GPU_PART, {})
    both, part, options = engines._division(reading)
    assert (both, options) == (True, {})
    assert part * 80e9 == pytest.approx(0.85 * 80e9 - size - shape.READ_WORK)
    monkeypatch.setenv("GPU_SHARE", "0.25")
    assert engines._division(alone)[2] == {"kv_cache_memory_bytes": int(0.85 * 20e9 - size - shape.VLLM_WORK)}
    assert engines._division(reading)[2] == {
        "kv_cache_memory_bytes": int(0.85 * 20e9 - 2 * size - shape.READ_WORK - shape.VLLM_WORK)
    }
    monkeypatch.setenv("GPU_SHARE", "0.1")  # 6.8 GB: enough to write, not to read as well
    assert engines._division(reading)[0] is False
    monkeypatch.setenv("GPU_SHARE", "0.04")
    with pytest.raises(StudyError, match="4% of this GPU is too little for vLLM; a smaller runs_per_gpu"):
        engines._division(reading)


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
