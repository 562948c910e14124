"""Where the rows of a mix's sources lie, and what each says, so that memory does not hold the rows.

The sources are files of traces, or of any rows that a reader makes traces of.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from cotdistill.benchmarks.question import asked_only
from cotdistill.corpus.filtering.scan import traced
from cotdistill.corpus.records.trace import Trace, asked, target
from cotdistill.corpus.text.words import text_keys, words_of
from cotdistill.errors import DataError, Fault
from cotdistill.files.jsonl import BadRow, numbered_rows, opened
from cotdistill.files.shards import Shard, lines_of

LineReader = Callable[[bytes | BadRow], Trace | BadRow]
_BATCH = 500


@dataclass(frozen=True)
class Index:
    """One source's rows: where each lies; where measured, its question's key and its length.

    `systems` says that a row may have a system prompt; `read` makes a trace of a line.
    """

    path: Path
    read: LineReader
    starts: array[int] = field(default_factory=lambda: array("q"))
    lengths: array[int] = field(default_factory=lambda: array("q"))
    questions: array[int] = field(default_factory=lambda: array("Q"))
    tokens: array[int] = field(default_factory=lambda: array("q"))
    systems: bool = False


def index(
    path: Path, *, deep: bool, tokenizer: str | None = None, read: LineReader = traced
) -> Index:
    """Return where the rows of a file lie; `deep` reads each for its question and its length.

    Lengths are tokens of `tokenizer`, else what provenance says, else words.

    Raises:
        DataError: the file is missing or empty, or, going deep, a row is no trace.
    """
    if not path.is_file():
        raise DataError(Fault(str(path), "no such file", "a file of traces (.jsonl)"))
    next(numbered_rows(path))  # names what is no text: a compressed file, say
    found = Index(path, read)
    systems = False
    waiting: list[Trace] = []
    shard = Shard(0, 0, str(path), 0, path.stat().st_size)
    for number, (start, length, raw) in enumerate(lines_of(shard), start=1):
        if isinstance(raw, bytes) and not raw.strip():
            continue
        found.starts.append(start)
        found.lengths.append(length)
        if isinstance(raw, BadRow):  # a line that is too long to be held, now and when it is drawn
            _trace(raw, read, f"{path}:{number}")
        systems = systems or (isinstance(raw, bytes) and b'"system"' in raw)
        if deep:
            waiting.append(_trace(raw, read, f"{path}:{number}"))
        if len(waiting) == _BATCH:
            _measure(waiting, found, tokenizer)
            waiting = []
    if waiting:
        _measure(waiting, found, tokenizer)
    if not found.starts:
        raise DataError(Fault(str(path), "the file is empty", "at least one row"))
    return replace(found, systems=systems)


def traces_at(
    indexes: Mapping[str, Index], order: Sequence[tuple[str, int]]
) -> Iterator[tuple[str, Trace]]:
    """Yield the trace at each source and row number, with its source.

    Raises:
        DataError: a row is no trace.
    """
    streams = {name: opened(each.path) for name, each in indexes.items()}
    try:
        for name, row in order:
            each, stream = indexes[name], streams[name]
            stream.seek(each.starts[row])
            raw = stream.read(each.lengths[row]).rstrip(b"\r\n")
            yield name, _trace(raw, each.read, f"{each.path}: row {row + 1}")
    finally:
        for stream in streams.values():
            stream.close()


def _measure(traces: Sequence[Trace], found: Index, tokenizer: str | None) -> None:
    questions = words_of([asked_only(asked(trace)) for trace in traces])
    found.questions.extend(text_keys(questions).tolist())
    texts = [target(trace) for trace in traces]
    if tokenizer:
        from cotdistill.hosts.tokenizer import token_counts

        found.tokens.extend(token_counts(tokenizer, texts))
        return
    words = words_of(texts).counts.tolist()
    known = [trace.provenance.tokens for trace in traces]
    found.tokens.extend(
        count if tokens is None else tokens for tokens, count in zip(known, words, strict=True)
    )


def _trace(raw: bytes | BadRow, read: LineReader, place: str) -> Trace:
    trace = read(raw)
    if isinstance(trace, BadRow):
        remedy = "bring other shapes to traces first: cotdistill import-traces"
        raise DataError(Fault(place, trace.why, "a trace", remedy))
    return trace
