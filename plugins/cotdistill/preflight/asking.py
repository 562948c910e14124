"""What teachers and sampled models will be asked by a study, and what that costs.

Lengths are assumed until a pilot measures them (`cotdistill teach --pilot 20`): a rationale is as
long as those of the CoT-factors paper's GPT-4o on SVAMP at that level, a free one as an answer of
the evaluation, and the thoughts of a reasoning model as long as that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cotdistill.preflight.cost import written_disk
from cotdistill.runfolder.stages import asked_count
from cotdistill.studies.arm import AnswersArm, LoopArm, SampleArm, TeachArm
from cotdistill.studies.declared_model import EndpointModel
from cotdistill.studies.known_model import known_model
from cotdistill.studies.probes import probe_folders, probed_arm, probes_of
from cotdistill.studies.requests import Loop, SampleRequest, TeachRequest
from cotdistill.studies.resolve import Resolved
from cotdistill.studies.resolved_arm import asked_together, levels_together
from cotdistill.studies.study import Study
from cotdistill.tables import Table, counted

_WORDS = {1: 35, 2: 39, 3: 50, 4: 59, 5: 70, 6: 81}  # of GPT-4o on SVAMP, arXiv:2502.18001
_TOKENS_A_WORD = 1.5
_TAUGHT_PROMPT = 420  # instruction and example of a level
_BUNDLED_PROMPT = 185  # the same for each of the levels that one call asks for
_PLAIN_PROMPT = 90
_QUESTION = 60
_SENTENCE = 12  # a reference answer without a rationale
_CORRECTION = 150  # five sentences of the teacher of the interactive strategy


@dataclass(frozen=True)
class Asked:
    """One arm: whom it asks, how much, and for what money; None where unknown.

    `money` is 0 for a model on the study's own devices. `rounds` are those of a loop; requests and
    tokens are those of its first round. It stops at `budget` (money) and `budget_tokens`; None is
    no limit.
    """

    arm: str
    model: str
    requests: int | None
    most_requests: int | None
    prompt_tokens: int | None
    generated_tokens: int | None
    money: float | None
    is_local: bool
    budget: float | None = None
    budget_tokens: int | None = None
    rounds: int = 1

    @property
    def disk(self) -> float | None:
        """GiB of the journal and of the rows, of all rounds, within the budgets."""
        if self.requests is None:
            return None
        whole = written_disk(self.requests, self.generated_tokens or 0)
        return whole * self.covered * self.rounds

    @property
    def covered(self) -> float:
        """The share of the requests that the budgets allow, at most 1; 1 where that is unknown."""
        shares = [1.0]
        if self.budget is not None and self.money:
            shares.append(self.budget / self.money)
        tokens = (self.prompt_tokens or 0) + (self.generated_tokens or 0)
        if self.budget_tokens is not None and tokens:
            shares.append(self.budget_tokens / tokens)
        return min(shares)

    @property
    def limited(self) -> str:
        """The budgets in words, empty without one."""
        money = "" if self.budget is None else f"{self.budget:,.2f}"
        tokens = "" if self.budget_tokens is None else f"{self.budget_tokens:,} tokens"
        return ", ".join(one for one in (money, tokens) if one)

    @property
    def paid(self) -> float:
        """The money that it takes, within its budgets; 0 where that is unknown."""
        return (self.money or 0.0) * self.covered


def asked_models(resolved: Resolved, generated: int) -> tuple[Asked, ...]:
    """Return what each taught or sampled arm asks; `generated` tokens are a free rationale."""
    return (*_asked_by_probes(resolved.study, generated), *_asked(resolved, generated))


def _asked_by_probes(study: Study, generated: int) -> Iterator[Asked]:
    """Yield what the probes of merges ask; models that several ask the same are asked once."""
    seen: set[str] = set()
    for merge, probe in probes_of(study).items():
        found = probed_arm(study, merge)
        if found is None:
            continue
        for model, folder in probe_folders(study, merge).items():
            if folder in seen:
                continue
            seen.add(folder)
            declared = study.models.get(model)
            is_local = not isinstance(declared, EndpointModel)
            price = declared.price if isinstance(declared, EndpointModel) else None
            count = probe.questions
            each = _reply(study, found[1], model, generated)
            prompts, tokens = count * _TAUGHT_PROMPT, count * each
            money: float | None = 0.0 if is_local else None
            if price is not None:
                money = (prompts * price.input + tokens * price.output) / 1e6
            yield Asked("probe", model, count, count, prompts, tokens, money, is_local)


def written_rows(resolved: Resolved, arm: str, generated: int) -> tuple[int | None, float] | None:
    """Return the most rows that a model will write for an arm, and their tokens; None of others.

    All that is asked for is taken to be kept, but for a limit of rows a question.
    """
    declared = resolved.study.arms[arm]
    if isinstance(declared, AnswersArm):
        return asked_count(resolved, declared.answers), float(_QUESTION + _SENTENCE)
    if not isinstance(declared, TeachArm | SampleArm):
        return None
    asked: TeachRequest | SampleRequest
    asked = declared.teach if isinstance(declared, TeachArm) else declared.sample
    each = asked.samples
    if declared.filter and declared.filter.per_question:
        each = min(each, declared.filter.per_question)
    known = _count(resolved, _sets(asked))
    tokens = _rationale(resolved.study, asked, generated) + _QUESTION
    return None if known is None else known * each, float(tokens)


def _sets(asked: TeachRequest | SampleRequest) -> Sequence[str]:
    return [asked.questions] if isinstance(asked.questions, str) else asked.questions


def _count(resolved: Resolved, sets: Sequence[str]) -> int | None:
    counts = [asked_count(resolved, one) for one in sets]
    return None if None in counts else sum(count or 0 for count in counts)


def _rationale(study: Study, asked: TeachRequest | SampleRequest, generated: int) -> int:
    """Return the tokens of a rationale: by its level, else those of a free one, if allowed."""
    level = asked.level if isinstance(asked, TeachRequest) else None
    model = asked.teacher if isinstance(asked, TeachRequest) else asked.model or ""
    most = known_model(model, study.models).tokens_allowed(asked.max_tokens)
    return min(generated if level is None else round(_WORDS[level] * _TOKENS_A_WORD), most)


def _thoughts(study: Study, model: str, generated: int) -> int:
    """Return the tokens that a reasoning model thinks before a reply, which are paid for too."""
    declared = study.models.get(model)
    reasons = isinstance(declared, EndpointModel) and declared.openai_reasoning
    return generated if reasons else 0


def _reply(study: Study, asked: TeachRequest | SampleRequest, model: str, generated: int) -> int:
    """Return the tokens of a reply, thoughts included, if allowed."""
    most = known_model(model, study.models).tokens_allowed(asked.max_tokens)
    whole = _rationale(study, asked, generated) + _thoughts(study, model, generated)
    return min(whole, most)


def _asked(resolved: Resolved, generated: int) -> Iterator[Asked]:
    study = resolved.study
    for name, arm in study.arms.items():
        together = asked_together(study.arms, name)
        if isinstance(arm, TeachArm):
            if together[0] != name:
                continue  # asked for with the first
            asked: TeachRequest | SampleRequest = arm.teach
            model, prompt, more = arm.teach.teacher, _TAUGHT_PROMPT, 2 * asked.samples
        elif isinstance(arm, SampleArm):
            asked = arm.sample
            model, prompt = arm.sample.model or "", _PLAIN_PROMPT
            more = 0 if arm.sample.strategy == "vanilla" else arm.sample.attempts
        elif isinstance(arm, LoopArm):
            yield from _asked_by_a_loop(resolved, name, arm.improve, generated)
            continue
        else:
            continue
        each, known = _reply(study, asked, model, generated), _count(resolved, _sets(asked))
        if isinstance(asked, TeachRequest) and asked.one_call:
            levels = levels_together(study.arms, name)
            prompt = _QUESTION + _BUNDLED_PROMPT * len(levels)
            each = _thoughts(study, model, generated) + sum(
                _rationale(study, asked.model_copy(update={"level": level}), generated)
                for level in levels
            )
        declared = study.models.get(model)
        is_local = not isinstance(declared, EndpointModel)
        price = declared.price if isinstance(declared, EndpointModel) else None
        requests = None if known is None else known * asked.samples
        money: float | None = 0.0 if is_local else None
        if requests is not None and price is not None:
            money = requests * (prompt * price.input + each * price.output) / 1e6
        yield Asked(
            ", ".join(together),
            model,
            requests,
            None if known is None else known * (asked.samples + more),
            None if requests is None else requests * prompt,
            None if requests is None else requests * each,
            money,
            is_local,
            asked.budget,
            asked.budget_tokens,
        )
        if isinstance(asked, SampleRequest):
            corrections = None if known is None else known * more
            yield from _asked_to_correct(study, name, asked, corrections, generated, money or 0.0)


def _asked_by_a_loop(resolved: Resolved, name: str, loop: Loop, generated: int) -> Iterator[Asked]:
    """Yield what all rounds of a loop sample at most, for every student and seed; then its helper.

    A round asks again where too few answers are right, so requests are at least those of round 1.
    """
    asked, study = loop.sample, resolved.study
    known = _count(resolved, _sets(asked))
    runs = len(study.students) * len(study.seeds_of(loop.recipe))
    more = 0 if asked.strategy == "vanilla" else asked.attempts
    each = min(generated, asked.max_tokens)
    least = None if known is None else known * asked.samples * runs
    most = None if known is None else known * (asked.samples + more) * runs * loop.rounds
    yield Asked(
        name, "its own student", least, most,
        None if least is None else least * _PLAIN_PROMPT,
        None if least is None else least * each, 0.0, True, rounds=loop.rounds,
    )  # fmt: skip
    corrections = None if known is None else known * more * runs * loop.rounds
    yield from _asked_to_correct(study, name, asked, corrections, generated)


def _asked_to_correct(
    study: Study,
    arm: str,
    asked: SampleRequest,
    corrections: int | None,
    generated: int,
    first: float = 0.0,
) -> Iterator[Asked]:
    """Yield what the teacher of the interactive strategy is asked at most, and its money for that.

    No request is certain: only wrong answers are corrected. `first` is the money for the answers,
    which leaves the rest of the budget for corrections.
    """
    if asked.strategy != "interactive" or asked.helper is None:
        return
    helper = study.models.get(asked.helper)
    price = helper.price if isinstance(helper, EndpointModel) else None
    money = None
    if corrections is not None and price is not None:
        attempt = _rationale(study, asked, generated)
        prompt = _PLAIN_PROMPT + 2 * attempt  # the question, a solution and the student's attempt
        reply = _CORRECTION + _thoughts(study, asked.helper, generated)
        money = corrections * (prompt * price.input + reply * price.output) / 1e6
    is_local = not isinstance(helper, EndpointModel)
    left = None if asked.budget is None else max(0.0, asked.budget - first)
    yield Asked(arm, asked.helper, 0, corrections, None, None, money, is_local, left)


def asked_table(asked: tuple[Asked, ...]) -> Table:
    """Return a row an arm that a model writes."""

    def shown(value: float | None, form: str = ",.0f") -> str:
        return "unknown" if value is None else f"{value:{form}}"

    rows: list[tuple[str, ...]] = [
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
    columns: tuple[str, ...] = (
        "arm", "model", "requests", "at most", "prompt tokens", "generated", "cost"
    )  # fmt: skip
    if any(one.limited for one in asked):
        columns = (*columns, "budget")
        rows = [(*row, one.limited) for row, one in zip(rows, asked, strict=True)]
    priced = [one.paid for one in asked if one.money and not one.is_local]
    unpriced = sum(one.money is None for one in asked)
    notes = [
        "lengths are assumed, a reasoning model's thoughts as long as an answer; cotdistill teach "
        "--pilot 20 measures them, with an interval"
    ]
    if any(one.model == "its own student" for one in asked):
        notes.append("loops: requests of round 1, and at most those of all rounds")
    notes.append("at most: with disobedient or wrong samples asked again; no request is paid twice")
    notes += [
        f"{one.arm}: its budget covers about {one.covered:.0%} of what is asked; the job stops "
        "there, and fails if more than allow_missing is missing"
        for one in asked
        if one.covered < 1
    ]
    if priced:
        notes.append(f"models that are paid for: {sum(priced):,.2f}")
    if unpriced:
        notes.append(f"unknown cost: {counted(unpriced, 'arm')} of a model without a price")
    return Table(columns, tuple(rows), tuple(notes))
