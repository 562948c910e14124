"""`new`: drafts of files for a bundle."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def new(
    kind: Annotated[str, typer.Argument(help="benchmark, task, study or prompt")],
    name: Annotated[str, typer.Argument(help="name of the new thing")],
    source: Annotated[
        Path | None, typer.Option("--from", help="rows to make it from (.jsonl, .json, .parquet)")
    ] = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="bundle folder that the file goes into")
    ] = Path(),
    benchmark: Annotated[
        str | None, typer.Option(help="benchmark that a task asks [default: the task's name]")
    ] = None,
) -> None:
    """Write the draft of a benchmark, task, study or prompt, from the first rows of a file.

    The columns are guessed. The draft works as it is; what was guessed is printed for you to check,
    with the commands to run next. `new task` with --from also drafts the task's benchmark.

    Example:
        cotdistill new task my_sums --from questions.jsonl -o my-bundle
    """
    from cotdistill.studies.drafts import new_draft

    draft = new_draft(kind, name, source, output, benchmark)
    for path in draft.written:
        sys.stdout.write(f"{path}\n")
    for line in draft.look_at:
        sys.stderr.write(f"check {line}\n")
    for command in draft.next:
        sys.stderr.write(f"next: {command}\n")
