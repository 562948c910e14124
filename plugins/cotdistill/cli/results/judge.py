"""`judge`: a second opinion from a language model, with an audit of the judge."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cotdistill.cli.backends import USUAL_KEY, Backend, BatchIn, BatchOut, OpenaiReasoning
from cotdistill.cli.tables import show_table, talk, warn
from cotdistill.errors import MisuseError
from cotdistill.tables import counted

if TYPE_CHECKING:
    from cotdistill.hosts.request import Asker


@dataclass(frozen=True, kw_only=True)
class JudgeArguments:
    """The samples to judge, who judges them, and within which limits."""

    places: Annotated[
        list[Path], typer.Argument(metavar="SAMPLES...", help="samples_*.jsonl files or folders")
    ]
    model: Annotated[str, typer.Option(help="model name at the endpoint, or for vLLM")]
    endpoint: Annotated[
        list[str] | None,
        typer.Option(help="OpenAI-compatible base URL, ending in /v1; repeatable"),
    ] = None
    vllm: Annotated[
        str | None,
        typer.Option(
            metavar="SETTINGS", help="run vLLM in-process with these settings (YAML mapping)"
        ),
    ] = None
    batch_out: BatchOut = None
    batch_in: BatchIn = None
    task: Annotated[str | None, typer.Option(help="only this task (full name)")] = None
    run: Annotated[
        str | None, typer.Option(help="time stamp in the file name [default: the newest]")
    ] = None
    golds: Annotated[Path | None, typer.Option(help="file with question and reference answer")] = (
        None
    )
    audit: Annotated[
        float, typer.Option(min=0, max=1, help="share of correct answers to audit")
    ] = 0.1
    skip_truncated: Annotated[
        bool, typer.Option("--skip-truncated", help="skip truncated responses")
    ] = False
    skip_cut_off: Annotated[bool, typer.Option("--skip-cut-off", hidden=True)] = False
    prompt: Annotated[str, typer.Option(help="name of the prompt; see cotdistill new prompt")] = (
        "judge"
    )
    max_tokens: Annotated[int, typer.Option(min=1, help="maximum tokens per reply")] = 512
    openai_reasoning: OpenaiReasoning = False
    concurrency: Annotated[
        int | None,
        typer.Option(min=1, max=4096, help="concurrent requests per endpoint [default: adapts]"),
    ] = None
    timeout: Annotated[float, typer.Option(min=1, help="seconds per request")] = 300
    budget_requests: Annotated[
        int | None, typer.Option(min=0, help="maximum number of requests")
    ] = None
    budget_tokens: Annotated[int | None, typer.Option(min=0, help="maximum number of tokens")] = (
        None
    )
    cache: Annotated[Path | None, typer.Option(help="file for cached replies")] = None
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="write here [default: next to the samples]"),
    ] = None
    key_env: Annotated[str, typer.Option(help="environment variable with the API key")] = (
        "OPENAI_API_KEY"
    )
    any_model: Annotated[
        bool, typer.Option("--any-model", help="accept a server that calls its model otherwise")
    ] = False
    dry_run: Annotated[bool, typer.Option(help="count the requests without sending any")] = False


def judge(arguments: JudgeArguments) -> None:
    """Grade samples, ask a language model about answers not graded correct, audit the others.

    Exit status 1 if a request failed; the same command asks those again.

    Example:
        cotdistill judge scores/ --endpoint http://127.0.0.1:8000/v1 --model NAME
    """
    from cotdistill.results.judge.judge import judge as judge_samples
    from cotdistill.results.judge.judge import requests_to_make, write_requests
    from cotdistill.results.judge.options import JudgeOptions

    asker = _asker(arguments)
    options = JudgeOptions(
        model=arguments.model,
        task=arguments.task,
        stamp=arguments.run,
        golds=arguments.golds,
        audit=arguments.audit,
        prompt=arguments.prompt,
        max_tokens=arguments.max_tokens,
        openai_reasoning=arguments.openai_reasoning,
        skip_truncated=arguments.skip_truncated or arguments.skip_cut_off,
        most_requests=arguments.budget_requests,
        most_tokens=arguments.budget_tokens,
        out=arguments.out,
        any_model=arguments.any_model,
    )
    if arguments.dry_run:
        spent = requests_to_make(arguments.places, options, arguments.cache, warn)
        sys.stdout.write(
            f"{counted(spent.asked, 'request')} to send, {spent.known:,} already answered; about "
            f"{spent.prompt_tokens:,} prompt tokens, at most {spent.reply_tokens:,} reply tokens\n"
        )
        return
    if arguments.batch_out is not None:
        count = write_requests(arguments.places, options, asker, arguments.cache, warn)
        sys.stdout.write(f"{counted(count, 'request')} written\n")
        return
    found = judge_samples(arguments.places, options, asker, arguments.cache, warn)
    show_table(found.table)
    for path in found.written:
        talk(f"wrote {path}")
    if found.spent.failed:
        sys.stderr.write(
            f"{counted(found.spent.failed, 'request')} failed, last: {found.spent.last_failure}; "
            "run the same command again to ask only those\n"
        )
        raise typer.Exit(1)
    if missing := found.spent.sent - found.spent.asked:
        talk(f"no reply yet to {counted(missing, 'request')}; --batch-out writes only those again")
        raise typer.Exit(1)


def _asker(arguments: JudgeArguments) -> Asker:
    """Return what asks the judge.

    Raises:
        MisuseError: no judge is named, or two are, or an option has no such value.
    """
    ways = (arguments.endpoint or None, arguments.vllm, arguments.batch_out, arguments.batch_in)
    if sum(way is not None for way in ways) != 1:
        raise MisuseError(
            "cotdistill judge: name the judge, with either --endpoint URL or --vllm SETTINGS "
            "(or batch files; docs/how-to/backends.md)"
        )
    place = arguments.out or arguments.places[0]
    return Backend(
        "judge",
        arguments.model,
        arguments.endpoint,
        arguments.vllm,
        USUAL_KEY if arguments.dry_run else arguments.key_env,  # no key for what is not asked
        arguments.concurrency,
        arguments.timeout,
        batch_out=arguments.batch_out,
        batch_in=arguments.batch_in,
        batch_folder=(place.parent if place.is_file() else place) / "judge_batch",
    ).asker()
