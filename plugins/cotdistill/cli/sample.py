"""`sample`: let a model answer questions, grade it, and guide it where too few are right."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from cotdistill.cli.backends import (
    Backend,
    Concurrency,
    Endpoints,
    Extra,
    KeyEnv,
    Patience,
    PriceOption,
    Shard,
    Stream,
    Timeout,
    Transformers,
    Vllm,
    mapping_of,
    output_folder,
    price_of,
    shard_of,
)
from cotdistill.cli.tables import say, show_table, talk
from cotdistill.errors import MisuseError

if TYPE_CHECKING:
    from cotdistill.hosts.request import Asker
    from cotdistill.teach.asking import Decoding
    from cotdistill.teach.continuing import PrefixMode
    from cotdistill.teach.graded import Grader
    from cotdistill.teach.sample import SampleReport
    from cotdistill.teach.sampling import Plan


@dataclass(frozen=True, kw_only=True)
class SampleArguments:
    """The questions, who answers them, how it is guided, and what is kept."""

    questions: Annotated[
        str,
        typer.Argument(
            metavar="QUESTIONS", help="benchmark[:split], a file, or a hub dataset ORG/NAME[:split]"
        ),
    ]
    output: Annotated[Path, typer.Option("-o", "--output", help="output folder")]
    model: Annotated[str, typer.Option(help="model name at the endpoint, or for vLLM")]
    endpoint: Endpoints = None
    vllm: Vllm = None
    transformers: Transformers = None
    revision: Annotated[str | None, typer.Option(help="revision in the provenance")] = None
    strategy: Annotated[
        str,
        typer.Option(help="vanilla, uniform, answer, rationale, interactive, state_reset"),
    ] = "vanilla"
    samples: Annotated[
        int, typer.Option("-k", "--samples", min=1, help="plain samples per question")
    ] = 8
    min_correct: Annotated[
        int, typer.Option(min=0, help="correct samples after which a question is done")
    ] = 4
    rounds: Annotated[int, typer.Option(min=0, help="most guided rounds per question")] = 8
    per_question: Annotated[
        int, typer.Option(min=0, help="correct samples kept per question; 0 keeps all")
    ] = 4
    keep: Annotated[str, typer.Option(help="correct, or all: wrong ones too, with a flag")] = (
        "correct"
    )
    mode: Annotated[str, typer.Option(help="cot, or program: run what it writes")] = "cot"
    instruction: Annotated[
        str | None, typer.Option(help="text after the question instead of ours")
    ] = None
    teacher_endpoint: Annotated[
        list[str] | None, typer.Option(help="of the teacher that corrects; repeatable")
    ] = None
    teacher_model: Annotated[str | None, typer.Option(help="model of that teacher")] = None
    teacher_key_env: Annotated[str, typer.Option(help="variable with its API key")] = (
        "OPENAI_API_KEY"
    )
    prefix_mode: Annotated[
        str,
        typer.Option(help="auto, flags, assistant, prefix, completion, asked (state_reset)"),
    ] = "auto"
    temperature: Annotated[float, typer.Option(min=0, help="of sampling")] = 0.7
    top_p: Annotated[float | None, typer.Option(min=0, max=1, help="nucleus sampling")] = None
    stop: Annotated[list[str] | None, typer.Option(help="text that ends a reply; repeatable")] = (
        None
    )
    max_tokens: Annotated[int, typer.Option(min=1, help="tokens a reply may have")] = 1024
    grow_max_tokens: Annotated[
        int, typer.Option(min=0, help="ask truncated ones again with twice the tokens, N times")
    ] = 0
    thinking: Annotated[
        bool | None, typer.Option("--thinking/--no-thinking", help="for hybrid models")
    ] = None
    seed: Annotated[int | None, typer.Option(help="another seed gives other samples")] = None
    extra: Extra = None
    sandbox: Annotated[
        str, typer.Option(help="where programs run: auto, bubblewrap, landlock, plain")
    ] = "auto"
    limit: Annotated[int | None, typer.Option(min=1, help="only the first N questions")] = None
    shard: Shard = None
    price: PriceOption = None
    budget: Annotated[float | None, typer.Option(min=0, help="most money to spend")] = None
    budget_tokens: Annotated[int | None, typer.Option(min=0, help="most tokens to use")] = None
    budget_requests: Annotated[int | None, typer.Option(min=0, help="most requests to send")] = None
    any_model: Annotated[
        bool, typer.Option("--any-model", help="accept a server that calls its model otherwise")
    ] = False
    allow_missing: Annotated[
        float, typer.Option(min=0, max=1, help="share of samples that may be missing for exit 0")
    ] = 0.0
    concurrency: Concurrency = None
    timeout: Timeout = 600
    patience: Patience = 600
    stream: Stream = "auto"
    key_env: KeyEnv = "OPENAI_API_KEY"


def sample(arguments: SampleArguments) -> None:
    """Sample a model's answers, grade them as they come, and guide it where too few are right.

    Writes samples.jsonl, traces.jsonl, gained.jsonl and ledger.json. Exit status 1 if samples are
    missing; the same command asks only for those.

    Example:
        cotdistill sample gsm8k --endpoint URL --model NAME -o out
    """
    from cotdistill.cli.panel import Panel
    from cotdistill.teach.budget import Limits
    from cotdistill.teach.questions import Items
    from cotdistill.teach.sample import SampleOptions
    from cotdistill.teach.sample import sample as run
    from cotdistill.teach.sampling import TEACHER

    if arguments.keep not in ("correct", "all"):
        raise MisuseError(f"--keep: '{arguments.keep}'; expected correct or all")
    price = price_of(arguments.price)
    folder = output_folder(arguments.output)
    options = SampleOptions(
        folder=folder,
        model=arguments.model,
        revision=arguments.revision,
        per_question=arguments.per_question or None,
        keep_wrong=arguments.keep == "all",
        shard=shard_of(arguments.shard),
        limits=Limits(arguments.budget, arguments.budget_tokens, arguments.budget_requests),
        price=price,
        grow_times=arguments.grow_max_tokens,
        any_model=arguments.any_model,
    )
    decoding = _decoding(arguments)
    askers = {"": _backend(arguments).asker()}
    helper = None
    if arguments.teacher_endpoint or arguments.teacher_model:
        helper, askers[TEACHER] = _teacher(arguments)
    with contextlib.ExitStack() as stack:
        grader = _grader(arguments, stack)
        plan = _plan(arguments, decoding, helper, grader, askers[""])
        panel = Panel(price)
        report = run(Items(arguments.questions, arguments.limit), plan, askers, options, panel)
    panel.close(report.spent, report.states.total())
    for path in report.written:
        talk(f"wrote {path}")
    _show(report, arguments)


def _backend(arguments: SampleArguments) -> Backend:
    return Backend(
        "sample",
        arguments.model,
        arguments.endpoint,
        arguments.vllm,
        arguments.key_env,
        arguments.concurrency,
        arguments.timeout,
        arguments.patience,
        arguments.stream,
        transformers=arguments.transformers,
    )


def _decoding(arguments: SampleArguments) -> Decoding:
    from cotdistill.teach.asking import Decoding

    return Decoding(
        arguments.model,
        temperature=arguments.temperature,
        top_p=arguments.top_p,
        stop=tuple(arguments.stop or ()),
        max_tokens=arguments.max_tokens,
        seed=arguments.seed,
        thinking=arguments.thinking,
        extra=mapping_of(arguments.extra, "--extra"),
    )


def _teacher(arguments: SampleArguments) -> tuple[Decoding, Asker]:
    """Return how the correcting teacher is sampled (as in the paper), and what asks it."""
    from cotdistill.teach.asking import Decoding

    if not arguments.teacher_model or not arguments.teacher_endpoint:
        raise MisuseError("a teacher needs both --teacher-endpoint and --teacher-model")
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
    decoding = Decoding(
        arguments.teacher_model, temperature=1.0, top_p=0.95, max_tokens=1024, seed=arguments.seed
    )
    return decoding, backend.asker()


def _grader(arguments: SampleArguments, stack: contextlib.ExitStack) -> Grader:
    from cotdistill.teach.graded import graded_text, program_grader

    if arguments.mode not in ("cot", "program"):
        raise MisuseError(f"--mode: '{arguments.mode}'; expected cot or program")
    if arguments.mode == "cot":
        return graded_text
    from cotdistill.hosts.sandbox.sandbox import Sandbox

    tier: Any = arguments.sandbox
    return program_grader(stack.enter_context(Sandbox(tier)))


def _plan(
    arguments: SampleArguments,
    decoding: Decoding,
    helper: Decoding | None,
    grader: Grader,
    asker: Asker,
) -> Plan:
    from cotdistill.teach.sampling import Plan

    strategy: Any = arguments.strategy
    mode: Any = arguments.mode
    plan = Plan(
        decoding,
        strategy=strategy,
        samples=arguments.samples,
        min_correct=arguments.min_correct,
        rounds=arguments.rounds,
        mode=mode,
        helper=helper,
        instruction=arguments.instruction,
        grader=grader,
    )
    if plan.strategy != "state_reset":
        return plan
    return replace(plan, prefix_mode=_prefix_mode(arguments, decoding, asker))


def _prefix_mode(arguments: SampleArguments, decoding: Decoding, asker: Asker) -> PrefixMode:
    """Return the way to continue a text: the one that was typed, used before, or found to work."""
    from cotdistill.files.atomic import write_text
    from cotdistill.teach.continuing import PrefixMode, working_mode

    known = get_args(PrefixMode)
    typed: Any = arguments.prefix_mode
    if typed in known:
        return typed  # type: ignore[no-any-return]
    if typed != "auto":
        raise MisuseError(f"--prefix-mode: '{typed}'; expected auto, {', '.join(known)}")
    record = arguments.output / "prefix_mode.json"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        before: Any = json.loads(record.read_text(encoding="utf-8"))[arguments.model]
        if before in known:
            return before  # type: ignore[no-any-return]
    found = working_mode(asker, decoding)
    write_text(record, json.dumps({arguments.model: found}) + "\n")
    talk(f"texts are continued by '{found}'")
    return found


def _show(report: SampleReport, arguments: SampleArguments) -> None:
    if arguments.shard is not None:
        say("run without --shard to write the outputs")
        if report.spent.failed or report.spent.stopped:
            raise typer.Exit(1)
        return
    show_table(report.table())
    total = report.states.total()
    outcomes = ", ".join(f"{many:,} {name}" for name, many in sorted(report.outcomes.items()))
    share = report.outcomes["correct"] / max(1, report.outcomes.total())
    say(f"{share:.1%} of {report.outcomes.total():,} graded samples are correct ({outcomes})")
    for why, many in sorted(report.rejected.items()):
        say(f"{many:,} rejected: {why}")
    if report.without_prefix:
        say(f"{report.without_prefix:,} questions have no solution long enough to resume from")
    say(f"{report.traces:,} traces kept, {report.gained:,} gained by guidance")
    if report.missing:
        stopped = f"; stopped at {report.spent.stopped}" if report.spent.stopped else ""
        talk(
            f"{report.missing:,} of {total:,} samples are missing{stopped}; first: "
            f"{report.first_missing}; the same command asks only for those"
        )
        if report.missing > arguments.allow_missing * total:
            raise typer.Exit(1)
