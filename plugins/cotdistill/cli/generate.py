"""`generate` and `schema`: from a study file to a run folder."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

_NAMED = 8


def generate(
    study: Annotated[str, typer.Argument(help="name of a shipped study, or a study file")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="run folder [default: runs/<study>]")
    ] = None,
    sets: Annotated[
        list[str] | None, typer.Option("--set", help="key=value, as in hardware.gpus=4; repeatable")
    ] = None,
) -> None:
    """Write the run folder of a study: a training file and an evaluation file for every run.

    Example: cotdistill generate learnability-gap -o runs/gap --set hardware.gpus=8
    """
    from cotdistill.runfolder.generate import generate as write_run_folder

    done = write_run_folder(study, output, sets or [])
    talk = sys.stderr.write
    for count, what in (
        (done.new, "new"),
        (done.changed, "changed"),
        (done.unchanged, "unchanged"),
        (done.dropped, "no longer in the study (their results stay)"),
    ):
        if count:
            talk(f"{len(count)} run{'s' * (len(count) > 1)} {what}\n")
    for output_path in done.stale[:_NAMED]:
        talk(f"stale: {output_path} was made from files that have changed\n")
    if len(done.stale) > _NAMED:
        talk(f"stale: {len(done.stale) - _NAMED} more\n")
    if done.to_prepare:
        named = ", ".join(done.to_prepare[:_NAMED])
        more = f" and {len(done.to_prepare) - _NAMED} more" * (len(done.to_prepare) > _NAMED)
        talk(f"rows not at hand yet, `cotdistill run` gets them: {named}{more}\n")
    if done.unequal:
        talk(f"{done.unequal}\n")
    sys.stdout.write(f"{_shown(done.folder)}\n")


def schema() -> None:
    """Print the JSON Schema of study files, for editors that check YAML while you type.

    Example: cotdistill schema > study.schema.json
    """
    from cotdistill.studies.study import Study

    sys.stdout.write(json.dumps(Study.model_json_schema(), indent=2) + "\n")


def _shown(folder: Path) -> Path:
    """Show a path below the current folder as people type it."""
    here = Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) else folder
