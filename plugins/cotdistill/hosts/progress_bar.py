"""What a host's progress bar says, read from the end of its log.

The hosts draw their bars with tqdm, each state after a carriage return. That is the first sign of
life of a slow training, whose own log has a line only every few steps.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

REQUESTS = "Running generate_until requests"
"""What the bar of an evaluation says that asks for responses."""
_TAIL = 16 * 1024
_MARK = "%|"
_AROUND = 200
_BAR = re.compile(
    r"(?P<what>[^\r\n|%]*?):? *(?P<percent>\d+)%\|[^|\r\n]*\| *(?P<done>\d+)/(?P<total>\d+)"
    r" \[[\d:]+<(?P<left>[\d:?]+), *(?P<rate>[^\]\r\n]+)\]"
)


@dataclass(frozen=True)
class Bar:
    """The last state of a progress bar: what it counts, how far it is, the time left as shown.

    `what` and `left` are empty where the bar does not say.
    """

    what: str
    done: int
    total: int
    left: str

    @property
    def seconds_left(self) -> float | None:
        """The time left in seconds, None where the bar does not say.

        >>> Bar("Running generate_until requests", 33, 100, "1:09:01").seconds_left
        4141.0
        """
        seconds = 0.0
        for part in self.left.split(":"):
            if not part.isdigit():
                return None
            seconds = 60 * seconds + int(part)
        return seconds

    def __str__(self) -> str:
        what = f"{self.what} " if self.what else ""
        left = f" {self.left} left" if self.left else ""
        return f"{what}{self.done}/{self.total}{left}"


def last_bar(log: Path, start: int = 0) -> Bar | None:
    """Return the last progress bar in a log, from byte `start` on; None where there is none."""
    try:
        with log.open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(max(start, size - _TAIL))
            text = stream.read().decode("utf-8", "replace")
    except OSError:
        return None
    states = (part for part in reversed(re.split(r"[\r\n]", text)) if _MARK in part)
    found = next(filter(None, map(_last_in, states)), None)
    if found is None:
        return None
    left = "" if "?" in found["left"] else found["left"]
    return Bar(found["what"].strip(), int(found["done"]), int(found["total"]), left)


def _last_in(line: str) -> re.Match[str] | None:
    """Return the last bar of a line; only the text around its mark is searched.

    What stands before a bar is matched from every character on, so a long line would take seconds.
    """
    mark = line.rfind(_MARK)
    found = list(_BAR.finditer(line[max(0, mark - _AROUND) : mark + _AROUND]))
    return found[-1] if found else None
