"""Student's t, F, chi-square and beta distributions, with fractional degrees of freedom.

The tests of this package estimate their degrees of freedom, which are then rarely whole, and are
often few: at one degree of freedom the usual expansion around the normal distribution is off by
11 %. Everything here rests on the incomplete beta and gamma functions; agreement with mpmath and
scipy to 10 digits is tested. scipy itself stays a development dependency.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from statistics import NormalDist

from cotdistill.errors import DataError, Fault

_NORMAL = NormalDist()
_TINY = 1e-300
_PRECISION = 1e-15
_MOST_TERMS = 20_000
_LARGE = 1e7  # degrees of freedom from which the t distribution is the normal one to 7 digits


def t_two_sided(t: float, freedom: float) -> float:
    """Return the chance that Student's t is at least this far from zero, on either side.

    Source: DLMF 8.17, incomplete beta function by its continued fraction.

    Raises:
        DataError: the degrees of freedom are not positive.

    >>> round(t_two_sided(12.706204736, 1), 6), round(t_two_sided(3, 2.5), 6)
    (0.05, 0.072576)
    """
    _check_positive(freedom=freedom)
    if math.isinf(t):
        return 0.0
    if freedom > _LARGE:
        return math.erfc(abs(t) / math.sqrt(2))
    square = t * t
    below, above = freedom / (freedom + square), square / (freedom + square)
    return _incomplete_beta(freedom / 2, 0.5, below, above)


@lru_cache(maxsize=4096)
def t_quantile(probability: float, freedom: float) -> float:
    """Return the quantile of Student's t distribution.

    Raises:
        DataError: the probability is not between 0 and 1, or the degrees of freedom not positive.

    >>> round(t_quantile(0.975, 1), 4), round(t_quantile(0.975, 2.5), 4)
    (12.7062, 3.5747)
    """
    _check_probability(probability)
    _check_positive(freedom=freedom)
    if probability == 0.5:
        return 0.0
    tails = 2 * min(probability, 1 - probability)
    start = -_NORMAL.inv_cdf(tails / 2)
    if freedom > _LARGE:
        size = start
    else:
        high = start  # t has heavier tails than the normal distribution
        while t_two_sided(high, freedom) > tails:
            high *= 2
        size = _root(lambda t: tails - t_two_sided(t, freedom), 0.0, high)
    return math.copysign(size, probability - 0.5)


@lru_cache(maxsize=4096)
def f_quantile(probability: float, numerator: float, denominator: float) -> float:
    """Return the quantile of the F distribution with so many degrees of freedom.

    Raises:
        DataError: the probability is not between 0 and 1, or degrees of freedom not positive.

    >>> round(f_quantile(0.8, 1, 1), 4)
    9.4721
    """
    _check_positive(numerator=numerator, denominator=denominator)
    share = beta_quantile(probability, numerator / 2, denominator / 2)
    return math.inf if share == 1 else share * denominator / (numerator * (1 - share))


def chi_square_quantile(probability: float, freedom: float) -> float:
    """Return the quantile of the chi-square distribution.

    Raises:
        DataError: the probability is not between 0 and 1, or the degrees of freedom not positive.

    >>> round(chi_square_quantile(0.975, 6), 4)
    14.4494
    """
    _check_probability(probability)
    _check_positive(freedom=freedom)
    high = freedom
    while _incomplete_gamma(freedom / 2, high / 2) < probability:
        high *= 2
    return _root(lambda x: _incomplete_gamma(freedom / 2, x / 2) - probability, 0.0, high)


def beta_quantile(probability: float, a: float, b: float) -> float:
    """Return the quantile of the beta distribution.

    Raises:
        DataError: the probability is not between 0 and 1, or a parameter is not positive.

    >>> round(beta_quantile(0.025, 3, 8), 4)
    0.0667
    """
    _check_probability(probability)
    _check_positive(a=a, b=b)
    return _root(lambda x: _incomplete_beta(a, b, x, 1 - x) - probability, 0.0, 1.0)


def _incomplete_beta(a: float, b: float, x: float, rest: float) -> float:
    """Return the regularised incomplete beta function; `rest` is 1 - x, given for precision."""
    if x <= 0 or rest <= 0:
        return 0.0 if x <= 0 else 1.0
    if x > (a + 1) / (a + b + 2):
        return 1.0 - _left_tail(b, a, rest, x)
    return _left_tail(a, b, x, rest)


def _left_tail(a: float, b: float, x: float, rest: float) -> float:
    log_front = a * _log(x, rest) + b * _log(rest, x) - _log_beta(a, b)
    return math.exp(log_front) / a / _beta_fraction(a, b, x)


def _log(x: float, rest: float) -> float:
    return math.log(x) if x < 0.5 else math.log1p(-rest)


def _log_beta(a: float, b: float) -> float:
    """Return the logarithm of the beta function; no difference of two huge numbers."""
    small, large = min(a, b), max(a, b)
    if large < 100:
        return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
    return math.lgamma(small) - _log_gamma_ratio(large, small)


def _log_gamma_ratio(x: float, step: float) -> float:
    """Return log(gamma(x + step) / gamma(x)) for a large x, by Stirling's series."""
    end = x + step
    series = _stirling_rest(end) - _stirling_rest(x)
    return (x - 0.5) * math.log1p(step / x) + step * math.log(end) - step + series


def _stirling_rest(x: float) -> float:
    return 1 / (12 * x) - 1 / (360 * x**3) + 1 / (1260 * x**5)


def _beta_fraction(a: float, b: float, x: float) -> float:
    """Evaluate DLMF 8.17.22 by the modified Lentz algorithm (Numerical Recipes, 3rd ed., 6.4)."""
    value = c = 1.0
    d = 0.0
    for term in range(1, _MOST_TERMS):
        m = term // 2
        if term % 2:
            factor = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            factor = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d = 1.0 / _not_zero(1.0 + factor * d)
        c = _not_zero(1.0 + factor / c)
        value *= c * d
        if abs(c * d - 1.0) < _PRECISION:
            break
    return value


def _incomplete_gamma(a: float, x: float) -> float:
    """Return the regularised lower incomplete gamma function, DLMF 8.11.4 and 8.9.2."""
    if x <= 0:
        return 0.0
    front = math.exp(a * math.log(x) - x - math.lgamma(a))
    if x < a + 1:
        total = term = 1.0 / a
        for count in range(1, _MOST_TERMS):
            term *= x / (a + count)
            total += term
            if term < total * _PRECISION:
                break
        return front * total
    b = x + 1.0 - a
    c, d = 1.0 / _TINY, 1.0 / b
    value = d
    for count in range(1, _MOST_TERMS):
        factor = -count * (count - a)
        b += 2.0
        d = 1.0 / _not_zero(factor * d + b)
        c = _not_zero(b + factor / c)
        value *= c * d
        if abs(c * d - 1.0) < _PRECISION:
            break
    return 1.0 - front * value


def _not_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    """Return where an increasing function crosses zero: inverse quadratic steps, else bisection.

    Source: Chandrupatla 1997, doi:10.1016/s0965-9978(96)00051-8.
    """
    a, b = high, low
    value_a, value_b = function(a), function(b)
    share = 0.5
    for _ in range(200):
        point = a + share * (b - a)
        value = function(point)
        if (value > 0) == (value_a > 0):
            c, value_c = a, value_a
        else:
            c, value_c = b, value_b
            b, value_b = a, value_a
        a, value_a = point, value
        best = a if abs(value_a) < abs(value_b) else b
        tolerance = 1e-14 * abs(best) / max(abs(b - c), _TINY)
        if tolerance > 0.5 or value == 0:
            return best
        x, y = (a - b) / (c - b), (value_a - value_b) / (value_c - value_b)
        if y * y < x and (1 - y) ** 2 < 1 - x:
            share = value_a / (value_b - value_a) * value_c / (value_b - value_c)
            share += (
                (c - a) / (b - a) * value_a / (value_c - value_a) * value_b / (value_c - value_b)
            )
        else:
            share = 0.5
        share = min(1 - tolerance, max(tolerance, share))
    return best


def _check_probability(probability: float) -> None:
    if not 0 < probability < 1:
        raise DataError(Fault("quantile", f"a probability of {probability}", "0 < p < 1"))


def _check_positive(**parameters: float) -> None:
    for name, value in parameters.items():
        if not value > 0:
            raise DataError(Fault("distribution", f"{name} of {value}", "a positive number"))
