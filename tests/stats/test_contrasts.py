"""Contrasts of arm means: one worked out by hand, and the same test as for two arms."""

import math
from dataclasses import replace

import numpy as np
import pytest

from cotdistill.errors import DataError
from cotdistill.stats.confidence import no_spread_width
from cotdistill.stats.contrasts import WeightedArm, contrast
from cotdistill.stats.crossed_test import compare_arms
from cotdistill.stats.distributions import t_quantile, t_two_sided
from cotdistill.stats.run_variance import Stratum, arm_spread


def rows(*runs: str) -> np.ndarray:
    return np.array([[float(digit) for digit in run] for run in runs])


A = rows("11010010", "11000010")
B = rows("11111010", "11011110")
C = rows("11110000", "11111110")
POOL = Stratum({name: arm_spread([table]) for name, table in [("a", A), ("b", B), ("c", C)]})


def weighted(weights: dict[str, float], pool: Stratum = POOL) -> list[WeightedArm]:
    tables = {"a": A, "b": B, "c": C}
    return [WeightedArm(weight, name, tables[name], pool) for name, weight in weights.items()]


def test_c_against_the_mean_of_a_and_b_worked_out_by_hand() -> None:
    """The third arm's mean less that of the first two, as one value of a factor against the others.

    By question, the means over two runs are
        a  1    1    0    .5   0    0    1    0
        b  1    1    .5   1    1    .5   1    0
        c  1    1    1    1    .5   .5   .5   0
    so c - (a + b)/2 is
           0    0    .75  .25  0    .25  -.5  0     with the sum .75 and D = .75/8 = .09375.
    Their squares sum to .5625 + .0625 + .0625 + .25 = .9375, so that
        s² = (.9375 - 8 × .09375²)/7 = (.9375 - .0703125)/7 = .8671875/7,  Vq = s²/8 = .0154855...
    The run means are a 4/8, 3/8; b 6/8, 6/8; c 4/8, 7/8: variances 1/128, 0, 9/128, so b = 10/384.
    Residuals (runs × questions, doubly centred): with two runs they are half the difference of the
    runs less its mean, squared, twice. Differences of a: one 1, seven 0: sum of squares
    (1 - 1/8)/2 = 7/16; of b: +1, -1 and six 0: 2/2 = 1; of c: three -1: (3 - 9/8)/2 = 15/16. Each
    over 7 degrees of freedom: e = (7/16 + 1 + 15/16)/21 = 2.375/21.
    h = (1² + .5² + .5²)/2 = .75.
    """
    always_pooled = replace(POOL, cautious=False)
    found = contrast(weighted({"a": -0.5, "b": -0.5, "c": 1.0}, always_pooled))
    question_part = 0.8671875 / 56
    between, noise = 10 / 384, 2.375 / 21 / 8
    variance = question_part + 0.75 * (between - noise)
    freedom = variance**2 / (
        question_part**2 / 7 + (0.75 * between) ** 2 / 3 + (0.75 * noise) ** 2 / 21
    )
    assert freedom > 3  # so it is not raised to that of the runs
    t = 0.09375 / math.sqrt(variance)
    half = t_quantile(0.975, freedom) * math.sqrt(variance)
    assert found.claim == "arms"
    assert found.questions == 8
    assert found.estimate.value == pytest.approx(0.09375, abs=1e-12)
    assert found.estimate.variance == pytest.approx(variance, rel=1e-12)
    assert found.estimate.freedom == pytest.approx(freedom, rel=1e-12)
    assert found.p == pytest.approx(t_two_sided(t, freedom), rel=1e-9)
    assert (found.interval.low, found.interval.high) == pytest.approx(
        (0.09375 - half, 0.09375 + half), rel=1e-9
    )
    assert round(variance, 6) == 0.024414
    # c's runs vary more than the others', so by default its own variance, 9/128, counts for it
    cautious = contrast(weighted({"a": -0.5, "b": -0.5, "c": 1.0}))
    own = question_part + (9 / 128 - noise) / 2 + 0.25 * (between - noise)
    assert cautious.estimate.variance == pytest.approx(own, rel=1e-12)


def test_two_arms_with_the_weights_one_and_minus_one_are_the_test_of_a_difference() -> None:
    found = contrast(weighted({"a": -1.0, "b": 1.0}))
    same = compare_arms([A], [B], POOL, names=("a", "b"))
    assert found.p == pytest.approx(same.p)
    assert found.interval.low == pytest.approx(same.difference.low)
    assert found.estimate.freedom == pytest.approx(same.estimate.freedom)


def test_arms_of_two_students_count_the_run_variance_of_each() -> None:
    other = Stratum({"a": arm_spread([B]), "b": arm_spread([B])})  # runs of it do not vary
    arms = [
        WeightedArm(1.0, "a", A, POOL),
        WeightedArm(-1.0, "b", B, POOL),
        WeightedArm(-1.0, "a", B, other),
        WeightedArm(1.0, "b", B, other),
    ]
    found = contrast(arms)
    pooled = POOL.pooled
    assert pooled is not None
    run_part = (1 / 2 + 1 / 2) * pooled.variance
    sums = A.mean(axis=0) - B.mean(axis=0)
    assert found.estimate.variance == pytest.approx(sums.var(ddof=1) / 8 + run_part)
    assert found.interval.low >= -2


def test_without_any_second_run_a_contrast_is_about_the_models() -> None:
    one = Stratum({})
    arms = [
        WeightedArm(1.0, "a", A[:1], one),
        WeightedArm(-0.5, "b", B[:1], one),
        WeightedArm(-0.5, "c", C[:1], one),
    ]
    found = contrast(arms)
    assert found.claim == "models"
    assert found.estimate.run_part == 0
    declared = contrast(arms, declared_sd=0.02)
    assert declared.claim == "arms"
    added = 1.5 * 0.02**2
    assert declared.estimate.variance == pytest.approx(found.estimate.variance + added)


def test_a_model_that_was_not_trained_adds_no_run_variance() -> None:
    untouched = WeightedArm(-1.0, "u", A[:1], POOL, trained=False)
    found = contrast([untouched, WeightedArm(1.0, "b", B, POOL)])
    pooled = POOL.pooled
    assert pooled is not None
    gaps = B.mean(axis=0) - A[0]
    assert found.claim == "arms"
    assert found.estimate.variance == pytest.approx(gaps.var(ddof=1) / 8 + pooled.variance / 2)
    same = compare_arms([A[:1]], [B], POOL, names=("u", "b"), trained=(False, True))
    assert same.p == pytest.approx(found.p)


def test_an_interval_is_no_wider_than_what_the_sum_can_be() -> None:
    mean = contrast(weighted({"a": 0.5, "b": 0.5}))
    assert 0 <= mean.interval.low < mean.interval.high <= 1
    few = rows("10")
    alone = contrast([WeightedArm(1.0, "a", few, Stratum({}))])
    assert (alone.interval.low, alone.interval.high) == (0, 1)
    single = contrast([WeightedArm(1.0, "a", rows("1"), Stratum({}))])
    assert (single.p, single.interval.low, single.interval.high) == (None, 0, 1)
    constant = contrast([WeightedArm(1.0, "a", rows("11111111"), Stratum({}))])
    assert constant.interval.low == pytest.approx(1 - no_spread_width(8))


def test_arms_with_other_questions_are_refused() -> None:
    with pytest.raises(DataError, match=r"scores of shape \(2, 8\), \(1, 2\)"):
        contrast([WeightedArm(1.0, "a", A, POOL), WeightedArm(-1.0, "b", rows("10"), POOL)])
    with pytest.raises(DataError, match="none"):
        contrast([])
