"""`filter`, `mix`: turn traces into training rows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

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
from cotdistill.cli.tables import show_table, talk
from cotdistill.errors import FaultsError, MisuseError
from cotdistill.files.ledger import Ledger, ledger_path
from cotdistill.tables import Table, counted

Engine = Annotated[str, typer.Option(help="processes or ray")]


@dataclass(frozen=True, kw_only=True)
class FilterOptions:
    """The files to filter, and what is kept."""

    files: Files
    output: Annotated[Path, typer.Option("-o", "--output", help="output file (.jsonl)")]
    grade: Annotated[str, typer.Option(help="grade answers: strict, lenient or off")] = "strict"
    sound: Annotated[bool, typer.Option(help="drop rows with a false equation")] = False
    min_tokens: Annotated[int | None, typer.Option(help="minimum length of a rationale")] = None
    max_tokens: Annotated[int | None, typer.Option(help="maximum length of a rationale")] = None
    tokenizer: Tokenizer = None
    finish_reason: Annotated[
        list[str] | None, typer.Option(help="finish reason to keep; repeatable")
    ] = None
    duplicates: Annotated[
        str, typer.Option(help="duplicates to drop: exact,normalised,near or none")
    ] = "exact,normalised,near"
    drop: Annotated[
        list[str] | None, typer.Option(help="also drop rows with this lint finding; repeatable")
    ] = None
    against: Against = None
    overlap: Annotated[str, typer.Option(help="contamination rules")] = (
        "same_question,same_stem,most_of_question"
    )
    paired: Annotated[
        bool, typer.Option(help="keep only questions that have a trace left in every file")
    ] = False
    at_least: Annotated[int | None, typer.Option(help="minimum number of traces per question")] = (
        None
    )
    per_question: Annotated[
        int | None, typer.Option(help="maximum number of traces per question")
    ] = None
    choose: Annotated[
        str, typer.Option(help="traces that --per-question keeps: first or diverse")
    ] = "first"
    fix: Annotated[bool, typer.Option("--fix", help="fix defects that have a safe fix")] = False
    split: Annotated[bool, typer.Option("--split", help="write one output file per input file")] = (
        False
    )
    mend: Annotated[bool, typer.Option("--mend", hidden=True)] = False
    apart: Annotated[bool, typer.Option("--apart", hidden=True)] = False
    golds: Golds = None
    skip_bad: SkipBad = False
    workers: Workers = 0
    engine: Engine = "processes"
    parquet: Parquet = False


def filter_(options: FilterOptions) -> None:
    """Filter traces: correct, well-formed, deduplicated, decontaminated.

    Dropped rows are written to a second file with the reason. After an interruption, the same
    command resumes.

    Example:
        cotdistill filter long.jsonl short.jsonl -o kept.jsonl --paired
    """
    from cotdistill.corpus.filtering import filter as filtering
    from cotdistill.corpus.filtering.settings import Filters
    from cotdistill.corpus.filtering.write import rejected_path
    from cotdistill.schema import read_shape

    _refuse_parquet_name(options.output)
    standard = Filters()
    values = {
        "grade": options.grade,
        "sound": options.sound,
        "min_tokens": options.min_tokens,
        "max_tokens": options.max_tokens,
        "tokenizer": options.tokenizer,
        "finish_reasons": options.finish_reason or (),
        "duplicates": () if options.duplicates == "none" else options.duplicates.split(","),
        "drop": (*standard.drop, *(options.drop or ())),
        "against": options.against or (),
        "overlap": options.overlap.split(","),
        "paired": options.paired,
        "at_least": options.at_least,
        "per_question": options.per_question,
        "choose": options.choose,
        "fix": options.fix or options.mend,
    }
    filters = read_shape(Filters, values, "filter", _WrongOptionError)
    how = filtering.FilterOptions(
        golds=tuple(options.golds or ()),
        skip_bad=options.skip_bad,
        split=options.split or options.apart,
        parquet=options.parquet,
        workers=workers_or_all(options.workers),
        engine=_engine(options.engine),
    )
    ledger = filtering.filter_traces(options.files, filters, options.output, how, progress_line())
    _show_ledger(options.output, ledger)
    if not ledger.counts["kept"]:
        talk(f"no row is kept; the reasons are in {rejected_path(options.output)}")
        raise typer.Exit(1)


@dataclass(frozen=True, kw_only=True)
class MixOptions:
    """The sources to mix, and how many rows of each."""

    sources: Annotated[
        list[str], typer.Argument(help="NAME=FILE=WEIGHT, as in long=long.jsonl=0.2")
    ]
    output: Annotated[Path, typer.Option("-o", "--output", help="output file (.jsonl)")]
    rows: Annotated[int | None, typer.Option(help="total rows [default: as many as possible]")] = (
        None
    )
    tokens: Annotated[int | None, typer.Option(help="total tokens, instead of rows")] = None
    seed: Annotated[int, typer.Option(help="random seed")] = 0
    matched: Annotated[bool, typer.Option(help="use the same questions for any weights")] = False
    length_matched: Annotated[
        bool, typer.Option(help="keep the length distribution the same for any weights")
    ] = False
    replace: Annotated[
        bool, typer.Option(help="sample with replacement where a source is too small")
    ] = False
    form: Annotated[
        str,
        typer.Option("--format", help="output format: alpaca, sharegpt, messages, micota, traces"),
    ] = "alpaca"
    tokenizer: Tokenizer = None
    parquet: Parquet = False


def mix(options: MixOptions) -> None:
    """Mix trace files by weight into one training set, with exact and reproducible counts.

    Example:
        cotdistill mix long=long.jsonl=0.2 short=short.jsonl=0.8 -o mix.jsonl
    """
    from cotdistill.corpus.mixing.mix import WRITERS
    from cotdistill.corpus.mixing.mix import mix as write_mix
    from cotdistill.corpus.mixing.settings import Mixing
    from cotdistill.schema import read_shape

    _refuse_parquet_name(options.output)
    files: dict[str, Path] = {}
    weights: dict[str, float] = {}
    for source in options.sources:
        name, path, weight = _source(source)
        if name in files:
            raise MisuseError(f"mix: two sources are called '{name}'")
        files[name], weights[name] = path, weight
    if options.form not in WRITERS:
        raise MisuseError(f"mix: no format '{options.form}'; known: {', '.join(WRITERS)}")
    values = {
        "weights": weights,
        "rows": options.rows,
        "tokens": options.tokens,
        "seed": options.seed,
        "matched": options.matched,
        "length_matched": options.length_matched,
        "replace": options.replace,
    }
    mixing = read_shape(Mixing, values, "mix", _WrongOptionError)
    ledger = write_mix(
        files,
        mixing,
        options.output,
        form=options.form,  # type: ignore[arg-type]
        tokenizer=options.tokenizer,
        parquet=options.parquet,
    )
    columns = ("source", "rows", "characters")
    drawn, characters = ledger.notes["rows_of_source"], ledger.notes["characters_of_source"]
    show_table(
        Table(columns, tuple((name, str(drawn[name]), str(characters[name])) for name in drawn))
    )
    _say_written(options.output, ledger)


class _WrongOptionError(FaultsError):
    """Invalid option values, reported all at once."""

    exit_code = MisuseError.exit_code


def _refuse_parquet_name(output: Path) -> None:
    if output.suffix == ".parquet":
        jsonl = output.with_suffix(".jsonl")
        raise MisuseError(f"-o {output}: rows are JSON Lines; say -o {jsonl} --parquet for both")


def _show_ledger(output: Path, ledger: Ledger) -> None:
    rows = tuple((name, str(count)) for name, count in ledger.counts.items() if count)
    show_table(Table(("rows", "count"), rows))
    if ledger.notes["benchmarks_not_prepared"]:
        names = ", ".join(ledger.notes["benchmarks_not_prepared"])
        talk(f"not compared with (type cotdistill prepare NAME): {names}")
    _say_written(output, ledger)


def _say_written(output: Path, ledger: Ledger) -> None:
    """Name the files that were written: with --split there is one for each input file."""
    for file in ledger.outputs:
        talk(f"wrote {output.parent / file.file} ({counted(file.rows, 'row')})")
    talk(f"wrote {ledger_path(output)}")


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
