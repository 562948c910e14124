"""`closeness`: how close the rationales of each arm lie to a student."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from cotdistill.errors import MisuseError

if TYPE_CHECKING:
    from cotdistill.closeness.engines import Engine

_EVERY_SECONDS = 10


@dataclass(frozen=True, kw_only=True)
class ClosenessArguments:
    """The arms, the student, who scores, and what is written."""

    arms: Annotated[
        list[str], typer.Argument(help="a run folder; or NAME=FILE, the rows of an arm")
    ]
    student: Annotated[
        str | None,
        typer.Option(help="model folder or hub id; of a run folder: only this student"),
    ] = None
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="write a row for each trace (JSON Lines)")
    ] = None
    questions: Annotated[
        int | None, typer.Option(min=2, help="a sample of so many shared questions")
    ] = None
    seed: Annotated[int, typer.Option(help="of that sample")] = 0
    score: Annotated[
        list[str] | None, typer.Option(help="ARM=RESULT, to correlate with; repeatable")
    ] = None
    engine: Annotated[str, typer.Option(help="transformers, or vllm in this process")] = (
        "transformers"
    )
    endpoint: Annotated[str | None, typer.Option(help="a vLLM server to ask instead")] = None
    key_env: Annotated[
        str | None, typer.Option(help="environment variable with the server's key")
    ] = None
    revision: Annotated[str | None, typer.Option(help="of a student on the hub")] = None
    dtype: Annotated[str, typer.Option(help="float32, bfloat16 or auto")] = "auto"
    batch_size: Annotated[int, typer.Option(min=1, help="traces at once, on transformers")] = 4
    max_tokens: Annotated[
        int, typer.Option(min=8, help="tokens of prompt and response; more are cut")
    ] = 8192


def closeness(arguments: ClosenessArguments) -> None:
    """Measure how a student finds each arm's rationales, on questions that all arms share.

    Tokens, negative log-likelihood, the same of the first 512 tokens, clipped rank, rank-surprisal
    ratio and share of likeliest tokens. It describes texts; it forecasts nothing. Of a run folder,
    every pretrained student and its arms are measured, and the report shows the result.

    Example:
        cotdistill closeness one=a.jsonl two=b.jsonl --student models/student
        cotdistill closeness runs/levels --questions 200
    """
    from cotdistill.results.closeness_of_runs import to_measure
    from cotdistill.runfolder.manifest import MANIFEST

    first = Path(arguments.arms[0])
    if len(arguments.arms) == 1 and (first / MANIFEST).is_file():
        if arguments.output is not None or arguments.score or arguments.revision:
            raise MisuseError(
                "cotdistill closeness RUNFOLDER writes into the run folder, its report has the "
                "scores, and its study the revisions: leave -o, --score and --revision out"
            )
        for number, one in enumerate(to_measure(first, arguments.student)):
            if number:
                sys.stdout.write("\n")
            _measure(arguments, _Wanted(one.student, one.model, one.revision, one.arms, one.output))
        return
    if arguments.student is None:
        raise MisuseError("cotdistill closeness: which student? --student MODEL, or a run folder")
    files = {name: Path(path) for name, path in _pairs(arguments.arms, "an arm")}
    name = arguments.student
    _measure(arguments, _Wanted(name, name, arguments.revision, files, arguments.output))


class _Wanted(NamedTuple):
    """A student by name and weights, its arms, and where rows are written."""

    student: str
    model: str
    revision: str | None
    files: Mapping[str, Path]
    output: Path | None


def _measure(arguments: ClosenessArguments, wanted: _Wanted) -> None:
    """Measure one student, print its table and write its rows with their ledger."""
    from cotdistill.cli.tables import show_table, talk
    from cotdistill.closeness.engines import Student
    from cotdistill.closeness.measure import arm_table, measured, results_table
    from cotdistill.closeness.paired import paired
    from cotdistill.files.inputs import InputFiles, refuse_overwriting
    from cotdistill.files.jsonl import write_rows
    from cotdistill.files.ledger import Ledger, LedgerFile, ledger_path, write_ledger

    files = wanted.files
    scores = {name: _number(name, text) for name, text in _pairs(arguments.score or (), "--score")}
    if wanted.output is not None:
        model = Path(wanted.model)
        of_student = sorted(model.iterdir()) if model.is_dir() else []
        outputs = [wanted.output, ledger_path(wanted.output)]
        refuse_overwriting([*files.values(), *of_student], outputs)
    read = InputFiles.of(files.values())
    pairs = paired(files, arguments.questions, arguments.seed)
    for name, reasons in pairs.left_out.items():
        for why, count in reasons.items():
            if count:
                sys.stderr.write(f"{name}: {count:,} rows left out ({why})\n")
    student = Student(wanted.model, wanted.revision)
    engine = _engine(arguments, wanted.model, wanted.revision)
    found = measured(student, wanted.student, pairs, engine, arguments.max_tokens, _progress())
    read.refuse_changes()
    if wanted.output is not None:
        rows = write_rows(wanted.output, found.rows())
        ledger = Ledger(
            made_by="closeness",
            inputs=tuple(LedgerFile.of(path, len(found.keys)) for path in files.values()),
            outputs=(LedgerFile.of(wanted.output, rows),),
            counts={"measured": rows},
            settings={
                "model": wanted.model,
                "revision": wanted.revision,
                "engine": arguments.endpoint or arguments.engine,
                "dtype": arguments.dtype,
                "questions": len(found.keys),
                "max_tokens": arguments.max_tokens,
            },
            seed=arguments.seed,
        )
        write_ledger(wanted.output, ledger)
    show_table(arm_table(found))
    if wanted.output is not None:
        talk(f"wrote {wanted.output}")
    if scores:
        sys.stdout.write("\n")
        show_table(results_table(found, scores))


def _engine(arguments: ClosenessArguments, model: str, revision: str | None) -> Engine:
    from cotdistill.closeness.engines import server_engine, transformers_engine, vllm_engine

    if arguments.dtype not in ("auto", "float32", "bfloat16"):
        raise MisuseError(f"--dtype {arguments.dtype}; expected auto, float32 or bfloat16")
    if arguments.endpoint:
        from cotdistill.cli.backends import key_in

        key = key_in(arguments.key_env) if arguments.key_env else None
        return server_engine(arguments.endpoint, model, key)
    if arguments.engine == "vllm":
        return vllm_engine(model, revision)
    if arguments.engine != "transformers":
        raise MisuseError(f"--engine {arguments.engine}; expected transformers or vllm")
    return transformers_engine(model, revision, arguments.dtype, arguments.batch_size)


def _pairs(words: Iterable[str], what: str) -> Iterable[tuple[str, str]]:
    seen = set()
    for word in words:
        name, equals, value = word.partition("=")
        if not name or not equals or not value:
            raise MisuseError(f"cotdistill closeness: {what} is NAME=VALUE, and not '{word}'")
        if name in seen:
            raise MisuseError(f"cotdistill closeness: {what} '{name}' is there twice")
        seen.add(name)
        yield name, value


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise MisuseError(f"--score {name}={text}: {text} is no number") from None


def _progress() -> Callable[[int, int], None]:
    """Return what says how far it is, every few seconds."""
    shown = time.monotonic()

    def progress(done: int, total: int) -> None:
        nonlocal shown
        if time.monotonic() - shown >= _EVERY_SECONDS:
            shown = time.monotonic()
            sys.stderr.write(f"{done:,} of {total:,} traces\n")

    return progress
