"""Write a file whole or not at all: a temporary name beside it, then a rename."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from cotdistill.errors import Fault, FaultsError


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
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}~")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open(mode, **how) as stream:  # type: ignore[call-overload]
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        raise FaultsError(_disk_fault(path, error)) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


@contextlib.contextmanager
def folder_written_whole(path: Path) -> Iterator[Path]:
    """Give an empty folder to fill; it takes the name `path` only when the block ends well.

    A folder that already has the name is replaced then, and stays as it was otherwise.

    Raises:
        FaultsError: the folder cannot be written or the disk is full; nothing is left behind.
    """
    name = f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}"
    filling, replaced = path.with_name(f".{name}~"), path.with_name(f".{name}.replaced~")
    try:
        filling.mkdir(parents=True)
        yield filling
        if path.exists():
            path.replace(replaced)
        filling.replace(path)
    except OSError as error:
        raise FaultsError(_disk_fault(path, error)) from error
    finally:
        for left in (filling, replaced):
            shutil.rmtree(left, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write one text whole; see `written_whole`."""
    with written_whole(path) as stream:
        stream.write(text)


def write_if_changed(path: Path, text: str) -> bool:
    """Write only if the file's text differs, so that time stamps keep their meaning for `run`.

    Returns whether it wrote.
    """
    if path.is_file() and path.read_bytes() == text.encode("utf-8"):
        return False
    write_text(path, text)
    return True


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, read in pieces.

    Raises:
        FaultsError: the file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise FaultsError(Fault(str(path), f"cannot be read ({error.strerror})")) from error
    return digest.hexdigest()


def free_name(path: Path) -> Path:
    """Return the path, or the first numbered one beside it that nothing lies under."""
    number = 2
    free = path
    while free.exists():
        stem, _, suffix = path.name.rpartition(".")
        free = path.with_name(f"{stem}-{number}.{suffix}")
        number += 1
    return free


def _disk_fault(path: Path, error: OSError) -> Fault:
    remedies = {
        errno.ENOSPC: ("the disk is full", "free some space and run it again"),
        errno.EDQUOT: ("the disk quota is used up", "free some space and run it again"),
        errno.EROFS: ("the file system is read-only", "choose another folder"),
        errno.EACCES: ("the folder may not be written", "choose another folder or its owner"),
        errno.EPERM: ("the folder may not be written", "choose another folder or its owner"),
        errno.ENOTDIR: ("a part of the path is a file", "choose another folder"),
    }
    wrong, remedy = remedies.get(error.errno or 0, (error.strerror or str(error), ""))
    return Fault(str(path), f"cannot be written: {wrong}", "", remedy)
