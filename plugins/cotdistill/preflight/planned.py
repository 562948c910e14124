"""What a plan holds: what runs, races and requests take, and what was assumed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cotdistill.preflight.asking import Asked
from cotdistill.preflight.cost import (
    Machine,
)
from cotdistill.studies.runs import Run
from cotdistill.tables import Table

JUDGE_TOKENS = 900  # a prompt with a 2,000-character tail, and a short reply


@dataclass(frozen=True)
class Assumed:
    """Assumptions about what a study does not state.

    Units: `response_tokens` tokens per row where rows cannot be read; `generated` tokens per
    answer; `decode` tokens per second and device in evaluation; `answer_seconds`, measured, device
    seconds per answer; prices per million tokens and per device hour.
    Speeds that are None are a GPU's where the study trains on GPUs, and unknown where it does not:
    CPUs differ too much for one figure.
    """

    machine: Machine = field(default_factory=lambda: Machine(teraflops=None))
    response_tokens: int = 600
    generated: int = 1000
    decode: float | None = None
    answer_seconds: float | None = None
    judge_share: float = 0.5
    judge_price: float | None = None
    hour_price: float | None = None


@dataclass(frozen=True)
class RunCost:
    """What one run takes; None where unknown.

    Units: device hours; GiB of memory per device; GiB on disk of the finished run, and at most
    while it trains; `signals` are the part of a teacher's stored signals. `fitting` says how a run
    that does not fit into the device's memory would.
    """

    run: Run
    rows: int | None
    tokens: float | None
    steps: int | None
    hours: float | None
    memory: float | None
    disk: float | None = None
    disk_in_training: float | None = None
    signals: float | None = None
    fitting: str = ""


@dataclass(frozen=True)
class Plan:
    """A study's costs and what each of its tasks can show.

    Units: `questions` and `answers` a question by task, None where not known; `run_sd`, the
    standard deviation from run to run that the study declares, in points. `baselines` has the
    baseline of each arm where factors choose several; `has_judge` says
    whether the study ends with one.
    """

    study: str
    runs: tuple[RunCost, ...]
    questions: dict[str, int | None]
    answers: dict[str, int]
    run_sd: float | None
    responses: int
    devices: int
    assumed: Assumed
    design: Table
    asked: tuple[Asked, ...] = ()
    baselines: Mapping[str, str | None] = field(default_factory=dict)
    has_judge: bool = False
    notes: tuple[str, ...] = ()
    races: tuple[RaceCost, ...] = ()

    @property
    def seeds(self) -> int:
        """Runs of one arm, the fewest of all recipes; 1 without any training."""
        seeds: dict[str, set[int | None]] = {}
        for one in self.runs:
            seeds.setdefault(one.run.recipe, set()).add(one.run.seed)
        return max(min(map(len, seeds.values()), default=1), 1)

    @property
    def arms(self) -> int:
        """Arms that one student is trained on by one recipe; of several, the smallest number."""
        return min((len(arms) for arms in self._strata().values()), default=1)

    @property
    def comparisons(self) -> int:
        """Comparisons of an arm with the baseline arm, over all students, recipes and tasks."""
        pairs = 0
        if self.baselines and all(arm == base for arm, base in self.baselines.items()):
            strata = list(self._strata().values())  # recipes or students are compared
            pairs = sum(map(len, strata)) - len(set().union(*strata))
            return max(1, pairs * len(self.questions))
        for arms in self._strata().values():
            found = [arm for arm in arms if self.baselines.get(arm) not in (None, arm)]
            pairs += len(found) if self.baselines else len(arms) - 1
        return max(1, pairs * len(self.questions))

    def _strata(self) -> dict[tuple[str, str], set[str]]:
        strata: dict[tuple[str, str], set[str]] = {}
        for one in self.runs:
            strata.setdefault((one.run.student.name, one.run.recipe), set()).add(one.run.arm)
        return strata

    @property
    def hours(self) -> float:
        """Device hours of all training runs whose cost is known; with a race, at most."""
        return math.fsum(run.hours or 0.0 for run in self.trained)

    @property
    def trained(self) -> tuple[RunCost, ...]:
        """What is trained at most: every run, or of those that race only as many as go on."""
        return trained_at_most(self.runs, self.races)

    @property
    def has_speed(self) -> bool:
        """Whether it is known or assumed how fast the machine trains and answers."""
        return None not in (self.assumed.machine.teraflops, self.evaluation_hours)

    @property
    def evaluation_hours(self) -> float | None:
        """Device hours to generate all answers; None where no speed is known."""
        if self.assumed.answer_seconds is not None:
            return self.responses * self.assumed.answer_seconds / 3600
        if self.assumed.decode is None:
            return None
        return self.responses * self.assumed.generated / self.assumed.decode / 3600

    @property
    def judge_calls(self) -> int:
        """Requests to the judge, for the assumed share of answers."""
        return round(self.responses * self.assumed.judge_share)

    @property
    def signals(self) -> float:
        """GiB of teachers' signals that runs store, as far as they are known."""
        return math.fsum(one.signals or 0.0 for one in self.trained)

    @property
    def written(self) -> float:
        """GiB of the journals and rows that models write, as far as they are known."""
        return math.fsum(one.disk or 0.0 for one in self.asked)

    @property
    def disk(self) -> float:
        """GiB of all that is there in the end, as far as it is known."""
        runs = (one.disk if one.disk is not None else one.signals for one in self.trained)
        return math.fsum(one or 0.0 for one in runs) + self.written

    @property
    def money(self) -> float | None:
        """Total cost of everything that has a price, or None where no price was given."""
        asked = math.fsum(one.paid for one in self.asked)
        prices = (self.assumed.hour_price, self.assumed.judge_price)
        if prices == (None, None) and not asked:
            return None
        if self.assumed.hour_price is not None and not self.has_speed:
            return None
        devices = (self.hours + (self.evaluation_hours or 0.0)) * (self.assumed.hour_price or 0.0)
        judge = self.judge_calls * JUDGE_TOKENS / 1e6 * (self.assumed.judge_price or 0.0)
        return devices + judge + asked


@dataclass(frozen=True)
class RaceCost:
    """What the race of one student and recipe takes at most, the most expensive arms going on.

    `race` are its own runs, scored on development questions, and `final` those that are compared on
    the test questions; `arms` is how many arms start.
    """

    student: str
    recipe: str
    arms: int
    race: tuple[RunCost, ...]
    final: tuple[RunCost, ...]


def trained_at_most(runs: Sequence[RunCost], races: Sequence[RaceCost]) -> tuple[RunCost, ...]:
    """Return the runs that are trained at most: of those that race, as many as go on."""
    racing = {(one.student, one.recipe) for one in races}
    others = [one for one in runs if (one.run.student.name, one.run.recipe) not in racing]
    return (*others, *(run for one in races for run in (*one.race, *one.final)))
