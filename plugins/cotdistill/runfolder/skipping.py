"""Jobs that are not to be done after all, because the outcome of an earlier one says so.

A study's jobs are all declared beforehand, those of every round of a loop too. A record of an
earlier job, a JSON file, may hold `skip`: an object of names of jobs or arms, or "*" for all jobs
that look at it, each with the reason. Such a job finishes at once, and its record says `skipped`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from cotdistill.errors import DataError, Fault
from cotdistill.files.json_file import NOT_JSON
from cotdistill.runfolder.job import Job

EVERY = "*"
SKIP = "skip"


def why_skipped(folder: Path, job: Job) -> str:
    """Return why a job is not to be done; an empty text where it is.

    Raises:
        DataError: a record that it has to look at is missing or broken.
    """
    for name in job.unless:
        path = folder / name
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except NOT_JSON as error:
            remedy = "remove the record of the job that wrote it, in done/, and run again"
            raise DataError(Fault(str(path), f"cannot be read ({error})", "", remedy)) from error
        skip = record.get(SKIP) if isinstance(record, dict) else None
        if isinstance(skip, Mapping) and (why := _first(skip, job.name, job.arm, EVERY)):
            return str(why)
    return ""


def _first(skip: Mapping[str, object], *names: str | None) -> object:
    return next((skip[name] for name in names if name is not None and name in skip), "")
