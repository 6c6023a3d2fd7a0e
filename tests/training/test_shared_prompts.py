"""Shared prompts compute what TRL computes: log-probabilities, losses, gradients and whole runs."""

from functools import wraps

import pytest
import torch
from small_runs import by_length, prescribe, trainer
from transformers import LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM

from helpers.models import loading, packing, shared_prefix
from helpers.training import determinism, grpo, loss, rewards

LOSSES = ("grpo", "bnpo", "dr_grpo", "dapo")


def like_smollm(sliding: int | None = None) -> LlamaForCausalLM:
    """A small model of SmolLM2's proportions (nine heads, three of keys, tied embeddings), with rotary positions."""
    torch.manual_seed(1)
    kind, config = (MistralForCausalLM, MistralConfig) if sliding else (LlamaForCausalLM, LlamaConfig)
    window = {"sliding_window": sliding} if sliding else {}
    return kind(
        config(
            vocab_size=len(loading.load_tokenizer("tiny/llama")), hidden_size=72, intermediate_size=192, num_hidden_layers=3,
            num_attention_heads=9, num_key_value_heads=3, tie_word_embeddings=True, initializer_range=0.2, max_position_embeddings=1024,
            eos_token_id=0, pad_token_id=1, bos_token_id=None, **window)
    )  # fmt: skip


def inputs(groups: int = 3, rollouts: int = 3) -> dict[str, torch.Tensor]:
    """A step's tensors as TRL makes them: prompts padded on the left, completions of 1 to 9 tokens on the right, groups out of order."""
    draw = torch.Generator().manual_seed(3)
    prompts = torch.ones(groups, 14, dtype=torch.long)
    for row, length in enumerate((14, 6, 9)[:groups]):
        prompts[row, 14 - length :] = torch.randint(2, 250, (length,), generator=draw)
    order = torch.randperm(groups * rollouts, generator=draw)
    lengths = torch.tensor([9, 1, 4, 9, 2, 7, 3, 3, 5])[: groups * rollouts]
    completions = torch.randint(2, 250, (groups * rollouts, 9), generator=draw)
    mask = (torch.arange(9)[None] < lengths[:, None]).long()
    prompts = prompts.repeat_interleave(rollouts, 0)[order]
    noise = torch.randn(groups * rollouts, 9, generator=draw)
    return {
        "prompt_ids": prompts, "prompt_mask": (prompts != 1).long(), "completion_ids": completions.where(mask.bool(), torch.tensor(1)),
        "completion_mask": mask, "advantages": torch.randn(groups * rollouts, generator=draw).where(lengths != 7, torch.tensor(0.0)),
        "num_items_in_batch": mask.sum(), "noise": noise}  # fmt: skip


def both(tmp_path, budget: int = 60, **options):
    """The trainer with shared prompts and TRL's, with equal adapters that are not zero."""
    model = options.pop("model", None)
    options = {"batch_size": 9, "gradient_accumulation": 1} | options
    made = [trainer(tmp_path / str(shared), model and model(), shared_prompts=shared, **options) for shared in (True, False)]
    made[0].budget = budget
    torch.manual_seed(7)
    for (name, one), two in zip(made[0].model.named_parameters(), made[1].model.parameters(), strict=True):
        if "lora_B" in name:
            one.data = torch.randn_like(one) * 0.1
            two.data = one.data.clone()
    return made


def whole(given: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor, int]:
    ids = torch.cat([given["prompt_ids"], given["completion_ids"]], 1)
    return ids, torch.cat([given["prompt_mask"], given["completion_mask"]], 1), given["completion_ids"].shape[1]


def gradient(made, given: dict[str, torch.Tensor]) -> tuple[float, torch.Tensor]:
    made.current_gradient_accumulation_steps = 1
    made.model.zero_grad()
    value = made.compute_loss(made.model, given)
    value.backward()
    return float(value.detach()), torch.cat([p.grad.flatten() for p in made.model.parameters() if p.requires_grad])


@pytest.mark.parametrize("model", [None, like_smollm])
def test_log_probabilities_are_those_of_the_plain_computation(tiny, tmp_path, model):
    shared, plain = both(tmp_path, model=model)
    given = inputs()
    with torch.no_grad():
        ours, theirs = (made._get_per_token_logps_and_entropies(made.model, *whole(given))[0] for made in (shared, plain))
    assert len(shared._batches(*shared_tokens(given), range(9))) > 1
    assert (ours - theirs)[given["completion_mask"].bool()].abs().max() < 1e-5


def shared_tokens(given):
    from helpers.training.shared_prompts import _tokens

    return _tokens(*whole(given))


def searched():
    """`inputs` whose completions have two inserted tokens."""
    return inputs() | {"tool_mask": torch.ones(9, 9, dtype=torch.long).index_fill(1, torch.tensor([2, 3]), 0)}


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("beta", [0.0, 0.1])
@pytest.mark.parametrize("given", [inputs, searched], ids=["plain", "with inserted text"])
def test_losses_and_gradients_are_trls(tiny, tmp_path, kind, beta, given):
    """With LoRA, KL, padding, truncated completions, groups of unequal length, zero advantages, inserted text, and budgets that divide a group."""
    given = given()
    for budget in (60, 20):
        shared, plain = both(tmp_path / str(budget), budget, loss=kind, beta=beta, model=like_smollm)
        with torch.no_grad():
            near = plain._get_per_token_logps_and_entropies(plain.model, *whole(given))[0] + 0.3 * given["noise"]
        reference = given | ({"ref_per_token_logps": near} if beta else {})
        (ours, one), (theirs, two) = gradient(shared, reference), gradient(plain, reference)
        assert ours == pytest.approx(theirs, abs=1e-5)
        assert two.abs().max() > 1e-3
        assert (one - two).abs().max() / two.abs().max() < 1e-5
        for name in ("entropy", *(["kl"] if beta else [])):
            assert shared._metrics["train"][name] == pytest.approx(plain._metrics["train"][name], rel=1e-5)


def test_the_output_layer_skips_inserted_text(tiny, tmp_path, monkeypatch):
    given, (shared, _) = searched(), both(tmp_path, loss="grpo")
    predicted, usual = [], loss.log_probabilities
    monkeypatch.setattr(loss, "log_probabilities", lambda model, packed: predicted.append(packed.places) or usual(model, packed))
    gradient(shared, given)
    own = (given["completion_mask"] * given["tool_mask"]).flatten().nonzero().flatten()
    assert sorted(torch.cat(predicted).tolist()) == own.tolist()


def test_backward_passes_add_up_in_one_order_if_they_can(tiny, tmp_path, monkeypatch):
    shared, _ = both(tmp_path)
    modes = []

    def usual(value):
        modes.append((torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()))

    def impossible(*given):
        raise RuntimeError("cumsum_cuda_kernel does not have a deterministic implementation")

    shared.accelerator.backward = usual
    with monkeypatch.context() as patched:
        patched.setattr(determinism.loss, "of_pack", impossible)
        assert not determinism.order_gradients(shared)
    assert shared.accelerator.backward is usual
    state = torch.get_rng_state()
    assert determinism.order_gradients(shared)
    assert torch.equal(state, torch.get_rng_state())
    assert not any(parameter.grad is not None for parameter in shared.model.parameters())
    shared.accelerator.backward(torch.ones(()))
    assert modes == [(True, False)]
    assert not torch.are_deterministic_algorithms_enabled()


def test_the_correction_for_vllm_is_trls_sequence_mask():
    difference = torch.tensor([0.5, 0.5, 0.6, 0.6, float("nan"), -0.3])
    ratio = loss.correction(difference, torch.tensor([0, 0, 1, 1, 2, 2]), 3)
    assert ratio.tolist() == pytest.approx([2.71828, 0.0, 0.74082], abs=1e-5)


def test_twenty_steps_have_trls_losses(tiny, tmp_path, monkeypatch):
    monkeypatch.setitem(rewards.ALL, "accuracy", by_length)
    logs = []
    for shared in (True, False):
        made = trainer(tmp_path / str(shared), like_smollm(), shared_prompts=shared, beta=0.05, scale_rewards="group", epochs=10,
                       batch_size=3, gradient_accumulation=2, count=4, learning_rate=1e-4, save_steps=100)  # fmt: skip
        prescribe(made)
        logs.append(grpo.run(made, "mark")[0])
    assert len(logs[0]) == 20
    assert logs[1]["grad_norm"].max() > 1
    for name in ("loss", "learning_rate", "reward", "frac_reward_zero_std"):
        assert (logs[0][name] - logs[1][name]).abs().max() < 1e-4, name
    assert logs[0]["grad_norm"].to_numpy() == pytest.approx(logs[1]["grad_norm"].to_numpy(), rel=1e-3, abs=1e-3)
    assert logs[0]["entropy"].to_numpy() == pytest.approx(logs[1]["entropy"].to_numpy(), rel=0.02)  # TRL: a mean of two means


def test_a_pack_on_paper():
    pieces = packing.group([[5, 6, 7], [8, 9], [5, 6, 7]], [[10, 11], [12], [13]], budget=100)
    assert pieces == [packing.Piece([5, 6, 7], [[10, 11], [13]], [0, 2]), packing.Piece([8, 9], [[12]], [1])]
    packed = packing.pack(pieces, longest=2, pad=1)
    assert packed.ids.tolist() == [[5, 6, 7, 10, 7], [8, 9, 1, 1, 1]]
    assert packed.positions.tolist() == [[0, 1, 2, 3, 2], [0, 1, 0, 0, 0]]
    assert packed.segments.tolist() == [[0, 0, 1, 1, 2], [0, 1, -1, -1, -1]]
    assert packed.targets.tolist() == [[-100, -100, 10, 11, 13], [-100, 12, -100, -100, -100]]
    assert packed.places.tolist() == [0, 1, 4, 2]
    assert packed.mask()[0, 0].int().tolist() == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [1, 1, 1, 1, 0],
        [1, 1, 0, 0, 1],
    ]


def test_micro_batches_hold_at_most_their_tokens():
    prompts, completions = [[1] * 10] * 4 + [[2] * 30] * 4, [[3] * length for length in (5, 6, 7, 8, 1, 2, 3, 4)]
    pieces = packing.group(prompts, completions, budget=32)
    assert [(piece.width, piece.rows) for piece in pieces] == [(27, [0, 1, 2]), (17, [3]), (32, [4, 5]), (32, [6]), (33, [7])]
    assert sorted(row for batch in packing.fill(pieces, 70) for piece in batch for row in piece.rows) == list(range(8))
    assert all(len(batch) * max(piece.width for piece in batch) <= 70 for batch in packing.fill(pieces, 70))


def test_models_that_cannot_read_shared_prompts_say_why(tiny, tmp_path):
    assert packing.why_not(like_smollm(), 1000) == ""
    assert packing.why_not(like_smollm(sliding=64), 60) == ""
    assert packing.why_not(like_smollm(sliding=64), 65) == "its layers see 64 tokens, a prompt with its completion has up to 65"
    eager = loading.load_model("tiny/llama", "float32")
    eager.set_attn_implementation("eager")
    assert packing.why_not(eager, 100) == "its attention is eager, not sdpa"
    made = trainer(tmp_path, like_smollm(sliding=64))
    assert made.budget == 0
    assert made.notes["shared_prompts"].startswith("off: its layers see 64 tokens")
    assert (made.args.per_device_train_batch_size, made.args.gradient_accumulation_steps) == (3, 4)
    assert trainer(tmp_path / "other", shared_prompts=False).notes["shared_prompts"] == "off: train.shared_prompts is false"


def test_a_packed_model_that_ignores_the_mask_is_found_out(tiny):
    model = loading.load_model("tiny/llama", "float32")
    usual = model.forward
    model.forward = lambda attention_mask=None, **given: usual(**given)
    assert packing.why_not(model, 100) == "its log-probabilities differ from those of the plain computation"


def test_rollouts_after_prompts_that_were_read_once_are_trls(tiny, tmp_path, monkeypatch):
    begin = list(range(20, 60))
    prompts = [[*begin, 70, 71, 72]] * 3 + [[*begin, 90]] * 3
    made, read = trainer(tmp_path, count=4), []
    base = made.model.base_model.model

    @wraps(base.forward)  # `generate` passes on what its signature names
    def forward(input_ids, usual=base.forward, **given):
        read.append(input_ids.numel())
        return usual(input_ids, **given)

    monkeypatch.setattr(base, "forward", forward)
    sampled = []
    for worth in (16, 1000):
        monkeypatch.setattr(shared_prefix, "WORTH", worth)
        torch.manual_seed(3)
        sampled.append(made._generate_single_turn(prompts, None, {}, 3)[0])
    assert sampled[0] == sampled[1]
    assert read[:3] == [40, 2 * 2, 6]  # what all share, the rest of two prompts, the last token of six rollouts
    assert 6 * 43 in read
