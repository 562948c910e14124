"""First pass over traces: what each row shows by itself, and the keys by which rows are joined.

A shard's rows become an array of a few numbers a row, kept in a file of the work folder. Whatever
the number of rows, a process holds one batch of text at a time.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from cotdistill.corpus.records.trace import Trace, asked
from cotdistill.corpus.records.trace_row import trace_of
from cotdistill.corpus.rules.plain_equations import plainly_true
from cotdistill.corpus.rules.rules import ALL_RULES, OVERLAP_RULES, RuleSet, defects_in
from cotdistill.corpus.text.contamination import HeldOut, HeldOutIndex, bare, index_of, overlaps
from cotdistill.corpus.text.minhash import BANDS, band_keys, run_hashes, sketches
from cotdistill.corpus.text.words import Words, scrambled, text_keys, words_of
from cotdistill.errors import DataError
from cotdistill.files.atomic import write_text, written_bytes
from cotdistill.files.inputs import changed_fault
from cotdistill.files.jsonl import BadRow, parsed
from cotdistill.files.shards import Line, Shard, lines_of

_BATCH = 400
_UNREADABLE = RuleSet.of("unreadable_row").bits
_TOO_SHORT = RuleSet.of("too_short").bits
_TOO_LONG = RuleSet.of("too_long").bits
_FINISH_REASON = RuleSet.of("finish_reason").bits
_FALSE_STEP = RuleSet.of("false_step")
_OVERLAPS = [RuleSet.of(name).bits for name in OVERLAP_RULES]
ROW = np.dtype([
    ("place", np.int64), ("length", np.int64), ("line", np.int64), ("bits", np.uint64),
    ("id", np.uint64), ("exact", np.uint64), ("normal", np.uint64), ("question", np.uint64),
    ("gold", np.uint64), ("tokens", np.int64),
])  # fmt: skip
"""What is known of a row: where it is, its rules as bits, its keys, and its length in tokens."""


@dataclass(frozen=True)
class ScanSettings:
    """What the first pass looks for.

    `rules` are those that are checked; others may be missing from the result. Lengths are
    counted in tokens of `tokenizer` (a folder or `tokenizer.json`); without one in the tokens that
    provenance states, else in words.
    """

    rules: RuleSet = ALL_RULES
    strict: bool = False
    held_out: str | None = None
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
    """One shard to scan, and where its arrays go: rows and bands, and then the number of lines."""

    shard: Shard
    settings: ScanSettings
    rows: str
    bands: str
    lines: str


def scan(task: ScanTask) -> None:
    """Write the arrays of one shard, unless they are written already."""
    if Path(task.lines).is_file():  # it is written last
        return
    lines = list(lines_of(task.shard))
    numbered = [(number, line) for number, line in enumerate(lines, start=1) if not line.is_blank]
    bands: list[NDArray[np.uint32]] = []
    with written_bytes(Path(task.rows)) as stream:
        for start in range(0, len(numbered), _BATCH):
            rows, bands_of_rows = _scanned(numbered[start : start + _BATCH], task.settings)
            stream.write(rows.tobytes())
            bands.append(bands_of_rows)
    if task.settings.near:
        with written_bytes(Path(task.bands)) as stream:
            for band in range(BANDS):
                for part in bands:
                    stream.write(part[:, band].tobytes())
    write_text(Path(task.lines), f"{len(lines)}\n")


def traced(text: bytes | BadRow) -> Trace | BadRow:
    """Return the trace of a line, or why it is none."""
    row = text if isinstance(text, BadRow) else parsed(text)
    if isinstance(row, BadRow):
        return row
    try:
        return trace_of(row)
    except ValueError as error:
        return BadRow(f"not a trace ({error})", str(row)[:80])


def quickly_traced(text: bytes | BadRow) -> Trace | BadRow:
    """Return what `traced` does, but for whole numbers of 20 digits and more, which become floats.

    Such numbers do not matter to any rule, so that this is for reading, and `traced` for writing.
    """
    if isinstance(text, bytes):
        try:
            row = orjson.loads(text)
            if isinstance(row, dict):
                return trace_of(row)
        except ValueError:  # no trace, or only for this reader: it takes no NaN
            pass
    return traced(text)


def load_rows(task: ScanTask) -> NDArray[Any]:
    """Return the rows of a scanned shard."""
    return np.fromfile(task.rows, ROW)


def load_band(tasks: Sequence[ScanTask], rows: Sequence[int], band: int) -> NDArray[np.uint32]:
    """Return the keys of one band of all shards in order; `rows` counts the rows of each."""
    return np.concatenate(
        [
            np.fromfile(task.bands, np.uint32, count, offset=band * count * 4)
            for task, count in zip(tasks, rows, strict=True)
        ]
    )


def write_held_out(path: Path, questions: Sequence[HeldOut]) -> None:
    """Write test questions to where `ScanSettings.held_out` points."""
    with written_bytes(path) as stream:
        for entry in questions:
            fields = [entry.benchmark, entry.id, entry.question, entry.gold, entry.rationale]
            stream.write(json.dumps(fields).encode() + b"\n")


@functools.lru_cache(maxsize=1)
def held_out_index(path: str) -> HeldOutIndex:
    """Return the test questions that `write_held_out` wrote, ready to be looked up."""
    with Path(path).open(encoding="utf-8") as stream:
        return index_of([HeldOut(*json.loads(line)) for line in stream])


def _scanned(
    lines: Sequence[tuple[int, Line]], settings: ScanSettings
) -> tuple[NDArray[Any], NDArray[np.uint32]]:
    """Return what is known of some numbered lines, and their bands; nothing of unreadable ones.

    Shapes: [lines], and [lines, BANDS], or [0, BANDS] if near duplicates are not looked for.
    """
    found = [quickly_traced(line.text) for _, line in lines]
    readable = [place for place, trace in enumerate(found) if isinstance(trace, Trace)]
    traces = [trace for trace in found if isinstance(trace, Trace)]
    rows = np.zeros(len(lines), ROW)
    bands = np.zeros((len(lines) if settings.near else 0, BANDS), np.uint32)
    if traces:
        rows[readable], bands_of_traces = _measured(traces, settings)
        if settings.near:
            bands[readable] = bands_of_traces
    unreadable = np.ones(len(lines), dtype=bool)
    unreadable[readable] = False
    rows["bits"][unreadable] = _UNREADABLE
    rows["place"] = [line.start for _, line in lines]
    rows["length"] = [line.length for _, line in lines]
    rows["line"] = [number for number, _ in lines]
    return rows, bands


def _measured(
    traces: Sequence[Trace], settings: ScanSettings
) -> tuple[NDArray[Any], NDArray[np.uint32]]:
    questions = [asked(trace) for trace in traces]  # with their choices
    rationales = [trace.rationale for trace in traces]
    words, answered = words_of([bare(question) for question in questions]), words_of(rationales)
    rows = np.zeros(len(traces), ROW)
    rows["bits"] = _defects(traces, rationales, settings)
    rows["id"] = _keys_of([trace.id for trace in traces])
    rows["exact"] = _keys_of(map("\0".join, zip(questions, rationales, strict=True)))
    rows["gold"] = [_gold_key(trace.gold) for trace in traces]
    rows["question"] = text_keys(words)
    with np.errstate(over="ignore"):
        rows["normal"] = scrambled(rows["question"] * np.uint64(3) + text_keys(answered))
    rows["tokens"] = _tokens(traces, answered, settings.tokenizer)
    if settings.limited:
        rows["bits"] |= _limits(traces, rows["tokens"], settings)
    if settings.held_out:
        hits = overlaps(held_out_index(settings.held_out), questions, words, answered)
        bits = np.array(_OVERLAPS, dtype=np.uint64)[hits.rule]
        np.bitwise_or.at(rows["bits"], hits.row, bits)
    if not settings.near:
        return rows, np.zeros((0, BANDS), np.uint32)
    runs = (run_hashes(words), run_hashes(answered))
    hashes, owner = (np.concatenate(pair) for pair in zip(*runs, strict=True))
    return rows, band_keys(sketches(hashes, owner, len(traces)))


def _defects(
    traces: Sequence[Trace], rationales: Sequence[str], settings: ScanSettings
) -> list[int]:
    """Return the bits of the rules that each trace breaks by itself."""
    rules, strict = settings.rules, settings.strict
    if not rules & _FALSE_STEP:
        return [defects_in(trace, rules, strict=strict).bits for trace in traces]
    sound = RuleSet(rules.bits & ~_FALSE_STEP.bits)
    return [
        defects_in(trace, sound if is_true else rules, strict=strict).bits
        for trace, is_true in zip(traces, plainly_true(rationales).tolist(), strict=True)
    ]


def _limits(
    traces: Sequence[Trace], tokens: NDArray[np.int64], settings: ScanSettings
) -> NDArray[np.uint64]:
    bits = np.zeros(len(traces), dtype=np.uint64)
    if settings.shortest is not None:
        bits[tokens < settings.shortest] |= np.uint64(_TOO_SHORT)
    if settings.longest is not None:
        bits[tokens > settings.longest] |= np.uint64(_TOO_LONG)
    if settings.finish_reasons:
        other = [trace.provenance.finish_reason not in settings.finish_reasons for trace in traces]
        bits[other] |= np.uint64(_FINISH_REASON)
    return bits


def _tokens(traces: Sequence[Trace], answered: Words, tokenizer: str | None) -> list[int]:
    if tokenizer:
        from cotdistill.hosts.tokenizer import token_counts

        return token_counts(tokenizer, [trace.rationale for trace in traces])
    return [
        count if trace.provenance.tokens is None else trace.provenance.tokens
        for trace, count in zip(traces, answered.counts.tolist(), strict=True)
    ]


@functools.lru_cache(maxsize=4096)
def _gold_key(gold: str) -> int:
    return key_of(gold)  # a thousand numbers and five letters are most of all golds


def key_of(text: str) -> int:
    """Return 64 bits that depend on every character of a text."""
    return int(_keys_of([text])[0])


def _keys_of(texts: Iterable[str]) -> NDArray[np.uint64]:
    """Return the key of each text.

    Shapes: result [texts].
    """
    encoded = (text.encode("utf-8", "surrogatepass") for text in texts)
    digests = b"".join([hashlib.blake2b(data, digest_size=8).digest() for data in encoded])
    return np.frombuffer(digests, "<u8")


def readable_rows(paths: Sequence[Path], places: Sequence[tuple[int, int, int]]) -> Iterator[Trace]:
    """Yield the traces at (file, start, length), which a scan has read before.

    Raises:
        DataError: a file changed after the scan.
    """
    streams = [path.open("rb") for path in paths]
    try:
        for file, start, length in places:
            streams[file].seek(start)
            trace = quickly_traced(streams[file].read(length).rstrip(b"\r\n"))
            if not isinstance(trace, Trace):
                raise DataError(changed_fault(paths[file]))
            yield trace
    finally:
        for stream in streams:
            stream.close()
