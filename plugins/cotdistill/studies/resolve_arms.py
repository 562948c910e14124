"""Find what the arms of a study name: datasets, files, question sets, other arms.

`resolve_arms` does this once; `generate`, `check`, `plan` and the prepare stage all use the values.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from cotdistill.catalogue.packaged import datasets
from cotdistill.catalogue.registration import Registration
from cotdistill.corpus.records.shape import ReadColumns, SourceInfo
from cotdistill.corpus.records.sources import neighbouring_gold_files
from cotdistill.errors import Fault, FaultsError, StudyError, did_you_mean
from cotdistill.files.hashes import FileHashes
from cotdistill.studies.arm import (
    AnswersArm,
    Arm,
    ArmFilters,
    DatasetArm,
    FileArm,
    LoopArm,
    MixedArm,
    Padding,
    PuzzleArm,
    SampleArm,
    TeachArm,
    UntouchedArm,
)
from cotdistill.studies.question_sets import DevQuestions, dev_questions, question_sets
from cotdistill.studies.resolved_arm import ResolvedArm, Source, asked_together, made_file
from cotdistill.studies.study import Study

WITHOUT_ROWS = (UntouchedArm, LoopArm)
"""Arms whose rows are not read from a source."""


def resolve_arms(study: Study, place: str) -> dict[str, ResolvedArm]:
    """Return the arms of a study by name.

    Raises:
        StudyError: everything that they name and that there is not.
    """
    arms, faults = arms_and_faults(study, place)
    if faults:
        raise StudyError(faults)
    return arms


def arms_and_faults(study: Study, place: str) -> tuple[dict[str, ResolvedArm], list[Fault]]:
    """Return the arms of a study as far as they could be resolved, and why others could not."""
    finder = _Finder(study, place)
    found = {
        name: finder.arm(name)
        for name, arm in study.arms.items()
        if not isinstance(arm, WITHOUT_ROWS)
    }
    return found, list(dict.fromkeys(finder.faults))  # a fault of an arm is one of its mixes' too


def resolve_arm(study: Study, name: str, place: str) -> ResolvedArm:
    """Return one arm of a study.

    Raises:
        StudyError: the study has no such arm, or the arm names what there is not.
    """
    if name not in study.arms:
        raise StudyError(Fault(place, f"no arm '{name}'", "", did_you_mean(name, list(study.arms))))
    finder = _Finder(study, place)
    found = finder.arm(name)
    if finder.faults:
        raise StudyError(dict.fromkeys(finder.faults))
    return found


def missing_file_faults(arm: ResolvedArm, place: str) -> Iterator[Fault]:
    """Yield the files that an arm names and that are not there; a registered one may come later."""
    where = f"{place}:arms.{arm.name}"
    for source in arm.missing:
        if source.questions is not None and not source.questions.is_here:
            yield replace(source.questions.not_here, place=where)
        elif source.registration is None and source.name == arm.name:
            yield Fault(where, f"no such file {source.path}", "a .jsonl or .json file")
    for path in arm.filter.golds if arm.filter else ():
        if not Path(path).is_file():
            yield Fault(f"{where}.filter.golds", f"no such file {path}", "a file of golds")


class _Finder:
    """Looks up what the arms of one study name, and gathers what it does not find."""

    def __init__(self, study: Study, place: str) -> None:
        self.study, self.place = study, place
        self.faults: list[Fault] = []
        self.hashes = FileHashes()
        self.known: dict[str, ResolvedArm] = {}
        self.open: set[str] = set()  # arms that are being looked up, so that a circle ends
        self.registered = datasets()
        self.sets, faults = question_sets(study, place)
        self.faults += faults
        self.frame, self.dev = study.prompt.frame, self._dev()

    def _dev(self) -> DevQuestions:
        try:
            return dev_questions(self.sets)
        except FaultsError as error:
            self.faults += error.faults
            return DevQuestions()

    def arm(self, name: str) -> ResolvedArm:
        """Return one arm of the study, without what was not found."""
        if name not in self.known:
            self.open.add(name)
            found = self._arm(name, self.study.arms[name], f"data/{name}.jsonl")
            self.open.remove(name)
            self.known[name] = replace(found, frame=self.frame, dev=self.dev)
        return self.known[name]

    def _arm(self, name: str, declared: Arm, file: str) -> ResolvedArm:
        where = f"{self.place}:arms.{name}"
        if isinstance(declared, MixedArm):
            parts = [self._part(source, f"{where}.mix") for source in declared.mix]
            return ResolvedArm(
                name,
                declared,
                file,
                mixing=declared.mixing(),
                parts=tuple(part for part in parts if part),
                hashes=self.hashes,
            )
        source = self._source(name, declared, where)
        if not isinstance(declared, DatasetArm | FileArm | TeachArm | SampleArm):
            return ResolvedArm(name, declared, file, source=source, hashes=self.hashes)
        filters, asks_golds = declared.filter, declared.target.answer == "gold"
        paired = [
            self._paired(other, f"{where}.filter.paired_with")
            for other in (filters.paired_with if filters else ())
        ]
        found = [each for each in (source, *paired) if each]
        return ResolvedArm(
            name,
            declared,
            file,
            source=source,
            filter=filters,
            paired=tuple(each for each in paired if each),
            golds=tuple(_golds(found, filters)) if filters or asks_golds else (),
            target=declared.target,
            pad=declared.pad,
            like=self._like(name, declared.pad, f"{where}.pad.like"),
            added=self._added(name, getattr(declared, "with_", []), where),
            hashes=self.hashes,
        )

    def _added(self, name: str, others: list[str], where: str) -> tuple[ResolvedArm, ...]:
        """Return the arms whose rows come after those that a model writes."""
        added = []
        for other in others:
            if other == name:
                self.faults.append(Fault(f"{where}.with", f"'{other}' is this arm"))
            elif other in self.study.arms and not isinstance(
                self.study.arms[other], (*WITHOUT_ROWS, MixedArm)
            ):
                added += [] if other in self.open else [self.arm(other)]
            elif other in self.study.arms:
                self.faults.append(Fault(f"{where}.with", f"'{other}' has no rows of its own"))
        return tuple(added)

    def _like(self, name: str, pad: Padding | None, where: str) -> ResolvedArm | None:
        """Return the arm that gives the lengths of a padded one; it is not padded itself."""
        if pad is None:
            return None
        declared = self.study.arms.get(pad.like)
        if declared is None:
            hint = did_you_mean(pad.like, list(self.study.arms))
            self.faults.append(Fault(where, f"unknown arm '{pad.like}'", "", hint))
            return None
        wrong = "is this arm" if pad.like == name else None
        if isinstance(declared, MixedArm):
            wrong = "is a mix"
        elif getattr(declared, "pad", None) is not None:
            wrong = wrong or "is padded itself"
        if wrong:
            expected = "another plain arm, without 'pad'"
            self.faults.append(Fault(where, f"'{pad.like}' {wrong}", expected))
            return None
        return None if pad.like in self.open else self.arm(pad.like)

    def _part(self, name: str, where: str) -> ResolvedArm | None:
        """Return a source of a mix: another arm, or a registered dataset that is no arm."""
        if name in self.study.arms:
            return self.arm(name)
        registered = self.registered
        if name in registered:
            found = self._arm(name, DatasetArm(dataset=name), f"data/sources/{name}.jsonl")
            return replace(found, frame=self.frame, dev=self.dev)
        hint = did_you_mean(name, [*self.study.arms, *registered])
        self.faults.append(Fault(where, f"unknown source '{name}'", "", hint))
        return None

    def _paired(self, name: str, where: str) -> Source | None:
        declared = self.study.arms.get(name)
        if isinstance(declared, MixedArm):
            self.faults.append(Fault(where, f"'{name}' is a mix", "a plain arm"))
            return None
        if declared is not None:
            return self._source(name, declared, f"{self.place}:arms.{name}")
        registered = self.registered
        if name in registered:
            return self._source(name, DatasetArm(dataset=name), where)
        hint = did_you_mean(name, [*self.study.arms, *registered])
        self.faults.append(Fault(where, f"unknown arm '{name}'", "", hint))
        return None

    def _source(self, name: str, declared: Arm, where: str) -> Source | None:
        match declared:
            case FileArm():
                columns = ReadColumns(**declared.columns.model_dump())
                return Source(
                    name,
                    Path(declared.file),
                    info=SourceInfo(
                        name,
                        columns=columns,
                        answers_are_targets=True,
                        reasoning=declared.reasoning,
                    ),
                    drop_missing=declared.missing == "drop",
                )
            case DatasetArm():
                return self._registered(name, declared, where)
            case TeachArm() | SampleArm():
                stage = "teach" if isinstance(declared, TeachArm) else "sample"
                info = SourceInfo(name, answers_are_targets=True)
                drops = declared.missing == "drop"
                arms, level = self.study.arms, None
                if isinstance(declared, TeachArm) and declared.teach.one_call:
                    level = declared.teach.level
                made = made_file(stage, asked_together(arms, name)[0])
                return Source(name, info=info, drop_missing=drops, made=made, level=level)
            case AnswersArm():
                found = self.sets.get(declared.answers)
                answer = self.study.prompt.answer
                return Source(name, found.path, questions=found, answer=answer) if found else None
            case PuzzleArm():
                self.faults += puzzle_faults(declared, where)
                return Source(name, puzzles=declared)
        raise AssertionError(declared)

    def _registered(self, name: str, declared: DatasetArm, where: str) -> Source | None:
        registered = self.registered
        registration = registered.get(declared.dataset)
        if registration is None:
            hint = did_you_mean(declared.dataset, list(registered))
            self.faults.append(Fault(where, f"unknown dataset '{declared.dataset}'", "", hint))
            return None
        path = None
        if registration.file_name is not None:
            folder = declared.folder or self.study.data_folder or "."
            path = Path(folder) / registration.file_name
            if declared.revision is not None:
                wrong = f"a revision is given, and '{declared.dataset}' is a local file"
                remedy = "leave the revision out"
                self.faults.append(Fault(f"{where}.revision", wrong, "a hub dataset", remedy))
        return Source(
            name,
            path,
            registration,
            info=SourceInfo(
                name, columns=_columns(registration), answers_are_targets=True, registered=True
            ),
            drop_missing=declared.missing == "drop",
            revision=declared.revision,
        )


def puzzle_faults(arm: PuzzleArm, where: str) -> Iterator[Fault]:
    """Yield what is wrong with a puzzle arm's family and level."""
    from cotdistill.benchmarks.puzzles import FAMILIES, STEPS

    if arm.puzzles not in FAMILIES:
        hint = did_you_mean(arm.puzzles, list(FAMILIES))
        yield Fault(where, f"unknown puzzles '{arm.puzzles}'", "", hint)
    if arm.level != "answer-only" and not 0 <= arm.level <= STEPS:
        yield Fault(where, f"unknown level {arm.level}", f"answer-only, or 1 to {STEPS}")


def _columns(registration: Registration) -> ReadColumns:
    columns = registration.columns
    if registration.about.own_shape:
        return ReadColumns()
    return ReadColumns(
        columns.prompt, columns.query, columns.response, columns.system, columns.messages
    )


def _golds(sources: list[Source], filters: ArmFilters | None) -> Iterator[Path]:
    for source in sources:
        if source.path is not None and source.path.is_file():
            yield from neighbouring_gold_files(source.path)
    yield from map(Path, filters.golds if filters else ())
