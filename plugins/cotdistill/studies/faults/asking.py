"""What a teacher or sampled model would refuse when its job starts: found before anything is paid.

The requests are built as the verbs `teach` and `sample` build them, so that both say the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from cotdistill.benchmarks.choices import record_key
from cotdistill.benchmarks.packaged import benchmark
from cotdistill.errors import Fault, FaultsError, MisuseError
from cotdistill.studies.arm import AnswersArm, LoopArm, SampleArm, TeachArm
from cotdistill.studies.declared_model import EndpointModel
from cotdistill.studies.probes import probed_arm, probes_of
from cotdistill.studies.prompt import Thinking
from cotdistill.studies.question_sets import QuestionSet, largest_number
from cotdistill.studies.requests import (
    Decoding,
    SampleRequest,
    TeachRequest,
    asked_of_reasoning,
)
from cotdistill.studies.resolved_arm import levels_together
from cotdistill.studies.study import Study
from cotdistill.tables import counted

if TYPE_CHECKING:
    from cotdistill.teach.asking import Decoding as Decoded

_OPTION = re.compile(r"^--?[\w-]+: ")
_SWITCH: Mapping[Thinking, bool | None] = {"data": None, "on": True, "off": False}


def asking_faults(study: Study, place: str, sets: Mapping[str, QuestionSet]) -> Iterator[Fault]:
    """Yield what keeps an arm's model from being asked: its options, its questions."""
    for name, arm in study.arms.items():
        match arm:
            case TeachArm():
                where = f"{place}:arms.{name}.teach"
                yield from _refused_by_reasoning(study, arm.teach, arm.teach.teacher, where)
                yield from _refused_lesson(study, arm.teach, where)
                yield from _not_apart(study, name, arm.teach, where)
                yield from _unpriced_budget(study, arm.teach, [arm.teach.teacher], where)
            case SampleArm():
                where = f"{place}:arms.{name}.sample"
                yield from _refused_by_reasoning(study, arm.sample, arm.sample.model, where)
                yield from _refused_sampling(study, arm.sample, where)
                asked = [arm.sample.model, arm.sample.helper]
                yield from _unpriced_budget(study, arm.sample, [m for m in asked if m], where)
                yield from _without_solutions(arm.sample, sets, where)
            case LoopArm():
                where = f"{place}:arms.{name}.improve.sample"
                yield from _refused_sampling(study, arm.improve.sample, where)
                yield from _without_solutions(arm.improve.sample, sets, where)
    yield from _refused_by_probed(study, place)


def _not_apart(study: Study, name: str, asked: TeachRequest, where: str) -> Iterator[Fault]:
    """Yield a call for a single level, and rewriting of an arm whose levels share a file."""
    if asked.one_call and len(levels_together(study.arms, name)) < 2:
        wrong = "no other arm differs from this one in 'level' only"
        remedy = "leave it out; a grid (for: {level: [1, 3, 6]}) writes such arms"
        yield Fault(f"{where}.one_call", wrong, "two levels or more", remedy)
    other = study.arms.get(asked.rewrite_of or "")
    if isinstance(other, TeachArm) and other.teach.one_call:
        wrong = f"'{asked.rewrite_of}' is asked for in one call with other levels"
        yield Fault(f"{where}.rewrite_of", wrong, "an arm of its own, without one_call")


def _unpriced_budget(
    study: Study, asked: Decoding, models: Sequence[str], where: str
) -> Iterator[Fault]:
    """Yield a budget of money where a server has no price, or no model is paid by token."""
    if asked.budget is None:
        return
    remedy = "or limit budget_tokens instead"
    servers = {
        name: one for name in models if isinstance(one := study.models.get(name), EndpointModel)
    }
    for name, server in servers.items():
        if server.price is None:
            wrong = f"{asked.budget:g}, and '{name}' has no price"
            expected = "price: {input: ..., output: ...} of the model"
            yield Fault(f"{where}.budget", wrong, expected, remedy)
    if not servers:
        verb = "is no server that is" if len(models) == 1 else "are no servers that are"
        named = " and ".join(f"'{name}'" for name in models)
        wrong = f"{asked.budget:g}, and {named} {verb} paid by token"
        yield Fault(f"{where}.budget", wrong, "", remedy)


def _refused_by_probed(study: Study, place: str) -> Iterator[Fault]:
    """Yield what models that a probe compares a merge with would refuse of the arm's words."""
    for merge, probe in probes_of(study).items():
        found = probed_arm(study, merge)
        if found is None:
            continue
        arm, asked = found
        for model in (probe.short, probe.long):
            yield from _refused_by_reasoning(study, asked, model, f"{place}:arms.{arm}.teach")


def _refused_by_reasoning(
    study: Study, asked: Decoding, model: str | None, where: str
) -> Iterator[Fault]:
    """Yield the keys that one of OpenAI's reasoning models would refuse."""
    from cotdistill.teach.asking import NOT_FOR_REASONING

    declared = study.models.get(model or "")
    if not isinstance(declared, EndpointModel) or not declared.openai_reasoning:
        return
    asked, usual = asked_of_reasoning(asked), Decoding.model_fields
    for name in NOT_FOR_REASONING:
        value = getattr(asked, name)
        if value == usual[name].get_default(call_default_factory=True):
            continue
        wrong = f"{value!r}: '{model}' is one of OpenAI's reasoning models, which take none"
        without = {"stop": "[]", "thinking": "data"}.get(name, "null")
        yield Fault(f"{where}.{name}", wrong, without, "leave it out")


def dev_faults(study: Study, place: str, sets: Mapping[str, QuestionSet]) -> Iterator[Fault]:
    """Yield question sets of which all questions are for development, or none is, or none asked."""
    asked = set(_asked_sets(study))
    for name, one in sets.items():
        where = f"{place}:questions.{name}.dev"
        counts = _dev_counts(one) if one.declared.dev else None
        if counts is None:
            continue
        kept, total = counts
        if kept >= total and name in asked:
            wrong = f"all {counted(total, 'question')} would be kept out of training"
            yield Fault(where, wrong, "a smaller share or number")
        elif not kept:
            wrong = f"{one.declared.dev:g} of {counted(total, 'question')} is none"
            yield Fault(where, wrong, "a larger share, or a number of questions")
        elif one.is_here and not one.dev:
            where = f"{place}:questions.{name}.largest_number"
            held_out = counted(len(one.held_out), "development question")
            least = min(map(largest_number, one.held_out))
            yield Fault(
                where,
                f"{held_out}, each with a number above {one.declared.largest_number:.15g}",
                f"at least {least:.15g}, with which one is asked",
            )


def _dev_counts(one: QuestionSet) -> tuple[int, int] | None:
    """Return how many questions of a set are for development, and how many it has, if known."""
    if one.is_here:
        try:
            keys = {record_key(row) for row in one.rows}
            return len(one.dev_keys), len(keys)
        except FaultsError:
            return None  # said of the set itself
    if one.declared.benchmark is None:
        return None  # a registered dataset that comes later
    rows = benchmark(one.declared.benchmark).rows.get(one.declared.split)
    if not rows or one.declared.dev < 1:
        return None
    return min(int(one.declared.dev), rows[0]), rows[0]


def _asked_sets(study: Study) -> Iterator[str]:
    for arm in study.arms.values():
        match arm:
            case AnswersArm():
                yield arm.answers
            case TeachArm():
                yield arm.teach.questions
            case SampleArm() | LoopArm():
                asked = arm.sample if isinstance(arm, SampleArm) else arm.improve.sample
                yield from _listed(asked.questions)


def _refused_lesson(study: Study, asked: TeachRequest, where: str) -> Iterator[Fault]:
    from cotdistill.teach.lesson import Lesson

    try:
        Lesson(
            _decoding(study, asked, asked.teacher),
            levels=() if asked.level is None else (asked.level,),
            formats=(asked.prompt or asked.format,),
            samples=asked.samples,
            rewrite=asked.rewrite_of is not None,
            reasoning=asked.reasoning,
            again=asked.again,
        )
    except MisuseError as error:
        yield Fault(where, _OPTION.sub("", str(error)))


def _refused_sampling(study: Study, asked: SampleRequest, where: str) -> Iterator[Fault]:
    from cotdistill.teach.asking import Decoding as Decoded
    from cotdistill.teach.sampling import Plan

    if asked.strategy == "interactive" and asked.helper is None:
        return  # a fault of its own
    try:
        Plan(
            _decoding(study, asked, asked.model or ""),
            strategy=asked.strategy,
            samples=asked.samples,
            min_correct=asked.min_correct,
            rounds=asked.attempts,
            helper=Decoded(asked.helper) if asked.helper else None,
        )
    except MisuseError as error:
        yield Fault(where, _OPTION.sub("", str(error)))


def _decoding(study: Study, asked: Decoding, model: str) -> Decoded:
    from cotdistill.teach.asking import Decoding as Decoded

    declared = study.models.get(model)
    return Decoded(
        model,
        temperature=asked.temperature,
        top_p=asked.top_p,
        stop=tuple(asked.stop),
        max_tokens=asked.max_tokens,
        seed=asked.seed,
        thinking=_SWITCH[asked.thinking],
        extra=asked.extra,
        api=declared.api if isinstance(declared, EndpointModel) else "chat",
    )


def _without_solutions(
    asked: SampleRequest, sets: Mapping[str, QuestionSet], where: str
) -> Iterator[Fault]:
    """Yield question sets without the reference solutions that a strategy goes by."""
    from cotdistill.teach.sampling import NEEDS_RATIONALE

    if asked.strategy not in NEEDS_RATIONALE:
        return
    *most, last = sorted(NEEDS_RATIONALE)
    remedy = f"only the strategies {', '.join(most)} and {last} go by solutions"
    expected = "one each"
    for name in _listed(asked.questions):
        one = sets.get(name)
        if one is None:
            continue
        if not one.is_here:
            source = one.declared.benchmark
            if source is None or not any(shape.rationale for shape in benchmark(source).shapes):
                wrong = f"'{name}' has no reference solutions"
                yield Fault(f"{where}.questions", wrong, expected, remedy)
            continue
        try:
            held_out, rows = one.dev_keys, one.rows
        except FaultsError:
            continue  # said of the set itself
        asked_rows = [r for r in rows if record_key(r) not in held_out]
        lacking = [row for row in asked_rows if not str(row.get("rationale") or "").strip()]
        if lacking:
            wrong = f"{len(lacking):,} of {counted(len(asked_rows), 'question')} of '{name}' have "
            wrong += f"no reference solution (first {lacking[0]['id']})"
            yield Fault(f"{where}.questions", wrong, expected, remedy)


def _listed(value: str | Sequence[str]) -> Sequence[str]:
    return [value] if isinstance(value, str) else value
