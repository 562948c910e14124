"""`rescore`: grade the logged samples of a run again, without a model."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from cotdistill.cli.tables import show_table, talk, warn


def rescore(
    places: Annotated[
        list[Path], typer.Argument(metavar="SAMPLES...", help="samples_*.jsonl files or folders")
    ],
    task: Annotated[str | None, typer.Option(help="only this task (full name)")] = None,
    run: Annotated[
        str | None, typer.Option(help="time stamp in the file name [default: the newest]")
    ] = None,
    golds: Annotated[
        Path | None, typer.Option(help="file with reference answers, for documents that lack them")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="number of processes [default: one per core]")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="write here [default: next to the samples]"),
    ] = None,
) -> None:
    """Grade logged samples again with the current grader and show what changed, by rule.

    Example:
        cotdistill rescore scores/ --task AIME
    """
    from cotdistill.results.rescore import rescore as grade_again
    from cotdistill.results.rescore_tables import rule_table, score_changes

    done = grade_again(
        places, task=task, stamp=run, golds=golds, workers=workers, tell=warn, out=out
    )
    show_table(score_changes(done))
    sys.stdout.write("\n")
    show_table(rule_table(done))
    for one in done:
        for path in one.written:
            talk(f"wrote {path}")
