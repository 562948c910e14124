"""A loop as a job of it sees it: its declaration, its run, its rounds by name."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

from cotdistill.errors import MisuseError
from cotdistill.files.json_file import NOT_JSON
from cotdistill.runfolder.job import JobId, marker_of
from cotdistill.runfolder.manifest import ManifestRun, Outputs, read_manifest
from cotdistill.studies.load import study_of
from cotdistill.studies.requests import Loop
from cotdistill.studies.study import Study

_ROUND = "--round"


@dataclass(frozen=True)
class LoopRun:
    """One run of a loop in a run folder, and the number of the round that a job is about.

    `round` is 0 for the job of the whole loop.
    """

    folder: Path
    study: Study
    run: ManifestRun
    loop: Loop
    round: int

    def name(self, number: int) -> str:
        """Return the name of a round; that of round 0 is its starting model's."""
        if number:
            return f"{self.run.run}{_ROUND}{number}"
        if self.loop.start is None:
            return f"{self.run.student}--untouched{_ROUND}0"
        seed = self.run.seed
        return f"{self.run.student}--{self.loop.start}--{self.run.recipe}--s{seed}{_ROUND}0"

    @property
    def place(self) -> str:
        """Where the study lies, for messages."""
        return str(self.folder / "study.yaml")


def loop_run(folder: Path, name: str) -> LoopRun:
    """Return the loop that a job is about, by the job's name.

    Raises:
        MisuseError: the run folder has no such loop.
    """
    run_name, _, number = name.partition(_ROUND)
    study = study_of(folder)
    found = _run_called(folder, run_name)
    loop = study.loops().get(found.arm) if found else None
    if found is None or loop is None:
        raise MisuseError(f"{folder}: no loop '{run_name}'")
    return LoopRun(folder, study, found, loop, int(number or 0))


def _run_called(folder: Path, name: str) -> ManifestRun | None:
    """Return a run of the manifest, or one of a race: as the study's own, with another seed."""
    runs = read_manifest(folder)
    head, mark, seed = name.rpartition("--s")
    exact = next((run for run in runs if run.run == name), None)
    if exact is not None:
        return exact
    for run in runs:
        if mark and seed.isdigit() and run.run.rpartition("--s")[0] == head:
            outputs = Outputs(
                f"checkpoints/{name}",
                f"exported/{name}" if run.outputs.export else None,
                f"race/scores/{name}",
            )
            return replace(run, run=name, seed=int(seed), outputs=outputs)
    return None


def seconds_of(folder: Path, job: JobId) -> float | None:
    """Return how long a finished job took; None where it has no record."""
    try:
        record = json.loads((folder / marker_of(job)).read_text(encoding="utf-8"))
        return float(record["seconds"])
    except (*NOT_JSON, KeyError, TypeError, ValueError):
        return None
