"""`generate` and `schema`: turn a study file into a run folder."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from cotdistill.cli.options import SET_HELP

_NAMED = 8


def generate(
    study: Annotated[str, typer.Argument(help="packaged study or study file")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="run folder [default: runs/<study>]")
    ] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", help=SET_HELP, metavar="KEY=VALUE"),
    ] = None,
) -> None:
    """Generate the run folder of a study: a training and an evaluation file for every run.

    Example:
        cotdistill generate learnability-gap -o runs/gap --set hardware.gpus=8
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
        talk(f"affected by changed settings, rows or questions: {output_path}\n")
    if len(done.stale) > _NAMED:
        talk(f"affected: {len(done.stale) - _NAMED} more\n")
    if done.stale:
        folder = _shown(done.folder)
        talk(f"`cotdistill run {folder} --dry-run` says which of these will be made again\n")
    if done.to_prepare:
        named = ", ".join(done.to_prepare[:_NAMED])
        more = f" and {len(done.to_prepare) - _NAMED} more" * (len(done.to_prepare) > _NAMED)
        talk(f"rows that `cotdistill run` makes or fetches: {named}{more}\n")
    for note in done.notes:
        talk(f"{note}\n")
    if done.unequal:
        talk(f"{done.unequal}\n")
    for warning in done.warnings:
        talk(f"{warning}\n")
    sys.stdout.write(f"{_shown(done.folder)}\n")


def schema() -> None:
    """Print the JSON Schema of study files, for editors that validate YAML.

    Example:
        cotdistill schema > study.schema.json
    """
    from cotdistill.studies.json_schema import study_json_schema

    sys.stdout.write(json.dumps(study_json_schema(), indent=2) + "\n")


def _shown(folder: Path) -> Path:
    """Show a path relative to the current folder if it is inside it."""
    here = Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) else folder
