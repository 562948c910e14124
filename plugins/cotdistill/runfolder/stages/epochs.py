"""The choice of the best epoch: every epoch's weights are scored on the development questions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from cotdistill.files.atomic import sha256_of_text
from cotdistill.runfolder.epochs import SCORES, choice_of, listing_job_name, listing_of
from cotdistill.runfolder.job import Job, JobId
from cotdistill.runfolder.stages.stage import Declared, StudyFiles

if TYPE_CHECKING:
    from cotdistill.runfolder.config_files import RunConfigs
    from cotdistill.runfolder.layout import Layout
    from cotdistill.studies.runs import Run


def epoch_jobs(files: StudyFiles) -> Iterator[Declared]:
    """Declare the jobs that score the epochs of each run which keeps its best, and choose one."""
    from cotdistill.runfolder.config_files import RunConfigs

    configs = RunConfigs(files.resolved)
    for run, layout, _ in files.runs:
        if run.epochs is not None:
            yield from _jobs_of(files, configs, run, layout)


def _jobs_of(
    files: StudyFiles, configs: RunConfigs, run: Run, layout: Layout
) -> Iterator[Declared]:
    from cotdistill.runfolder.commands import prepare_command

    command = prepare_command(files.resolved.study)
    own = command.command if command else ()
    trained: JobId = ("train", run.trained)
    listed: JobId = ("decide", listing_job_name(run.trained))
    epochs = run.epochs or 0
    declared = sha256_of_text(f"the best of {epochs} epochs")
    yield Declared(
        Job("decide", listed[1], own=own, declared=declared, output=listing_of(run.trained),
            arm=run.arm, needs=(trained,))
    )  # fmt: skip
    tasks = files.resolved.study.epoch_tasks(run.factors.get("questions"))
    digest = files.kept.digest(tuple(use.task for use in tasks))
    scored: list[JobId] = []
    for number in range(1, epochs + 1):
        here = replace(run, epoch=number, tasks=tasks)
        where = replace(layout, run=here.name, epoch=number, chooses=False, scores_in=SCORES)
        made = configs.files(here, where)
        needs: tuple[JobId, ...] = (trained, listed)
        if made.export and (merging := made.export_command):
            yield Declared(
                Job("export", here.name, command=merging.command, env=merging.env,
                    gpus=merging.gpus, file=where.export_file,
                    sha256=sha256_of_text(made.export.text), output=where.exported, arm=run.arm,
                    needs=needs),
                made.export.text,
            )  # fmt: skip
            needs = (("export", here.name),)
        asked = made.evaluate_command
        yield Declared(
            Job("evaluate", here.name, command=asked.command, env=asked.env, gpus=asked.gpus,
                file=where.eval_file, sha256=sha256_of_text(made.evaluate.text), declared=digest,
                output=where.scores, arm=run.arm, needs=needs),
            made.evaluate.text,
        )  # fmt: skip
        scored.append(("evaluate", here.name))
    yield Declared(
        Job("decide", run.trained, own=own, declared=declared, output=choice_of(run.trained),
            arm=run.arm, needs=(trained, *scored))
    )  # fmt: skip
