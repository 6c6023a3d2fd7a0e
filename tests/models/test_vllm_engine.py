"""vLLM's engine without vLLM behind it: who reads, what is checked, and how a GPU is divided. vLLM itself: `make test-vllm`."""

import contextlib
import sys
from types import SimpleNamespace

import pytest
import torch
from peft import LoraConfig, get_peft_model

from helpers.models import engines, loading, shape
from helpers.models.vllm_engine import VLLM, division
from helpers.study.errors import StudyError


class Without(VLLM):
    """The engine without vLLM: `llm` answers from what the test gives it."""

    def __init__(self, weights, reads, llm=None):
        self.weights, self.llm, self.request, self.reads = weights, llm, None, reads


class Model:
    """vLLM's `generate`: remembers prompts and options; the log-probability of token t is −t, and tokens below 10 rank first."""

    llm_engine = SimpleNamespace(model_config=SimpleNamespace(max_model_len=12))

    def generate(self, prompts, options, lora_request, use_tqdm):
        self.prompts, self.options = [one["prompt_token_ids"] for one in prompts], options
        mark = lambda token: SimpleNamespace(logprob=float(-token), rank=1 if token < 10 else 2)  # noqa: E731
        return [
            SimpleNamespace(
                outputs=[SimpleNamespace(token_ids=(7, 0))],
                prompt_logprobs=[None, *({token: mark(token)} for token in tokens[1:])],
            )
            for tokens in self.prompts
        ]


@pytest.fixture
def library(monkeypatch):
    monkeypatch.setitem(sys.modules, "vllm", SimpleNamespace(SamplingParams=lambda **options: options))
    return Model()


def test_vllm_gets_every_end_of_a_text(tiny, library):
    engine, tokenizer = Without(engines.Weights("tiny/llama", "float32"), "vllm", library), loading.load_tokenizer("tiny/llama")
    ends = tuple(engine.ends(tokenizer))
    assert ends == (tokenizer.eos_token_id, tokenizer.pad_token_id)
    assert engine.write([[5], [6]], engines.Sampling(4, 0.0, ends, ("Q:",)), [1, 2], tokenizer) == [[7, 0], [7, 0]]
    assert [one["stop_token_ids"] for one in library.options] == [list(ends)] * 2
    assert [(one["seed"], one["stop"], one["detokenize"]) for one in library.options] == [(1, ["Q:"], True), (2, ["Q:"], True)]
    with pytest.raises(StudyError, match="take 14 tokens, vLLM has room for 12"):
        engine.write([[5] * 10], engines.Sampling(4, 0.0, ends), [1], tokenizer)


def test_vllm_reads_each_answer_apart(tiny, library):
    engine = Without(engines.Weights("tiny/llama", "float32"), "vllm", library)
    assert engine.read([([5, 20], [3]), ([5], [4, 30]), ([5] * 20, [2, 1])], 1) == [(-3.0, True), (-34.0, False), (-3.0, True)]
    assert [len(one) for one in library.prompts] == [3, 3, 11]


def test_transformers_reads_beside_vllm_if_there_is_room(tiny):
    engine = Without(engines.Weights("tiny/llama", "float32", read=True), "transformers")
    ((value, _),) = engine.read([([5, 6], [7])], 2)
    assert value < 0
    assert engine.reader.name == "transformers"


def test_the_model_that_reads_is_checked_as_well(tiny, tmp_path, monkeypatch):
    adapted = get_peft_model(loading.load_model("tiny/llama", "float32"), LoraConfig(r=2, init_lora_weights=False))
    adapted.save_pretrained(tmp_path)
    tokenizer = loading.load_tokenizer("tiny/llama")
    engine = Without(engines.Weights("tiny/llama", "float32", tmp_path, read=True), "transformers")
    assert engine.effect(tokenizer)["largest_logit_change"] > 0
    monkeypatch.setattr(type(engine.reader.model), "disable_adapter", lambda self: contextlib.nullcontext())
    with pytest.raises(StudyError, match="they are not used"):
        engine.effect(tokenizer)


def test_a_model_trained_as_a_whole_is_compared_by_its_files(tiny, tmp_path):
    model = loading.load_model("tiny/llama", "float32")
    with torch.no_grad():
        model.lm_head.weight[5] += 0.5
    model.save_pretrained(tmp_path)
    engine = Without(engines.Weights("tiny/llama", "float32", tmp_path, "full"), "vllm")
    found = engine.effect(loading.load_tokenizer("tiny/llama"))
    assert found["largest_weight"] == pytest.approx(0.5)
    assert found["largest_logit_change"] != found["largest_logit_change"]


@pytest.fixture
def gpu(monkeypatch):
    """A GPU of 80 GB whose properties can be read, and nothing else."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(total_memory=80 * 10**9))


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_how_vllm_divides_a_gpu(tiny, gpu, monkeypatch, dtype):
    size = shape.shape_of("tiny/llama").parameters() * loading.dtype_of(dtype).itemsize
    alone, reading = engines.Weights("tiny/llama", dtype), engines.Weights("tiny/llama", dtype, read=True)
    assert division(alone) == (False, shape.GPU_PART, {})
    both, part, options = division(reading)
    assert (both, options) == (True, {})
    assert part * 80e9 == pytest.approx(0.85 * 80e9 - size - shape.READ_WORK)
    monkeypatch.setenv("GPU_SHARE", "0.25")
    assert division(alone)[2] == {"kv_cache_memory_bytes": int(0.85 * 20e9 - size - shape.VLLM_WORK)}
    assert division(reading)[2] == {"kv_cache_memory_bytes": int(0.85 * 20e9 - 2 * size - shape.READ_WORK - shape.VLLM_WORK)}
    monkeypatch.setenv("GPU_SHARE", "0.1")  # 6.8 GB: enough to write, not to read as well
    assert division(reading)[0] is False
    monkeypatch.setenv("GPU_SHARE", "0.04")
    with pytest.raises(StudyError, match="4% of this GPU is too little for vLLM; a smaller runs_per_gpu"):
        division(reading)
