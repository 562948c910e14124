"""The rows of a training file as LLaMA-Factory tokenises them: one by one, not packed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llamafactory.data import get_dataset
from llamafactory.hparams import get_train_args

from cotdistill.distill.model_check import student_tokenizer

_NOT_FOR_ROWS = (
    "deepspeed", "fsdp", "fsdp_config", "packing", "neat_packing", "val_size", "eval_dataset",
    "eval_strategy", "do_eval", "do_predict", "resume_from_checkpoint", "load_best_model_at_end",
)  # fmt: skip


@dataclass(frozen=True)
class HostRows:
    """Tokenised rows, the student's tokenizer, and the host's model arguments."""

    rows: Any
    tokenizer: Any
    model_arguments: Any


def host_rows(arguments: Mapping[str, Any]) -> HostRows:
    """Return all rows that a training may see, those that it would hold out for validation too."""
    kept = {name: value for name, value in arguments.items() if name not in _NOT_FOR_ROWS}
    unasked = {"report_to": "none", "overwrite_output_dir": True}  # nothing is written there
    model, data, training, *_ = get_train_args(kept | unasked)
    loaded, template = student_tokenizer(model, data)
    found = get_dataset(template, model, data, training, stage="sft", **loaded)
    return HostRows(found["train_dataset"], loaded["tokenizer"], model)
