"""SHA-256 of files, each read once while it does not change."""

from __future__ import annotations

from pathlib import Path

from cotdistill.files.atomic import sha256_of


class FileHashes:
    """Hashes of files that several steps of one command ask for.

    A file is read again where its size or its time stamp differs from when it was read.
    """

    def __init__(self) -> None:
        self._known: dict[Path, tuple[tuple[int, int], str]] = {}

    def of(self, path: Path) -> str:
        """Return the SHA-256 of a file.

        Raises:
            FaultsError: the file cannot be read.
        """
        state = _state(path)
        known = self._known.get(path)
        if known is not None and known[0] == state:
            return known[1]
        digest = sha256_of(path)
        if state is not None:
            self._known[path] = state, digest
        return digest


def _state(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None  # reading it says why
    return found.st_size, found.st_mtime_ns
