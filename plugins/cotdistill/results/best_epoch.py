"""The epoch of a training with the best score on the development questions becomes its model."""

from __future__ import annotations

import json
from pathlib import Path

from cotdistill.errors import DataError, Fault, MisuseError
from cotdistill.files.atomic import write_text
from cotdistill.files.json_file import read_object
from cotdistill.files.stale import link_in_place
from cotdistill.hosts.llamafactory.resume import checkpoints
from cotdistill.results.dev_scores import dev_score
from cotdistill.runfolder.epochs import (
    FOLDER,
    SCORES,
    EpochChoice,
    listed_run,
    listing_of,
    write_epoch_choice,
)
from cotdistill.runfolder.job import read_declared_jobs


def decide_epoch(folder: Path, name: str) -> list[str]:
    """Do the job of finding a run's epochs or of choosing one, and return lines that say so.

    Raises:
        MisuseError: the run folder has no such job.
        DataError: checkpoints or scores are missing or broken.
    """
    run = listed_run(name)
    if run is not None:
        steps = list_epochs(folder, run)
        return [f"{run}: epochs end at the steps {', '.join(map(str, steps))}"]
    choice = choose_epoch(folder, name)
    scores = ", ".join(f"{100 * score:.1f}" for score in choice.dev)
    return [f"{name}: epoch {choice.epoch} of {len(choice.dev)} (development scores {scores})"]


def list_epochs(folder: Path, run: str) -> list[int]:
    """Make a link to the checkpoint of each epoch, write their steps down, and return those.

    Raises:
        DataError: there are not as many checkpoints as epochs.
    """
    wanted = len(_scored(folder, run))
    found = checkpoints(folder / "checkpoints" / run)
    if len(found) != wanted:
        wrong = f"{len(found)} checkpoints of {wanted} epochs"
        remedy = f"remove done/train/{run}.json, and run again"
        raise DataError(Fault(str(folder / "checkpoints" / run), wrong, "one an epoch", remedy))
    for number, checkpoint in enumerate(found, start=1):
        link_in_place(folder, f"{FOLDER}/{run}/{number}", checkpoint)
    steps = [int(path.name.rpartition("-")[2]) for path in found]
    write_text(folder / listing_of(run), json.dumps({"steps": steps}) + "\n")
    return steps


def choose_epoch(folder: Path, run: str) -> EpochChoice:
    """Make the epoch with the best development score the run's model; of equals, the first.

    Raises:
        DataError: an epoch has no score.
    """
    scored = _scored(folder, run)
    dev = [dev_score(folder / SCORES / name).mean for name in scored]
    best = max(range(len(dev)), key=lambda place: (dev[place], -place))
    merged = folder / "exported" / scored[best]
    if merged.is_dir():
        link_in_place(folder, f"exported/{run}", merged)
    chosen = (folder / FOLDER / run / str(best + 1)).resolve()
    link_in_place(folder, f"{FOLDER}/{run}/best", chosen)
    steps = read_object(folder / listing_of(run), "the steps of a run's epochs")["steps"]
    choice = EpochChoice(best + 1, tuple(dev), tuple(steps))
    write_epoch_choice(folder, run, choice)
    return choice


def _scored(folder: Path, run: str) -> list[str]:
    """Return the names under which a run's epochs are scored, the first epoch first."""
    job = (read_declared_jobs(folder) or {}).get(("decide", run))
    if job is None:
        raise MisuseError(f"{folder}: no run '{run}' whose epochs are chosen")
    return [name for stage, name in job.needs if stage == "evaluate"]
