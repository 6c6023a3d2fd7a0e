"""The engine that runs a model in transformers: greedy or sampled completions, and log-likelihoods of given answers."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from helpers.models import loading, packing, shape
from helpers.models.effect import training_effect
from helpers.models.engines import Pair, Sampling, Weights, end_of_text
from helpers.models.shared_prefix import read_once
from helpers.models.turns import TurnCache, padded


class Transformers:
    """A transformers model, loaded from `weights` or passed as `model`."""

    name = reads = "transformers"

    def __init__(self, weights: Weights | None = None, model: Any = None) -> None:
        self.weights = weights
        self.model = loading.load_model(weights.model, weights.dtype, weights.trained, weights.method) if model is None else model

    @property
    def room(self) -> int:
        return getattr(self.model.config.get_text_config(), "max_position_embeddings", 2048)

    def ends(self, tokenizer: PreTrainedTokenizerBase) -> list[int]:
        return end_of_text(self.model.generation_config, tokenizer)

    def write(
        self,
        prompts: list[list[int]],
        sampling: Sampling,
        seeds: Sequence[int],
        tokenizer: PreTrainedTokenizerBase,
        limits: Sequence[int] | None = None,
        cache: TurnCache | None = None,
    ) -> list[list[int]]:
        """Complete a batch, padded on the left. One generator, seeded with the first seed, draws for the whole batch.

        Training uses it as well, so not in inference mode, whose tensors no gradient may pass; `generate` computes none.
        """
        torch.manual_seed(seeds[0])
        pad = tokenizer.pad_token_id
        drawn = {"temperature": sampling.temperature, "top_p": 1.0, "top_k": 0} if sampling.temperature else {}
        stops = {"stop_strings": list(sampling.stops), "tokenizer": tokenizer} if sampling.stops else {}
        limit = max(limits) if limits else sampling.limit
        if cache is not None and cache.states is not None:
            given = cache.inputs(prompts, pad)
        else:
            given = read_once(self.model, *padded(prompts, pad, self.model.device), limit)
        made = self.model.generate(
            **given,
            max_new_tokens=limit,
            do_sample=bool(sampling.temperature),
            repetition_penalty=1.0,  # some models have another default, which rollouts do not use
            pad_token_id=pad,
            eos_token_id=list(sampling.ends),
            return_dict_in_generate=True,
            **drawn,
            **stops,
        )
        if cache is not None:
            cache.keep(given["attention_mask"], made)
        written = made.sequences[:, given["input_ids"].shape[1] :].tolist()
        rows = [_to_the_end(row, sampling.ends) for row in written]
        return [row[:most] for row, most in zip(rows, limits, strict=True)] if limits else rows

    @torch.inference_mode()
    def read(self, pairs: list[Pair], batch_size: int) -> list[tuple[float, bool]]:
        """Log-likelihoods as lm-evaluation-harness computes them; `batch_size` texts at once, or fewer if they are long.

        Answers that differ only in their last token share one forward pass, as the letters of an item do; on a CPU, longer answers to a
        prompt do as well. Prompts that are too long are truncated on the left.
        """
        if self._packs(pairs):
            return self._read_packed(pairs, batch_size)
        sharing: dict[tuple[int, ...], list[int]] = {}
        for place, (prompt, answer) in enumerate(pairs):
            sharing.setdefault((*prompt, *answer[:-1])[-self.room :], []).append(place)
        longest = max((len(answer) for _, answer in pairs), default=0)
        found: dict[int, tuple[float, bool]] = {}
        for texts in _batches(sorted(sharing, key=lambda text: (-len(text), text)), batch_size):
            logits = self._last_logits(texts, longest).log_softmax(-1)
            places = [place for text in texts for place in sharing[text]]
            rows = torch.tensor([row for row, text in enumerate(texts) for _ in sharing[text]])
            answers = torch.tensor([[-1] * (longest - len(pairs[place][1])) + pairs[place][1] for place in places])
            rows, answers = rows.to(logits.device), answers.to(logits.device)
            given = answers >= 0
            values = logits[rows[:, None], torch.arange(longest, device=rows.device), answers.clamp(min=0)] * given
            greedy = ((logits.argmax(-1)[rows] == answers) | ~given).all(-1)
            found |= dict(zip(places, zip(values.sum(-1).tolist(), greedy.tolist(), strict=True), strict=True))
        return [found[place] for place in range(len(pairs))]

    def _last_logits(self, texts: list[tuple[int, ...]], longest: int) -> torch.Tensor:
        """Logits of shape (texts, longest, vocabulary) at each text's last `longest` places.

        The output layer computes no others: those of 64 whole prompts of 460 tokens take 17 GB with 152,000 words (figures/DIARY.md).
        """
        width, device = max(map(len, texts)), self.model.device
        ids = torch.tensor([[*text, *[0] * (width - len(text))] for text in texts], device=device)
        ends = torch.tensor([len(text) for text in texts], device=device)
        places = (ends[:, None] - longest + torch.arange(longest, device=device)).clamp(min=0)
        rows = torch.arange(len(texts), device=device)[:, None]
        return self._logits_at((rows, places), input_ids=ids)

    def _logits_at(self, chosen: Any, **given: torch.Tensor) -> torch.Tensor:
        """Logits of a forward pass at chosen places: an index of its tensors of shape (texts, tokens)."""
        with self.model.get_output_embeddings().register_forward_pre_hook(lambda _, inputs: (inputs[0][chosen],)):
            return self.model(**given, use_cache=False).logits

    def _packs(self, pairs: list[Pair]) -> bool:
        """Whether answers to one prompt are read behind it together: on a CPU, where reading it once per answer takes most of the time."""
        longest = max((len(prompt) + len(answer) for prompt, answer in pairs), default=0)
        lettered = all(len(answer) == 1 for _, answer in pairs)
        return (
            self.model.device.type == "cpu" and not lettered and longest <= self.room and not packing.why_not(self.model, longest)
        )

    def _read_packed(self, pairs: list[Pair], batch_size: int) -> list[tuple[float, bool]]:
        """Log-likelihoods of answers that are read behind their prompts, each prompt once; `batch_size` prompts at once, or fewer."""
        prompts, answers = zip(*pairs, strict=True)
        pieces, longest = packing.group(prompts, answers, shape.READ_TOKENS), max(map(len, answers))
        values, greedy = torch.zeros(len(pairs) * longest), torch.ones(len(pairs) * longest, dtype=torch.bool)
        budget = min(shape.READ_TOKENS, batch_size * max(piece.width for piece in pieces))
        for batch in packing.fill(pieces, budget):
            pack = packing.pack(batch, longest, 0)
            predicting = pack.targets != packing.IGNORED
            given = {"input_ids": pack.ids, "position_ids": pack.positions, "attention_mask": pack.mask()}
            logits = self._logits_at(predicting, **given)
            targets = pack.targets[predicting]
            values[pack.places] = logits.log_softmax(-1)[torch.arange(len(targets)), targets].float()
            greedy[pack.places] = logits.argmax(-1) == targets
        values, greedy = values.view(len(pairs), longest).sum(1), greedy.view(len(pairs), longest).all(1)
        return list(zip(values.tolist(), greedy.tolist(), strict=True))

    def effect(self, tokenizer: PreTrainedTokenizerBase) -> dict[str, float]:
        """The effect of training on the weights and logits (`effect.training_effect`). Raises StudyError if the trained weights are not used."""
        return training_effect(self.model, tokenizer, lambda: loading.load_model(self.weights.model, self.weights.dtype))


def _to_the_end(tokens: list[int], ends: tuple[int, ...]) -> list[int]:
    """The tokens up to the first one that ends a completion, that one included.

    >>> _to_the_end([5, 6, 0, 0], (0,))
    [5, 6, 0]
    """
    return next((tokens[: place + 1] for place, token in enumerate(tokens) if token in ends), tokens)


def _batches(texts: list[tuple[int, ...]], batch_size: int) -> Iterator[list[tuple[int, ...]]]:
    """Texts in batches, the longest first. A batch of long ones is smaller: no more than `shape.READ_TOKENS` tokens, with padding."""
    start = 0
    while start < len(texts):
        rows = max(1, min(batch_size, shape.READ_TOKENS // len(texts[start])))
        yield texts[start : start + rows]
        start += rows
