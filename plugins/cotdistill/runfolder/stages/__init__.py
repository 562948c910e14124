"""The stages of a workflow, each declared once, in the order of a simple study.

A stage is a value of `Stage`: what it is for, what its jobs start, when they are believed to have
succeeded, and a function that declares its jobs for a study (`Job`: inputs, outputs, resources,
command in its environment, what it asks of a model). From these follow `jobs.jsonl` and the
manifest (`generate`), the rules of the Snakefile, the order and the checks of `run`, and what
`plan`, `doctor` and `check` look at. docs/decisions/0019-stages.md says how one is added.
"""

from __future__ import annotations

from cotdistill.runfolder.stages.ask import SAMPLE, TEACH, asked_count
from cotdistill.runfolder.stages.collect import COLLECT
from cotdistill.runfolder.stages.evaluate import EVALUATE
from cotdistill.runfolder.stages.export import EXPORT
from cotdistill.runfolder.stages.improve import CAPTURE, DECIDE, FILTER, LIKELIHOOD
from cotdistill.runfolder.stages.judge import JUDGE
from cotdistill.runfolder.stages.merge import MERGE
from cotdistill.runfolder.stages.prepare import PREPARE
from cotdistill.runfolder.stages.probe import PROBE
from cotdistill.runfolder.stages.stage import Declared, Stage, StudyFiles
from cotdistill.runfolder.stages.train import TRAIN

__all__ = [
    "STAGES",
    "Declared",
    "Stage",
    "StudyFiles",
    "asked_count",
    "declared_jobs",
    "snakefile_text",
    "stage_called",
]

STAGES: tuple[Stage, ...] = (
    MERGE, PROBE, TEACH, SAMPLE, FILTER, PREPARE, CAPTURE, LIKELIHOOD, TRAIN, EXPORT, EVALUATE,
    DECIDE, JUDGE, COLLECT,
)  # fmt: skip
_BY_NAME = {stage.name: stage for stage in STAGES}


def stage_called(name: str) -> Stage | None:
    """Return a stage by its name, None where there is none.

    >>> stage_called("train").program
    'llamafactory-cli'
    """
    return _BY_NAME.get(name)


def declared_jobs(files: StudyFiles) -> list[Declared]:
    """Return every job of a study with the file that it needs, in the order of the stages."""
    from cotdistill.runfolder.stages.race import with_race

    jobs = [declared for stage in STAGES for declared in stage.jobs(files)]
    return with_race(files, STAGES, jobs)


def snakefile_text(study: str) -> str:
    """Return the workflow of a study, with a rule for every stage."""
    from cotdistill.files.templates import render

    stages = [stage for stage in STAGES if stage is not COLLECT]
    return render("run/Snakefile.j2", {"study": study, "stages": stages})
