"""Two students or more on the same questions: how far apart they are and what that can prove."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

from cotdistill.errors import DataError, Fault
from cotdistill.hosts.lm_eval.samples import SampleFile, find_samples
from cotdistill.results.question_scores import Fact, Settings, question_facts, settings_of
from cotdistill.results.run_names import short_names
from cotdistill.results.verdict_files import Source
from cotdistill.stats.confidence import Interval, cluster_interval
from cotdistill.stats.significance import benjamini_hochberg, holm, paired
from cotdistill.tables import Table

LEVEL = 0.05


@dataclass(frozen=True)
class Flip:
    """A question on which two students differ."""

    task: str
    question: str
    first: float
    second: float


@dataclass(frozen=True)
class Comparison:
    """The second student against the first on one task.

    Units: scores and the difference are fractions; p-values are two-sided. `visible` is the
    smallest difference that these answers could have shown at the 5 % level (k = 1) or would
    show four times in five (k > 1).
    """

    task: str
    first: str
    second: str
    questions: int
    answers: int
    first_score: float
    second_score: float
    difference: Interval
    wins: int
    ties: int
    losses: int
    test: str
    p: float
    p_holm: float
    p_bh: float
    visible: float
    flips: tuple[Flip, ...]

    @property
    def conclusion(self) -> str:
        """What can be said, in a sentence."""
        seen = f"{self.task}: {self.second} - {self.first} = {_points(self.difference.value)}"
        seen += f" points [{_points(self.difference.low)}, {_points(self.difference.high)}]"
        if self.p_holm < LEVEL:
            better = self.second if self.difference.value > 0 else self.first
            return f"{seen}: {better} is better (p = {self.p_holm:.2g} after Holm)"
        if self.p < LEVEL:
            return (
                f"{seen}: p = {self.p:.2g} alone, {self.p_holm:.2g} after Holm over all "
                "comparisons made here; not enough to call it a difference"
            )
        could = f"no difference of less than {100 * self.visible:.0f} points"
        how = "could have been seen" if self.answers == 1 else "is likely to be seen"
        return f"{seen}: no difference shown; {could} {how} with {self.questions} questions"


def compare(
    places: Sequence[Path],
    *,
    task: str | None = None,
    source: Source = "run",
    all_pairs: bool = False,
    anyway: bool = False,
) -> tuple[list[Comparison], list[str]]:
    """Compare every further place with the first one (or all pairs), task by task.

    Returns the comparisons, adjusted over all of them, and warnings.

    Raises:
        DataError: fewer than two places, no task in common, or settings that must be equal
            differ and `anyway` was not said.
    """
    if len(places) < 2:
        raise DataError(Fault("compare", f"{len(places)} place", "two or more runs"))
    names = short_names(places)
    files = [_by_task(place, task) for place in places]
    pairs = list(combinations(range(len(places)), 2))
    if not all_pairs:
        pairs = [pair for pair in pairs if pair[0] == 0]
    found: list[Comparison] = []
    warnings: list[str] = []
    faults: list[Fault] = []
    for one, two in pairs:
        shared = [name for name in files[one] if name in files[two]]
        alone = sorted(set(files[one]) ^ set(files[two]))
        if alone:
            where = f"{names[one]}, {names[two]}"
            warnings.append(f"{where}: not in both, so not compared: {', '.join(alone)}")
        for name in shared:
            pair = (files[one][name], files[two][name])
            label = (names[one], names[two])
            comparison, notes, wrong = _compare_task(name, label, pair, source)
            found.append(comparison)
            warnings += notes
            faults += wrong
    if not found:
        raise DataError(Fault("compare", "no task in common", "runs of the same tasks"))
    if faults and not anyway:
        raise DataError(faults)
    warnings += [str(fault) for fault in faults]
    return _adjusted(found), warnings


def _adjusted(found: list[Comparison]) -> list[Comparison]:
    p_values = [one.p for one in found]
    both = zip(found, holm(p_values), benjamini_hochberg(p_values), strict=True)
    return [replace(one, p_holm=by_holm, p_bh=by_bh) for one, by_holm, by_bh in both]


def comparison_table(found: Sequence[Comparison], flips: int = 0) -> Table:
    """Return a row a comparison, with the conclusions and the first flipped questions below."""
    scores = ("first %", "second %", "difference", "95 % interval", "win/tie/loss")
    columns = ("task", "first", "second", "questions", *scores, "test", "p", "p Holm", "p BH")
    rows = [
        (
            one.task,
            one.first,
            one.second,
            str(one.questions) + (f" × {one.answers}" if one.answers > 1 else ""),
            f"{100 * one.first_score:.1f}",
            f"{100 * one.second_score:.1f}",
            _points(one.difference.value),
            f"{_points(one.difference.low)} to {_points(one.difference.high)}",
            f"{one.wins}/{one.ties}/{one.losses}",
            one.test,
            f"{one.p:.2g}",
            f"{one.p_holm:.2g}",
            f"{one.p_bh:.2g}",
        )
        for one in found
    ]
    notes = [one.conclusion for one in found]
    for one in found:
        for flip in one.flips[:flips]:
            words = " ".join(flip.question.split())[:100]
            notes.append(
                f"{flip.task}: {one.first} {flip.first:g}, {one.second} {flip.second:g}: {words}"
            )
        if flips and len(one.flips) > flips:
            notes.append(f"{one.task}: and {len(one.flips) - flips} more flipped questions")
    return Table(columns, tuple(rows), tuple(notes))


def _by_task(place: Path, task: str | None) -> dict[str, SampleFile]:
    held: dict[str, SampleFile] = {}
    for one in find_samples([place], task):
        if one.task in held:
            wrong = f"{one.task} stands in {held[one.task].path.parent} and {one.path.parent}"
            raise DataError(Fault(str(place), wrong, "one run a place", "name the run's folder"))
        held[one.task] = one
    return held


def _compare_task(
    task: str, names: tuple[str, str], files: tuple[SampleFile, SampleFile], source: Source
) -> tuple[Comparison, list[str], list[Fault]]:
    first, second = (question_facts(file, source) for file in files)
    shared = [key for key in first if key in second]
    if not shared:
        wrong = f"{task}: {names[0]} and {names[1]} share no question"
        raise DataError(Fault("compare", wrong, "the same questions"))
    warnings, faults = _settings_differ(task, names, files)
    missing = len(first) + len(second) - 2 * len(shared)
    if missing:
        warnings.append(f"{task}: {missing} questions are in only one of the two and left out")
    pairs = [(first[key], second[key]) for key in shared]
    other = sum(one.prompt_hash != two.prompt_hash for one, two in pairs)
    templates = {settings_of(file).should.get("chat template") for file in files}
    if other:
        wrong = f"{other} of {len(pairs)} questions were asked with another prompt"
        if len(templates) > 1:
            warnings.append(f"{task}: {wrong}; the chat templates differ")
        else:
            faults.append(Fault(task, wrong, "the same prompt", "--anyway compares them"))
    return _comparison(task, names, pairs), warnings, faults


def _settings_differ(
    task: str, names: tuple[str, str], files: tuple[SampleFile, SampleFile]
) -> tuple[list[str], list[Fault]]:
    one, two = (settings_of(file) for file in files)
    warnings: list[str] = []
    faults: list[Fault] = []
    if not one.must or not two.must:
        lacking = [name for name, held in zip(names, (one, two), strict=True) if not held.must]
        warnings.append(
            f"{task}: {', '.join(lacking)} has no results file, so version, decoding, engine and "
            "dtype could not be checked"
        )
        return warnings, faults
    for name, ours, theirs in _differing(one, two, "must"):
        faults.append(
            Fault(
                task,
                f"{name} differs: {names[0]} {ours}, {names[1]} {theirs}",
                "",
                "score both alike, or say --anyway",
            )
        )
    for name, ours, theirs in _differing(one, two, "should"):
        warnings.append(f"{task}: {name} differs: {names[0]} {ours}, {names[1]} {theirs}")
    return warnings, faults


def _differing(one: Settings, two: Settings, which: str) -> list[tuple[str, str, str]]:
    first, second = getattr(one, which), getattr(two, which)
    return [
        (name, first.get(name, "not logged"), second.get(name, "not logged"))
        for name in dict.fromkeys([*first, *second])
        if first.get(name) != second.get(name)
    ]


def _comparison(
    task: str, names: tuple[str, str], pairs: Sequence[tuple[Fact, Fact]]
) -> Comparison:
    gaps = [two.value - one.value for one, two in pairs]
    tested = paired(gaps)
    return Comparison(
        task=task,
        first=names[0],
        second=names[1],
        questions=len(pairs),
        answers=max(max(one.answers, two.answers) for one, two in pairs),
        first_score=statistics.fmean(one.value for one, _ in pairs),
        second_score=statistics.fmean(two.value for _, two in pairs),
        difference=cluster_interval(gaps),
        wins=tested.wins,
        ties=tested.ties,
        losses=tested.losses,
        test=tested.test,
        p=tested.p,
        p_holm=tested.p,
        p_bh=tested.p,
        visible=tested.visible,
        flips=tuple(
            Flip(task, one.question, one.value, two.value)
            for one, two in pairs
            if one.value != two.value
        ),
    )


def _points(value: float) -> str:
    return f"{100 * value:+.1f}"
