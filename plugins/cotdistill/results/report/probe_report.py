"""What a report says of the probes of merges: how long each model wrote, and whether it teaches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from cotdistill.results.report.factor_tables import TitledTable
from cotdistill.runfolder.json_record import read_json_record
from cotdistill.studies.arm import MixedArm, SampleArm, TeachArm
from cotdistill.studies.load import study_if_any
from cotdistill.studies.probes import probe_record_of, probes_of
from cotdistill.studies.study import Study
from cotdistill.teach.probe import ProbeRecord

_ABOUT = (
    "The merge and the two models that it should lie between answered the same questions before "
    "the merge was asked for anything else. Tokens are those of a response."
)


def probe_tables(folders: Sequence[Path]) -> list[TitledTable]:
    """Return a table for each probe of a merge: a row a model, the verdict as a note.

    Raises:
        DataError: a record is broken.
    """
    return [
        TitledTable(f"Probe of {record.merge}", _ABOUT, record.table())
        for _, record in _records(folders)
    ]


def probe_notes(folders: Sequence[Path]) -> list[str]:
    """Return a line for each arm whose rows a probed merge wrote: what its probe found.

    Raises:
        DataError: a record is broken.
    """
    return [
        f"{arm}: {record.merge} wrote {rows}, and {_verdict(record)}"
        for study, record in _records(folders)
        for arm, rows in _arms_of(study, record.merge)
    ]


def _records(folders: Sequence[Path]) -> Iterator[tuple[Study, ProbeRecord]]:
    for folder in folders:
        study = study_if_any(folder)
        for merge in probes_of(study) if study else ():
            path = folder / probe_record_of(merge)
            record = read_json_record(path, ProbeRecord, "the record of a probe")
            if study and record:
                yield study, record


def _arms_of(study: Study, merge: str) -> Iterator[tuple[str, str]]:
    """Yield the arms that have rows of a merge, and whether these are all of its rows or some."""
    for name in study.arms:
        wrote = _writers(study, name)
        if merge in wrote:
            yield name, "its rows" if wrote == {merge} else "some of its rows"


def _writers(study: Study, name: str) -> set[str | None]:
    """Return the models that wrote an arm's rows, through `mix` and `with` too; None for others."""
    match study.arms.get(name):
        case MixedArm() as arm:
            own, others = set[str | None](), list(arm.mix)
        case TeachArm() as arm:
            own, others = {arm.teach.teacher}, arm.with_
        case SampleArm() as arm:
            own, others = {arm.sample.model}, arm.with_
        case _:
            own, others = {None}, []
    return own.union(*(_writers(study, other) for other in others))


def _verdict(record: ProbeRecord) -> str:
    if record.wrong:
        allowed = "" if record.required else " (it was allowed to teach all the same)"
        return f"its probe failed{allowed}: {'; '.join(record.wrong)}"
    short, merge, long = (
        f"{record.models[name].tokens.value:,.0f}"
        for name in (record.short, record.merge, record.long)
    )
    return (
        f"its probe found {merge} tokens a response, between {record.short} ({short}) and "
        f"{record.long} ({long})"
    )
