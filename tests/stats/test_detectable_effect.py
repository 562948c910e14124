"""The effect a study can show: against the non-central t distribution and by simulation."""

import math

import pytest
from scipy import optimize, stats

from cotdistill.errors import DataError
from cotdistill.stats.crossed_test import degrees_of_freedom
from cotdistill.stats.detectable_effect import (
    Components,
    Design,
    alternatives,
    detectable_effect,
)

GIVEN = Components(arm_question=0.004, run_question=0.0, answer=0.08)


@pytest.mark.parametrize(
    ("questions", "seeds", "freedom", "expected", "exact"),
    [(500, 2, 6.339189, 0.079622, 0.079915), (1319, 3, 12.475908, 0.053815, 0.053833)],
)
def test_the_effect_is_that_of_the_non_central_t_distribution(
    questions: int, seeds: int, freedom: float, expected: float, exact: float
) -> None:
    found = detectable_effect(Design(questions, 1, seeds, 6), 0.02, components=GIVEN)
    assert found == pytest.approx(expected, abs=6e-7)
    share, noise = 2 / seeds, 0.08 / questions
    vq = 2 * 0.004 / questions + share * noise
    runs = 6 * (seeds - 1)
    parts = (
        (vq, questions - 1),
        (share * (0.0004 + noise), runs),
        (share * noise, runs * (questions - 1)),
    )
    assert degrees_of_freedom(*parts) == pytest.approx(freedom, abs=6e-7)
    sd, limit = math.sqrt(vq + share * 0.0004), stats.t.ppf(0.975, freedom)
    solved = optimize.brentq(lambda d: stats.nct.sf(limit, freedom, d / sd) - 0.8, 0.01, 0.2)
    assert solved == pytest.approx(exact, abs=6e-7)
    assert found == pytest.approx(solved, rel=0.005)


@pytest.mark.parametrize(
    ("questions", "answers", "seeds", "points"),
    [
        (40, 1, 2, (21, 22, 22, 25)),
        (40, 16, 3, (7.9, 8.2, 9.2, 13)),
        (500, 1, 1, (7.2, 8.0, 10.5, 17)),
        (500, 1, 2, (6.1, 6.7, 8.9, 15)),
        (500, 4, 3, (3.0, 3.7, 5.7, 10)),
        (1319, 1, 5, (2.3, 2.8, 4.2, 7.7)),
    ],
)
def test_points_that_six_arms_can_show_at_half_to_four_points_of_run_deviation(
    questions: int, answers: int, seeds: int, points: tuple[float, ...]
) -> None:
    found = [
        100 * detectable_effect(Design(questions, answers, seeds, 6), sd)
        for sd in (0.005, 0.01, 0.02, 0.04)
    ]
    assert found == pytest.approx(points, rel=0.035)


def test_more_of_anything_helps_and_more_comparisons_cost() -> None:
    design = Design(questions=500, answers=1, seeds=2, arms=6)
    now = detectable_effect(design, 0.01)
    for better in alternatives(design).values():
        assert detectable_effect(better, 0.01) < now
    assert detectable_effect(design, 0.01, tests=5) > now
    assert list(alternatives(design)) == ["4 answers", "one more seed", "twice the questions"]
    assert "16 answers" in alternatives(Design(40, 4, 2, 6))
    assert len(alternatives(Design(500, 4, 2, 6))) == 2


def test_no_number_of_questions_replaces_a_seed() -> None:
    huge = Design(questions=10**9, answers=1, seeds=3, arms=6)
    assert 100 * detectable_effect(huge, 0.02) == pytest.approx(5.0, abs=0.05)


def test_an_impossible_design_is_refused() -> None:
    with pytest.raises(DataError, match="two questions and arms"):
        detectable_effect(Design(1, 1, 2, 6), 0.01)
