"""An arm with everything found that its stages ask for: its sources, filter, golds, digest."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cotdistill import __version__
from cotdistill.benchmarks.instruction import Frame
from cotdistill.catalogue.registration import Registration
from cotdistill.corpus.mixing.settings import Mixing
from cotdistill.corpus.records.shape import SourceInfo
from cotdistill.corpus.records.target import Target
from cotdistill.files.hashes import FileHashes
from cotdistill.studies.arm import (
    Arm,
    ArmFilters,
    Padding,
    PuzzleArm,
    SampleArm,
    TeachArm,
)
from cotdistill.studies.prompt import Answer
from cotdistill.studies.question_sets import DevQuestions, QuestionSet
from cotdistill.studies.requests import TeachRequest


def made_file(stage: str, arm: str) -> str:
    """Return the traces that a job of the run folder makes for an arm, relative to the folder.

    >>> made_file("teach", "level-3")
    'data/teach/level-3/traces.jsonl'
    """
    return f"data/{stage}/{arm}/traces.jsonl"


def asked_together(arms: Mapping[str, Arm], name: str) -> tuple[str, ...]:
    """Return the arms whose levels one call asks for together with an arm's, the lowest first.

    The job that asks is named after the first, whatever the order in the study's file, and arms of
    one level go by their names. An arm that is not asked so is alone.
    """
    declared = arms.get(name)
    if not isinstance(declared, TeachArm) or not declared.teach.one_call:
        return (name,)

    def without_level(arm: TeachArm) -> TeachRequest:
        return arm.teach.model_copy(update={"level": None})

    same = without_level(declared)
    found = [
        (arm.teach.level or 0, other)
        for other, arm in arms.items()
        if isinstance(arm, TeachArm) and arm.teach.one_call and without_level(arm) == same
    ]
    return tuple(other for _, other in sorted(found))


def levels_together(arms: Mapping[str, Arm], name: str) -> tuple[int, ...]:
    """Return the levels that a taught arm's call asks for."""
    declared = [arms[other] for other in asked_together(arms, name)]
    levels = {arm.teach.level for arm in declared if isinstance(arm, TeachArm)}
    return tuple(sorted(level for level in levels if level is not None))


@dataclass(frozen=True)
class Source:
    """Where the rows of an arm that is no mix come from.

    It is a local file (`path`, of a registered dataset or not), a dataset on a hub (`registration`
    and no `path`), made by rule (`puzzles`), the reference answers of `questions`, or `made` by a
    job in the run folder, which gives the `path` once that is known. `level` are the rows that it
    takes of a file with several levels.
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
    level: int | None = None

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
    and target take reference answers from. `target` says how its texts begin and end, `like` is the
    arm whose lengths `pad` takes. `frame` are the words around its questions, `dev` the questions
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
        """Whether its texts are changed after they were read: beginning, ending or filler."""
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
        asked = [_declared_frame(self.frame)] if self.frame else []
        held_out = self.dev.digests
        text = json.dumps([declared, hashes, __version__, *like, *asked, *held_out], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def _declared_frame(frame: Frame) -> dict[str, str]:
    """Return what decides how rows ask; a key that came later counts only where it is used."""
    values = {"before": frame.before, "after": frame.after}
    return values if frame.choices == "data" else {**values, "choices": frame.choices}


def _declared(arm: ResolvedArm) -> dict[str, Any]:
    """Return what decides an arm's rows; keys that came later count only where they are used."""
    values = arm.declared.model_dump(mode="json", exclude={"train", "factors"})
    if not arm.is_shaped:
        values = {key: value for key, value in values.items() if key not in ("target", "pad")}
    elif not arm.target.strip:
        del values["target"]["strip"]
    if isinstance(arm.declared, TeachArm | SampleArm) and values.get("missing") == "refuse":
        del values["missing"]
    for kind in ("teach", "sample"):
        for name in ("budget", "budget_tokens"):  # how much is asked at once, not what comes of it
            values.get(kind, {}).pop(name, None)
    if isinstance(arm.declared, TeachArm) and not arm.declared.teach.one_call:
        del values["teach"]["one_call"]
    if arm.filter and arm.filter.choose == "first":
        del values["filter"]["choose"]
    return values
