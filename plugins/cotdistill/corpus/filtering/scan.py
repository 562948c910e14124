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

from cotdistill.benchmarks.question import without_label
from cotdistill.corpus.records.trace import Trace
from cotdistill.corpus.records.trace_row import trace_of
from cotdistill.corpus.rules.rules import OVERLAP_RULES, RuleSet, defects_in
from cotdistill.corpus.text.contamination import HeldOut, HeldOutIndex, index_of, overlaps
from cotdistill.corpus.text.minhash import BANDS, band_keys, run_hashes, sketches
from cotdistill.corpus.text.words import Words, scrambled, text_keys, words_of
from cotdistill.files.any_rows import BadRow, parsed
from cotdistill.files.atomic import written_bytes
from cotdistill.files.shards import Shard, lines_of

_BATCH = 400
_UNREADABLE = RuleSet.of("unreadable_row").bits
_TOO_SHORT = RuleSet.of("too_short").bits
_TOO_LONG = RuleSet.of("too_long").bits
_FINISH_REASON = RuleSet.of("finish_reason").bits
_OVERLAPS = [RuleSet.of(name).bits for name in OVERLAP_RULES]
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

    @property
    def limited(self) -> bool:
        """Whether a row's length or finish reason matters."""
        return bool(self.finish_reasons) or (self.shortest, self.longest) != (None, None)


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
    rows: dict[str, list[int]] = {name: [] for name in ("place", "length", "line", "bits")}
    measures = _Measures()
    batch: list[Trace] = []
    line = 0
    for line, (place, length, raw) in enumerate(lines_of(task.shard), start=1):
        if not isinstance(raw, BadRow) and not raw.strip():
            continue
        rows["place"].append(place)
        rows["length"].append(length)
        rows["line"].append(line)
        trace = traced(raw)
        if isinstance(trace, BadRow):
            rows["bits"].append(_UNREADABLE)
            continue
        defects = defects_in(trace, grade=task.settings.grade, strict=task.settings.strict)
        rows["bits"].append(defects.bits)
        batch.append(trace)
        if len(batch) == _BATCH:
            measures.add(batch, task.settings)
            batch = []
    if batch:
        measures.add(batch, task.settings)
    arrays: dict[str, Any] = {
        name: np.array(values, dtype=_COLUMNS[name]) for name, values in rows.items()
    }
    readable = np.flatnonzero(arrays["bits"] & np.uint64(_UNREADABLE) == 0)
    for name, values in measures.columns.items():
        arrays[name] = np.zeros(len(arrays["bits"]), dtype=_COLUMNS[name])
        arrays[name][readable] = values
    arrays["bits"][readable] |= np.array(measures.bits, dtype=np.uint64)
    if task.settings.near:
        arrays["bands"] = np.zeros((BANDS, len(arrays["bits"])), dtype=np.uint32)
        if measures.bands:
            arrays["bands"][:, readable] = np.concatenate(measures.bands).T
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


class _Measures:
    """The keys, lengths, bits and bands of the readable rows, a batch at a time."""

    def __init__(self) -> None:
        names = ("id", "exact", "normal", "question", "gold", "tokens")
        self.columns: dict[str, list[int]] = {name: [] for name in names}
        self.bits: list[int] = []
        self.bands: list[NDArray[np.uint32]] = []

    def add(self, batch: list[Trace], settings: ScanSettings) -> None:
        """Measure some more traces."""
        questions = [trace.question for trace in batch]
        asked = words_of([without_label(question) for question in questions])
        said = words_of([trace.rationale for trace in batch])
        asked_keys, said_keys = text_keys(asked), text_keys(said)
        with np.errstate(over="ignore"):
            both = scrambled(asked_keys * np.uint64(3) + said_keys)
        tokens = _tokens(batch, said, settings.tokenizer)
        self.columns["id"] += [key_of(trace.id) for trace in batch]
        self.columns["exact"] += [key_of(f"{trace.question}\0{trace.rationale}") for trace in batch]
        self.columns["gold"] += [_gold_key(trace.gold) for trace in batch]
        self.columns["normal"] += both.tolist()
        self.columns["question"] += asked_keys.tolist()
        self.columns["tokens"] += tokens
        bits = [0] * len(batch)
        if settings.limited:
            bits = [
                _limits(trace, count, settings) for trace, count in zip(batch, tokens, strict=True)
            ]
        if settings.held_out:
            hits = overlaps(held_out_index(settings.held_out), questions, asked, said)
            for row, rule in zip(hits.row.tolist(), hits.rule.tolist(), strict=True):
                bits[row] |= _OVERLAPS[rule]
        self.bits += bits
        if settings.near:
            of_asked, of_said = run_hashes(asked), run_hashes(said)
            hashes, owner = (np.concatenate(pair) for pair in zip(of_asked, of_said, strict=True))
            self.bands.append(band_keys(sketches(hashes, owner, len(batch))))


def _limits(trace: Trace, tokens: int, settings: ScanSettings) -> int:
    bits = 0
    if settings.shortest is not None and tokens < settings.shortest:
        bits |= _TOO_SHORT
    if settings.longest is not None and tokens > settings.longest:
        bits |= _TOO_LONG
    if settings.finish_reasons and trace.provenance.finish_reason not in settings.finish_reasons:
        bits |= _FINISH_REASON
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


@functools.lru_cache(maxsize=4096)
def _gold_key(gold: str) -> int:
    return key_of(gold)  # a thousand numbers and five letters are most of all golds


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
