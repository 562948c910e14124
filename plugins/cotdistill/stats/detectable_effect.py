"""What a planned study can show: the difference between two arms that it finds four times in five.

The error of a difference has a part from questions and answers, which more of either shrinks, and a
part from training runs, which only more random seeds shrink. Which of the two is larger says what
to buy next.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from cotdistill.errors import DataError, Fault
from cotdistill.stats.crossed_test import degrees_of_freedom, detectable_size


@dataclass(frozen=True)
class Components:
    """Variance components of a score of right or wrong answers, as far as runs do not explain them.

    Units: variances of fractions: of arm × question, of run × question, and of one sampled answer.
    Source: the defaults are a logit-normal benchmark's with a score near 0.5, simulated
        (benchmarks/run_variance.py components).
    """

    arm_question: float = 0.0035
    run_question: float = 0.023
    answer: float = 0.127

    def residual(self, answers: int) -> float:
        """Return the variance of one run's score on one question around its arm's."""
        return self.run_question + self.answer / answers


TYPICAL = Components()


@dataclass(frozen=True)
class Design:
    """How many arms of how many seeds answer how many questions, each how many times."""

    questions: int
    answers: int
    seeds: int
    arms: int


def detectable_effect(
    design: Design,
    run_sd: float,
    *,
    components: Components = TYPICAL,
    power: float = 0.8,
    level: float = 0.05,
    tests: int = 1,
) -> float:
    """Return the smallest difference between two arms that the crossed test finds.

    Units: `run_sd`, the standard deviation from run to run, and the result are fractions. `tests`
        shares the level among so many comparisons. With one seed an arm, `run_sd` is declared, not
        measured.

    Raises:
        DataError: there are fewer than two questions or arms, or no answer or seed.

    >>> round(detectable_effect(Design(questions=500, answers=1, seeds=2, arms=6), 0.01), 3)
    0.067
    """
    if min(design.questions, design.arms) < 2 or min(design.answers, design.seeds) < 1:
        raise DataError(Fault("plan", f"{design}", "two questions and arms, one answer and seed"))
    share = 2 / design.seeds
    noise = components.residual(design.answers) / design.questions
    over_questions = 2 * components.arm_question / design.questions + share * noise
    variance = over_questions + share * run_sd**2
    freedom_of_runs = design.arms * (design.seeds - 1)
    if freedom_of_runs and run_sd > 0:
        freedom = degrees_of_freedom(
            (over_questions, design.questions - 1),
            (share * (run_sd**2 + noise), freedom_of_runs),
            (share * noise, freedom_of_runs * (design.questions - 1)),
        )
    else:
        freedom = (design.questions - 1) * (variance / over_questions) ** 2
    return detectable_size(variance, freedom, power, level / tests)


def alternatives(design: Design) -> dict[str, Design]:
    """Return what could be bought next: more answers, one more seed, twice the questions."""
    answers = 16 if design.questions < 100 else 4
    found = {
        "one more seed": replace(design, seeds=design.seeds + 1),
        "twice the questions": replace(design, questions=2 * design.questions),
    }
    if design.answers < answers:
        return {f"{answers} answers": replace(design, answers=answers)} | found
    return found
