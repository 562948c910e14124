"""`teach`: ask a teacher for rationales, at levels and in formats, and keep what it answers."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cotdistill.cli.backends import How, Model, Whom, known_tier, model_of, output_folder, shard_of
from cotdistill.cli.pilot import show_pilot
from cotdistill.cli.tables import say, show_table, talk, warn
from cotdistill.errors import MisuseError
from cotdistill.tables import counted
from cotdistill.teach.limits import MOST_SAMPLES

if TYPE_CHECKING:
    from cotdistill.teach.graded import Grader
    from cotdistill.teach.lesson import Lesson
    from cotdistill.teach.teach import TeachReport

_STATES = {
    "kept": "kept",
    "cut": "truncated",
    "refused": "declined",
    "failed": "failed",
    "open": "not asked",
}
"""The states of samples, as `failures.jsonl` has them, in words."""


@dataclass(frozen=True, kw_only=True)
class Taught:
    """What is asked of a teacher."""

    teacher: Annotated[
        str | None,
        typer.Option(
            help="model of the study's models: or the catalogue; with --model its name in traces"
        ),
    ] = None
    levels: Annotated[
        str | None, typer.Option(help="granularity: 1-6 or 1,3,6 [default: none is asked for]")
    ] = None
    formats: Annotated[
        str | None,
        typer.Option(help="natural, least-to-most, rephrase, symbolic, program, plain"),
    ] = None
    profile: Annotated[
        str | None, typer.Option(help="long, short, micota, mentor-kd, or a file: sets defaults")
    ] = None
    samples: Annotated[
        int | None,
        typer.Option(
            "-k", "--samples", min=1, max=MOST_SAMPLES, help="samples per question [default: 1]"
        ),
    ] = None
    gold: Annotated[
        str, typer.Option(help="reference answer: hidden from the teacher or shown")
    ] = "hidden"
    one_call: Annotated[
        bool, typer.Option("--one-call", help="ask for all levels in one reply")
    ] = False
    rewrite: Annotated[
        bool, typer.Option("--rewrite", help="QUESTIONS are traces: rewrite their rationales")
    ] = False
    rewrite_of: Annotated[
        str | None,
        typer.Option(metavar="TRACES", help="the same, instead of QUESTIONS and --rewrite"),
    ] = None
    prompts: Annotated[
        Path | None, typer.Option(help="folder with prompts of your own (FORMAT.j2)")
    ] = None
    reasoning: Annotated[
        str | None, typer.Option(help="thoughts in the rationale: think (tags), plain, drop")
    ] = None
    again: Annotated[
        int, typer.Option(min=0, max=2, help="ask disobedient ones again at most N times")
    ] = 2
    temperature: Annotated[
        float | None, typer.Option(min=0, help="of sampling [default: 0, or 0.7 with -k > 1]")
    ] = None
    max_tokens: Annotated[
        int | None, typer.Option(min=1, help="tokens a reply may have [default: 1024]")
    ] = None


@dataclass(frozen=True, kw_only=True)
class TeachArguments(How, Taught, Whom):
    """The questions, what is asked of whom about them, and within which limits."""

    questions: Annotated[
        str | None,
        typer.Argument(
            metavar="QUESTIONS", help="benchmark[:split], a file, or a hub dataset ORG/NAME[:split]"
        ),
    ] = None  # type: ignore[assignment]  # --rewrite-of stands for it


def teach(arguments: TeachArguments) -> None:
    """Ask a teacher for rationales at levels of granularity and in formats; pay for nothing twice.

    Writes traces.jsonl, failures.jsonl and ledger.json. Exit status 1 if samples are missing (more
    than --allow-missing); the same command asks only for those.

    Example:
        cotdistill teach svamp --endpoint URL --model NAME --levels 1-6 -o traces
    """
    from cotdistill.cli.panel import Panel
    from cotdistill.teach.questions import Items
    from cotdistill.teach.teach import TeachOptions
    from cotdistill.teach.teach import teach as run

    questions = _asked_about(arguments)
    model = model_of("teach", arguments, arguments, arguments.teacher)
    lesson = _lesson(arguments, model)
    stack = contextlib.ExitStack()
    options = TeachOptions(
        folder=output_folder(arguments.output),
        teacher=arguments.teacher or model.name,
        revision=model.revision,
        shard=shard_of(arguments.shard),
        pilot=arguments.pilot,
        limits=arguments.limits(),
        price=model.price,
        grow_times=arguments.grow_max_tokens,
        any_model=model.any_model,
        no_replies=arguments.is_only_written,
        batched=arguments.is_batched,
        program_grader=_program_grader(lesson, arguments.sandbox, stack),
    )
    panel = Panel()
    with stack:
        report = run(
            Items(questions, arguments.limit, arguments.draw),
            lesson,
            model.asker,
            options,
            panel,
        )
    panel.close(report.spent, report.totals.asked)
    for warning in report.warnings:
        warn(warning)
    for path in report.written:
        talk(f"wrote {path}")
    if options.shard is not None and report.pilot is None:
        _end_of_shard(report)
        return
    if options.no_replies:
        say(f"{counted(report.spent.requests, 'request')} written to {arguments.output / 'batch'}")
        return
    if report.pilot is not None:
        show_pilot(report.pilot, report.spent, arguments.budget)
        return
    show_table(report.totals.obedience.table())
    _show_totals(report, arguments)


def _asked_about(arguments: TeachArguments) -> str:
    """Return the questions, or the traces that are rewritten.

    Raises:
        MisuseError: neither was typed, or both were.
    """
    if arguments.questions is not None and arguments.rewrite_of is not None:
        raise MisuseError(
            "--rewrite-of: traces bring their questions with them; leave QUESTIONS "
            f"({arguments.questions}) out"
        )
    found = arguments.questions or arguments.rewrite_of
    if not found:
        raise MisuseError(
            "cotdistill teach: name the QUESTIONS, or the traces to rewrite with --rewrite-of"
        )
    return found


def _lesson(arguments: TeachArguments, model: Model) -> Lesson:
    """Return what is asked for, from a profile and what was typed besides.

    Raises:
        MisuseError: an option has no such value.
    """
    from cotdistill.catalogue.formats import format_called
    from cotdistill.teach.lesson import Lesson, levels_of
    from cotdistill.teach.profiles import profile_called
    from cotdistill.teach.prompts import Prompts

    profile = profile_called(arguments.profile)
    if arguments.gold not in ("hidden", "shown"):
        raise MisuseError(f"--gold: '{arguments.gold}'; expected hidden or shown")
    if arguments.prompts is not None and not arguments.prompts.is_dir():
        raise MisuseError(f"--prompts: no folder {arguments.prompts}")
    samples = arguments.samples or profile.samples
    usual = profile.temperature
    if usual is None:
        usual = 0.7 if samples > 1 else 0.0
    reasoning: Any = arguments.reasoning or profile.reasoning
    if reasoning not in ("think", "plain", "drop"):
        raise MisuseError(f"--reasoning: '{reasoning}'; expected think, plain or drop")
    if arguments.thinking is None and not model.openai_reasoning:
        arguments = replace(arguments, thinking=profile.thinking)
    most = arguments.max_tokens or profile.max_tokens
    decoding = arguments.decoding(model, arguments.temperature, most, usual)
    formats = arguments.formats or profile.format
    return Lesson(
        decoding,
        levels=levels_of(arguments.levels),
        formats=tuple(dict.fromkeys(format_called(name.strip()) for name in formats.split(","))),
        samples=samples,
        gold_shown=arguments.gold == "shown",
        bundle=arguments.one_call,
        rewrite=arguments.rewrite or arguments.rewrite_of is not None,
        reasoning=reasoning,
        again=arguments.again,
        prompts=Prompts(arguments.prompts),
    )


def _program_grader(lesson: Lesson, tier: Any, stack: contextlib.ExitStack) -> Grader | None:
    """Return what runs and grades programs, None where none are asked for or no sandbox works."""
    tier = known_tier(tier)
    if "program" not in lesson.formats:
        return None
    from cotdistill.hosts.sandbox.sandbox import Sandbox, SandboxError
    from cotdistill.teach.graded import program_grader

    try:
        return program_grader(stack.enter_context(Sandbox(tier)))
    except SandboxError as error:
        if tier != "auto":
            raise
        warn(f"programs are kept without a grade: {error}")
        return None


def _end_of_shard(report: TeachReport) -> None:
    spent = report.spent
    kept = counted(spent.kept + spent.known, "sample")
    say(f"{kept} kept; run without --shard to write the outputs")
    if spent.failed or spent.stopped:
        talk(f"stopped at {spent.stopped}" if spent.stopped else f"{spent.failed:,} failed")
        raise typer.Exit(1)


def _show_totals(report: TeachReport, arguments: TeachArguments) -> None:
    totals = report.totals
    share = totals.correct_share
    if share is not None:
        outcomes = ", ".join(f"{many:,} {name}" for name, many in sorted(totals.outcomes.items()))
        say(f"{share:.1%} of the graded rationales are correct ({outcomes})")
    states = ", ".join(
        f"{totals.states[state]:,} {shown}"
        for state, shown in _STATES.items()
        if totals.states[state] or state == "kept"
    )
    questions = counted(totals.questions, "question")
    say(f"{counted(totals.asked, 'sample')} of {questions}: {states}")
    if totals.missing:
        stopped = f"; stopped at {report.spent.stopped}" if report.spent.stopped else ""
        talk(
            f"{counted(totals.missing, 'sample')} missing{stopped}; first: {totals.first_missing}; "
            f"{report.spent.going_on}"
        )
        if totals.missing > arguments.allow_missing * totals.asked:
            raise typer.Exit(1)
