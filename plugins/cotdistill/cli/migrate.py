"""`migrate`: write a study file in the newest form."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from cotdistill.cli.tables import say, talk


def migrate(
    study: Annotated[Path, typer.Argument(help="study file")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="write to this file [default: stdout]")
    ] = None,
    in_place: Annotated[
        bool, typer.Option("--in-place", help="replace the file; the old one is kept as FILE.v1")
    ] = False,
) -> None:
    """Write a study file of version 1 in the form of version 2, without changing what it means.

    What is in the newest form already is written as it is. Comments between keys stay; those inside
    a key that changes are lost.

    Example:
        cotdistill migrate my-study.yaml -o my-study-2.yaml
    """
    from cotdistill.studies.migrate import migrate_file

    done = migrate_file(study, study if in_place else output)
    for change in done.changes:
        talk(change)
    if not done.changes:
        talk(f"{study}: in the newest form already")
    if done.written is None:
        sys.stdout.write(done.text)
    else:
        say(f"{done.written}")
