"""Rollouts by vLLM: their noise, the weights they are sampled from, and options. A stand-in takes the engine's place on the CPU."""

import os
import socket
from pathlib import Path

import pytest
import torch
from small_runs import PROMPT, StandIn, by_length, install, questions, trainer
from torch import nn

from helpers.models import shape
from helpers.study.schema import Train
from helpers.training import adapter, follow, grpo, rewards, sampling


@pytest.fixture
def engine(tiny, monkeypatch):
    """Training finds the stand-in where TRL looks for vLLM, and a reward that differs between rollouts."""
    install(monkeypatch)
    monkeypatch.setitem(rewards.ALL, "accuracy", by_length)


def rollouts(folder, **options):
    log, table = grpo.run(made := trainer(folder, engine="vllm", temperature=2.0, **options), "mark")
    return made, log, table["completion"].tolist()


@pytest.mark.parametrize("engine_name", ["vllm", "transformers"])
def test_seeds_and_steps_sample_different_rollouts_for_the_same_prompts_and_one_seed_twice_the_same(
    engine, tmp_path, engine_name
):
    """All weights are equal (an adapter begins at zero) and so are the prompts, so only seed and step can make a difference."""

    def sampled(name, seed):
        made = trainer(tmp_path / name, seed=seed, engine=engine_name, temperature=2.0)
        first = made._generate(["Iron?"] * 3 + ["Zinc?"] * 3)[1]
        made.state.global_step = 1
        return first, made._generate(["Iron?"] * 3 + ["Zinc?"] * 3)[1]

    (first, next_step), again, (other, _) = sampled("a", 0), sampled("b", 0), sampled("c", 1)
    assert (first, next_step) == again
    assert all(mine != yours for mine, yours in zip(first * 2, other + next_step, strict=True))
    assert first[0] != first[1]  # rollouts of a group differ


def test_a_resumed_run_goes_on_with_the_noise_of_its_step(engine, tmp_path):
    _, log, whole = rollouts(tmp_path / "whole")
    killed = trainer(tmp_path / "killed", engine="vllm", temperature=2.0)
    save = killed._save_checkpoint

    def save_then_die(*given):
        save(*given)
        raise KeyboardInterrupt

    killed._save_checkpoint = save_then_die
    with pytest.raises(KeyboardInterrupt):
        grpo.run(killed, "mark")
    _, resumed_log, resumed = rollouts(tmp_path / "killed")
    assert resumed == whole
    assert resumed_log["loss"].tolist() == pytest.approx(log["loss"].tolist(), abs=1e-6)


def test_a_step_has_its_own_noise_and_leaves_the_generators_alone():
    before = torch.get_rng_state()
    drawn = []
    for step in (0, 0, 1):
        with sampling.noise(sampling.seed_of(5, step)):
            drawn.append(torch.rand(4).tolist())
    assert drawn[0] == drawn[1] != drawn[2]
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("engine_name", ["vllm", "transformers"])
def test_a_run_leaves_the_bits_of_the_base_alone(engine, tmp_path, engine_name):
    from helpers.models import loading

    model = loading.load_model("tiny/llama", "bfloat16")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    made = trainer(tmp_path, model, engine=engine_name, temperature=2.0)
    grpo.run(made, "mark")
    after = {
        name.replace("base_model.model.", "").replace(".base_layer", ""): value for name, value in made.model.state_dict().items()
    }
    assert max(float(value.abs().max()) for name, value in after.items() if "lora_B" in name) > 0
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert grpo.notes(tmp_path / "checkpoints")["base_tensors_changed"] == 0


def test_a_changed_base_is_noted_and_said(engine, tmp_path, capsys):
    made = trainer(tmp_path)
    layer = made.model.base_model.model.model.layers[0].self_attn.q_proj.base_layer

    def step(*_, **__):
        with torch.no_grad():
            layer.weight.view(torch.int32).flatten()[7] ^= 1  # the lowest bit of one number

    made.train = step
    grpo._train(made, None)
    assert grpo.notes(Path(made.args.output_dir))["base_tensors_changed"] == 1
    assert (
        "1 tensors of the base model changed during the training, first base_model.model.model.layers.0"
        in capsys.readouterr().err
    )


def test_trls_merging_is_there_to_compare_with(engine, tmp_path):
    """It sends the same sums, but all of them each time."""
    apart, _, _ = rollouts(tmp_path / "adapter")
    merged, _, _ = rollouts(tmp_path / "merge", sync="merge")
    first, *later = apart.vllm_generation.llm.loaded
    assert len(first) == len(dict(apart.vllm_generation.llm.model.named_parameters()))
    assert all(name.endswith("proj.weight") for names in later for name in names)
    assert sum(map(len, merged.vllm_generation.llm.loaded)) > sum(map(len, apart.vllm_generation.llm.loaded))


def test_vllm_gets_base_and_adapter_rounded_once(engine, tmp_path):
    made, log, _ = rollouts(tmp_path)
    held = dict(made.vllm_generation.llm.model.named_parameters())
    for name, value in adapter.merged(made.model):
        assert value.shape == held[name].shape
    assert log["sampling_distance"].max() < 1e-4  # its log-probabilities are those of the model that learns
    layer = made.model.base_model.model.model.layers[0].self_attn.q_proj
    total = layer.base_layer.weight + layer.scaling["default"] * layer.lora_B["default"].weight @ layer.lora_A["default"].weight
    sent = dict(adapter.merged(made.model))["model.layers.0.self_attn.q_proj.weight"]
    assert torch.allclose(sent, total, atol=1e-7)
    assert set(dict(adapter.merged(made.model, everything=False))) < set(held)


def test_products_in_the_models_dtype(tiny, tmp_path):
    made = trainer(tmp_path)
    layer = made.model.base_model.model.model.layers[1].mlp.down_proj
    nn.init.normal_(layer.lora_B["default"].weight)
    x = torch.randn(2, 5, layer.in_features)
    assert torch.allclose(layer(x), type(layer).forward(layer, x), atol=1e-5)
    with made.model.disable_adapter():
        assert torch.equal(layer(x), layer.base_layer(x))
    assert layer.lora_A["default"].weight.dtype == torch.float32


def test_a_server_gets_one_seed_per_prompt():
    asked = []

    class Client:
        def generate(self, prompts, n, generation_kwargs):
            asked.append((prompts, n, generation_kwargs["seed"]))
            return {"completion_ids": [[prompts[0][0], k] for k in range(n)]}

    backend = object.__new__(sampling.Sampler)
    backend.accelerator = type("Process", (), {"is_main_process": True})
    backend.vllm_client, backend.seed, backend.step = Client(), 3, 7
    with backend._seeded_requests():
        made = backend.vllm_client.generate(prompts=[[1], [2], [3]], n=2, generation_kwargs={"stop_token_ids": [0]})
    assert made["completion_ids"] == [[1, 0], [1, 1], [2, 0], [2, 1], [3, 0], [3, 1]]
    assert len({seed for _, _, seed in asked}) == 3


@pytest.fixture
def gpu(monkeypatch):
    """A GPU as far as the options of vLLM ask for one."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)


def test_vllm_inside_a_training_has_a_port_of_its_own_and_a_cache_for_a_step(tiny, gpu, monkeypatch):
    from trl.generation import vllm_generation as module

    monkeypatch.setattr(module, "LLM", lambda **options: options, raising=False)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    for name in ("MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "0")
    train, ports, seeds = Train(max_completion_tokens=100), [], []
    for number, model in enumerate(("tiny/llama", "someone/of-unknown-shape")):
        with sampling.vllm_inside(model, train, 300, number), socket.socket() as taken:
            made = module.LLM(seed=0)
            ports.append(int(os.environ["MASTER_PORT"]))
            taken.bind(("127.0.0.1", ports[-1]))
            known = shape.shape_of(model)
            cache = {"kv_cache_memory_bytes": 2 * 2 * known.layers * known.keys * 12 * 400} if known else {}
            seeds.append(made.pop("seed"))
            assert made == {"enable_prefix_caching": True} | cache
    assert 29500 not in ports
    assert len(set(ports)) == len(set(seeds)) == 2
    assert module.LLM() == {}


def test_rollouts_by_vllm_are_options_of_trl(monkeypatch, tmp_path):
    monkeypatch.setenv("GPU_SHARE", "0.5")
    train = Train(max_completion_tokens=100)
    inside = grpo.config(train, 0, tmp_path, **sampling.options(train, 300, [5, 9], shared=False))
    assert (inside.use_vllm, inside.vllm_mode, inside.vllm_max_model_length) == (True, "colocate", 400)
    assert inside.vllm_gpu_memory_utilization == pytest.approx(0.15)
    assert inside.generation_kwargs == {"stop_token_ids": [5, 9], "detokenize": False}
    assert inside.vllm_importance_sampling_correction
    served = Train(vllm_server="http://node7:8000")
    outside = grpo.config(served, 0, tmp_path, True, **sampling.options(served, 300, [5], shared=True))
    assert (outside.vllm_mode, outside.vllm_server_base_url) == ("server", "http://node7:8000")
    assert not outside.vllm_importance_sampling_correction  # `loss.correction` does it
    assert grpo.config(Train(), 0, tmp_path).use_vllm is False


def test_a_followed_question_longer_than_all_training_prompts_has_room_for_its_answer(engine, tmp_path):
    """vLLM cuts answers at its own limit, which is made for the longest prompt: those of held-out questions count, too."""
    held, following = questions(14).tail(2), {"questions": 1, "every": 1}
    made = trainer(tmp_path, engine="vllm", held_out=held, follow=following)
    plain = trainer(tmp_path / "plain", engine="vllm")
    (asked,) = follow.encode(held.head(1), PROMPT, made._tokenizer, None)
    assert made.args.vllm_max_model_length == len(asked) + 4 > plain.args.vllm_max_model_length
    assert made.budget == plain.budget > 0  # packs are made for training prompts


def test_the_stand_in_is_greedy_where_it_is_asked(engine, tmp_path):
    made = trainer(tmp_path, engine="vllm")
    made.sync()
    assert made.vllm_generation.ask([[5, 6, 7]], 3) == made.vllm_generation.ask([[5, 6, 7]], 3)
    assert isinstance(made.vllm_generation.llm, StandIn)
