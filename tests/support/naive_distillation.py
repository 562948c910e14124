"""The losses as the papers write them, over full logits and with autograd: slow and obvious."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, softmax


def divergence_rows(
    name: str, student: Tensor, teacher: Tensor, temperature: float = 1.0, mixture: float = 0.5
) -> Tensor:
    """Return the divergence of each token's distributions."""
    if name == "logit_mse":
        return (student - teacher).square().mean(-1)
    q, p = (
        softmax(student / temperature, -1),
        softmax(teacher / temperature, -1),
    )
    return of_probabilities(name, p, q, mixture)


def of_probabilities(name: str, p: Tensor, q: Tensor, mixture: float) -> Tensor:
    """Return the divergence of the teacher's p and the student's q."""
    match name:
        case "forward_kl":
            return (p * (p.log() - q.log())).sum(-1)
        case "soft_ce":
            return -(p * q.log()).sum(-1)
        case "reverse_kl":
            return (q * (q.log() - p.log())).sum(-1)
        case "jsd":
            m = mixture * p + (1 - mixture) * q
            to_p = (p * (p.log() - m.log())).sum(-1)
            return mixture * to_p + (1 - mixture) * (q * (q.log() - m.log())).sum(-1)
        case "skew_forward":
            m = mixture * p + (1 - mixture) * q
            return (p * (p.log() - m.log())).sum(-1)
        case "skew_reverse":
            m = (1 - mixture) * p + mixture * q
            return (q * (q.log() - m.log())).sum(-1)
        case "tvd":
            return 0.5 * (p - q).abs().sum(-1)
    raise AssertionError(name)


def with_tail(probabilities: Tensor, ids: Tensor) -> Tensor:
    """Return a distribution over some tokens and one bucket for all others."""
    inside = probabilities.gather(-1, ids)
    outside = probabilities.scatter(-1, ids, 0.0).sum(-1, keepdim=True)
    return torch.cat([inside, outside], -1)


def loss(objective: Any, student: Tensor, teacher: Tensor | None, labels: Tensor) -> Tensor:
    """Return ce_weight * CE + kd_weight * D, summed over tokens."""
    total = objective.ce_weight * cross_entropy(student, labels, reduction="sum")
    if teacher is None or not objective.kd_weight:
        return total
    if objective.top_k is None:
        rows = divergence_rows(
            objective.divergence, student, teacher, objective.temperature, objective.mixture
        )
    else:
        ids = teacher.topk(objective.top_k, -1).indices
        q = softmax(student / objective.temperature, -1)
        p = softmax(teacher / objective.temperature, -1)
        rows = of_probabilities(
            objective.divergence, with_tail(p, ids), with_tail(q, ids), objective.mixture
        )
    return total + objective.kd_weight * rows.sum()
