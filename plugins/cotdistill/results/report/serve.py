"""Serve a report folder on the loopback address, and only there, until nobody asks any more."""

from __future__ import annotations

import functools
import http.server
import time
from collections.abc import Callable
from pathlib import Path

from cotdistill.errors import Fault, FaultsError

LOOPBACK = "127.0.0.1"


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
        """Say nothing: the address was printed once."""


def serve_page(folder: Path, port: int, idle: float, tell: Callable[[str], None]) -> None:
    """Serve a folder on 127.0.0.1 until it has not been asked for `idle` seconds.

    `port` 0 takes a free one; `tell` is given the page's address.

    Raises:
        FaultsError: the port is taken.
    """
    handler = functools.partial(_Quiet, directory=str(folder))
    try:
        server = http.server.ThreadingHTTPServer((LOOPBACK, port), handler)
    except OSError as error:
        wrong = f"cannot be listened on ({error.strerror})"
        raise FaultsError(Fault(f"port {port}", wrong, "", "--port 0 takes a free one")) from error
    with server:
        tell(f"http://{LOOPBACK}:{server.server_port}/report.html")
        last = time.monotonic()
        server.timeout = min(idle, 1.0)
        waited = False

        def nobody() -> None:
            nonlocal waited
            waited = True

        server.handle_timeout = nobody  # type: ignore[method-assign]
        while time.monotonic() - last < idle:
            waited = False
            server.handle_request()
            if not waited:
                last = time.monotonic()
