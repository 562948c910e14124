"""Big JSON Lines files in pieces: where to cut, how to read a piece, and which pieces are done.

A shard is a range of bytes; the lines that begin in it are its lines, so that shards can be read by
different processes and nothing is read twice. In a work folder each finished shard leaves one whole
file: what is in it is done, and an interrupted job resumes with the rest.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cotdistill.errors import DataError
from cotdistill.files.any_rows import BadRow, whole_line
from cotdistill.files.atomic import write_text
from cotdistill.files.inputs import changed_fault

SHARD_BYTES = 8 << 20


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


def lines_of(shard: Shard) -> Iterator[tuple[int, int, bytes | BadRow]]:
    """Yield place in the file, length in bytes, and the line without its end; blank ones too.

    Raises:
        DataError: the file became shorter after the shard was cut.
    """
    with Path(shard.path).open("rb") as stream:
        if shard.start:
            stream.seek(shard.start - 1)
            whole_line(stream)  # the line that begins in the shard before, or just its end
        place = stream.tell()
        while place < shard.end:
            line = whole_line(stream)
            if not line:
                raise DataError(changed_fault(shard.path))
            if isinstance(line, BadRow):
                after = stream.tell()
                yield place, after - place, line
                place = after
                continue
            text = line.removeprefix(b"\xef\xbb\xbf") if place == 0 else line
            yield place + len(line) - len(text), len(text), text.rstrip(b"\r\n")
            place += len(line)


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
