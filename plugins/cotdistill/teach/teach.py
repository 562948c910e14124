"""`teach`: rationales of a teacher for many questions, resumable, within a budget."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cotdistill.errors import DataError, Fault, FaultsError
from cotdistill.files.inputs import InputFiles, refuse_overwriting
from cotdistill.hosts.request import Asker
from cotdistill.teach.budget import Bill, Limits, Price, Spent, plain_money, plain_price
from cotdistill.teach.engine import Engine, EngineOptions
from cotdistill.teach.graded import Grader, graded_text
from cotdistill.teach.interrupts import stopped_gently
from cotdistill.teach.lesson import Lesson, taught
from cotdistill.teach.outputs import (
    FAILURES,
    LEDGER,
    PLAN,
    TRACES,
    Teaching,
    Totals,
    input_entry,
    settings_row,
    shard_filter,
    write_ledger,
    write_rows,
)
from cotdistill.teach.pilot import Pilot, PilotOptions, predicted_by_pilot, run_pilot
from cotdistill.teach.prompts import values_for
from cotdistill.teach.questions import Item, Items
from cotdistill.teach.store import Store

REPEATED = 0.2
"""The share of repeated samples that is pointed out."""
_MISSED = 0.5
_EXAMPLE = Item("example", "none", "train", "What is 2 + 3?", "5", rationale="2 + 3 = 5")


@dataclass(frozen=True)
class TeachOptions:
    """Where results go, who teaches, and within which limits.

    `shard` (I of N, from 1) does a part of the work; a run without one then writes the outputs.
    `pilot` asks about so many questions only, and says what all would cost. `no_replies`: requests
    are only written down, so all of them are asked for before anything comes back. `batched`:
    replies are read from batch files.
    """

    folder: Path
    teacher: str
    revision: str | None = None
    shard: tuple[int, int] | None = None
    pilot: int | None = None
    limits: Limits = field(default_factory=Limits)
    price: Price | None = None
    grow_times: int = 0
    any_model: bool = False
    no_replies: bool = False
    batched: bool = False
    grader: Grader = graded_text
    program_grader: Grader | None = None


@dataclass
class TeachReport:
    """What came of it; `pilot` after a pilot only, `totals` not for a shard."""

    spent: Spent
    totals: Totals = field(default_factory=Totals)
    pilot: Pilot | None = None
    written: tuple[Path, ...] = ()
    warnings: list[str] = field(default_factory=list)


Watch = Callable[[Spent, int], None]


def teach(
    items: Items,
    lesson: Lesson,
    asker: Asker,
    options: TeachOptions,
    watch: Watch = lambda _spent, _wanted: None,
) -> TeachReport:
    """Ask a teacher about every question, and write what it answers as traces.

    Everything that comes is kept at once; the same call later asks only for what is missing.
    `watch` hears what was spent and how many samples are wanted.

    Raises:
        FaultsError: prompts or questions have faults; or all servers are gone, in which case what
            came before is written first.
        MisuseError: an output is an input, or a limit needs a price.
    """
    options.limits.check({"": options.price})
    _check_prompts(lesson)
    outputs = [options.folder / name for name in (TRACES, FAILURES, LEDGER, PLAN)]
    inputs = [items.path] if items.path else []
    refuse_overwriting(inputs, outputs)
    states = InputFiles.of(inputs)
    questions = _checked(items, lesson)
    with Store(options.folder, options.shard) as store:
        engine = Engine(
            store,
            {"": asker},
            EngineOptions(
                options.limits,
                {"": options.price},
                grow_times=options.grow_times,
                any_model=options.any_model,
                most_active=sys.maxsize if options.no_replies else EngineOptions.most_active,
                batched=options.batched,
            ),
        )
        per_question = len(lesson.cells) * lesson.samples
        wanted = (options.pilot or questions) * (lesson.samples if lesson.bundle else per_question)
        engine.watch = lambda spent: watch(spent, wanted)
        if options.pilot:
            settings = settings_row(lesson, options.teacher)
            sized = PilotOptions(options.folder, options.pilot, questions, settings)
            found = run_pilot(items, lambda item: taught(item, lesson), engine, sized)
            return TeachReport(engine.spent, pilot=found, written=found.written)
        is_ours = shard_filter(options.shard)
        gone: FaultsError | None = None
        with stopped_gently(engine):
            try:
                engine.ask(taught(item, lesson) for item in items if is_ours(item))
            except FaultsError as error:
                gone = error
        states.refuse_changes()
        report = TeachReport(engine.spent, Totals(bill=Bill({"": options.price})))
        if options.shard is None:
            _write(items, lesson, options, engine, report)
        if gone is not None:
            raise gone
        return report


def _check_prompts(lesson: Lesson) -> None:
    """Fill in the prompt of every format and level, so that a faulty one stops the start.

    Raises:
        FaultsError: a prompt has a fault, or asks for two levels or formats in the same words.
    """
    shared: dict[str, Any] = {"gold_shown": True, "levels": lesson.levels}
    shared |= {"rationale": _EXAMPLE.rationale, "contrast": "it has 1 step"}
    if lesson.bundle:
        lesson.prompts.messages("bundle", values_for(_EXAMPLE, **shared))
        return
    asked: dict[tuple[str, ...], tuple[str, int | None]] = {}
    faults: list[Fault] = []
    for format_, level in lesson.cells:
        name = "rewrite" if lesson.rewrite else format_
        values = values_for(_EXAMPLE, level=level, format=format_, **shared)
        try:
            turns = lesson.prompts.messages(name, values)
        except FaultsError as error:
            faults += [fault for fault in error.faults if fault not in faults]
            continue
        words = tuple(turn["content"] for turn in turns)
        before = asked.setdefault(words, (format_, level))
        if before != (format_, level):
            faults.append(_same_words(name, before, (format_, level)))
    if faults:
        raise FaultsError(faults)


def _same_words(name: str, *cells: tuple[str, int | None]) -> Fault:
    first, second = (
        format_ if level is None else f"{format_} at level {level}" for format_, level in cells
    )
    wrong = f"asks for {first} and for {second} in the same words: one text would become both"
    remedy = "let the prompt use {{ level }}, {{ steps }} or {{ format }}, or ask for one of them"
    return Fault(f"{name}.j2", wrong, remedy=remedy)


def _checked(items: Items, lesson: Lesson) -> int:
    """Count the questions, and refuse those that lack what the lesson needs; 20 at once."""
    faults: list[Fault] = []
    count = 0
    for item in items:
        count += 1
        wrong = ""
        if lesson.gold_shown and not item.gold:
            wrong = "has no reference answer, which --gold shown needs"
        if lesson.rewrite and not item.rationale.strip():
            wrong = "has no rationale, which --rewrite needs"
        if wrong:
            faults.append(Fault(f"{items.name}: question {count} ({item.id})", wrong))
        if len(faults) == 20:
            break
    if faults:
        raise DataError(faults)
    return count


def _write(
    items: Items, lesson: Lesson, options: TeachOptions, engine: Engine, report: TeachReport
) -> None:
    totals = report.totals
    teaching = Teaching(
        lesson, options.teacher, options.revision, options.grader, options.program_grader
    )
    rows = ((item, engine.replay(taught(item, lesson))) for item in items)
    write_rows(options.folder, rows, teaching, totals)
    settings = settings_row(lesson, options.teacher)
    predicted = predicted_by_pilot(
        options.folder, settings, plain_price(options.price), totals.questions
    )
    entries: dict[str, Any] = {
        "inputs": [input_entry(items.name, items.path)],
        "settings": settings,
        "journal": {"replies": len(engine.store), "repeated": engine.store.repeated},
        "price": plain_price(options.price),
        "money": plain_money(totals.bill.money),
        **({"predicted": predicted} if predicted else {}),
        "last_run": engine.spent.as_row(),
    }
    write_ledger(options.folder, entries, totals)
    report.written = tuple(options.folder / name for name in (TRACES, FAILURES, LEDGER))
    if totals.repeated_share > REPEATED:
        report.warnings.append(repeated_warning(totals.repeated_share))
    missed = totals.flagged["format_missed"]
    if missed > _MISSED * totals.states["kept"]:
        report.warnings.append(
            f"{missed:,} of {totals.states['kept']:,} rationales miss their format; "
            f"the first: {totals.first_format_fault}"
        )


def repeated_warning(share: float) -> str:
    """Return what is said of a model that gives one question's samples the same text."""
    return (
        f"{share:.0%} of the samples repeat another sample of their question: "
        "does the server honour temperature and seed?"
    )
