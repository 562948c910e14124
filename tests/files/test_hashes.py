"""Hashes of files: read once while a file stays the same, read again when it changes."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from cotdistill.errors import FaultsError
from cotdistill.files.hashes import FileHashes


def test_a_file_is_read_once_until_its_size_or_time_changes(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"one")
    hashes = FileHashes()
    first = hashes.of(path)
    assert first == hashlib.sha256(b"one").hexdigest()
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    path.write_bytes(b"two")
    os.utime(path, ns=times)
    assert hashes.of(path) == first  # looks unchanged, so it was not read
    os.utime(path, ns=(times[0], times[1] + 1))
    assert hashes.of(path) == hashlib.sha256(b"two").hexdigest()


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FaultsError, match="gone: cannot be read"):
        FileHashes().of(tmp_path / "gone")
