"""LLaMA-Factory: what its configuration files may say, checked without and with the host.

`training_argument_faults` and `export_argument_faults` check keys, types and choices against a
packaged snapshot in milliseconds. `accepted_by_llamafactory` asks the host's own parser, which
adds its rules across keys and takes seconds to import; it runs in a process of its own, so it can
ask the LLaMA-Factory of another environment.
"""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cotdistill.errors import Fault, did_you_mean
from cotdistill.files.json_file import read_json
from cotdistill.files.yamls import yaml_scalar
from cotdistill.hosts.environments.ask_python import ask_python
from cotdistill.hosts.llamafactory import check_arguments, read_registrations
from cotdistill.hosts.llamafactory.snapshot import SNAPSHOT

Argument = Mapping[str, Any]

_CHECK = Path(check_arguments.__file__)
_READ = Path(read_registrations.__file__)


def training_argument_faults(arguments: Mapping[str, Any], place: str) -> list[Fault]:
    """Return what LLaMA-Factory would choke on, or silently misread, in a training file.

    Keys that only transformers 4 or only 5 knows are faults: a file must work under both.

    >>> for fault in training_argument_faults({"lora_rnk": 8, "learning_rate": "1e-4"}, "t.yaml"):
    ...     print(fault)
    t.yaml:lora_rnk: unknown to LLaMA-Factory 0.9.5; did you mean 'lora_rank'?
    t.yaml:learning_rate: text '1e-4'; expected number; write 0.0001 without quotes
    """
    return [*_faults(arguments, place, _known()), *_frozen_half_faults(arguments, place)]


def _frozen_half_faults(arguments: Mapping[str, Any], place: str) -> list[Fault]:
    """Return that frozen layers stay in half precision where the trained ones become float32.

    On a CPU, LLaMA-Factory loads a model in the type of its file and makes what it trains float32;
    without bf16 or fp16, which cast on the way, the first step fails.
    """
    casts = arguments.get("bf16") or arguments.get("fp16") or not arguments.get("use_cpu")
    if arguments.get("finetuning_type") != "freeze" or casts:
        return []
    config = Path(str(arguments.get("model_name_or_path"))) / "config.json"
    about = read_json(config) if config.is_file() else {}
    kind = (about.get("dtype") or about.get("torch_dtype")) if isinstance(about, dict) else None
    if kind not in ("bfloat16", "float16"):
        return []
    wrong = f"the frozen layers stay {kind}, as in {config}, and the trained ones become float32"
    remedy = "take a model folder of float32, or say precision: bf16"
    return [Fault(f"{place}:finetuning_type", wrong, "one type for all layers", remedy)]


def export_argument_faults(arguments: Mapping[str, Any], place: str) -> list[Fault]:
    """Return the same for a file of `llamafactory-cli export`, `api` or `chat`.

    These know the model, data, finetuning and generating keys; a training key is an error there.
    """
    known = {name: entry for name, entry in _known().items() if entry["of"] != "training"}
    return _faults(arguments, place, known)


def accepted_by_llamafactory(
    files: Sequence[tuple[str, str, Mapping[str, Any]]],
    python: Sequence[str] = (sys.executable,),
) -> list[Fault]:
    """Ask the host's own parser about many files at once: (place, "train" or "export", arguments).

    What depends on the machine and not on the file is left out: `deepspeed` (it needs torchrun)
    and, where no GPU is seen, `fsdp`; bf16 is asked about with `use_cpu`.

    Raises:
        FaultsError: LLaMA-Factory cannot be run there.
    """
    refused: list[tuple[str, str, str]] = _answer(python, _CHECK, list(files))
    return [
        Fault(place, f"LLaMA-Factory refuses it ({kind}: {' '.join(text.split())})")
        for place, kind, text in refused
    ]


def registrations_as_read(
    names: Sequence[str], dataset_dir: Path, python: Sequence[str] = (sys.executable,)
) -> dict[str, dict[str, Any]]:
    """Return what LLaMA-Factory's own parser makes of entries of a `dataset_info.json`.

    A column that is not mapped is None; `load_from` is "hf_hub" or "file".

    Raises:
        FaultsError: LLaMA-Factory cannot be run there, or does not know an entry.
    """
    question = {"folder": str(dataset_dir), "names": list(names)}
    read: dict[str, dict[str, Any]] = _answer(python, _READ, question)
    return read


def argument_group(group: str) -> frozenset[str]:
    """Return the keys of one of LLaMA-Factory's groups: model, data, training, finetuning ...

    >>> {"cutoff_len", "packing"} <= argument_group("data")
    True
    """
    return frozenset(name for name, entry in _known().items() if entry["of"] == group)


def _answer(python: Sequence[str], script: Path, question: Any) -> Any:
    env = {
        "LLAMAFACTORY_VERBOSITY": "ERROR",
        "CUDA_VISIBLE_DEVICES": os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0],
    }
    failure = "LLaMA-Factory cannot be asked ({})"
    return ask_python(python, script, question, env=env, failure=failure)


@functools.cache
def _snapshot() -> Mapping[str, Any]:
    snapshot: Mapping[str, Any] = json.loads(SNAPSHOT.read_text(encoding="utf-8"))
    return snapshot


def _known() -> Mapping[str, Argument]:
    arguments: Mapping[str, Argument] = _snapshot()["arguments"]
    return arguments


def _faults(arguments: Mapping[str, Any], place: str, known: Mapping[str, Argument]) -> list[Fault]:
    faults = []
    for name, value in arguments.items():
        where = f"{place}:{name}"
        argument = known.get(name)
        if argument is None:
            faults.append(_unknown(name, where, known))
        elif "only_in" in argument:
            wrong = f"only transformers {argument['only_in']} knows this key"
            faults.append(Fault(where, wrong, "keys that 4 and 5 both know", "leave it out"))
        else:
            faults += _value_faults(value, where, argument)
    return faults


def _unknown(name: str, where: str, known: Mapping[str, Argument]) -> Fault:
    host = f"LLaMA-Factory {_snapshot()['llamafactory']}"
    if name in _known():
        return Fault(where, f"a training key, which {host} refuses here", "", "leave it out")
    usable = [other for other, argument in known.items() if "only_in" not in argument]
    return Fault(where, f"unknown to {host}", "", did_you_mean(str(name), usable))


def _value_faults(value: Any, where: str, argument: Argument) -> list[Fault]:
    kinds: Sequence[str] = argument["kinds"]
    kind = _kind(value)
    if kind not in kinds and not (kind == "integer" and "number" in kinds):
        return [Fault(where, f"{kind} {value!r}", " or ".join(kinds), _remedy(value, argument))]
    choices = argument.get("choices")
    if choices and kind == "text" and value not in choices:
        near = did_you_mean(value, choices)
        return [Fault(where, f"'{value}'", f"one of {len(choices)} choices", near)]
    return []


def _kind(value: Any) -> str:
    kinds: dict[type, str] = {
        bool: "boolean", int: "integer", float: "number", str: "text", list: "list",
        tuple: "list", dict: "mapping", type(None): "null",
    }  # fmt: skip
    return kinds.get(type(value), type(value).__name__)


def _remedy(value: Any, argument: Argument) -> str:
    kinds, choices = argument["kinds"], argument.get("choices", [])
    if value is False and "no" in choices:
        return 'quote it: "no"'
    if isinstance(value, str) and {"number", "integer"} & set(kinds):
        try:
            number = float(value)
        except ValueError:
            return ""
        whole = "integer" in kinds and number.is_integer()
        return f"write {yaml_scalar(int(number) if whole else number)} without quotes"
    if isinstance(value, str) and value.lower() in ("true", "false", "yes", "no", "on", "off"):
        return f"write {str(value.lower() in ('true', 'yes', 'on')).lower()} without quotes"
    if isinstance(value, float) and value.is_integer() and "integer" in kinds:
        return f"write {int(value)}"
    return ""
