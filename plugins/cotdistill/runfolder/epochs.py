"""The epochs of a training among which one is chosen: where their weights, scores and records lie.

A checkpoint is called by its step, which is not known before the rows are. So once a student is
trained, `epochs/<run>/<number>` is a link to the checkpoint of each epoch; each is scored on the
development questions, and `epochs/<run>/best` becomes a link to the chosen one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cotdistill.runfolder.json_record import read_json_record, write_json_record

FOLDER = "epochs"
SCORES = f"{FOLDER}/scores"
_LISTED = "--epochs"


@dataclass(frozen=True)
class EpochChoice:
    """Which epoch was chosen, and by which development scores.

    Units: `dev` fractions, epoch 1 first; `steps` are those of the epochs' checkpoints.
    """

    epoch: int
    dev: tuple[float, ...]
    steps: tuple[int, ...]


def listing_job_name(run: str) -> str:
    """Return the name of the job that finds the checkpoints of a run's epochs.

    >>> listing_job_name("tiny--long--full--s1")
    'tiny--long--full--s1--epochs'
    """
    return f"{run}{_LISTED}"


def listed_run(job: str) -> str | None:
    """Return the run whose checkpoints a job finds, None for another job."""
    return job.removesuffix(_LISTED) if job.endswith(_LISTED) else None


def listing_of(run: str) -> str:
    """Return where the list of a run's epochs lies, relative to the run folder."""
    return f"{FOLDER}/{run}/epochs.json"


def choice_of(run: str) -> str:
    """Return where the record of a run's chosen epoch lies."""
    return f"{FOLDER}/{run}/choice.json"


def write_epoch_choice(folder: Path, run: str, choice: EpochChoice) -> None:
    """Write which epoch of a run was chosen."""
    write_json_record(folder / choice_of(run), choice)


def read_epoch_choice(folder: Path, run: str) -> EpochChoice | None:
    """Return which epoch of a run was chosen; None where none is yet.

    Raises:
        DataError: the record is broken.
    """
    return read_json_record(folder / choice_of(run), EpochChoice, "the record of a chosen epoch")
