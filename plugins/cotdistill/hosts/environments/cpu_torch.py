"""Make LLaMA-Factory importable with a PyTorch that was built without CUDA.

The index's torchvision and torchaudio wheels for Linux are CUDA builds. With a CPU torch,
transformers fails on torchvision ("operator torchvision::nms does not exist") and LLaMA-Factory
on torchaudio (a missing libc10_cuda). Two stand-in wheels fix it: a torchvision that is metadata
only, so that transformers treats it as absent, and a torchaudio that raises an explanation when
used. Their local version sorts above the real one, so a resolver that sees them prefers them.

Run as a script, it writes the wheels if they are needed and nothing otherwise:

    python cpu_torch.py FOLDER
"""

from __future__ import annotations

import base64
import hashlib
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

_TORCHAUDIO = '''"""Stand-in for torchaudio with a CPU-only torch: text models never call it."""

__version__ = "{version}"


def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    raise RuntimeError(
        f"torchaudio.{{name}} is not available: this is a stand-in, because torchaudio has no CPU "
        "build on the package index; install a real torchaudio to process audio"
    )
'''


@dataclass(frozen=True)
class StandIn:
    """One stand-in distribution: its name, version, and files by path inside the wheel."""

    name: str
    version: str
    files: dict[str, str]


STAND_INS = (
    StandIn("torchvision", "0.28.0+cpustub", {}),
    StandIn(
        "torchaudio",
        "2.11.0+cpustub",
        {"torchaudio/__init__.py": _TORCHAUDIO.format(version="2.11.0+cpustub")},
    ),
)


def write_wheel(stand_in: StandIn, folder: Path) -> Path:
    """Write a stand-in as an installable wheel and return its path; the bytes are reproducible."""
    info = f"{stand_in.name}-{stand_in.version}.dist-info"
    files = dict(stand_in.files)
    files[f"{info}/METADATA"] = (
        f"Metadata-Version: 2.1\nName: {stand_in.name}\nVersion: {stand_in.version}\n"
        "Summary: Stand-in for use with a CPU-only torch, written by cotdistill\n"
    )
    files[f"{info}/WHEEL"] = (
        "Wheel-Version: 1.0\nGenerator: cotdistill\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    )
    record = ""
    for name, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=")
        record += f"{name},sha256={digest.decode()},{len(text.encode())}\n"
    files[f"{info}/RECORD"] = record + f"{info}/RECORD,,\n"

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{stand_in.name}-{stand_in.version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, text in files.items():
            wheel.writestr(zipfile.ZipInfo(name, date_time=(2020, 1, 1, 0, 0, 0)), text)
    return path


def stand_ins_needed() -> bool:
    """Whether torch is here, was built without CUDA or ROCm, and runs on Linux."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        import torch
    except ImportError:
        return False
    return torch.version.cuda is None and getattr(torch.version, "hip", None) is None


def main(arguments: list[str]) -> int:
    """Write the wheels into the folder named by the only argument, if they are needed."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python cpu_torch.py FOLDER\n")
        return 2
    if stand_ins_needed():
        for stand_in in STAND_INS:
            sys.stdout.write(f"{write_wheel(stand_in, Path(arguments[0]))}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
