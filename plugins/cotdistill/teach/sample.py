"""`sample`: a student, mentor or checkpoint answers questions, is graded, and guided if needed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping

from cotdistill.errors import DataError, Fault, FaultsError
from cotdistill.files.inputs import InputFiles, refuse_overwriting
from cotdistill.hosts.request import Asker
from cotdistill.teach.budget import Bill, Spent
from cotdistill.teach.engine import Engine, EngineOptions
from cotdistill.teach.interrupts import stopped_gently
from cotdistill.teach.outputs import LEDGER, PLAN, TRACES, shard_filter
from cotdistill.teach.pilot import PilotOptions, run_pilot
from cotdistill.teach.questions import Items
from cotdistill.teach.sample_outputs import (
    GAINED,
    SAMPLES,
    SampleOptions,
    settings_of,
    write_sample_ledger,
    write_samples,
)
from cotdistill.teach.sample_report import SampleReport
from cotdistill.teach.sampling import NEEDS_RATIONALE, Plan, sampled
from cotdistill.teach.store import Store

Watch = Callable[[Spent, int], None]
_MOST_FAULTS = 20


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
    options.limits.check(options.prices)
    outputs = [options.folder / name for name in (SAMPLES, TRACES, GAINED, LEDGER, PLAN)]
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
                options.prices,
                grow_times=options.grow_times,
                any_model=options.any_model,
                most_active=sys.maxsize if options.no_replies else EngineOptions.most_active,
                batched=options.batched,
            ),
        )
        wanted = (options.pilot or questions) * plan.samples
        engine.watch = lambda spent: watch(spent, wanted)
        if options.pilot:
            settings = settings_of(plan, options)
            sized = PilotOptions(options.folder, options.pilot, questions, settings)
            found = run_pilot(items, lambda item: sampled(item, plan), engine, sized)
            return SampleReport(engine.spent, pilot=found, written=found.written)
        is_ours = shard_filter(options.shard)
        gone: FaultsError | None = None
        with stopped_gently(engine):
            try:
                engine.ask(sampled(item, plan) for item in items if is_ours(item))
            except FaultsError as error:
                gone = error
        states.refuse_changes()
        report = SampleReport(engine.spent, Bill(options.prices))
        if options.shard is None:
            rows = ((item, engine.replay(sampled(item, plan))) for item in items)
            write_samples(rows, plan, options, report)
            write_sample_ledger(items, plan, options, engine, report)
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
