"""Write a file whole or not at all: a temporary name in the same folder, then a rename.

A temporary file is locked while it is written. The kernel drops the lock with its holder, so what a
killed program left behind is told from what another program is writing, and is removed by the next
program that writes into the folder.

A file takes the place of a link of its name, and what the link pointed to stays as it was: a run
folder of somebody else cannot lead a program to write elsewhere. A link to a folder is followed.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import hashlib
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from cotdistill.errors import Fault, FaultsError

_AT_ONCE = 200  # files open at once: the usual limit is 1,024
_SYNCED_TOGETHER = 8  # from so many new files on, their file system is synced once
_TEMPORARY = re.compile(r"\.(?P<name>.+)\.\d+-[0-9a-f]{8}(?P<replaced>\.replaced)?~")


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[IO[str]]:
    """Open a UTF-8 text file that appears under its name only when the block ends well.

    Raises:
        FaultsError: the folder cannot be written or the disk is full; nothing is left behind.
    """
    with _appearing(path, "x", encoding="utf-8", newline="\n") as stream:
        yield stream


@contextlib.contextmanager
def written_bytes(path: Path) -> Iterator[IO[bytes]]:
    """Open a file of bytes that appears under its name only when the block ends well.

    Raises:
        FaultsError: the folder cannot be written or the disk is full; nothing is left behind.
    """
    with _appearing(path, "xb") as stream:
        yield stream


@contextlib.contextmanager
def _appearing(path: Path, mode: str, **how: str) -> Iterator[IO[Any]]:
    temporary: Path | None = None
    _refuse_special(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(path.parent)
        temporary, stream = _locked_file(path, mode, how)
        with stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        raise FaultsError(disk_fault(path, error)) from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink()


@contextlib.contextmanager
def folder_written_whole(path: Path) -> Iterator[Path]:
    """Give an empty folder to fill; it takes the name `path` only when the block ends well.

    A folder that already has the name is replaced then, and stays as it was otherwise.

    Raises:
        FaultsError: the folder cannot be written or the disk is full; nothing is left behind.
    """
    if path.is_symlink():
        path = Path(os.path.realpath(path))
    replaced = _temporary(path, ".replaced")
    filling: Path | None = None
    descriptor = -1
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(path.parent)
        filling, descriptor = _locked_folder(path)
        yield filling
        if path.exists():
            path.replace(replaced)
        try:
            filling.replace(path)
        except OSError:
            if replaced.exists():
                replaced.replace(path)
            raise
    except OSError as error:
        raise FaultsError(disk_fault(path, error)) from error
    finally:
        if descriptor >= 0:
            os.close(descriptor)
        for left in (filling, replaced):
            if left is not None:
                shutil.rmtree(left, ignore_errors=True)


def _refuse_special(path: Path) -> None:
    """Refuse a device, pipe or socket: a rename would put a file in its place."""
    with contextlib.suppress(OSError):
        mode = path.stat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            wrong = "cannot be written: it is a device, a pipe or a socket"
            raise FaultsError(Fault(str(path), wrong, "a file", "choose another name"))


def write_text(path: Path, text: str) -> None:
    """Write one text whole; see `written_whole`."""
    with written_whole(path) as stream:
        stream.write(text)


def write_if_changed(path: Path, text: str) -> bool:
    """Write only if the file's text differs, so that time stamps keep their meaning for `run`.

    Returns whether it wrote.
    """
    if path.is_file() and _bytes_of(str(path)) == text.encode("utf-8"):
        return False
    write_text(path, text)
    return True


def write_texts_if_changed(folder: Path, texts: Mapping[str, str]) -> int:
    """Write many small texts into one folder, by name, as `write_if_changed` writes each.

    A folder that is not there yet appears with all of them at once. Returns how many were written.

    Raises:
        FaultsError: the folder cannot be written or the disk is full; earlier files stay.
    """
    path = str(folder)
    if len(texts) >= _SYNCED_TOGETHER and not os.path.lexists(path):
        with folder_written_whole(folder) as filling:
            _fill(str(filling), texts)
        return len(texts)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(folder)
        existing = {entry.name for entry in os.scandir(folder)}
        changed = []
        for name, text in texts.items():
            path, data = f"{folder}/{name}", text.encode()
            if name not in existing or _bytes_of(path) != data:
                changed.append((name, data))
        for first in range(0, len(changed), _AT_ONCE):
            path = f"{folder}/{changed[first][0]}"
            _write_some(str(folder), changed[first : first + _AT_ONCE])
    except OSError as error:
        raise FaultsError(disk_fault(Path(path), error)) from error
    return len(changed)


def _fill(folder: str, texts: Mapping[str, str]) -> None:
    """Write files into a new folder that nobody else knows, and sync all of them at once."""
    last = -1
    try:
        for name, text in texts.items():
            if last >= 0:
                os.close(last)
            last = os.open(f"{folder}/{name}", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
            _write_all(last, text.encode())
        if not _sync_file_system(last):
            for name in texts:
                with open(f"{folder}/{name}", "rb") as stream:  # noqa: PTH123 - as `_bytes_of`
                    os.fsync(stream.fileno())
    finally:
        if last >= 0:
            os.close(last)


def _write_all(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


def _sync_file_system(descriptor: int) -> bool:
    """Sync the file system that a file lies on; False where the platform has no call for it.

    One call for a thousand files takes a fraction of the time of a thousand calls of `fsync`.
    """
    import ctypes

    try:
        call = ctypes.CDLL(None, use_errno=True).syncfs
    except (OSError, AttributeError):
        return False
    if call(descriptor) != 0:
        number = ctypes.get_errno()
        if number in (errno.ENOSYS, errno.EPERM):  # a sandbox that does not let it through
            return False
        raise OSError(number, os.strerror(number))
    return True


def _bytes_of(path: str) -> bytes | None:
    try:
        with open(path, "rb") as stream:  # noqa: PTH123 - a Path for each costs as much as the read
            return stream.read()
    except (IsADirectoryError, PermissionError):
        return None  # writing it says so, if that is not allowed either


def _write_some(folder: str, texts: Iterable[tuple[str, bytes]]) -> None:
    """Write files under temporary names, locked as `_locked_file` does, and rename them.

    Many are synced together: the names come after the contents are on the disk.
    """
    opened: list[int] = []
    temporaries: dict[str, str] = {}
    try:
        for name, data in texts:
            temporary = f"{folder}/.{name}.{os.getpid()}-{secrets.token_hex(4)}~"
            opened.append(_locked_descriptor(temporary))
            temporaries[temporary] = f"{folder}/{name}"
            _write_all(opened[-1], data)
        if len(opened) < _SYNCED_TOGETHER or not _sync_file_system(opened[0]):
            for descriptor in opened:
                os.fsync(descriptor)
        for temporary in list(temporaries):
            os.replace(temporary, temporaries[temporary])  # noqa: PTH105 - a Path costs as much again
            del temporaries[temporary]
    finally:
        for temporary in temporaries:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
        for descriptor in opened:
            os.close(descriptor)


def _locked_descriptor(temporary: str) -> int:
    """Create and lock a file, once more if another program removed it before it was locked."""
    while True:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        _locked(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink > 0:
            return descriptor
        os.close(descriptor)


def sha256_of_text(text: str) -> str:
    """Return the hash of a text's UTF-8 bytes: that of the file it is written to."""
    return hashlib.sha256(text.encode()).hexdigest()


def sha256_of(*paths: Path) -> str:
    """Return the SHA-256 of a file's bytes, or of those of several in turn, read in pieces.

    Raises:
        FaultsError: a file cannot be read.
    """
    digest = hashlib.sha256()
    for path in paths:
        try:
            with path.open("rb") as stream:
                while block := stream.read(1 << 20):
                    digest.update(block)
        except OSError as error:
            raise FaultsError(Fault(str(path), f"cannot be read ({error.strerror})")) from error
    return digest.hexdigest()


def free_name(path: Path) -> Path:
    """Return the path, or the first free numbered variant of it."""
    number = 2
    free = path
    while free.exists():
        stem, _, suffix = path.name.rpartition(".")
        free = path.with_name(f"{stem}-{number}.{suffix}")
        number += 1
    return free


def _temporary(path: Path, kind: str = "") -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}{kind}~")


def _locked_file(path: Path, mode: str, how: Mapping[str, str]) -> tuple[Path, IO[Any]]:
    while True:
        temporary = _temporary(path)
        stream = temporary.open(mode, **how)  # type: ignore[call-overload]
        _locked(stream.fileno(), fcntl.LOCK_EX)
        if temporary.exists():  # else another program took it for a leftover before it was locked
            return temporary, stream
        stream.close()


def _locked_folder(path: Path) -> tuple[Path, int]:
    while True:
        temporary = _temporary(path)
        temporary.mkdir()
        descriptor = os.open(temporary, os.O_RDONLY | os.O_CLOEXEC)
        _locked(descriptor, fcntl.LOCK_EX)
        if temporary.exists():
            return temporary, descriptor
        os.close(descriptor)


def _locked(descriptor: int, how: int) -> bool:
    """Lock an open file or folder; False if another program holds it, or there are no locks."""
    try:
        fcntl.flock(descriptor, how)
    except OSError:
        return False
    return True


@functools.cache
def _remove_leftovers(folder: Path) -> None:
    """Remove what killed programs left in a folder; once a process, as it reads the whole folder.

    A folder that was being replaced gets its name back.
    """
    found: list[tuple[str, re.Match[str]]] = []
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        found = [
            (entry.name, match) for entry in entries if (match := _TEMPORARY.fullmatch(entry.name))
        ]
    for name, match in found:
        path = folder / name
        with contextlib.suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                if _locked(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB):
                    _remove_leftover(path, folder / match["name"], bool(match["replaced"]))
            finally:
                os.close(descriptor)


def _remove_leftover(path: Path, original: Path, was_replaced: bool) -> None:
    if was_replaced and not original.exists():
        path.rename(original)
    elif path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink()


def disk_fault(path: Path, error: OSError) -> Fault:
    """Return the fault of a file or folder that cannot be written, with what to do about it."""
    remedies = {
        errno.ENOSPC: ("the disk is full", "free some space and run it again"),
        errno.EDQUOT: ("the disk quota is used up", "free some space and run it again"),
        errno.EROFS: ("the file system is read-only", "choose another folder"),
        errno.EACCES: ("the folder may not be written", "choose another folder or its owner"),
        errno.EPERM: ("the folder may not be written", "choose another folder or its owner"),
        errno.ENOTDIR: ("a part of the path is a file", "choose another folder"),
        errno.EEXIST: (
            "a part of the path is a file, or a link that leads nowhere",
            "choose another folder",
        ),
    }
    if error.errno not in remedies:
        wrong = f"cannot be written ({error.strerror or error})"
        remedy = "choose another folder or file name, and run it again"
        return Fault(str(path), wrong, "", remedy)
    wrong, remedy = remedies[error.errno]
    return Fault(str(path), f"cannot be written: {wrong}", "", remedy)
