"""Options that several verbs share."""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

Files = Annotated[list[Path], typer.Argument(help="files of traces, or of any supported format")]
Against = Annotated[
    list[str] | None,
    typer.Option(help="test file, benchmark, or 'packaged' for all prepared ones; repeatable"),
]
Golds = Annotated[list[Path] | None, typer.Option(help="file with questions and reference answers")]
Workers = Annotated[int, typer.Option(help="number of processes [default: one per core]")]
SkipBad = Annotated[bool, typer.Option(help="skip and count malformed lines")]
Parquet = Annotated[bool, typer.Option(help="also write the rows as Parquet")]
Tokenizer = Annotated[str | None, typer.Option(help="tokenizer.json, model folder or hub id")]


def workers_or_all(workers: int) -> int:
    """Return the number of processes to use; 0 means one per core.

    >>> workers_or_all(3)
    3
    """
    if workers:
        return workers
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def progress_line() -> Any:
    """Return a function that shows progress on one line, on a terminal only."""
    if not sys.stderr.isatty():
        return lambda _: None
    return lambda line: sys.stderr.write(f"\r\033[K{line}")


class Verdicts(StrEnum):
    """Which verdicts the scores are computed from."""

    RUN = "run"
    RESCORED = "rescored"
    JUDGED = "judged"
