"""`judge`: a second opinion from a language model, with an audit of the judge."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from cotdistill.cli.tables import show_table, warn
from cotdistill.errors import MisuseError


def judge(
    places: Annotated[
        list[Path], typer.Argument(metavar="SAMPLES...", help="samples_*.jsonl files or folders")
    ],
    model: Annotated[str, typer.Option(help="model name at the endpoint, or for vLLM")],
    endpoint: Annotated[
        str | None, typer.Option(help="OpenAI-compatible base URL, ending in /v1")
    ] = None,
    vllm: Annotated[
        str | None,
        typer.Option(
            metavar="SETTINGS", help="run vLLM in-process with these settings (YAML mapping)"
        ),
    ] = None,
    task: Annotated[str | None, typer.Option(help="only this task (full name)")] = None,
    run: Annotated[
        str | None, typer.Option(help="time stamp in the file name [default: the newest]")
    ] = None,
    golds: Annotated[
        Path | None, typer.Option(help="file with question and reference answer")
    ] = None,
    audit: Annotated[
        float, typer.Option(min=0, max=1, help="share of correct answers to audit")
    ] = 0.1,
    skip_cut_off: Annotated[bool, typer.Option(help="skip truncated responses")] = False,
    max_tokens: Annotated[int, typer.Option(min=1, help="maximum tokens per reply")] = 512,
    concurrency: Annotated[int, typer.Option(min=1, help="concurrent requests")] = 32,
    timeout: Annotated[float, typer.Option(min=1, help="seconds per request")] = 300,
    budget_requests: Annotated[
        int | None, typer.Option(min=0, help="maximum number of requests")
    ] = None,
    budget_tokens: Annotated[
        int | None, typer.Option(min=0, help="maximum number of tokens")
    ] = None,
    cache: Annotated[Path | None, typer.Option(help="file for cached replies")] = None,
    key_env: Annotated[
        str, typer.Option(help="environment variable with the API key")
    ] = "OPENAI_API_KEY",
    dry_run: Annotated[bool, typer.Option(help="count the requests without sending any")] = False,
) -> None:
    """Grade samples, ask a language model about answers not graded correct, audit the others.

    Example:
        cotdistill judge scores/ --endpoint http://127.0.0.1:8000/v1 --model NAME
    """
    from cotdistill.corpus.records.gold_files import read_golds
    from cotdistill.files.yamls import parse_yaml
    from cotdistill.hosts.endpoint import Endpoint, endpoint_asker
    from cotdistill.hosts.vllm import vllm_asker
    from cotdistill.results.judge.agreement import agreement, agreement_table
    from cotdistill.results.judge.judge import Budget, Judge
    from cotdistill.results.judge.judge import judge as ask_judge
    from cotdistill.results.judge.older_judge import older_judge_note
    from cotdistill.results.judge.outputs import write_judged
    from cotdistill.results.run_names import run_names

    if (endpoint is None) == (vllm is None):
        raise MisuseError(
            "cotdistill judge: name the judge, with either --endpoint URL or --vllm SETTINGS"
        )
    if endpoint is not None:
        ask = endpoint_asker(
            Endpoint((endpoint,), os.environ.get(key_env), concurrency, timeout), warn
        )
    else:
        settings = parse_yaml(vllm or "{}", "--vllm")
        if not isinstance(settings, dict):
            raise MisuseError("cotdistill judge: --vllm takes a mapping, as '{dtype: float32}'")
        ask = vllm_asker(model, settings)
    known = read_golds(golds) if golds else {}
    kept = cache or (places[0] if places[0].is_dir() else places[0].parent) / "judge_cache.jsonl"
    judged, spent = ask_judge(
        places,
        Judge(model, audit, max_tokens=max_tokens, skip_cut_off=skip_cut_off),
        ask,
        kept,
        task=task,
        stamp=run,
        golds=known,
        budget=Budget(budget_requests, budget_tokens),
        dry_run=dry_run,
        tell=warn,
    )
    if dry_run:
        sys.stdout.write(
            f"{spent.asked:,} requests to send, {spent.known:,} already answered; about "
            f"{spent.prompt_tokens:,} prompt tokens, at most {spent.reply_tokens:,} reply tokens\n"
        )
        return
    names = run_names([one.file for one in judged])
    found = [agreement(one, name) for one, name in zip(judged, names, strict=True)]
    table = agreement_table(found, spent)
    older = [older_judge_note(one, name) for one, name in zip(judged, names, strict=True)]
    show_table(replace(table, notes=(*table.notes, *filter(None, older))))
    for one, agreed in zip(judged, found, strict=True):
        for path in write_judged(one, agreed, known):
            sys.stderr.write(f"wrote {path}\n")
