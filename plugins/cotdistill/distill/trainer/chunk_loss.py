"""The loss of a chunk of tokens from its logits: cross-entropy and distillation, with gradients.

Everything is a sum over tokens, so that chunks, micro-batches and ranks can be added up and divided
once by the global number of tokens.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from cotdistill.distill.trainer.divergences import DIVERGENCES, LOWEST


@dataclass(frozen=True)
class Objective:
    """ce_weight * CE + kd_weight * D(teacher, student) per token, both at their own temperature.

    `kd_weight` already holds T squared where it is asked for, so that the reported value and its
    gradient cannot differ. `mixture` is beta of `jsd` and alpha of the skewed divergences. With
    `top_k`, the teacher's distribution is its k likeliest tokens and one bucket for all others.
    """

    ce_weight: float
    kd_weight: float
    divergence: str = "forward_kl"
    temperature: float = 1.0
    mixture: float = 0.5
    top_k: int | None = None


@dataclass(frozen=True)
class SparseTeacher:
    """What is stored of a teacher's distribution: a few tokens and the rest of the mass.

    Shapes: ids and log_p [tokens][k], at temperature 1; log_z [tokens], the logarithm of the sum of
    p ** (1 / T) over the whole vocabulary (0 where T is 1).
    """

    ids: Tensor
    log_p: Tensor
    log_z: Tensor

    def rows(self, start: int, end: int) -> SparseTeacher:
        """Return the part of a chunk."""
        return SparseTeacher(self.ids[start:end], self.log_p[start:end], self.log_z[start:end])

    def select(self, keep: Tensor) -> SparseTeacher:
        """Return the tokens that a mask keeps."""
        return SparseTeacher(self.ids[keep], self.log_p[keep], self.log_z[keep])


@dataclass
class Sums:
    """Sums over tokens, in double precision.

    `agreeing` counts equal likeliest tokens among the `measured` ones. The squared norms are of
    gradients with respect to the logits: cross-entropy's by itself and as weighted, and the
    divergence's as weighted; and with respect to the last hidden states, where those are compared:
    the whole head's, and that of the squared error. `hidden` is the latter's sum over `kd_tokens`.
    """

    ce: float = 0.0
    kd: float = 0.0
    tokens: int = 0
    kd_tokens: int = 0
    agreeing: float = 0.0
    measured: int = 0
    plain_gradient: float = 0.0
    ce_gradient: float = 0.0
    kd_gradient: float = 0.0
    hidden: float = 0.0
    head_at_states: float = 0.0
    hidden_at_states: float = 0.0

    def add(self, other: Sums) -> None:
        """Add another chunk's sums."""
        for name in self.__dataclass_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    @property
    def kd_share(self) -> float:
        """KD's share of the gradient's norm, measured at the student's logits.

        Where only hidden states are compared, it is measured at these.
        """
        if self.hidden_at_states and not self.kd_gradient:
            return _share(self.hidden_at_states, self.head_at_states)
        return _share(self.kd_gradient, self.ce_gradient)

    @property
    def kd_effect(self) -> float:
        """The same next to cross-entropy's own gradient, also where that has no weight."""
        if self.hidden_at_states and not self.kd_gradient:
            return self.kd_share
        return _share(self.kd_gradient, self.plain_gradient)


def _share(part: float, other: float) -> float:
    total = part**0.5 + other**0.5
    return part**0.5 / total if total else 0.0


@dataclass(frozen=True)
class ChunkLoss:
    """The weighted loss of a chunk, its gradient with respect to the logits, and its parts."""

    ce: Tensor
    kd: Tensor
    gradient: Tensor | None
    sums: Sums = field(default_factory=Sums)


def chunk_loss(
    logits: Tensor,
    teacher: Tensor | SparseTeacher | None,
    labels: Tensor,
    objective: Objective,
    with_kd: Tensor | None = None,
    *,
    gradient: bool = True,
    measure: bool = False,
) -> ChunkLoss:
    """Return the summed loss of a chunk; `logits` and a dense teacher's logits are overwritten.

    Shapes: logits [tokens][V], float32 or float64; a dense teacher [tokens][V]; labels [tokens],
    negative where there is no cross-entropy; with_kd [tokens], which tokens the teacher speaks
    about (the others are plain cross-entropy).

    `measure` also counts agreement and the squared norms of both gradients.
    """
    trained = labels >= 0
    sums = Sums(tokens=int(trained.sum()))
    places = labels.clamp(min=0)[:, None]
    log_total = torch.logsumexp(logits, -1)
    ce_rows = log_total - logits.gather(1, places)[:, 0]
    best = logits.argmax(-1) if measure else None
    on = None if with_kd is None else with_kd.to(logits.dtype)
    ce_weights = _row_weights(objective, on, logits).mul_(trained)
    ce = ce_rows.mul(ce_weights).sum(dtype=torch.float64)
    out = None
    if gradient and (on is not None or objective.ce_weight or measure):
        out = (logits - log_total[:, None]).exp_()
        out.scatter_add_(1, places, out.new_full((len(labels), 1), -1.0))
        if measure:
            squares = out.square().sum(-1, dtype=torch.float64)
            sums.plain_gradient = float((squares * trained).sum())
        out.mul_(ce_weights[:, None])
        if measure:
            sums.ce_gradient = float(out.square().sum(dtype=torch.float64))
    sums.ce = float(ce_rows.mul_(trained).sum(dtype=torch.float64))
    kd = logits.new_zeros((), dtype=torch.float64)
    if teacher is not None and best is not None:
        same = (best == _likeliest(teacher)).to(logits.dtype)
        sums.agreeing = float((same if on is None else same * on).sum())
        sums.measured = len(labels) if on is None else int(on.sum())
    if teacher is not None and objective.kd_weight:
        value, slope = _divergence(logits, teacher, objective)
        if on is not None:
            value = torch.where(with_kd, value, 0.0)
            slope.mul_(on[:, None])
        sums.kd_tokens = len(labels) if on is None else int(on.sum())
        total = value.sum(dtype=torch.float64)
        sums.kd = float(total)
        kd = total * objective.kd_weight
        if gradient:
            slope.mul_(objective.kd_weight)
            if measure:
                sums.kd_gradient = float(slope.square().sum(dtype=torch.float64))
            out = slope if out is None else out.add_(slope)
    if gradient and out is None:
        out = torch.zeros_like(logits)
    return ChunkLoss(ce, kd, out, sums)


def _row_weights(objective: Objective, on: Tensor | None, logits: Tensor) -> Tensor:
    if on is None:
        return logits.new_full((len(logits),), objective.ce_weight)
    return 1.0 + on * (objective.ce_weight - 1.0)


def _likeliest(teacher: Tensor | SparseTeacher) -> Tensor:
    if isinstance(teacher, SparseTeacher):
        return teacher.ids.gather(1, teacher.log_p.argmax(-1, keepdim=True))[:, 0]
    return teacher.argmax(-1)


def _divergence(
    logits: Tensor, teacher: Tensor | SparseTeacher, objective: Objective
) -> tuple[Tensor, Tensor]:
    """Return the value per token and its gradient with respect to the logits."""
    if objective.divergence == "logit_mse":
        assert isinstance(teacher, Tensor), "settings refuse logit_mse with stored signals"
        gap = logits.sub_(teacher)
        return gap.square().mean(-1), gap.mul_(2.0 / gap.shape[-1])
    function = DIVERGENCES[objective.divergence]
    temperature = objective.temperature
    if isinstance(teacher, Tensor) and objective.top_k:
        teacher = sparse_teacher(teacher, objective.top_k, temperature)
    if temperature != 1.0:
        logits.div_(temperature)
    log_q = logits.sub_(torch.logsumexp(logits, -1, keepdim=True))
    if isinstance(teacher, SparseTeacher):
        value, slope = _with_tail_bucket(log_q, teacher, objective)
    else:
        if temperature != 1.0:
            teacher.div_(temperature)
        teacher.sub_(torch.logsumexp(teacher, -1, keepdim=True))
        value, slope = function(
            log_q.clamp_(min=LOWEST), teacher.clamp_(min=LOWEST), objective.mixture
        )
    return value, slope if temperature == 1.0 else slope.div_(temperature)


def sparse_teacher(logits: Tensor, k: int, temperature: float) -> SparseTeacher:
    """Return a teacher's k likeliest tokens with what is needed at a temperature."""
    log_p = logits - torch.logsumexp(logits, -1, keepdim=True)
    top = log_p.topk(min(k, logits.shape[-1]), -1)
    scaled = log_p if temperature == 1.0 else log_p.div_(temperature)
    return SparseTeacher(top.indices, top.values, torch.logsumexp(scaled, -1))


def _with_tail_bucket(
    log_q: Tensor, teacher: SparseTeacher, objective: Objective
) -> tuple[Tensor, Tensor]:
    """Compare two distributions of k + 1 entries: the teacher's k tokens, and all others as one.

    The student's mass outside comes from a sum over the other tokens, not from 1 - sum(q), which
    would cancel. It is spread over them as the student itself spreads it.
    """
    log_p = (teacher.log_p / objective.temperature - teacher.log_z[:, None]).to(log_q.dtype)
    rest = 1.0 - log_p.double().exp().sum(-1)
    log_rest = rest.clamp(min=0.0).log().to(log_q.dtype)
    chosen = log_q.gather(1, teacher.ids)
    outside = log_q.scatter_(1, teacher.ids, -torch.inf)
    log_outside = torch.logsumexp(outside, -1)
    nothing = log_outside == -torch.inf  # k is the whole vocabulary
    short_q = torch.cat([chosen, log_outside[:, None]], 1).clamp_(min=LOWEST)
    short_p = torch.cat([log_p, log_rest[:, None]], 1)
    short_p[:, -1].masked_fill_(nothing, -torch.inf)
    short_p.clamp_(min=LOWEST)
    value, slope = DIVERGENCES[objective.divergence](short_q, short_p, objective.mixture)
    share = outside.sub_(torch.where(nothing, 0.0, log_outside)[:, None]).exp_()
    full = share.mul_(slope[:, -1:]).scatter_(1, teacher.ids, slope[:, :-1])
    return value, full
