"""Arms or runs on the same questions: how far apart they are and what that can prove."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

from cotdistill.errors import DataError, Fault, MisuseError
from cotdistill.hosts.lm_eval.samples import (
    Sample,
    SampleFile,
    find_samples,
    newest_results,
    passed_over,
    read_results,
)
from cotdistill.results.arm_comparisons import (
    LEVEL,
    ArmRuns,
    Difference,
    adjusted,
    difference,
    difference_row,
    difference_table,
    pooled_runs,
)
from cotdistill.results.doubts import one_draw, other_model, same_responses, shares_start
from cotdistill.results.groups import (
    Group,
    bases_of,
    default_selection,
    name_of,
    selection_of,
    shown,
)
from cotdistill.results.question_scores import QuestionScores, no_score, question_scores
from cotdistill.results.questions import QuestionId, by_name, joined, repeated_contents
from cotdistill.results.run_names import short_names
from cotdistill.results.run_settings import unequal_settings
from cotdistill.results.verdict_files import VerdictSource
from cotdistill.runfolder.manifest import MANIFEST, Factor, read_manifest
from cotdistill.stats.run_variance import Stratum
from cotdistill.tables import Table, counted

_TITLE = 100
_MOST_CONCLUSIONS = 8  # that are all put into words


@dataclass(frozen=True)
class Flip:
    """A question on which two arms differ: its beginning, and both scores, means over runs."""

    task: str
    question: str
    first: float
    second: float


@dataclass(frozen=True)
class Comparison(Difference):
    """The second arm against the first on one task, with the questions on which they differ."""

    flips: tuple[Flip, ...] = ()


def compare(
    places: Sequence[Path],
    *,
    task: str | None = None,
    source: VerdictSource = "run",
    all_pairs: bool = False,
    anyway: bool = False,
    run_sd: float | None = None,
    baseline: str | None = None,
) -> tuple[list[Comparison], list[str]]:
    """Compare every further arm with the first one (or all pairs), task by task.

    A place is one run, or a pattern whose matches are the runs of one arm with several random
    seeds; a run folder alone stands for all its arms and recipes, each compared with the baseline:
    an arm, a recipe, a student, or factors as `level=1`. Each samples file is read once. Returns
    the comparisons, adjusted over all of them, and warnings.

    Units: `run_sd`, the standard deviation from run to run if it is known, in points.

    Raises:
        MisuseError: fewer than two places that are no run folder.
        DataError: no task in common, or settings that must be equal differ and `anyway` was not
            said; of a run folder: it has no such baseline, or no two arms with scores.
    """
    warnings: list[str] = []
    if len(places) == 1 and (places[0] / MANIFEST).is_file():
        families, pooled, warnings = _families_in(places[0], baseline, task, source)
    elif len(places) < 2:
        raise MisuseError("cotdistill compare: name two or more runs, or one run folder")
    else:
        named = zip(short_names(places), map(_runs_of, places), strict=True)
        families = [[_arm(_Named(name, runs), task, source) for name, runs in named]]
        pooled = families[0]
    found: list[Comparison] = []
    faults: list[Fault] = []
    pool = _Pool(pooled)
    for family in families:
        made, noted, wrong = _compare_arms(family, pool, all_pairs, run_sd)
        found += made
        warnings += [note for note in noted if note not in warnings]
        faults += wrong
    if not found:
        raise DataError(Fault("compare", "no task in common", "runs of the same tasks"))
    if faults and not anyway:
        raise DataError(faults)
    warnings += [str(fault) for fault in faults]
    return adjusted(found), warnings


def _compare_arms(
    arms: Sequence[_Arm], pool: _Pool, all_pairs: bool, run_sd: float | None
) -> tuple[list[Comparison], list[str], list[Fault]]:
    """Compare every arm with the first one, or all pairs."""
    pairs = list(combinations(arms, 2))
    if not all_pairs:
        pairs = [pair for pair in pairs if pair[0] is arms[0]]
    warnings = [
        passed_over(table.file.path, table.file.older, f"samples files of {name}")
        for arm in arms
        for name, tables in arm.tables.items()
        for table in tables
        if table.file.older
    ]
    warnings += [
        f"{arm.name}: not every run has {', '.join(arm.incomplete)}, so not compared"
        for arm in arms
        if arm.incomplete
    ]
    found: list[Comparison] = []
    faults: list[Fault] = []
    for one, two in pairs:
        alone = sorted(set(one.tables) ^ set(two.tables))
        if alone:
            where = f"{one.name}, {two.name}"
            warnings.append(f"{where}: not in both, so not compared: {', '.join(alone)}")
        for name in one.tables:
            if name not in two.tables:
                continue
            strata = pool.strata(one, two, name)
            comparison, notes, wrong = _compare_task(name, (one, two), strata, run_sd)
            found.append(comparison)
            warnings += [note for note in notes if note not in warnings]
            faults += wrong
    return found, warnings, faults


def comparison_table(found: Sequence[Comparison], flips: int = 0) -> Table:
    """Return a row a comparison, with the conclusions and the first flipped questions below.

    Of many comparisons only the differences that are shown, or nearly, are put into words.
    """
    worded = [one for one in found if len(found) <= _MOST_CONCLUSIONS or _is_news(one)]
    notes = [one.conclusion for one in worded]
    if others := [one for one in found if one not in worded]:
        visible = [100 * one.compared.visible for one in others]
        what = "other comparison" if worded else "comparison"
        least, most = f"{min(visible):.0f}", f"{max(visible):.0f}"
        notes.append(
            f"{counted(len(others), what)}: no difference shown; none of less than "
            f"{least if least == most else f'{least} to {most}'} points is likely to be seen; "
            "each in words with --json"
        )
        notes += dict.fromkeys(
            words for one in others for words in (*one.assumptions, *one.cautions)
        )
    for one in found:
        for flip in one.flips[:flips]:
            scores_of_both = f"{one.first} {flip.first:.3g}, {one.second} {flip.second:.3g}"
            notes.append(f"{flip.task}: {scores_of_both}: {flip.question}")
        if flips and len(one.flips) > flips:
            notes.append(f"{one.task}: and {len(one.flips) - flips} more flipped questions")
    return difference_table(found, notes)


def _is_news(one: Comparison) -> bool:
    return bool(one.diverged) or one.compared.p is None or one.compared.p < LEVEL


def comparison_rows(found: Sequence[Comparison]) -> list[dict[str, Any]]:
    """Return every number of comparisons unrounded, fractions, for programs."""
    return [
        difference_row(one)
        | {
            "flips": [
                {"question": flip.question, "first": flip.first, "second": flip.second}
                for flip in one.flips
            ]
        }
        for one in found
    ]


class _Asked(NamedTuple):
    """How one run asked one question: a hash of its prompt, and the question's beginning."""

    prompt_hash: str
    title: str


@dataclass(frozen=True)
class _Table:
    """The scores of one run on one task, and how it asked the questions."""

    run: str
    file: SampleFile
    scores: QuestionScores
    asked: Mapping[QuestionId, _Asked]


@dataclass(frozen=True, eq=False)
class _Arm:
    """What one argument names, or a group of a run folder: the runs of an arm, by task."""

    name: str
    tables: Mapping[str, Sequence[_Table]]
    incomplete: Sequence[str] = ()  # tasks that only some of its runs have
    trained: bool = True
    student: str = ""
    recipe: str = ""


class _Named(NamedTuple):
    """An arm and where its runs are; `trained` is False for a model that is scored as it is."""

    name: str
    runs: Sequence[Path]
    trained: bool = True
    student: str = ""
    recipe: str = ""


class _Pool:
    """The run variance of arms by student and recipe, as the report pools it."""

    def __init__(self, arms: Sequence[_Arm]) -> None:
        self._arms = arms
        self._strata: dict[tuple[str, frozenset[str], str], Stratum] = {}

    def strata(self, one: _Arm, two: _Arm, task: str) -> tuple[Stratum, Stratum]:
        """Return the stratum of each arm: of its student, and its recipe or both arms' ones."""
        recipes = frozenset(arm.recipe for arm in (one, two) if arm.trained)
        if len(recipes) > 1:
            recipes = frozenset(arm.recipe for arm in self._arms)
        return self._stratum(one.student, recipes, task), self._stratum(two.student, recipes, task)

    def _stratum(self, student: str, recipes: frozenset[str], task: str) -> Stratum:
        key = (student, recipes, task)
        if key not in self._strata:
            of_key = [
                arm
                for arm in self._arms
                if task in arm.tables and arm.student == student and arm.recipe in recipes
            ]
            self._strata[key] = _pooled(of_key, task)
        return self._strata[key]


def _families_in(
    folder: Path, baseline: str | None, task: str | None, source: VerdictSource
) -> tuple[list[list[_Arm]], list[_Arm], list[str]]:
    """Return a run folder's baselines, each followed by what is compared with it, and all arms."""
    places: dict[Group, list[Path]] = {}
    factors: dict[tuple[str, str], Mapping[str, Factor]] = {}
    untrained: set[Group] = set()
    one_start: set[Group] = set()
    warnings = []
    for run in read_manifest(folder, for_results=True):
        place = folder / run.outputs.evaluate
        if not any(place.rglob("samples_*.jsonl")):
            warnings.append(f"{run.run}: not scored, so not compared")
            continue
        logged = [read_results(file.path).get("config") or {} for file in newest_results(place)]
        if doubt := other_model(folder / run.files.eval, logged):
            warnings.append(f"{run.run}: {doubt}")
        group = (run.student, run.arm, run.recipe)
        if run.outputs.train is None:
            untrained.add(group)
        if shares_start(folder, run):
            one_start.add(group)
        places.setdefault(group, []).append(place)
        factors[group[1:]] = run.factors
    groups = list(places)
    several = [one for one in groups if one in one_start and len(places[one]) > 1]
    warnings += one_draw(student for student, _, _ in several)
    chosen = (
        default_selection(groups, factors, folder)
        if baseline is None
        else selection_of(baseline, groups, factors, "scored")
    )
    bases = bases_of(groups, factors, chosen)
    if not bases:
        wrong = "no two arms of one student and recipe have scores"
        raise DataError(Fault(str(folder), wrong, "", f"run it: cotdistill run {folder}"))
    named = {
        group: _Named(name_of(groups, group), runs, group not in untrained, group[0], group[2])
        for group, runs in places.items()
    }
    baselines = set(bases.values())
    warnings += [
        f"{named[group].name}: no scores of {shown(chosen)} to compare with"
        for group in groups
        if group not in bases and group not in baselines
    ]
    arms = {group: _arm(named[group], task, source) for group in groups}
    families: dict[Group, list[_Arm]] = {}
    for group in groups:
        if group in bases:
            families.setdefault(bases[group], [arms[bases[group]]]).append(arms[group])
    return list(families.values()), list(arms.values()), warnings


def _arm(named: _Named, task: str | None, source: VerdictSource) -> _Arm:
    """Read every run of an arm; a task that one of its runs lacks is not the arm's."""
    name, runs, *_ = named
    names = short_names(runs) if len(runs) > 1 else [name]
    files = [_by_task(run, task) for run in runs]
    tables = {
        one: [_table(run, by[one], source) for run, by in zip(names, files, strict=True)]
        for one in files[0]
        if all(one in by for by in files)
    }
    lacking = sorted(set().union(*files) - set(tables))
    return _Arm(name, tables, lacking, named.trained, named.student, named.recipe)


def _runs_of(place: Path) -> list[Path]:
    """Return the runs that a place names: itself, or what a pattern matches."""
    if place.exists() or not any(character in str(place) for character in "*?["):
        return [place]
    runs = sorted(Path(place.anchor).glob(str(place.relative_to(place.anchor))))
    if not runs:
        raise DataError(Fault(str(place), "no run has such a name", "a folder or a pattern"))
    return runs


def _table(run: str, file: SampleFile, source: VerdictSource) -> _Table:
    asked: dict[QuestionId, _Asked] = {}

    def keep(question: QuestionId, sample: Sample, _: object, __: object, text: str) -> None:
        title = " ".join(text[: 4 * _TITLE].split())[:_TITLE]
        asked[question] = _Asked(sample.prompt_hash, title)

    scores = question_scores(file, source, keep=keep)
    if not scores.values:
        raise no_score(file.path)
    return _Table(run, file, scores, asked)


def _pooled(arms: Sequence[_Arm], task: str) -> Stratum:
    """Return the run variance on a task, pooled over arms."""
    return pooled_runs(
        [_arm_runs(arm, task, joined([table.scores.values for table in arm.tables[task]]))]
        for arm in arms
        if task in arm.tables
    )


def _arm_runs(arm: _Arm, task: str, values: Sequence[Mapping[str, float]]) -> ArmRuns:
    names = [table.run for table in arm.tables[task]]
    return ArmRuns(arm.name, task, dict(zip(names, values, strict=True)), arm.trained)


def _by_task(place: Path, task: str | None) -> dict[str, SampleFile]:
    files: dict[str, SampleFile] = {}
    for one in find_samples([place], task):
        if one.task in files:
            wrong = f"{one.task} is in {files[one.task].path.parent} and in {one.path.parent}"
            remedy = "name the run's folder, or the seeds of one arm by a pattern in quotes"
            raise DataError(Fault(str(place), wrong, "one run a place", remedy))
        files[one.task] = one
    return files


def _compare_task(
    task: str, arms: tuple[_Arm, _Arm], strata: tuple[Stratum, Stratum], run_sd: float | None
) -> tuple[Comparison, list[str], list[Fault]]:
    tables = [table for arm in arms for table in arm.tables[task]]
    values = joined([table.scores.values for table in tables])
    count = len(arms[0].tables[task])
    first = _arm_runs(arms[0], task, values[:count])
    second = _arm_runs(arms[1], task, values[count:])
    found = difference(
        [first],
        [second],
        *strata,
        names=(arms[0].name, arms[1].name),
        run_sd=None if run_sd is None else run_sd / 100,
        answers=max(table.scores.repeats for table in tables),
    )
    if found is None:
        wrong = f"{task}: {arms[0].name} and {arms[1].name} share no question"
        raise DataError(Fault("compare", wrong, "the same questions"))
    shared = [name for name in first.shared() if all(name in one for one in values)]
    warnings, faults = _settings_differ(task, tables)
    for table in tables:
        warnings += [f"{task}: {table.run}: {note}" for note in table.scores.remarks]
    in_first = {table.file.path.resolve() for table in arms[0].tables[task]}
    warnings += [
        f"{task}: {table.run} is a run of both {arms[0].name} and {arms[1].name}"
        for table in arms[1].tables[task]
        if table.file.path.resolve() in in_first
    ]
    warnings += same_responses({table.run: table.scores for table in tables})
    missing = len(set().union(*values)) - len(shared)
    if missing:
        whom = "one of the two" if len(tables) == 2 else "some of the runs"
        verb = "is" if missing == 1 else "are"
        warnings.append(
            f"{task}: {counted(missing, 'question')} {verb} in only {whom} and left out"
        )
    repeated = repeated_contents([table.scores.values for table in tables])
    asked = [by_name(table.asked, repeated) for table in tables]
    other = sum(len({one[name].prompt_hash for one in asked}) > 1 for name in shared)
    templates = {table.scores.settings.should.get("chat template") for table in tables}
    if other:
        wrong = f"{other} of {len(shared)} questions were asked with another prompt"
        if len(templates) > 1:
            warnings.append(f"{task}: {wrong}; the chat templates differ")
        else:
            faults.append(Fault(task, wrong, "the same prompt", "--anyway compares them"))
    means = [arm.table(shared).mean(axis=0).tolist() for arm in (first, second)]
    flips = tuple(
        Flip(task, asked[0][name].title, one, two)
        for name, one, two in zip(shared, *means, strict=True)
        if one != two
    )
    return Comparison(**vars(found), flips=flips), warnings, faults


def _settings_differ(task: str, tables: Sequence[_Table]) -> tuple[list[str], list[Fault]]:
    lacking = [table.run for table in tables if not table.scores.settings.must]
    if lacking:
        return [
            f"{task}: {', '.join(lacking)} has no results file, so version, decoding, engine and "
            "dtype could not be checked"
        ], []
    warnings: list[str] = []
    faults: list[Fault] = []
    for one in unequal_settings([(table.run, table.scores.settings) for table in tables]):
        of = {run: value for value, runs in one.values.items() for run in runs}
        wrong = f"{one.name} differs: " + ", ".join(
            f"{table.run} {of[table.run]}" for table in tables
        )
        if one.must:
            faults.append(Fault(task, wrong, "", "score both alike, or say --anyway"))
        else:
            warnings.append(f"{task}: {wrong}")
    return warnings, faults
