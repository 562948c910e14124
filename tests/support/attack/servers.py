"""Servers that misbehave: each answers requests with bytes, slowly or not, or not at all."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

Connection = socket.socket
Behave = Callable[[Connection, int], None]
"""Answers one request on a connection; the number counts the requests before it."""

Expected = Literal["answered", "failed", "either"]


@dataclass(frozen=True)
class Behaviour:
    """What a server does, and whether a client can have an answer from it."""

    name: str
    behave: Behave
    expected: Expected = "failed"


@dataclass
class Misbehaving:
    """A server on loopback: where it is, and how many requests came."""

    port: int = 0
    requests: list[bytes] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"


@contextlib.contextmanager
def misbehaving(behave: Behave) -> Iterator[Misbehaving]:
    """Run a server for the length of the block; connections are served one thread each."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = Misbehaving(listening.getsockname()[1])
    lock = threading.Lock()
    opened: list[Connection] = []

    def serve(connection: Connection) -> None:
        with contextlib.suppress(OSError), connection:
            while request := _request(connection):
                with lock:
                    before = len(server.requests)
                    server.requests.append(request)
                behave(connection, before)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listening.accept()
                opened.append(connection)
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        with contextlib.suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        for connection in opened:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def _request(connection: Connection) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        block = connection.recv(1 << 16)
        if not block:
            return b""
        data += block
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1])
        for line in head.split(b"\r\n")
        if line.lower().startswith(b"content-length:")
    )
    while len(body) < length:
        block = connection.recv(1 << 16)
        if not block:
            return b""
        body += block
    return head + b"\r\n\r\n" + body


RIGHT = '{"verdict": "correct", "reason": "same"}'


def completion(content: Any = RIGHT, **fields: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": content}
    return {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], **fields}


def response(
    body: bytes, status: str = "200 OK", *headers: str, length: int | None = None
) -> bytes:
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", *headers]
    lines.append(f"Content-Length: {len(body) if length is None else length}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


GOOD = response(json.dumps(completion()).encode())


def sends(data: bytes, *, close: bool = False) -> Behave:
    def behave(connection: Connection, _: int) -> None:
        connection.sendall(data)
        if close:
            connection.shutdown(socket.SHUT_RDWR)

    return behave


def says(body: Any, status: str = "200 OK", *headers: str) -> Behave:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return sends(response(data, status, *headers))


def once(first: Behave) -> Behave:
    """Misbehave at the first request only."""

    def behave(connection: Connection, number: int) -> None:
        if number:
            connection.sendall(GOOD)
        else:
            first(connection, number)

    return behave


def drips(data: bytes, pause: float, size: int = 1) -> Behave:
    def behave(connection: Connection, _: int) -> None:
        for start in range(0, len(data), size):
            connection.sendall(data[start : start + size])
            time.sleep(pause)

    return behave


def without_end(head: bytes, piece: bytes) -> Behave:
    def behave(connection: Connection, _: int) -> None:
        connection.sendall(head)
        while True:
            connection.sendall(piece)

    return behave


def hangs(connection: Connection, _: int) -> None:
    with contextlib.suppress(OSError):
        connection.recv(1)


def cuts(connection: Connection, _: int) -> None:
    connection.shutdown(socket.SHUT_RDWR)


def resets(connection: Connection, _: int) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def half_closes(connection: Connection, _: int) -> None:
    connection.sendall(GOOD[: len(GOOD) // 2])
    connection.shutdown(socket.SHUT_WR)


def redirects(status: int, place: str) -> Behave:
    return says(b"", f"{status} Elsewhere", f"Location: {place}")


def chunked(*chunks: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + end


def compressed(data: bytes, how: str) -> bytes:
    body = gzip.compress(data, mtime=0) if how == "gzip" else zlib.compress(data)
    return response(body, "200 OK", f"Content-Encoding: {how}")


BOMB = gzip.compress(bytes(64 << 20), mtime=0)
BODY = json.dumps(completion()).encode()

STATUSES = [
    "100 Continue", "199 Odd", "201 Created", "202 Accepted", "203 Other", "204 No Content",
    "205 Reset", "206 Partial", "300 Choices", "304 Not Modified", "400 Bad", "402 Pay",
    "403 Forbidden", "404 Not Found", "405 Method", "407 Proxy", "408 Timeout", "409 Conflict",
    "410 Gone", "413 Large", "415 Type", "418 Teapot", "422 Unprocessable", "424 Dependency",
    "429 Busy", "431 Headers", "451 Law", "499 Closed", "500 Error", "501 Not", "502 Gateway",
    "503 Busy", "504 Late", "507 Full", "520 Odd", "529 Overloaded", "599 Odd", "999 Nothing",
]  # fmt: skip

BEHAVIOURS = [
    Behaviour("answers", says(completion()), "answered"),
    *(Behaviour(f"status {status}", says({"error": "scripted"}, status), "either")
      for status in STATUSES),
    *(Behaviour(f"once {status}", once(says({"error": "scripted"}, status)), "either")
      for status in ("408 Timeout", "429 Busy", "500 Error", "502 Gateway", "503 Busy")),
    *(Behaviour(f"Retry-After {after}",
                once(says({}, "429 Busy", f"Retry-After: {after}")), "either")
      for after in ("0", "-1", "nan", "inf", "99999999", "1e400", "tomorrow", "",
                    "Thu, 01 Jan 1970 00:00:00 GMT", "9" * 5000, "0x10")),
    # connections
    Behaviour("cuts", cuts),
    Behaviour("cuts once", once(cuts), "answered"),
    Behaviour("resets", resets),
    Behaviour("resets once", once(resets), "answered"),
    Behaviour("half closes", half_closes),
    Behaviour("hangs", hangs),
    Behaviour("hangs once", once(hangs), "answered"),
    Behaviour("sends half of the head", sends(GOOD[:30], close=True)),
    Behaviour("sends half of the body", sends(GOOD[:-20], close=True)),
    Behaviour("promises more than it sends", sends(response(BODY, length=10**6))),
    Behaviour("promises less than it sends", sends(response(BODY, length=20)), "either"),
    Behaviour("promises a terabyte", sends(response(BODY, length=10**12))),
    Behaviour("promises a negative length", sends(response(BODY, length=-1), close=True), "either"),
    Behaviour("drips the head", drips(GOOD, 0.05), "either"),
    Behaviour("drips the body", drips(GOOD, 0.02, 40), "either"),
    Behaviour("answers twice", sends(GOOD + GOOD), "either"),
    Behaviour("answers before the question ends", sends(b"\r\n" + GOOD), "either"),
    # HTTP
    Behaviour("speaks no HTTP", sends(b"SSH-2.0-OpenSSH_9.6\r\n", close=True)),
    Behaviour("speaks TLS", sends(b"\x15\x03\x01\x00\x02\x02\x28", close=True)),
    Behaviour("speaks HTTP/2", sends(b"\x00\x00\x12\x04" + bytes(20), close=True)),
    Behaviour("speaks HTTP/0.9", sends(BODY, close=True)),
    Behaviour("speaks HTTP/1.0", sends(b"HTTP/1.0 200 OK\r\n\r\n" + BODY, close=True), "answered"),
    Behaviour("has a status of letters", sends(b"HTTP/1.1 abc OK\r\n\r\n", close=True)),
    Behaviour("has a negative status", sends(b"HTTP/1.1 -200 OK\r\n\r\n", close=True)),
    Behaviour("has 200 KB of header", sends(response(BODY, "200 OK", "X: " + "x" * 200_000)),
              "either"),
    Behaviour("has 10,000 headers", sends(response(BODY, "200 OK", *["X: y"] * 10_000)), "either"),
    Behaviour("has headers without end", without_end(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 99)),
    Behaviour("has a header without a colon",
              sends(response(BODY, "200 OK", "nonsense")), "either"),
    Behaviour("has two lengths", sends(response(BODY, "200 OK", "Content-Length: 5")), "either"),
    Behaviour("has length and chunks",
              sends(response(BODY, "200 OK", "Transfer-Encoding: chunked")), "either"),
    Behaviour("has an odd encoding of transfer",
              sends(response(BODY, "200 OK", "Transfer-Encoding: magic")), "either"),
    Behaviour("has chunks", sends(chunked(BODY[:20], BODY[20:])), "answered"),
    Behaviour("has chunks of one byte",
              sends(chunked(*[BODY[i : i + 1] for i in range(len(BODY))])), "answered"),
    Behaviour("has a chunk of a wrong size",
              sends(chunked(BODY).replace(b"\r\n\r\n", b"\r\n\r\nfff"), close=True)),
    Behaviour("has a chunk of letters", sends(chunked(end=b"zz\r\n"), close=True)),
    Behaviour("has a chunk of a terabyte", sends(chunked(end=b"ffffffffffff\r\nx"), close=True)),
    Behaviour("has a chunk of minus one", sends(chunked(end=b"-1\r\nx"), close=True)),
    Behaviour("has chunks without end",
              without_end(chunked(end=b""), b"400\r\n" + b" " * 0x400 + b"\r\n")),
    Behaviour("has no last chunk", sends(chunked(BODY, end=b""), close=True), "either"),
    Behaviour("has trailers", sends(chunked(BODY, end=b"0\r\nX: y\r\n\r\n")), "answered"),
    # bodies
    Behaviour("sends 100 MB", says(b" " * (100 << 20))),
    Behaviour("sends without end", without_end(b"HTTP/1.1 200 OK\r\n\r\n", b" " * 65536)),
    Behaviour("sends a bomb", sends(response(BOMB, "200 OK", "Content-Encoding: gzip"))),
    Behaviour("sends a bomb in a bomb",
              sends(response(gzip.compress(BOMB, mtime=0), "200 OK",
                             "Content-Encoding: gzip, gzip"))),
    Behaviour("sends gzip", sends(compressed(BODY, "gzip")), "either"),
    Behaviour("sends deflate", sends(compressed(BODY, "deflate")), "either"),
    Behaviour("sends half of gzip",
              sends(response(gzip.compress(BODY)[:-9], "200 OK", "Content-Encoding: gzip"))),
    Behaviour("says gzip and sends none", says(BODY, "200 OK", "Content-Encoding: gzip"), "either"),
    Behaviour("says brotli", says(BODY, "200 OK", "Content-Encoding: br"), "either"),
    Behaviour("sends nothing", says(b"")),
    Behaviour("sends HTML", says(b"<html>busy</html>", "200 OK", "Content-Type: text/html")),
    Behaviour("sends half of JSON", says(BODY[:-5])),
    Behaviour("sends bytes that are no UTF-8", says(b'{"choices": "\xff\xfe"}')),
    Behaviour("sends UTF-16", says(BODY.decode().encode("utf-16")), "either"),
    Behaviour("sends a byte order mark", says(b"\xef\xbb\xbf" + BODY), "either"),
    Behaviour("sends Latin-1 as it says", says(BODY, "200 OK", "Content-Type: x; charset=latin-1"),
              "answered"),
    Behaviour("says a charset of its own", says(BODY, "200 OK", "Content-Type: x; charset=klingon"),
              "answered"),
    Behaviour("sends nested lists", says(b"[" * 100_000 + b"]" * 100_000)),
    Behaviour("sends nested objects", says(b'{"a":' * 100_000)),
    Behaviour("sends a million digits", says(b'{"choices": ' + b"9" * 10**6 + b"}")),
    Behaviour("sends events", says(b"data: " + BODY + b"\n\ndata: [DONE]\n\n", "200 OK",
                                   "Content-Type: text/event-stream"), "either"),
    # answers
    *(Behaviour(f"sends {name}", says(body)) for name, body in {
        "null": None, "a list": [], "an object": {}, "a text": "text", "a number": 5,
        "no choices": {"choices": []}, "choices that are null": {"choices": None},
        "choices of null": {"choices": [None]}, "choices of text": {"choices": ["text"]},
        "choices that are an object": {"choices": {"0": {}}},
        "no message": {"choices": [{"index": 0}]},
        "a message of null": {"choices": [{"message": None}]},
        "no content": {"choices": [{"message": {"role": "assistant"}}]},
        "content of null": completion(None), "content of nothing": completion(""),
        "content of a number": completion(5),
        "a call of a tool": {"choices": [{"message": {"content": None, "tool_calls": [{}]},
                                          "finish_reason": "tool_calls"}]},
        "a filtered answer": {"choices": [{"message": {"content": ""},
                                           "finish_reason": "content_filter"}]},
        "an error in a 200": {"error": {"message": "overloaded", "code": 529}},
    }.items()),
    *(Behaviour(f"answers with {name}", says(body), "either") for name, body in {
        "usage of infinity": completion(usage={"prompt_tokens": float("inf")}),
        "usage of nothing": completion(usage={"prompt_tokens": None, "completion_tokens": []}),
        "usage of minus": completion(usage={"prompt_tokens": -(10**18)}),
        "usage of 4,200 digits": completion(usage={"completion_tokens": 10**4200}),
        "usage of text": completion(usage="many"),
        "another model": completion(model="another/model"),
        "a model of null": completion(model=None, id=None, created="never"),
        "half a surrogate": completion('{"verdict": "correct", "reason": "half \ud800"}'),
        "control characters": completion('{"verdict": "wrong", "reason": "\u001b[2J\u202e"}'),
        "LaTeX": completion('{"verdict": "wrong", "reason": "\\frac{1}{2}"}'),
        "no verdict": completion("I cannot say."),
        "a verdict of its own": completion('{"verdict": "maybe"}'),
        "a thousand verdicts": completion(RIGHT * 1000),
        "open thoughts": completion("<think>" * 5000 + RIGHT),
        "parts": completion([{"type": "text", "text": RIGHT}]),
        "parts of nothing": completion([None, 5, {}, {"type": "image"}]),
        "a list of a list": completion([[RIGHT]]),
        "two choices": {"choices": completion()["choices"] * 2},
        "a wrong index": {"choices": [completion()["choices"][0] | {"index": "last"}]},
        "log probabilities of nonsense":
            {"choices": [completion()["choices"][0] | {"logprobs": {"content": [None, 5, "x"]}}]},
    }.items()),
]  # fmt: skip
"""Redirects need a second server: tests/attack/test_servers.py."""
