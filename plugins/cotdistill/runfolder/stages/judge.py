"""The second opinion at the end of a study: one job that waits for every evaluation."""

from __future__ import annotations

from collections.abc import Iterator

from cotdistill.runfolder.job import Asks, Job
from cotdistill.runfolder.stages.ask import packages_of
from cotdistill.runfolder.stages.stage import Declared, Stage, StudyFiles


def _jobs(files: StudyFiles) -> Iterator[Declared]:
    from cotdistill.runfolder.commands import judge_command

    study = files.resolved.study
    if study.judge is None:
        return
    command = judge_command(study, files.root)
    yield Declared(
        Job(
            "judge", "scores", command=command.command, env=command.env,
            declared=" ".join(command.command).replace(str(files.root), "."),
            needs=tuple(("evaluate", run.name) for run, _, _ in files.runs),
            asks=Asks(study.judge.model),
        )
    )  # fmt: skip


JUDGE = Stage(
    name="judge",
    about="ask a language model for a second opinion",
    program="cotdistill",
    extra="api",
    remakes=True,
    jobs=_jobs,
    is_in=lambda study: study.judge is not None,
    packages=lambda study: packages_of(study, [study.judge.model] if study.judge else []),
)
