"""Intervals: against closed forms, against scipy, and by simulation of their coverage."""

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

from cotdistill.errors import DataError
from cotdistill.stats.confidence import (
    Interval,
    cluster_interval,
    effective_sample_interval,
    no_spread_width,
    score_interval,
    wilson,
)


@pytest.mark.parametrize(("right", "questions"), [(0, 30), (18, 40), (15, 40), (30, 30), (7, 500)])
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_wilson_agrees_with_scipy(right: int, questions: int, confidence: float) -> None:
    theirs = stats.binomtest(right, questions).proportion_ci(confidence, method="wilson")
    ours = wilson(right, questions, confidence)
    assert ours.low == pytest.approx(theirs.low, abs=1e-12)
    assert ours.high == pytest.approx(theirs.high, abs=1e-12)


def test_a_score_of_nothing_is_refused() -> None:
    with pytest.raises(DataError, match="0 right of 0"):
        wilson(0, 0)
    with pytest.raises(DataError, match="0 values"):
        cluster_interval([])
    with pytest.raises(DataError, match="2 values"):
        cluster_interval([1.0, math.nan])


def test_drawing_equal_values_together_is_drawing_questions_one_by_one() -> None:
    generator = np.random.default_rng(3)
    values = generator.binomial(4, 0.6, size=60) / 4
    one_by_one = generator.choice(values, size=(20_000, 60)).mean(axis=1)
    t = stats.t.ppf(0.975, 59) * math.sqrt(60 / 59)
    expected = np.quantile(one_by_one, [stats.norm.cdf(-t), stats.norm.cdf(t)])
    found = cluster_interval(values.tolist(), draws=20_000)
    assert [found.low, found.high] == pytest.approx(expected.tolist(), abs=0.006)


def test_an_interval_is_the_same_every_time_and_shrinks_with_questions() -> None:
    few, many = ([0.0, 0.25, 1.0, 0.5] * times for times in (10, 40))
    assert cluster_interval(few) == cluster_interval(few)
    widths = [found.high - found.low for found in map(cluster_interval, (few, many))]
    assert widths[1] == pytest.approx(widths[0] / 2, rel=0.08)


def test_identical_repeats_do_not_narrow_the_interval() -> None:
    once = [1.0, 0.0, 0.0, 1.0, 1.0] * 8
    asked_four_times = [(value * 4) / 4 for value in once]
    assert score_interval(asked_four_times) == score_interval(once) == wilson(24, 40)


def test_a_difference_that_never_was_still_has_a_width() -> None:
    assert no_spread_width(40) == wilson(0, 40).high
    assert cluster_interval([0.0] * 40) == Interval(0.0, -wilson(0, 40).high, wilson(0, 40).high)


def test_a_score_stays_between_zero_and_one() -> None:
    found = score_interval([1.0] * 29 + [0.5])
    assert 0 < found.low < found.value < found.high <= 1


def test_few_questions_with_several_answers_get_the_exact_interval_of_their_worth() -> None:
    """Worked by hand: 10 questions of 16 answers, worth 9.78 independent answers."""
    values = [right / 16 for right in (0, 0, 0, 1, 2, 5, 9, 14, 16, 16)]
    found = score_interval(values, answers=16)
    assert found == effective_sample_interval(values, 16)
    assert [found.value, found.low, found.high] == pytest.approx(
        [0.39375, 0.115515, 0.736152], abs=6e-7
    )
    mean, se = np.mean(values), stats.sem(values)
    t = stats.t.ppf(0.975, 9)
    worth = mean * (1 - mean) / se**2 * (stats.norm.ppf(0.975) / t) ** 2
    assert worth == pytest.approx(9.781154, abs=6e-7)
    bounds = (
        stats.beta.ppf(0.025, mean * worth, worth - mean * worth + 1),
        stats.beta.ppf(0.975, mean * worth + 1, worth - mean * worth),
    )
    assert [found.low, found.high] == pytest.approx(list(bounds))


def test_answers_are_worth_no_more_than_their_number() -> None:
    """Questions of equal difficulty: the spread by chance is too small, the count is the bound."""
    values = [0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.75]
    found = score_interval(values, answers=4)
    theirs = stats.binomtest(17, 32).proportion_ci(method="exact")
    assert [found.low, found.high] == pytest.approx([theirs.low, theirs.high])


def test_many_questions_one_answer_or_no_spread_keep_their_interval() -> None:
    assert score_interval([0.0, 0.5, 1.0] * 40, answers=2) == cluster_interval([0.0, 0.5, 1.0] * 40)
    assert score_interval([0.0, 1.0] * 20, answers=16) == wilson(20, 40)
    equal = score_interval([0.5] * 30, answers=2)
    assert equal.high - equal.value == pytest.approx(no_spread_width(30))
    with pytest.raises(DataError, match="3 values without spread"):
        effective_sample_interval([0.5] * 3, 2)


@pytest.mark.parametrize("average", [-4.0, 0.5])
def test_the_exact_interval_covers_also_near_zero(average: float) -> None:
    """30 questions, 16 answers each, difficulties logit-normal: a score near 0.09 or 0.55."""
    generator = np.random.default_rng(int(10 * average) % 97)
    true = float(np.mean(1 / (1 + np.exp(-generator.normal(average, 2.5, 400_000)))))
    rounds, covered = 600, 0
    for _ in range(rounds):
        chance = 1 / (1 + np.exp(-generator.normal(average, 2.5, 30)))
        found = score_interval((generator.binomial(16, chance) / 16).tolist(), answers=16)
        covered += found.low <= true <= found.high
    assert covered / rounds >= 0.915


@pytest.mark.parametrize(("questions", "repeats"), [(30, 1), (40, 4), (500, 16)])
def test_coverage_by_simulation(questions: int, repeats: int) -> None:
    """Questions differ in difficulty (Beta), answers to one question do not repeat by chance."""
    generator = np.random.default_rng(questions + repeats)
    rounds, covered = 800, 0
    for number in range(rounds):
        chance = generator.beta(1.5, 1.5, size=questions)
        values = generator.binomial(repeats, chance) / repeats
        found = (
            score_interval(values.tolist())
            if repeats == 1
            else cluster_interval(values.tolist(), seed=number, draws=2_000)
        )
        covered += found.low <= 0.5 <= found.high
    assert 0.93 <= covered / rounds <= 0.975, covered / rounds


def test_bounds_are_ordered_for_every_count() -> None:
    found = [wilson(right, 40) for right in range(41)]
    assert all(a.low < b.low and a.high < b.high for a, b in pairwise(found[1:-1]))
    assert (found[0].low, found[-1].high) == (0.0, 1.0)
