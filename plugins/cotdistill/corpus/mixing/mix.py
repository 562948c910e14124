"""Mix trace files into one training set, exactly as `reason.mixture` draws it, with a ledger."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cotdistill.benchmarks.question import without_label
from cotdistill.corpus.filtering.scan import traced
from cotdistill.corpus.mixing.mixture import (
    Draw,
    interleaved,
    length_matched_mixture,
    matched_mixture,
    mixture,
    mixture_of_tokens,
)
from cotdistill.corpus.mixing.settings import Mixing
from cotdistill.corpus.records.parquet import write_parquet_copy
from cotdistill.corpus.records.trace import Trace, alpaca_row, messages_row, sharegpt_row, target
from cotdistill.corpus.records.trace_row import trace_row
from cotdistill.corpus.text.words import text_keys, words_of
from cotdistill.errors import DataError, Fault
from cotdistill.files.atomic import written_bytes
from cotdistill.files.inputs import FileStates, refuse_overwriting
from cotdistill.files.jsonl import row_line
from cotdistill.files.ledger import Ledger, LedgerFile, ledger_path, write_ledger
from cotdistill.files.parquet import parquet_copy, require_parquet
from cotdistill.files.shards import Shard, lines_of

Format = Literal["alpaca", "sharegpt", "messages", "traces"]
WRITERS: Mapping[Format, Callable[[Trace], dict[str, Any]]] = {
    "alpaca": alpaca_row,
    "sharegpt": sharegpt_row,
    "messages": messages_row,
    "traces": trace_row,
}
_BATCH = 500


@dataclass(frozen=True)
class Index:
    """One source's rows: where each lies, and where it was asked for its question and length."""

    path: Path
    starts: array[int]
    lengths: array[int]
    questions: array[int]
    tokens: array[int]


def mix(
    sources: Mapping[str, Path],
    mixing: Mixing,
    out: Path,
    *,
    form: Format = "alpaca",
    tokenizer: str | None = None,
    parquet: bool = False,
) -> Ledger:
    """Write a mix of trace files to `out` and its ledger beside it; return the ledger.

    With `parquet` the same rows lie beside as `<out>.parquet` too.

    Lengths, where they matter, are tokens of `tokenizer`, else what provenance tells, else words.

    Raises:
        DataError: a source is missing, has no weight or a broken row, or has too few rows; the
            message says the most that can be had.
    """
    if parquet:
        require_parquet(str(out))
    outputs = [out, ledger_path(out), *([parquet_copy(out)] if parquet else [])]
    refuse_overwriting(sources.values(), outputs)
    states = FileStates.of(sources.values())
    asked = mixing.matched or mixing.length_matched or mixing.tokens is not None
    indexes = {name: index(path, deep=asked, tokenizer=tokenizer) for name, path in sources.items()}
    drawn = draw(indexes, mixing)
    order = interleaved(drawn, mixing.seed)
    ledger_path(out).unlink(missing_ok=True)  # a file without a ledger is not a finished file
    characters = dict.fromkeys(sources, 0)
    with written_bytes(out) as stream:
        for name, trace in _drawn_traces(indexes, order):
            characters[name] += len(target(trace))
            stream.write(row_line(WRITERS[form](trace)).encode())
    twins = [write_parquet_copy(out)] if parquet else []
    ledger = Ledger(
        "mix",
        inputs=tuple(
            LedgerFile.of(each.path, len(each.starts), name=each.path.name)
            for each in indexes.values()
        ),
        outputs=(LedgerFile.of(out, len(order), name=out.name), *twins),
        counts={"kept": len(order)},
        settings={**mixing.model_dump(mode="json"), "format": form, "tokenizer": tokenizer},
        seed=mixing.seed,
        notes={
            "rows_of_source": {name: len(rows) for name, rows in drawn.items()},
            "characters_of_source": characters,
        },
    )
    states.refuse_changes()
    write_ledger(out, ledger)
    return ledger


def draw(indexes: Mapping[str, Index], mixing: Mixing) -> Draw:
    """Return the row numbers of each source that the mix takes.

    Raises:
        DataError: the mix cannot be met.
    """
    sizes = {name: len(each.starts) for name, each in indexes.items()}
    if mixing.tokens is not None:
        lengths = {name: each.tokens for name, each in indexes.items()}
        return mixture_of_tokens(lengths, mixing.weights, mixing.tokens, mixing.seed)
    if mixing.matched:
        keys = {name: each.questions for name, each in indexes.items()}
        rows = mixing.rows or len(set.intersection(*(set(each) for each in keys.values())))
        return matched_mixture(keys, mixing.weights, rows, mixing.seed)
    used = [name for name in sizes if mixing.weights.get(name)]
    rows = mixing.rows or min((sizes[name] for name in used), default=0)
    if mixing.length_matched:
        lengths = {name: each.tokens for name, each in indexes.items()}
        return length_matched_mixture(lengths, mixing.weights, rows, mixing.seed)
    return mixture(sizes, mixing.weights, rows, mixing.seed, replace=mixing.replace)


def index(path: Path, *, deep: bool, tokenizer: str | None = None) -> Index:
    """Return where the rows of a trace file lie; `deep` reads each for its question and length.

    Raises:
        DataError: the file is missing or empty, or, going deep, a row is no trace.
    """
    if not path.is_file():
        raise DataError(Fault(str(path), "no such file", "a file of traces (.jsonl)"))
    found = Index(path, array("q"), array("q"), array("Q"), array("q"))
    waiting: list[Trace] = []
    shard = Shard(0, 0, str(path), 0, path.stat().st_size)
    for number, (start, length, raw) in enumerate(lines_of(shard), start=1):
        if isinstance(raw, bytes) and not raw.strip():
            continue
        found.starts.append(start)
        found.lengths.append(length)
        if deep:
            waiting.append(_trace(raw, f"{path}:{number}"))
        if len(waiting) == _BATCH:
            _measure(waiting, found, tokenizer)
            waiting = []
    if waiting:
        _measure(waiting, found, tokenizer)
    if not found.starts:
        raise DataError(Fault(str(path), "the file is empty", "at least one row"))
    return found


def _measure(traces: Sequence[Trace], found: Index, tokenizer: str | None) -> None:
    questions = words_of([without_label(trace.question) for trace in traces])
    found.questions.extend(text_keys(questions).tolist())
    texts = [target(trace) for trace in traces]
    if tokenizer:
        from cotdistill.hosts.tokenizer import token_counts

        found.tokens.extend(token_counts(tokenizer, texts))
        return
    words = words_of(texts).counts.tolist()
    told = [trace.provenance.tokens for trace in traces]
    found.tokens.extend(
        count if tokens is None else tokens for tokens, count in zip(told, words, strict=True)
    )


def _drawn_traces(
    indexes: Mapping[str, Index], order: Sequence[tuple[str, int]]
) -> Iterator[tuple[str, Trace]]:
    streams = {name: each.path.open("rb") for name, each in indexes.items()}
    try:
        for name, row in order:
            streams[name].seek(indexes[name].starts[row])
            raw = streams[name].read(indexes[name].lengths[row]).rstrip(b"\r\n")
            yield name, _trace(raw, f"{indexes[name].path}: row {row + 1}")
    finally:
        for stream in streams.values():
            stream.close()


def _trace(raw: Any, place: str) -> Trace:
    trace = traced(raw)
    if not isinstance(trace, Trace):
        remedy = "bring other shapes to traces first: cotdistill import-traces"
        raise DataError(Fault(place, trace.why, "a trace", remedy))
    return trace
