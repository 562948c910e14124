"""Serve a report folder on the loopback address, and only there, until nobody asks any more.

Web pages that a browser has open may send requests to this address too, under a name of their own
(DNS rebinding): a request is answered only if its Host header says the loopback address. Only files
of the folder itself are served: no listings, and nothing that a symbolic link leads to.
"""

from __future__ import annotations

import functools
import http.server
import time
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import IO

from cotdistill.errors import Fault, FaultsError

LOOPBACK = "127.0.0.1"
_HOSTS = (LOOPBACK, "localhost")


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
        """Say nothing: the address was printed once."""

    def send_head(self) -> IO[bytes] | None:  # type: ignore[override]
        """Answer for a file that may be seen, else with the reason why not."""
        if not _is_ours(self.headers.get("Host"), self.connection.getsockname()[1]):
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST, "not served under that name")
            return None
        if not self._may_be_seen():
            self.send_error(HTTPStatus.NOT_FOUND)
            return None
        return super().send_head()

    def _may_be_seen(self) -> bool:
        """Whether the path is a plain file below the folder, reached through no symbolic link."""
        folder = Path(self.directory)
        try:
            path = Path(self.translate_path(self.path))
            names = path.relative_to(folder).parts
            steps = [folder.joinpath(*names[: count + 1]) for count in range(len(names))]
            return path.is_file() and not any(step.is_symlink() for step in steps)
        except (ValueError, OSError):  # a NUL in the path, a name too long, another folder
            return False


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a browser that goes away in the middle is no fault."""


def _is_ours(host: str | None, port: int) -> bool:
    """Return whether a Host header says the loopback address and our port.

    >>> [_is_ours(host, 80) for host in ("127.0.0.1:80", "localhost", "evil.example.com", None)]
    [True, True, False, False]
    """
    if host is None:
        return False
    name, _, given = host.partition(":")
    return name.lower() in _HOSTS and (given == str(port) or (not given and port == 80))


def serve_page(folder: Path, port: int, idle: float, tell: Callable[[str], None]) -> None:
    """Serve a folder on 127.0.0.1 until it has not been asked for `idle` seconds.

    `port` 0 takes a free one; `tell` is given the page's address.

    Raises:
        FaultsError: the port is taken.
    """
    handler = functools.partial(_Quiet, directory=str(folder))
    try:
        server = _Server((LOOPBACK, port), handler)
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
