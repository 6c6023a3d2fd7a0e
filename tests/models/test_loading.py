"""Loading a model: errors in one line, an adapter that must have an effect, batches that agree with single prompts."""

import re

import numpy as np
import pandas as pd
import pytest
import torch
from peft import LoraConfig, get_peft_model

from helpers.models import engines, generate, loading, packages
from helpers.models.effect import training_effect
from helpers.study.errors import StudyError


def test_a_model_that_is_nowhere_is_one_line(tiny):
    with pytest.raises(StudyError) as raised:
        loading.load_tokenizer("nobody/nothing")
    assert "nobody/nothing: not in OFFLINE_MIRROR=" in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (
            "You are trying to access a gated repo. Make sure to have access",
            "accept it on the model's page, then `hf auth login`",
        ),
        ("403 Client Error", "keeps this model behind an agreement"),
        ("401 Client Error", "no such model, or it is private or gated"),
        ("x does not appear to have a file named model.safetensors", "pickled weights are not loaded"),
        ("We couldn't connect to the hub", "the hub cannot be reached; connect, or download it"),
    ],
)
def test_why_a_model_cannot_be_loaded(error, expected):
    assert expected in loading._why_not("a/b", OSError(error))


def test_pickled_weights_are_refused(tiny, tmp_path):
    model = loading.load_model("tiny/llama", "float32")
    model.config.save_pretrained(tmp_path)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(StudyError):
        loading.load_model(str(tmp_path), "float32")


def adapted(tiny, scale):
    model = get_peft_model(loading.load_model("tiny/llama", "float32"), LoraConfig(r=2, target_modules="all-linear"))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.fill_(scale)
    return model.eval()


def test_effect_of_an_adapter(tiny):
    tokenizer = loading.load_tokenizer("tiny/llama")
    effect = training_effect(adapted(tiny, 0.1), tokenizer, pytest.fail)
    assert effect["largest_weight"] == pytest.approx(0.1)
    assert effect["largest_logit_change"] > 0
    assert training_effect(adapted(tiny, 0.0), tokenizer, pytest.fail) == {
        "largest_weight": 0.0,
        "largest_logit_change": 0.0,
    }


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_an_adapter_is_held_in_its_models_dtype(tiny, tmp_path, dtype):
    adapted(tiny, 0.1).save_pretrained(tmp_path)  # in float32, as training leaves it
    loaded = loading.load_model("tiny/llama", dtype, tmp_path)
    held = [weight for name, weight in loaded.named_parameters() if "lora_" in name]
    assert held
    assert {str(weight.dtype) for weight in held} == {f"torch.{dtype}"}


def test_effect_of_training_all_parameters(tiny, tmp_path):
    tokenizer, model = loading.load_tokenizer("tiny/llama"), loading.load_model("tiny/llama", "float32")
    with torch.no_grad():
        model.lm_head.weight[5] += 0.5
    model.save_pretrained(tmp_path)
    trained = loading.load_model("tiny/llama", "float32", tmp_path, "full")
    effect = training_effect(trained, tokenizer, lambda: loading.load_model("tiny/llama", "float32"))
    assert effect["largest_weight"] == pytest.approx(0.5)
    assert effect["largest_logit_change"] > 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_qlora_without_a_gpu_is_one_line(tiny):
    with pytest.raises(StudyError, match="qlora needs an NVIDIA GPU"):
        loading.load_model("tiny/llama", method="qlora")


def test_an_adapter_that_is_not_used_is_an_error(tiny):
    model = adapted(tiny, 0.1)
    model.base_model.disable_adapter_layers()
    with pytest.raises(StudyError, match="the logits are the same: they are not used"):
        training_effect(model, loading.load_tokenizer("tiny/llama"), pytest.fail)


@pytest.fixture
def completions(monkeypatch):
    """Complete prompts with the tiny model: the completions, and how often the engine was loaded for them."""
    calls, load = [], engines.load
    monkeypatch.setattr(engines, "load", lambda *given: calls.append(1) or load(*given))

    def complete(prompts, **settings):
        calls.clear()
        table = pd.DataFrame({"question_id": [str(i) for i in range(len(prompts))], "prompt": prompts})
        weights = engines.Weights("tiny/llama", "float32")
        return generate.complete(table, weights, loading.load_tokenizer("tiny/llama"), max_new_tokens=6, **settings), len(calls)

    return complete


PROMPTS = ["User: a", "A much longer question than the others, which comes first", "User: b", "c?"]


def test_batches_give_what_single_prompts_give_in_the_order_of_the_prompts(completions):
    batched, _ = completions(PROMPTS, batch_size=4)
    single, _ = completions(PROMPTS, batch_size=1)
    pd.testing.assert_frame_equal(batched, single)
    assert batched["question_id"].tolist() == ["0", "1", "2", "3"]
    assert set(batched["finish_reason"]) <= {"stop", "length"}


def test_finished_batches_are_read_back(completions, tmp_path):
    first, loaded = completions(PROMPTS, batch_size=2, parts=tmp_path, temperature=1.0, samples=2)
    assert loaded == 1
    assert len(first) == 8
    again, loaded = completions(PROMPTS, batch_size=2, parts=tmp_path, temperature=1.0, samples=2)
    assert loaded == 0
    pd.testing.assert_frame_equal(first, again)
    next(tmp_path.glob("*.parquet")).unlink()
    resumed, loaded = completions(PROMPTS, batch_size=2, parts=tmp_path, temperature=1.0, samples=2)
    assert loaded == 1
    pd.testing.assert_frame_equal(first, resumed)


def test_an_end_token_ends_a_completion(completions):
    inputs = loading.load_tokenizer("tiny/llama")(["User: a"], return_tensors="pt")
    first = loading.load_model("tiny/llama", "float32").generate(**inputs, max_new_tokens=1, do_sample=False)[0, -1].item()
    ended, _ = completions(["User: a"], end_tokens=[first])
    assert (ended["finish_reason"][0], ended["n_tokens"][0]) == ("stop", 1)


def test_a_gguf_file_is_read_once_and_not_from_a_memory_map(tmp_path):
    import gguf

    path, weights = tmp_path / "a.gguf", np.arange(6, dtype=np.float32).reshape(2, 3)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_array("tokenizer.ggml.tokens", ["a", "bc"])
    writer.add_tensor("output.weight", weights)
    for step in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file, writer.close):
        step()
    with packages._read_once():
        read = gguf.GGUFReader(path)
        assert gguf.GGUFReader(path) is read
    plain = gguf.GGUFReader(path)
    assert plain is not read
    assert (type(plain.data), type(read.data)) == (np.memmap, np.ndarray)
    assert read.fields["tokenizer.ggml.tokens"].contents() == plain.fields["tokenizer.ggml.tokens"].contents() == ["a", "bc"]
    assert read.tensors[0].data.tolist() == plain.tensors[0].data.tolist() == weights.tolist()


@pytest.mark.parametrize("model", ["./nowhere/llama", "https://huggingface.co/tiny/llama"])
def test_what_is_no_id_of_the_hub(tiny, model):
    with pytest.raises(
        StudyError, match="^" + re.escape(f"{model}: no such folder, and no id of the hub, which is user/name") + "$"
    ):
        loading.load_tokenizer(model)


def test_a_question_that_is_too_long_for_the_model_is_named_before_anything_is_written(tiny, monkeypatch):
    tokenizer = loading.load_tokenizer("tiny/llama")
    queries = pd.DataFrame({"question_id": ["short", "long"], "prompt": ["User: a", "User: " + "b " * 1100]})
    monkeypatch.setattr("helpers.models.transformers_engine.Transformers.write", lambda *_: pytest.fail("written"))
    with pytest.raises(
        StudyError, match=r"question long: its prompt has 2,\d+ tokens, and the model has room for 2,048 with the 4 of"
    ):
        generate.complete(queries, engines.Weights("tiny/llama", "float32"), tokenizer, max_new_tokens=4, engine="transformers")
