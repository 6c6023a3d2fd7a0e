"""Several processes train as one does: the same batch, the same adapter, the same files."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from accelerate import PartialState
from accelerate.commands import launch as accelerate_launch
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType
from accelerate.utils.launch import prepare_multi_gpu_env
from conftest import REPOSITORY, TINY
from safetensors.torch import load_file, save_file
from transformers import OPTConfig, OPTForCausalLM

from helpers.models import loading
from helpers.questions import pools
from helpers.study.errors import StudyError
from helpers.study.schema import Pool, Prompt, Train
from helpers.study.study import open_study
from helpers.training import checkpoints, grpo, launch, rewards

ACCELERATE = REPOSITORY / "parameters" / "accelerate"
DDP = ACCELERATE / "ddp.yaml"
# bnpo divides by the tokens of each small batch, so by its definition the result depends on how a step is cut up.
LOSSES = ("grpo", "dr_grpo", "dapo")


@pytest.mark.parametrize(
    ("batch", "accumulation", "processes", "each"),
    [(3, 4, 1, (3, 4)), (3, 4, 2, (3, 2)), (3, 4, 4, (3, 1)), (3, 4, 6, (1, 2)), (4, 3, 2, (2, 3)), (12, 1, 3, (4, 1))],
)
def test_processes_share_a_step(batch, accumulation, processes, each):
    train = Train(batch_size=batch, gradient_accumulation=accumulation)
    assert grpo.share(train, processes) == each
    assert each[0] * each[1] * processes == train.completions_per_step


def replay(folder: Path, loss: str) -> None:
    """Two steps of training on prescribed completions, whoever asks for them; the adapter goes to `folder`/<loss>.

    In float64, with a model that computes in it throughout (Llama's norms do not): Adam takes a step of full length
    also where a gradient is nothing but rounding, so that in float32 single weights of thousands differ by a part of
    a step. Seen with the tiny Llama in float32: gradients within 3e-5 of each other, adapters within 9e-5 to 2e-3.
    """
    pool = pools.load_pool(Pool(source="starter:medicine_pool")).head(8)
    tokenizer = loading.load_tokenizer("tiny/llama")
    prompt = Prompt(style="plain", prefill="<think>")
    settings = Train(max_completion_tokens=12, save_steps=1, learning_rate=1e-2, loss=loss, beta=0.01, scale_rewards="group")
    data = grpo.to_dataset(pool, prompt, tokenizer)
    torch.manual_seed(0)
    shape = OPTConfig(
        vocab_size=len(tokenizer), hidden_size=32, ffn_dim=64, num_hidden_layers=2, num_attention_heads=4, word_embed_proj_dim=32,
        max_position_embeddings=1024, dropout=0.0, init_std=0.3, pad_token_id=1, bos_token_id=None, eos_token_id=0)  # fmt: skip
    trainer = grpo.make_trainer(
        OPTForCausalLM(shape).double(), tokenizer, data, settings, prompt, 0, folder / loss / "checkpoints"
    )
    trainer.budget = 380  # a prompt and a few completions: processes need different numbers of micro-batches
    before = trainer.accelerator.unwrap_model(trainer.model).state_dict()
    if trainer.accelerator.is_main_process:
        save_file({name: value.clone() for name, value in before.items() if "lora" in name}, folder / f"{loss}.safetensors")

    def prescribed(prompt_ids, *_):
        first = trainer.accelerator.process_index * len(prompt_ids)
        made = []
        for place in range(first, first + len(prompt_ids)):
            draw = torch.Generator().manual_seed(1000 * trainer.state.global_step + place)
            length = int(torch.randint(1, 12, (), generator=draw))
            made.append(torch.randint(2, 250, (length,), generator=draw).tolist())
        return made, None

    trainer._generate_single_turn = prescribed
    log, rollouts = grpo.run(trainer, "mark")
    checkpoints.save_weights(trainer, folder / loss / "adapter")
    if trainer.accelerator.is_main_process:
        log.to_csv(folder / loss / "log.csv", index=False)
        rollouts.to_parquet(folder / loss / "completions.parquet")


def replay_all(folder: Path, losses: tuple[str, ...]) -> None:
    """Every loss, with a reward that differs from rollout to rollout; the first one also from its first checkpoint."""
    kept = dict(rewards.ALL)

    def accuracy(completions, **_):
        return [float(len(text) % 3) for text in completions]

    try:
        rewards.ALL["accuracy"] = accuracy
        for loss in losses:
            replay(folder, loss)
        if int(os.environ.get("RANK", "0")) == 0:
            shutil.copytree(folder / losses[0] / "adapter", folder / "uninterrupted")
            shutil.rmtree(folder / losses[0] / "checkpoints" / "checkpoint-2")
        replay(folder, losses[0])
    finally:
        rewards.ALL.update(kept)


def one_of_two(rank: int, environment: dict[str, str], folder: Path, losses: tuple[str, ...]) -> None:
    """What one of two processes does."""
    os.environ |= environment | {"RANK": str(rank), "LOCAL_RANK": str(rank)}
    sharded = "ACCELERATE_USE_FSDP" in environment
    if sharded:
        # accelerate uses FSDP between GPUs only, though torch has it between processes on a CPU too.
        begin = PartialState.__init__

        def begin_as_gpus(state, *args, **kwargs):
            begin(state, *args, **kwargs)
            if state.distributed_type == DistributedType.MULTI_CPU:
                state.distributed_type = DistributedType.MULTI_GPU

        PartialState.__init__ = begin_as_gpus
    replay_all(folder, losses)
    assert AcceleratorState().distributed_type == (DistributedType.FSDP if sharded else DistributedType.MULTI_CPU)
    torch.distributed.destroy_process_group()


def in_two(file: str, folder: Path, losses: tuple[str, ...]) -> torch.multiprocessing.ProcessContext:
    """Start two processes in the environment that `accelerate launch` gives them by a file of `parameters/accelerate/`."""
    given = ["--config_file", str(ACCELERATE / file), "--main_process_port", "0", __file__]
    arguments, *_ = accelerate_launch._validate_launch_command(accelerate_launch.launch_command_parser().parse_args(given))
    environment = prepare_multi_gpu_env(arguments)
    environment |= {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": arguments.master_port}
    return torch.multiprocessing.start_processes(
        one_of_two, (environment, folder, losses), nprocs=arguments.num_processes, join=False, start_method="fork"
    )


def main(ddp: str, fsdp: str) -> None:
    """Two processes for each of two folders, forked so that all have imported the libraries once; `launch.train` starts its own."""
    started = [in_two("ddp.yaml", Path(ddp), LOSSES), in_two("fsdp.yaml", Path(fsdp), LOSSES[:1])]
    for processes in started:
        while not processes.join():
            pass


@pytest.fixture(scope="module")
def made(tiny, tmp_path_factory) -> dict[str, Path]:
    """What one process made, and what two made of the same completions, by DDP and by FSDP."""
    folders = {name: tmp_path_factory.mktemp(name) for name in ("one", "ddp", "fsdp")}
    paths = {"PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "tests")])}
    process = subprocess.Popen(
        [sys.executable, __file__, folders["ddp"], folders["fsdp"]], cwd=REPOSITORY, env=os.environ | paths,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)  # fmt: skip
    replay_all(folders["one"], LOSSES)
    outcome, _ = process.communicate()
    assert process.returncode == 0, outcome
    return folders


def adapter(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "adapter_model.safetensors")


def distance(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> float:
    """Euclidean distance of two adapters."""
    assert set(one) == set(two)
    return float(torch.cat([(one[name] - two[name]).flatten() for name in one]).norm())


@pytest.mark.parametrize(("kind", "loss"), [*(("ddp", loss) for loss in LOSSES), ("fsdp", LOSSES[0])])
def test_two_processes_make_the_adapter_that_one_makes(made, kind, loss):
    one, two = (adapter(made[name] / loss / "adapter") for name in ("one", kind))
    before = {name.replace(".default", ""): value for name, value in load_file(made["one"] / f"{loss}.safetensors").items()}
    assert distance(one, before) > 0.1
    assert distance(one, two) / distance(one, before) < 1e-9


@pytest.mark.parametrize("kind", ["one", "ddp", "fsdp"])
def test_a_run_goes_on_from_its_checkpoint_to_the_same_adapter(made, kind):
    assert distance(adapter(made[kind] / "uninterrupted"), adapter(made[kind] / LOSSES[0] / "adapter")) < 1e-12


def test_two_processes_leave_the_files_that_one_leaves(made):
    one, two = (pd.read_parquet(made[name] / "grpo" / "completions.parquet") for name in ("one", "ddp"))
    pd.testing.assert_frame_equal(one, two)
    assert one["step"].value_counts().to_dict() == {1: 12, 2: 12}
    logs = [pd.read_csv(made[name] / "grpo" / "log.csv") for name in ("one", "ddp")]
    logs = [log[[name for name in log if not name.startswith("seconds")]] for log in logs]
    pd.testing.assert_frame_equal(*logs, rtol=1e-5, atol=1e-6)


@pytest.fixture
def shared(tiny, tmp_path, monkeypatch) -> Path:
    """The tiny study with an accelerate file, and the split of its arm `random`."""
    monkeypatch.setenv("STUDY_RUNS", str(tmp_path / "runs"))
    path = tmp_path / "shared.yaml"
    path.write_text(TINY.replace("  save_steps: 1", "  save_steps: 1\n  accelerate: parameters/accelerate/ddp.yaml"))
    split = open_study(str(path)).draw_file("random", 0)
    split.parent.mkdir(parents=True)
    pools.load_pool(Pool(source="starter:medicine_pool")).head(8).to_parquet(split)
    return path


def test_a_training_in_two_processes(shared, capfd):
    study = open_study(str(shared))
    log, rollouts = launch.train(study, "random", 0, "mark")
    folder = study.path("train", "random", 0)
    assert log["step"].tolist() == [1, 2]
    assert rollouts["step"].value_counts().to_dict() == {1: 12, 2: 12}
    assert (folder / "adapter" / "adapter_model.safetensors").is_file()
    assert capfd.readouterr().err.count("optimiser steps: 100%") <= 2  # one bar, with its last line twice at most


def test_mistakes_are_one_line(shared, tmp_path):
    (tmp_path / "eight.yaml").write_text(DDP.read_text().replace("num_processes: 2", "num_processes: 8"))
    (tmp_path / "none.yaml").write_text("compute_environment: LOCAL_MACHINE\n")
    for file, outcome in {
        "eight.yaml": "num_processes 8, which must divide .* of arm random \\(12\\)",
        "none.yaml": "num_processes is None; should be a whole number",
        "nowhere.yaml": "nowhere.yaml: no such file",
        "accelerate/zero3.yaml": "2 processes need as many GPUs, this job sees 0",
    }.items():
        if "zero3" in file and torch.cuda.device_count() > 1:
            continue
        shared.write_text(TINY.replace("  save_steps: 1", f"  save_steps: 1\n  accelerate: {file}"))
        with pytest.raises(StudyError, match=outcome):
            launch.train(open_study(str(shared)), "random", 0, "mark")


if __name__ == "__main__":
    main(*sys.argv[1:])
