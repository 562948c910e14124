"""A file that only grows, by whole lines: what journals of every kind are kept in.

A line is in the file when `append` returns and survives a kill of the program; a power failure may
take what was not synced. A line that could not be written whole is taken back. Inside an event loop
all lines of one turn of the loop are written together, before anything that the turn led to: what
is awaited after `append` begins when the line is in the file.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from cotdistill.errors import FaultsError
from cotdistill.files.atomic import disk_fault

_BLOCK = 1 << 14


class GrowingFile:
    r"""A file that this program alone appends to, opened by its descriptor.

    >>> import tempfile; path = Path(tempfile.mkdtemp()) / "log"
    >>> file = GrowingFile.opened(path)
    >>> file.append(b"one\n"), file.append(b"two\n"), file.line_at(4)
    (0, 4, b'two\n')
    >>> file.close()
    """

    def __init__(self, path: Path, descriptor: int, size: int = 0) -> None:
        self.path = path
        self.descriptor = descriptor
        self.size = size
        self._lines: list[bytes] = []  # of this turn
        self._failure: FaultsError | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._syncing: Future[None] | None = None

    @classmethod
    def opened(cls, path: Path, flags: int = 0) -> GrowingFile:
        """Open a file, made if there is none; `flags` go to `os.open` besides.

        Raises:
            OSError: it cannot be opened, or `flags` say that it must not exist and it does.
        """
        flags |= os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        return cls(path, os.open(path, flags, 0o644))

    def append(self, line: bytes) -> int:
        """Add a line and return where it begins.

        Raises:
            FaultsError: the disk is full; what was added before stays whole.
        """
        if self._failure is not None:
            raise self._failure
        start = self.size
        self.size += len(line)
        self._lines.append(line)
        if len(self._lines) == 1:
            try:
                asyncio.get_running_loop().call_soon(self._flush_later)
            except RuntimeError:  # no loop
                self.flush()
        return start

    def flush(self) -> None:
        """Write the lines of this turn.

        Raises:
            FaultsError: the disk is full; what was added before stays whole.
        """
        if self._failure is not None:
            raise self._failure
        if not self._lines:
            return
        rest = whole = b"".join(self._lines)
        self._lines.clear()
        try:
            while rest:
                rest = rest[os.write(self.descriptor, rest) :]
        except OSError as error:
            written = whole[: len(whole) - len(rest)]
            self.size -= len(whole) - (written.rfind(b"\n") + 1)
            with contextlib.suppress(OSError):
                os.ftruncate(self.descriptor, self.size)  # half a line must not meet the next one
            raise cannot_write(self.path, error) from error

    def _flush_later(self) -> None:
        """Flush; a failure is kept for the next call, as nobody waits for this one."""
        if self.descriptor < 0:
            return
        try:
            self.flush()
        except FaultsError as error:
            self._failure = error

    def line_at(self, start: int) -> bytes:
        """Return the line that begins at a place, without its end where the file ends before."""
        self.flush()
        return line_at(self.descriptor, start)

    def cut(self, size: int) -> None:
        """Take back what is behind a place."""
        os.ftruncate(self.descriptor, size)
        self.size = size

    def sync_soon(self) -> None:
        """Bring what was added to the disk without waiting for it, unless that is under way.

        Raises:
            FaultsError: the disk refused what was to be brought to it before.
        """
        if self._syncing is not None and not self._syncing.done():
            return
        self._check_sync()
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, thread_name_prefix="sync")
        self._syncing = self._pool.submit(os.fdatasync, self.descriptor)

    def close(self) -> None:
        """Bring everything to the disk and close the file; a second call does nothing.

        Raises:
            FaultsError: the disk is full; what was added before stays whole.
        """
        if self.descriptor < 0:
            return
        try:
            self.flush()
        finally:
            self._close()

    def _close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True)
        with contextlib.suppress(OSError):
            os.fsync(self.descriptor)
        os.close(self.descriptor)
        self.descriptor = -1

    def _check_sync(self) -> None:
        error = self._syncing.exception() if self._syncing is not None else None
        if isinstance(error, OSError):
            raise cannot_write(self.path, error) from error


def line_at(descriptor: int, start: int) -> bytes:
    """Return the line that begins at a place of a file; without an end where the file ends."""
    line = bytearray()
    while not line.endswith(b"\n"):
        block = os.pread(descriptor, _BLOCK, start + len(line))
        end = block.find(b"\n") + 1
        line += block[:end] if end else block
        if not block:
            break
    return bytes(line)


def cannot_write(path: Path, error: OSError) -> FaultsError:
    """Return the fault of a file that cannot be written."""
    return FaultsError(disk_fault(path, error))
