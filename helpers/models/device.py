"""The processor cores and GPUs that this process may use, and its share of a GPU."""

import os
import shutil
import subprocess


def cores() -> int:
    """The processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def visible() -> list[str]:
    """The GPUs this process may use, as CUDA_VISIBLE_DEVICES names them; without it, all that the driver has."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name.strip() for name in named.split(",") if name.strip() and name.strip() != "-1"]
    return driver("index")


def driver(properties: str) -> list[str]:
    """One line per GPU of the driver with these properties, as nvidia-smi names and prints them; empty without a driver."""
    if not shutil.which("nvidia-smi"):
        return []
    query = ["nvidia-smi", f"--query-gpu={properties}", "--format=csv,noheader,nounits"]
    done = subprocess.run(query, capture_output=True, text=True, check=False)
    return done.stdout.splitlines() if done.returncode == 0 else []


def share() -> float:
    """The share of a GPU that this process may use (`lend`); 1 by default."""
    return float(os.environ.get("GPU_SHARE", "1"))
