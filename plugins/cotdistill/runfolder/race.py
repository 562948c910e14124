"""A race over seeds: its batches, its runs, where their files and records lie.

The arms of one student and recipe race against each other. Every arm is trained with every seed of
the race as far as the jobs go; the record of a batch says which arms the next one skips
(`cotdistill.runfolder.skipping`). The race's seeds begin at 1001 and leave out those of the study.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from cotdistill.stats.racing import may_drop, seeds_of_batches
from cotdistill.studies.requests import Race
from cotdistill.studies.resolve import Resolved
from cotdistill.studies.runs import Run
from cotdistill.studies.study import Study

FOLDER = "race"
_FIRST_SEED = 1001


@dataclass(frozen=True)
class Batch:
    """One batch of a race: its number (0 trains every arm) and its random seeds."""

    number: int
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class Heat:
    """The arms of one student and recipe, and one run of each that stands for its others."""

    student: str
    recipe: str
    runs: tuple[Run, ...]

    @property
    def name(self) -> str:
        """What its jobs and records are called by."""
        return f"{self.student}--{self.recipe}"

    @property
    def arms(self) -> tuple[str, ...]:
        """The arms that race."""
        return tuple(run.arm for run in self.runs)


def batches_of(study: Study) -> list[Batch]:
    """Return the batches of a study's race."""
    race = study.race
    assert race is not None
    taken = {seed for recipe in study.recipes for seed in study.seeds_of(recipe)}
    seeds = (seed for seed in itertools.count(_FIRST_SEED) if seed not in taken)
    sizes = [race.first, *seeds_of_batches(race.procedure, race.batches)]
    return [
        Batch(number, tuple(itertools.islice(seeds, size))) for number, size in enumerate(sizes)
    ]


def heats_of(resolved: Resolved) -> list[Heat]:
    """Return who races against whom; none in a study without a race."""
    if resolved.study.race is None:
        return []
    found: dict[tuple[str, str], dict[str, Run]] = {}
    for run in resolved.runs:
        if run.is_trained and run.step is None:
            found.setdefault((run.student.name, run.recipe), {}).setdefault(run.arm, run)
    return [
        Heat(student, recipe, tuple(runs.values()))
        for (student, recipe), runs in found.items()
        if len(runs) > 1
    ]


def most_of_batches(race: Race, free: int, kept: int, batches: Sequence[Batch]) -> list[int]:
    """Return how many arms each batch trains at most, of `free` ones and `kept` ones.

    Nothing is dropped before a quarter of all these runs is done, which may let more arms into the
    early batches, and so makes the race longer.

    >>> sizes = [Batch(number, (number,)) for number in range(3)]
    >>> most_of_batches(Race(top=2, batches=2), free=4, kept=1, batches=sizes)
    [5, 3, 3]
    """
    planned = 0
    while True:
        arms, left, done = [], free, 0
        for batch in batches:
            arms.append(left + kept)
            done += arms[-1] * len(batch.seeds)
            if not may_drop(done, planned):
                continue
            if race.procedure == "leaders":
                left = min(race.top, free)
            else:
                left = max(math.ceil(left / 2), min(race.top, left))
        if done <= planned:
            return arms
        planned = done


def runs_of(resolved: Resolved, heat: Heat, batch: Batch) -> Iterator[Run]:
    """Yield the runs of a batch: every arm with every seed, scored on development questions."""
    tasks = resolved.study.race_tasks()
    for run in heat.runs:
        for seed in batch.seeds:
            yield replace(run, seed=seed, tasks=tasks)


def batch_name(heat: str, number: int) -> str:
    """Return the name of the job that decides about a batch.

    >>> batch_name("tiny--full", 2)
    'tiny--full--batch2'
    """
    return f"{heat}--batch{number}"


def record_of(name: str) -> str:
    """Return where the record of a batch lies, or that of a whole race by the heat's name."""
    return f"{FOLDER}/{name}.json"
