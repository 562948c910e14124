"""`import-traces`, `lint`, `filter`, `mix`, `granularity`: from raw traces to training sets."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from cotdistill.cli.tables import show_table
from cotdistill.errors import FaultsError, MisuseError
from cotdistill.files.ledger import Ledger, ledger_path
from cotdistill.work.table import Table

Files = Annotated[list[Path], typer.Argument(help="files of traces, or of any seed's shape")]
Against = Annotated[
    list[str] | None,
    typer.Option(help="test file, benchmark name, or 'packaged' for all prepared; repeatable"),
]
Golds = Annotated[
    list[Path] | None, typer.Option(help="file with question and gold, joined by the question")
]
Workers = Annotated[int, typer.Option(help="processes [default: the processors]")]
Engine = Annotated[str, typer.Option(help="processes or ray")]
SkipBad = Annotated[bool, typer.Option(help="go on without broken lines, counting them")]
Tokenizer = Annotated[str | None, typer.Option(help="tokenizer.json, model folder or hub id")]


def import_traces(
    paths: Annotated[list[Path], typer.Argument(help="files, or a seed's folder")],
    output: Annotated[Path, typer.Option("-o", "--output", help="folder for the traces")],
    golds: Golds = None,
    skip_bad: SkipBad = False,
) -> None:
    """Read a seed's folder, or files of a known shape, as traces, and say what was refused.

    Example: cotdistill import-traces Distilling-CoT-Reasoning/data -o traces/cot-factors
    """
    from cotdistill.work.import_traces import import_source
    from cotdistill.work.sources import find_sources

    rows = []
    for source in find_sources(paths, golds or []):
        done = import_source(source, output, skip_bad=skip_bad)
        refused = ", ".join(f"{count} {rule}" for rule, count in done.refused.items()) or "0"
        shape = ", ".join(done.shapes) or "none"
        counts = (done.rows, done.traces, done.questions, done.with_gold)
        rows.append((source.name, shape, *map(str, counts), refused))
    columns = ("name", "shape", "rows", "traces", "questions", "with gold", "refused")
    show_table(Table(columns, tuple(rows)))


def lint(
    files: Files,
    against: Against = None,
    golds: Golds = None,
    examples: Annotated[int, typer.Option(help="examples shown for each rule")] = 3,
    findings: Annotated[
        Path | None, typer.Option(help="write every finding of every row here (JSON Lines)")
    ] = None,
    near: Annotated[bool, typer.Option(help="look for near duplicates")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="print the report as JSON")] = False,
    workers: Workers = 0,
) -> None:
    """Look for every known defect: leaked tags, broken LaTeX, wrong answers, duplicates, leaks ...

    Exit status 1 if anything is found. Example: cotdistill lint train.jsonl --against test.json
    """
    from cotdistill.work.lint import LintOptions, report_json
    from cotdistill.work.lint import lint as look

    options = LintOptions(
        tuple(against or ()), tuple(golds or ()), examples, near, findings, workers or _processors()
    )
    report = look(files, options, _talk())
    if as_json:
        sys.stdout.write(report_json(report))
    else:
        for rule in report.rules:
            mend = "; filter --mend puts it right" if rule.mendable else ""
            sys.stdout.write(f"{rule.rule}: {rule.rows} rows ({rule.about}{mend})\n")
            for where in rule.where:
                sys.stdout.write(f"    rows of {where}\n")
            for example in rule.examples:
                sys.stdout.write(f"    {example.place}: {example.detail}\n")
        sys.stdout.write(f"{report.faulty_rows} of {report.rows} rows have a finding\n")
    if report.without_gold:
        sys.stderr.write(f"{report.without_gold} rows have no gold, so were not graded\n")
    if report.not_prepared:
        names = ", ".join(report.not_prepared)
        sys.stderr.write(f"not compared with (type cotdistill prepare NAME): {names}\n")
    if report.faulty_rows:
        raise typer.Exit(1)


def filter_(
    files: Files,
    output: Annotated[Path, typer.Option("-o", "--output", help="the kept rows (.jsonl)")],
    grade: Annotated[str, typer.Option(help="strict, lenient or off")] = "strict",
    sound: Annotated[bool, typer.Option(help="drop rows with a false equation")] = False,
    min_tokens: Annotated[int | None, typer.Option(help="shortest rationale kept")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="longest rationale kept")] = None,
    tokenizer: Tokenizer = None,
    finish_reason: Annotated[list[str] | None, typer.Option(help="kept one; repeatable")] = None,
    duplicates: Annotated[
        str, typer.Option(help="which to drop: exact,normalised,near or none")
    ] = "exact,normalised,near",
    drop: Annotated[list[str] | None, typer.Option(help="lint rule to drop by; repeatable")] = None,
    against: Against = None,
    overlap: Annotated[
        str, typer.Option(help="rules of contamination")
    ] = "same_question,same_stem,thirteen_words",
    paired: Annotated[
        bool, typer.Option(help="keep questions that every file still has a trace of")
    ] = False,
    at_least: Annotated[
        int | None, typer.Option(help="keep questions with at least so many traces")
    ] = None,
    per_question: Annotated[int | None, typer.Option(help="most traces of a question")] = None,
    mend: Annotated[bool, typer.Option(help="put right what has a safe mend")] = False,
    apart: Annotated[bool, typer.Option(help="one kept file for each input")] = False,
    golds: Golds = None,
    skip_bad: SkipBad = False,
    workers: Workers = 0,
    engine: Engine = "processes",
) -> None:
    """Keep the traces that may be trained on; write every other one beside with its reason.

    Interrupted, the same command goes on where it was.
    Example: cotdistill filter long.jsonl short.jsonl -o kept.jsonl --paired --against packaged
    """
    from cotdistill.declare.filters import Filters
    from cotdistill.declare.shape import read_shape
    from cotdistill.work.curate import curate

    standard = Filters()
    values = {
        "grade": grade,
        "sound": sound,
        "min_tokens": min_tokens,
        "max_tokens": max_tokens,
        "tokenizer": tokenizer,
        "finish_reasons": finish_reason or (),
        "duplicates": () if duplicates == "none" else duplicates.split(","),
        "drop": (*standard.drop, *(drop or ())),
        "against": against or (),
        "overlap": overlap.split(","),
        "paired": paired,
        "at_least": at_least,
        "per_question": per_question,
        "mend": mend,
    }
    ledger = curate(
        files,
        read_shape(Filters, values, "filter", _WrongOptionError),
        output,
        skip_bad=skip_bad,
        golds=golds or (),
        apart=apart,
        workers=workers or _processors(),
        engine=_engine(engine),
        progress=_talk(),
    )
    _show_ledger(output, ledger)


def mix(
    sources: Annotated[
        list[str], typer.Argument(help="NAME=FILE=WEIGHT, as in long=long.jsonl=0.2")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="the training file (.jsonl)")],
    rows: Annotated[int | None, typer.Option(help="rows in all [default: all it can]")] = None,
    tokens: Annotated[int | None, typer.Option(help="tokens in all, instead of rows")] = None,
    seed: Annotated[int, typer.Option(help="another seed draws other rows")] = 0,
    matched: Annotated[
        bool, typer.Option(help="the same questions whatever the weights are")
    ] = False,
    length_matched: Annotated[
        bool, typer.Option(help="the same lengths whatever the weights are")
    ] = False,
    replace: Annotated[bool, typer.Option(help="use rows again where a source is small")] = False,
    form: Annotated[
        str, typer.Option("--format", help="alpaca, sharegpt, messages or traces")
    ] = "alpaca",
    tokenizer: Tokenizer = None,
) -> None:
    """Mix trace files by weights: exact counts, seeded, nested, refused if it cannot be met.

    Example: cotdistill mix long=long.jsonl=0.2 short=short.jsonl=0.8 -o mix-long.jsonl --rows 5383
    """
    from cotdistill.declare.mixing import Mixing
    from cotdistill.declare.shape import read_shape
    from cotdistill.work.mix import WRITERS
    from cotdistill.work.mix import mix as write_mix

    files: dict[str, Path] = {}
    weights: dict[str, float] = {}
    for source in sources:
        name, path, weight = _source(source)
        if name in files:
            raise MisuseError(f"mix: two sources are called '{name}'")
        files[name], weights[name] = path, weight
    if form not in WRITERS:
        raise MisuseError(f"mix: no format '{form}'; known: {', '.join(WRITERS)}")
    values = {
        "weights": weights,
        "rows": rows,
        "tokens": tokens,
        "seed": seed,
        "matched": matched,
        "length_matched": length_matched,
        "replace": replace,
    }
    mixing = read_shape(Mixing, values, "mix", _WrongOptionError)
    ledger = write_mix(files, mixing, output, form=form, tokenizer=tokenizer)  # type: ignore[arg-type]
    columns = ("source", "rows", "characters")
    drawn, said = ledger.notes["rows_of_source"], ledger.notes["characters_of_source"]
    show_table(Table(columns, tuple((name, str(drawn[name]), str(said[name])) for name in drawn)))
    sys.stderr.write(f"{output} and {ledger_path(output)}\n")


def granularity(
    files: Annotated[list[Path], typer.Argument(help="files of traces, the lowest level first")],
    tokenizer: Tokenizer = None,
    by: Annotated[str, typer.Option(help="measure whose order is looked at")] = "words",
    picture: Annotated[Path | None, typer.Option(help="write a bar chart here (.svg)")] = None,
) -> None:
    """Measure steps, sentences, equations and length of each level, and whether levels keep order.

    Exit status 1 if a level is not longer than the one below it.
    Example: cotdistill granularity traces/SVAMP_ChatGPT_level*.jsonl --picture levels.svg
    """
    from cotdistill.reason.granularity import MEASURES
    from cotdistill.work.granularity import measure_granularity, write_picture

    known = (*MEASURES, "tokens")
    if by not in known or (by == "tokens" and not tokenizer):
        raise MisuseError(f"granularity: --by {by}; known: {', '.join(known)} (with --tokenizer)")
    report = measure_granularity(files, tokenizer=tokenizer, by=by)
    columns = ("arm", "rows", *report.arms[0].means)
    shown = [
        (arm.arm, str(arm.rows), *(f"{mean:.1f}" for mean in arm.means.values()))
        for arm in report.arms
    ]
    notes = [
        f"{order.upper} is {order.ratio:.2f} times as long as {order.lower}; at least as long on "
        f"{order.kept:.1%} of {order.questions} questions"
        + ("" if order.is_longer else "  <- NOT LONGER than the level below")
        for order in report.orders
    ]
    if len(report.arms) > 1:
        notes.append(
            f"length never falls over all levels on {report.kept_throughout:.1%} of "
            f"{report.shared_questions} questions"
        )
    show_table(Table(columns, tuple(shown), tuple(notes)))
    if picture:
        write_picture(picture, report)
    if any(not order.is_longer for order in report.orders):
        raise typer.Exit(1)


class _WrongOptionError(FaultsError):
    """Options that say what cannot be meant, all at once."""

    exit_code = MisuseError.exit_code


def _show_ledger(output: Path, ledger: Ledger) -> None:
    rows = tuple((name, str(count)) for name, count in ledger.counts.items() if count)
    show_table(Table(("rows", "count"), rows))
    if ledger.notes["benchmarks_not_prepared"]:
        names = ", ".join(ledger.notes["benchmarks_not_prepared"])
        sys.stderr.write(f"not compared with (type cotdistill prepare NAME): {names}\n")
    sys.stderr.write(f"{output} and {ledger_path(output)}\n")


def _source(text: str) -> tuple[str, Path, float]:
    name, _, rest = text.partition("=")
    path, _, weight = rest.rpartition("=")
    try:
        return name, Path(path or "."), float(weight) if path else _no_weight()
    except ValueError as error:
        raise MisuseError(
            f"mix: '{text}' is not NAME=FILE=WEIGHT, as in long=a.jsonl=0.2"
        ) from error


def _no_weight() -> float:
    raise ValueError


def _engine(name: str) -> Any:
    if name not in ("processes", "ray"):
        raise MisuseError(f"filter: no engine '{name}'; known: processes, ray")
    return name


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _talk() -> Any:
    """Return how progress is told: one line that is written over, on a terminal only."""
    if not sys.stderr.isatty():
        return lambda _: None
    return lambda line: sys.stderr.write(f"\r\033[K{line}")
