"""What sampling leaves: all samples, the traces among them, what only guidance brought, a ledger.

The rows depend on the answers alone, never on when or in how many pieces they came.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cotdistill import __version__
from cotdistill.corpus.records.trace import Provenance, Trace
from cotdistill.corpus.records.trace_row import trace_row
from cotdistill.files.atomic import sha256_of, write_text, written_whole
from cotdistill.files.jsonl import row_line
from cotdistill.teach.budget import Limits, Prices, plain_money, plain_price
from cotdistill.teach.engine import Engine
from cotdistill.teach.outputs import LEDGER, TRACES, input_entry
from cotdistill.teach.pilot import predicted_by_pilot
from cotdistill.teach.questions import Item, Items
from cotdistill.teach.sample_report import SampleReport, count_attempts
from cotdistill.teach.sampling import TEACHER, Attempt, Plan, Sampled, normal

SAMPLES, GAINED = "samples.jsonl", "gained.jsonl"


@dataclass(frozen=True)
class SampleOptions:
    """Where results go, who is sampled, and what is kept of it.

    `per_question` is how many correct samples of a question become traces, None for all;
    `keep_wrong` keeps wrong ones as traces too, with their flag, as Mentor-KD does. `no_replies`:
    requests are only written down, so all of a round are asked for before anything comes back.
    `batched`: replies are read from batch files. `pilot` asks about so many questions only, and
    says what all would cost.
    """

    folder: Path
    model: str
    revision: str | None = None
    per_question: int | None = 4
    keep_wrong: bool = False
    shard: tuple[int, int] | None = None
    limits: Limits = field(default_factory=Limits)
    prices: Prices = field(default_factory=lambda: {"": None})
    grow_times: int = 0
    any_model: bool = False
    no_replies: bool = False
    batched: bool = False
    pilot: int | None = None


def write_samples(
    rows: Iterable[tuple[Item, Sampled]], plan: Plan, options: SampleOptions, report: SampleReport
) -> None:
    """Write what each question's attempts became, and count it in `report`."""
    with ExitStack() as stack:
        files = {
            name: stack.enter_context(written_whole(options.folder / name))
            for name in (SAMPLES, TRACES, GAINED)
        }
        for item, found in rows:
            report.questions += 1
            count_attempts(item, found, plan, report)
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


def write_sample_ledger(
    items: Items, plan: Plan, options: SampleOptions, engine: Engine, report: SampleReport
) -> None:
    """Write the counts, settings and hashes of what `write_samples` wrote."""
    bill = report.bill
    settings = settings_of(plan, options)
    predicted = predicted_by_pilot(
        options.folder, settings, plain_price(options.prices[""]), report.questions
    )
    ledger: dict[str, Any] = {
        "made_by": "sample",
        "versions": {"cotdistill": __version__},
        "inputs": [input_entry(items.name, items.path)],
        "settings": settings,
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
                **({"teacher": dict(sorted(each.teacher.items()))} if each.teacher else {}),
                "questions_by_correct_samples": dict(sorted(each.histogram.items())),
            }
            for number, each in sorted(report.rounds.items())
        ],
        "without_prefix": report.without_prefix,
        "journal": {"replies": len(engine.store), "repeated": engine.store.repeated},
        "tokens": dict(sorted(bill.tokens.get("", {}).items())),
        "asked_at": bill.when,
        "sent_again": bill.sent_again,
        "price": plain_price(options.prices[""]),
        "money": plain_money(bill.money),
        **({"predicted": predicted} if predicted else {}),
        "last_run": engine.spent.as_row(),
        "teacher_backend": TEACHER in engine.askers,
    }
    if TEACHER in engine.askers:
        ledger["teacher"] = {
            "tokens": dict(sorted(bill.tokens.get(TEACHER, {}).items())),
            "price": plain_price(options.prices.get(TEACHER)),
            "money": plain_money(bill.money_of(TEACHER)),
        }
    write_text(options.folder / LEDGER, json.dumps(ledger, ensure_ascii=False, indent=2) + "\n")


def settings_of(plan: Plan, options: SampleOptions) -> dict[str, Any]:
    """Return what was asked for, for the ledger; it holds no address and no key."""
    return {
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
    }
