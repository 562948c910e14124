"""What can be known of student and teacher before their weights are loaded."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from cotdistill.distill.own_texts import texts_to_encode
from cotdistill.distill.settings import Teacher
from cotdistill.distill.signals_check import signal_faults
from cotdistill.distill.train_file import TrainFile
from cotdistill.distill.vocabulary import vocabulary_faults
from cotdistill.errors import DataError, Fault, FaultsError
from cotdistill.files.json_file import read_object
from cotdistill.hosts.tokenizer import load_tokenizer

_WEIGHTS = ("*.safetensors", "*.bin")
_READ_BY_HOSTS = (
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "generation_config.json",
)


def model_faults(file: TrainFile) -> list[Fault]:
    """Return why a student cannot learn from its teacher; empty if nothing is wrong.

    Raises:
        FaultsError: LLaMA-Factory refuses the training file.
    """
    place = str(file.path)
    student, data = _host_arguments(file)
    source = file.distillation.source
    faults = damaged_files(student.model_name_or_path, source.model)
    faults = faults or _student_faults(student, place)
    if file.distillation.teacher is None or faults:
        return faults
    if source.signals:
        return signal_faults(file, _tokenizer(student, data), f"{place}:kd.teacher")
    tokenizer = _tokenizer(student, data) if file.distillation.vocabulary_check else None
    return teacher_faults(source, tokenizer, student, file.arguments, f"{place}:kd.teacher")


def teacher_faults(
    source: Teacher, tokenizer: Any, student: Any, arguments: Mapping[str, Any], place: str
) -> list[Fault]:
    """Return why a teacher that is to be loaded does not fit a student.

    `tokenizer` is the student's, or None to leave vocabularies alone; `student` are the host's
    model arguments.
    """
    config, unreadable = _config(str(source.model), source.revision, student, place)
    if config is None:
        return unreadable
    if getattr(config, "is_encoder_decoder", False):
        return [Fault(place, f"{source.model} is an encoder-decoder", "a causal language model")]
    faults = memory_faults(str(source.model), source.quantization, place)
    if tokenizer is not None:
        faults += _vocabulary(source, tokenizer, student, arguments, place)
    return faults


def _host_arguments(file: TrainFile) -> tuple[Any, Any]:
    from llamafactory.hparams import get_train_args

    arguments = {
        key: value
        for key, value in file.arguments.items()
        if key not in ("deepspeed", "fsdp", "fsdp_config")
    }
    try:
        model, data, *_ = get_train_args(arguments)
    except Exception as error:  # whatever the parser raises is the finding
        wrong = f"LLaMA-Factory refuses it ({type(error).__name__}: {' '.join(str(error).split())})"
        raise FaultsError(Fault(str(file.path), wrong)) from error
    return model, data


def _student_faults(student: Any, place: str) -> list[Fault]:
    where = f"{place}:model_name_or_path"
    config, unreadable = _config(student.model_name_or_path, student.model_revision, student, where)
    if config is None:
        return unreadable
    if getattr(config, "is_encoder_decoder", False):
        wrong = f"{student.model_name_or_path} is an encoder-decoder"
        remedy = (
            "LLaMA-Factory would train it with the answer in the encoder's input, and finish "
            "without an error; see docs/how-to/distill.md for T5"
        )
        return [Fault(where, wrong, "a causal language model", remedy)]
    return []


def _config(
    name: str, revision: str | None, student: Any, place: str
) -> tuple[Any | None, list[Fault]]:
    from transformers import AutoConfig

    if name.startswith((".", "/")) and not Path(name).is_dir():
        return None, [Fault(place, f"{name}: no such folder", "a model's folder or hub id")]
    try:
        return AutoConfig.from_pretrained(
            name, revision=revision or "main", trust_remote_code=student.trust_remote_code
        ), []
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0][:200]
        return None, [Fault(place, f"{name} cannot be read ({reason})", "a model folder or hub id")]


def memory_faults(model: str, bits: int | None, place: str) -> list[Fault]:
    """Return a fault where a local teacher's weights alone are larger than the free memory."""
    folder = Path(model)
    size = 0
    for pattern in _WEIGHTS:
        size = size or sum(path.stat().st_size for path in folder.glob(pattern))
    size = size * bits // 16 if bits else size
    free = free_memory()
    if free is None or size <= free:
        return []
    wrong = f"the teacher needs {_gib(size)} and {_gib(free)} are free"
    remedy = (
        "load it in 4 bits (quantization: 4), split or offload it (deepspeed: z3 or z3-offload), "
        "choose a smaller one, or run `cotdistill capture` once where it fits and train from the "
        "stored signals, without a teacher in memory"
    )
    return [Fault(place, wrong, "a teacher that fits", remedy)]


def free_memory() -> int | None:
    """Return the bytes that are free where models are loaded, or None where nobody can say."""
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.mem_get_info()[0])
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    kib = [int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")]
    return kib[0] * 1024 if kib else None


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"


def _vocabulary(
    source: Teacher, tokenizer: Any, student: Any, arguments: Mapping[str, Any], place: str
) -> list[Fault]:
    trusted = student.trust_remote_code
    try:
        theirs = load_tokenizer(str(source.model), source.revision, trust_remote_code=trusted)
    except FaultsError as error:
        return [replace(fault, place=place) for fault in error.faults]
    texts, unread = texts_to_encode(arguments, ask_hub=True)
    for reason in unread:
        sys.stderr.write(f"note: {reason}\n")
    if not texts:
        sys.stderr.write(
            "note: the tokenizers of student and teacher were compared token by token, but not on "
            "rows: none could be read here (.json, .jsonl and .parquet files are)\n"
        )
    return vocabulary_faults(tokenizer, theirs, texts, place)


def _tokenizer(student: Any, data: Any) -> Any:
    return student_tokenizer(student, data)[0]["tokenizer"]


def student_tokenizer(student: Any, data: Any) -> tuple[dict[str, Any], Any]:
    """Return what LLaMA-Factory loads for rows, with what the template adds, and the template.

    Raises:
        FaultsError: it cannot be loaded.
    """
    from llamafactory.data import get_template_and_fix_tokenizer
    from llamafactory.model import load_tokenizer

    try:
        loaded = load_tokenizer(student)
    except Exception as error:  # a damaged file ends anywhere in the host
        cause = error.__cause__ or error  # the host only says that it failed
        wrong = f"has no tokenizer that can be loaded ({' '.join(str(cause).split())[:200]})"
        raise FaultsError(Fault(str(student.model_name_or_path), wrong)) from error
    return dict(loaded), get_template_and_fix_tokenizer(loaded["tokenizer"], data)


def damaged_files(*models: str | None) -> list[Fault]:
    """Return which of the files that the hosts read from local models are no JSON objects."""
    faults: list[Fault] = []
    for folder in dict.fromkeys(Path(model) for model in models if model):
        for path in (folder / name for name in _READ_BY_HOSTS):
            if path.is_file():
                try:
                    read_object(path)
                except DataError as error:
                    faults += error.faults
    return faults
