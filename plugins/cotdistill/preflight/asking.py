"""What teachers and sampled models will be asked by a study, and what that costs.

Lengths are assumed until a pilot measures them (`cotdistill teach --pilot 20`): a rationale is as
long as those of the CoT-factors paper's GPT-4o on SVAMP at that level, a free one as an answer of
the evaluation.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cotdistill.runfolder.stages import question_count
from cotdistill.studies.arm import LoopArm, SampleArm, TeachArm
from cotdistill.studies.declared_model import EndpointModel
from cotdistill.studies.requests import Loop, SampleRequest, TeachRequest
from cotdistill.studies.study import Study
from cotdistill.tables import Table, counted

_WORDS = {1: 35, 2: 39, 3: 50, 4: 59, 5: 70, 6: 81}  # of GPT-4o on SVAMP, arXiv:2502.18001
_TOKENS_A_WORD = 1.5
_TAUGHT_PROMPT = 420  # instruction and example of a level
_PLAIN_PROMPT = 90
_CORRECTION = 150  # five sentences of the teacher of the interactive strategy


@dataclass(frozen=True)
class Asked:
    """One arm: whom it asks, how much, and for what money; None where unknown.

    `money` is 0 for a model on the study's own devices.
    """

    arm: str
    model: str
    requests: int | None
    most_requests: int | None
    prompt_tokens: int | None
    generated_tokens: int | None
    money: float | None
    is_local: bool


def asked_models(study: Study, generated: int) -> tuple[Asked, ...]:
    """Return what each taught or sampled arm asks; `generated` tokens are a free rationale."""
    return tuple(_asked(study, generated))


def _asked(study: Study, generated: int) -> Iterator[Asked]:
    for name, arm in study.arms.items():
        if isinstance(arm, TeachArm):
            asked: TeachRequest | SampleRequest = arm.teach
            model, sets = arm.teach.teacher, [arm.teach.questions]
            level = arm.teach.level
            each = generated if level is None else round(_WORDS[level] * _TOKENS_A_WORD)
            each, prompt, more = min(each, asked.max_tokens), _TAUGHT_PROMPT, 2 * asked.samples
        elif isinstance(arm, SampleArm):
            asked = arm.sample
            model = arm.sample.model or ""
            given = arm.sample.questions
            sets = [given] if isinstance(given, str) else list(given)
            each, prompt = min(generated, asked.max_tokens), _PLAIN_PROMPT
            more = 0 if arm.sample.strategy == "vanilla" else arm.sample.attempts
        elif isinstance(arm, LoopArm):
            yield from _asked_by_a_loop(study, name, arm.improve, generated)
            continue
        else:
            continue
        counts = [question_count(study.questions[one]) for one in sets]
        known = None if None in counts else sum(count or 0 for count in counts)
        declared = study.models.get(model)
        is_local = not isinstance(declared, EndpointModel)
        price = declared.price if isinstance(declared, EndpointModel) else None
        requests = None if known is None else known * asked.samples
        money: float | None = 0.0 if is_local else None
        if requests is not None and price is not None:
            money = requests * (prompt * price.input + each * price.output) / 1e6
        yield Asked(
            name,
            model,
            requests,
            None if known is None else known * (asked.samples + more),
            None if requests is None else requests * prompt,
            None if requests is None else requests * each,
            money,
            is_local,
        )


def _asked_by_a_loop(study: Study, name: str, loop: Loop, generated: int) -> Iterator[Asked]:
    """Yield what all rounds of a loop sample at most, for every student and seed; then its helper.

    A round asks again where too few answers are right, so requests are at least those of round 1.
    """
    asked = loop.sample
    sets = [asked.questions] if isinstance(asked.questions, str) else asked.questions
    counts = [question_count(study.questions[one]) for one in sets]
    known = None if None in counts else sum(count or 0 for count in counts)
    runs = len(study.students) * len(study.seeds_of(loop.recipe))
    more = 0 if asked.strategy == "vanilla" else asked.attempts
    each = min(generated, asked.max_tokens)
    least = None if known is None else known * asked.samples * runs
    most = None if known is None else known * (asked.samples + more) * runs * loop.rounds
    yield Asked(
        name, "its own student", least, most,
        None if least is None else least * _PLAIN_PROMPT,
        None if least is None else least * each, 0.0, True,
    )  # fmt: skip
    if asked.strategy != "interactive" or asked.helper is None:
        return
    helper = study.models.get(asked.helper)
    price = helper.price if isinstance(helper, EndpointModel) else None
    corrections = None if known is None else known * more * runs * loop.rounds
    money = None
    if corrections is not None and price is not None:
        prompt = _PLAIN_PROMPT + 2 * each  # the question, a solution and the student's attempt
        money = corrections * (prompt * price.input + _CORRECTION * price.output) / 1e6
    is_local = not isinstance(helper, EndpointModel)
    yield Asked(name, asked.helper, 0, corrections, None, None, money, is_local)


def asked_table(asked: tuple[Asked, ...]) -> Table:
    """Return a row an arm that a model writes."""

    def shown(value: float | None, form: str = ",.0f") -> str:
        return "unknown" if value is None else f"{value:{form}}"

    rows = [
        (
            one.arm,
            one.model,
            shown(one.requests),
            shown(one.most_requests),
            shown(one.prompt_tokens),
            shown(one.generated_tokens),
            "own GPUs" if one.is_local else shown(one.money, ",.2f"),
        )
        for one in asked
    ]
    columns = ("arm", "model", "requests", "at most", "prompt tokens", "generated", "cost")
    priced = [one.money for one in asked if one.money and not one.is_local]
    unpriced = sum(one.money is None for one in asked)
    notes = ["lengths are assumed; cotdistill teach --pilot 20 measures them, with an interval"]
    if any(one.model == "its own student" for one in asked):
        notes.append("loops: requests of round 1, and at most those of all rounds")
    notes.append("at most: with disobedient or wrong samples asked again; no request is paid twice")
    if priced:
        notes.append(f"models that are paid for: {sum(priced):,.2f}")
    if unpriced:
        notes.append(f"unknown cost: {counted(unpriced, 'arm')} of a model without a price")
    return Table(columns, tuple(rows), tuple(notes))
