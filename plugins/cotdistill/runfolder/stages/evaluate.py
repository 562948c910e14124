"""Evaluation: lm-eval on what was trained, or on a model as it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cotdistill.files.atomic import sha256_of_text
from cotdistill.runfolder.job import Job
from cotdistill.runfolder.stages.stage import Declared, Stage, StudyFiles


def _jobs(files: StudyFiles) -> Iterator[Declared]:
    digests: dict[tuple[str, ...], str] = {}
    for run, layout, made in files.runs:
        tasks = tuple(use.task for use in run.tasks)
        if tasks not in digests:
            digests[tasks] = files.kept.digest(tasks)
        command = made.evaluate_command
        needs: tuple[tuple[str, str], ...] = ()
        if run.loop is not None:
            needs = (("decide", run.name),)
        elif run.epochs is not None:
            needs = (("train", run.trained), ("decide", run.trained))
        elif made.export:
            needs = (("export", run.name),)
        elif run.is_trained:
            needs = (("train", run.trained),)
        elif run.student.merged:
            needs = (("merge", run.student.name),)
        yield Declared(
            Job(
                "evaluate", run.name, command=command.command, env=command.env, gpus=command.gpus,
                file=layout.eval_file, sha256=sha256_of_text(made.evaluate.text),
                declared=digests[tasks], output=layout.scores, arm=run.arm, needs=needs,
            ),
            made.evaluate.text,
        )  # fmt: skip


def _fault(output: Path) -> str:
    from cotdistill.hosts.lm_eval.outputs import evaluation_fault

    return evaluation_fault(output)


EVALUATE = Stage(
    name="evaluate",
    about="score a model",
    program="lm-eval",
    extra="eval",
    remakes=True,
    jobs=_jobs,
    host="lm_eval",
    imports="import lm_eval.evaluator, lm_eval.models.huggingface",
    fault=_fault,
)
