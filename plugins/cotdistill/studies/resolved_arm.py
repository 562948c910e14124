"""An arm with everything found that its stages ask for: its sources, filter, golds, digest.

`resolve_arms` does this once; `generate`, `check`, `plan` and the prepare stage all use the value.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cotdistill import __version__
from cotdistill.benchmarks.instruction import Frame
from cotdistill.catalogue.packaged import datasets
from cotdistill.catalogue.registration import Registration
from cotdistill.corpus.mixing.settings import Mixing
from cotdistill.corpus.records.shape import ReadColumns, SourceInfo
from cotdistill.corpus.records.sources import neighbouring_gold_files
from cotdistill.corpus.records.target import Target
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
from cotdistill.studies.prompt import Answer
from cotdistill.studies.question_sets import DevQuestions, QuestionSet, dev_questions, question_sets
from cotdistill.studies.study import Study

WITHOUT_ROWS = (UntouchedArm, LoopArm)
"""Arms whose rows are not read from a source."""


def made_file(stage: str, arm: str) -> str:
    """Return the traces that a job of the run folder makes for an arm, relative to the folder.

    >>> made_file("teach", "level-3")
    'data/teach/level-3/traces.jsonl'
    """
    return f"data/{stage}/{arm}/traces.jsonl"


@dataclass(frozen=True)
class Source:
    """Where the rows of an arm that is no mix come from.

    It is a local file (`path`, of a registered dataset or not), a dataset on a hub (`registration`
    and no `path`), made by rule (`puzzles`), the reference answers of `questions`, or `made` by a
    job in the run folder, which gives the `path` once that is known.
    """

    name: str
    path: Path | None = None
    registration: Registration | None = None
    puzzles: PuzzleArm | None = None
    info: SourceInfo = field(default_factory=SourceInfo)
    drop_missing: bool = False
    questions: QuestionSet | None = None
    answer: Answer = "sentence"
    revision: str | None = None
    made: str | None = None

    @property
    def at_hand(self) -> bool:
        """Whether the rows can be read without a network, and without a job before."""
        if self.made and self.path is None:
            return False
        return self.path.is_file() if self.path else self.puzzles is not None

    @property
    def declared_rows(self) -> int | None:
        """How many rows the study or the registration declares, None where neither does."""
        if self.puzzles:
            return self.puzzles.rows
        return self.registration.about.rows if self.registration else None


@dataclass(frozen=True)
class ResolvedArm:
    """One arm: what it was declared as, and where its rows come from.

    An arm is either one `source`, with a filter or without, or the mix of its `parts`. `paired` are
    the sources of the other arms whose questions the filter asks for, `golds` the files that filter
    and target take reference answers from. `target` says how its texts end, `like` is the arm whose
    lengths `pad` takes. `frame` are the words around its questions, `dev` the questions
    that no arm is trained on. `file` is where its rows go, relative to the run folder.
    """

    name: str
    declared: Arm
    file: str
    source: Source | None = None
    filter: ArmFilters | None = None
    paired: tuple[Source, ...] = ()
    golds: tuple[Path, ...] = ()
    mixing: Mixing | None = None
    parts: tuple[ResolvedArm, ...] = ()
    target: Target = field(default_factory=Target)
    pad: Padding | None = None
    like: ResolvedArm | None = None
    added: tuple[ResolvedArm, ...] = ()
    frame: Frame = field(default_factory=Frame)
    dev: DevQuestions = field(default_factory=DevQuestions)
    hashes: FileHashes = field(default_factory=FileHashes, compare=False, repr=False)

    @property
    def sources(self) -> tuple[Source, ...]:
        """Every source that is read: the own one or those of the mix, then those paired with."""
        plain = self.parts or (self,)
        own = [part.source for part in plain if part.source]
        paired = [source for part in plain for source in part.paired]
        return tuple({source.name: source for source in [*own, *paired]}.values())

    @property
    def gold_files(self) -> tuple[Path, ...]:
        """Every file that filters take reference answers from."""
        return tuple(dict.fromkeys(path for part in self.parts or (self,) for path in part.golds))

    @property
    def is_filtered(self) -> bool:
        """Whether its rows go through a filter, its own or one of its parts'."""
        return any(part.filter for part in self.parts or (self,))

    @property
    def is_shaped(self) -> bool:
        """Whether its texts are changed after they were read: another ending, or filler."""
        return self.pad is not None or self.target != Target()

    @property
    def has_file(self) -> bool:
        """Whether it gets a file; rows of a hub that nothing changes are left to LLaMA-Factory.

        It cannot ask a hub for a revision, so rows with one get a file as well.
        """
        if self.mixing or self.filter or self.is_shaped or not self.source:
            return True
        if self.frame or self.dev:
            return True
        source = self.source
        return bool(source.path or source.puzzles or source.revision or source.made)

    @property
    def revisions(self) -> dict[str, str | None]:
        """The hub datasets that it is made from, each with its revision if one is given."""
        return {
            source.registration.hf_hub_url: source.revision
            for source in self.sources
            if source.registration and source.registration.hf_hub_url
        }

    @property
    def at_hand(self) -> bool:
        """Whether its file can be written at once: without a network and without a filter."""
        like = (part.like for part in self.parts or (self,) if part.like)
        return (
            not self.is_filtered
            and not self.dev.missing
            and all(source.at_hand for source in self.sources)
            and all(arm.at_hand for arm in (*like, *self.added))
        )

    @property
    def missing(self) -> tuple[Source, ...]:
        """The sources that are local files and are not there."""
        return tuple(source for source in self.sources if source.path and not source.at_hand)

    @functools.cached_property
    def digest(self) -> str:
        """A hash of everything that decides the rows, apart from a hub's own contents."""
        arms = (self, *self.parts)
        declared = {arm.name: _declared(arm) for arm in arms}
        files = [(source.name, source.path) for source in self.sources if source.path]
        files += [(path.name, path) for path in self.gold_files]
        hashes = [(name, self.hashes.of(path) if path.is_file() else None) for name, path in files]
        like = [arm.like.digest for arm in arms if arm.like]
        like += [arm.digest for arm in self.added]
        asked = [vars(self.frame)] if self.frame else []
        held_out = self.dev.digests
        text = json.dumps([declared, hashes, __version__, *like, *asked, *held_out], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


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
                return Source(name, info=info, drop_missing=drops, made=made_file(stage, name))
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


def _declared(arm: ResolvedArm) -> dict[str, Any]:
    """Return what decides an arm's rows; keys that came later count only where they are used."""
    values = arm.declared.model_dump(mode="json", exclude={"train", "factors"})
    if not arm.is_shaped:
        values = {key: value for key, value in values.items() if key not in ("target", "pad")}
    if isinstance(arm.declared, TeachArm | SampleArm) and values.get("missing") == "refuse":
        del values["missing"]
    if arm.filter and arm.filter.choose == "first":
        del values["filter"]["choose"]
    return values


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
