"""The run variance of a study: mean squares, pooling, what is left out, and its range."""

import math

import numpy as np
import pytest
from scipy import stats

from cotdistill.errors import DataError
from cotdistill.stats.run_variance import RunVariance, Stratum, arm_spread, diverged


def test_noise_is_the_residual_of_a_least_squares_fit_of_runs_and_questions() -> None:
    generator = np.random.default_rng(1)
    scores = generator.random((3, 7))
    design = np.zeros((21, 10))
    for row, (run, question) in enumerate(np.ndindex(3, 7)):
        design[row, run] = design[row, 3 + question] = 1
    _, _, rank, _ = np.linalg.lstsq(design, scores.ravel())
    fitted = design @ np.linalg.lstsq(design, scores.ravel())[0]
    residual = float(((scores.ravel() - fitted) ** 2).sum()) / (21 - rank)
    found = arm_spread([scores])
    assert found.noise == pytest.approx(residual / 7)
    assert found.between == pytest.approx(np.var(scores.mean(axis=1), ddof=1))
    assert (found.runs, found.noise_freedom) == (3, 12)


def test_arms_count_by_their_degrees_of_freedom() -> None:
    generator = np.random.default_rng(2)
    two, four = arm_spread([generator.random((2, 9))]), arm_spread([generator.random((4, 9))])
    pooled = Stratum({"two": two, "four": four}).pooled
    assert pooled is not None
    assert pooled.freedom == 4
    assert pooled.between == pytest.approx((two.between + 3 * four.between) / 4)
    assert pooled.noise_freedom == 4 * 8
    assert Stratum({}).pooled is None


def test_arms_near_nothing_or_everything_are_left_out_while_others_are_there() -> None:
    generator = np.random.default_rng(3)
    middle = arm_spread([generator.binomial(1, 0.5, (3, 60)).astype(float)])
    full = arm_spread([generator.binomial(1, 0.99, (3, 60)).astype(float)])
    both = Stratum({"middle": middle, "full": full})
    assert both.left_out == ("full",)
    assert both.pooled == Stratum({"middle": middle}).pooled
    alone = Stratum({"full": full})
    assert alone.left_out == ()
    assert alone.pooled is not None


def test_the_range_of_the_run_deviation_is_that_of_a_chi_square() -> None:
    found = RunVariance(between=0.0005, noise=0.0001, freedom=6, noise_freedom=math.inf)
    low, high = found.sd_range()
    assert low == pytest.approx(math.sqrt(0.003 / stats.chi2.ppf(0.975, 6) - 0.0001))
    assert high == pytest.approx(math.sqrt(0.003 / stats.chi2.ppf(0.025, 6) - 0.0001))
    assert low < found.sd < high
    assert RunVariance(0.0001, 0.0004, 6, 60).sd == 0
    assert RunVariance(0.0, 0.0, 2, 60).sd_range() == (0, 0)


def test_a_run_clearly_under_half_of_its_siblings_is_named() -> None:
    assert diverged(runs_with(2, 55, 50)) == [0]
    assert diverged(runs_with(30, 50)) == []
    assert diverged(runs_with(0, 50)) == [0]
    assert diverged(runs_with()) == diverged(runs_with(0)) == diverged(runs_with(0, 0)) == []


@pytest.mark.parametrize(("low", "high"), [(0, 3), (1, 3), (2, 7)])
def test_half_of_few_right_answers_is_chance(low: int, high: int) -> None:
    assert diverged(runs_with(low, high)) == []


def runs_with(*right: int) -> np.ndarray:
    """Runs of 100 questions, of which each has so many right; not the same ones."""
    return np.array([np.roll([1.0] * count + [0.0] * (100 - count), count) for count in right])


def test_what_cannot_tell_runs_apart_is_refused() -> None:
    with pytest.raises(DataError, match=r"shape \(1, 4\).*two or more runs"):
        arm_spread([np.zeros((1, 4))])
    with pytest.raises(DataError, match=r"shape \(2, 4\), \(3, 4\)"):
        arm_spread([np.zeros((2, 4)), np.zeros((3, 4))])
    with pytest.raises(DataError, match="fewer than two questions"):
        arm_spread([np.zeros((2, 1))])
    with pytest.raises(DataError, match="none"):
        arm_spread([])
