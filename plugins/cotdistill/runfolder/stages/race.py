"""The batches of a race, unrolled: every arm with every seed, skipped by the record before.

The runs of the study itself, with its own seeds, wait for the end of the race and are those of the
finalists; the others are skipped by its record.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from cotdistill.files.atomic import sha256_of_text
from cotdistill.runfolder.job import Job, JobId
from cotdistill.runfolder.layout import layout_of
from cotdistill.runfolder.race import (
    FOLDER,
    Batch,
    Heat,
    batch_name,
    batches_of,
    heats_of,
    record_of,
    runs_of,
)
from cotdistill.runfolder.stages.stage import Declared, StudyFiles

if TYPE_CHECKING:
    from cotdistill.runfolder.config_files import RunConfigs
    from cotdistill.runfolder.stages.stage import Stage

_OF_RUNS = (
    "sample", "filter", "capture", "likelihood", "train", "export", "evaluate", "decide",
)  # fmt: skip


def with_race(files: StudyFiles, stages: Iterable[Stage], jobs: list[Declared]) -> list[Declared]:
    """Return the jobs of a study with those of its race; the same ones in a study without."""
    heats = heats_of(files.resolved)
    if not heats:
        return jobs
    known = {declared.job.id for declared in jobs}
    made = [one for heat in heats for one in _race_jobs(files, list(stages), heat)]
    unique = {one.job.id: one for one in made if one.job.id not in known}
    waiting = [_after_the_race(one, heats) for one in jobs]
    return [*waiting, *unique.values()]


def _after_the_race(declared: Declared, heats: list[Heat]) -> Declared:
    """Let a run of the study wait for the race that its arm is in."""
    job = declared.job
    parts = job.name.split("--")
    if job.stage not in _OF_RUNS or len(parts) < 3:
        return declared
    for heat in heats:
        if (parts[0], parts[2]) == (heat.student, heat.recipe) and job.arm in heat.arms:
            needs = (*job.needs, ("decide", heat.name))
            unless = (record_of(heat.name), *job.unless)
            return replace(declared, job=replace(job, needs=needs, unless=unless))
    return declared


def _race_jobs(files: StudyFiles, stages: list[Stage], heat: Heat) -> Iterator[Declared]:
    from cotdistill.runfolder.config_files import RunConfigs

    study = files.resolved.study
    configs = RunConfigs(files.resolved)
    needs: tuple[JobId, ...] = ()
    unless: tuple[str, ...] = ()
    scored: list[JobId] = []
    batches = batches_of(study)
    for batch in batches:
        runs = _files_of(files, configs, heat, batch)
        for stage in stages:
            for declared in stage.jobs(runs):
                job = declared.job
                if job.stage not in _OF_RUNS:
                    continue
                if job.stage == "evaluate" and job.output and job.output.startswith(FOLDER):
                    scored.append(job.id)
                waits = replace(job, needs=(*job.needs, *needs), unless=(*unless, *job.unless))
                yield replace(declared, job=waits)
        is_last = batch.number == len(batches) - 1
        name = heat.name if is_last else batch_name(heat.name, batch.number)
        yield Declared(
            Job(
                "decide", name, own=_own(files),
                declared=sha256_of_text(f"{study.race!r} {study.evaluation.run_sd} {heat.arms}"),
                output=record_of(name), needs=(*dict.fromkeys(scored), *needs),
            )
        )  # fmt: skip
        needs, unless = (("decide", name),), (record_of(name),)


def _files_of(files: StudyFiles, configs: RunConfigs, heat: Heat, batch: Batch) -> StudyFiles:
    """Return a batch as if its runs were those of a study."""
    runs = []
    for run in runs_of(files.resolved, heat, batch):
        layout = replace(layout_of(files.root, run), scores_in=f"{FOLDER}/scores")
        runs.append((run, layout, configs.files(run, layout)))
    return replace(files, runs=tuple(runs))


def _own(files: StudyFiles) -> tuple[str, ...]:
    from cotdistill.runfolder.commands import prepare_command

    command = prepare_command(files.resolved.study)
    return command.command if command else ()
