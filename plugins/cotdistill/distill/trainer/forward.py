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
from torch import Tensor, nn
from transformers.modeling_outputs import CausalLMOutputWithPast

from cotdistill.distill.trainer.chunk_loss import Objective, SparseTeacher, Sums
from cotdistill.distill.trainer.head import DenseTeacher, HeadInput, Logits, Teacher
from cotdistill.distill.trainer.language_model import LanguageModel
from cotdistill.distill.trainer.pairs import (
    SPANS,
    Consistency,
    PairCounts,
    consistency,
    counts_of,
)

NOT_TRAINED = -100
SIGNALS = ("kd_ids", "kd_log_p", "kd_log_z")
"""What a batch holds of stored signals, per token."""
KNOWN = "kd_known"
"""Which tokens of a batch have a teacher; all where it is not there."""
PROJECTION = "kd_projection"
"""What a student's weights between its states and a wider teacher's are called while it trains."""


@dataclass(frozen=True)
class HiddenMatch:
    """The squared error of the last hidden states: its weight, and the student's projection.

    Without a projection both models are equally wide.
    """

    weight: float
    projection: nn.Linear | None = None

    def __call__(self, student: Tensor, teacher: Tensor, on: Tensor | None) -> Tensor:
        """Return the sum over tokens of the mean over the teacher's width.

        Shapes: student [tokens][H], teacher [tokens][H of the teacher]; on [tokens] or None.
        """
        mapped = student if self.projection is None else self.projection(student)
        rows = (mapped.float() - teacher.float()).square().mean(-1)
        return rows.sum() if on is None else (rows * on).sum()


@dataclass
class Distiller:
    """What a student's forward needs, and what it has computed since it was last asked.

    `ask_teacher` calls the wrapped teacher model with a function for its states; None with stored
    signals and without a teacher. `counts` are those of all batches of an optimizer step, over all
    processes; None: of the batch.
    """

    objective: Objective
    vocabulary: int
    ask_teacher: Callable[..., Any] | None = None
    chunk: int | None = None
    count_padding: bool = False
    measure: bool = False
    hidden: HiddenMatch | None = None
    pairs: Consistency | None = None
    counts: PairCounts | None = None
    sums: Sums = field(default_factory=Sums)
    calls: int = 0


def install_teacher(model: Any) -> None:
    """Let a teacher's forward hand its states and its head on to the function `then`.

    It returns only its states, without a graph: of a result with one, DeepSpeed would believe that
    the teacher is trained.
    """
    parts = LanguageModel.of(model, "teacher")

    def forward(_self: Any, *args: Any, then: Callable[..., Any], **inputs: Any) -> Any:
        with torch.no_grad():
            hidden = parts.states(*args, **inputs)
        then(hidden, parts.logits)
        return hidden

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
        extra = {n: inputs.pop(n) for n in (*SIGNALS, KNOWN, SPANS) if n in inputs}
        if labels is None or not parts.inner.training:
            if num_items_in_batch is not None and not parts.is_encoder_decoder:
                inputs["num_items_in_batch"] = num_items_in_batch
            return stock(*args, labels=labels, **inputs)
        distiller.calls += 1
        loss = _training_loss(parts, distiller, labels, num_items_in_batch, args, inputs, extra)
        return CausalLMOutputWithPast(loss=loss)

    parts.inner.forward = MethodType(forward, parts.inner)


def _training_loss(
    student: LanguageModel,
    distiller: Distiller,
    labels: Tensor,
    items: Any,
    args: tuple[Any, ...],
    inputs: dict[str, Any],
    extra: dict[str, Tensor],
) -> Tensor:
    if student.is_encoder_decoder:
        if inputs.get("decoder_input_ids") is None:  # PEFT passes a None on
            inputs["decoder_input_ids"] = student.inner._shift_right(labels)
        targets = labels
    else:
        targets = targets_of(labels, inputs.get("position_ids"))
    hidden = student.states(*args, **inputs)
    if distiller.pairs is not None:
        return _pair_loss(student, distiller, hidden, targets, extra[SPANS])
    targets = targets.reshape(-1)
    supervised = targets != NOT_TRAINED
    keep = torch.ones_like(supervised) if distiller.count_padding else supervised
    own = hidden.reshape(-1, hidden.shape[-1])[keep]
    known = _flat(extra[KNOWN])[keep] if KNOWN in extra else None

    def total(states: Tensor, teacher: Teacher) -> tuple[Tensor, Sums]:
        given = HeadInput(
            states, targets[keep], teacher, distiller.vocabulary, known, distiller.chunk,
            distiller.measure,
        )  # fmt: skip
        return student.loss(given, _for_padding(distiller, supervised, keep))

    found: list[tuple[Tensor, Sums]] = []

    def with_teacher(states: Tensor, logits: Logits) -> None:
        theirs = states.reshape(-1, states.shape[-1])[keep]
        teacher = DenseTeacher(theirs, logits)
        if distiller.hidden is None:
            found.append(total(own, teacher))
            return
        loss, sums = total(_noted(own, distiller, "head_at_states"), teacher)
        compared = distiller.hidden(_noted(own, distiller, "hidden_at_states"), theirs, known)
        sums.hidden = float(compared.detach())
        sums.kd_tokens = len(own) if known is None else int(known.sum())
        found.append((loss + distiller.hidden.weight * compared, sums))

    if distiller.ask_teacher is not None:
        distiller.ask_teacher(*args, then=with_teacher, **inputs)
        ((loss, sums),) = found
    elif SIGNALS[0] in extra:
        stored = SparseTeacher(*(_flat(extra[name]) for name in SIGNALS))
        loss, sums = total(own, stored.select(keep))
    else:
        loss, sums = total(own, None)
    distiller.sums.add(sums)
    if items is None:
        items = max(1, sums.tokens)
    return loss / items


def _pair_loss(
    student: LanguageModel, distiller: Distiller, hidden: Tensor, targets: Tensor, spans: Tensor
) -> Tensor:
    """Return the loss of rows of which each two are rationales of one question.

    Cross-entropy is a mean over the tokens of the first ones and over those of the second ones,
    the divergence one over the compared tokens of answers.
    """
    objective, answers = distiller.pairs, distiller.counts or counts_of(targets, spans)
    assert objective is not None
    sums = Sums()
    loss = hidden.new_zeros(())
    for side, tokens in enumerate(answers[:2]):
        rows = targets[side::2]
        keep = rows != NOT_TRAINED
        given = HeadInput(
            hidden[side::2][keep], rows[keep], None, distiller.vocabulary, None, distiller.chunk,
            distiller.measure,
        )  # fmt: skip
        part, counted = student.loss(given, Objective(0.5 / max(1.0, tokens), 0.0))
        loss = loss + part
        sums.add(counted)
    compared = [
        student.logits(hidden[side::2][spans[side::2]])[:, : distiller.vocabulary].float()
        for side in (0, 1)
    ]
    value, square = consistency(
        compared[0], compared[1], objective.temperature, measure=distiller.measure
    )
    weight = objective.weight / max(1.0, answers.answers)
    sums.kd, sums.kd_tokens = float(value.detach()), len(compared[0])
    sums.kd_gradient = square * weight**2
    if distiller.measure:
        best = [logits.argmax(-1) for logits in compared]
        sums.agreeing, sums.measured = float((best[0] == best[1]).sum()), len(best[0])
    distiller.sums.add(sums)
    return loss + weight * value


def _noted(states: Tensor, distiller: Distiller, name: str) -> Tensor:
    """Return the states; the gradient that comes back through them is added to a sum."""
    if not distiller.measure or not states.requires_grad:
        return states
    states = states.view_as(states)

    def note(gradient: Tensor) -> None:
        square = float(gradient.float().square().sum(dtype=torch.float64))
        setattr(distiller.sums, name, getattr(distiller.sums, name) + square)

    states.register_hook(note)
    return states


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
