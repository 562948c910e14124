"""First pass over traces: what each row shows by itself, and the keys by which rows are joined.

A shard's rows become arrays of a few numbers a row, kept in one file of the journal. Whatever the
number of rows, a process holds one shard's text at a time.
"""

from __future__ import annotations

import functools
import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cotdistill.declare.trace import trace_of
from cotdistill.files.lines import BadRow, parsed
from cotdistill.files.shards import Shard, lines_of
from cotdistill.files.whole import written_bytes
from cotdistill.reason.near import band_keys, run_hashes, sketches
from cotdistill.reason.overlap import HeldOut, HeldOutIndex, bare, index_of, overlaps
from cotdistill.reason.trace import Trace
from cotdistill.reason.verdict import BIT, OVERLAP_RULES, found_in
from cotdistill.reason.words import Words, scrambled, text_keys, words_of

_BATCH = 400
_COLUMNS = {
    "place": np.int64, "length": np.int32, "line": np.int32, "bits": np.uint64,
    "id": np.uint64, "exact": np.uint64, "normal": np.uint64, "question": np.uint64,
    "gold": np.uint64, "tokens": np.int32,
}  # fmt: skip


@dataclass(frozen=True)
class ScanSettings:
    """What the first pass looks for.

    Lengths are counted in tokens of `tokenizer` (a folder or `tokenizer.json`); without one in the
    tokens that provenance tells, else in words.
    """

    held_out: str | None = None
    grade: bool = True
    strict: bool = False
    shortest: int | None = None
    longest: int | None = None
    tokenizer: str | None = None
    finish_reasons: tuple[str, ...] = ()
    near: bool = True
    sound: bool = True


@dataclass(frozen=True)
class ScanTask:
    """One shard to scan, and where its arrays go."""

    shard: Shard
    settings: ScanSettings
    written: str


def scan(task: ScanTask) -> None:
    """Write the arrays of one shard, unless they are there."""
    written = Path(task.written)
    if written.is_file():
        return
    columns: dict[str, list[Any]] = {name: [] for name in _COLUMNS}
    bands: list[NDArray[np.uint32]] = []
    batch: list[Trace] = []
    waiting: list[int] = []
    line = 0
    for line, (place, length, raw) in enumerate(lines_of(task.shard), start=1):
        if not isinstance(raw, BadRow) and not raw.strip():
            continue
        for name, value in (("place", place), ("length", length), ("line", line)):
            columns[name].append(value)
        trace = traced(raw)
        for name in ("id", "exact", "normal", "question", "gold", "tokens"):
            columns[name].append(0)
        if isinstance(trace, BadRow):
            columns["bits"].append(BIT["unreadable_row"])
            continue
        columns["bits"].append(
            found_in(trace, grade=task.settings.grade, strict=task.settings.strict)
        )
        waiting.append(len(columns["bits"]) - 1)
        batch.append(trace)
        if len(batch) == _BATCH:
            bands.append(_measure(batch, waiting, columns, task.settings))
            batch, waiting = [], []
    if batch:
        bands.append(_measure(batch, waiting, columns, task.settings))
    arrays: dict[str, Any] = {
        name: np.array(columns[name], dtype=kind) for name, kind in _COLUMNS.items()
    }
    if task.settings.near:
        arrays["bands"] = _spread(bands, arrays["bits"])
    arrays["lines"] = np.array([line])
    packed = io.BytesIO()
    np.savez(packed, **arrays)
    with written_bytes(written) as stream:
        stream.write(packed.getbuffer())


def traced(raw: bytes | BadRow) -> Trace | BadRow:
    """Return the trace of a line, or why it is none."""
    row = raw if isinstance(raw, BadRow) else parsed(raw)
    if isinstance(row, BadRow):
        return row
    try:
        return trace_of(row)
    except ValueError as error:
        return BadRow(f"not a trace ({error})", str(row)[:80])


def load_column(pieces: Sequence[Path], name: str) -> NDArray[Any]:
    """Return one column of all shards in order."""
    return np.concatenate([_column(piece, name) for piece in pieces])


def load_band(pieces: Sequence[Path], band: int) -> NDArray[np.uint32]:
    """Return the keys of one band of all shards in order."""
    return np.concatenate([_column(piece, "bands")[band] for piece in pieces])


def write_held_out(path: Path, questions: Sequence[HeldOut]) -> None:
    """Write test questions to where `ScanSettings.held_out` points."""
    with written_bytes(path) as stream:
        for entry in questions:
            fields = [entry.benchmark, entry.id, entry.question, entry.gold, entry.rationale]
            stream.write(json.dumps(fields, ensure_ascii=False).encode() + b"\n")


@functools.lru_cache(maxsize=1)
def held_out_index(path: str) -> HeldOutIndex:
    """Return the test questions that `write_held_out` wrote, ready to be looked up."""
    with Path(path).open(encoding="utf-8") as stream:
        return index_of([HeldOut(*json.loads(line)) for line in stream])


def _column(piece: Path, name: str) -> NDArray[Any]:
    with np.load(piece) as arrays:
        return np.asarray(arrays[name])


def _measure(
    batch: list[Trace], rows: list[int], columns: dict[str, list[Any]], settings: ScanSettings
) -> NDArray[np.uint32]:
    """Fill in the keys of a batch and return its bands."""
    questions = [trace.question for trace in batch]
    asked = words_of([bare(question) for question in questions])
    said = words_of([trace.rationale for trace in batch])
    asked_keys, said_keys = text_keys(asked), text_keys(said)
    tokens = _tokens(batch, said, settings.tokenizer)
    with np.errstate(over="ignore"):
        both = scrambled(asked_keys * np.uint64(3) + said_keys)
    filled = zip(rows, batch, both.tolist(), asked_keys.tolist(), tokens, strict=True)
    for row, trace, normal, question, count in filled:
        columns["id"][row] = key_of(trace.id)
        columns["exact"][row] = key_of(f"{trace.question}\0{trace.rationale}")
        columns["gold"][row] = key_of(trace.gold)
        columns["normal"][row], columns["question"][row] = normal, question
        columns["tokens"][row] = count
        columns["bits"][row] |= _limits(trace, count, settings)
    if settings.held_out:
        hits = overlaps(held_out_index(settings.held_out), questions, asked, said)
        for hit, rule in zip(hits.row.tolist(), hits.rule.tolist(), strict=True):
            columns["bits"][rows[hit]] |= BIT[OVERLAP_RULES[rule]]
    if not settings.near:
        return np.zeros((len(batch), 0), dtype=np.uint32)
    hashes, owner = (
        np.concatenate(parts) for parts in zip(run_hashes(asked), run_hashes(said), strict=True)
    )
    return band_keys(sketches(hashes, owner, len(batch)))


def _limits(trace: Trace, tokens: int, settings: ScanSettings) -> int:
    bits = 0
    if settings.shortest is not None and tokens < settings.shortest:
        bits |= BIT["too_short"]
    if settings.longest is not None and tokens > settings.longest:
        bits |= BIT["too_long"]
    if settings.finish_reasons and trace.provenance.finish_reason not in settings.finish_reasons:
        bits |= BIT["finish_reason"]
    return bits


def _tokens(batch: list[Trace], said: Words, tokenizer: str | None) -> list[int]:
    if tokenizer:
        from cotdistill.hosts.tokenizer import token_counts

        return token_counts(tokenizer, [trace.rationale for trace in batch])
    words = said.counts.tolist()
    return [
        count if trace.provenance.tokens is None else trace.provenance.tokens
        for trace, count in zip(batch, words, strict=True)
    ]


def _spread(bands: list[NDArray[np.uint32]], bits: NDArray[np.uint64]) -> NDArray[np.uint32]:
    """Return [bands, rows], with zeros for rows that could not be read."""
    readable = np.flatnonzero((bits & np.uint64(BIT["unreadable_row"])) == 0)
    of_readable = np.concatenate(bands) if bands else np.zeros((0, 0), dtype=np.uint32)
    spread = np.zeros((of_readable.shape[1], len(bits)), dtype=np.uint32)
    spread[:, readable] = of_readable.T
    return spread


def key_of(text: str) -> int:
    """Return 64 bits that depend on every sign of a text."""
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def readable_rows(paths: Sequence[Path], places: Sequence[tuple[int, int, int]]) -> Iterator[Trace]:
    """Yield the traces at (file, start, length), which a scan has read before."""
    streams = [path.open("rb") for path in paths]
    try:
        for file, start, length in places:
            streams[file].seek(start)
            trace = traced(streams[file].read(length).rstrip(b"\r\n"))
            assert isinstance(trace, Trace), "the file changed while it was read"
            yield trace
    finally:
        for stream in streams:
            stream.close()
