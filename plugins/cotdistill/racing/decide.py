"""After a batch of a race: how the arms stand, and which of them the next batch trains.

Only development questions decide. An arm that is not trained further was behind with these seeds;
that it is worse is not shown, and a later batch may take it up again.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from pathlib import Path

from cotdistill.errors import DataError, Fault, MisuseError
from cotdistill.results.dev_scores import DevScore, dev_score
from cotdistill.runfolder.race import (
    FOLDER,
    Batch,
    Heat,
    batch_name,
    batches_of,
    heats_of,
    most_of_batches,
)
from cotdistill.runfolder.race_records import Place, RaceRecord, read_race, write_race
from cotdistill.stats.racing import (
    Standing,
    halves,
    leaders,
    may_drop,
    run_sd,
    standings,
)
from cotdistill.studies.load import study_of
from cotdistill.studies.requests import Race
from cotdistill.studies.resolve import Resolved, resolve

DEFAULT_SD = 1.0
"""Points from run to run where the study declares none and too few runs are there to measure it."""
RUN_BY_QUESTION = 0.6
"""Share of a question's variance, p (1 - p), that differs from run to run."""


def decide_race(folder: Path, name: str) -> RaceRecord:
    """Write what is decided after a batch, or at the end, and return it.

    Raises:
        MisuseError: the run folder has no such race.
        DataError: scores are missing or broken.
    """
    resolved = resolve(study_of(folder), str(folder / "study.yaml"))
    heat, number = _found(resolved, name)
    study, race = resolved.study, resolved.study.race
    assert race is not None
    batches = batches_of(study)
    scores = _scores(folder, heat, batches[: number + 1])
    means = {arm: [one.mean for one in of_arm] for arm, of_arm in scores.items()}
    declared = (study.evaluation.run_sd or DEFAULT_SD) / 100
    noise = _noise(scores)
    order = standings(means, declared, noise)
    kept = study.never_dropped() & set(heat.arms)
    free = [one for one in order if one.arm not in kept]
    done, planned = sum(map(len, means.values())), _planned(race, heat, kept, batches)
    is_last = number == len(batches) - 1
    if is_last:
        chosen = [one.arm for one in _tried(free)[: race.final]]
    elif not may_drop(done, planned):
        chosen = [one.arm for one in free]
    else:
        chosen = _going_on(folder, heat, race, number, free)
    goes_on = [arm for arm in heat.arms if arm in kept or arm in chosen]
    record = RaceRecord(
        batch=number,
        procedure=race.procedure,
        done=done,
        planned=planned,
        run_sd=100 * run_sd(means, declared, noise),
        places=tuple(_place(one) for one in order),
        goes_on=tuple(goes_on),
        skip={
            one.arm: _why(one, number, is_last=is_last) for one in order if one.arm not in goes_on
        },
    )
    write_race(folder, name, record)
    return record


def _going_on(folder: Path, heat: Heat, race: Race, number: int, free: list[Standing]) -> list[str]:
    if race.procedure == "leaders":
        return leaders(free, race.top)
    before = read_race(folder, batch_name(heat.name, number - 1)) if number else None
    left = [one for one in free if before is None or one.arm in before.goes_on]
    return halves(left, len(left), race.top)


def _tried(free: list[Standing]) -> list[Standing]:
    """Return the arms that the race has gone on with, the best first: one run is a lucky draw."""
    most = max(one.runs for one in free)
    several = [one for one in free if one.runs > 1]
    return several if most > 1 and several else free


def _found(resolved: Resolved, name: str) -> tuple[Heat, int]:
    for heat in heats_of(resolved):
        last = len(batches_of(resolved.study)) - 1
        names = {batch_name(heat.name, number): number for number in range(last)}
        names[heat.name] = last
        if name in names:
            return heat, names[name]
    raise MisuseError(f"no race '{name}' in this study")


def _scores(folder: Path, heat: Heat, batches: list[Batch]) -> dict[str, list[DevScore]]:
    """Return the development scores of every run that the race has trained so far."""
    found: dict[str, list[DevScore]] = {arm: [] for arm in heat.arms}
    skipped: set[str] = set()
    for batch in batches:
        for arm in heat.arms:
            for seed in batch.seeds if arm not in skipped else ():
                run = f"{heat.student}--{arm}--{heat.recipe}--s{seed}"
                found[arm].append(dev_score(folder / FOLDER / "scores" / run))
        if batch is not batches[-1]:
            name = batch_name(heat.name, batch.number)
            record = read_race(folder, name)
            if record is None:
                raise DataError(Fault(str(folder / FOLDER), f"no record of {name}"))
            skipped = set(record.skip)
    return found


def _noise(scores: dict[str, list[DevScore]]) -> float:
    """Return the variance of a run's score that comes from its finite number of questions."""
    runs = [one for of_arm in scores.values() for one in of_arm]
    mean = statistics.fmean(one.mean for one in runs)
    questions = max(1, min(len(one.values) for one in runs))
    return RUN_BY_QUESTION * mean * (1 - mean) / questions


def _planned(race: Race, heat: Heat, kept: set[str], batches: list[Batch]) -> int:
    """Return how many runs the race has in all, at most."""
    arms = most_of_batches(race, len(heat.arms) - len(kept), len(kept), batches)
    return sum(count * len(batch.seeds) for count, batch in zip(arms, batches, strict=True))


def _place(one: Standing) -> Place:
    return Place(one.arm, one.runs, 100 * one.mean, 100 * one.se, 100 * one.behind)


def _why(one: Standing, number: int, *, is_last: bool) -> str:
    what = "not among the finalists" if is_last else f"not in batch {number + 1}"
    return (
        f"{what} of the race: {100 * one.mean:.1f}% after {one.runs} runs, "
        f"{100 * one.behind:.1f} points behind the leader (se {100 * one.se:.1f})"
    )


def lines_of(record: RaceRecord) -> Iterator[str]:
    """Yield what the log of a decision says."""
    for one in record.places:
        mark = "goes on" if one.arm in record.goes_on else "rests"
        yield f"{one.arm}: {one.mean:.1f}% ± {one.se:.1f} in {one.runs} runs; {mark}"
    yield f"{record.done} of at most {record.planned} runs of the race are done"
