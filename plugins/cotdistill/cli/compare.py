"""`compare`: paired significance tests between runs on the same questions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cotdistill.cli.options import Verdicts
from cotdistill.cli.tables import show_table, warn


def compare(
    places: Annotated[
        list[Path],
        typer.Argument(
            metavar="A B...",
            help="runs, or patterns in quotes for the seeds of one arm; the baseline first",
        ),
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
    run_sd: Annotated[
        float | None,
        typer.Option(min=0.01, max=50, help="points from run to run, if known from elsewhere"),
    ] = None,
) -> None:
    """Compare arms question by question: difference, confidence interval, test, power.

    Several seeds an arm make a claim about arms; one seed each speaks of these models only.

    Example:
        cotdistill compare 'scores/answers--*' 'scores/level1--*' --flips 5
    """
    from cotdistill.results.compare import compare as compare_runs
    from cotdistill.results.compare import comparison_table

    found, warnings = compare_runs(
        places,
        task=task,
        source=verdicts.value,
        all_pairs=all_pairs,
        anyway=anyway,
        run_sd=run_sd,
    )
    for warning in warnings:
        warn(warning)
    show_table(comparison_table(found, flips))
