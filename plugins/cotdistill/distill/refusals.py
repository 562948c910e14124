"""Which training files cannot be combined with distillation, and why."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from cotdistill.errors import Fault

_OTHER_LOSSES = ("use_dft_loss", "use_eaft_loss", "use_asft_loss")
_OTHER_TRAINERS = ("use_hyper_parallel", "use_mca", "use_ray", "use_kt", "use_unsloth")
_SWITCHES = {"USE_MCA": "Megatron", "USE_V1": "LLaMA-Factory's v1 trainer", "USE_RAY": "Ray"}


def refusals(arguments: Mapping[str, Any], place: str) -> list[Fault]:
    """Return why a training file cannot be combined with distillation.

    >>> for fault in refusals({"stage": "dpo", "do_train": True}, "t.yaml"):
    ...     print(fault)
    t.yaml:stage: dpo; expected sft; distillation is for supervised fine-tuning only
    """
    faults = []
    if arguments.get("stage", "sft") != "sft":
        remedy = "distillation is for supervised fine-tuning only"
        faults.append(Fault(f"{place}:stage", str(arguments["stage"]), "sft", remedy))
    if not arguments.get("do_train"):
        remedy = "leave out the kd: block to evaluate or predict"
        faults.append(Fault(f"{place}:do_train", "not true", "true", remedy))
    if arguments.get("label_smoothing_factor"):
        wrong = "label smoothing replaces the loss that distillation adds to"
        faults.append(Fault(f"{place}:label_smoothing_factor", wrong, "0", "leave it out"))
    for key in _OTHER_LOSSES:
        if arguments.get(key):
            wrong = "another loss in the place of cross-entropy"
            faults.append(Fault(f"{place}:{key}", wrong, "false", "leave it out"))
    for key in _OTHER_TRAINERS:
        if arguments.get(key):
            wrong = "trains with code that distillation is not part of"
            faults.append(Fault(f"{place}:{key}", wrong, "false", "leave it out"))
    if _same_folder(arguments.get("output_dir"), arguments.get("model_name_or_path")):
        wrong = "the folder of the model that is trained"
        faults.append(Fault(f"{place}:output_dir", wrong, "another folder"))
    for variable, name in _SWITCHES.items():
        if os.environ.get(variable, "").lower() in ("1", "true", "y"):
            wrong = f"{name} trains with code that distillation is not part of"
            faults.append(Fault(f"${variable}", wrong, "", f"unset {variable}"))
    return faults


def _same_folder(output: Any, model: Any) -> bool:
    return (
        isinstance(output, str)
        and isinstance(model, str)
        and os.path.realpath(output) == os.path.realpath(model)
    )


def pair_faults(arguments: Mapping[str, Any], place: str) -> list[Fault]:
    """Return why a file's batches cannot keep the two rationales of a question together.

    >>> for fault in pair_faults({"per_device_train_batch_size": 3, "packing": True}, "t.yaml"):
    ...     print(fault)
    t.yaml:per_device_train_batch_size: 3; expected an even number; a batch holds whole pairs
    t.yaml:packing: joins rows of several questions; expected false; leave it out
    """
    faults = []
    size = arguments.get("per_device_train_batch_size", 8)
    if not isinstance(size, int) or size % 2:
        where = f"{place}:per_device_train_batch_size"
        faults.append(Fault(where, str(size), "an even number", "a batch holds whole pairs"))
    for key in ("packing", "neat_packing", "group_by_length", "streaming"):
        if arguments.get(key):
            wrong = "joins rows of several questions" if "packing" in key else "orders rows itself"
            faults.append(Fault(f"{place}:{key}", wrong, "false", "leave it out"))
    return faults
