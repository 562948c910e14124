"""`prepare`: bring a benchmark's questions here."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def prepare(
    name: Annotated[str, typer.Argument(help="a benchmark; see cotdistill list benchmarks")],
    source: Annotated[
        Path | None,
        typer.Option("--from", help="a .jsonl, .json or .parquet file instead of the hub"),
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="train, validation or test; else all, or as FILE is named")
    ] = None,
    any_size: Annotated[
        bool, typer.Option("--any-size", help="accept a number of rows that is not a known one")
    ] = False,
) -> None:
    """Fetch a benchmark's questions, or read them from a file, into one record shape.

    They go to $COTDISTILL_DATA (else ~/.cache/cotdistill/data), where the lm-eval tasks find them
    from any folder. Every row is counted; the ledger beside them says where they come from.

    Example: cotdistill prepare gsm8k

    Example: cotdistill prepare math500 --from MATH-500/test.jsonl
    """
    from cotdistill.benchmarks.prepare import prepare as prepare_benchmark

    for done in prepare_benchmark(name, source, split, any_size=any_size):
        sys.stdout.write(f"{done.dataset} {done.split}: {done.rows} questions in {done.path}\n")
        for reason, count in done.dropped.items():
            sys.stderr.write(f"{done.dataset} {done.split}: {count} rows left out: {reason}\n")
