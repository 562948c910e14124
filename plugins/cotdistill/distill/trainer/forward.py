"""A student's forward pass that returns the distillation loss, and a teacher's within it.

Both models keep whatever the host has wrapped around them (PEFT, autocast, DDP, DeepSpeed, FSDP):
only the innermost forward is replaced. The loss is computed inside the teacher's forward, which is
called inside the student's, because sharded heads are in memory just there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import MethodType
from typing import Any

import torch
from torch import Tensor
from transformers.modeling_outputs import CausalLMOutputWithPast

from cotdistill.distill.trainer.chunk_loss import Objective, SparseTeacher, Sums
from cotdistill.distill.trainer.head import DenseTeacher, HeadInput, Logits, Teacher
from cotdistill.distill.trainer.language_model import LanguageModel

NOT_TRAINED = -100
SIGNALS = ("kd_ids", "kd_log_p", "kd_log_z", "kd_known")
"""What a batch holds of stored signals, per token."""


@dataclass
class Distiller:
    """What a student's forward needs, and what it has computed since it was last asked.

    `ask_teacher` calls the wrapped teacher model with a function for its states; None with stored
    signals.
    """

    objective: Objective
    vocabulary: int
    ask_teacher: Callable[..., Any] | None = None
    chunk: int | None = None
    count_padding: bool = False
    measure: bool = False
    sums: Sums = field(default_factory=Sums)
    calls: int = 0


def install_teacher(model: Any) -> None:
    """Let a teacher's forward hand its states and its head on to the function `then`."""
    parts = LanguageModel.of(model, "teacher")

    def forward(_self: Any, *args: Any, then: Callable[..., Any], **inputs: Any) -> Any:
        with torch.no_grad():
            hidden = parts.states(*args, **inputs)
        return then(hidden, parts.logits)

    parts.inner.forward = MethodType(forward, parts.inner)


def install_student(model: Any, distiller: Distiller) -> None:
    """Let a student's forward return the distillation loss while it trains.

    In evaluation and without labels it is the model's own, so that evaluation losses stay those of
    plain fine-tuning.
    """
    parts = LanguageModel.of(model, "student")
    stock = parts.inner.forward

    def forward(
        _self: Any, *args: Any, labels: Tensor | None = None, num_items_in_batch: Any = None,
        **inputs: Any,
    ) -> Any:  # fmt: skip
        signals = {name: inputs.pop(name) for name in SIGNALS if name in inputs}
        if labels is None or not parts.inner.training:
            if num_items_in_batch is not None and not parts.is_encoder_decoder:
                inputs["num_items_in_batch"] = num_items_in_batch
            return stock(*args, labels=labels, **inputs)
        distiller.calls += 1
        loss = _training_loss(parts, distiller, labels, num_items_in_batch, args, inputs, signals)
        return CausalLMOutputWithPast(loss=loss)

    parts.inner.forward = MethodType(forward, parts.inner)


def _training_loss(
    student: LanguageModel,
    distiller: Distiller,
    labels: Tensor,
    items: Any,
    args: tuple[Any, ...],
    inputs: dict[str, Any],
    signals: dict[str, Tensor],
) -> Tensor:
    if student.is_encoder_decoder:
        inputs = {"decoder_input_ids": student.inner._shift_right(labels)} | inputs
        targets = labels.reshape(-1)
    else:
        targets = targets_of(labels, inputs.get("position_ids")).reshape(-1)
    hidden = student.states(*args, **inputs)
    supervised = targets != NOT_TRAINED
    keep = torch.ones_like(supervised) if distiller.count_padding else supervised
    own = hidden.reshape(-1, hidden.shape[-1])[keep]

    def total(teacher: Teacher, with_kd: Tensor | None = None) -> tuple[Tensor, Sums]:
        given = HeadInput(
            own, targets[keep], teacher, distiller.vocabulary, with_kd, distiller.chunk,
            distiller.measure,
        )  # fmt: skip
        return student.loss(given, _for_padding(distiller, supervised, keep))

    def with_teacher(states: Tensor, logits: Logits) -> tuple[Tensor, Sums]:
        return total(DenseTeacher(states.reshape(-1, states.shape[-1])[keep], logits))

    if distiller.ask_teacher is not None:
        loss, sums = distiller.ask_teacher(*args, then=with_teacher, **inputs)
    elif signals:
        stored = SparseTeacher(*(_flat(signals[name]) for name in SIGNALS[:3]))
        loss, sums = total(stored.select(keep), _flat(signals["kd_known"])[keep])
    else:
        loss, sums = total(None)
    distiller.sums.add(sums)
    if items is None:
        items = max(1, sums.tokens)
    return loss / items


def targets_of(labels: Tensor, position_ids: Tensor | None) -> Tensor:
    """Return the label of the next token at each place.

    Where positions begin again at 0, as in packed rows, the next token belongs to another row and
    is not predicted.

    >>> labels = torch.tensor([[-100, 5, 6, 7, 8]])
    >>> targets_of(labels, torch.tensor([[0, 1, 2, 0, 1]])).tolist()
    [[5, 6, -100, 8, -100]]
    """
    if position_ids is not None and position_ids.shape == labels.shape:
        labels = labels.masked_fill(position_ids == 0, NOT_TRAINED)
    return torch.nn.functional.pad(labels, (0, 1), value=NOT_TRAINED)[..., 1:]


def _flat(values: Tensor) -> Tensor:
    """Join rows and places: [rows][places][...] becomes [tokens][...]."""
    return values.reshape(-1, *values.shape[2:])


def _for_padding(distiller: Distiller, supervised: Tensor, keep: Tensor) -> Objective:
    """With `count_padding`, the divergence is a mean over all places of the batch."""
    objective = distiller.objective
    if not distiller.count_padding:
        return objective
    share = float(supervised.sum()) / max(1, int(keep.sum()))
    return Objective(
        objective.ce_weight, objective.kd_weight * share, objective.divergence,
        objective.temperature, objective.mixture, objective.top_k,
    )  # fmt: skip
