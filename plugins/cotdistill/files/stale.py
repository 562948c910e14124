"""Room for what a run makes now: what an earlier one made is moved aside, never deleted."""

from __future__ import annotations

import itertools
import os
from pathlib import Path


def move_to_stale(folder: Path, relative: str) -> str | None:
    """Move what is at a relative path to `stale/`; return its new place, or None if none was.

    Nothing that a run made is ever deleted to make room for another.
    """
    source = folder / relative
    if not source.exists() and not source.is_symlink():
        return None
    for number in range(1, 1_000_000):
        target = folder / "stale" / f"{number:03d}" / relative
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            source.rename(target)
            return str(target.relative_to(folder))
    raise AssertionError("a million stale copies")


def is_set_aside(path: Path, below: Path) -> bool:
    """Whether a file below a folder is what an earlier run made, moved to the `stale/` of its run.

    >>> is_set_aside(Path("runs/a/stale/001/scores/r/x.jsonl"), Path("runs/a"))
    True
    >>> is_set_aside(Path("runs/a/stale/001/scores/r/x.jsonl"), Path("runs/a/stale/001"))
    False
    """
    parts = path.relative_to(below).parts
    return any(
        part == "stale" and following.isdigit() for part, following in itertools.pairwise(parts)
    )


def link_in_place(folder: Path, relative: str, target: Path) -> None:
    """Make a link to a folder at a relative path, in place of a link or a folder that was there."""
    link = folder / relative
    if link.is_dir() and not link.is_symlink():
        move_to_stale(folder, relative)
    link.parent.mkdir(parents=True, exist_ok=True)
    temporary = link.with_name(f".{link.name}.new")
    temporary.unlink(missing_ok=True)
    within = target.resolve().is_relative_to(folder.resolve())
    temporary.symlink_to(os.path.relpath(target, link.parent.resolve()) if within else target)
    temporary.replace(link)
