"""Whether what a study's parts call each other by name is there: models, question sets, arms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cotdistill.catalogue.packaged import students
from cotdistill.errors import Fault, did_you_mean
from cotdistill.studies.arm import (
    AnswersArm,
    MixedArm,
    SampleArm,
    TeachArm,
)
from cotdistill.studies.baselines import baseline_faults
from cotdistill.studies.declared_model import (
    EndpointModel,
    FolderOfModels,
    MergedModel,
    ScratchModel,
    TrainedModel,
)
from cotdistill.studies.expand import RESERVED
from cotdistill.studies.probes import probe_faults
from cotdistill.studies.requests import Distill
from cotdistill.studies.study import Recipe, Study


def reference_faults(study: Study, place: str) -> Iterator[Fault]:
    """Yield a fault for each name that a key gives and that the study does not have."""
    packaged = students()
    known = [*study.models, *packaged, *(student.model for student in packaged.values())]
    for key, name in _named_models(study):
        if name not in known:
            hint = did_you_mean(name, list(dict.fromkeys([*study.models, *packaged])))
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
    yield from baseline_faults(study, place)
    yield from _judge_faults(study, place)
    yield from _evaluation_faults(study, place)
    yield from _distillation_faults(study, place)
    yield from probe_faults(study, place)
    yield from _factor_faults(study, place)
    yield from _sample_faults(study, place)
    yield from _circles(study, place)
    for name, arm in study.arms.items():
        filters = getattr(arm, "filter", None)
        if filters and name in filters.paired_with:
            where = f"{place}:arms.{name}.filter.paired_with"
            yield Fault(where, f"'{name}' is this arm", "another arm")


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
        if isinstance(model, MergedModel) and model.probe is not None:
            for key in ("short", "long"):
                yield f"models.{name}.probe.{key}", getattr(model.probe, key)
    for name, recipe in study.recipes.items():
        if recipe.kd and isinstance(recipe.kd.teacher, str):
            yield f"recipes.{name}.kd.teacher", recipe.kd.teacher
    if study.judge:
        yield "judge.model", study.judge.model
    for name, loop in study.loops().items():
        for key in ("model", "helper"):
            if (model := getattr(loop.sample, key)) is not None:
                yield f"arms.{name}.improve.sample.{key}", model


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
    for name, loop in study.loops().items():
        for questions in _listed(loop.sample.questions):
            yield f"arms.{name}.improve.sample.questions", questions


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
    if isinstance(study.compare.baseline, str):
        yield "compare.baseline", study.compare.baseline
    for other in study.compare.also:
        yield "compare.also", other


def _named_recipes(study: Study) -> Iterator[tuple[str, str]]:
    for name, model in study.models.items():
        if isinstance(model, TrainedModel):
            yield f"models.{name}.run.recipe", model.run.recipe
    for name, loop in study.loops().items():
        yield f"arms.{name}.improve.recipe", loop.recipe


def _judge_faults(study: Study, place: str) -> Iterator[Fault]:
    declared = study.models.get(study.judge.model) if study.judge else None
    if study.judge and declared and not isinstance(declared, EndpointModel):
        wrong = f"the judge '{study.judge.model}' is asked over the network"
        yield Fault(f"{place}:judge.model", wrong, "a model of models: with an endpoint")


def _evaluation_faults(study: Study, place: str) -> Iterator[Fault]:
    """Yield evaluated servers that refuse what lm-eval sends."""
    for number, name in enumerate(study.evaluation.models):
        declared = study.models.get(name)
        if isinstance(declared, EndpointModel) and declared.openai_reasoning:
            wrong = f"'{name}' is one of OpenAI's reasoning models, which refuse what lm-eval sends"
            wrong += " (max_tokens, a temperature)"
            yield Fault(f"{place}:evaluation.models.{number}", wrong, "another model")


def _distillation_faults(study: Study, place: str) -> Iterator[Fault]:
    """Yield teachers that have no next-token distributions to give."""
    for name, recipe in study.recipes.items():
        if recipe.kd is None or not isinstance(recipe.kd.teacher, str):
            continue
        teacher = recipe.kd.teacher
        declared = study.models.get(teacher)
        if isinstance(declared, EndpointModel | ScratchModel | FolderOfModels):
            kind = type(declared).__name__.removesuffix("Model").lower()
            remedy = "for a server: `cotdistill capture`, and teacher: {signals: DIR}"
            wrong = f"'{teacher}' has no weights to load here ({kind})"
            where = f"{place}:recipes.{name}.kd.teacher"
            yield Fault(where, wrong, "a model or a run", remedy)


def _sample_faults(study: Study, place: str) -> Iterator[Fault]:
    """Yield what a sampled arm needs and does not name: its model, the helper of a strategy."""
    for name, arm in study.arms.items():
        if not isinstance(arm, SampleArm):
            continue
        where = f"{place}:arms.{name}.sample"
        if arm.sample.model is None:
            yield Fault(where, "the key 'model' is missing", "a name of models:")
        if arm.sample.strategy == "interactive" and arm.sample.helper is None:
            wrong = "the strategy interactive needs a 'helper', which corrects"
            yield Fault(where, wrong, "a name of models:")


def _circles(study: Study, place: str) -> Iterator[Fault]:
    """Yield each circle of arms, models and recipes of which none can be made first."""
    done: set[str] = set()

    def follow(key: str, behind: tuple[str, ...]) -> Iterator[Fault]:
        if key in behind:
            circle = [*behind[behind.index(key) :], key]
            yield Fault(f"{place}:{key}", f"goes in a circle ({' -> '.join(circle)})")
        elif key not in done:
            for other in _waits_for(study, key):
                yield from follow(other, (*behind, key))
            done.add(key)

    for kind in ("arms", "models", "recipes"):
        for name in getattr(study, kind):
            yield from follow(f"{kind}.{name}", ())


def _waits_for(study: Study, key: str) -> Iterator[str]:
    """Yield what has to be made before an arm, a model or a recipe, as keys of the study."""
    kind, _, name = key.partition(".")
    entry = getattr(study, kind).get(name)
    pad = getattr(entry, "pad", None)
    if pad is not None and pad.like != name:
        yield f"arms.{pad.like}"
    match entry:
        case TeachArm():
            yield from (f"arms.{other}" for other in entry.with_ if other != name)
            yield f"models.{entry.teach.teacher}"
            if entry.teach.rewrite_of:
                yield f"arms.{entry.teach.rewrite_of}"
        case SampleArm():
            yield from (f"arms.{other}" for other in entry.with_ if other != name)
            yield from (f"models.{m}" for m in (entry.sample.model, entry.sample.helper) if m)
        case MixedArm():
            yield from (f"arms.{other}" for other in entry.mix if other != name)
        case MergedModel():
            of_merge = (entry.base, *entry.models, entry.donor)
            asked = (entry.probe.short, entry.probe.long) if entry.probe else ()
            yield from dict.fromkeys(f"models.{one}" for one in (*of_merge, *asked) if one)
        case TrainedModel():
            run = entry.run
            yield from (f"models.{run.model}", f"arms.{run.arm}", f"recipes.{run.recipe}")
        case Recipe(kd=Distill(teacher=str() as teacher)):
            yield f"models.{teacher}"


def _factor_faults(study: Study, place: str) -> Iterator[Fault]:
    """Yield factors whose names are columns already, of which `recipe_NAME` may be one."""
    of_arms = {factor for arm in study.arms.values() for factor in arm.factors}
    for kind, entries in (("arms", study.arms), ("recipes", study.recipes)):
        for name, entry in entries.items():
            for factor in entry.factors:
                where = f"{place}:{kind}.{name}.factors"
                if factor in RESERVED or factor == "step":
                    yield Fault(where, f"'{factor}' is a column already", "another name")
                elif kind == "recipes" and factor in of_arms and own_column(factor) in of_arms:
                    wrong = f"arms have the factors '{factor}' and '{own_column(factor)}' too"
                    yield Fault(where, wrong, "another name")
    asked = [("evaluation.tasks", use.when or {}) for use in study.evaluation.tasks]
    asked += [(f"recipes.{name}.when", each.when or {}) for name, each in study.recipes.items()]
    for where, factor in dict.fromkeys((where, factor) for where, when in asked for factor in when):
        if factor not in of_arms:
            hint = did_you_mean(factor, sorted(of_arms)) if of_arms else "arms have no factors"
            yield Fault(f"{place}:{where}", f"no arm has the factor '{factor}'", "", hint)


def own_column(factor: str) -> str:
    """Return the column of a recipe's factor where arms have one of the same name.

    >>> own_column("level")
    'recipe_level'
    """
    return f"recipe_{factor}"


def _listed(value: str | Sequence[str]) -> Sequence[str]:
    return [value] if isinstance(value, str) else value
