"""The loss of a language model's head, chunk by chunk: no logits exist for all tokens at once.

`head_loss` multiplies with the head's weight itself and takes gradients in closed form, in the
forward pass: nothing of a chunk is kept, and a frozen head costs no weight gradient. It is right
where a teacher's head is in memory only during the forward pass (FSDP).

`module_head_loss` calls the head as a module under gradient checkpointing: for heads that are
sharded, adapted, quantised, have a bias or are followed by a soft cap.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from cotdistill.distill.trainer.chunk_loss import (
    ChunkLoss,
    Objective,
    SparseTeacher,
    Sums,
    chunk_loss,
)

CHUNK_BYTES = {"cpu": 96 << 20}
"""What a chunk's logits may take; more on other devices, where large products are faster."""
_ELSEWHERE = 256 << 20
_BUFFERS = 5
"""Buffers of [tokens][V] that a chunk needs at most at a time."""
_FEWEST = 128
"""Tokens of a chunk at least, whatever they take: each chunk reads both heads, hundreds of MiB."""
_COLUMNS = 8192
"""Rows of the head whose weight gradient is formed at a time where types differ."""

Logits = Callable[[Tensor], Tensor]


class DenseTeacher(NamedTuple):
    """A teacher's hidden states [tokens][H], and what turns some of them into logits."""

    hidden: Tensor
    logits: Logits


Teacher = DenseTeacher | SparseTeacher | None


@dataclass(frozen=True)
class HeadInput:
    """What a head's loss is computed from.

    Shapes: hidden [tokens][H]; labels [tokens]; with_kd [tokens] or None for all.

    `vocabulary` is how many entries student and teacher share; `chunk` how many tokens are taken
    at a time, or None for as many as CHUNK_BYTES allows; `fewest` how many chunks there are at
    least, some of them empty.
    """

    hidden: Tensor
    labels: Tensor
    teacher: Teacher
    vocabulary: int
    with_kd: Tensor | None = None
    chunk: int | None = None
    measure: bool = False
    fewest: int = 1

    def bounds(self) -> list[tuple[int, int]]:
        """Return the chunks' first and last tokens: of nearly equal size.

        >>> HeadInput(torch.zeros(10, 2), torch.zeros(10), None, vocabulary=3, chunk=4).bounds()
        [(0, 3), (3, 6), (6, 10)]
        """
        tokens = len(self.labels)
        allowed = CHUNK_BYTES.get(self.hidden.device.type, _ELSEWHERE)
        most = self.chunk or max(_FEWEST, allowed // (4 * _BUFFERS * self.vocabulary))
        chunks = max(self.fewest, -(-tokens // most))
        ends = [tokens * number // chunks for number in range(chunks + 1)]
        return list(pairwise(ends))

    def loss_of(
        self, logits: Tensor, rows: tuple[int, int], objective: Objective, *, gradient: bool
    ) -> ChunkLoss:
        """Return the loss of a chunk from the student's logits, which are overwritten."""
        start, end = rows
        teacher: Tensor | SparseTeacher | None = None
        asked = objective.kd_weight or self.measure
        if isinstance(self.teacher, DenseTeacher) and asked:
            with torch.no_grad():
                wide = _wide(self.teacher.logits(self.teacher.hidden[start:end]))
            teacher = wide[:, : self.vocabulary]
        elif isinstance(self.teacher, SparseTeacher):
            teacher = self.teacher.rows(start, end)
        return chunk_loss(
            logits[:, : self.vocabulary],
            teacher,
            self.labels[start:end],
            objective,
            None if self.with_kd is None else self.with_kd[start:end],
            gradient=gradient,
            measure=self.measure,
        )


def head_loss(
    given: HeadInput, weight: Tensor, objective: Objective, scale: float = 1.0
) -> tuple[Tensor, Sums]:
    """Return the summed loss of a head that is one matrix, times `scale` before the logits.

    Under autocast the products are computed in its type, the loss always in float32 or wider.
    """
    sums = Sums()
    loss: Tensor = _HeadLoss.apply(given.hidden, weight, given, objective, scale, sums)
    return loss, sums


class _HeadLoss(torch.autograd.Function):
    """The loss of a matrix head; both gradients are formed in the forward pass."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        given: HeadInput,
        objective: Objective,
        scale: float,
        sums: Sums,
    ) -> Tensor:
        of_hidden, of_weight = ctx.needs_input_grad[:2]
        with torch.autocast(hidden.device.type, enabled=False):
            kind = _product_type(hidden, weight)
            matrix = weight[: given.vocabulary].to(kind)
            hidden_gradient = torch.empty_like(hidden) if of_hidden else None
            weight_gradient = torch.zeros_like(weight) if of_weight else None
            total = torch.zeros((), dtype=torch.float64, device=hidden.device)
            for start, end in given.bounds():
                states = hidden[start:end].to(kind)
                logits = _wide(states @ matrix.t())
                if scale != 1.0:
                    logits.mul_(scale)
                part = given.loss_of(
                    logits, (start, end), objective, gradient=of_hidden or of_weight
                )
                total += part.ce + part.kd
                sums.add(part.sums)
                if part.gradient is None:
                    continue
                if scale != 1.0:
                    part.gradient.mul_(scale)
                slope = part.gradient.to(kind)
                if hidden_gradient is not None:
                    hidden_gradient[start:end] = slope @ matrix
                if weight_gradient is not None:
                    _add_product(weight_gradient[: given.vocabulary], slope, states)
        ctx.gradients = hidden_gradient, weight_gradient
        return total.to(torch.promote_types(hidden.dtype, torch.float32))

    @staticmethod
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor | None, ...]:
        gradients = [
            None if gradient is None else gradient.mul_(scale) for gradient in ctx.gradients
        ]
        ctx.gradients = None
        return *gradients, None, None, None, None


def _add_product(total: Tensor, slope: Tensor, states: Tensor) -> None:
    """Add slope^T states, a block of rows at a time where the sum has a wider type."""
    if total.dtype == slope.dtype:
        total.addmm_(slope.t(), states)
        return
    for start in range(0, len(total), _COLUMNS):
        total[start : start + _COLUMNS] += slope[:, start : start + _COLUMNS].t() @ states


def _product_type(hidden: Tensor, weight: Tensor) -> torch.dtype:
    device = hidden.device.type
    if torch.is_autocast_enabled(device):
        return torch.get_autocast_dtype(device)
    return torch.promote_types(hidden.dtype, weight.dtype)


def _wide(logits: Tensor) -> Tensor:
    """Return logits in float32 or float64, before anything is divided or mixed."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def module_head_loss(given: HeadInput, logits: Logits, objective: Objective) -> tuple[Tensor, Sums]:
    """Return the summed loss of a head that is called, with autograd through the head only."""
    sums = Sums()
    total: Tensor | None = None
    for rows in given.bounds():
        counted: list[Sums] = []
        part = checkpoint(
            _module_chunk, given.hidden[slice(*rows)], given, rows, logits, objective, counted,
            use_reentrant=False,
        )  # fmt: skip
        sums.add(counted[0])
        total = part if total is None else total + part
    assert total is not None
    return total, sums


def _module_chunk(
    hidden: Tensor,
    given: HeadInput,
    rows: tuple[int, int],
    logits: Logits,
    objective: Objective,
    counted: list[Sums],
) -> Tensor:
    loss: Tensor = _LogitLoss.apply(_wide(logits(hidden)), given, rows, objective, counted)
    return loss


class _LogitLoss(torch.autograd.Function):
    """The closed-form loss of logits that autograd leads to."""

    @staticmethod
    def forward(
        ctx: Any,
        logits: Tensor,
        given: HeadInput,
        rows: tuple[int, int],
        objective: Objective,
        counted: list[Sums],
    ) -> Tensor:
        with torch.autocast(logits.device.type, enabled=False):
            part = given.loss_of(logits.clone(), rows, objective, gradient=ctx.needs_input_grad[0])
        counted.append(part.sums)
        ctx.width = logits.shape[-1]
        ctx.save_for_backward(*([] if part.gradient is None else [part.gradient]))
        return (part.ce + part.kd).to(logits.dtype)

    @staticmethod
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        gradient = gradient * scale
        missing = ctx.width - gradient.shape[-1]
        if missing:
            gradient = torch.nn.functional.pad(gradient, (0, missing))
        return gradient, None, None, None, None
