"""`sample`: a student, mentor or checkpoint answers questions, is graded, and guided if needed."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cotdistill import __version__
from cotdistill.corpus.records.trace import Provenance, Trace
from cotdistill.corpus.records.trace_row import trace_row
from cotdistill.errors import DataError, Fault, FaultsError, MisuseError
from cotdistill.files.atomic import sha256_of, write_text, written_whole
from cotdistill.files.inputs import InputFiles, refuse_overwriting
from cotdistill.files.jsonl import row_line
from cotdistill.hosts.request import Asker
from cotdistill.tables import Table
from cotdistill.teach.budget import Limits, Price, Spent
from cotdistill.teach.engine import Engine, EngineOptions
from cotdistill.teach.outputs import LEDGER, TRACES, input_entry, shard_filter
from cotdistill.teach.questions import Item, Items
from cotdistill.teach.sampling import (
    NEEDS_RATIONALE,
    TEACHER,
    Attempt,
    Plan,
    Sampled,
    normal,
    sampled,
)
from cotdistill.teach.store import Store
from cotdistill.teach.teach import stopped_gently

SAMPLES, GAINED = "samples.jsonl", "gained.jsonl"
_MOST_FAULTS = 20


@dataclass(frozen=True)
class SampleOptions:
    """Where results go, who is sampled, and what is kept of it.

    `per_question` is how many correct samples of a question become traces, None for all;
    `keep_wrong` keeps wrong ones as traces too, with their flag, as Mentor-KD does. `no_replies`:
    requests are only written down, so all of a round are asked for before anything comes back.
    """

    folder: Path
    model: str
    revision: str | None = None
    per_question: int | None = 4
    keep_wrong: bool = False
    shard: tuple[int, int] | None = None
    limits: Limits = field(default_factory=Limits)
    price: Price | None = None
    grow_times: int = 0
    any_model: bool = False
    no_replies: bool = False


@dataclass
class RoundCounts:
    """What one round brought; questions are covered once they have a correct sample."""

    asked: int = 0
    kept: int = 0
    correct: int = 0
    rejected: int = 0
    newly_covered: int = 0
    requests: int = 0
    tokens: int = 0
    histogram: Counter[int] = field(default_factory=Counter)


@dataclass
class SampleReport:
    """What came of it, by round; round 0 is the plain samples."""

    spent: Spent
    questions: int = 0
    rounds: dict[int, RoundCounts] = field(default_factory=dict)
    states: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    traces: int = 0
    gained: int = 0
    without_prefix: int = 0
    repeats: list[int] = field(default_factory=lambda: [0, 0])
    first_missing: str = ""
    written: tuple[Path, ...] = ()

    @property
    def missing(self) -> int:
        """Samples that were wanted and did not come."""
        return self.states.total() - self.states["kept"]

    @property
    def repeated_share(self) -> float:
        """The share of plain samples whose text another one of the same question has."""
        same, several = self.repeats
        return same / several if several else 0.0

    def table(self) -> Table:
        """Return one line a round: coverage, correct counts, and what a covered question cost."""
        columns = (
            "round", "samples", "correct", "rejected", "covered", "coverage", "requests",
            "tokens", "tokens per newly covered", "questions by correct samples",
        )  # fmt: skip
        rows = []
        covered = 0
        for number in sorted(self.rounds):
            each = self.rounds[number]
            covered += each.newly_covered
            cost = f"{each.tokens / each.newly_covered:,.0f}" if each.newly_covered else "-"
            histogram = " ".join(f"{n}:{each.histogram[n]}" for n in sorted(each.histogram))
            rows.append(
                (
                    str(number),
                    str(each.asked),
                    str(each.correct),
                    str(each.rejected),
                    str(covered),
                    f"{covered / max(1, self.questions):.1%}",
                    str(each.requests),
                    f"{each.tokens:,}",
                    cost,
                    histogram,
                )
            )
        return Table(columns, tuple(rows))


Watch = Callable[[Spent, int], None]


def sample(
    items: Items,
    plan: Plan,
    askers: Mapping[str, Asker],
    options: SampleOptions,
    watch: Watch = lambda _spent, _wanted: None,
) -> SampleReport:
    """Sample a model's answers to questions, grade them, and guide it where too few are right.

    `askers` has the model under "" and the teacher of the interactive strategy under "teacher".
    Writes `samples.jsonl` (all), `traces.jsonl` (what is trained on) and `gained.jsonl` (what only
    guidance brought); the same call later asks only for what is missing.

    Raises:
        FaultsError: questions lack what the strategy needs, or all servers are gone, in which case
            what came before is written first.
        MisuseError: an output is an input, or a limit needs a price.
    """
    if options.limits.money is not None and options.price is None:
        raise MisuseError("--budget needs a price; give --price, or limit --budget-tokens instead")
    outputs = [options.folder / name for name in (SAMPLES, TRACES, GAINED, LEDGER)]
    inputs = [items.path] if items.path else []
    refuse_overwriting(inputs, outputs)
    states = InputFiles.of(inputs)
    questions = _checked(items, plan)
    with Store(options.folder, options.shard) as store:
        engine = Engine(
            store,
            askers,
            EngineOptions(
                options.limits,
                options.price,
                grow_times=options.grow_times,
                any_model=options.any_model,
                most_active=sys.maxsize if options.no_replies else EngineOptions.most_active,
            ),
        )
        engine.watch = lambda spent: watch(spent, questions * plan.samples)
        is_ours = shard_filter(options.shard)
        gone: FaultsError | None = None
        with stopped_gently(engine):
            try:
                engine.ask(sampled(item, plan) for item in items if is_ours(item))
            except FaultsError as error:
                gone = error
        states.refuse_changes()
        report = SampleReport(engine.spent)
        if options.shard is None:
            rows = ((item, engine.replay(sampled(item, plan))) for item in items)
            _write(rows, plan, options, report)
            _write_ledger(items, plan, options, engine, report)
        if gone is not None:
            raise gone
        return report


def _checked(items: Items, plan: Plan) -> int:
    faults: list[Fault] = []
    count = 0
    for item in items:
        count += 1
        wrong = ""
        if not item.gold:
            wrong = "has no reference answer, so its samples cannot be graded"
        elif plan.strategy in NEEDS_RATIONALE and not item.rationale.strip():
            wrong = f"has no reference solution, which the strategy {plan.strategy} needs"
        if wrong:
            faults.append(Fault(f"{items.name}: question {count} ({item.id})", wrong))
        if len(faults) == _MOST_FAULTS:
            break
    if faults:
        raise DataError(faults)
    return count


def _write(
    rows: Iterable[tuple[Item, Sampled]], plan: Plan, options: SampleOptions, report: SampleReport
) -> None:
    with ExitStack() as stack:
        files = {
            name: stack.enter_context(written_whole(options.folder / name))
            for name in (SAMPLES, TRACES, GAINED)
        }
        for item, found in rows:
            report.questions += 1
            _count(item, found, plan, report)
            chosen, gained = _chosen(found, options)
            for attempt in found.attempts:
                files[SAMPLES].write(row_line(_sample_row(item, attempt)))
            for attempt in chosen:
                files[TRACES].write(row_line(_trace_row(item, attempt, plan, options)))
            for attempt in gained:
                files[GAINED].write(row_line(_trace_row(item, attempt, plan, options)))
            report.traces += len(chosen)
            report.gained += len(gained)
    report.written = tuple(options.folder / name for name in (SAMPLES, TRACES, GAINED, LEDGER))


def _chosen(found: Sampled, options: SampleOptions) -> tuple[list[Attempt], list[Attempt]]:
    """Return what is trained on, and what of the correct ones only guidance brought."""
    correct = found.correct()
    plain = {normal(one.text) for one in correct if one.round == 0}
    gained = [one for one in correct if one.round and normal(one.text) not in plain]
    if options.keep_wrong:
        kept = [one for one in found.attempts if one.text and not one.rejected]
        return kept, gained
    return correct[: options.per_question], gained


def _count(item: Item, found: Sampled, plan: Plan, report: SampleReport) -> None:
    """Count a question's attempts by round, and how many correct ones it has after each."""
    plain = [attempt.text for attempt in found.attempts if attempt.text and not attempt.round]
    if len(plain) > 1:
        report.repeats[0] += len(plain) - len(set(plain))
        report.repeats[1] += len(plain)
    covered = False
    last = max((attempt.round for attempt in found.attempts), default=0)
    for round_ in range(last + 1):
        here = [attempt for attempt in found.attempts if attempt.round == round_]
        if not here:
            continue
        counts = report.rounds.setdefault(round_, RoundCounts())
        counts.asked += len(here)
        counts.requests += len(here) * (1 + (plan.strategy == "interactive" and round_ > 0))
        for attempt in here:
            answer = attempt.answer
            counts.tokens += answer.prompt_tokens + answer.completion_tokens
            report.states[answer.state] += 1
            counts.kept += answer.state == "kept"
            counts.correct += attempt.is_correct
            if attempt.rejected:
                counts.rejected += 1
                report.rejected[attempt.rejected.partition(" (")[0]] += 1
            if answer.state == "kept":
                report.outcomes[attempt.graded.outcome] += 1
            else:
                report.first_missing = report.first_missing or f"{item.id}: {answer.why}"
        right = len(Sampled([a for a in found.attempts if a.round <= round_], ()).correct())
        counts.histogram[right] += 1
        if right and not covered:
            counts.newly_covered += 1
            covered = True
    too_few = len(found.correct()) < plan.min_correct
    report.without_prefix += plan.strategy == "state_reset" and too_few and not last


def _sample_row(item: Item, attempt: Attempt) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": _row_id(item, attempt),
        "question_id": item.id,
        "question": item.question,
        "gold": item.gold,
        "response": attempt.text,
        "answer": attempt.graded.answer,
        "correct": attempt.graded.correct,
        "outcome": attempt.graded.outcome if attempt.text else attempt.answer.state,
        "round": attempt.round,
        "sample": attempt.number,
        "guided": attempt.guided or None,
        "state": attempt.answer.state,
    }
    if attempt.rejected:
        row["rejected"] = attempt.rejected
    if attempt.answer.why:
        row["why"] = attempt.answer.why
    if attempt.history:
        row["message_history"] = list(attempt.history)
    return row


def _trace_row(item: Item, attempt: Attempt, plan: Plan, options: SampleOptions) -> dict[str, Any]:
    answer = attempt.answer
    provenance = Provenance(
        teacher=options.model,
        revision=options.revision,
        format="program" if plan.mode == "program" else "natural",
        decoding=plan.decoding.described(),
        finish_reason=answer.finish_reason or None,
        tokens=answer.completion_tokens or None,
        served_model=answer.served_model or None,
        fingerprint=answer.fingerprint or None,
        strategy=plan.strategy,
        round=attempt.round,
        sample=attempt.number,
        guided=attempt.guided or None,
        prefix_mode=attempt.prefix_mode or None,
        prompt_tokens=answer.prompt_tokens or None,
        cached_tokens=answer.cached_tokens or None,
        reasoning_tokens=answer.reasoning_tokens or None,
    )
    return trace_row(
        Trace(
            id=_row_id(item, attempt),
            dataset=item.dataset,
            split=item.split,
            question=item.question,
            gold=item.gold,
            rationale=attempt.text,
            kind=item.kind,
            options=item.options,
            answer=attempt.graded.answer if plan.mode == "cot" else None,
            meta={
                **item.meta,
                "correct": attempt.graded.correct,
                "outcome": attempt.graded.outcome,
            },
            provenance=provenance,
        )
    )


def _row_id(item: Item, attempt: Attempt) -> str:
    return f"{item.id}-round{attempt.round}-{attempt.number}"


def _write_ledger(
    items: Items, plan: Plan, options: SampleOptions, engine: Engine, report: SampleReport
) -> None:
    money = engine.spent.money(options.price)
    ledger = {
        "made_by": "sample",
        "versions": {"cotdistill": __version__},
        "inputs": [input_entry(items.name, items.path)],
        "settings": {
            "model": options.model,
            "strategy": plan.strategy,
            "samples": plan.samples,
            "min_correct": plan.min_correct,
            "rounds": plan.guided_rounds,
            "mode": plan.mode,
            "per_question": options.per_question,
            "keep_wrong": options.keep_wrong,
            "prefix_mode": plan.way.mode if plan.strategy == "state_reset" else None,
            "decoding": {"model": plan.decoding.model, **plan.decoding.described()},
            "helper": None
            if plan.helper is None
            else {"model": plan.helper.model, **plan.helper.described()},
        },
        "outputs": [
            {"file": name, "rows": rows, "sha256": sha256_of(options.folder / name)}
            for name, rows in (
                (SAMPLES, report.states.total()),
                (TRACES, report.traces),
                (GAINED, report.gained),
            )
        ],
        "counts": {
            "questions": report.questions,
            "asked": report.states.total(),
            **dict(sorted(report.states.items())),
        },
        "outcomes": dict(sorted(report.outcomes.items())),
        "rejected": dict(sorted(report.rejected.items())),
        "rounds": [
            {
                "round": number,
                "samples": each.asked,
                "correct": each.correct,
                "rejected": each.rejected,
                "newly_covered": each.newly_covered,
                "requests": each.requests,
                "tokens": each.tokens,
                "questions_by_correct_samples": dict(sorted(each.histogram.items())),
            }
            for number, each in sorted(report.rounds.items())
        ],
        "without_prefix": report.without_prefix,
        "journal": {"replies": len(engine.store), "repeated": engine.store.repeated},
        "money_of_last_run": "unknown (no price was given)" if money is None else round(money, 6),
        "last_run": engine.spent.as_row(),
    }
    ledger["teacher_backend"] = TEACHER in engine.askers
    write_text(options.folder / LEDGER, json.dumps(ledger, ensure_ascii=False, indent=2) + "\n")
