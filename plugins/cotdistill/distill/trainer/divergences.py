"""How far a student's next-token distribution is from the teacher's: values and exact gradients.

Each function takes log-probabilities of the student and of the teacher (both [tokens][entries],
normalised, at the temperature asked for) and returns, per token, the value and its gradient with
respect to the student's *scaled logits* z/T. No autograd graph is built. With q the student, p the
teacher and a the derivative of the value by q, that gradient is q (a - sum(q a)).

The student's buffer may be overwritten; the teacher's is kept only where `forward_kl` says so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

LOWEST = -1e4
"""Log-probabilities are raised to this: its exponential is 0, and no product with it is NaN."""


class Slope(NamedTuple):
    """The value per token, and its gradient with respect to the student's scaled logits."""

    value: Tensor
    gradient: Tensor


def forward_kl(log_q: Tensor, log_p: Tensor, _mixture: float = 0.0) -> Slope:
    """KL(p, q), which spreads the student over everything the teacher finds likely.

    Both buffers are overwritten.
    """
    p = log_p.exp()
    value = _dot(p, log_p.sub_(log_q))
    return Slope(value, log_q.exp_().sub_(p))


def soft_ce(log_q: Tensor, log_p: Tensor, _mixture: float = 0.0) -> Slope:
    """The student's cross-entropy under the teacher: `forward_kl` plus the teacher's entropy."""
    p = log_p.exp_()
    value = -_dot(p, log_q)
    return Slope(value, log_q.exp_().sub_(p))


def reverse_kl(log_q: Tensor, log_p: Tensor, _mixture: float = 0.0) -> Slope:
    """KL(q, p), which concentrates the student on the teacher's main modes."""
    q = log_q.exp()
    ratio = log_q.sub_(log_p)
    value = _dot(q, ratio)
    return Slope(value, q.mul_(ratio.sub_(value[:, None])))


def jsd(log_q: Tensor, log_p: Tensor, beta: float) -> Slope:
    """Beta KL(p, m) + (1 - beta) KL(q, m) with m = beta p + (1 - beta) q.

    Source: the generalised Jensen-Shannon divergence of GKD, Agarwal et al. 2023, arXiv:2306.13649.
    """
    p, q = log_p.exp(), log_q.exp()
    log_m = p.mul(beta).add_(q, alpha=1 - beta).log_().clamp_(min=LOWEST)
    of_teacher = _dot(p, log_p.sub_(log_m))
    ratio = log_q.sub_(log_m)
    of_student = _dot(q, ratio)
    value = beta * of_teacher + (1 - beta) * of_student
    return Slope(value, q.mul_(ratio.sub_(of_student[:, None])).mul_(1 - beta))


def skew_forward(log_q: Tensor, log_p: Tensor, alpha: float) -> Slope:
    """KL(p, alpha p + (1 - alpha) q).

    Source: DistiLLM, Ko et al. 2024, arXiv:2402.03898, equation 2.
    """
    p, q = log_p.exp(), log_q.exp_()
    m = p.mul(alpha).add_(q, alpha=1 - alpha)
    value = _dot(p, log_p.sub_(m.log().clamp_(min=LOWEST)))
    pull = p.mul_(q).div_(m.clamp_(min=1e-38)).mul_(alpha - 1)
    return Slope(value, pull.sub_(q.mul_(pull.sum(-1, keepdim=True))))


def skew_reverse(log_q: Tensor, log_p: Tensor, alpha: float) -> Slope:
    """KL(q, (1 - alpha) p + alpha q).

    Source: DistiLLM, Ko et al. 2024, arXiv:2402.03898, equation 4.
    """
    p, q = log_p.exp_(), log_q.exp()
    m = p.mul_(1 - alpha).add_(q, alpha=alpha)
    ratio = log_q.sub_(m.log().clamp_(min=LOWEST))
    value = _dot(q, ratio)
    slope = ratio.sub_(q.mul(alpha).div_(m.clamp_(min=1e-38)))
    mean = _dot(q, slope)
    return Slope(value, q.mul_(slope.sub_(mean[:, None])))


def tvd(log_q: Tensor, log_p: Tensor, _mixture: float = 0.0) -> Slope:
    """Half the sum of |p - q|: the total variation distance, bounded by 1."""
    q = log_q.exp_()
    gap = q.sub(log_p.exp_())
    value = gap.abs().sum(-1).mul_(0.5)
    sign = gap.sign_().mul_(0.5)
    mean = _dot(q, sign)
    return Slope(value, q.mul_(sign.sub_(mean[:, None])))


def _dot(left: Tensor, right: Tensor) -> Tensor:
    """Sum the products of two buffers along the last dimension, without a third buffer."""
    return (left[:, None, :] @ right[:, :, None])[:, 0, 0]


DIVERGENCES: dict[str, Callable[[Tensor, Tensor, float], Slope]] = {
    "forward_kl": forward_kl,
    "reverse_kl": reverse_kl,
    "jsd": jsd,
    "skew_forward": skew_forward,
    "skew_reverse": skew_reverse,
    "tvd": tvd,
    "soft_ce": soft_ce,
}
"""By the names of the `kd:` block; `logit_mse` compares logits and stands in `chunk_loss`."""
