"""How far asking has come: one line that changes on a terminal, elsewhere a line now and then."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from cotdistill.tables import counted, duration, printable

if TYPE_CHECKING:
    from cotdistill.teach.budget import Spent

_ON_TERMINAL_S = 0.3
_ELSEWHERE_S = 30.0


class Panel:
    """Shows done, rate, tokens a second, time left, money, and what went wrong."""

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._shown_at = time.monotonic() if not self._is_terminal else 0.0

    def __call__(self, spent: Spent, wanted: int) -> None:
        """Show the state, unless that was done a moment ago."""
        now = time.monotonic()
        if now - self._shown_at < (_ON_TERMINAL_S if self._is_terminal else _ELSEWHERE_S):
            return
        self._shown_at = now
        line = printable(status_line(spent, wanted))
        sys.stderr.write(f"\r\033[K{line}" if self._is_terminal else f"{line}\n")
        sys.stderr.flush()

    def close(self, spent: Spent, wanted: int) -> None:
        """Show the last state, on a line of its own."""
        if spent.requests:
            line = printable(status_line(spent, wanted))
            sys.stderr.write(f"\r\033[K{line}\n" if self._is_terminal else f"{line}\n")


def status_line(spent: Spent, wanted: int) -> str:
    """Return the state as one line."""
    done = spent.kept + spent.known
    parts = [f"{done:,} of {max(wanted, done):,} done"]
    if spent.seconds > 0 and spent.answered:
        rate = spent.answered / spent.seconds
        parts.append(f"{rate:,.1f}/s")
        parts.append(f"{spent.completion_tokens / spent.seconds:,.0f} tokens/s")
        if wanted > done:
            parts.append(f"{duration((wanted - done) / rate)} left")
    money = spent.money
    tokens = spent.prompt_tokens + spent.completion_tokens
    parts.append(f"{counted(tokens, 'token')}" if money is None else f"{money:,.4f} spent")
    if spent.cut:
        parts.append(f"{spent.cut:,} truncated")
    if spent.refused:
        parts.append(f"{spent.refused:,} declined")
    if spent.failed:
        parts.append(f"{spent.failed:,} failed")
    return " · ".join(parts)
