"""`merge`: models of one shape into another."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cotdistill.cli.tables import say, talk

_EVERY_SECONDS = 10

if TYPE_CHECKING:
    from cotdistill.models.merge.merge import MergeOptions, Sources


@dataclass(frozen=True, kw_only=True)
class MergeArguments:
    """What is merged, where to, and how it is written."""

    file: Annotated[Path, typer.Argument(help="YAML file that describes the merge")]
    output: Annotated[Path, typer.Option("-o", "--output", help="folder of the merged model")]
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="check all and estimate the cost; write nothing"),
    ] = False
    engine: Annotated[
        str, typer.Option(help="native, or the folder of an environment with mergekit")
    ] = "native"
    threads: Annotated[int, typer.Option(min=1, max=64, help="they do not change a weight")] = 1
    shard_gb: Annotated[
        float, typer.Option(min=0.000001, help="size of one weights file, in GB")
    ] = 5.0


def merge(arguments: MergeArguments) -> None:
    """Merge models of one shape into another: linear, task_arithmetic, ties, dare_*, slerp.

    Configurations and tokenizers are compared before anything is written; the donor's are copied
    as they are. The same file gives the same weights, with any number of threads.

    Example:
        cotdistill merge assistant.yaml -o models/assistant
        cotdistill merge assistant.yaml -o models/assistant --dry-run
    """
    from cotdistill.models.merge.file import folders_of, read_merge
    from cotdistill.models.merge.merge import MergeOptions, is_made, look_at, write_merge
    from cotdistill.models.merge.with_mergekit import write_by_mergekit

    settings = read_merge(arguments.file)
    sources = look_at(settings, folders_of(settings, arguments.file), arguments.file)
    for note in sources.notes:
        talk(f"note: {note}")
    options = MergeOptions(arguments.threads, int(arguments.shard_gb * 1e9), _progress())
    if arguments.dry_run:
        _show_estimate(sources, options)
        return
    engine = "native" if arguments.engine == "native" else "mergekit"
    if is_made(sources, arguments.output, engine):
        talk("made before: nothing to do")
    elif engine == "native":
        write_merge(sources, arguments.output, options)
    else:
        write_by_mergekit(sources, arguments.output, options, arguments.engine)
    say(f"{arguments.output}")


def _progress() -> Callable[[int, int], None]:
    """Return what says how far a merge is, every few seconds."""
    started = shown = time.monotonic()

    def progress(done: int, total: int) -> None:
        nonlocal shown
        now = time.monotonic()
        if now - shown < _EVERY_SECONDS:
            return
        shown = now
        left = (now - started) * (total - done) / max(done, 1)
        talk(f"{done / total:.0%} of {total:,} weights, {left:,.0f} s left")

    return progress


def _show_estimate(sources: Sources, options: MergeOptions) -> None:
    from cotdistill.models.merge.merge import estimate

    found = estimate(sources, options)
    write = sys.stdout.write
    write(f"models      {len(sources.candidates)} of {found.weights:,} weights\n")
    write(f"writes      {found.output_bytes / 1e9:,.2f} GB in {found.files} files\n")
    write(f"memory      {found.memory_bytes / 2**30:,.2f} GiB, next to the system's file cache\n")
    write(f"CPU time    {found.cpu_seconds:,.0f} s, from a sample that was merged here\n")
