"""Merging an adapter into its base model, where the recipe trains one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cotdistill.files.atomic import sha256_of_text
from cotdistill.runfolder.job import Job
from cotdistill.runfolder.stages.stage import Declared, Stage, StudyFiles


def _jobs(files: StudyFiles) -> Iterator[Declared]:
    for run, layout, made in files.runs:
        if made.export is None or made.export_command is None:
            continue
        command = made.export_command
        yield Declared(
            Job(
                "export", run.name, command=command.command, env=command.env, gpus=command.gpus,
                file=layout.export_file, sha256=sha256_of_text(made.export.text),
                output=layout.exported, arm=run.arm, needs=(("train", run.trained),),
            ),
            made.export.text,
        )  # fmt: skip


def _fault(output: Path) -> str:
    """Return why an export is not believed; fixes the token that a merged model ends with."""
    from cotdistill.hosts.llamafactory.end_token import end_at_the_trained_token

    if not any(output.glob("*.safetensors")) and not any(output.glob("*.bin")):
        return "the export exited with 0 but wrote no weights"
    end_at_the_trained_token(output)
    return ""


EXPORT = Stage(
    name="export",
    about="merge an adapter into its base",
    program="llamafactory-cli",
    extra="train",
    remakes=True,
    jobs=_jobs,
    host="llamafactory",
    imports="import torchaudio; from llamafactory.train.tuner import export_model",
    is_in=lambda study: any(recipe.template != "full" for recipe in study.recipes.values()),
    fault=_fault,
)
