"""`plan`: estimate a study's cost and statistical power."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from cotdistill.cli.options import SET_HELP
from cotdistill.cli.tables import show_table


@dataclass(frozen=True, kw_only=True)
class PlanOptions:
    """The study to plan, and what is assumed of the machine and its prices."""

    study: Annotated[str, typer.Argument(help="packaged study, study file or run folder")]
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help=SET_HELP),
    ] = None
    teraflops: Annotated[
        float | None,
        typer.Option(min=0.001, help="dense bf16 peak of one device; of GPUs 312, of CPUs unknown"),
    ] = None
    utilisation: Annotated[
        float, typer.Option(min=0.001, max=1, help="share of the peak reached")
    ] = 0.35
    memory: Annotated[float, typer.Option(min=0.1, help="GiB per device")] = 80
    calibrate: Annotated[
        Path | None, typer.Option(help="run folder whose finished runs give this machine's speeds")
    ] = None
    row_tokens: Annotated[
        int, typer.Option(min=1, help="tokens per row where rows are not available")
    ] = 600
    answer_tokens: Annotated[
        int, typer.Option(min=1, help="expected tokens per generated answer")
    ] = 1000
    decode: Annotated[
        float | None,
        typer.Option(
            min=1, help="generated tokens per second and device; of GPUs 2000, of CPUs unknown"
        ),
    ] = None
    judge_share: Annotated[
        float, typer.Option(min=0, max=1, help="share of answers sent to the judge")
    ] = 0.5
    price_hour: Annotated[float | None, typer.Option(help="price per device hour")] = None
    price_judge: Annotated[float | None, typer.Option(help="price per million judge tokens")] = None
    budget_hours: Annotated[
        float | None, typer.Option(help="fail if the estimate exceeds this many device hours")
    ] = None
    budget: Annotated[
        float | None, typer.Option(help="fail if the estimated cost exceeds this")
    ] = None
    as_json: Annotated[bool, typer.Option("--json", help="print the plan as JSON")] = False


def plan(options: PlanOptions) -> None:
    """Estimate runs, tokens, device hours, memory, disk, cost, and the effects a task can detect.

    With --json: an object with `runs` (each with `tokens`, `steps`, `hours`, `memory` and `disk`
    in GiB), `tasks`, totals and `notes`. A task has `detectable`, points by run standard deviation;
    `detectable_among_all`, corrected for all comparisons; and `alternatives`, with more answers,
    seeds or questions.

    Example:
        cotdistill plan learnability-gap --price-hour 2.5 --budget 500
    """
    from cotdistill.preflight.asking import asked_table
    from cotdistill.preflight.cost import Machine
    from cotdistill.preflight.plan import calibrated, check_budget
    from cotdistill.preflight.plan import plan as make_plan
    from cotdistill.preflight.plan_tables import as_json, cost_table, power_table, remedy_table
    from cotdistill.preflight.planned import Assumed

    assumed = Assumed(
        Machine(options.teraflops, options.utilisation, options.memory),
        options.row_tokens,
        options.answer_tokens,
        options.decode,
        judge_share=options.judge_share,
        judge_price=options.price_judge,
        hour_price=options.price_hour,
    )
    if options.calibrate is not None:
        assumed = calibrated(options.calibrate, assumed)
    made = make_plan(options.study, options.set_ or [], assumed)
    if options.as_json:
        sys.stdout.write(json.dumps(as_json(made), indent=2, ensure_ascii=False) + "\n")
    else:
        asked = (asked_table(made.asked),) if made.asked else ()
        tables = (made.design, cost_table(made), *asked, power_table(made), remedy_table(made))
        for number, table in enumerate(tables):
            sys.stdout.write("\n" if number else "")
            show_table(table)
    check_budget(made, options.budget_hours, options.budget)
