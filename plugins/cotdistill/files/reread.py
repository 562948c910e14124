"""Keep what was read from a file until the file changes."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

Value = TypeVar("Value")


def read_when_changed(read: Callable[[Path], Value]) -> Callable[[Path], Value]:
    """Return a reader that reads a file again only when its time or size has changed."""
    kept: dict[Path, tuple[tuple[int, int], Value]] = {}

    @functools.wraps(read)
    def reader(path: Path) -> Value:
        try:
            status = path.stat()
        except OSError:
            return read(path)  # which says what is wrong
        stamp = (status.st_mtime_ns, status.st_size)
        if path not in kept or kept[path][0] != stamp:
            kept[path] = (stamp, read(path))
        return kept[path][1]

    return reader
