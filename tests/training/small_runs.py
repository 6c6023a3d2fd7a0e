"""What the tests of training share: a trainer on the tiny model, prescribed completions, and a stand-in for vLLM on the CPU."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from helpers.models import loading
from helpers.questions import pools
from helpers.study.schema import Pool, Prompt, Train
from helpers.training import grpo

PROMPT = Prompt(style="plain", prefill="<think>")


def by_length(completions, **_):
    """A reward that differs from rollout to rollout, whatever a tiny model writes."""
    return [float(len(text) % 3) for text in completions]


by_length.__name__ = "accuracy"


def questions(count: int = 12):
    return pools.load_pool(Pool(source="starter:medicine_pool")).head(count)


def trainer(folder: Path, model: Any = None, seed: int = 0, count: int = 12, **options: Any):
    """The study's trainer on the tiny model and some questions, of whose prompts it gets the last 80 characters: a byte is a token here.

    options: keys of `Train`, `engine`, `held_out`.
    """
    given = {key: options.pop(key) for key in ("engine", "held_out") if key in options}
    train = Train(**({"max_completion_tokens": 4, "save_steps": 1, "learning_rate": 1e-2} | options))
    tokenizer = loading.load_tokenizer("tiny/llama")
    data = grpo.to_dataset(questions(count), PROMPT, tokenizer, train.rotate_options)
    data = data.map(lambda row: {"prompt": row["prompt"][-80:]})
    model = model or loading.load_model("tiny/llama", "float32")
    return grpo.make_trainer(model, tokenizer, data, train, PROMPT, seed, folder / "checkpoints", **given)


def prescribe(made: Any, longest: int = 12) -> None:
    """Have a trainer's rollouts be drawn without the model, from the step and their place, with unequal lengths."""

    def prescribed(prompt_ids, *_):
        first, rollouts = made.accelerator.process_index * len(prompt_ids), []
        for place in range(first, first + len(prompt_ids)):
            draw = torch.Generator().manual_seed(1000 * made.state.global_step + place)
            length = int(torch.randint(1, longest + 1, (), generator=draw))
            rollouts.append(torch.randint(2, 250, (length,), generator=draw).tolist())
        return rollouts, None

    made._generate_single_turn = prescribed


class StandIn:
    """vLLM's engine as far as a training uses it: weights that are loaded into it, and sampling from this process's generators."""

    def __init__(self, model: str, **options: Any) -> None:
        self.options, self.loaded, self.greedy = options, [], []
        torch.manual_seed(options["seed"])  # as vLLM does: TRL gives it the index of the process, the same for every run
        self.model = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
        self.tokenizer = loading.load_tokenizer("tiny/llama")
        runner = SimpleNamespace(model_runner=SimpleNamespace(model=self))
        self.llm_engine = SimpleNamespace(model_executor=SimpleNamespace(driver_worker=runner))

    @torch.no_grad()
    def load_weights(self, weights: Any) -> None:
        held, names = dict(self.model.named_parameters()), []
        for name, value in weights:
            held[name].copy_(value)
            names.append(name)
        self.loaded.append(names)

    def reset_prefix_cache(self) -> None:
        pass

    @torch.no_grad()
    def generate(self, prompts: list[dict[str, Any]], sampling_params: Any, use_tqdm: bool) -> list[Any]:
        rows, made = [one["prompt_token_ids"] for one in prompts], []
        each = sampling_params if isinstance(sampling_params, list) else [sampling_params] * len(rows)
        for row, how in zip(rows, each, strict=True):
            tokens, likely = [], []
            for _ in range(how.max_tokens):
                scores = self.model(torch.tensor([row + tokens])).logits[0, -1].float()
                odds = (scores / (how.temperature or 1.0)).log_softmax(-1)
                token = int(torch.multinomial(odds.exp(), 1)) if how.temperature else int(odds.argmax())
                tokens.append(token)
                likely.append({token: SimpleNamespace(logprob=float(odds[token]), rank=1)})
                text = self.tokenizer.decode(tokens)
                if token in how.stop_token_ids or any(stop in text for stop in getattr(how, "stop", [])):
                    break
            made.append(SimpleNamespace(prompt_token_ids=row, outputs=[SimpleNamespace(token_ids=tokens, logprobs=likely)]))
        return made


def install(monkeypatch: Any) -> None:
    """Have TRL find the stand-in where it looks for vLLM."""
    from trl.generation import vllm_generation

    monkeypatch.setattr(vllm_generation, "is_vllm_available", lambda: True)
    monkeypatch.setattr(vllm_generation, "LLM", StandIn, raising=False)
    monkeypatch.setattr(vllm_generation, "SamplingParams", lambda **given: SimpleNamespace(**given), raising=False)
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):  # which TRL sets for vLLM
        monkeypatch.setenv(name, "0")
        monkeypatch.delenv(name)
