"""Build what a run needs before it can train: its arm's rows, and its student if from scratch."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from cotdistill import __version__
from cotdistill.arms.composed import filtered_rows, mixed_rows
from cotdistill.arms.rows import (
    Tally,
    filter_of,
    gold_files,
    inputs_of,
    is_at_hand,
    is_filtered,
    plain_rows,
    sources_of,
)
from cotdistill.corpus.mixing.mixture import mixture
from cotdistill.errors import DataError, Fault, StudyError, did_you_mean
from cotdistill.files.atomic import sha256_of
from cotdistill.files.jsonl import Row, read_rows, write_rows
from cotdistill.files.ledger import Ledger, LedgerFile, ledger_path, read_ledger, write_ledger
from cotdistill.files.locks import waited_lock
from cotdistill.studies.arm import FileArm, MixedArm, PuzzleArm
from cotdistill.studies.load import study_of
from cotdistill.studies.study import ScratchStudent, Study


def has_data_file(study: Study, arm: str) -> bool:
    """Return whether an arm gets a file; a plain hub dataset is left to LLaMA-Factory."""
    declared = study.arms[arm]
    if isinstance(declared, FileArm | PuzzleArm | MixedArm) or declared.filter:
        return True
    return sources_of(study, arm)[0].path is not None


def is_buildable_now(study: Study, arm: str) -> bool:
    """Return whether an arm needs neither a network nor the time that a filter takes."""
    if is_filtered(study, arm):
        return False
    return all(is_at_hand(source) for source in sources_of(study, arm))


def arm_digest(study: Study, arm: str) -> str:
    """Return a hash of everything that decides an arm's rows, apart from the hub's own contents."""
    declared = study.arms[arm]
    said = {arm: declared.model_dump(mode="json", exclude={"train"})}
    if isinstance(declared, MixedArm):
        for name in declared.mix:
            source = study.arms.get(name)
            said[name] = source.model_dump(mode="json", exclude={"train"}) if source else {}
    files = [
        (source.name, sha256_of(source.path) if source.path.is_file() else None)
        for source in sources_of(study, arm)
        if source.path is not None
    ]
    files += [
        (path.name, sha256_of(path) if path.is_file() else None) for path in gold_files(study, arm)
    ]
    text = json.dumps([said, files, __version__], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def arm_rows(study: Study, arm: str, folder: Path, tally: Tally) -> Iterator[Row]:
    """Yield the rows of any arm in their final order, counted in a tally as they go by.

    Raises:
        DataError: a source is missing or broken, a row lacks a mapped column, no row passes a
            filter, or a mix asks for more than there is.
    """
    declared = study.arms[arm]
    if isinstance(declared, MixedArm):
        yield from mixed_rows(
            study, declared, folder, tally, lambda name: write_arm(study, name, folder)
        )
    elif filter_of(study, arm):
        yield from filtered_rows(study, arm, folder, tally)
    else:
        yield from plain_rows(study, arm, tally)


def check_arm(study: Study, arm: str) -> None:
    """Read an arm at hand to its last row, and see whether a mix can be met; writes nothing.

    Raises:
        DataError: every row that is wrong, or the most that a mix can have.
    """
    declared = study.arms[arm]
    if not isinstance(declared, MixedArm):
        for _ in plain_rows(study, arm):
            pass
        return
    sizes = {name: sum(1 for _ in plain_rows(study, name)) for name in declared.mix}
    if declared.rows and not (declared.matched or declared.length_matched):
        mixture(sizes, declared.mix, declared.rows, declared.seed, replace=declared.replace)


def build_arm(folder: Path, arm: str) -> Path:
    """Write `data/<arm>.jsonl` and its ledger into a run folder, unless they are there and current.

    Raises:
        DataError: a source is missing or broken; nothing is written.
        StudyError: the study has no such arm.
    """
    study = study_of(folder)
    if arm not in study.arms:
        hint = did_you_mean(arm, list(study.arms))
        raise StudyError(Fault(str(folder / "study.yaml"), f"no arm '{arm}'", "", hint))
    return write_arm(study, arm, folder)


def write_arm(study: Study, arm: str, folder: Path) -> Path:
    """Write an arm's rows and ledger into `folder/data`, unless they are there and current.

    Jobs that run at once may want the same arm, a mix and its source say: one makes it.
    """
    path = folder / "data" / f"{arm}.jsonl"
    digest = arm_digest(study, arm)
    if not is_current(path, digest):
        with waited_lock(path.with_name(f".{arm}.lock"), f"process {os.getpid()}"):
            if not is_current(path, digest):
                _write_arm(study, arm, folder, digest)
    return path


def _write_arm(study: Study, arm: str, folder: Path, digest: str) -> None:
    path = folder / "data" / f"{arm}.jsonl"
    missing = [
        source for source in sources_of(study, arm) if source.path and not is_at_hand(source)
    ]
    if missing:
        raise DataError(_missing_file(source.name, source.path) for source in missing)
    ledger_path(path).unlink(missing_ok=True)  # a file without a ledger is not a finished file
    tally = Tally()
    count = write_rows(path, arm_rows(study, arm, folder, tally))
    declared = study.arms[arm]
    write_ledger(
        path,
        Ledger(
            made_by="generate",
            inputs=tuple(inputs_of(study, arm, tally.read)),
            outputs=(LedgerFile.of(path, count, name=path.name),),
            counts={"kept": count, **dict(sorted(tally.dropped.items()))},
            settings=declared.model_dump(mode="json"),
            seed=getattr(declared, "seed", None),
            notes={"digest": digest, **tally.notes},
        ),
    )


def build_student(folder: Path, student: str, arm: str) -> Path:
    """Write the model of a scratch student, its tokenizer trained on one arm's text.

    Raises:
        StudyError: the study has no such scratch student or arm.
        DataError: the arm's rows cannot be read.
    """
    from cotdistill.models.scratch_model import build_student as build

    study = study_of(folder)
    scratch = {s.name: s.scratch for s in study.students if isinstance(s, ScratchStudent)}
    if student not in scratch:
        hint = did_you_mean(student, list(scratch)) if scratch else "it has none"
        place = str(folder / "study.yaml")
        raise StudyError(Fault(place, f"no student '{student}' made from scratch", "", hint))
    if has_data_file(study, arm):
        rows = read_rows(build_arm(folder, arm))
    else:
        rows = plain_rows(study, arm)
    target = folder / "models" / f"{student}--{arm}"
    build(scratch[student], (text for row in rows for text in _texts(row)), target)
    return target


def known_rows(study: Study, folder: Path, arm: str) -> int | None:
    """Return how many rows an arm has: its ledger's, or what a registration says; None: unknown."""
    path = folder / "data" / f"{arm}.jsonl"
    if ledger_path(path).is_file():
        return read_ledger(path).outputs[0].rows
    declared = study.arms[arm]
    if isinstance(declared, MixedArm):
        return declared.rows
    registration = sources_of(study, arm)[0].registration
    return registration.about.rows if registration and not filter_of(study, arm) else None


def _texts(row: Row) -> list[str]:
    return [row[key] for key in ("system", "instruction", "output") if row.get(key)]


def is_current(path: Path, digest: str) -> bool:
    """Return whether a finished data file is there that was made from just this."""
    if not path.is_file() or not ledger_path(path).is_file():
        return False
    ledger = read_ledger(path)
    return ledger.notes.get("digest") == digest and ledger.outputs[0].sha256 == sha256_of(path)


def _missing_file(arm: str, path: Path | None) -> Fault:
    return Fault(
        f"arm {arm}",
        f"no such file {path}",
        "the dataset's file in the study's data_folder",
        "fetch it and say --set data_folder=FOLDER",
    )
