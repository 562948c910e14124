"""POST requests over many kept connections, with bounds on what a server may send back.

Servers on `http://` without a proxy, which is what one runs oneself, get a small HTTP/1.1 client
of our own, because a general one is the limit at thousands of replies a second (the figures are in
docs/decisions/0015-asking-models.md). Everything else (TLS, proxies) goes through aiohttp. Neither
follows redirects, and neither holds more of a reply than the caller allows.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import socket
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from cotdistill.errors import MisuseError

if TYPE_CHECKING:
    import aiohttp

_LONGEST_HEAD = 1 << 18
_LONGEST_CHUNK_LINE = 4096
_NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST")
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class TransportError(Exception):
    """The server cannot be reached, cut the connection, or does not speak HTTP."""


class UnsafeError(Exception):
    """There is no TLS at an https address, or a certificate that this machine does not trust."""


class TooLongError(Exception):
    """The reply is longer than allowed, packed or unpacked."""


class RawReply(NamedTuple):
    """A server's status, headers by lower-case name, and body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Transport(Protocol):
    """What sends requests to one address."""

    async def post(
        self, body: bytes, limit: int, patience: float, *, in_pieces: bool = False
    ) -> RawReply:
        """Send one body and return the reply, at most `limit` bytes long.

        `patience` is how many seconds it may take, or with `in_pieces` each piece of it.

        Raises:
            TransportError, TooLongError, TimeoutError: there is no such reply.
        """

    async def close(self) -> None:
        """Close all connections."""


def transport_for(address: str, headers: Mapping[str, str]) -> Transport:
    """Return the transport for an address; `headers` go with every request.

    Raises:
        MisuseError: aiohttp is needed and not installed.
    """
    parts = urlsplit(address)
    if parts.scheme == "http" and not _proxied(parts.scheme, parts.hostname or ""):
        return PlainTransport(address, headers)
    if importlib.util.find_spec("aiohttp") is None:
        raise MisuseError(
            f"{parts.scheme}:// and proxies need aiohttp, which is not installed; "
            "pip install 'cotdistill[api]'"
        )
    return AiohttpTransport(address, headers)


def _proxied(scheme: str, host: str) -> bool:
    if host in _LOOPBACK or scheme not in getproxies():
        return False
    return not proxy_bypass(host)


class PlainTransport:
    """HTTP/1.1 on bare sockets: no TLS, no proxy, one request at a time on each connection."""

    def __init__(self, address: str, headers: Mapping[str, str]) -> None:
        parts = urlsplit(address)
        self._host, self._port = parts.hostname or "", parts.port or 80
        host = f"[{self._host}]" if ":" in self._host else self._host
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        lines = [f"POST {path} HTTP/1.1", f"Host: {host}:{self._port}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self._head = "".join(f"{line}\r\n" for line in lines).encode("latin-1")
        self._idle: list[_Connection] = []
        self._unsent: list[tuple[_Connection, bytes]] = []  # of this turn of the loop
        self._deadlines: dict[float, _Deadline] = {}

    async def post(
        self, body: bytes, limit: int, patience: float, *, in_pieces: bool = False
    ) -> RawReply:
        """Send one body and return the reply, at most `limit` bytes long."""
        connection = await self._connection(patience)
        deadline = self._deadlines.get(patience)
        if deadline is None:
            deadline = self._deadlines[patience] = _Deadline(patience)
        try:
            waiting = connection.await_reply(limit, deadline, in_pieces=in_pieces)
            self._send_soon(
                connection, b"%sContent-Length: %d\r\n\r\n%s" % (self._head, len(body), body)
            )
            reply = await waiting
        except BaseException:
            connection.abort()
            raise
        if connection.is_open:
            self._idle.append(connection)
        return _unpacked(reply, limit)

    async def close(self) -> None:
        """Close all connections."""
        for connection in self._idle:
            connection.abort()
        self._idle.clear()
        for deadline in self._deadlines.values():
            deadline.close()

    def _send_soon(self, connection: _Connection, data: bytes) -> None:
        """Send in the loop's next turn, all of a turn in a row.

        A call of the system empties the processor's caches: between the steps of Python that make
        a request it costs several times of what it does in a row of such calls.
        """
        if not self._unsent:
            asyncio.get_running_loop().call_soon(self._send)
        self._unsent.append((connection, data))

    def _send(self) -> None:
        unsent, self._unsent = self._unsent, []
        for connection, data in unsent:
            connection.send(data)

    async def _connection(self, patience: float) -> _Connection:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open:
                return connection
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(patience):
            try:
                _, connection = await loop.create_connection(
                    _Connection, self._host, self._port, happy_eyeballs_delay=0.25
                )
            except OSError as error:
                raise TransportError(f"cannot connect ({_reason(error)})") from error
        return connection


class _Deadline:
    """Ends what waits for longer than it may, with one timer for all that may wait equally long.

    A timer for each request would cost a tenth of the client's time.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._since: dict[_Connection, float] = {}  # the longest wait comes first
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, connection: _Connection) -> None:
        """Begin a wait, or begin it again."""
        loop = asyncio.get_running_loop()
        self._since.pop(connection, None)
        self._since[connection] = loop.time()
        if self._timer is None:
            self._timer = loop.call_later(self._seconds, self._look)

    def end(self, connection: _Connection) -> None:
        """Forget a wait."""
        self._since.pop(connection, None)

    def close(self) -> None:
        """Stop looking."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = None
        for connection, since in list(self._since.items()):
            if since + self._seconds > loop.time():
                self._timer = loop.call_at(since + self._seconds, self._look)
                return
            connection.give_up()


class _Connection(asyncio.Protocol):
    """One connection: writes a request, and reads its reply as it comes in pieces."""

    def __init__(self) -> None:
        self.is_open = False
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[RawReply] | None = None
        self._reader = _ReplyReader(0)
        self._deadline = _Deadline(0)
        self._in_pieces = False

    def await_reply(
        self, limit: int, deadline: _Deadline, *, in_pieces: bool
    ) -> asyncio.Future[RawReply]:
        """Return the future in which the reply to the next request comes."""
        self._waiting = asyncio.get_running_loop().create_future()
        self._reader = _ReplyReader(limit)
        self._deadline, self._in_pieces = deadline, in_pieces
        deadline.begin(self)
        return self._waiting

    def send(self, data: bytes) -> None:
        """Send a whole request."""
        assert self._transport is not None
        self._transport.write(data)

    def give_up(self) -> None:
        """End a wait that was too long."""
        self.abort()
        self._end(TimeoutError())

    def abort(self) -> None:
        """Close at once, whatever is under way."""
        self.is_open = False
        self._deadline.end(self)
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport, self.is_open = transport, True

    def data_received(self, data: bytes) -> None:
        if self._waiting is None:
            self.abort()  # bytes that belong to no request
            return
        if self._in_pieces:
            self._deadline.begin(self)
        try:
            reply = self._reader.feed(data)
        except (TransportError, TooLongError) as error:
            self.abort()
            self._end(error)
            return
        if reply is not None:
            self.is_open = self._reader.keeps_open
            if not self.is_open:
                self.abort()
            self._end(reply)

    def connection_lost(self, error: Exception | None) -> None:
        self.is_open = False
        reply = self._reader.at_end() if self._waiting is not None else None
        reason = f" ({_reason(error)})" if isinstance(error, OSError) else ""
        self._end(reply or TransportError(f"the server closed the connection{reason}"))

    def _end(self, outcome: RawReply | Exception) -> None:
        waiting, self._waiting = self._waiting, None
        self._deadline.end(self)
        if waiting is None or waiting.done():
            return
        if isinstance(outcome, RawReply):
            waiting.set_result(outcome)
        else:
            waiting.set_exception(outcome)


class _ReplyReader:
    r"""Reads one HTTP/1.x reply from pieces of any size.

    >>> reader = _ReplyReader(100)
    >>> reader.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{")
    >>> reader.feed(b"}").body, reader.keeps_open
    (b'{}', True)
    """

    def __init__(self, limit: int) -> None:
        self.keeps_open = False
        self._limit = limit
        self._data = bytearray()
        self._status = 0
        self._headers: dict[str, str] = {}
        self._length: int | None = None
        self._chunks: bytearray | None = None
        self._left = 0  # bytes of the chunk that is being read
        self._expects: Literal["size", "data", "end of data", "trailer"] = "size"

    def feed(self, data: bytes) -> RawReply | None:
        """Take a piece in; return the reply when it is whole.

        Raises:
            TransportError: this is not HTTP.
            TooLongError: the reply is longer than the limit.
        """
        self._data += data
        if not self._status and not self._read_head():
            return None
        if self._chunks is not None:
            return self._read_chunks()
        if max(len(self._data), self._length or 0) > self._limit:
            raise TooLongError
        if self._length is None or len(self._data) < self._length:
            return None
        self.keeps_open = self.keeps_open and len(self._data) == self._length
        return self._reply(self._data[: self._length])

    def at_end(self) -> RawReply | None:
        """Return the reply that the end of the connection completes, or None where it was cut."""
        until_closed = self._status and self._chunks is None and self._length is None
        return self._reply(self._data) if until_closed else None

    def _read_head(self) -> bool:
        while True:
            end = self._data.find(b"\r\n\r\n")
            if end < 0:
                if len(self._data) > _LONGEST_HEAD:
                    raise TransportError("not HTTP: headers without an end")
                return False
            head = bytes(self._data[:end]).decode("latin-1")
            del self._data[: end + 4]
            if self._read_headers(head):
                return True  # else an interim reply (1xx), which another one follows

    def _read_headers(self, head: str) -> bool:
        first, *lines = head.split("\r\n")
        version, _, rest = first.partition(" ")
        status = rest[:3]
        if not version.startswith("HTTP/1.") or len(status) != 3 or not status.isdecimal():
            raise TransportError("not HTTP: no status line")
        if status[0] == "1":
            return False
        self._status = int(status)
        for line in lines:
            name, _, value = line.partition(":")
            self._headers[name.strip().lower()] = value.strip()
        connection = self._headers.get("connection", "").lower()
        self.keeps_open = "close" not in connection and (
            version != "HTTP/1.0" or "keep-alive" in connection
        )
        if "chunked" in self._headers.get("transfer-encoding", "").lower():
            self._chunks = bytearray()
        elif self._status in (204, 304):
            self._length = 0
        elif (length := self._headers.get("content-length")) is not None:
            if not (length.isascii() and length.isdecimal()):
                raise TransportError("not HTTP: a Content-Length that is no number")
            self._length = int(length[:20])
        return True

    def _read_chunks(self) -> RawReply | None:
        assert self._chunks is not None
        position = 0
        try:
            while True:
                if self._expects == "data":
                    piece = self._data[position : position + self._left]
                    self._chunks += piece
                    position += len(piece)
                    self._left -= len(piece)
                    if self._left:
                        return None
                    self._expects = "end of data"
                end = self._data.find(b"\r\n", position)
                if end < 0:
                    if len(self._data) - position > _LONGEST_CHUNK_LINE:
                        raise TransportError("not HTTP: a chunk without a size")
                    return None
                line = bytes(self._data[position:end])
                position = end + 2
                if self._read_chunk_line(line):
                    self.keeps_open = self.keeps_open and position == len(self._data)
                    return self._reply(self._chunks)
        finally:
            del self._data[:position]

    def _read_chunk_line(self, line: bytes) -> bool:
        """Take a size, the end of a chunk, or a trailer; return whether the reply is whole."""
        assert self._chunks is not None
        if self._expects == "trailer":
            return not line
        if self._expects == "end of data":
            if line:
                raise TransportError("not HTTP: a chunk that is longer than its size")
            self._expects = "size"
            return False
        size = line.partition(b";")[0].strip()
        if not 0 < len(size) <= 16 or size.strip(b"0123456789abcdefABCDEF"):
            raise TransportError("not HTTP: a chunk without a size")
        self._left = int(size, 16)
        if len(self._chunks) + self._left > self._limit:
            raise TooLongError
        self._expects = "data" if self._left else "trailer"
        return False

    def _reply(self, body: bytearray) -> RawReply:
        return RawReply(self._status, self._headers, bytes(body))


class AiohttpTransport:
    """The same through aiohttp: TLS, proxies from the environment, and whatever else it knows."""

    def __init__(self, address: str, headers: Mapping[str, str]) -> None:
        parts = urlsplit(address)
        self._address = address
        self._headers = headers
        self._by_proxy = _proxied(parts.scheme, parts.hostname or "")
        self._session: aiohttp.ClientSession | None = None

    async def post(
        self, body: bytes, limit: int, patience: float, *, in_pieces: bool = False
    ) -> RawReply:
        """Send one body and return the reply, at most `limit` bytes long."""
        import aiohttp

        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
                headers=dict(self._headers),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=self._by_proxy,
            )
        received = bytearray()
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(patience) as deadline:
            try:
                async with self._session.post(
                    self._address, data=body, allow_redirects=False
                ) as response:
                    async for piece in response.content.iter_any():
                        received += piece
                        if in_pieces:
                            deadline.reschedule(loop.time() + patience)
                        if len(received) > limit:
                            response.close()
                            raise TooLongError
                    headers = {name.lower(): value for name, value in response.headers.items()}
            except (aiohttp.ClientError, OSError) as error:
                if _is_unsafe(error):
                    raise UnsafeError(str(error)) from error
                raise TransportError(f"{type(error).__name__}: {error}") from error
        return _unpacked(RawReply(response.status, headers, bytes(received)), limit)

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()


def _is_unsafe(error: Exception) -> bool:
    """Whether an error of a connection would be the same at every attempt."""
    import ssl

    cause: BaseException | None = getattr(error, "os_error", None)
    cause = cause or getattr(error, "certificate_error", None) or error
    without_tls = isinstance(cause, ssl.SSLError) and cause.reason in _NO_TLS
    return without_tls or isinstance(cause, ssl.CertificateError)


def _unpacked(reply: RawReply, limit: int) -> RawReply:
    """Undo a compression that we did not ask for, within the limit."""
    encoding = reply.headers.get("content-encoding", "identity").strip().lower()
    if encoding in ("", "identity"):
        return reply
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise TransportError(f"the reply is packed as '{encoding}', which was not asked for")
    for window in (47, -15):  # gzip or zlib with a header; some send deflate without one
        unpacker: Any = zlib.decompressobj(window)
        with contextlib.suppress(zlib.error):
            body = unpacker.decompress(reply.body, limit + 1)
            if len(body) > limit:
                raise TooLongError
            if unpacker.eof:
                return RawReply(reply.status, reply.headers, body)
    raise TransportError(f"the reply is not '{encoding}', as its header says")


def _reason(error: OSError) -> str:
    if error.errno and not isinstance(error, socket.gaierror):
        return os.strerror(error.errno)
    return error.strerror or str(error) or type(error).__name__
