"""Two students or more on the same questions: how far apart they are and what that can prove."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

from cotdistill.errors import DataError, Fault
from cotdistill.hosts.lm_eval.samples import Sample, SampleFile, find_samples, passed_over
from cotdistill.results.question_scores import QuestionScores, no_score, question_scores
from cotdistill.results.questions import QuestionId, by_name, joined, repeated_contents
from cotdistill.results.run_names import short_names
from cotdistill.results.run_settings import unequal_settings
from cotdistill.results.verdict_files import Verdict, VerdictSource
from cotdistill.stats.confidence import Interval, cluster_interval
from cotdistill.stats.significance import benjamini_hochberg, holm, paired
from cotdistill.tables import Table

LEVEL = 0.05
_TITLE = 100


@dataclass(frozen=True)
class Flip:
    """A question on which two students differ, its beginning and both scores."""

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
    source: VerdictSource = "run",
    all_pairs: bool = False,
    anyway: bool = False,
) -> tuple[list[Comparison], list[str]]:
    """Compare every further place with the first one (or all pairs), task by task.

    Each samples file is read once. Returns the comparisons, adjusted over all of them, and
    warnings.

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
    warnings = [
        passed_over(file.path, file.older, f"samples files of {file.task}")
        for of_place in files
        for file in of_place.values()
        if file.older
    ]
    tables: dict[Path, _Table] = {}
    found: list[Comparison] = []
    faults: list[Fault] = []
    for one, two in pairs:
        shared = [name for name in files[one] if name in files[two]]
        alone = sorted(set(files[one]) ^ set(files[two]))
        if alone:
            where = f"{names[one]}, {names[two]}"
            warnings.append(f"{where}: not in both, so not compared: {', '.join(alone)}")
        for name in shared:
            pair = [_table(files[place][name], source, tables) for place in (one, two)]
            label = (names[one], names[two])
            comparison, notes, wrong = _compare_task(name, label, (pair[0], pair[1]))
            found.append(comparison)
            warnings += [note for note in notes if note not in warnings]
            faults += wrong
    if not found:
        raise DataError(Fault("compare", "no task in common", "runs of the same tasks"))
    if faults and not anyway:
        raise DataError(faults)
    warnings += [str(fault) for fault in faults]
    return _adjusted(found), warnings


class _Asked(NamedTuple):
    """How one run asked one question: a hash of its prompt, and the question's beginning."""

    prompt_hash: str
    title: str


@dataclass(frozen=True)
class _Table:
    """The scores of one run on one task, and how it asked the questions."""

    scores: QuestionScores
    asked: Mapping[QuestionId, _Asked]


def _table(file: SampleFile, source: VerdictSource, tables: dict[Path, _Table]) -> _Table:
    if file.path not in tables:
        asked: dict[QuestionId, _Asked] = {}

        def keep(question: QuestionId, sample: Sample, _: Verdict, text: str) -> None:
            title = " ".join(text[: 4 * _TITLE].split())[:_TITLE]
            asked[question] = _Asked(sample.prompt_hash, title)

        scores = question_scores(file, source, keep=keep)
        if not scores.values:
            raise no_score(file.path)
        tables[file.path] = _Table(scores, asked)
    return tables[file.path]


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
            scores_of_both = f"{one.first} {flip.first:g}, {one.second} {flip.second:g}"
            notes.append(f"{flip.task}: {scores_of_both}: {flip.question}")
        if flips and len(one.flips) > flips:
            notes.append(f"{one.task}: and {len(one.flips) - flips} more flipped questions")
    return Table(columns, tuple(rows), tuple(notes))


def _by_task(place: Path, task: str | None) -> dict[str, SampleFile]:
    files: dict[str, SampleFile] = {}
    for one in find_samples([place], task):
        if one.task in files:
            wrong = f"{one.task} is in {files[one.task].path.parent} and in {one.path.parent}"
            raise DataError(Fault(str(place), wrong, "one run a place", "name the run's folder"))
        files[one.task] = one
    return files


def _compare_task(
    task: str, names: tuple[str, str], tables: tuple[_Table, _Table]
) -> tuple[Comparison, list[str], list[Fault]]:
    first, second = joined([table.scores.values for table in tables])
    shared = [name for name in first if name in second]
    if not shared:
        wrong = f"{task}: {names[0]} and {names[1]} share no question"
        raise DataError(Fault("compare", wrong, "the same questions"))
    warnings, faults = _settings_differ(task, names, tables)
    for name, table in zip(names, tables, strict=True):
        warnings += [f"{task}: {name}: {note}" for note in table.scores.left_out]
    missing = len(first) + len(second) - 2 * len(shared)
    if missing:
        warnings.append(f"{task}: {missing} questions are in only one of the two and left out")
    repeated = repeated_contents([table.scores.values for table in tables])
    asked, asked_too = (by_name(table.asked, repeated) for table in tables)
    other = sum(asked[name].prompt_hash != asked_too[name].prompt_hash for name in shared)
    templates = {table.scores.settings.should.get("chat template") for table in tables}
    if other:
        wrong = f"{other} of {len(shared)} questions were asked with another prompt"
        if len(templates) > 1:
            warnings.append(f"{task}: {wrong}; the chat templates differ")
        else:
            faults.append(Fault(task, wrong, "the same prompt", "--anyway compares them"))
    flips = tuple(
        Flip(task, asked[name].title, first[name], second[name])
        for name in shared
        if first[name] != second[name]
    )
    pairs = [(first[name], second[name]) for name in shared]
    repeats = max(table.scores.repeats for table in tables)
    return _comparison(task, names, pairs, repeats, flips), warnings, faults


def _settings_differ(
    task: str, names: tuple[str, str], tables: tuple[_Table, _Table]
) -> tuple[list[str], list[Fault]]:
    first, second = (table.scores.settings for table in tables)
    both = zip(names, (first, second), strict=True)
    lacking = [name for name, settings in both if not settings.must]
    if lacking:
        return [
            f"{task}: {', '.join(lacking)} has no results file, so version, decoding, engine and "
            "dtype could not be checked"
        ], []
    warnings: list[str] = []
    faults: list[Fault] = []
    for one in unequal_settings([("first", first), ("second", second)]):
        of = {run: value for value, runs in one.values.items() for run in runs}
        wrong = f"{one.name} differs: {names[0]} {of['first']}, {names[1]} {of['second']}"
        if one.must:
            faults.append(Fault(task, wrong, "", "score both alike, or say --anyway"))
        else:
            warnings.append(f"{task}: {wrong}")
    return warnings, faults


def _comparison(
    task: str,
    names: tuple[str, str],
    pairs: Sequence[tuple[float, float]],
    repeats: int,
    flips: tuple[Flip, ...],
) -> Comparison:
    gaps = [two - one for one, two in pairs]
    tested = paired(gaps)
    return Comparison(
        task=task,
        first=names[0],
        second=names[1],
        questions=len(pairs),
        answers=repeats,
        first_score=statistics.fmean(one for one, _ in pairs),
        second_score=statistics.fmean(two for _, two in pairs),
        difference=cluster_interval(gaps),
        wins=tested.wins,
        ties=tested.ties,
        losses=tested.losses,
        test=tested.test,
        p=tested.p,
        p_holm=tested.p,
        p_bh=tested.p,
        visible=tested.visible,
        flips=flips,
    )


def _points(value: float) -> str:
    return f"{100 * value:+.1f}"
