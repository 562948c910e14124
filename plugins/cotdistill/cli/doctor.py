"""`doctor`: check each stage's environment."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Annotated

import typer

from cotdistill.cli.tables import WIDTH, say, wrapped
from cotdistill.errors import MisuseError

_LONG = 5.0  # seconds after which a check is named where no terminal listens


def doctor(
    what: Annotated[
        str | None,
        typer.Argument(help="study name, study file or run folder [default: this machine]"),
    ] = None,
    stage: Annotated[
        list[str] | None,
        typer.Option(
            help="a stage of the workflow, run, serve or programs [default: all that are needed]"
        ),
    ] = None,
    environment: Annotated[
        list[str] | None,
        typer.Option(
            "--env", help="stage=PREFIX: a virtual environment's folder or a command prefix"
        ),
    ] = None,
    deep: Annotated[bool, typer.Option("--deep", help="also import the hosts (slower)")] = False,
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", help="override a study value, key=value; repeatable"),
    ] = None,
) -> None:
    """Check each stage's environment and print the command that fixes what is broken.

    Example:
        cotdistill doctor learnability-gap --env evaluate='conda run -n eval'
    """
    from cotdistill.preflight.doctor import examine

    prefixes = {}
    for pair in environment or ():
        name, equals, prefix = pair.partition("=")
        if not equals:
            raise MisuseError(f"cotdistill doctor: --env {pair} is not stage=PREFIX")
        prefixes[name] = prefix
    with shown_while_it_runs() as tell:
        examined = examine(what, stage or (), prefixes, deep, sets or (), tell)
    for one in examined:
        for line in wrapped(f"{one.stage:<9} {one.state:<7} {one.holds}", indent=18):
            say(line)
        for finding in one.findings:
            together = f"  {finding.grade}: {finding}"
            if len(together) <= WIDTH or not finding.remedy:
                lines = wrapped(together, indent=4)
            else:  # what is to be typed is never broken
                lines = [*wrapped(f"  {finding.grade}: {finding.wrong}", indent=4)]
                lines.append(f"    {finding.remedy}")
            for line in lines:
                say(line)
    unfit = [one.stage for one in examined if one.state != "works"]
    checked = "imports and versions" if deep else "versions and libraries; --deep also imports"
    sys.stderr.write(f"checked {checked}\n")
    if unfit:
        sys.stderr.write(f"will not work: {', '.join(unfit)}\n")
        raise typer.Exit(1)


@contextlib.contextmanager
def shown_while_it_runs(seconds: float = _LONG) -> Iterator[Callable[[str], None]]:
    """Show which check runs: at once on a terminal, elsewhere a line if it takes long."""
    if sys.stderr.isatty():
        try:
            yield lambda check: _write(f"\r\033[K{check} ...")
        finally:
            _write("\r\033[K")
        return
    waiting: list[threading.Timer] = []

    def stop() -> None:
        while waiting:
            waiting.pop().cancel()

    def tell(check: str) -> None:
        stop()
        timer = threading.Timer(seconds, _write, [f"checking {check}\n"])
        timer.daemon = True
        waiting.append(timer)
        timer.start()

    try:
        yield tell
    finally:
        stop()


def _write(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()
