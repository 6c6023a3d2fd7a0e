"""The memory of a step, from a model's shape: formulas only, no torch, no files.

They are our own because no library has them: accelerate's `estimate-memory` counts weights, and four times that for training with
Adam, but no activations, adapters, KV cache or logits. It stays within a quarter of the measurement in 4 of the 11 rows of
figures/plan/*.csv, these formulas in all. The terms and their sources:

- weights: parameters × bytes; 4-bit NormalFloat in blocks of 64 with a float32 scale each (QLoRA, arXiv 2305.14314);
- optimiser: a gradient and AdamW's two moments for each trained parameter, in its own dtype. PEFT keeps LoRA weights in
  float32 for any model (`autocast_adapter_dtype`); TRL converts them to bfloat16 for a 4-bit model;
- activations: the tensors that each layer saves for backward, as in Korthikanti et al. (arXiv 2205.05198) but for today's
  layers: RMSNorm (a float32 copy of its input), fused attention (query, key and value repeated for each head,
  output, mask), gated MLP (gate, its activation, up), and the inputs of the matrices that are trained;
- KV cache: 2 · layers · kv_heads · head_dim bytes per token of every sequence, up to a layer's window;
- logits: none in training, since TRL's fused head (trl/kernels/chunked_logprob.py) passes over tiles of 32,768 words of
  the vocabulary: on a GPU at most 4,096 tokens per tile and only the completion's, elsewhere all tokens at once with
  float32 copies. In generation one row per sequence; in likelihood scoring one per answer token, with its log-softmax;
- vLLM, where it generates: a copy of the weights, its own cache, and its kernels and CUDA graphs (assumed).
"""

from dataclasses import dataclass

from helpers.models.shape import READ_TOKENS, VISION, VLLM_ROLLOUTS, VLLM_WORK, Shape, cache_bytes
from helpers.study.schema import Lora, Train

FOUR_BIT = 0.5 + 4 / 64  # bytes a parameter: the weight, and its share of the block's scale
TILE_WORDS, TILE_TOKENS = 32768, 4096  # of TRL's fused head
TILE_COPIES = 7.25  # float32 copies of a tile alive at once in its backward without Triton: y, z, log p, p, grad, two of the
# one-hot minus p and its product with the gradient, and a boolean one-hot
ANSWER = 16  # tokens of an answer that is scored by likelihood, at most (one where it is a letter)


@dataclass(frozen=True)
class Precision:
    """Bytes per number of the stored weights, of the computation and of the trained parameters; gpu: whether it runs on one."""

    weights: float
    compute: int
    trained: int
    gpu: bool


def precision(method: str, width: int, gpu: bool) -> Precision:
    """The precision in which training and loading keep a model whose dtype has `width` bytes; method "" means no training."""
    if method == "qlora":
        return Precision(FOUR_BIT, 2, 2, gpu)
    if method == "full":  # float32 masters; on a GPU their products are computed in bfloat16 (autocast)
        return Precision(4, 2 if gpu else 4, 4, gpu)
    return Precision(width, width, 4, gpu)


def weight_bytes(model: Shape, at: Precision) -> float:
    """Bytes of the weights; in 4 bits only the matrices are quantised."""
    if at.weights != FOUR_BIT:
        return model.parameters() * at.weights
    return model.linear() * FOUR_BIT + (model.parameters() - model.linear()) * at.compute


def adapter_parameters(model: Shape, lora: Lora) -> int:
    """Parameters of a LoRA adapter: r · (inputs + outputs) for each adapted matrix."""
    per_layer = sum(lora.r * sum(model.matrices()[name]) for name in targets(model, lora))
    seen = VISION["layers"] * lora.r * (4 * 2 * VISION["hidden"] + 2 * (VISION["hidden"] + VISION["intermediate"]))
    return model.layers * per_layer + (seen if model.vision and lora.target_modules == "all-linear" else 0)


def targets(model: Shape, lora: Lora) -> list[str]:
    """The matrices of a layer that carry an adapter."""
    every = list(model.matrices())
    if lora.target_modules == "all-linear":
        return every
    named = [lora.target_modules] if isinstance(lora.target_modules, str) else lora.target_modules
    return [name for name in every if name in named]


def trained_parameters(model: Shape, train: Train) -> int:
    """Parameters that get a gradient."""
    return model.parameters() - model.tower() if train.method == "full" else adapter_parameters(model, train.lora)


def layer_bytes(model: Shape, train: Train, at: Precision) -> float:
    """Bytes per token that one layer saves for backward, without the attention mask."""
    h, a, i, c = model.hidden, model.attention, model.intermediate, at.compute
    normed = 4 * h + a + model.keys if model.family == "gemma3" else 2 * h  # Gemma: also after each block, queries and keys
    saved = 4.0 * normed  # RMSNorm's input as float32
    saved += 4 * a * c + 4 * model.heads  # query, key, value, output of the attention; its log-sum-exp
    saved += 3 * i * c  # gate, activation(gate), up
    if train.method == "full":
        saved += 4 * normed  # the normed values, for the gradient of the norm's weight
        copies = len([name for name in model.matrices() if name not in ("o_proj", "down_proj")]) if at.gpu else 2
        return saved + copies * h * c + i * c  # matrix inputs; autocast makes a copy for each matrix; o_proj's is counted
    on = targets(model, train.lora)
    saved += train.lora.r * at.trained * len(on)  # what lies between the adapter's two matrices
    own_copy = at.trained != c or train.lora.dropout > 0  # PEFT casts each matrix's input to the adapter's type
    if own_copy:
        return saved + sum(model.matrices()[name][0] for name in on) * (at.trained + (1 if train.lora.dropout else 0))
    attends = any(name in on for name in ("q_proj", "k_proj", "v_proj", "qkv_proj"))
    gates = any(name in on for name in ("gate_proj", "up_proj", "gate_up_proj"))
    return saved + (h * attends + h * gates + i * ("down_proj" in on)) * c


def head_bytes(model: Shape, train: Train, at: Precision, sequences: int, prompt: int, completion: int) -> float:
    """TRL's fused output layer in its backward: a tile of logits, its float32 copies off the GPU, the gradient of its input."""
    words = min(model.vocab, TILE_WORDS)
    tokens = sequences * completion if at.gpu else sequences * (prompt + completion - 1)
    rows = min(tokens, TILE_TOKENS)
    tile = rows * TILE_WORDS * at.compute + (0 if at.gpu else TILE_COPIES * rows * words * 4)
    weight = model.vocab * model.hidden * 4 if train.method == "full" else 0  # its gradient, gathered in float32
    return tile + tokens * model.hidden * (4 + at.compute) + weight


def update_bytes(model: Shape, train: Train, at: Precision, prompt: int, completion: int) -> float:
    """Activations of one forward and backward of `batch_size` sequences, at their highest."""
    tokens = train.batch_size * (prompt + completion)
    mask = train.batch_size * (prompt + completion) ** 2 * at.compute  # the mask as numbers; each layer's attention makes its own
    layer = tokens * layer_bytes(model, train, at) + mask
    kept = model.layers * layer
    if train.gradient_checkpointing:  # the input of each layer, and one layer recomputed
        kept = model.layers * tokens * model.hidden * at.compute + layer
    ends = tokens * model.hidden * (4 + at.compute)  # the last norm, and the embedding
    mlp = tokens * model.intermediate * max(3 * at.compute, at.trained + 2 * at.compute)  # gradients of one gated MLP
    moment = max(head_bytes(model, train, at, train.batch_size, prompt, completion), mlp)
    unpacked = max(inputs * outputs for inputs, outputs in model.matrices().values()) * 2 if train.method == "qlora" else 0
    cached = model.linear() * 2 if train.method == "full" and at.gpu else 0  # autocast keeps the weights' bfloat16 copies
    return kept + ends + moment + unpacked + cached


def generation_bytes(model: Shape, at: Precision, sequences: int, prompt: int, new: int, adapter: bool = False) -> float:
    """Bytes of generation: the KV cache, while prompts are processed or at the end, and the logits of the last position.

    Without a GPU, PyTorch 2.13 multiplies a slice of bfloat16 hidden states by copying the output layer's weight once for each
    sequence (measured: 12 × 336 MB for gemma-3-270m).
    """
    layer = model.intermediate * (3 * at.compute + (at.trained if adapter and at.trained != at.compute else 0))
    reading = sequences * prompt * (layer + 2 * model.hidden * at.compute)
    copies = model.vocab * model.hidden * 2 if sequences == 1 and not at.gpu and at.compute == 2 else 0
    first = cache_bytes(model, at.compute, sequences, prompt) + max(reading, copies)
    whole = cache_bytes(model, at.compute, sequences, prompt + new)
    logits = sequences * model.vocab * (at.compute + 3 * 4)  # in float32: scaled, their softmax, and the sort of sampling
    return max(first, whole + whole / model.layers) + logits  # a layer's cache is copied as it grows


def likelihood_bytes(model: Shape, at: Precision, sequences: int, length: int) -> float:
    """Bytes of likelihood scoring: one layer's activations over a batch of prompts, or the logits of the answers (`transformers_engine`)."""
    layer = min(sequences * length, max(READ_TOKENS, length)) * (3 * model.intermediate + 2 * model.hidden) * at.compute
    return max(layer, 2 * sequences * ANSWER * model.vocab * at.compute)


def vllm_bytes(model: Shape, at: Precision, sequences: int, length: int, work: float = VLLM_WORK) -> float:
    """Bytes of vLLM with a cache for `sequences` of `length` tokens at once."""
    return model.parameters() * at.compute + cache_bytes(model, at.compute, sequences, length) + work


def training_bytes(
    model: Shape, train: Train, at: Precision, prompt: int, completion: int, vllm: bool = False
) -> dict[str, float]:
    """Peak bytes of one GRPO run, by part; prompt and completion are the tokens of the longest in a batch.

    The rollouts of a step are generated at once (`steps_per_generation` is the accumulation), so the peak is there or in the update.
    vllm: vLLM generates them, and keeps a copy of the weights and a cache for two steps throughout.
    """
    trained = trained_parameters(model, train)
    rollouts = generation_bytes(model, at, train.completions_per_step, prompt, completion, adapter=train.method != "full")
    reference = weight_bytes(model, at) if train.method == "full" and train.beta else 0  # LoRA switches its adapter off instead
    return {
        "weights": weight_bytes(model, at) + reference + (0 if train.method == "full" else trained * at.trained),
        "optimiser": 3 * trained * at.trained,
        "activations and logits": update_bytes(model, train, at, prompt, completion),
        "rollouts": 0.0 if vllm else rollouts,
        "vLLM": vllm_bytes(model, at, 2 * train.completions_per_step, prompt + completion, VLLM_ROLLOUTS) if vllm else 0.0,
    }


def training_peak(parts: dict[str, float]) -> float:
    """Peak bytes of a training."""
    return parts["weights"] + parts["optimiser"] + parts["vLLM"] + max(parts["activations and logits"], parts["rollouts"])
