"""Big JSON Lines files in pieces: where to cut, how to read a piece, and which pieces are done.

A shard is a range of bytes; the lines that begin in it are its lines, so that shards can be read by
different processes and nothing is read twice. In a work folder each finished shard leaves one whole
file: what is in it is done, and an interrupted job resumes with the rest.
"""

from __future__ import annotations

import codecs
import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

from cotdistill.errors import DataError, Fault, FaultsError
from cotdistill.files import jsonl
from cotdistill.files.atomic import write_text
from cotdistill.files.inputs import changed_fault
from cotdistill.files.jsonl import BadRow, opened, whole_line

SHARD_BYTES = 8 << 20
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Shard:
    """The lines of one file that begin in a range of bytes."""

    number: int
    file: int
    path: str
    start: int
    end: int


def shards_of(paths: Sequence[Path], shard_bytes: int = SHARD_BYTES) -> list[Shard]:
    """Cut files into shards of about equal bytes, in the order of the files."""
    shards: list[Shard] = []
    for file, path in enumerate(paths):
        size = path.stat().st_size
        for start in range(0, max(size, 1), shard_bytes):
            end = min(start + shard_bytes, size)
            shards.append(Shard(len(shards), file, str(path), start, end))
    return shards


class Line(NamedTuple):
    """One line: its place in the file, its length in bytes, and its text without the line end."""

    start: int
    length: int
    text: bytes | BadRow

    @property
    def is_blank(self) -> bool:
        """Whether there is nothing but white space in it."""
        return isinstance(self.text, bytes) and (not self.text or self.text.isspace())


def lines_of(shard: Shard) -> Iterator[Line]:
    """Yield the lines that begin in a shard, blank ones too.

    Raises:
        DataError: the file became shorter after the shard was cut.
    """
    with opened(Path(shard.path)) as stream:
        if shard.start:
            stream.seek(shard.start - 1)
            if not _past_line_end(stream, shard.end):  # the line that begins in a shard before
                return
        start = stream.tell()
        rest = b""  # the beginning of a line whose end is not read yet
        while start + len(rest) < shard.end:
            block = stream.read(min(_BLOCK, shard.end - start - len(rest)))
            if not block:
                raise DataError(changed_fault(shard.path))
            *lines, rest = (rest + block).split(b"\n")
            for text in lines:
                length = len(text) + 1
                if start and length <= jsonl.LONGEST:
                    yield Line(start, length, text.rstrip(b"\r\n"))
                else:
                    yield _line(start, length, text)
                start += length
            if len(rest) >= jsonl.LONGEST:
                yield line_at(stream, start, shard)
                start, rest = stream.tell(), b""
        if rest:  # the last line may end behind the shard
            yield line_at(stream, start, shard)


def line_at(stream: IO[bytes], start: int, shard: Shard) -> Line:
    """Return the line of a shard that begins at a place.

    Raises:
        DataError: the file became shorter after the shard was cut.
    """
    stream.seek(start)
    text = whole_line(stream)
    if not text:
        raise DataError(changed_fault(shard.path))
    return _line(start, stream.tell() - start, text)


def _past_line_end(stream: IO[bytes], end: int) -> bool:
    """Go behind the next line end; False if there is none before `end`.

    What follows is not looked at: a line of many shards would be read to its end by each of them.
    """
    while (place := stream.tell()) < end:
        piece = stream.readline(min(_BLOCK, end - place))
        if not piece or piece.endswith(b"\n"):
            return True
    return False


def _line(start: int, length: int, text: bytes | BadRow) -> Line:
    if isinstance(text, BadRow):
        return Line(start, length, text)
    if length > jsonl.LONGEST:
        return Line(start, length, jsonl.too_long(length, text))
    if start == 0 and text.startswith(codecs.BOM_UTF8):
        mark = len(codecs.BOM_UTF8)
        start, length, text = start + mark, length - mark, text[mark:]
    return Line(start, length, text.rstrip(b"\r\n"))


def refuse_foreign_folder(folder: Path) -> None:
    """Refuse a work folder that holds what no interrupted job has left there; see `WorkFolder`.

    Raises:
        FaultsError: it has files and no mark of a job, which is written before any of its pieces.
    """
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    if any(name.startswith("job-") for name in names):
        return
    foreign = sorted(name for name in names if name != LOCK and not name.endswith("~"))
    if foreign:
        wrong = f"holds {foreign[0]}, which no interrupted job has left"
        remedy = "move the folder away, or choose another output"
        raise FaultsError(Fault(str(folder), wrong, "", remedy))


LOCK = ".lock"
"""The file that a work folder is locked by; it stays when another job begins."""


@dataclass(frozen=True)
class WorkFolder:
    """A folder with the finished pieces of one job."""

    folder: Path

    @classmethod
    def opened(cls, folder: Path, job: Mapping[str, Any]) -> WorkFolder:
        """Return the work folder of just this job; pieces of another job in it are removed."""
        text = json.dumps(job, sort_keys=True)
        mark = folder / f"job-{hashlib.sha256(text.encode()).hexdigest()[:24]}.json"
        if not mark.is_file():
            for left in folder.iterdir() if folder.is_dir() else ():
                if left.is_dir():
                    shutil.rmtree(left, ignore_errors=True)
                elif left.name != LOCK:
                    left.unlink(missing_ok=True)
            write_text(mark, text + "\n")
        return cls(folder)

    def piece(self, name: str) -> Path:
        """Return the path of a piece, written or not."""
        return self.folder / name

    def close(self) -> None:
        """Remove all pieces: the job is done and its outputs are whole."""
        shutil.rmtree(self.folder, ignore_errors=True)
