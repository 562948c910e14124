"""Two arms with several random seeds: cases computed by two other ways, edge cases, simulation.

Rows of a case are runs, digits are questions. The expected values come from mean squares with
scipy's t distribution and, independently, from least-squares projections with a 30-digit incomplete
beta function; both agree to 6 digits.
"""

import math
from collections.abc import Mapping

import numpy as np
import pytest
from scipy import stats

from cotdistill.errors import DataError
from cotdistill.stats.confidence import no_spread_width, score_interval
from cotdistill.stats.crossed_test import (
    Estimate,
    arm_score,
    compare_arms,
    degrees_of_freedom,
)
from cotdistill.stats.detectable_effect import Components, Design, detectable_effect
from cotdistill.stats.run_variance import Stratum, arm_spread
from cotdistill.stats.significance import mcnemar


def runs(text: str) -> np.ndarray:
    return np.array([[int(digit) for digit in row] for row in text.split("/")], dtype=float)


A = runs("11010010/11000010")
B = runs("11111010/11011110")
C = runs("11110000/11111110")


def stratum(**arms: np.ndarray) -> Stratum:
    return Stratum({name: arm_spread([table]) for name, table in arms.items()})


def close(*values: float) -> object:
    return pytest.approx(list(values), abs=6e-7)


def test_a_run_variance_below_the_noise_of_questions_adds_nothing() -> None:
    found = compare_arms([A], [B], stratum(first=A, second=B))
    assert found.run_variance is not None
    assert [found.run_variance.between, found.run_variance.noise * 8] == close(0.003906, 0.102679)
    assert [found.estimate.value, found.estimate.variance] == close(0.3125, 0.017299)
    assert [found.p, found.estimate.freedom] == close(0.049174, 7)
    assert [found.difference.low, found.difference.high] == close(0.00149, 0.62351)
    assert (found.claim, found.estimate.run_part) == ("arms", 0)


def test_runs_that_differ_on_one_question_have_no_run_variance_whatever_the_rounding() -> None:
    """The variance between runs is then the noise of the questions, to the last digit."""
    for questions in range(20, 60):
        one, two = np.zeros((2, questions)), np.zeros((2, questions))
        one[:, :5], two[:, 3:12] = 1, 1
        one[1, 0] = two[1, 11] = 0
        found = compare_arms([one], [two], stratum(first=one, second=two))
        assert found.run_variance is not None
        assert (found.run_variance.sd, found.estimate.run_part) == (0, 0)
        assert found.estimate.freedom == pytest.approx(questions - 1)
        error = math.sqrt((two.mean(axis=0) - one.mean(axis=0)).var(ddof=1) / questions)
        by_scipy = 2 * stats.t.sf(found.estimate.value / error, questions - 1)
        assert found.p == pytest.approx(by_scipy)


def test_a_third_arm_of_the_study_tells_how_far_runs_vary() -> None:
    found = compare_arms([A], [B], stratum(first=A, second=B, other=C))
    assert found.run_variance is not None
    pooled = found.run_variance
    expected = close(0.026042, 0.113095, 0.011905)
    assert [pooled.between, pooled.noise * 8, pooled.variance] == expected
    assert [found.estimate.variance, found.estimate.freedom] == close(0.029204, 3.06429)
    assert found.p == pytest.approx(0.162959, abs=6e-7)
    assert [found.estimate.interval().low, found.estimate.interval().high] == close(
        -0.224954, 0.849954
    )
    assert found.unstable == ()


def test_one_seed_each_is_a_claim_about_these_models_only() -> None:
    found = compare_arms([A[:1]], [B[:1]], Stratum({}))
    assert (found.claim, found.test, found.p) == ("models", "McNemar", mcnemar(0, 2))
    assert (mcnemar(0, 2), mcnemar(1, 3)) == (0.5, 0.625)
    assert [found.estimate.value, found.estimate.variance] == close(0.25, 0.026786)
    assert [found.estimate.freedom, found.estimate.p] == close(7, 0.170471)
    assert [found.difference.low, found.difference.high] == close(-0.137002, 0.637002)
    assert not found.differs(1e-9)


def test_a_declared_run_deviation_makes_one_seed_speak_of_the_arms() -> None:
    found = compare_arms([A[:1]], [B[:1]], Stratum({}), declared_sd=0.02)
    assert [found.estimate.variance, found.estimate.freedom] == close(0.027586, 7.424377)
    assert [found.p, found.difference.low, found.difference.high] == close(
        0.173569, -0.138234, 0.638234
    )
    assert (found.claim, found.declared_sd, found.break_even_sd) == ("arms", 0.02, None)


def test_arms_may_have_different_numbers_of_seeds() -> None:
    three = np.vstack([B, runs("11111011")])
    found = compare_arms([A[:1]], [three], stratum(second=three))
    assert [found.estimate.value, found.estimate.variance] == close(0.291667, 0.017609)
    assert [found.p, found.estimate.freedom] == close(0.063924, 7)
    assert [found.difference.low, found.difference.high] == close(-0.022118, 0.605451)
    assert found.runs == (1, 3)


def test_few_degrees_of_freedom_are_raised_to_those_of_the_runs() -> None:
    found = compare_arms([A[:1]], [B[:1]], stratum(other=C))
    assert [found.estimate.variance, found.p] == close(0.133929, 0.618465)
    assert found.estimate.freedom == 1
    uncut = found.estimate.interval()
    assert [uncut.low, uncut.high] == pytest.approx([-4.399995, 4.899995], abs=2e-6)
    assert (found.difference.low, found.difference.high) == (-1, 1)


def test_degrees_of_freedom_of_large_studies() -> None:
    small = (0.05, 0.00012, 500, 0.0005, 6, 1.0), (0.00046, 0.05854, -0.00248, 0.10248)
    large = (0.045, 0.00004, 1319, 0.00046, 12, 2 / 3), (0.000306, 0.024478, 0.006872, 0.083128)
    for (value, vq, n, between, freedom, h), expected in (small, large):
        noise = 0.08 / n
        variance = vq + h * (between - noise)
        parts = ((vq, n - 1), (h * between, freedom), (h * noise, freedom * (n - 1)))
        estimate = Estimate(value, variance, degrees_of_freedom(*parts))
        assert estimate.freedom == freedom
        bounds = estimate.interval()
        assert [variance, estimate.p, bounds.low, bounds.high] == close(*expected)


def test_a_mean_over_tasks_takes_the_run_variance_of_the_mean() -> None:
    first, second = [A, runs("1010/1000")], [B, runs("1110/1011")]
    spreads = {"first": arm_spread(first), "second": arm_spread(second)}
    found = compare_arms(first, second, Stratum(spreads))
    assert [found.estimate.value, found.estimate.variance] == close(0.34375, 0.008231)
    assert [found.estimate.freedom, found.p] == close(8.732648, 0.004531)
    assert [found.difference.low, found.difference.high] == close(0.137554, 0.549946)
    first = [A, runs("1110/1000")]
    spreads = {"first": arm_spread(first), "second": arm_spread(second)}
    found = compare_arms(first, second, Stratum(spreads))
    assert [found.estimate.value, found.estimate.variance] == close(0.28125, 0.015113)
    assert [found.estimate.freedom, found.p] == close(2, 0.149399)
    assert [found.difference.low, found.difference.high] == close(-0.247705, 0.810205)


def test_weights_say_how_much_a_task_counts() -> None:
    first, second = [A, runs("1010/1000")], [B, runs("1110/1011")]
    alone = compare_arms([A], [B], stratum(first=A, second=B))
    spreads = {
        "first": arm_spread(first, [1.0, 0.0]),
        "second": arm_spread(second, [1.0, 0.0]),
    }
    found = compare_arms(first, second, Stratum(spreads), weights=[1.0, 0.0])
    assert found.estimate == pytest.approx(alone.estimate)
    with pytest.raises(DataError, match="one weight a task, together one"):
        compare_arms(first, second, Stratum({}), weights=[1.0, 1.0])


def test_permuting_runs_between_arms_agrees_in_direction() -> None:
    """Five seeds each, scores only: 2 of the 252 ways to deal them out are as far apart."""
    first, second = [50, 52, 51, 49, 53], [55, 56, 54, 57, 58]
    test = stats.permutation_test(
        (first, second), lambda x, y: sum(x) - sum(y), permutation_type="independent"
    )
    assert test.pvalue == pytest.approx(0.007937, abs=6e-7)


def test_equal_gaps_on_all_questions_leave_the_runs_to_tell() -> None:
    first, second = np.zeros((1, 8)), np.full((1, 8), 0.25)
    spread = arm_spread([np.repeat([[0.2], [0.4], [0.9]], 8, axis=1)])
    found = compare_arms([first], [second], Stratum({"other": spread}))
    assert found.estimate.freedom == 2
    assert found.estimate.variance == pytest.approx(2 * spread.between)
    assert found.estimate.run_part == 1
    nothing_varies = arm_spread([np.tile([1.0, 0.0, 1.0, 0.0], (2, 2))])
    found = compare_arms([first], [second], Stratum({"other": nothing_varies}))
    assert (found.claim, found.p) == ("arms", None)
    width = no_spread_width(8)
    assert [found.difference.low, found.difference.high] == close(0.25 - width, 0.25 + width)
    assert not found.differs(found.p)


def test_one_question_is_no_test_and_five_are_never_marked() -> None:
    one = compare_arms([A[:, :1]], [B[:, :1]], stratum(other=C))
    assert (one.test, one.p, one.difference.low, one.difference.high) == ("none", None, -1, 1)
    still = np.tile([1.0, 0.0, 1.0, 1.0], (2, 2))
    gaps = np.array([0.9, 0.8, 0.95, 0.9, 0.85])
    five = compare_arms([np.zeros((1, 5))], [gaps[None]], Stratum({"other": arm_spread([still])}))
    assert five.p is not None
    assert five.p < 0.001
    assert not five.differs(five.p)
    with pytest.raises(DataError, match="the same questions of the same tasks"):
        compare_arms([A], [B[:, :7]], Stratum({}))
    with pytest.raises(DataError, match="the same questions of the same tasks"):
        compare_arms([A[:, :0]], [B[:, :0]], Stratum({}))


def test_declaring_the_break_even_deviation_just_undoes_the_finding() -> None:
    generator = np.random.default_rng(4)
    first = generator.binomial(1, 0.4, (1, 300)).astype(float)
    second = np.clip(first + generator.binomial(1, 0.1, (1, 300)), 0, 1)
    found = compare_arms([first], [second], Stratum({}))
    assert found.p is not None
    assert found.p < 0.05
    assert found.break_even_sd is not None
    undone = compare_arms([first], [second], Stratum({}), declared_sd=found.break_even_sd)
    assert undone.p == pytest.approx(0.05, abs=1e-9)


def test_a_measured_run_variance_wins_from_four_degrees_of_freedom_on() -> None:
    generator = np.random.default_rng(2)
    arms = {name: generator.binomial(1, 0.5, (2, 40)).astype(float) for name in "abcd"}
    few = compare_arms(
        [arms["a"]], [arms["b"]], stratum(a=arms["a"], b=arms["b"], c=arms["c"]),
        names=("a", "b"), declared_sd=0.01,
    )  # fmt: skip
    assert (few.declared_sd, few.run_variance) == (0.01, None)
    enough = compare_arms(
        [arms["a"]], [arms["b"]], stratum(**arms), names=("a", "b"), declared_sd=0.01
    )
    assert enough.declared_sd is None
    assert enough.run_variance is not None
    assert enough.run_variance.freedom == 4


def shifted(*means: float) -> np.ndarray:
    """Runs that differ by their mean only, on 40 questions of unequal difficulty."""
    difficulty = np.linspace(-0.2, 0.2, 40)
    return np.array([difficulty + mean for mean in means])


def test_an_unstable_arm_is_judged_by_its_own_runs() -> None:
    steady = {name: shifted(0.5, 0.51) for name in ("first", "other", "third")}
    wild = shifted(0.3, 0.7)
    spreads = stratum(**steady, second=wild)
    found = compare_arms([steady["first"]], [wild], spreads)
    assert found.unstable == ("second",)
    pooled = spreads.pooled
    assert pooled is not None
    own = spreads.spreads["second"].between
    assert found.estimate.variance == pytest.approx((pooled.between + own) / 2)
    pooling = Stratum(spreads.spreads, cautious=False)
    always = compare_arms([steady["first"]], [wild], pooling)
    assert (always.unstable, always.estimate.variance) == ((), pytest.approx(pooled.between))
    calm = compare_arms([steady["first"]], [steady["other"]], spreads, names=("first", "other"))
    assert calm.unstable == ()
    assert calm.estimate.variance == pytest.approx(pooled.between)


def test_the_score_of_an_arm_counts_its_runs() -> None:
    spreads = stratum(first=A, second=B, other=C)
    pooled = spreads.pooled
    assert pooled is not None
    found = arm_score([B], spreads, "second")
    vq = float(B.mean(axis=0).var(ddof=1)) / 8
    variance = vq + pooled.variance / 2
    freedom = degrees_of_freedom(
        (vq, 7), (pooled.between / 2, 3), (pooled.noise / 2, pooled.noise_freedom)
    )
    half = stats.t.ppf(0.975, freedom) * math.sqrt(variance)
    assert [found.value, found.low] == close(0.75, 0.75 - half)
    assert found.high == 1
    all_right = np.ones((2, 30))
    assert arm_score([all_right], stratum(arm=all_right), "arm") == score_interval([1.0] * 30)
    with pytest.raises(DataError, match="no run variance; expected an arm with two or more runs"):
        arm_score([all_right], Stratum({}), "arm")


SLOPE = 0.134  # of the score in the mean logit of the questions below, at a score of 0.6


def simulated_arms(
    generator: np.random.Generator, seeds: int, questions: int, run_sd: float, gap: float = 0.0
) -> Mapping[str, np.ndarray]:
    """Six arms: logit-normal questions, arm × question and run × question effects, one answer.

    Every second arm is better by `gap`; `run_sd` is the standard deviation from run to run; both
    are fractions around a score of 0.6.
    """
    difficulty = generator.normal(0.8, 2.0, questions)
    arms = {}
    for number in range(6):
        logit = difficulty + generator.normal(0, 0.4, questions) + number % 2 * gap / SLOPE
        logit = logit + generator.normal(0, run_sd / SLOPE, (seeds, 1))
        logit = logit + generator.normal(0, 1.0, (seeds, questions))
        arms[f"arm{number}"] = generator.binomial(1, 1 / (1 + np.exp(-logit))).astype(float)
    return arms


def share_found(
    generator: np.random.Generator, seeds: int, questions: int, run_sd: float, gap: float = 0.0
) -> tuple[float, float]:
    """Return which share of 450 pairs is called different: by the test, and always pooling."""
    cautious = pooling = 0
    for _ in range(150):
        arms = simulated_arms(generator, seeds, questions, run_sd, gap)
        spreads = {name: arm_spread([table]) for name, table in arms.items()}
        for one, two in (("arm0", "arm1"), ("arm2", "arm3"), ("arm4", "arm5")):
            for stratum in (Stratum(spreads), Stratum(spreads, cautious=False)):
                found = compare_arms([arms[one]], [arms[two]], stratum, names=(one, two))
                cautious += found.differs(found.p) and stratum.cautious
                pooling += found.differs(found.p) and not stratum.cautious
    return cautious / 450, pooling / 450


@pytest.mark.parametrize("questions", [40, 500])
@pytest.mark.parametrize(("seeds", "sd"), [(2, 0.0), (2, 0.04), (3, 0.02)])
def test_equal_arms_are_rarely_called_different(questions: int, seeds: int, sd: float) -> None:
    """At most 5 % of pairs; questions alone would find a difference in up to half of them."""
    generator = np.random.default_rng([questions, seeds, int(1000 * sd)])
    cautious, pooling = share_found(generator, seeds, questions, sd)
    assert cautious <= pooling <= 0.05 + 2.6 * math.sqrt(0.05 * 0.95 / 450)


def test_a_difference_is_found_as_often_as_planned() -> None:
    """Eighty of a hundred where always pooled; caution costs some of them, not most."""
    measured = Components(arm_question=0.0058, run_question=0.03, answer=0.13)
    gap = detectable_effect(Design(300, 1, 3, 6), 0.02, components=measured)
    cautious, pooling = share_found(np.random.default_rng(8), 3, 300, 0.02, gap)
    assert pooling == pytest.approx(0.8, abs=0.06)
    assert pooling - 0.12 < cautious <= pooling
