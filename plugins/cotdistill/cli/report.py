"""`report`: what a study found."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from cotdistill.cli.tables import show_table


def report(
    folder: Annotated[Path, typer.Argument(help="a run folder, as `cotdistill generate` makes it")],
) -> None:
    """Print every run's score with its 95 % interval; write report/report.csv and report.md.

    Example: cotdistill report runs/quickstart
    """
    from cotdistill.work.report import report as make_report

    table, written = make_report(folder)
    show_table(table)
    for path in written:
        sys.stderr.write(f"wrote {path}\n")
