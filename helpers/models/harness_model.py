"""The model class of lm-evaluation-harness around a loaded engine, which computes log-likelihoods and texts."""

import os
import sys
from itertools import groupby
from typing import Any
from unittest.mock import patch

from lm_eval.api.model import TemplateLM
from lm_eval.models.huggingface import HFLM
from lm_eval.models.utils import normalize_gen_kwargs, postprocess_generated_text
from transformers import PreTrainedTokenizerBase

from helpers.models.engines import Engine, Sampling
from helpers.study.progress import progress

ENCODED_AT_ONCE = 4096  # log-likelihoods whose texts are encoded together: a few hundred MB of tokens at most


class HarnessModel(TemplateLM):
    """A model of the harness around an engine.

    batch_size: texts whose log-likelihoods are read at once. written_at_once: answers that transformers writes at once; vLLM gets all of
    a task's and batches them by itself. tool: a search tool (`helpers.search.episodes.Tool`), set for tasks that are answered with it; what
    was searched is then in `searches`, by prompt, and the texts are what the model wrote.
    """

    apply_chat_template, chat_template_args = HFLM.apply_chat_template, {}

    def __init__(self, engine: Engine, tokenizer: PreTrainedTokenizerBase, batch_size: int, written_at_once: int) -> None:
        super().__init__()
        self.engine, self.tokenizer, self.batch_size = engine, tokenizer, batch_size
        self.written_at_once = sys.maxsize if engine.name == "vllm" else written_at_once
        self.encoded: dict[str, list[int]] = {}
        self.tool: Any = None
        self.searches: dict[str, str] = {}

    @property
    def eot_token_id(self) -> int:
        return self.tokenizer.eos_token_id

    @property
    def prefix_token_id(self) -> int:
        """The token that stands for an empty prompt."""
        begins = self.tokenizer.bos_token_id
        return self.eot_token_id if begins is None else begins

    @property
    def tokenizer_name(self) -> str:
        return self.tokenizer.name_or_path.replace("/", "__")

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: Any) -> list[int]:
        """Tokens of a text; the first token is not added to a text that already begins with it."""
        if add_special_tokens is None:
            add_special_tokens = not string.startswith(self.tokenizer.decode(self.prefix_token_id))
            if string in self.encoded:
                return self.encoded[string]
        return self.tokenizer.encode(string, add_special_tokens=add_special_tokens)

    def loglikelihood(self, requests: list[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """As in the harness, but all texts are encoded together; the harness encodes a prompt once per option."""
        found = []
        with progress(total=len(requests), desc="log-likelihoods", disable=disable_tqdm, leave=False) as bar:
            for start in range(0, len(requests), ENCODED_AT_ONCE):
                some = requests[start : start + ENCODED_AT_ONCE]
                self._encode(text for prompt, answer in (one.args for one in some) for text in (prompt.rstrip(), prompt + answer))
                found += super().loglikelihood(some, disable_tqdm=True)
                self.encoded = {}
                bar.update(len(some))
        return found

    def _encode(self, texts: Any) -> None:
        begins = self.tokenizer.decode(self.prefix_token_id)
        texts = [text for text in dict.fromkeys(texts) if text and not text.startswith(begins)]
        # `make` switches the tokenizer's threads off, since they do not survive a fork: nothing forks here.
        with patch.dict(os.environ, {"TOKENIZERS_PARALLELISM": "true"}):
            self.encoded = dict(zip(texts, self.tokenizer(texts)["input_ids"], strict=True)) if texts else {}

    def _loglikelihood_tokens(self, requests: list[Any], **_: Any) -> list[tuple[float, bool]]:
        return self.engine.read([(prompt, answer) for _, prompt, answer in requests], self.batch_size)

    def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = False) -> list[float]:
        raise NotImplementedError("a task that scores whole texts has no right answer to count")

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        """Greedy texts, each up to the first of its task's stop texts."""
        self.prompts = [one.args[0] for one in requests]
        jobs = [(normalize_gen_kwargs(one.args[1]), self.tok_encode(one.args[0]), place) for place, one in enumerate(requests)]
        jobs.sort(key=lambda one: (str(one[0]), -len(one[1]), one[2]))
        found: dict[int, str] = {}
        with progress(total=len(jobs), desc="answers", disable=disable_tqdm, leave=False) as bar:
            for _, same in groupby(jobs, key=lambda one: str(one[0])):
                group = list(same)
                for start in range(0, len(group), self.written_at_once):
                    some = group[start : start + self.written_at_once]
                    found |= self._written(some)
                    bar.update(len(some))
        return [found[place] for place in range(len(requests))]

    def _written(self, some: list[tuple[dict[str, Any], list[int], int]]) -> dict[int, str]:
        options = some[0][0]
        limit, stops = options["max_gen_toks"], tuple(options.get("until") or ())
        sampling = Sampling(limit, options.get("temperature", 0.0), tuple(self.engine.ends(self.tokenizer)), stops)
        more, seeds = limit + (self.tool.settings.inserted if self.tool else 0), [place for _, _, place in some]
        prompts = [prompt[more - self.engine.room :] for _, prompt, _ in some]
        if self.tool:
            episodes = self.tool.write(self.engine, prompts, sampling, seeds, self.tokenizer)
            texts = [episode.text for episode in episodes]
            self.searches |= {self.prompts[place]: episode.record for place, episode in zip(seeds, episodes, strict=True)}
        else:
            written = self.engine.write(prompts, sampling, seeds, self.tokenizer)
            texts = [self.tokenizer.decode(tokens, skip_special_tokens=True) for tokens in written]
        return {
            place: postprocess_generated_text(text, list(stops), None) for (_, _, place), text in zip(some, texts, strict=True)
        }
