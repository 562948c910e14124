"""From what a study says to what it means: names looked up, paths made absolute, runs counted.

All faults of names, paths and batches are gathered before anything is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from cotdistill.catalogue.packaged import students
from cotdistill.errors import Fault, FaultsError, StudyError
from cotdistill.studies.arm import DatasetArm
from cotdistill.studies.declared_model import ScratchModel
from cotdistill.studies.evaluation_limits import (
    context_needed,
    evaluation_faults,
    generation_budget,
)
from cotdistill.studies.faults.asking import asking_faults, dev_faults
from cotdistill.studies.faults.loops import difficulty_faults, loop_faults, race_faults
from cotdistill.studies.faults.recipes import recipe_faults, task_faults
from cotdistill.studies.faults.references import reference_faults
from cotdistill.studies.instructions import OWN, words_of
from cotdistill.studies.learner import Learner, evaluated_models, learner_of, named_models
from cotdistill.studies.prompt import Prompt
from cotdistill.studies.question_sets import QuestionSet, question_sets
from cotdistill.studies.resolve_arms import arms_and_faults, missing_file_faults
from cotdistill.studies.resolved_arm import ResolvedArm
from cotdistill.studies.runs import Run, all_runs, twice_faults, unasked_faults
from cotdistill.studies.study import Study


@dataclass(frozen=True)
class Resolved:
    """A study whose every name has been found."""

    study: Study
    learners: tuple[Learner, ...]
    arms: Mapping[str, ResolvedArm]
    runs: tuple[Run, ...]
    sets: Mapping[str, QuestionSet] = field(default_factory=dict)


def resolve(study: Study, place: str) -> Resolved:
    """Look up every name of a study and list its runs, in the study's own order.

    Raises:
        StudyError: every name that is not found, every batch that cannot be met, every run that
            would be there twice.
    """
    faults: list[Fault] = []
    learners = _learners(study, place, faults)
    study = study.model_copy(
        update={
            "prompt": _prompt_in_words(study, place, faults),
            "models": named_models(learners, study.models),
            "students": [learner.name for learner in learners] or study.students,
        }
    )
    others = _other_models(study, place, faults)
    sets, _ = question_sets(study, place)  # its faults are among those of the arms
    arms, arm_faults = arms_and_faults(study, place)
    faults += arm_faults
    faults += [fault for arm in arms.values() for fault in missing_file_faults(arm, place)]
    faults += recipe_faults(study, place, learners)
    faults += task_faults(study, place)
    faults += reference_faults(study, place)
    faults += loop_faults(study, place, learners)
    faults += difficulty_faults(study, place, sets)
    faults += race_faults(study, place)
    faults += asking_faults(study, place, sets)
    faults += dev_faults(study, place, sets)
    faults += _folder_faults(study, place)
    budget = generation_budget(study)
    faults += evaluation_faults(study, learners, budget, place)
    learners, others = (
        [replace(one, model_len=context_needed(budget, one.context)) for one in group]
        for group in (learners, others)
    )
    runs = tuple(all_runs(study, learners, others))
    faults += twice_faults(runs, place)
    if not runs and not faults:
        faults.append(Fault(f"{place}:arms", "no arm is trained", "at least one without train: no"))
    faults += unasked_faults(runs, place)
    if faults:
        raise StudyError(dict.fromkeys(faults))
    return Resolved(study, tuple(learners), arms, runs, sets)


def _folder_faults(study: Study, place: str) -> Iterator[Fault]:
    """Yield folders of data that are named and not there."""
    named = {"data_folder": study.data_folder} | {
        f"arms.{name}.folder": arm.folder
        for name, arm in study.arms.items()
        if isinstance(arm, DatasetArm)
    }
    for key, folder in named.items():
        if folder and not Path(folder).is_dir():
            expected = "the folder with the files of registered datasets"
            yield Fault(f"{place}:{key}", f"no such folder {folder}", expected)


def _prompt_in_words(study: Study, place: str, faults: list[Fault]) -> Prompt:
    """Return the prompt with the words of its instructions in place of their names."""
    prompt = study.prompt
    try:
        words = words_of(prompt.instruction, f"{place}:prompt.instruction")
        changed: dict[str, object] = {"instruction": words or "none"}
        other = prompt.evaluation
        if other and other.instruction not in (None, OWN):
            asked = words_of(str(other.instruction), f"{place}:prompt.evaluation.instruction")
            changed["evaluation"] = other.model_copy(update={"instruction": asked or "none"})
    except FaultsError as error:
        faults += error.faults
        return prompt
    return prompt.model_copy(update=changed)


def _learners(study: Study, place: str, faults: list[Fault]) -> list[Learner]:
    known = students()
    learners = []
    for number, name in enumerate(study.students):
        try:
            learners.append(learner_of(name, study.models, known, f"{place}:students.{number}"))
        except FaultsError as error:
            faults += error.faults
    return learners


def _other_models(study: Study, place: str, faults: list[Fault]) -> list[Learner]:
    """Return the models that are only evaluated: those of `evaluation.models`."""
    known = students()
    found: list[Learner] = []
    for number, name in enumerate(study.evaluation.models):
        where = f"{place}:evaluation.models.{number}"
        try:
            found += evaluated_models(name, study.models, known, where)
        except FaultsError as error:
            faults += error.faults
    scratch = [f"evaluation.models: {one.name}" for one in found if one.scratch]
    if any(isinstance(study.models.get(name), ScratchModel) for name in study.students):
        scratch += [f"arms.{arm}" for arm in study.untouched_arms()]
    for where in scratch:
        wrong = "a randomly initialised model has no tokenizer before it is trained"
        faults.append(Fault(f"{place}:{where}", wrong, "a model with weights to evaluate as it is"))
    return found
