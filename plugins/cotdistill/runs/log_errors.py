"""The few lines of a long log that say why a program failed."""

from __future__ import annotations

import re
from pathlib import Path

_COLOUR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_NOISE = re.compile(
    r"\d+%\||^\s*\d+it \[|it/s\]|s/it\]"  # progress bars
    r"|Retrying in \d+s \[|thrown while requesting"  # a hub that cannot be reached, five times
)
_LOGGED = re.compile(r"[DIWEF]\d{4} \d\d:\d\d:|\[?\d{4}-\d\d-\d\d[ T]\d\d:")
_WIDEST = 1000
_BEGINNING = 600  # characters of a longer line; its end says what to do
_TRACEBACK = "Traceback (most recent call last)"
_LAUNCHERS = ("ChildFailedError", "CalledProcessError", "SystemExit", "KeyboardInterrupt")
_END = 256 * 1024


def lines_that_matter(log: Path, start: int = 0, most: int = 6) -> list[str]:
    """Return the last lines of a log that explain a failure, from byte `start` on.

    After a traceback it is the error itself with the place that raised it, and a launcher's
    traceback, which only says that its child failed, gives way to the child's. Progress bars and
    colours are left out, and a very long line loses its middle.
    """
    try:
        with log.open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(max(start, size - _END))
            text = stream.read().decode("utf-8", "replace")
    except OSError:
        return []
    lines = [line for line in map(_clean, text.split("\n")) if line.strip()]
    return _error(lines, most) or lines[-most:]


def _clean(line: str) -> str:
    """Keep what a terminal would show: the text after the last carriage return, no colours."""
    shown = _COLOUR.sub("", line).rstrip("\r").rpartition("\r")[2].rstrip()
    if _NOISE.search(shown):
        return ""
    if len(shown) <= _WIDEST:
        return shown
    return f"{shown[:_BEGINNING]} … {shown[_BEGINNING - _WIDEST :]}"


def _error(lines: list[str], most: int) -> list[str]:
    heads = [number for number, line in enumerate(lines) if _TRACEBACK in line]
    for head in reversed(heads):
        rank = lines[head].partition(_TRACEBACK)[0]  # torchrun writes [rank0]: before each line
        body = [line.removeprefix(rank) for line in lines[head + 1 :]]
        end = next((i for i, line in enumerate(body) if not line.startswith((" ", "\t"))), None)
        if end is None or any(name in body[end] for name in _LAUNCHERS):
            continue
        after_head = [line for line in body[end:] if not line.startswith("  File ")]
        after = (i for i, line in enumerate(after_head) if i and _ends_the_error(line))
        stop = next(after, len(after_head))
        return [*body[max(0, end - 2) : end], *after_head[: min(stop, most - 2)]]
    return []


def _ends_the_error(line: str) -> bool:
    """Whether a line after an error is no more of its message but another program's."""
    return _TRACEBACK in line or _LOGGED.match(line) is not None
