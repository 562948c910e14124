"""From what a study says to what it means: names looked up, paths made absolute, runs counted.

All faults of names, paths and batches are gathered before anything is written.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from pathlib import Path

from cotdistill.benchmarks.question import question_key
from cotdistill.catalogue.packaged import students
from cotdistill.errors import BundleError, Fault, FaultsError, StudyError, did_you_mean
from cotdistill.files.bundle import bundle_files, by_name
from cotdistill.hosts.lm_eval.task_files import packaged_tasks, upstream_task_exists
from cotdistill.studies.arm import Factor
from cotdistill.studies.declared_model import ScratchModel
from cotdistill.studies.evaluation_limits import (
    context_needed,
    evaluation_faults,
    generation_budget,
)
from cotdistill.studies.instructions import OWN, words_of
from cotdistill.studies.learner import Learner, evaluated_models, learner_of, named_models
from cotdistill.studies.prompt import Prompt
from cotdistill.studies.question_sets import QuestionSet, question_sets
from cotdistill.studies.references import own_column, reference_faults
from cotdistill.studies.requests import Loop
from cotdistill.studies.resolved_arm import ResolvedArm, arms_and_faults, missing_file_faults
from cotdistill.studies.selection import chooses_student, is_size, meets
from cotdistill.studies.study import Recipe, Study, TaskUse, batch_steps

UNTRAINED = "none"
"""The recipe of a model that is evaluated as it is; no recipe of a study can be called so."""
UNTOUCHED = "untouched"
"""The arm of such a model where the study names none."""


@dataclass(frozen=True)
class Run:
    """One student × one arm × one recipe × one seed, or a model that is evaluated as it is.

    `step` is the optimizer step of an evaluated checkpoint, None for the end of the training.
    `loop` says that a loop makes its model, `start` the arm that the loop's first model was trained
    on; `round` is the round of a loop whose model it is, None for the one that is chosen in the
    end. Rounds are no runs of the study: they are made of its loops (`cotdistill.studies.rounds`).
    """

    student: Learner
    arm: str
    recipe: str
    seed: int | None
    factors: Mapping[str, Factor] = field(default_factory=dict)
    tasks: tuple[TaskUse, ...] = ()
    step: int | None = None
    loop: Loop | None = None
    round: int | None = None

    @property
    def is_trained(self) -> bool:
        """Whether it has a training; else a model is evaluated as it is."""
        return self.recipe != UNTRAINED

    @property
    def name(self) -> str:
        """The run's name, which is also the name of its files."""
        if not self.is_trained:
            round_ = "" if self.round is None else f"--round{self.round}"
            return f"{self.student.name}--{self.arm}{round_}"
        step = "" if self.step is None else f"--step{self.step}"
        return f"{self.trained}{step}"

    @property
    def trained(self) -> str:
        """The name of the training that it evaluates, which checkpoints have in common."""
        round_ = "" if self.round is None else f"--round{self.round}"
        return f"{self.student.name}--{self.arm}--{self.recipe}--s{self.seed}{round_}"

    @property
    def dataset(self) -> str:
        """The name under which its rows are registered: its arm's, or its round's own."""
        return self.arm if self.round is None else self.trained

    @property
    def made_for(self) -> str:
        """The arm whose text the tokenizer of a randomly initialised student is trained on."""
        return self.arm if self.loop is None else str(self.loop.start)


@dataclass(frozen=True)
class Resolved:
    """A study whose every name has been found."""

    study: Study
    learners: tuple[Learner, ...]
    arms: Mapping[str, ResolvedArm]
    runs: tuple[Run, ...]
    sets: Mapping[str, QuestionSet] = field(default_factory=dict)


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
    faults += _recipe_faults(study, place, learners)
    faults += _task_faults(study, place)
    faults += reference_faults(study, place)
    faults += loop_faults(study, place, learners)
    faults += _difficulty_faults(study, place, sets)
    faults += _race_faults(study, place)
    budget = generation_budget(study)
    faults += evaluation_faults(study, learners, budget, place)
    learners, others = (
        [replace(one, model_len=context_needed(budget, one.context)) for one in group]
        for group in (learners, others)
    )
    runs = tuple(_runs(study, learners, others))
    faults += _twice(runs, place)
    if not runs and not faults:
        faults.append(Fault(f"{place}:arms", "no arm is trained", "at least one without train: no"))
    faults += _unasked(runs, place)
    if faults:
        raise StudyError(dict.fromkeys(faults))
    return Resolved(study, tuple(learners), arms, runs, sets)


def _runs(study: Study, learners: list[Learner], others: list[Learner]) -> Iterator[Run]:
    """Yield the untouched models first, then every training with its checkpoints."""
    untouched = study.untouched_arms()
    for learner in learners:
        for arm in untouched:
            yield _untrained(study, learner, arm)
    for other in others:
        yield _untrained(study, other, untouched[0] if untouched else UNTOUCHED)
    factors = {name: _factors(study, name) for name in study.trained_arms()}
    tasks = {name: _tasks(study, of_arm) for name, of_arm in factors.items()}
    of_arms = {name for found in factors.values() for name in found}
    with_seeds = [(n, r, seed) for n, r in study.recipes.items() for seed in study.seeds_of(n)]
    grid = itertools.product(learners, factors, with_seeds)
    for learner, arm, (recipe_name, recipe, seed) in grid:
        if not is_chosen(recipe, learner, arm, factors[arm]):
            continue
        of_run = _with_recipe(factors[arm], recipe, of_arms)
        run = Run(learner, arm, recipe_name, seed, of_run, tasks[arm])
        yield run
        if study.evaluation.checkpoints and recipe.save_steps and recipe.max_steps:
            for step in range(recipe.save_steps, recipe.max_steps, recipe.save_steps):
                yield replace(run, step=step, factors={**of_run, "step": step})
    for arm, loop in study.loops().items():
        of_arm = _factors(study, arm)
        for learner, seed in itertools.product(learners, study.seeds_of(loop.recipe)):
            by = study.recipes.get(loop.recipe)
            if by is not None and _trains(by, learner):
                of_run = _with_recipe(of_arm, by, of_arms | of_arm.keys())
                asked = _tasks(study, of_arm)
                yield Run(learner, arm, loop.recipe, seed, of_run, asked, loop=loop)


def _with_recipe(
    factors: Mapping[str, Factor], recipe: Recipe, of_arms: Set[str]
) -> dict[str, Factor]:
    """Return an arm's factors with a recipe's, in columns of their own where arms have them too."""
    found = dict(factors)
    for name, value in recipe.factors.items():
        if name not in of_arms:
            found[name] = value
        elif name not in factors or factors[name] != value:
            found[own_column(name)] = value
    return found


def _untrained(study: Study, learner: Learner, arm: str) -> Run:
    factors = _factors(study, arm) if arm in study.arms else {}
    asked = {name: value for name, value in factors.items() if value is not None}
    return Run(learner, arm, UNTRAINED, None, factors, _tasks(study, asked, is_untrained=True))


def _factors(study: Study, arm: str) -> dict[str, Factor]:
    return dict(study.arms[arm].factors)


def _tasks(
    study: Study, factors: Mapping[str, Factor], *, is_untrained: bool = False
) -> tuple[TaskUse, ...]:
    """Return the tasks that an arm is asked; a model without training is asked all of them."""
    uses = study.evaluation.tasks
    chosen = [use for use in uses if is_untrained or meets(use.when, factors)]
    return tuple({use.task: use for use in chosen}.values())


def is_chosen(recipe: Recipe, learner: Learner, arm: str, factors: Mapping[str, Factor]) -> bool:
    """Whether a recipe trains a student on an arm: by their names, the size, the factors."""
    if recipe.arms is not None and not any(chooses_student(p, arm, None) for p in recipe.arms):
        return False
    return _trains(recipe, learner) and meets(recipe.when, factors)


def _trains(recipe: Recipe, learner: Learner) -> bool:
    return recipe.students is None or any(
        chooses_student(pattern, learner.name, learner.parameters)
        or chooses_student(pattern, learner.model or "", None)
        for pattern in recipe.students
    )


def _unasked(runs: Sequence[Run], place: str) -> Iterator[Fault]:
    for arm in dict.fromkeys(run.arm for run in runs if not run.tasks):
        where = f"{place}:evaluation.tasks"
        yield Fault(where, f"no task is asked for the arm '{arm}'", "", "see its factors and when:")


def loop_faults(study: Study, place: str, learners: Sequence[Learner]) -> Iterator[Fault]:
    """Yield what keeps a loop from running: no development questions, no first model."""
    for arm, loop in study.loops().items():
        where = f"{place}:arms.{arm}.improve"
        asked = loop.sample.questions
        sets = [asked] if isinstance(asked, str) else asked
        known = [study.questions[name] for name in sets if name in study.questions]
        if known and not any(one.dev for one in known):
            remedy = f"say questions.{sets[0]}.dev, as in dev: 0.1"
            wrong = "no development questions to choose its round by"
            yield Fault(f"{where}.sample.questions", wrong, "", remedy)
        recipe = study.recipes.get(loop.recipe)
        if loop.capture and recipe is not None:
            if recipe.kd is None:
                wrong = f"the recipe '{loop.recipe}' has no teacher"
                yield Fault(f"{where}.capture", wrong, "a recipe with kd: {teacher: MODEL}")
            elif not isinstance(recipe.kd.teacher, str):
                yield Fault(f"{where}.capture", "its teacher is a folder of signals", "a model")
        if loop.start is None or recipe is None:
            scratch = [one.name for one in learners if one.scratch]
            if loop.start is None and scratch:
                wrong = f"the randomly initialised '{scratch[0]}' has nothing to sample from"
                yield Fault(where, wrong, "a 'start' that it is trained on first")
            continue
        declared = study.arms.get(loop.start)
        if declared is None:
            hint = did_you_mean(loop.start, study.trained_arms())
            yield Fault(f"{where}.start", f"no arm '{loop.start}'", "", hint)
        elif loop.start not in study.trained_arms():
            yield Fault(f"{where}.start", f"'{loop.start}' is not trained on", "a trained arm")
        elif learners and not any(
            is_chosen(recipe, one, loop.start, _factors(study, loop.start)) for one in learners
        ):
            wrong = f"the recipe '{loop.recipe}' trains no student on '{loop.start}'"
            yield Fault(f"{where}.start", wrong, "", "see its students, arms and when")


def _race_faults(study: Study, place: str) -> Iterator[Fault]:
    """Yield what keeps a race from being one."""
    if study.race is None:
        return
    where = f"{place}:race"
    if not study.race_tasks():
        remedy = "keep some of a question set: questions: {svamp: {benchmark: svamp, dev: 0.1}}"
        yield Fault(where, "no development questions to decide by", "", remedy)
    arms = {*study.trained_arms(), *study.loops()}
    free = arms - study.never_dropped()
    if len(free) < 2:
        wrong = f"{len(free)} of {len(arms)} arms may be dropped"
        remedy = "leave the race out; arms that others need are always trained"
        yield Fault(where, wrong, "at least two arms that are no baseline", remedy)
    elif study.race.top >= len(free) and study.race.procedure == "leaders":
        wrong = f"top {study.race.top} of {len(free)} arms that may be dropped"
        yield Fault(f"{where}.top", wrong, f"1 to {len(free) - 1}")


def _difficulty_faults(
    study: Study, place: str, sets: Mapping[str, QuestionSet]
) -> Iterator[Fault]:
    """Yield question sets whose questions lack the key that says how hard they are."""
    for arm, loop in study.loops().items():
        asked = loop.sample.questions
        for name in [asked] if isinstance(asked, str) else asked:
            if loop.difficulty is None or name not in sets or not sets[name].is_here:
                continue
            try:
                held_out, rows = sets[name].dev_keys, sets[name].rows
            except FaultsError:
                continue  # said of the set itself
            sampled = [r for r in rows if question_key(r["question"], "words") not in held_out]
            lacking = [r for r in sampled if (r.get("meta") or {}).get(loop.difficulty) is None]
            if lacking:
                known = sorted({key for row in sampled for key in row.get("meta") or {}})
                wrong = (
                    f"{len(lacking)} of {len(sampled)} sampled questions of {name} have no "
                    f"'{loop.difficulty}' in their meta"
                )
                remedy = did_you_mean(loop.difficulty, known) if known else "leave the key out"
                yield Fault(f"{place}:arms.{arm}.improve.difficulty", wrong, "", remedy)


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


def _recipe_faults(study: Study, place: str, learners: list[Learner]) -> Iterator[Fault]:
    packaged = {student.name for student in students().values()}
    names = [learner.name for learner in learners]
    for name, recipe in study.recipes.items():
        where = f"{place}:recipes.{name}"
        if name == UNTRAINED:
            yield Fault(where, f"no recipe can be called '{UNTRAINED}'", "another name")
        yield from _template_fault(where, "template", recipe.template, "train/*.yaml.j2")
        if recipe.deepspeed is not None:
            yield from _template_fault(where, "deepspeed", recipe.deepspeed, "deepspeed/*.json")
        for pattern in recipe.students or ():
            # a packaged student may be named here and left out of the study by --set students=...
            if is_size(pattern) or any(sign in pattern for sign in "*?["):
                continue
            if pattern not in names and pattern not in packaged and pattern not in study.models:
                hint = did_you_mean(pattern, names)
                yield Fault(where, f"no student '{pattern}' in this study", "", hint)
        for pattern in recipe.arms or ():
            if not any(chooses_student(pattern, arm, None) for arm in study.arms):
                hint = did_you_mean(pattern, list(study.arms))
                yield Fault(f"{where}.arms", f"no arm '{pattern}'", "", hint)
        if study.evaluation.checkpoints and not (recipe.save_steps and recipe.max_steps):
            expected = "max_steps and save_steps, so that the steps are known beforehand"
            yield Fault(where, "evaluation.checkpoints is asked for", expected)
        yield from _batch_faults(recipe, study, where)
    for learner in learners:
        if any(_trains(recipe, learner) for recipe in study.recipes.values()):
            if learner.is_encoder_decoder and study.trained_arms():
                yield from _encoder_decoder_faults(learner, study, place)
            continue
        if learner.parameters is None and any(
            is_size(pattern) for r in study.recipes.values() for pattern in r.students or ()
        ):
            where, remedy = f"{place}:models.{learner.name}", "say its 'parameters', in billions"
            yield Fault(where, "recipes choose by size, and its size is not known", "", remedy)
            continue
        remedy = "add it to the 'students' of a recipe"
        yield Fault(f"{place}:recipes", f"no recipe trains '{learner.name}'", "", remedy)


def _encoder_decoder_faults(learner: Learner, study: Study, place: str) -> Iterator[Fault]:
    """Yield what T5 and the like cannot have: LLaMA-Factory and vLLM do not know them."""
    if study.evaluation.backend != "hf":
        wrong = f"'{learner.name}' is an encoder-decoder, and {study.evaluation.backend} takes none"
        yield Fault(f"{place}:evaluation.backend", wrong, "hf")
    for name, recipe in study.recipes.items():
        if not _trains(recipe, learner):
            continue
        where = f"{place}:recipes.{name}"
        if recipe.template not in ("full", "lora"):
            wrong = f"'{recipe.template}' for '{learner.name}', an encoder-decoder"
            yield Fault(f"{where}.template", wrong, "full or lora")
        for key, unwanted in (
            ("packing", recipe.packing != "none"), ("deepspeed", recipe.deepspeed),
            ("save_steps", recipe.save_steps), ("precision", recipe.precision == "fp16"),
        ):  # fmt: skip
            if unwanted:
                wrong = f"does not apply to '{learner.name}', an encoder-decoder"
                yield Fault(f"{where}.{key}", wrong, "", "leave it out")


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
    dev = [f"dev_{name}" for name, questions in study.questions.items() if questions.dev]
    for task in study.evaluation.task_names:
        if task in dev:
            continue
        if task not in known and not upstream_task_exists(task):
            hint = did_you_mean(task, [*dev, *sorted(known)])
            yield Fault(f"{place}:evaluation.tasks", f"unknown task '{task}'", "", hint)
