"""The `kd:` block of a run: where its teacher lies, and which job makes that."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cotdistill.catalogue.lookup import student_called
from cotdistill.catalogue.packaged import students
from cotdistill.distill.refusals import pair_faults
from cotdistill.distill.settings import Teacher
from cotdistill.errors import Fault
from cotdistill.files.yamls import dump_yaml
from cotdistill.runfolder.job import JobId
from cotdistill.studies.arm import AnswersArm, Arm, TeachArm
from cotdistill.studies.declared_model import (
    MergedModel,
    NamedModel,
    RunReference,
    TrainedModel,
    merged_folder,
)
from cotdistill.studies.known_model import known_model
from cotdistill.studies.requests import Distill
from cotdistill.studies.resolve import Resolved
from cotdistill.studies.runs import Run

_HEAD = "# Distillation of the training file next to it; `cotdistill train` reads both.\n"


@dataclass(frozen=True)
class Block:
    """The text of `train/<run>.kd.yaml`, and the job that its teacher comes from."""

    text: str
    needs: tuple[JobId, ...] = ()


@dataclass(frozen=True)
class Weights:
    """Where a trained run's weights lie, and the job that writes them there."""

    path: str
    job: JobId


def block_of(
    resolved: Resolved, kd: Distill, root: Path, weights_of: Callable[[Run], Weights]
) -> Block:
    """Return the block of a recipe's runs, after `distillation_faults` has found nothing."""
    needs: tuple[JobId, ...] = ()
    source: Teacher | None = None
    if isinstance(kd.teacher, Teacher):
        signals = kd.teacher.signals
        source = kd.teacher.model_copy(
            update={"signals": str(Path(signals).absolute()) if signals else None}
        )
    elif kd.teacher is not None:
        declared = resolved.study.models.get(kd.teacher)
        if isinstance(declared, TrainedModel):
            run = trained_run(resolved, declared.run)
            assert run is not None
            weights = weights_of(run)
            source, needs = Teacher(model=weights.path), (weights.job,)
        elif isinstance(declared, MergedModel):
            folder = f"{root}/{merged_folder(kd.teacher)}"
            source, needs = Teacher(model=folder), (("merge", kd.teacher),)
        else:
            source = _pretrained(kd.teacher, declared)
    block = kd.block(source).model_dump(exclude_none=True, exclude_unset=True)
    return Block(_HEAD + dump_yaml(block), needs)


def distillation_faults(resolved: Resolved, place: str) -> Iterator[Fault]:
    """Yield teachers that a recipe cannot have, and arms without the pairs that it needs."""
    for name, recipe in resolved.study.recipes.items():
        if recipe.kd is not None and recipe.kd.divergence == "consistency":
            batch, packing = recipe.per_device_batch, recipe.packing != "none"
            yield from pair_faults(
                {"per_device_train_batch_size": batch, "packing": packing},
                f"{place}:recipes.{name}",
            )
            yield from _single_faults(resolved, name, place)
        if recipe.kd is None or not isinstance(recipe.kd.teacher, str):
            continue
        where, teacher = f"{place}:recipes.{name}.kd.teacher", recipe.kd.teacher
        declared = resolved.study.models.get(teacher)
        if isinstance(declared, TrainedModel) and trained_run(resolved, declared.run) is None:
            wrong = f"'{teacher}' is a run that the study does not have"
            remedy = "name its model under students:, and let a recipe train it on its arm"
            yield Fault(where, wrong, f"a run of {declared.run.model}", remedy)
        yield from _other_kind_faults(resolved, name, teacher, where)


def _other_kind_faults(
    resolved: Resolved, recipe: str, teacher: str, where: str
) -> Iterator[Fault]:
    """Yield students of another kind than their teacher: the tokens of one are not the other's."""
    taught = {run.student.name: run.student for run in resolved.runs if run.recipe == recipe}
    is_encoder = known_model(teacher, resolved.study.models).is_encoder_decoder
    for student in taught.values():
        if student.is_encoder_decoder != is_encoder:
            kinds = ("an encoder-decoder", "a decoder")
            of_student, of_teacher = kinds if student.is_encoder_decoder else kinds[::-1]
            wrong = f"'{teacher}' is {of_teacher}, and its student '{student.name}' {of_student}"
            expected = "a teacher with the student's tokenizer"
            remedy = "its rationales can teach: an arm with teach: or sample:"
            yield Fault(where, wrong, expected, remedy)


def distillation_notes(resolved: Resolved) -> Iterator[str]:
    """Say which teachers most likely have another tokenizer than their students."""
    for name, recipe in resolved.study.recipes.items():
        if recipe.kd is None or not isinstance(recipe.kd.teacher, str):
            continue
        teacher = recipe.kd.teacher
        template = known_model(teacher, resolved.study.models).template
        taught = {run.student.name: run.student for run in resolved.runs if run.recipe == name}
        other = [s.name for s in taught.values() if template and s.template != template]
        if other and not any(taught[student].scratch for student in other):
            yield (
                f"recipe '{name}': '{teacher}' ({template}) and {', '.join(other)} have other chat "
                "templates and most likely other tokenizers, and distillation compares token by "
                "token; check RUNFOLDER --deep compares the vocabularies"
            )


def _single_faults(resolved: Resolved, recipe: str, place: str) -> Iterator[Fault]:
    """Yield arms with one rationale a question, where two of them are to agree."""
    arms = {run.arm for run in resolved.runs if run.recipe == recipe and not run.loop}
    for name in resolved.study.arms:
        if name in arms and (why := _one_a_question(resolved.study.arms[name])):
            where = f"{place}:arms.{name}"
            remedy = "or keep the arm from this recipe with arms: or when:"
            expected = f"two rationales a question, which the recipe '{recipe}' makes agree"
            yield Fault(where, f"{why} leaves one rationale a question", expected, remedy)


def _one_a_question(arm: Arm) -> str:
    """Return which key leaves an arm one rationale a question; nothing where none does."""
    if isinstance(arm, AnswersArm):
        return "answers"
    if getattr(arm, "with_", None):
        return ""
    if isinstance(arm, TeachArm) and arm.teach.samples == 1 and not arm.teach.rewrite_of:
        return "teach.samples 1"
    filters = getattr(arm, "filter", None)
    return "filter.per_question 1" if filters and filters.per_question == 1 else ""


def trained_run(resolved: Resolved, reference: RunReference) -> Run | None:
    """Return the run that a model of `models:` is, None where the study has no such run."""
    first = resolved.study.seeds_of(reference.recipe)[0]
    seed = first if reference.seed is None else reference.seed
    wanted = (reference.model, reference.arm, reference.recipe, seed)
    for run in resolved.runs:
        if run.step is None and (run.student.name, run.arm, run.recipe, run.seed) == wanted:
            return run
    return None


def _pretrained(name: str, declared: object) -> Teacher:
    if isinstance(declared, NamedModel):
        return Teacher(model=declared.model, revision=declared.revision)
    return Teacher(model=student_called(name, students(), "teacher").model)
