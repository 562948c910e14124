"""A training file for an encoder-decoder student (T5, FLAN-T5), which LLaMA-Factory cannot train.

`stage: seq2seq` says so: the stock host refuses the word, so that nothing is trained wrongly by
accident. The other keys are those of a training file of LLaMA-Factory, as far as they apply.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from cotdistill.distill.refusals import pair_faults
from cotdistill.distill.settings import Distillation
from cotdistill.errors import Fault, FaultsError
from cotdistill.schema import Shape, read_shape

STAGE = "seq2seq"


class Seq2SeqFile(Shape):
    """The keys of such a file; its rows are those of a `dataset_info.json`."""

    stage: Literal["seq2seq"]
    do_train: Literal[True] = True
    model_name_or_path: str
    model_revision: str | None = None
    dataset_dir: str
    dataset: str
    eval_dataset: str | None = Field(default=None, description="development questions")
    val_size: float = Field(default=0.0, ge=0, description="rows, or a share below 1, of dataset")
    cutoff_len: int = Field(default=512, ge=8, description="tokens of a question")
    target_len: int = Field(default=512, ge=8, description="tokens of a response")
    output_dir: str
    finetuning_type: Literal["full", "lora"] = "full"
    lora_rank: int = Field(default=64, ge=1)
    lora_alpha: int = Field(default=32, ge=1)
    lora_dropout: float = Field(default=0.05, ge=0, lt=1)
    lora_target: str = "q,v"
    per_device_train_batch_size: int = Field(default=8, ge=1)
    per_device_eval_batch_size: int = Field(default=16, ge=1)
    gradient_accumulation_steps: int = Field(default=1, ge=1)
    gradient_checkpointing: bool = False
    learning_rate: float = Field(default=3e-4, gt=0)
    weight_decay: float = Field(default=0.0, ge=0, description="not of biases and norms")
    num_train_epochs: float = Field(default=20, gt=0)
    max_steps: int = -1
    lr_scheduler_type: str = "constant"
    warmup_ratio: float = Field(default=0.0, ge=0, le=1)
    max_grad_norm: float = Field(default=1.0, ge=0)
    logging_steps: int = Field(default=10, ge=1)
    save_total_limit: int | None = 2
    seed: int = 42
    bf16: bool = False
    use_cpu: bool = False
    report_to: str | list[str] = "none"
    disable_tqdm: bool = False
    best_epoch: bool = Field(
        default=True, description="keep the epoch with the best greedy answers on the dev rows"
    )
    resume_from_checkpoint: str | None = None
    overwrite_output_dir: bool = False
    kd: Distillation | None = None


def read_seq2seq_file(arguments: Mapping[str, Any], place: str) -> Seq2SeqFile:
    """Return a file's values.

    Raises:
        FaultsError: it has faults, or its teacher is stored signals, which are for causal models.
    """
    file = read_shape(Seq2SeqFile, dict(arguments), place)
    faults = _teacher_faults(file, place)
    if file.kd is not None and file.kd.divergence == "consistency":
        faults += pair_faults(arguments, place)
    if file.best_epoch and not (file.eval_dataset or file.val_size):
        wrong = "the best epoch is chosen on development questions, and there are none"
        remedy = "name eval_dataset or val_size, or set best_epoch: false"
        faults.append(Fault(f"{place}:best_epoch", wrong, "", remedy))
    for name in filter(None, (file.dataset, file.eval_dataset)):
        faults += _registry_faults(Path(file.dataset_dir), name, place)
    if faults:
        raise FaultsError(faults)
    return file


def seq2seq_key_faults(arguments: Mapping[str, Any], place: str) -> list[Fault]:
    """Return what is wrong with a file's keys and values; nothing on disk is looked at."""
    try:
        return _teacher_faults(read_shape(Seq2SeqFile, dict(arguments), place), place)
    except FaultsError as error:
        return list(error.faults)


def _teacher_faults(file: Seq2SeqFile, place: str) -> list[Fault]:
    """Return which details of a teacher would have no effect here."""
    faults = []
    source = None if file.kd is None else file.kd.source
    if source is not None and source.signals:
        wrong = "stored signals are those of a causal model"
        faults.append(Fault(f"{place}:kd.teacher", wrong, "a model"))
    if source is not None and source.quantization:
        wrong = f"{source.quantization} bits were not tried with an encoder-decoder"
        remedy = "leave it out, or choose a smaller teacher"
        faults.append(Fault(f"{place}:kd.teacher.quantization", wrong, "", remedy))
    return faults


def _registry_faults(folder: Path, name: str, place: str) -> list[Fault]:
    import json

    path = folder / "dataset_info.json"
    try:
        registry = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return [Fault(str(path), f"cannot be read ({error})", "a registry of datasets")]
    entry = registry.get(name)
    if entry is None:
        return [Fault(f"{place}:dataset", f"no dataset '{name}'", f"one of {path}")]
    if not (folder / str(entry.get("file_name", "?"))).is_file():
        return [Fault(str(path), f"{name} has no local file_name", "a .json or .jsonl file")]
    return []
