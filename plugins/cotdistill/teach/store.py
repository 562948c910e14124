"""Replies kept by what was asked, so that nothing is paid for twice.

A folder `journal/` has one file for each program that ever wrote: one JSON line a reply, written at
once. A line is in the file when `add` returns and survives a kill of the program; a power failure
may take the last second. Readers take all files together. What a reply answers is decided by two
things that are kept apart:

- the *key* of a sample: a hash of everything that shapes the text (model, messages, sampling
  parameters, seed) and of the sample's number. More samples ask only for new numbers.
- its *allowance*, the tokens it might use. A larger one asks again only for what was cut off.

Only a number a key stays in memory; replies are read from the files when they are needed.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cotdistill.errors import DataError, Fault, FaultsError
from cotdistill.files.growing import GrowingFile, cannot_write, line_at
from cotdistill.files.jsonl import json_bytes
from cotdistill.files.locks import free_lock, lock_holder, take_lock

_BEGINNING = re.compile(
    rb'\{"key": "([0-9a-f]{40})", "allowance": (\d+), "tokens": (\d+), "cut": ([01]), "reply": '
)
_SYNCED_S = 1.0
_SYNCED_ROWS = 256
_NO_LIMIT = (1 << 24) - 1

# One whole number a key holds, from the lowest bit: cut, tokens, allowance, file, place in it.
_CUT, _TOKENS, _ALLOWANCE, _FILE, _PLACE = 0, 1, 25, 49, 65


@dataclass(frozen=True)
class Kept:
    """A reply from the journal; `cut` says that it ended at the allowance it had then."""

    reply: Mapping[str, Any]
    cut: bool
    tokens: int


class Store:
    """The replies of a folder; `shard` names the part of the work that this program does.

    >>> import tempfile; folder = Path(tempfile.mkdtemp())
    >>> with Store(folder) as store:
    ...     store.add("0" * 40, {"text": "4"}, allowance=16, tokens=1, cut=False)
    >>> with Store(folder) as store:
    ...     store.find("0" * 40, 8).reply, store.find("1" * 40, 8)
    ({'text': '4'}, None)
    """

    def __init__(self, folder: Path, shard: tuple[int, int] | None = None) -> None:
        self.folder = folder
        self.repeated = 0
        self._shard = shard
        self._index: dict[bytes, int] = {}
        self._paths: list[Path] = []
        self._readers: dict[int, int] = {}
        self._locks: list[int] = []
        self._writer: GrowingFile | None = None
        self._number = 0
        self._unsynced = 0
        self._synced_at = 0.0

    def __enter__(self) -> Self:
        """Lock the folder and read which keys there are.

        Raises:
            FaultsError: another program does the same work, or the folder cannot be written.
            DataError: a file of the journal is none.
        """
        try:
            (self.folder / "journal").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(self.folder, error) from error
        try:
            self._lock()
            for path in sorted((self.folder / "journal").glob("*.jsonl")):
                self._read(path)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Bring everything to the disk and unlock the folder."""
        self.close()

    def __len__(self) -> int:
        """Return how many samples have a reply."""
        return len(self._index)

    def __contains__(self, key: str) -> bool:
        """Return whether there is any reply under a key."""
        return bytes.fromhex(key) in self._index

    def find(self, key: str, allowance: int | None) -> Kept | None:
        """Return the reply that answers a sample with this allowance, or None if it must be asked.

        A reply that is longer than a smaller allowance counts as cut; one that was cut at a smaller
        allowance answers nothing.
        """
        entry = self._index.get(bytes.fromhex(key))
        if entry is None:
            return None
        wanted = _NO_LIMIT if allowance is None else allowance
        cut, tokens, had = entry & 1, _tokens(entry), _allowance(entry)
        if cut and had < wanted:
            return None
        return Kept(self._reply(entry), bool(cut) or tokens > wanted, tokens)

    def replies(self) -> Iterator[dict[str, Any]]:
        """Yield all replies that were kept before, also several of one key; each was paid for.

        Raises:
            DataError: a file changed since it was opened.
        """
        for path in self._paths:
            place = 0
            with path.open("rb") as stream:
                for line in stream:
                    if not line.endswith(b"\n"):
                        break
                    yield _reply_in(line, path, place)
                    place += len(line)

    def add(
        self, key: str, reply: Mapping[str, Any], *, allowance: int | None, tokens: int, cut: bool
    ) -> None:
        """Keep a reply; it is in the file when this returns.

        Raises:
            FaultsError: the disk is full; what was added before stays whole.
        """
        had = min(_NO_LIMIT, _NO_LIMIT if allowance is None else allowance)
        tokens = max(0, min(tokens, _NO_LIMIT))
        head = f'{{"key": "{key}", "allowance": {had}, "tokens": {tokens}, "cut": {int(cut)}, '
        line = b'%s"reply": %s}\n' % (head.encode("ascii"), json_bytes(reply))
        writer = self._writer = self._writer or self._open()
        start = writer.append(line)
        self._enter(key.encode(), had, tokens, int(cut), self._number, start)
        self._sync(writer)

    def close(self) -> None:
        """Bring everything to the disk, then close and unlock everything."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        for descriptor in self._readers.values():
            os.close(descriptor)
        self._readers.clear()
        for lock in self._locks:
            free_lock(lock)
        self._locks.clear()

    def _lock(self) -> None:
        """Keep others from the same work: a shard locks itself out, the whole locks all out."""
        name = "whole" if self._shard is None else f"shard-{self._shard[0]}-of-{self._shard[1]}"
        folder = self.folder / "journal"
        paths = [folder / f".{name}.lock"]
        others = [path for path in sorted(folder.glob(".*.lock")) if path not in paths]
        if self._shard is None:
            paths += others
        else:
            count = f"-of-{self._shard[1]}.lock"
            paths += [path for path in others if not path.name.endswith(count)]
        for number, path in enumerate(paths):
            lock = take_lock(path, f"process {os.getpid()} of {socket.gethostname()}")
            if lock is None:
                wrong = f"another program works in it ({lock_holder(path)})"
                remedy = "wait for it or stop it; for several at once give each --shard I/N"
                raise FaultsError(Fault(str(self.folder), wrong, "", remedy))
            if number and self._shard is not None:
                free_lock(lock)  # it only had to be free
            else:
                self._locks.append(lock)

    def _read(self, path: Path) -> None:
        number = len(self._paths)
        self._paths.append(path)
        place = 0
        with path.open("rb") as stream:
            for count, line in enumerate(stream, start=1):
                if not line.endswith(b"\n"):
                    return  # torn by a kill, or still being written: it answers nothing
                found = _BEGINNING.match(line)
                if not found:
                    wrong = "not a line of a journal of replies"
                    remedy = "nothing was changed; move the file away"
                    raise DataError(Fault(f"{path}:{count}", wrong, "", remedy))
                key, had, tokens, cut = found.groups()
                self._enter(key, int(had), int(tokens), int(cut), number, place)
                place += len(line)

    def _enter(
        self, key: bytes, allowance: int, tokens: int, cut: int, file: int, place: int
    ) -> None:
        """Note where a reply is; the first one counts unless a later one was cut off later."""
        name = bytes.fromhex(key.decode())
        before = self._index.get(name)
        if before is not None and (not before & 1 or _allowance(before) >= allowance):
            self.repeated += 1
            return
        self._index[name] = (
            cut << _CUT
            | tokens << _TOKENS
            | allowance << _ALLOWANCE
            | file << _FILE
            | place << _PLACE
        )

    def _reply(self, entry: int) -> dict[str, Any]:
        number, place = entry >> _FILE & 0xFFFF, entry >> _PLACE
        if self._writer is not None and number == self._number:
            self._writer.flush()
        if number not in self._readers:
            if len(self._readers) > 64:
                os.close(self._readers.pop(next(iter(self._readers))))
            self._readers[number] = os.open(self._paths[number], os.O_RDONLY | os.O_CLOEXEC)
        return _reply_in(line_at(self._readers[number], place), self._paths[number], place)

    def _open(self) -> GrowingFile:
        """Begin a file of our own; nobody else ever writes into it."""
        stamp = time.strftime("%Y%m%dT%H%M%S")
        host = re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname())
        for count in itertools.count():
            path = self.folder / "journal" / f"{stamp}-{host}-{os.getpid()}-{count}.jsonl"
            try:
                file = GrowingFile.opened(path, os.O_EXCL)
                break
            except FileExistsError:
                continue
            except OSError as error:
                raise cannot_write(path, error) from error
        self._number = len(self._paths)
        self._paths.append(path)
        self._synced_at = time.monotonic()
        return file

    def _sync(self, writer: GrowingFile) -> None:
        self._unsynced += 1
        now = time.monotonic()
        if self._unsynced >= _SYNCED_ROWS or now - self._synced_at >= _SYNCED_S:
            writer.sync_soon()
            self._unsynced, self._synced_at = 0, now


def _reply_in(line: bytes, path: Path, place: int) -> dict[str, Any]:
    try:
        return dict(json.loads(line)["reply"])
    except (ValueError, KeyError, TypeError) as error:
        wrong = f"the file changed while it was read (at byte {place:,})"
        raise DataError(Fault(str(path), wrong, "", "run it again")) from error


def _tokens(entry: int) -> int:
    return entry >> _TOKENS & _NO_LIMIT


def _allowance(entry: int) -> int:
    return entry >> _ALLOWANCE & _NO_LIMIT
