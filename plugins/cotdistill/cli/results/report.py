"""`report`: the results of a study."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cotdistill.cli.options import Verdicts
from cotdistill.cli.tables import say, show_json, show_narrow, show_table, talk
from cotdistill.tables import counted

if TYPE_CHECKING:
    from cotdistill.results.report.report import Report


_MOST_ROWS = 20  # of a table by factor that are printed unasked
_MOST_NOTES = 4


class Tracker(StrEnum):
    """Experiment trackers that scores can be sent to."""

    TENSORBOARD = "tensorboard"
    WANDB = "wandb"
    MLFLOW = "mlflow"
    TRACKIO = "trackio"


@dataclass(frozen=True, kw_only=True)
class ReportArguments:
    """The run folders, what the report shows of them, and where it goes."""

    folders: Annotated[
        list[Path],
        typer.Argument(metavar="RUNFOLDER...", help="run folders; several share a page"),
    ]
    baseline: Annotated[
        str | None,
        typer.Option(
            help="what to test against: an arm, a recipe, a student, or factors as level=1 "
            "[default: the study's, answer-only, or the first]"
        ),
    ] = None
    verdicts: Annotated[Verdicts, typer.Option(help="which verdicts to use")] = Verdicts.RUN
    teacher: Annotated[
        list[Path] | None,
        typer.Option(help="folder with a teacher's scores; repeatable"),
    ] = None
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="write here [default: report/ in the run folder]"),
    ] = None
    spreadsheet: Annotated[
        bool, typer.Option("--spreadsheet", help="also write report.xlsx, with pivots")
    ] = False
    runs: Annotated[
        bool, typer.Option("--runs", help="print the single runs and long tables too")
    ] = False
    json: Annotated[bool, typer.Option("--json", help="print every number as JSON")] = False
    track: Annotated[
        list[Tracker] | None, typer.Option(help="also send scores to this tracker; repeatable")
    ] = None
    serve: Annotated[bool, typer.Option("--serve", help="serve the page on 127.0.0.1")] = False
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 picks a free port")] = 0
    idle: Annotated[
        float, typer.Option(min=1, help="stop serving after this many idle seconds")
    ] = 1800


def report(arguments: ReportArguments) -> None:
    """Report what a study found: differences with intervals, a page, CSV, LaTeX and figures.

    Example:
        cotdistill report runs/quickstart --serve
    """
    from cotdistill.results.report.report import report as make_report
    from cotdistill.runs.outdated import outdated_scores

    made = make_report(
        arguments.folders[0],
        arguments.baseline,
        arguments.verdicts.value,
        arguments.teacher or [],
        more=arguments.folders[1:],
        out=arguments.out,
        spreadsheet=arguments.spreadsheet,
        notes=outdated_scores(arguments.folders),
    )
    if arguments.json:
        show_json(made.data)
    else:
        _show(made, arguments.runs)
    figures = [path for path in made.written if path.parent.name == "figures"]
    for path in made.written:
        if path not in figures:
            talk(f"wrote {path}")
    if figures:
        talk(f"wrote {counted(len(figures), 'file')} in {figures[0].parent}")
    if arguments.track:
        from cotdistill.results.report.track import track_results

        for where in track_results(made.results, [one.value for one in arguments.track]):
            talk(f"tracked {where}")
    if arguments.serve:
        from cotdistill.results.report.serve import serve_page

        sys.stdout.flush()
        place = arguments.out or arguments.folders[0] / "report"
        serve_page(place, arguments.port, arguments.idle, _tell)


def _show(made: Report, runs: bool) -> None:
    """Print the finding, the table of arms, and what the factors show."""
    say(made.verdict)
    sys.stdout.write("\n")
    show_narrow(made.table)
    for one in made.by_factor:
        sys.stdout.write("\n")
        say(f"{one.title}: {one.about}")
        if len(one.table.rows) <= _MOST_ROWS or runs:
            show_narrow(one.table)
        else:
            say(f"({len(one.table.rows)} rows: with --runs, and in report.md)")
            for note in one.table.notes:
                say(note)
    if runs:
        sys.stdout.write("\n")
        show_table(made.runs)
        return
    notes = [note for note in made.runs.notes if note not in made.table.notes]
    for note in notes[:_MOST_NOTES]:
        say(note)
    if len(notes) > _MOST_NOTES:
        say(f"and {len(notes) - _MOST_NOTES} more notes on single runs: with --runs")


def _tell(address: str) -> None:
    sys.stderr.write(f"open {address} (stops when idle; Ctrl-C to stop it now)\n")
    sys.stderr.flush()
