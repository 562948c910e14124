"""`compare`: paired significance tests between runs on the same questions."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from cotdistill.cli.options import Verdicts
from cotdistill.cli.tables import show_table


def compare(
    places: Annotated[
        list[Path],
        typer.Argument(metavar="A B...", help="folders or samples files, the baseline first"),
    ],
    task: Annotated[str | None, typer.Option(help="only this task (full name)")] = None,
    verdicts: Annotated[Verdicts, typer.Option(help="which verdicts to use")] = Verdicts.RUN,
    all_pairs: Annotated[
        bool, typer.Option(help="compare all pairs, not only with the first run")
    ] = False,
    flips: Annotated[
        int, typer.Option(min=0, help="questions with changed outcome to list per comparison")
    ] = 0,
    anyway: Annotated[bool, typer.Option(help="compare even if settings differ")] = False,
) -> None:
    """Compare runs question by question: difference, confidence interval, exact test, power.

    Example:
        cotdistill compare scores/answers--s42 scores/level1--s42 --flips 5
    """
    from cotdistill.results.compare import compare as compare_runs
    from cotdistill.results.compare import comparison_table

    found, warnings = compare_runs(
        places, task=task, source=verdicts.value, all_pairs=all_pairs, anyway=anyway
    )
    for warning in warnings:
        sys.stderr.write(f"warning: {warning}\n")
    show_table(comparison_table(found, flips))
