"""The hidden verb `step`: one job of a run folder. It must start fast, so it does not use typer."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path


def step(arguments: Sequence[str]) -> int:
    """Execute one job and return the exit status; the Snakefile's rules call this.

    Example: cotdistill step train tiny--long--full--s42 --folder runs/gap
    """
    parser = argparse.ArgumentParser(prog="cotdistill step", description=step.__doc__)
    parser.add_argument("stage", help="prepare, train, export, evaluate or collect")
    parser.add_argument("name", help="the run's, arm's or scratch student's name")
    parser.add_argument("--folder", type=Path, default=Path(), help="the run folder")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.inside:
        from cotdistill.runs.own_jobs import run_own_job

        run_own_job(given.folder, given.stage, given.name)
        return 0
    from cotdistill.runs.step import run_step

    return run_step(given.folder, given.stage, given.name)
