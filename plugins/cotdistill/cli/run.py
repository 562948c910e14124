"""`run`: execute a run folder."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cotdistill.errors import MisuseError
from cotdistill.tables import counted

if TYPE_CHECKING:
    from collections.abc import Callable

    from cotdistill.runs.run import Ran, Tell
    from cotdistill.runs.watch import Event

_QUIET_SECONDS = 30.0
_LATER_SECONDS = 300.0
_EARLY_LINES = 10
"""After so many status lines in a row a log gets them less often: a training may take days."""


def run(
    folder: Annotated[Path, typer.Argument(help="run folder")],
    snakemake: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-- SNAKEMAKE...]", help="arguments for Snakemake"),
    ] = None,
    gpus: Annotated[
        int | None, typer.Option(min=0, help="number of GPUs [default: all visible]")
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, help="concurrent jobs [default: GPUs + 1, or cores up to 4]"),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="stage (prepare, train, export, evaluate, collect) or pattern of run names"
        ),
    ] = None,
    keep_going: Annotated[
        bool, typer.Option(help="continue with independent jobs after a failure")
    ] = False,
    dry_run: Annotated[bool, typer.Option(help="list the jobs that would run, and why")] = False,
) -> None:
    """Execute a run folder: prepare, train, export, evaluate, collect.

    Finished jobs are not repeated; after an interruption, the same command resumes.

    Example:
        cotdistill run runs/gap --gpus 4 --only 'qwen*'
        cotdistill run runs/gap --jobs 50 -- --executor slurm
    """
    from cotdistill.runs.options import RunOptions
    from cotdistill.runs.run import planned
    from cotdistill.runs.run import run as run_all

    options = RunOptions(
        only=tuple(only or ()),
        gpus=gpus,
        jobs=jobs,
        keep_going=keep_going,
        snakemake=tuple(snakemake or ()),
    )
    if snakemake and not snakemake[0].startswith("-"):
        raise MisuseError(f"cotdistill run: '{snakemake[0]}'; one folder, then -- for snakemake")
    if dry_run:
        plan = planned(folder, options)
        width = max((len(" ".join(job)) for job in plan.pending), default=0)
        for job, reason in plan.pending.items():
            sys.stdout.write(f"{' '.join(job):<{width}}  {reason}\n")
        for move in plan.moves:
            _say(move)
        for obstacle in plan.obstacles:
            _say(f"not on this machine: {obstacle}")
        _say(f"{counted(len(plan.pending), 'job')} to run, {len(plan.finished)} finished")
        return
    try:
        ran = _with_progress(lambda tell: run_all(folder, options, tell))
    except KeyboardInterrupt:
        _say("stopped; run the same command to resume")
        raise typer.Exit(130) from None
    _summarise(ran)
    report = folder / "report" / "report.md"
    if not ran.failures and not ran.left and report.is_file():
        sys.stdout.write(f"{report}\n")
    if ran.failures or ran.left:
        raise typer.Exit(1)


def _summarise(ran: Ran) -> None:
    for failure in ran.failures:
        _say(str(failure))
    if ran.moved:
        _say(
            f"outdated results were moved aside: {', '.join(ran.moved[:3])}"
            + (f" and {len(ran.moved) - 3} more" if len(ran.moved) > 3 else "")
        )
    parts = [f"{counted(len(ran.done), 'job')} finished in {ran.seconds:.1f} s"]
    parts += [f"{len(ran.before)} already finished"] if ran.before else []
    parts += [f"{len(ran.failures)} failed"] if ran.failures else []
    parts += [f"{len(ran.left)} left to do"] if ran.left else []
    _say(", ".join(parts))


def _with_progress(work: Callable[[Tell], Ran]) -> Ran:
    if not sys.stderr.isatty():
        return work(_Lines())
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(stderr=True)
    with Live(console=console, refresh_per_second=4, transient=True) as live:

        def tell(events: list[Event], line: str) -> None:
            for event in events:
                if _is_worth_a_line(event):
                    console.print(Text(str(event)))
            live.update(Text(line, no_wrap=True, overflow="ellipsis"))

        return work(tell)


class _Lines:
    """Plain lines: one per event, and a status line when nothing has happened for a while."""

    def __init__(self) -> None:
        self.last = time.monotonic()
        self.line = ""
        self.quiet_lines = 0

    def __call__(self, events: list[Event], line: str) -> None:
        shown = [event for event in events if _is_worth_a_line(event)]
        for event in shown:
            _say(str(event))
        pause = _QUIET_SECONDS if self.quiet_lines < _EARLY_LINES else _LATER_SECONDS
        quiet = time.monotonic() - self.last >= pause
        if shown:
            self.quiet_lines = 0
        if quiet and line != self.line:
            _say(line)
            self.line = line
            self.quiet_lines += 1
        if shown or quiet:
            self.last = time.monotonic()


def _is_worth_a_line(event: Event) -> bool:
    if event.job is None or event.what != "started":
        return True
    return event.job.stage in ("train", "evaluate")


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
