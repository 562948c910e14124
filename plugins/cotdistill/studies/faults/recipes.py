"""Whether a study's recipes and tasks fit its students, its hardware and what is packaged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from cotdistill.catalogue.packaged import students
from cotdistill.errors import BundleError, Fault, StudyError, did_you_mean
from cotdistill.files.bundle import bundle_files, by_name
from cotdistill.hosts.lm_eval.task_files import packaged_tasks, upstream_task_exists
from cotdistill.studies.learner import Learner
from cotdistill.studies.runs import UNTRAINED, is_trained_by
from cotdistill.studies.selection import chooses_student, is_size
from cotdistill.studies.study import Recipe, Study, batch_steps


def recipe_faults(study: Study, place: str, learners: Sequence[Learner]) -> Iterator[Fault]:
    """Yield templates, students, arms and batches of recipes that there are not or cannot be."""
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
        if "save_steps" in recipe.settings and recipe.settings.get("save_strategy") != "steps":
            wrong = "has no effect next to a checkpoint of each epoch"
            remedy = "write save_steps in the recipe itself"
            yield Fault(f"{where}.settings.save_steps", wrong, "", remedy)
        yield from _batch_faults(recipe, study, where)
        chooses = [one for one in learners if not one.is_encoder_decoder]
        if recipe.keep == "best" and any(is_trained_by(recipe, one) for one in chooses):
            yield from _epoch_faults(name, recipe, study, where)
    for learner in learners:
        if any(is_trained_by(recipe, learner) for recipe in study.recipes.values()):
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


def _epoch_faults(name: str, recipe: Recipe, study: Study, where: str) -> Iterator[Fault]:
    """Yield what keeps a recipe from choosing among its epochs."""
    if recipe.epochs is None or recipe.epochs != int(recipe.epochs) or recipe.epochs < 2:
        expected = "a whole number of 2 or more"
        given = "max_steps" if recipe.epochs is None else f"{recipe.epochs:g}"
        yield Fault(f"{where}.epochs", f"{given}, and keep: best chooses one", expected)
    if not study.epoch_tasks(None):
        remedy = "keep some of a question set: questions: {svamp: {benchmark: svamp, dev: 0.1}}"
        yield Fault(f"{where}.keep", "no development questions to choose by", "", remedy)
    for key in ("save_strategy", "save_steps", "save_total_limit", "save_only_model"):
        if key in recipe.settings or (key == "save_steps" and recipe.save_steps):
            wrong = f"'{key}' and keep: best, which saves every epoch"
            yield Fault(where, wrong, "one of them")
    others = [("evaluation.checkpoints", study.evaluation.checkpoints), ("race", study.race)]
    others += [(f"arms.{arm}.improve", loop.recipe == name) for arm, loop in study.loops().items()]
    for other, is_there in others:
        if is_there:
            yield Fault(f"{where}.keep", f"best, next to '{other}', which chooses too", "last")


def _encoder_decoder_faults(learner: Learner, study: Study, place: str) -> Iterator[Fault]:
    """Yield what T5 and the like cannot have: LLaMA-Factory and vLLM do not know them."""
    if study.evaluation.backend != "hf":
        wrong = f"'{learner.name}' is an encoder-decoder, and {study.evaluation.backend} takes none"
        yield Fault(f"{place}:evaluation.backend", wrong, "hf")
    for name, recipe in study.recipes.items():
        if not is_trained_by(recipe, learner):
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


def task_faults(study: Study, place: str) -> Iterator[Fault]:
    """Yield backends and tasks that nobody knows."""
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
