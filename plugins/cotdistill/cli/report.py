"""`report`: the results of a study."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cotdistill.cli.options import Verdicts
from cotdistill.cli.tables import show_table, talk


class Tracker(StrEnum):
    """Experiment trackers that scores can be sent to."""

    TENSORBOARD = "tensorboard"
    WANDB = "wandb"
    MLFLOW = "mlflow"
    TRACKIO = "trackio"


def report(
    folder: Annotated[Path, typer.Argument(help="run folder")],
    baseline: Annotated[
        str | None, typer.Option(help="arm to test against [default: answer-only, or the first]")
    ] = None,
    verdicts: Annotated[
        Verdicts,
        typer.Option(help="which verdicts to use"),
    ] = Verdicts.RUN,
    teacher: Annotated[
        list[Path] | None,
        typer.Option(help="folder with a teacher's scores; repeatable"),
    ] = None,
    track: Annotated[
        list[Tracker] | None, typer.Option(help="also send scores to this tracker; repeatable")
    ] = None,
    serve: Annotated[bool, typer.Option("--serve", help="serve the page on 127.0.0.1")] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 picks a free port")] = 0,
    idle: Annotated[
        float, typer.Option(min=1, help="stop serving after this many idle seconds")
    ] = 1800,
) -> None:
    """Report scores with confidence intervals: a table, and one HTML page, CSV, LaTeX and figures.

    Example:
        cotdistill report runs/quickstart --serve
    """
    from cotdistill.results.report.report import report as make_report

    made = make_report(folder, baseline, verdicts.value, teacher or [])
    show_table(made.table)
    if made.comparisons.rows:
        sys.stdout.write("\n")
        show_table(made.comparisons)
    for path in made.written:
        talk(f"wrote {path}")
    if track:
        from cotdistill.results.report.track import track_results

        for where in track_results(made.results, [one.value for one in track]):
            talk(f"tracked {where}")
    if serve:
        from cotdistill.results.report.serve import serve_page

        sys.stdout.flush()
        serve_page(folder / "report", port, idle, _tell)


def _tell(address: str) -> None:
    sys.stderr.write(f"open {address} (stops when idle; Ctrl-C to stop it now)\n")
    sys.stderr.flush()
