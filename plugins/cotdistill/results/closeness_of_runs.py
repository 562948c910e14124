"""How close the arms of a run folder lie to its students: what is measured, and what was.

`cotdistill closeness RUNFOLDER` writes `closeness/<student>.jsonl`, a row for each trace, with a
ledger; the report reads them next to the scores.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cotdistill.closeness.measures import MEASURES, Closeness, arm_intervals
from cotdistill.errors import DataError, Fault, did_you_mean
from cotdistill.files.jsonl import read_rows
from cotdistill.files.ledger import LedgerFile, ledger_path, read_ledger
from cotdistill.files.yamls import read_yaml
from cotdistill.results.matrix import file_name
from cotdistill.runfolder.manifest import ManifestRun, read_manifest
from cotdistill.stats.confidence import Interval

FOLDER = "closeness"
_REMEDY = "measure again: cotdistill closeness RUNFOLDER"
_MOST_FAULTS = 3


@dataclass(frozen=True)
class ToMeasure:
    """A pretrained student of a run folder, the rows of its arms, and where the result goes."""

    student: str
    model: str
    revision: str | None
    arms: Mapping[str, Path]
    output: Path


@dataclass(frozen=True)
class MeasuredStudent:
    """One student's measures: each arm's with their intervals, over so many questions.

    `changed` names arms whose rows are others now than when they were measured.
    """

    student: str
    arms: Mapping[str, Mapping[str, Interval]]
    questions: int
    changed: tuple[str, ...] = ()


_OF_FILES = (
    "nothing is known about random students; of another model measure the files: "
    "cotdistill closeness NAME=FILE NAME=FILE --student MODEL"
)


def to_measure(folder: Path, student: str | None = None) -> list[ToMeasure]:
    """Return the pretrained students of a run folder that are trained on two arms or more.

    Raises:
        DataError: it is not a run folder, it has no such student, or there is nothing to measure.
    """
    runs: dict[str, dict[str, ManifestRun]] = {}
    for run in read_manifest(folder):
        if run.files.train and run.files.data and run.files.student is None:
            runs.setdefault(run.student, {}).setdefault(run.arm, run)
    if student is not None and student not in runs:
        hint = did_you_mean(student, list(runs)) if runs else _OF_FILES
        raise DataError(Fault("--student", f"no pretrained student '{student}'", "", hint))
    found = []
    for name, arms in runs.items():
        if student in (None, name) and len(arms) > 1:
            settings = _settings(folder, next(iter(arms.values())))
            rows = {arm: folder / str(run.files.data) for arm, run in arms.items()}
            output = folder / FOLDER / f"{file_name(name)}.jsonl"
            found.append(ToMeasure(name, *settings, rows, output))
    if not found:
        wrong = "no pretrained student is trained on rows of two arms"
        raise DataError(Fault(str(folder), wrong, "", _OF_FILES))
    files = dict.fromkeys(path for one in found for path in one.arms.values())
    missing = [path for path in files if not path.is_file()]
    if missing:
        remedy = f"make the arms' rows first: cotdistill run {folder}"
        raise DataError([Fault(str(path), "no such file", "", remedy) for path in missing])
    return found


def read_closeness(folder: Path) -> list[MeasuredStudent]:
    """Return what was measured in a run folder, the students in the order of their names.

    Raises:
        DataError: a file is damaged or was not finished.
    """
    return [_read(folder, path) for path in sorted((folder / FOLDER).glob("*.jsonl"))]


def _settings(folder: Path, run: ManifestRun) -> tuple[str, str | None]:
    """Return the weights that a run is trained from, as LLaMA-Factory's file names them."""
    path = folder / str(run.files.train)
    read = read_yaml(path)
    model = read.get("model_name_or_path") if isinstance(read, dict) else None
    if not isinstance(model, str):
        raise DataError(Fault(f"{path}: model_name_or_path", "no model", "a model's name or path"))
    revision = read.get("model_revision")
    return model, None if revision is None else str(revision)


def _read(folder: Path, path: Path) -> MeasuredStudent:
    ledger = read_ledger(path)
    traces: dict[str, list[Closeness]] = {}
    students: set[str] = set()
    faults: list[Fault] = []
    for number, row in enumerate(read_rows(path), start=1):
        values = {name: row.get(name) for name in MEASURES}
        wrong = [name for name, value in values.items() if not _is_measure(name, value)]
        wrong += [name for name in ("student", "arm") if not isinstance(row.get(name), str)]
        if wrong:
            faults.append(Fault(f"{path}:{number}", f"no {', '.join(wrong)}", "", _REMEDY))
            continue
        students.add(row["student"])
        traces.setdefault(row["arm"], []).append(Closeness(**{n: row[n] for n in MEASURES}))
    if not faults and (len({len(one) for one in traces.values()}) > 1 or len(students) > 1):
        wrong_file = "not one student with the same number of traces for each arm"
        faults.append(Fault(str(path), wrong_file, "", _REMEDY))
    if faults:
        raise DataError(faults[:_MOST_FAULTS])
    return MeasuredStudent(
        student=students.pop(),
        arms={arm: arm_intervals(of_arm) for arm, of_arm in traces.items()},
        questions=max(map(len, traces.values())),
        changed=tuple(Path(one.file).stem for one in ledger.inputs if _is_changed(folder, one)),
    )


def _is_measure(name: str, value: object) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and (name == "rsr" or math.isfinite(value))  # type: ignore[arg-type]


def _is_changed(folder: Path, measured: LedgerFile) -> bool:
    """Say whether an arm's rows, as their ledger knows them, are others than those measured."""
    rows = folder / "data" / Path(measured.file).name
    if not ledger_path(rows).is_file():
        return False
    return measured.sha256 not in {one.sha256 for one in read_ledger(rows).outputs}
