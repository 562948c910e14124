"""`compare`: paired significance tests between runs on the same questions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from cotdistill.cli.options import Verdicts
from cotdistill.cli.tables import show_json, show_narrow, warn


@dataclass(frozen=True, kw_only=True)
class CompareArguments:
    """What is compared with what, and how the result is shown."""

    places: Annotated[
        list[Path],
        typer.Argument(
            metavar="A B...",
            help="a run folder; or runs, the baseline first: folders, or patterns in quotes for "
            "the seeds of one arm",
        ),
    ]
    task: Annotated[str | None, typer.Option(help="only this task (full name)")] = None
    verdicts: Annotated[Verdicts, typer.Option(help="which verdicts to use")] = Verdicts.RUN
    baseline: Annotated[
        str | None,
        typer.Option(
            help="of a run folder: what to compare with: an arm, a recipe, a student, or factors "
            "as level=1"
        ),
    ] = None
    all_pairs: Annotated[
        bool, typer.Option("--all-pairs", help="compare all pairs, not only with the first run")
    ] = False
    flips: Annotated[
        int, typer.Option(min=0, help="questions with changed outcome to list per comparison")
    ] = 0
    anyway: Annotated[bool, typer.Option("--anyway", help="compare even if settings differ")] = (
        False
    )
    run_sd: Annotated[
        float | None,
        typer.Option(min=0.01, max=50, help="points from run to run, if known from elsewhere"),
    ] = None
    json: Annotated[bool, typer.Option("--json", help="print every number as JSON")] = False


def compare(arguments: CompareArguments) -> None:
    """Compare arms question by question: difference, confidence interval, test, power.

    Several seeds an arm make a claim about arms; one seed each speaks of these models only.

    Example:
        cotdistill compare runs/quickstart
        cotdistill compare 'scores/answers--*' 'scores/level1--*' --flips 5
    """
    from cotdistill.results.compare import compare as compare_runs
    from cotdistill.results.compare import comparison_rows, comparison_table
    from cotdistill.runs.outdated import outdated_scores

    found, warnings = compare_runs(
        arguments.places,
        task=arguments.task,
        source=arguments.verdicts.value,
        all_pairs=arguments.all_pairs,
        anyway=arguments.anyway,
        run_sd=arguments.run_sd,
        baseline=arguments.baseline,
    )
    warnings = [*outdated_scores(arguments.places), *warnings]
    for warning in warnings:
        warn(warning)
    if arguments.json:
        show_json({"comparisons": comparison_rows(found), "warnings": warnings})
    else:
        show_narrow(comparison_table(found, arguments.flips))
