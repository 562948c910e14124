"""Write the kept and the rejected rows of each shard, then join the pieces into files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from cotdistill.corpus.filtering.inputs import TraceFile
from cotdistill.corpus.filtering.reasons import KEPT, REASONS
from cotdistill.corpus.filtering.scan import ScanTask, load_rows, traced
from cotdistill.corpus.records.trace import Trace
from cotdistill.corpus.records.trace_row import trace_row
from cotdistill.corpus.rules.rules import FIXABLE, detail_of, fixed
from cotdistill.corpus.text.groups import Mask
from cotdistill.errors import DataError
from cotdistill.files.atomic import written_bytes
from cotdistill.files.inputs import changed_fault
from cotdistill.files.jsonl import BadRow, opened, row_line
from cotdistill.files.ledger import LedgerFile
from cotdistill.files.shards import Shard, line_at

_COPIED_AT_ONCE = 4 << 20


@dataclass(frozen=True)
class WriteTask:
    """One shard to write: the reason of each of its rows, and where kept and rejected rows go.

    `label` names its file in rejected rows; `first_row` and `lines_before` number its rows among
    all rows and its lines within its file.
    """

    scanned: ScanTask
    label: str
    reasons: str
    first_row: int
    lines_before: int
    fix: bool
    kept: str
    rejected: str


def write_shard(task: WriteTask) -> None:
    """Write the kept and the rejected rows of one shard, unless they are written already."""
    kept_path, rejected_path = Path(task.kept), Path(task.rejected)
    if kept_path.is_file():  # it is written last
        return
    rows = load_rows(task.scanned)
    reasons = np.load(task.reasons, mmap_mode="r")[task.first_row :][: len(rows)]
    kept = reasons == KEPT
    with_fix = (rows["bits"] & np.uint64(FIXABLE.bits if task.fix else 0)) != 0
    shard = task.scanned.shard
    with (
        opened(Path(shard.path)) as stream,
        written_bytes(kept_path) as kept_rows,
        written_bytes(rejected_path) as rejected_rows,
    ):
        for first, end in _stretches(rows, kept & ~with_fix):
            start = int(rows["place"][first])
            if kept[first] and not with_fix[first]:
                last = rows[end - 1]
                _copy(stream, start, int(last["place"] + last["length"]), kept_rows, shard)
                continue
            line = line_at(stream, start, shard)
            if kept[first]:
                assert isinstance(line.text, bytes)
                kept_rows.write(_fixed_line(line.text))
            else:
                place = f"{task.label}:{task.lines_before + int(rows['line'][first])}"
                row = _rejected(line.text, REASONS[int(reasons[first])], place)
                rejected_rows.write(row_line(row).encode())


def _stretches(rows: NDArray[Any], copied: Mask) -> Iterator[tuple[int, int]]:
    """Yield the first row and the end of each stretch of copied rows that lie side by side.

    Every other row is a stretch of its own.
    """
    if not len(rows):
        return
    joined = copied[1:] & copied[:-1]
    joined &= rows["place"][1:] == rows["place"][:-1] + rows["length"][:-1]
    firsts = np.flatnonzero(np.append([True], ~joined))
    yield from zip(firsts.tolist(), [*firsts[1:].tolist(), len(rows)], strict=True)


def _copy(stream: IO[bytes], start: int, end: int, out: IO[bytes], shard: Shard) -> None:
    """Copy whole lines, each with a line feed and nothing else at its end.

    Raises:
        DataError: the file became shorter after the scan.
    """
    stream.seek(start)
    rest = b""
    while start < end:
        block = stream.read(min(_COPIED_AT_ONCE, end - start))
        if not block:
            raise DataError(changed_fault(shard.path))
        start += len(block)
        block = rest + block
        whole = len(block) if start == end else block.rfind(b"\n") + 1
        block, rest = block[:whole], block[whole:]
        if b"\r" in block:
            lines = block.removesuffix(b"\n").split(b"\n")
            block = b"".join(line.rstrip(b"\r") + b"\n" for line in lines)
        elif block and not block.endswith(b"\n"):
            block += b"\n"
        out.write(block)


def rejected_path(out: Path) -> Path:
    """Return the file of the rows that are not kept.

    >>> rejected_path(Path("data/kept.jsonl")).as_posix()
    'data/kept.rejected.jsonl'
    """
    return out.with_suffix(".rejected.jsonl")


def kept_paths(files: Sequence[TraceFile], out: Path, *, split: bool) -> list[Path]:
    """Return the files of kept rows: `out`, or with `split` one for each of the input files."""
    if not split:
        return [out]
    stems = [file.input.stem for file in files]
    names = [
        stem if stems.count(stem) == 1 else f"{stem}-{place}"
        for place, stem in enumerate(stems, start=1)
    ]
    return [out.with_name(f"{out.stem}.{name}.jsonl") for name in names]


def join_kept(
    tasks: Sequence[WriteTask], files: Sequence[TraceFile], out: Path, *, split: bool
) -> list[LedgerFile]:
    """Join the kept pieces into one file, or with `split` into one for each input."""
    outputs = []
    for place, path in enumerate(kept_paths(files, out, split=split)):
        pieces = [
            Path(task.kept) for task in tasks if not split or task.scanned.shard.file == place
        ]
        outputs.append(LedgerFile.of(path, join_pieces(pieces, path), name=path.name))
    return outputs


def join_pieces(pieces: Sequence[Path], out: Path, more: Iterable[bytes] = ()) -> int:
    """Write pieces and then more lines as one file; return its lines."""
    rows = 0
    with written_bytes(out) as stream:
        for piece in pieces:
            with piece.open("rb") as part:
                while block := part.read(_COPIED_AT_ONCE):
                    rows += block.count(b"\n")
                    stream.write(block)
        for line in more:
            stream.write(line)
            rows += 1
    return rows


def _fixed_line(raw: bytes) -> bytes:
    trace = traced(raw)
    assert isinstance(trace, Trace)
    better, rules = fixed(trace)
    return row_line(trace_row(better)).encode() if rules else raw + b"\n"


def _rejected(raw: bytes | BadRow, reason: str, place: str) -> dict[str, Any]:
    trace = traced(raw)
    if isinstance(trace, BadRow):
        return {"place": place, "reason": reason, "detail": trace.why, "row": trace.text}
    place = trace.provenance.source or place
    detail = detail_of(trace, reason)
    return {"place": place, "reason": reason, "detail": detail, "row": trace_row(trace)}
