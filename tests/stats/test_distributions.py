"""Distributions with fractional degrees of freedom: against scipy, mpmath and tabled values."""

import math

import mpmath
import pytest
from scipy import stats

from cotdistill.errors import DataError
from cotdistill.stats.distributions import (
    beta_quantile,
    chi_square_quantile,
    f_quantile,
    t_quantile,
    t_two_sided,
)

FREEDOMS = [0.5, 1, 1.3, 2, 2.5, 6.339189, 7.3, 39, 499, 1318, 99_999, 5e6, 1e9]


@pytest.mark.parametrize("freedom", FREEDOMS)
@pytest.mark.parametrize("t", [0.0, 0.001, 0.7, 2.0, 12.7, 40.0])
def test_the_tails_of_t_agree_with_scipy(freedom: float, t: float) -> None:
    expected = 2 * stats.t.sf(t, freedom)
    precision = 1e-9 if freedom <= 1e7 else 1e-5
    assert t_two_sided(t, freedom) == pytest.approx(expected, rel=precision, abs=1e-200)
    assert t_two_sided(-t, freedom) == t_two_sided(t, freedom)


def test_tails_where_the_fraction_changes_sides_are_as_exact_as_others() -> None:
    for freedom in [*range(1, 400), 1318, 1998]:
        t = math.sqrt(1.5 * freedom / (freedom / 2 + 1))
        for near in (t, math.nextafter(t, 0), math.nextafter(t, 9), t * (1 + 1e-12)):
            expected = 2 * stats.t.sf(near, freedom)
            assert t_two_sided(near, freedom) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("freedom", "t"), [(1, 12.7), (2.5, 3.0), (7.3, 2.0), (2999.5, 1.1)])
def test_the_tails_of_t_agree_with_the_incomplete_beta_function_of_mpmath(
    freedom: float, t: float
) -> None:
    expected = mpmath.betainc(
        mpmath.mpf(freedom) / 2, 0.5, 0, freedom / (freedom + mpmath.mpf(t) ** 2), regularized=True
    )
    assert t_two_sided(t, freedom) == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.parametrize("freedom", FREEDOMS)
@pytest.mark.parametrize("probability", [1e-6, 0.025, 0.4, 0.5, 0.8, 0.975, 0.9999])
def test_quantiles_of_t_agree_with_scipy(freedom: float, probability: float) -> None:
    expected = stats.t.ppf(probability, freedom)
    assert t_quantile(probability, freedom) == pytest.approx(expected, rel=1e-7, abs=1e-12)


def test_known_values_of_t() -> None:
    tails = [t_two_sided(12.706204736, 1), t_two_sided(3, 2.5), t_two_sided(2, 7.3)]
    assert tails == pytest.approx([0.05, 0.072576, 0.083941], abs=5e-7)
    quantiles = [t_quantile(0.975, 2.5), t_quantile(0.975, 7.3)]
    assert quantiles == pytest.approx([3.574655, 2.345067], abs=5e-7)


@pytest.mark.parametrize("probability", [1e-6, 0.025, 0.5, 0.8, 0.975])
@pytest.mark.parametrize("one", [1, 2, 3.5, 12, 100, 1000])
@pytest.mark.parametrize("two", [1, 5, 30])
def test_other_quantiles_agree_with_scipy(probability: float, one: float, two: float) -> None:
    pairs = [
        (chi_square_quantile(probability, one), stats.chi2.ppf(probability, one)),
        (f_quantile(probability, one, two), stats.f.ppf(probability, one, two)),
        (beta_quantile(probability, one, two), stats.beta.ppf(probability, one, two)),
    ]
    for ours, theirs in pairs:
        assert ours == pytest.approx(theirs, rel=1e-9)


def test_what_is_no_distribution_or_probability_is_refused() -> None:
    with pytest.raises(DataError, match="freedom of 0; expected a positive number"):
        t_two_sided(1.0, 0)
    with pytest.raises(DataError, match="freedom of nan"):
        t_quantile(0.9, math.nan)
    with pytest.raises(DataError, match=r"probability of 1; expected 0 < p < 1"):
        t_quantile(1, 3)
    with pytest.raises(DataError, match="b of -1"):
        beta_quantile(0.5, 1, -1)
