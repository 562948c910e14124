"""What one Python environment holds, found without importing any of it.

`ask_python` starts it in environments that need not hold cotdistill, so it uses the standard
library only (and whichever `packaging` is there).
"""

from __future__ import annotations

import importlib.metadata as metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

NAMES = (
    "llamafactory", "lm_eval", "snakemake", "vllm", "torch", "torchvision", "torchaudio",
    "torchcodec", "transformers", "deepspeed", "bitsandbytes", "omegaconf", "tenacity",
    "cotdistill",
)  # fmt: skip
CHECKED = ("llamafactory", "lm_eval", "snakemake", "vllm", "omegaconf", "transformers")
CUDA_LIBRARIES = (b"libc10_cuda.so", b"libcudart.so")


def versions() -> dict[str, str]:
    """Return the versions of the distributions of interest that are installed."""
    found = {}
    for name in NAMES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            if name == "cotdistill" and importlib.util.find_spec(name):
                found[name] = "checkout"
    return found


def unmet(name: str) -> list[list[str | None]]:
    """Return what a distribution requires and does not get: requirement, what is there."""
    try:
        from packaging.requirements import (
            Requirement,  # type: ignore[import-not-found,unused-ignore]
        )
    except ImportError:
        return []
    try:
        wanted = [Requirement(text) for text in metadata.requires(name) or ()]
    except metadata.PackageNotFoundError:
        return []
    found: list[list[str | None]] = []
    for one in wanted:
        if one.marker and not one.marker.evaluate({"extra": ""}):
            continue
        try:
            here = metadata.version(one.name)
        except metadata.PackageNotFoundError:
            found.append([f"{one.name}{one.specifier}", None])
            continue
        if not one.specifier.contains(here, prereleases=True):
            found.append([f"{one.name}{one.specifier}", here])
    return found


def torch_builds() -> dict[str, str | None]:
    """Return the CUDA and ROCm versions that torch was built with, as its version.py states."""
    spec = importlib.util.find_spec("torch")
    if spec is None or not spec.submodule_search_locations:
        return {}
    path = Path(next(iter(spec.submodule_search_locations))) / "version.py"
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    builds = dict(re.findall(r"^(cuda|hip)\b[^=\n]*= *['\"]?([^'\"\n]+)", text, re.MULTILINE))
    return {
        key: None if builds.get(key, "None") == "None" else builds[key] for key in ("cuda", "hip")
    }


def bound_to_cuda(name: str) -> bool:
    """Return whether a distribution's libraries link to CUDA's, so that they load only with it."""
    try:
        files = metadata.files(name) or ()
    except metadata.PackageNotFoundError:
        return False
    for file in files:
        path = Path(str(file.locate()))
        if path.suffix == ".so" and path.is_file():
            binary = path.read_bytes()
            if any(library in binary for library in CUDA_LIBRARIES):
                return True
    return False


def gpus() -> int:
    """Return how many NVIDIA GPUs a program started here would see."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return 0
    try:
        listing = subprocess.run([program, "-L"], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    count = sum(line.startswith("GPU ") for line in listing.stdout.splitlines())
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return count
    return min(count, len([one for one in visible.split(",") if one.strip() not in ("", "-1")]))


def facts() -> dict[str, Any]:
    """Return everything that `doctor` needs to know about this environment."""
    return {
        "python": list(sys.version_info[:3]),
        "platform": sys.platform,
        "versions": versions(),
        "unmet": {name: lacking for name in CHECKED if (lacking := unmet(name))},
        "torch": torch_builds(),
        "cuda_bound": [n for n in ("torchvision", "torchaudio", "torchcodec") if bound_to_cuda(n)],
        "gpus": gpus(),
        "threads": os.environ.get("OMP_NUM_THREADS"),
    }


def answer(_question: None) -> dict[str, Any]:
    """Return the facts; the current folder must not pass for an installed package."""
    sys.path[:] = [place for place in sys.path if place not in ("", str(Path.cwd()))]
    return facts()
