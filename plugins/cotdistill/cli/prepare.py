"""`prepare`: store a benchmark's questions locally."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from cotdistill.tables import counted


def prepare(
    name: Annotated[str, typer.Argument(help="benchmark; see cotdistill list benchmarks")],
    source: Annotated[
        Path | None,
        typer.Option("--from", help="read this .jsonl, .json or .parquet file instead of the hub"),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(help="train, validation or test [default: all, or from the file name]"),
    ] = None,
    any_size: Annotated[
        bool, typer.Option("--any-size", help="accept an unexpected number of rows")
    ] = False,
) -> None:
    """Download a benchmark's questions, or read them from a file, into one record format.

    They are stored in $COTDISTILL_DATA [default: ~/.cache/cotdistill/data], where the lm-eval
    tasks find them from any folder. A ledger records their source and counts dropped rows.

    Example:
        cotdistill prepare gsm8k
        cotdistill prepare math500 --from MATH-500/test.jsonl
    """
    from cotdistill.benchmarks.prepare import prepare as prepare_benchmark

    for done in prepare_benchmark(name, source, split, any_size=any_size):
        sys.stdout.write(
            f"{done.dataset} {done.split}: {counted(done.rows, 'question')} in {done.path}\n"
        )
        for reason, count in done.dropped.items():
            sys.stderr.write(
                f"{done.dataset} {done.split}: {counted(count, 'row')} dropped: {reason}\n"
            )
