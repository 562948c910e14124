"""`report`: what a study found."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cotdistill.cli.options import Verdicts
from cotdistill.cli.tables import show_table


class Tracker(StrEnum):
    """Where scores can go besides the report."""

    TENSORBOARD = "tensorboard"
    WANDB = "wandb"
    MLFLOW = "mlflow"
    TRACKIO = "trackio"


def report(
    folder: Annotated[Path, typer.Argument(help="a run folder, as `cotdistill generate` makes it")],
    baseline: Annotated[
        str | None, typer.Option(help="the arm to test against; answer-only or the first one")
    ] = None,
    verdicts: Annotated[
        Verdicts,
        typer.Option(help="scores as the runs logged them, or as made by rescore or judge"),
    ] = Verdicts.RUN,
    teacher: Annotated[
        list[Path] | None,
        typer.Option(help="a folder with a teacher's scores (may be given again)"),
    ] = None,
    track: Annotated[
        list[Tracker] | None, typer.Option(help="also send scores there (may be given again)")
    ] = None,
    serve: Annotated[bool, typer.Option("--serve", help="show the page on 127.0.0.1")] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one")] = 0,
    idle: Annotated[float, typer.Option(min=1, help="seconds unasked until it stops")] = 1800,
) -> None:
    """Print scores with intervals; write one HTML page, CSV, Markdown, LaTeX and SVG pictures.

    Example: cotdistill report runs/quickstart --serve
    """
    from cotdistill.results.report.report import report as make_report

    table, written = make_report(folder, baseline, verdicts.value, teacher or [])
    show_table(table)
    for path in written:
        sys.stderr.write(f"wrote {path}\n")
    if track:
        from cotdistill.results.report.track import track_results

        for where in track_results(folder, [one.value for one in track], verdicts.value):
            sys.stderr.write(f"tracked {where}\n")
    if serve:
        from cotdistill.results.report.serve import serve_page

        sys.stdout.flush()
        serve_page(folder / "report", port, idle, _tell)


def _tell(address: str) -> None:
    sys.stderr.write(f"open {address} (stops when unasked; Ctrl-C stops it now)\n")
    sys.stderr.flush()
