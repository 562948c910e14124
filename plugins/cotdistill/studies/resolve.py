"""From what a study says to what it means: names looked up, paths made absolute, runs counted.

All faults of names, paths and batches are gathered before anything is written.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from cotdistill.catalogue.packaged import students
from cotdistill.errors import BundleError, Fault, FaultsError, StudyError, did_you_mean
from cotdistill.files.bundle import bundle_files, by_name
from cotdistill.hosts.lm_eval.task_files import packaged_tasks, upstream_task_exists
from cotdistill.studies.evaluation_limits import (
    context_needed,
    evaluation_faults,
    generation_budget,
)
from cotdistill.studies.learner import Learner, learner_of
from cotdistill.studies.resolved_arm import ResolvedArm, arms_and_faults, missing_file_faults
from cotdistill.studies.study import (
    Recipe,
    Study,
    batch_steps,
)


@dataclass(frozen=True)
class Run:
    """One student × one arm × one recipe × one seed."""

    student: Learner
    arm: str
    recipe: str
    seed: int

    @property
    def name(self) -> str:
        """The run's name, which is also the name of its files."""
        return f"{self.student.name}--{self.arm}--{self.recipe}--s{self.seed}"


@dataclass(frozen=True)
class Resolved:
    """A study whose every name has been found."""

    study: Study
    learners: tuple[Learner, ...]
    arms: Mapping[str, ResolvedArm]
    runs: tuple[Run, ...]


def student_folder(student: str, arm: str) -> str:
    """Return where a scratch student lies that was made for an arm, relative to the run folder."""
    return f"models/{student}--{arm}"


def resolve(study: Study, place: str) -> Resolved:
    """Look up every name of a study and list its runs, in the study's own order.

    Raises:
        StudyError: every name that is not found, every batch that cannot be met, every run that
            would be there twice.
    """
    faults: list[Fault] = []
    learners = _learners(study, place, faults)
    arms, arm_faults = arms_and_faults(study, place)
    faults += arm_faults
    faults += [fault for arm in arms.values() for fault in missing_file_faults(arm, place)]
    faults += _recipe_faults(study, place, [learner.name for learner in learners])
    faults += _task_faults(study, place)
    budget = generation_budget(study)
    faults += evaluation_faults(study, learners, budget, place)
    learners = [
        replace(learner, model_len=context_needed(budget, learner.context)) for learner in learners
    ]
    runs = tuple(_runs(study, learners))
    faults += _twice(runs, place)
    if not runs and not faults:
        faults.append(Fault(f"{place}:arms", "no arm is trained", "at least one without train: no"))
    if faults:
        raise StudyError(faults)
    return Resolved(study, tuple(learners), arms, runs)


def _runs(study: Study, learners: list[Learner]) -> Iterator[Run]:
    grid = itertools.product(learners, study.trained_arms(), study.recipes.items(), study.seeds)
    for learner, arm, (recipe_name, recipe), seed in grid:
        if recipe.students is None or learner.name in recipe.students:
            yield Run(learner, arm, recipe_name, seed)


def _twice(runs: tuple[Run, ...], place: str) -> list[Fault]:
    seen: dict[str, int] = {}
    for run in runs:
        folded = run.name.lower()  # file systems may not tell upper from lower case
        seen[folded] = seen.get(folded, 0) + 1
    return [
        Fault(
            place,
            f"the run '{name}' is there {count} times",
            "",
            "give its parts names that differ in more than upper and lower case",
        )
        for name, count in seen.items()
        if count > 1
    ]


def _learners(study: Study, place: str, faults: list[Fault]) -> list[Learner]:
    known = students()
    learners = []
    for number, entry in enumerate(study.students):
        try:
            learners.append(learner_of(entry, known, f"{place}:students.{number}"))
        except FaultsError as error:
            faults += error.faults
    return learners


def _recipe_faults(study: Study, place: str, learners: list[str]) -> Iterator[Fault]:
    packaged = students()
    for name, recipe in study.recipes.items():
        where = f"{place}:recipes.{name}"
        yield from _template_fault(where, "template", recipe.template, "train/*.yaml.j2")
        if recipe.deepspeed is not None:
            yield from _template_fault(where, "deepspeed", recipe.deepspeed, "deepspeed/*.json")
        for student in recipe.students or ():
            # a packaged student may be named here and left out of the study by --set students=...
            if student not in learners and student not in packaged:
                hint = did_you_mean(student, learners)
                yield Fault(where, f"no student '{student}' in this study", "", hint)
        yield from _batch_faults(recipe, study, where)
    for learner in learners:
        if not any(r.students is None or learner in r.students for r in study.recipes.values()):
            remedy = "add it to the 'students' of a recipe"
            yield Fault(f"{place}:recipes", f"no recipe trains '{learner}'", "", remedy)


def _template_fault(where: str, key: str, name: str, pattern: str) -> Iterator[Fault]:
    """Yield a fault unless just one bundle has a template of this name."""
    ending = pattern.partition("*")[2]
    files = bundle_files("templates", pattern)
    named = [(path.name.removesuffix(ending), path) for path in files]
    try:
        known = by_name(f"the {key}", named)
    except BundleError as error:
        yield from error.faults
        return
    if name not in known:
        yield Fault(where, f"unknown {key} '{name}'", "", did_you_mean(name, sorted(known)))


def _batch_faults(recipe: Recipe, study: Study, where: str) -> tuple[Fault, ...]:
    try:
        batch_steps(recipe, study.hardware, where)
    except StudyError as error:
        return error.faults
    return ()


def _task_faults(study: Study, place: str) -> Iterator[Fault]:
    backend = study.evaluation.backend
    yield from _template_fault(f"{place}:evaluation", "backend", backend, "eval/*.yaml.j2")
    known = packaged_tasks([Path(folder) for folder in study.evaluation.include_path])
    for task in study.evaluation.tasks:
        if task not in known and not upstream_task_exists(task):
            hint = did_you_mean(task, sorted(known))
            yield Fault(f"{place}:evaluation.tasks", f"unknown task '{task}'", "", hint)
