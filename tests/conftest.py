"""What the tests share: a tiny model made here, a tiny study that runs on it, and folders of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

import helpers  # noqa: F401  before anything that checks notebooks, see there

os.environ["HF_HUB_OFFLINE"] = "1"  # read when the hub's library is imported: no test asks the network
os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is: two workers with two threads each would wait for each other
REPOSITORY = Path(__file__).resolve().parent.parent
TINY = """
title: "Tiny: every step on a model made in the test"
demonstration: true
model: {id: tiny/llama, dtype: float32}
pool: starter:medicine_pool
prompt: {style: plain, worked_examples: 0, prefill: "<think>"}
filters:
  self: {model: tiny/llama, max_new_tokens: 4, batch_size: 64}
arms:
  random: {size: 8}
  self: {filter: self, hard: 8, easy: 2}
split: {seed: 0, shortage: fill}
seeds: [0]
train:
  learning_rate: 1.0e-3
  max_completion_tokens: 4
  save_steps: 1
  lora: {r: 4, alpha: 8}
eval:
  batch_size: 64
  max_new_tokens: 4
  tasks:
    - {name: starter_chinese_medicine, group: specialisation, limit: 6}
    - {name: starter_medicine_reasoning, group: specialisation, limit: 6}
    - {name: starter_arithmetic, group: robustness, limit: 3}
    - {name: starter_chinese_other, group: robustness, limit: 6}
analysis: {resamples: 200}
"""


LONGEST = ("test_pipeline", "test_stopping", "test_distributed", "test_benchmarks", "test_analysis", "test_kills", "test_make_labels",
           "test_published_studies", "test_log", "test_searching", "test_gpus")  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that take longest first, so that no worker is left with one of them while the other has nothing more to do."""
    items.sort(key=lambda item: LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST))


def make_tiny_model(folder: Path) -> None:
    """A Llama of 60,000 parameters with a byte-level tokenizer of 320 tokens; its words mean nothing."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|end|>", "<|pad|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    text = ["User User Assistant <think> </think> <answer> </answer>"] * 50
    tokenizer.train_from_iterator(text, trainers.BpeTrainer(vocab_size=320, special_tokens=special, initial_alphabet=alphabet))
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>", pad_token="<|pad|>", padding_side="left")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(fast), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=2048, eos_token_id=0, pad_token_id=1, bos_token_id=None,
        initializer_range=0.5)  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    fast.save_pretrained(folder)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `tiny.yaml`, and OFFLINE_MIRROR and STUDY_RUNS set to folders beside it."""
    folder = tmp_path_factory.mktemp("tiny")
    make_tiny_model(folder / "mirror" / "tiny" / "llama")
    (folder / "mirror" / "tiny" / "llama" / "origin.txt").write_text("drawn at random,\nin a test\n")
    (folder / "tiny.yaml").write_text(TINY)
    for name, value in {
        "OFFLINE_MIRROR": folder / "mirror",
        "STUDY_RUNS": folder / "runs",
        "OMP_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }.items():
        os.environ[name] = str(value)
    return folder


@pytest.fixture
def parameters(tmp_path: Path):
    """Write a changed copy of the quickstart's parameters: `parameters(lambda p: p.update(seeds=[0, 0]))` → its path."""

    def write(change=lambda values: None, name: str = "changed.yaml") -> Path:
        values = yaml.safe_load((REPOSITORY / "parameters" / "quickstart.yaml").read_text())
        change(values)
        (tmp_path / name).write_text(yaml.safe_dump(values))
        return tmp_path / name

    return write


def run(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the repository, with its output as text."""
    done = [str(part) for part in command]
    if done[0] == "python":
        done[0] = sys.executable
    return subprocess.run(done, cwd=REPOSITORY, capture_output=True, text=True, env=os.environ | environment, check=False)


def refused(main: Callable[[], None], *arguments: str | Path) -> str:
    """The one line with which a command ends for a mistake, with exit code 1; `main` runs in this process, without its imports."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["command", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
    line = stopped.value.code
    assert isinstance(line, str), line
    assert line.startswith("error: ")
    assert "\n" not in line
    return line
