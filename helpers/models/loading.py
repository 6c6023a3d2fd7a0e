"""Where a model's weights come from, and loading them with transformers.

A model is looked for in this order: a folder of that name; `OFFLINE_MIRROR/<id>`; for the quickstart's models, a package of the Python
package index (`packages.py`); the hub. Weights are safetensors or GGUF, never pickle.
"""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from helpers.models.packages import PACKAGED, QUANTISED, unpack
from helpers.study.errors import StudyError, entry_point

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# transformers 5.23 renames what PEFT and TRL still use, and would say so at every adapter and every checkpoint.
warnings.filterwarnings("ignore", ".*gradient_checkpointing` is deprecated", FutureWarning)


def locate(model: str) -> tuple[str, str]:
    """(path or hub id to load from, a description of that place) for a hub id or folder; downloads packaged weights."""
    if Path(model).is_dir():
        return model, "folder"
    mirror = os.environ.get("OFFLINE_MIRROR", "")
    if mirror and (Path(mirror) / model / "config.json").is_file():
        return str(Path(mirror) / model), "offline mirror"
    if model in PACKAGED:
        first, *others = PACKAGED[model].requirements
        names = first + (f" and {len(others)} parts" if others else "")
        return str(unpack(model)), f"package {names}, {QUANTISED}"
    return model, "hub"


def weights(model: str) -> dict[str, str]:
    """What a result records about a model's weights: `weights`, where they come from (as in `locate`), and `origin`.

    origin: how they differ from the hub's weights, "" if nothing says so. Known for packaged weights; for a folder or a mirror, the
    file `origin.txt` beside the weights.
    """
    where, place = locate(model)
    file = Path(where) / "origin.txt"
    origin = " ".join(file.read_text(encoding="utf-8").split()) if file.is_file() else ""
    return {"weights": place, "origin": QUANTISED if place.startswith("package") else origin}


def dtype_of(name: str) -> torch.dtype:
    """The dtype of a name; `auto`: bfloat16 if the processor computes in it, else float32."""
    if name != "auto":
        return getattr(torch, name)
    if torch.cuda.is_available():
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    able = torch.cpu.get_capabilities()
    return torch.bfloat16 if able.get("avx512_bf16") or able.get("amx_bf16") else torch.float32


def load_tokenizer(model: str) -> PreTrainedTokenizerBase:
    """A model's tokenizer, padding on the left as generation needs. Raises StudyError if it is not available."""
    source, _ = locate(model)
    tokenizer = _load(AutoTokenizer, model, source, padding_side="left")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_model(model: str, dtype: str = "auto", trained: Path | None = None, method: str = "lora") -> PreTrainedModel:
    """A model in evaluation mode, on the GPU if there is one. Switches cuDNN's attention off in this process.

    trained: the folder that 03_grpo_train left: a LoRA adapter, or a whole model if all parameters were trained (`method` "full").
    method "qlora" loads the base in 4 bits, which needs an NVIDIA GPU.

    Raises StudyError, in one line, for a model that is missing, gated, or without safetensors.
    """
    from transformers import AutoModelForCausalLM  # takes two seconds, which those who need a tokenizer only need not wait for

    # On an H100 or H200, cuDNN's attention sometimes gives non-finite gradients for padded batches of some lengths (torch 2.11 to 2.13;
    # pytorch/pytorch#196678, huggingface/trl#7181). The other kernels do not.
    torch.backends.cuda.enable_cudnn_sdp(False)
    whole = trained is not None and not (trained / "adapter_config.json").is_file()
    source = str(trained) if whole else locate(model)[0]
    loaded = _load(AutoModelForCausalLM, model, source, dtype=dtype_of(dtype), use_safetensors=True, **_bits(method))
    _read_in_order(loaded)
    if trained is not None and not whole:
        from peft import PeftModel

        # By default PEFT holds the adapter in float32: half as slow again on a GPU, and no nearer to a float32 model's answers
        # (figures/DIARY.md). vLLM holds it in the model's dtype as well.
        loaded = PeftModel.from_pretrained(loaded, str(trained), autocast_adapter_dtype=False)
    return (loaded if method == "qlora" else loaded.to("cuda" if torch.cuda.is_available() else "cpu")).eval()


def _read_in_order(model: PreTrainedModel) -> None:
    """Hand the output layer its input as contiguous memory.

    Generation takes the last position of every sequence, a slice. In bfloat16 on a CPU, PyTorch (seen in 2.13) copies the whole output
    weight for each row of a slice: 12 rows of gemma-3-270m took 4 GB and 24 s, contiguous 0.04 s.
    """
    head = model.get_output_embeddings()
    if head is not None:
        head.register_forward_pre_hook(lambda _, inputs: (inputs[0].contiguous(), *inputs[1:]))


def _bits(method: str) -> dict[str, Any]:
    """Loading options of QLoRA's base model (arXiv 2305.14314): 4-bit NormalFloat, computing in bfloat16."""
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
    if "Repo id must be" in text:
        return f"{model}: no such folder, and no id of the hub, which is user/name"
    if "safetensors" in text and "does not appear to have" in text:
        return f"{model}: has no safetensors weights; pickled weights are not loaded"
    if "couldn't connect" in text or "offline" in text.lower() or "Cannot find" in text or "resolve" in text:
        mirror = os.environ.get("OFFLINE_MIRROR")
        tried = f"not in OFFLINE_MIRROR={mirror}, and the" if mirror else "OFFLINE_MIRROR is not set, and the"
        return f"{model}: {tried} hub cannot be reached; connect, or download it into a mirror folder"
    return f"{model}: cannot be loaded: {text[:300]}"


@entry_point
def main() -> None:
    """`python -m helpers.models.loading ID …`: unpack packaged weights, fetch the tokenizers of the others; one line each.

    Fail early if a model is missing or gated, before another one has computed for hours.
    """
    for model in sys.argv[1:]:
        place = locate(model)[1]
        load_tokenizer(model)
        print(f"{model}: {place}", flush=True)


if __name__ == "__main__":
    main()
