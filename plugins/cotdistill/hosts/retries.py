"""The retry policy: which failed requests are sent again, to whom, and after how long.

A busy server (429, 503, 529) and a lost request (other transient statuses, cut connections,
timeouts) are tried again; only the latter uses up attempts. A refused key or address gives up the
server. Any other status fails that one request.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from cotdistill.hosts.http_post import RawReply
from cotdistill.hosts.request import shown

_RETRIED = frozenset({408, 409, 425, 500, 502, 504})
_BUSY = frozenset({429, 503, 529})
_RESETS = ("x-ratelimit-reset-requests", "x-ratelimit-reset-tokens")
_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m(?!s))?(?:([\d.]+)s)?(?:([\d.]+)ms)?")
_NO_CREDIT = "the account has no credit left; what was answered is kept"
WITHOUT_TLS = (
    "https needs TLS there and a certificate that this machine trusts (SSL_CERT_FILE names more); "
    "should the address begin with http://?"
)
_REFUSALS = {
    402: _NO_CREDIT,
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
    if raw.status == 429 and b"insufficient_quota" in raw.body:
        return FailedAttempt("refused", why, remedy=_NO_CREDIT)
    if raw.status in _BUSY:
        wait = _retry_after(raw.headers.get("retry-after"))
        if wait is None:
            resets = [_duration(raw.headers.get(name, "")) for name in _RESETS]
            wait = max((reset for reset in resets if reset is not None), default=None)
        return FailedAttempt("busy", why, wait)
    if raw.status in _RETRIED:
        return FailedAttempt("lost", why, _retry_after(raw.headers.get("retry-after")))
    return FailedAttempt("final", why)


def backoff(rounds: int, first_wait: float, longest_wait: float) -> float:
    """Return how long to wait after so many rounds in vain: doubled each time, up to a limit.

    >>> [backoff(rounds, 0.5, 60.0) for rounds in (1, 2, 3, 40)]
    [0.5, 1.0, 2.0, 60.0]
    """
    return min(math.ldexp(first_wait, min(rounds - 1, 30)), longest_wait)


def _duration(value: str) -> float | None:
    """Read a time as rate limit headers write it; None where it says nothing useful.

    >>> _duration("1m2.5s"), _duration("250ms"), _duration(""), _duration("soon")
    (62.5, 0.25, None, None)
    """
    found = _DURATION.fullmatch(value.strip())
    if not found or not any(found.groups()):
        return None
    try:
        hours, minutes, seconds, thousandths = (float(part or 0) for part in found.groups())
    except ValueError:
        return None
    return hours * 3600 + minutes * 60 + seconds + thousandths / 1000


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
