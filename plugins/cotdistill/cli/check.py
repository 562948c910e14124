"""`check`: find all errors in the package, a study, or a run folder."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Annotated

import typer

from cotdistill.cli.options import SET_HELP
from cotdistill.cli.tables import say, talk
from cotdistill.tables import counted


def check(
    what: Annotated[
        str | None,
        typer.Argument(help="study name, study file or run folder [default: the package]"),
    ] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", help=SET_HELP, metavar="KEY=VALUE"),
    ] = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="also check with LLaMA-Factory's own code (slower)")
    ] = False,
    show_mask: Annotated[
        int, typer.Option("--show-mask", help="print N rows of each arm with their loss mask")
    ] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="print the report as JSON")] = False,
) -> None:
    """Check a study, a run folder, or the package itself, and report all errors at once.

    With --json: an object with `looked_at`, `faults` (each with `place`, `wrong`, `expected` and
    `remedy`), `rows` and `notes`.

    Example:
        cotdistill check runs/gap --deep --show-mask 2
    """
    from cotdistill.preflight.check import check as find_faults

    found = find_faults(what, sets or [], deep, show_mask)
    if as_json:
        sys.stdout.write(json.dumps(asdict(found), indent=2, ensure_ascii=False) + "\n")
        if found.faults:
            raise typer.Exit(1)
        return
    for report in found.rows:
        sys.stdout.write(
            f"{report.run}: {counted(report.rows, 'row')}, {counted(report.tokens, 'token')}, "
            f"{report.trained_tokens:,} trained on, longest {report.longest:,} "
            f"(cutoff_len {report.cutoff_len:,})\n"
        )
        for number, row in enumerate(report.shown, start=1):
            sys.stdout.write(f"  row {number}\n")
            for trained, text in row:
                sys.stdout.write(f"    {'trained' if trained else 'prompt '} | {text!r}\n")
    for fault in found.faults:
        say(str(fault))
    for note in found.notes:
        talk(f"note: {note}")
    for line in found.looked_at:
        talk(f"checked {line}")
    sys.stderr.write(f"{len(found.faults) or 'no'} fault{'s' * (len(found.faults) != 1)}\n")
    if found.faults:
        raise typer.Exit(1)
