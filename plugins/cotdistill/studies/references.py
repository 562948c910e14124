"""Whether what a study's parts call each other by name is there: models, question sets, arms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cotdistill.catalogue.packaged import students
from cotdistill.errors import Fault, did_you_mean
from cotdistill.studies.arm import AnswersArm, SampleArm, TeachArm
from cotdistill.studies.declared_model import EndpointModel, TrainedModel
from cotdistill.studies.expand import RESERVED
from cotdistill.studies.study import Study


def reference_faults(study: Study, place: str) -> Iterator[Fault]:
    """Yield a fault for each name that a key gives and that the study does not have."""
    packaged = students()
    known = [*study.models, *packaged, *(student.model for student in packaged.values())]
    for key, name in _named_models(study):
        if name not in known:
            hint = did_you_mean(name, [*study.models, *packaged])
            yield Fault(f"{place}:{key}", f"no model '{name}'", "a name of models:", hint)
    for key, name in _named_questions(study):
        if name not in study.questions:
            hint = did_you_mean(name, list(study.questions)) if study.questions else ""
            yield Fault(f"{place}:{key}", f"no question set '{name}' under questions:", "", hint)
    for key, name in _named_arms(study):
        if name not in study.arms:
            hint = did_you_mean(name, list(study.arms))
            yield Fault(f"{place}:{key}", f"no arm '{name}'", "", hint)
    for key, name in _named_recipes(study):
        if name not in study.recipes:
            hint = did_you_mean(name, list(study.recipes))
            yield Fault(f"{place}:{key}", f"no recipe '{name}'", "", hint)
    yield from _judge_faults(study, place)
    yield from _factor_faults(study, place)


def _named_models(study: Study) -> Iterator[tuple[str, str]]:
    for name, arm in study.arms.items():
        if isinstance(arm, TeachArm):
            yield f"arms.{name}.teach.teacher", arm.teach.teacher
        if isinstance(arm, SampleArm):
            for key in ("model", "helper"):
                if (model := getattr(arm.sample, key)) is not None:
                    yield f"arms.{name}.sample.{key}", model
    for name, model in study.models.items():
        if isinstance(model, TrainedModel):
            yield f"models.{name}.run.model", model.run.model
    for name, recipe in study.recipes.items():
        if recipe.kd and isinstance(recipe.kd.teacher, str):
            yield f"recipes.{name}.kd.teacher", recipe.kd.teacher
    if study.judge:
        yield "judge.model", study.judge.model
    if study.improve and study.improve.sample.helper:
        yield "improve.sample.helper", study.improve.sample.helper


def _named_questions(study: Study) -> Iterator[tuple[str, str]]:
    for name, arm in study.arms.items():
        match arm:
            case AnswersArm():
                yield f"arms.{name}.answers", arm.answers
            case TeachArm():
                yield f"arms.{name}.teach.questions", arm.teach.questions
            case SampleArm():
                for questions in _listed(arm.sample.questions):
                    yield f"arms.{name}.sample.questions", questions
    if study.improve:
        for questions in _listed(study.improve.sample.questions):
            yield "improve.sample.questions", questions


def _named_arms(study: Study) -> Iterator[tuple[str, str]]:
    for name, arm in study.arms.items():
        if isinstance(arm, TeachArm | SampleArm):
            for other in arm.with_:
                yield f"arms.{name}.with", other
        if isinstance(arm, TeachArm) and arm.teach.rewrite_of:
            yield f"arms.{name}.teach.rewrite_of", arm.teach.rewrite_of
    for name, model in study.models.items():
        if isinstance(model, TrainedModel):
            yield f"models.{name}.run.arm", model.run.arm
    if study.compare.baseline is not None:
        yield "compare.baseline", study.compare.baseline
    for other in study.compare.also:
        yield "compare.also", other


def _named_recipes(study: Study) -> Iterator[tuple[str, str]]:
    for name, model in study.models.items():
        if isinstance(model, TrainedModel):
            yield f"models.{name}.run.recipe", model.run.recipe
    if study.improve:
        yield "improve.recipe", study.improve.recipe


def _judge_faults(study: Study, place: str) -> Iterator[Fault]:
    declared = study.models.get(study.judge.model) if study.judge else None
    if study.judge and declared and not isinstance(declared, EndpointModel):
        wrong = f"the judge '{study.judge.model}' is asked over the network"
        yield Fault(f"{place}:judge.model", wrong, "a model of models: with an endpoint")


def _factor_faults(study: Study, place: str) -> Iterator[Fault]:
    """Yield factors whose names are columns already, and factors that arm and recipe both have."""
    of_arms = {factor for arm in study.arms.values() for factor in arm.factors}
    for kind, entries in (("arms", study.arms), ("recipes", study.recipes)):
        for name, entry in entries.items():
            for factor in entry.factors:
                where = f"{place}:{kind}.{name}.factors"
                if factor in RESERVED or factor == "step":
                    yield Fault(where, f"'{factor}' is a column already", "another name")
                elif kind == "recipes" and factor in of_arms:
                    yield Fault(where, f"arms have a factor '{factor}' too", "another name")
    asked = {
        factor
        for when in [*(u.when for u in study.evaluation.tasks), *_recipes_when(study)]
        for factor in when or ()
    }
    for factor in sorted(asked - of_arms):
        hint = did_you_mean(factor, sorted(of_arms)) if of_arms else "arms have no factors"
        yield Fault(f"{place}:when", f"no arm has the factor '{factor}'", "", hint)


def _recipes_when(study: Study) -> list[dict[str, object] | None]:
    return [dict(r.when) if r.when else None for r in study.recipes.values()]


def _listed(value: str | Sequence[str]) -> Sequence[str]:
    return [value] if isinstance(value, str) else value
