"""`plan`: what a study will cost and what it can show."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from cotdistill.cli.tables import show_table


def plan(
    study: Annotated[str, typer.Argument(help="a packaged study's name or a file")],
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="change the study")
    ] = None,
    teraflops: Annotated[float, typer.Option(min=0.001, help="dense bf16 of a device")] = 312,
    utilisation: Annotated[float, typer.Option(min=0.001, max=1)] = 0.35,
    memory: Annotated[float, typer.Option(min=0.1, help="GiB of a device")] = 80,
    calibrate: Annotated[
        Path | None, typer.Option(help="a run folder whose trainings show the machine's speed")
    ] = None,
    row_tokens: Annotated[int, typer.Option(min=1, help="where rows are not at hand")] = 600,
    answer_tokens: Annotated[int, typer.Option(min=1, help="generated an answer")] = 1000,
    decode: Annotated[float, typer.Option(min=1, help="tokens a second and device")] = 2000,
    judge_share: Annotated[float, typer.Option(min=0, max=1, help="answers to judge")] = 0.5,
    price_hour: Annotated[float | None, typer.Option(help="money a device hour")] = None,
    price_judge: Annotated[float | None, typer.Option(help="money a million tokens")] = None,
    budget_hours: Annotated[float | None, typer.Option(help="refuse more device hours")] = None,
    budget: Annotated[float | None, typer.Option(help="refuse what costs more")] = None,
) -> None:
    """Print runs, tokens, steps, device hours, memory, calls, and the effects a task can show.

    Example: cotdistill plan learnability-gap --price-hour 2.5 --budget 500
    """
    from cotdistill.preflight.cost import Machine
    from cotdistill.preflight.plan import Assumed, calibrated, check_budget
    from cotdistill.preflight.plan import plan as make_plan
    from cotdistill.preflight.plan_tables import cost_table, power_table

    assumed = Assumed(
        Machine(teraflops, utilisation, memory),
        row_tokens,
        answer_tokens,
        decode,
        judge_share,
        price_judge,
        price_hour,
    )
    if calibrate is not None:
        assumed = calibrated(calibrate, assumed)
    made = make_plan(study, set_ or [], assumed)
    show_table(cost_table(made))
    sys.stdout.write("\n")
    show_table(power_table(made))
    check_budget(made, budget_hours, budget)
