"""Whose verdicts a verb reads: an option that several verbs share."""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

Files = Annotated[list[Path], typer.Argument(help="files of traces, or of any seed's shape")]
Against = Annotated[
    list[str] | None,
    typer.Option(help="test file, benchmark name, or 'packaged' for all prepared; repeatable"),
]
Golds = Annotated[
    list[Path] | None, typer.Option(help="file with question and gold, joined by the question")
]
Workers = Annotated[int, typer.Option(help="processes [default: the processors]")]
SkipBad = Annotated[bool, typer.Option(help="go on without broken lines, counting them")]
Parquet = Annotated[bool, typer.Option(help="write the same rows as Parquet beside")]
Tokenizer = Annotated[str | None, typer.Option(help="tokenizer.json, model folder or hub id")]


def workers_or_all(workers: int) -> int:
    """Return the processes asked for; 0 asks for one a processor.

    >>> workers_or_all(3)
    3
    """
    if workers:
        return workers
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def progress_line() -> Any:
    """Return how progress is told: one line that is written over, on a terminal only."""
    if not sys.stderr.isatty():
        return lambda _: None
    return lambda line: sys.stderr.write(f"\r\033[K{line}")


class Verdicts(StrEnum):
    """Whose verdicts scores are made of."""

    RUN = "run"
    RESCORED = "rescored"
    JUDGED = "judged"
