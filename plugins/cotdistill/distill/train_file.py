"""A training file with a `kd:` block: read as LLaMA-Factory reads it, and checked before it starts.

The block stands in the file itself, or next to a generated `<run>.yaml` in `<run>.kd.yaml`, so that
the former stays a file for the stock command. Such a file names the other in a comment of its
header; if that is missing, nothing is trained.
"""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cotdistill.distill.paths import distillation_path
from cotdistill.distill.refusals import pair_faults, refusals
from cotdistill.distill.seq2seq_file import STAGE
from cotdistill.distill.settings import Distillation
from cotdistill.errors import Fault, FaultsError, MisuseError
from cotdistill.files.yamls import read_yaml
from cotdistill.schema import read_shape

TESTED = ("0.9.5",)
"""Releases of LLaMA-Factory whose trainer was tested with the losses put into it."""
_HEADER = re.compile(r"^# distillation: (?P<name>\S.*\.kd\.yaml)\s*$", re.MULTILINE)
_PARALLEL = ("fsdp", "fsdp_config")


@dataclass(frozen=True)
class TrainFile:
    """A training file: the host's arguments, and the block that we add."""

    path: Path
    arguments: Mapping[str, Any]
    distillation: Distillation

    @property
    def notes(self) -> list[str]:
        """What was not tested, to be said when the training starts."""
        used = [key for key in _PARALLEL if self.arguments.get(key)]
        used += ["quantization_bit"] if self.arguments.get("quantization_bit") else []
        return [f"distillation was not tested with {key}" for key in used]


def read_train_file(words: Sequence[str]) -> TrainFile | None:
    """Return what `FILE.yaml [key=value ...]` says, or None where there is no distillation in it.

    Raises:
        FaultsError: the block has faults, or cannot be trained with the rest of the file.
    """
    path = _path_of(words)
    found = None if path is None else _with_block(path, words[1:])
    if path is None or found is None:
        return None
    arguments, place = found
    given = arguments.pop("kd")
    distillation = read_shape(Distillation, given, place)
    faults = refusals(arguments, str(path)) + _version_faults(distillation)
    if distillation.divergence == "consistency":
        faults += pair_faults(arguments, str(path))
    if faults:
        raise FaultsError(faults)
    return TrainFile(path, arguments, distillation)


def _with_block(path: Path, words: Sequence[str]) -> tuple[dict[str, Any], str] | None:
    """Return a file's arguments with the block under `kd`, and where that stands; None without one.

    Raises:
        FaultsError: the block that the header names is missing, or there are two.
    """
    block = distillation_path(path)
    header = _HEADER.search(_text_of(path))
    stated = bool(header) or block.is_file()
    overridden = any(word.lstrip("+").startswith(("kd.", "kd=")) for word in words)
    if not stated and not overridden and "kd" not in _mapping_of(path):
        return None
    if header and header["name"] != block.name:
        raise FaultsError(
            Fault(str(path), f"its header names {header['name']}", block.name, "rename one of them")
        )
    if header and not block.is_file():
        missing = f"{block.name} is missing, and without it this would be plain fine-tuning"
        raise FaultsError(Fault(str(path), missing, "", "generate the run folder again"))
    arguments = _merged(path, words)
    if not stated:
        return arguments, f"{path}:kd"
    if "kd" in arguments:
        twice = Fault(f"{path}:kd", f"{block.name} holds such a block too", "one of them")
        raise FaultsError(twice)
    return {**arguments, "kd": read_yaml(block)}, str(block)


def seq2seq_arguments(words: Sequence[str]) -> dict[str, Any] | None:
    """Return a file's arguments where it is one for an encoder-decoder student, None else.

    Raises:
        FaultsError, MisuseError: the file cannot be read, or its block is missing.
    """
    path = _path_of(words)
    if path is None:
        return None
    plain = read_yaml(path)
    if not isinstance(plain, dict) or plain.get("stage") != STAGE:
        return None
    found = _with_block(path, words[1:])
    return _merged(path, words[1:]) if found is None else found[0]


def read_arguments(path: Path) -> tuple[dict[str, Any], Distillation | None]:
    """Return a training file's arguments and its block, if it has one, without checking either.

    Raises:
        FaultsError: the file cannot be read, or the block has faults.
    """
    if not path.is_file():
        raise FaultsError(Fault(str(path), "no such file", "a training file"))
    arguments = _merged(path, [])
    block = distillation_path(path)
    given = read_yaml(block) if block.is_file() else arguments.get("kd")
    arguments.pop("kd", None)
    if given is None:
        return arguments, None
    place = str(block) if block.is_file() else f"{path}:kd"
    return arguments, read_shape(Distillation, given, place)


def _version_faults(distillation: Distillation) -> list[Fault]:
    try:
        found = importlib.metadata.version("llamafactory")
    except importlib.metadata.PackageNotFoundError:
        remedy = 'pip install "cotdistill[train]"'
        return [Fault("llamafactory", "not installed in this environment", "", remedy)]
    if found in TESTED or distillation.allow_untested:
        return []
    remedy = "install one of these, or set allow_untested: true in the kd: block"
    wrong = f"{found} was not tested with distillation"
    return [Fault("llamafactory", wrong, " or ".join(TESTED), remedy)]


def _path_of(words: Sequence[str]) -> Path | None:
    if not words or words[0].startswith("-"):
        return None
    path = Path(words[0])
    if path.suffix not in (".yaml", ".yml"):
        return None
    if not path.is_file():
        raise FaultsError(Fault(str(path), "no such file", "a training file"))
    return path


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FaultsError(Fault(str(path), f"cannot be read ({error})")) from error


def _mapping_of(path: Path) -> dict[str, Any]:
    plain = read_yaml(path)
    if not isinstance(plain, dict):
        raise FaultsError(Fault(str(path), "not a mapping", "arguments of llamafactory-cli train"))
    return plain


def _merged(path: Path, words: Sequence[str]) -> dict[str, Any]:
    """Return the file with `key=value` words over it, read by the host's own reader."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    _mapping_of(path)
    try:
        merged = OmegaConf.merge(OmegaConf.load(path), OmegaConf.from_cli(list(words)))
        read = OmegaConf.to_container(merged, resolve=True)
    except (OmegaConfBaseException, TypeError, ValueError) as error:
        raise MisuseError(f"{path}: {' '.join(str(error).split())}") from error
    assert isinstance(read, dict)
    return {str(key): value for key, value in read.items()}
