"""The retry policy: which failed requests are sent again, to whom, and after how long.

A busy server (429, 503, 529) and a lost request (other transient statuses, cut connections,
timeouts) are tried again; only the latter uses up attempts. A refused key or address gives up the
server. Any other status fails that one request.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from cotdistill.hosts.http_post import RawReply
from cotdistill.hosts.request import shown

_RETRIED = frozenset({408, 409, 425, 500, 502, 504})
_BUSY = frozenset({429, 503, 529})
_REFUSALS = {
    401: "give the key in the environment variable named by --key-env",
    403: "the key may not use this model",
    404: "check the address (it ends in /v1) and the model's name",
    405: "check the address (it ends in /v1)",
}


class FailedAttempt(Exception):  # noqa: N818  # an outcome of one attempt, not an error of ours
    """One attempt brought no reply.

    `kind` says what follows: "lost" is tried again and counted, "busy" is tried again and not
    counted, "final" fails this request at once, "refused" gives up the server.
    """

    def __init__(self, kind: str, why: str, wait: float | None = None, remedy: str = "") -> None:
        super().__init__(why)
        self.kind, self.why, self.wait, self.remedy = kind, why, wait, remedy


def failure_of(raw: RawReply, hidden: Callable[[str], str]) -> FailedAttempt:
    """Return what another status than 200 means; `hidden` takes secrets out of a text."""
    why = hidden(f"HTTP {raw.status}: {shown(raw.body)}".rstrip(": "))
    if raw.status in _REFUSALS:
        return FailedAttempt("refused", why, remedy=_REFUSALS[raw.status])
    if 300 <= raw.status < 400:
        location = raw.headers.get("location", "").partition("?")[0]
        scheme, mark, rest = location.rpartition("//")
        target = hidden(shown(f"{scheme}{mark}{rest.rpartition('@')[2]}".encode()))
        remedy = "redirects are not followed; give that address if it is meant"
        return FailedAttempt("refused", f"HTTP {raw.status}, a redirect to {target}", remedy=remedy)
    if raw.status in _BUSY:
        return FailedAttempt("busy", why, _retry_after(raw.headers.get("retry-after")))
    if raw.status in _RETRIED:
        return FailedAttempt("lost", why, _retry_after(raw.headers.get("retry-after")))
    return FailedAttempt("final", why)


def backoff(rounds: int, first_wait: float, longest_wait: float) -> float:
    """Return how long to wait after so many rounds in vain: doubled each time, up to a limit.

    >>> [backoff(rounds, 0.5, 60.0) for rounds in (1, 2, 3, 40)]
    [0.5, 1.0, 2.0, 60.0]
    """
    return min(math.ldexp(first_wait, min(rounds - 1, 30)), longest_wait)


def _retry_after(value: str | None) -> float | None:
    """Read a Retry-After header, seconds or a date; None where it says nothing useful.

    >>> _retry_after("2"), _retry_after("nan"), _retry_after("-1"), _retry_after("soon")
    (2.0, None, None, None)
    """
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            date = parsedate_to_datetime(value)
            date = date if date.tzinfo else date.replace(tzinfo=UTC)
            seconds = (date - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError, OverflowError):
            return None
    return seconds if seconds > 0 and not math.isnan(seconds) else None
