"""`sample`: let a model answer questions, grade it, and guide it where too few are right."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from cotdistill.cli.backends import (
    Backend,
    How,
    Model,
    Whom,
    known_tier,
    model_of,
    output_folder,
    price_of,
    shard_of,
)
from cotdistill.cli.pilot import show_pilot
from cotdistill.cli.tables import say, show_table, talk, warn
from cotdistill.errors import MisuseError
from cotdistill.tables import counted
from cotdistill.teach.limits import MOST_SAMPLES

if TYPE_CHECKING:
    from cotdistill.hosts.request import Asker
    from cotdistill.teach.asking import Decoding
    from cotdistill.teach.continuing import Way
    from cotdistill.teach.graded import Grader
    from cotdistill.teach.sample_report import SampleReport
    from cotdistill.teach.sampling import Plan

_REASONING_TOKENS = 8192
"""Tokens of a correction where thoughts count too; servers need not stream so many."""


@dataclass(frozen=True, kw_only=True)
class Sampled:
    """How a model is guided, and what is kept of it."""

    strategy: Annotated[
        str,
        typer.Option(help="vanilla, uniform, answer, rationale, interactive, state_reset"),
    ] = "vanilla"
    samples: Annotated[
        int,
        typer.Option("-k", "--samples", min=1, max=MOST_SAMPLES, help="plain samples per question"),
    ] = 8
    min_correct: Annotated[
        int, typer.Option(min=0, help="correct samples after which a question is done")
    ] = 4
    rounds: Annotated[
        int, typer.Option(min=0, max=MOST_SAMPLES, help="most guided rounds per question")
    ] = 8
    per_question: Annotated[
        int, typer.Option(min=0, help="correct samples kept per question; 0 keeps all")
    ] = 4
    keep: Annotated[str, typer.Option(help="correct, or all: wrong ones too, with a flag")] = (
        "correct"
    )
    mode: Annotated[str, typer.Option(help="cot, or program: run what it writes")] = "cot"
    instruction: Annotated[
        str | None,
        typer.Option(help="asked instead of ours: around {question}, else after a blank line"),
    ] = None
    system: Annotated[str | None, typer.Option(help="system message")] = None
    teacher_endpoint: Annotated[
        list[str] | None, typer.Option(help="of the teacher that corrects; repeatable")
    ] = None
    teacher_model: Annotated[str | None, typer.Option(help="model of that teacher")] = None
    teacher_key_env: Annotated[str, typer.Option(help="variable with its API key")] = (
        "OPENAI_API_KEY"
    )
    teacher_price: Annotated[
        str | None, typer.Option(help="what that teacher costs, as --price")
    ] = None
    teacher_openai_reasoning: Annotated[
        bool,
        typer.Option(
            "--teacher-openai-reasoning", help="that teacher is one, as --openai-reasoning"
        ),
    ] = False
    prefix_mode: Annotated[
        str,
        typer.Option(
            help="auto, flags, assistant, prefix, template, completion, asked (state_reset)"
        ),
    ] = "auto"
    tokenizer: Annotated[
        str | None, typer.Option(help="folder or hub id; its chat template is filled in here")
    ] = None
    temperature: Annotated[
        float | None, typer.Option(min=0, help="of sampling (0.7)", show_default=False)
    ] = None
    max_tokens: Annotated[int, typer.Option(min=1, help="tokens a reply may have")] = 1024


@dataclass(frozen=True, kw_only=True)
class SampleArguments(How, Sampled, Whom):
    """The questions, who answers them, how it is guided, and what is kept."""


def sample(arguments: SampleArguments) -> None:
    """Sample a model's answers, grade them as they come, and guide it where too few are right.

    Writes samples.jsonl, traces.jsonl, gained.jsonl and ledger.json. Exit status 1 if samples are
    missing; the same command asks only for those.

    Example:
        cotdistill sample gsm8k --endpoint URL --model NAME -o out
    """
    from cotdistill.cli.panel import Panel
    from cotdistill.teach.questions import Items
    from cotdistill.teach.sample import sample as run
    from cotdistill.teach.sample_outputs import SampleOptions
    from cotdistill.teach.sampling import TEACHER

    if arguments.keep not in ("correct", "all"):
        raise MisuseError(f"--keep: '{arguments.keep}'; expected correct or all")
    model = model_of("sample", arguments, arguments)
    askers, prices = {"": model.asker}, {"": model.price}
    helper = None
    if arguments.teacher_endpoint or arguments.teacher_model:
        helper, askers[TEACHER] = _teacher(arguments, model)
        prices[TEACHER] = price_of(arguments.teacher_price, "--teacher-price")
    elif arguments.teacher_price or arguments.teacher_openai_reasoning:
        option = "--teacher-price" if arguments.teacher_price else "--teacher-openai-reasoning"
        raise MisuseError(f"{option}: no teacher; name it with --teacher-model")
    options = SampleOptions(
        folder=output_folder(arguments.output),
        model=model.name,
        revision=model.revision,
        per_question=arguments.per_question or None,
        keep_wrong=arguments.keep == "all",
        shard=shard_of(arguments.shard),
        limits=arguments.limits(),
        prices=prices,
        grow_times=arguments.grow_max_tokens,
        any_model=model.any_model,
        no_replies=arguments.is_only_written,
        batched=arguments.is_batched,
        pilot=arguments.pilot,
    )
    with contextlib.ExitStack() as stack:
        grader = _grader(arguments, stack)
        plan = _plan(arguments, model, helper, grader)
        panel = Panel()
        report = run(
            Items(arguments.questions, arguments.limit, arguments.draw),
            plan,
            askers,
            options,
            panel,
        )
    panel.close(report.spent, report.states.total())
    if options.no_replies:
        say(f"{counted(report.spent.requests, 'request')} written to {arguments.output / 'batch'}")
        return
    for path in report.written:
        talk(f"wrote {path}")
    if report.pilot is not None:
        show_pilot(report.pilot, report.spent, arguments.budget)
        return
    _show(report, arguments)


def _teacher(arguments: SampleArguments, student: Model) -> tuple[Decoding, Asker]:
    """Return how the correcting teacher is sampled, as in the paper, and what asks it."""
    from cotdistill.teach.asking import Decoding

    by_files = arguments.is_only_written or bool(arguments.batch_in)
    if not arguments.teacher_model or bool(arguments.teacher_endpoint) == by_files:
        raise MisuseError(
            "a teacher needs both --teacher-endpoint and --teacher-model; with batch files the "
            "model alone"
        )
    reasons = arguments.teacher_openai_reasoning
    decoding = Decoding(
        arguments.teacher_model,
        temperature=None if reasons else 1.0,
        top_p=None if reasons else 0.95,
        max_tokens=_REASONING_TOKENS if reasons else 1024,
        seed=arguments.seed,
        openai_reasoning=reasons,
    )
    if by_files:
        return decoding, student.asker
    backend = Backend(
        "sample",
        arguments.teacher_model,
        arguments.teacher_endpoint,
        None,
        arguments.teacher_key_env,
        timeout=arguments.timeout,
        patience=arguments.patience,
        prefix="--teacher-",
    )
    return decoding, backend.asker()


def _grader(arguments: SampleArguments, stack: contextlib.ExitStack) -> Grader:
    from cotdistill.teach.graded import graded_text, program_grader

    if arguments.mode not in ("cot", "program"):
        raise MisuseError(f"--mode: '{arguments.mode}'; expected cot or program")
    tier = known_tier(arguments.sandbox)
    if arguments.mode == "cot":
        return graded_text
    from cotdistill.hosts.sandbox.sandbox import Sandbox

    return program_grader(stack.enter_context(Sandbox(tier)))


def _plan(
    arguments: SampleArguments, model: Model, helper: Decoding | None, grader: Grader
) -> Plan:
    from cotdistill.teach.continuing import PrefixMode
    from cotdistill.teach.sampling import Plan

    known = get_args(PrefixMode)
    if arguments.prefix_mode not in (*known, "auto"):
        typed = arguments.prefix_mode
        raise MisuseError(f"--prefix-mode: '{typed}'; expected auto, {', '.join(known)}")
    strategy: Any = arguments.strategy
    mode: Any = arguments.mode
    decoding = arguments.decoding(model, arguments.temperature, arguments.max_tokens, 0.7)
    plan = Plan(
        decoding,
        strategy=strategy,
        samples=arguments.samples,
        min_correct=arguments.min_correct,
        rounds=arguments.rounds,
        mode=mode,
        helper=helper,
        instruction=arguments.instruction,
        system=arguments.system,
        grader=grader,
    )
    if plan.strategy != "state_reset":
        return plan
    return replace(plan, way=_way(arguments, decoding, model.asker))


def _way(arguments: SampleArguments, decoding: Decoding, asker: Asker) -> Way:
    """Return the way to continue a text: the one that was typed, used before, or found to work."""
    from cotdistill.files.atomic import write_text
    from cotdistill.hosts.tokenizer import chat_text
    from cotdistill.teach.continuing import CHAT_MODES, PrefixMode, Way, working_mode

    typed: Any = arguments.prefix_mode
    filled = chat_text(arguments.tokenizer) if arguments.tokenizer else None
    if typed == "auto" and decoding.api == "completions":
        typed = "completion"
    if typed != "auto":
        return Way(typed, filled)
    if arguments.is_only_written or arguments.batch_in:
        raise MisuseError("batch files cannot be tried out first; name a way with --prefix-mode")
    record = arguments.output / "prefix_mode.json"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        before: Any = json.loads(record.read_text(encoding="utf-8"))[decoding.model]
        if before in get_args(PrefixMode) and (before != "template" or filled):
            return Way(before, filled)
    modes = CHAT_MODES if filled is None else ("template", *CHAT_MODES)
    found = working_mode(asker, decoding, modes, filled)
    write_text(record, json.dumps({decoding.model: found}) + "\n")
    talk(f"texts are continued by '{found}'")
    return Way(found, filled)


def _show(report: SampleReport, arguments: SampleArguments) -> None:
    from cotdistill.teach.teach import REPEATED, repeated_warning

    if arguments.shard is not None:
        say("run without --shard to write the outputs")
        if report.spent.failed or report.spent.stopped:
            raise typer.Exit(1)
        return
    show_table(report.table())
    total = report.states.total()
    outcomes = ", ".join(f"{many:,} {name}" for name, many in sorted(report.outcomes.items()))
    share = report.outcomes["correct"] / max(1, report.outcomes.total())
    if report.outcomes:
        say(f"{share:.1%} of {report.outcomes.total():,} graded samples are correct ({outcomes})")
    else:
        say("no sample was graded")
    for why, many in sorted(report.rejected.items()):
        say(f"{many:,} rejected: {why}")
    if report.without_prefix:
        questions = counted(report.without_prefix, "question")
        say(f"no solution long enough to resume from: {questions}")
    say(f"{counted(report.traces, 'trace')} kept, {report.gained:,} gained by guidance")
    if report.repeated_share > REPEATED:
        warn(repeated_warning(report.repeated_share))
    if report.missing:
        stopped = f"; stopped at {report.spent.stopped}" if report.spent.stopped else ""
        talk(
            f"{report.missing:,} of {counted(total, 'sample')} missing{stopped}; first: "
            f"{report.first_missing}; {report.spent.going_on}"
        )
        if report.missing > arguments.allow_missing * total:
            raise typer.Exit(1)
