"""How many requests to keep under way at one server, found out by asking.

A server that says that it is busy gets fewer. One that never does, as vLLM, queues what it cannot
serve yet: more requests under way then only wait longer, which shows in the time that a reply
takes. So the number doubles as long as that brings more tokens a second, and stays where it does
not.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

START = 8
MOST = 256

_CUT = 0.75
_WORTH_IT = 1.15  # a larger number has to bring so many times the tokens a second ...
_SLOWER = 1.6  # ... or at least not so many times the time that a reply takes
_FEWEST = 8  # replies before a number is judged
_WINDOWS_WAITED = 8


@dataclass(frozen=True)
class _Window:
    """What was seen at one number: tokens a second, and seconds until a reply came."""

    limit: int
    rate: float
    seconds: float


class Limiter:
    """The number of requests that may be under way at one server.

    A refusal cuts it to three quarters, once for all requests that were sent under a larger number;
    from then on it grows by one at a time.

    >>> limiter = Limiter(8, 256)
    >>> limiter.refused(8), limiter.refused(8), limiter.limit
    (True, False, 6)
    """

    def __init__(self, start: int, most: int) -> None:
        self.limit = start
        self._most = most
        self._is_doubling = True
        self._windows_to_wait = 0
        self._before: _Window | None = None
        self._began: float | None = None
        self._seconds: list[float] = []
        self._tokens = 0

    def answered(self, sent_at: float, sent_under: int, tokens: int, now: float) -> None:
        """Take note of a reply, and let the number grow where that helps."""
        if sent_under != self.limit or (self._began is not None and sent_at < self._began):
            return
        if self._began is None:
            self._began = sent_at
        self._seconds.append(now - sent_at)
        self._tokens += max(tokens, 1)
        if len(self._seconds) >= max(self.limit, _FEWEST):
            self._adjust(_Window(self.limit, self._rate(now), median(self._seconds)))
            self._begin(now)

    def refused(self, sent_under: int) -> bool:
        """Take note of a refusal; return whether the number was cut, or cannot be cut any more."""
        if sent_under > self.limit:
            return False  # the number has been cut since
        self._is_doubling = False
        self._before = None
        self.limit = max(1, int(self.limit * _CUT))
        self._begin(None)
        return True

    def _begin(self, now: float | None) -> None:
        self._began = now
        self._seconds = []
        self._tokens = 0

    def _rate(self, now: float) -> float:
        assert self._began is not None
        return self._tokens / max(now - self._began, 1e-6)

    def _adjust(self, window: _Window) -> None:
        before = self._before
        if before is not None and before.limit < window.limit:
            queues = window.seconds > _SLOWER * before.seconds
            if queues and window.rate < _WORTH_IT * before.rate:
                self.limit, self._windows_to_wait, self._is_doubling = (
                    before.limit,
                    _WINDOWS_WAITED,
                    False,
                )
                self._before = None
                return
        if self._windows_to_wait:
            self._windows_to_wait -= 1
            return
        self._before = window
        more = self.limit if self._is_doubling else 1
        self.limit = min(self._most, self.limit + more)
