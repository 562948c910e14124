"""Input files are safe: no verb writes to a file it reads, and one that changes meanwhile is named.

Every verb that writes calls `refuse_overwriting` with all its inputs and all its outputs before the
first byte, and `InputFiles.refuse_changes` before it says that its outputs come from those inputs.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cotdistill.errors import DataError, Fault, MisuseError
from cotdistill.files.atomic import sha256_of


def refuse_overwriting(
    inputs: Iterable[Path], outputs: Iterable[Path], folders: Iterable[Path] = ()
) -> None:
    """Refuse outputs that are inputs, under whatever name or link, and outputs that are the same.

    `outputs` are all files that will be written or removed, with the derived ones: ledgers,
    rejected rows, copies. `folders` are those that will be emptied or removed: they may hold no
    input.

    Raises:
        MisuseError: names every output that may not be written; nothing was written.

    >>> refuse_overwriting([Path("a.jsonl")], [Path("b.jsonl"), Path("b.ledger.json")])
    >>> refuse_overwriting([Path("a.jsonl")], [Path("./a.jsonl")])
    Traceback (most recent call last):
    cotdistill.errors.MisuseError: a.jsonl: is an input; choose another name
    """
    inputs = list(inputs)
    input_at = {key: path for path in inputs for key in _keys(path)}
    faults: dict[str, None] = {}
    output_at: dict[object, Path] = {}
    for output in outputs:
        keys = _keys(output)
        if any(key in input_at for key in keys):
            wrong = "is an input; choose another name"
            faults[f"{output}: {wrong}"] = None
        elif any(key in output_at for key in keys):
            faults[f"{output}: two outputs have this name; choose another name"] = None
        output_at |= dict.fromkeys(keys, output)
    for folder in folders:
        place = folder.resolve()
        for path in inputs:
            if path.resolve().is_relative_to(place):
                wrong = f"is inside {folder}, which this command empties; choose another output"
                faults[f"{path}: {wrong}"] = None
    if faults:
        raise MisuseError("\n".join(faults))


@dataclass(frozen=True)
class InputFiles:
    """The files that a verb reads: their hashes from before it read them, compared at its end.

    Two equal hashes, and a size, time and identity that stayed, mean that the bytes between were
    the bytes that were read.
    """

    known: Mapping[Path, tuple[tuple[int, int, int], str]]

    @classmethod
    def of(cls, paths: Iterable[Path]) -> InputFiles:
        """Hash files; folders, and files that do not exist, are left out.

        Raises:
            FaultsError: a file cannot be read.
        """
        return cls({path: (_state(path), sha256_of(path)) for path in paths if path.is_file()})

    def sha256(self, path: Path) -> str:
        """Return the hash that a file had when it was looked at.

        Raises:
            FaultsError: it was not looked at, and cannot be read now.
        """
        return self.known[path][1] if path in self.known else sha256_of(path)

    def refuse_changes(self) -> None:
        """Refuse files that are not as they were.

        Raises:
            DataError: names every file that changed.
        """
        changed = [
            path
            for path, (state, digest) in self.known.items()
            if _state(path) != state or sha256_of(path) != digest
        ]
        if changed:
            raise DataError(changed_fault(path) for path in changed)


def changed_fault(path: Path | str) -> Fault:
    """Return the fault of a file that was written to while it was read."""
    wrong = "the file changed while it was read"
    return Fault(str(path), wrong, "", "run it again when nothing writes to the file")


def _keys(path: Path) -> list[object]:
    """Return what identifies a file: its resolved path and, if it exists, its device and inode."""
    keys: list[object] = [os.path.realpath(path)]
    try:
        status = path.stat()
    except OSError:
        return keys
    return [*keys, (status.st_dev, status.st_ino)]


def _state(path: Path) -> tuple[int, int, int]:
    try:
        status = path.stat()
    except OSError:
        return -1, -1, -1
    return status.st_size, status.st_mtime_ns, status.st_ino
