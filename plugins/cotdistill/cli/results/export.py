"""`export`: results, cards and logs for other tools and for the hub."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cotdistill.cli.options import Verdicts
from cotdistill.cli.tables import say, talk, warn
from cotdistill.tables import counted


class Format(StrEnum):
    """What results can be written as."""

    EVERY_EVAL_EVER = "every-eval-ever"
    INSPECT = "inspect"
    CARDS = "cards"


@dataclass(frozen=True, kw_only=True)
class ExportArguments:
    """The run folder, and what becomes of its results."""

    folder: Annotated[Path, typer.Argument(metavar="RUNFOLDER", help="a run folder with scores")]
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="write here [default: published/ in the run folder]"),
    ] = None
    format: Annotated[
        list[Format] | None, typer.Option(help="only this format; repeatable [default: all]")
    ] = None
    verdicts: Annotated[Verdicts, typer.Option(help="which verdicts to use")] = Verdicts.RUN
    push: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="also push weights, rows and cards to this user or organisation of the hub "
            "(HF_ENDPOINT, HF_TOKEN)",
        ),
    ] = None
    public: Annotated[
        bool, typer.Option("--public", help="push to public repositories, not to private ones")
    ] = False


def export(arguments: ExportArguments) -> None:
    """Write results as Every Eval Ever records and Inspect logs, and model and dataset cards.

    Example:
        cotdistill export runs/quickstart
        cotdistill export runs/quickstart --format cards --push my-lab
    """
    from cotdistill.results.publish.publish import FORMATS, Export
    from cotdistill.results.publish.publish import export as write_export
    from cotdistill.runs.outdated import outdated_scores

    done = write_export(
        Export(
            arguments.folder,
            arguments.out,
            [one.value for one in arguments.format] if arguments.format else FORMATS,
            arguments.verdicts.value,
            arguments.push,
            arguments.public,
        )
    )
    for line in (*outdated_scores([arguments.folder]), *done.left_out):
        warn(line)
    for kind, count in done.counts.items():
        say(f"{count} {kind}" if count != 1 else f"1 {kind.removesuffix('s')}")
    if done.removed:
        talk(f"removed {counted(done.removed, 'file')} of an earlier export")
    talk(f"wrote {done.target}")
    for address in done.pushed:
        say(f"pushed {address}")
