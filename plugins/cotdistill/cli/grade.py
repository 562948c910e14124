"""`grade`: grade every row of a file of traces or model outputs."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from cotdistill.cli.tables import show_table, talk
from cotdistill.tables import counted

_LINE_EVERY = 10.0  # seconds between lines of progress where no terminal listens


@dataclass(frozen=True, kw_only=True)
class GradeOptions:
    """The rows to grade, and how they are read."""

    file: Annotated[Path, typer.Argument(help="rows to grade (.jsonl or .json)")]
    prediction: Annotated[
        str, typer.Option(help="column of the text to grade; dots descend: resps.0.0")
    ] = "rationale"
    gold: Annotated[str, typer.Option(help="column of the reference answer")] = "gold"
    gold_file: Annotated[
        Path | None, typer.Option(help="separate file with the reference answers")
    ] = None
    on: Annotated[str, typer.Option(help="column that joins the two files")] = "id"
    kind: Annotated[
        str | None,
        typer.Option(
            help="number, expression, letter, boolean, date, text or auto [default: each row's own]"
        ),
    ] = None
    strict: Annotated[
        bool, typer.Option("--strict", help="accept explicitly stated answers only")
    ] = False
    tolerance: Annotated[float | None, typer.Option(help="relative tolerance, e.g. 0.01")] = None
    steps: Annotated[
        bool, typer.Option("--steps", help="also check the arithmetic of each step")
    ] = False
    workers: Annotated[int, typer.Option(min=1, help="processes")] = 1
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="output file [default: FILE.graded.jsonl]")
    ] = None


def grade(options: GradeOptions) -> None:
    """Grade each row's final answer and name the rule that extracted it.

    Example:
        cotdistill grade traces.jsonl --gold-file gsm8k.jsonl --on question
    """
    from cotdistill.corpus.grade_file import (
        GradeColumns,
        GradeSettings,
        checked_kind,
        checked_tolerance,
        grade_file,
    )

    columns = GradeColumns(prediction=options.prediction, gold=options.gold, on=options.on)
    settings = GradeSettings(
        checked_kind(options.kind),
        options.strict,
        checked_tolerance(options.tolerance),
        options.steps,
        options.workers,
    )
    target = options.output or options.file.with_name(f"{options.file.stem}.graded.jsonl")
    with _progress() as advance:
        counts = grade_file(
            options.file,
            target,
            columns=columns,
            gold_file=options.gold_file,
            settings=settings,
            advance=advance,
        )
    show_table(counts.table)
    talk(f"wrote {counted(counts.rows, 'row')}: {counts.written}")


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[int], None]]:
    """Show rows done: a live line on a terminal, a plain line now and then elsewhere."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        shown = (
            SpinnerColumn(),
            TextColumn("{task.completed:,.0f} rows graded"),
            TimeElapsedColumn(),
        )
        with Progress(*shown, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("grade", total=None)
            yield lambda done: bar.update(task, completed=done)
        return
    last = time.monotonic()

    def say(done: int) -> None:
        nonlocal last
        if time.monotonic() - last >= _LINE_EVERY:
            last = time.monotonic()
            talk(f"{counted(done, 'row')} graded")
            sys.stderr.flush()

    yield say
