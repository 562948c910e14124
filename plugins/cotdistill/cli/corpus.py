"""`import-traces`, `lint`, `granularity`: import traces, find their defects, measure them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from cotdistill.cli.options import (
    Against,
    Files,
    Golds,
    Parquet,
    SkipBad,
    Tokenizer,
    Workers,
    progress_line,
    workers_or_all,
)
from cotdistill.cli.tables import say, show_table, talk
from cotdistill.errors import MisuseError
from cotdistill.tables import Table, counted, printable


def import_traces(
    paths: Annotated[list[Path], typer.Argument(help="files, or a folder of a source repository")],
    output: Annotated[Path, typer.Option("-o", "--output", help="output folder")],
    golds: Golds = None,
    skip_bad: SkipBad = False,
    parquet: Parquet = False,
) -> None:
    """Import traces from the papers' repositories and common formats; count rejected rows.

    Exit status 1 if no row of a file could be read.

    Example:
        cotdistill import-traces Distilling-CoT-Reasoning/data -o traces
    """
    from cotdistill.corpus.records.import_traces import import_source, output_paths
    from cotdistill.corpus.records.row_reader import field_lines
    from cotdistill.corpus.records.sources import find_sources
    from cotdistill.files.inputs import refuse_overwriting

    rows = []
    messages = []
    fields: list[str] = []
    sources = find_sources(paths, golds or [])
    outputs = [path for each in sources for path in output_paths(each, output, parquet=parquet)]
    refuse_overwriting([*(source.path for source in sources), *(golds or [])], outputs)
    for source in sources:
        done = import_source(source, output, skip_bad=skip_bad, parquet=parquet)
        if done.refusals:
            first = done.refusals[0]
            count = "no row could be read" if not done.read else f"{done.rows - done.read} refused"
            messages.append((done.read, f"{source.path}: {count}; {first.place}: {first.why}\n"))
        fields += [f"{source.path}: {line}\n" for line in field_lines(done.fields.as_notes())]
        refused = ", ".join(f"{count} {rule}" for rule, count in done.refused.items()) or "0"
        shape = ", ".join(done.shapes) or "none"
        counts = (done.rows, done.traces, done.questions, done.with_gold)
        rows.append((source.name, shape, *map(str, counts), refused))
    columns = ("name", "shape", "rows", "traces", "questions", "with gold", "refused")
    show_table(Table(columns, tuple(rows)))
    for message in [*fields, *(message for _, message in messages)]:
        sys.stderr.write(printable(message))
    if not all(read for read, _ in messages):
        raise typer.Exit(1)


def lint(
    files: Files,
    against: Against = None,
    golds: Golds = None,
    examples: Annotated[int, typer.Option(help="examples per rule")] = 3,
    findings: Annotated[
        Path | None, typer.Option(help="write all findings to this file (JSON Lines)")
    ] = None,
    near: Annotated[bool, typer.Option(help="find near-duplicates")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="print the report as JSON")] = False,
    workers: Workers = 0,
) -> None:
    """Find defects in training data: leaked tags, broken LaTeX, wrong answers, duplicates, leaks.

    Exit status 1 if anything is found.

    Example:
        cotdistill lint train.jsonl --against test.json
    """
    from cotdistill.corpus.filtering.lint import LintOptions, report_json
    from cotdistill.corpus.filtering.lint import lint as look

    options = LintOptions(
        tuple(against or ()), tuple(golds or ()), examples, near, findings, workers_or_all(workers)
    )
    report = look(files, options, progress_line())
    if as_json:
        sys.stdout.write(report_json(report))
    else:
        for rule in report.rules:
            fix = "; filter --fix fixes it" if rule.fixable else ""
            sys.stdout.write(f"{rule.rule}: {counted(rule.rows, 'row')} ({rule.about}{fix})\n")
            for where in rule.where:
                say(f"    rows of {where}")
            for example in rule.examples:
                say(f"    {example.place}: {example.detail}")
        sys.stdout.write(f"{report.faulty_rows} of {report.rows} rows have a finding\n")
    if findings:
        talk(f"wrote {findings}")
    for line in report.fields:
        sys.stderr.write(f"{line}\n")
    if report.without_gold:
        sys.stderr.write(
            "1 row has no reference answer and was not graded\n"
            if report.without_gold == 1
            else f"{counted(report.without_gold, 'row')} without a reference answer not graded\n"
        )
    if report.not_prepared:
        names = ", ".join(report.not_prepared)
        sys.stderr.write(f"not compared with (type cotdistill prepare NAME): {names}\n")
    if report.faulty_rows:
        raise typer.Exit(1)


def granularity(
    files: Annotated[list[Path], typer.Argument(help="files of traces, lowest level first")],
    tokenizer: Tokenizer = None,
    by: Annotated[str, typer.Option(help="measure by which levels are compared")] = "words",
    picture: Annotated[
        Path | None, typer.Option(help="write a bar chart to this file (.svg)")
    ] = None,
    rows: Annotated[
        Path | None, typer.Option(help="write each trace's measures to this file (JSON Lines)")
    ] = None,
) -> None:
    """Measure steps, sentences, equations and length per level; check that levels get longer.

    Exit status 1 if a level is not longer than the one below it, or if a row cannot be read.

    Example:
        cotdistill granularity traces/level*.jsonl --picture levels.svg
    """
    from cotdistill.corpus.granularity import GranularityOptions, measure_granularity
    from cotdistill.corpus.granularity_measures import MEASURES

    known = (*MEASURES, "tokens")
    if by not in known or (by == "tokens" and not tokenizer):
        raise MisuseError(f"granularity: --by {by}; known: {', '.join(known)} (with --tokenizer)")
    report = measure_granularity(files, GranularityOptions(tokenizer, by, rows, picture))
    columns = ("arm", "rows", *report.arms[0].means)
    shown = [
        (arm.arm, str(arm.rows), *(f"{mean:.1f}" for mean in arm.means.values()))
        for arm in report.arms
    ]
    notes = [
        f"{order.upper} is {order.ratio:.2f} times as long as {order.lower}; at least as long on "
        f"{order.kept:.1%} of {order.questions} questions"
        + ("" if order.is_longer else "  <- NOT LONGER than the level below")
        if order.questions
        else f"{order.upper} and {order.lower} have no question in common: not compared"
        for order in report.orders
    ]
    if len(report.arms) > 1 and report.shared_questions:
        notes.append(
            f"length never falls over all levels on {report.kept_throughout:.1%} of "
            f"{counted(report.shared_questions, 'question')}"
        )
    show_table(Table(columns, tuple(shown), tuple(notes)))
    for path in filter(None, (rows, picture)):
        talk(f"wrote {path}")
    for arm in report.arms:
        if arm.not_measured:
            why = ", ".join(f"{count} {rule}" for rule, count in arm.not_measured.items())
            total = arm.rows + sum(arm.not_measured.values())
            sys.stderr.write(f"{arm.arm}: {arm.rows} of {total} rows measured; left out: {why}\n")
    unreadable = any(arm.unreadable for arm in report.arms)
    if unreadable or any(not order.is_longer for order in report.orders):
        raise typer.Exit(1)
