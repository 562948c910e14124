"""The client against servers that are busy, broken, hostile or gone."""

from __future__ import annotations

import email.utils
import gzip
import http.server
import json
import os
import ssl
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cotdistill.errors import MisuseError
from cotdistill.hosts.endpoint import Endpoint, EndpointError, ask_all
from cotdistill.hosts.http_post import PlainTransport, transport_for
from cotdistill.hosts.request import Reply, Request
from scripted_server import Answer, serving

OK = json.dumps({"choices": [{"message": {"content": "4"}, "finish_reason": "stop"}]}).encode()


def asked(
    *urls: str, count: int = 1, requests: Iterator[Request] | None = None, **changed: Any
) -> tuple[dict[str, Reply], list[str]]:
    """Ask `count` questions, numbered; return the replies by number and what was announced."""
    patience = {"timeout": 2.0, "first_wait": 0.01, "attempts": 4, "concurrency": 4} | changed
    replies: dict[str, Reply] = {}
    lines: list[str] = []

    def take(request: Request, reply: Reply) -> None:
        replies[str(request.messages[0]["content"] if request.messages else request.prompt)] = reply

    ask_all(Endpoint(urls, **patience), requests or numbered(count), take, lines.append)
    return replies, lines


def numbered(count: int, **fields: Any) -> Iterator[Request]:
    for number in range(count):
        yield Request("m", ({"role": "user", "content": str(number)},), **fields)


def echo(body: dict[str, Any], _before: int) -> str:
    return str(body["messages"][0]["content"])


def raw(status: str = "200 OK", body: bytes = OK, **headers: str) -> bytes:
    given = {"Content-Length": str(len(body))} | {
        k.replace("_", "-"): v for k, v in headers.items()
    }
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in given.items() if value)]
    return "\r\n".join([*lines, "", ""]).encode() + body


def chunked(*pieces: bytes) -> bytes:
    chunks = [b"%x;note=1\r\n%s\r\n" % (len(piece), piece) for piece in pieces]
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(chunks) + b"0\r\nTrailer: x\r\n\r\n"


# -- what is sent, and what comes back


def test_many_requests_come_back_under_their_own_names() -> None:
    with serving(echo) as script:
        replies, lines = asked(script.url, count=200, concurrency=16)
    assert {name: reply.content for name, reply in replies.items()} == {
        str(n): str(n) for n in range(200)
    }
    assert lines == []


def test_chat_and_completions_go_to_their_own_addresses() -> None:
    answer: dict[str, Any] = {"choices": [{"text": "4", "message": {"content": "4"}}]}
    requests = [Request("m", prompt="2+2="), next(numbered(1))]
    with serving(lambda *_: answer) as script:
        asked(f"{script.url}/?api-version=7", requests=iter(requests), concurrency=1)
        asked(f"{script.url}/chat/completions", requests=iter(requests), concurrency=1)
    assert script.paths == [
        "/v1/completions?api-version=7",
        "/v1/chat/completions?api-version=7",
        "/v1/completions",
        "/v1/chat/completions",
    ]


@pytest.mark.parametrize(
    "answer",
    [
        chunked(*(OK[start : start + 9] for start in range(0, len(OK), 9))),
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + raw(),
        b"HTTP/1.0 200 OK\r\n\r\n" + OK,
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + OK,
        raw(body=gzip.compress(OK), Content_Encoding="gzip"),
        raw(body=zlib.compress(OK), Content_Encoding="deflate"),
        raw(body=zlib.compress(OK)[2:-4], Content_Encoding="deflate"),
        raw(content_length="", CONTENT_LENGTH=str(len(OK)), Content_Length=""),
        raw(Content_Type="text/plain; charset=utf-16"),
    ],
    ids=["chunked", "interim", "http10", "closed", "gzip", "zlib", "deflate", "case", "charset"],
)  # fmt: skip
def test_every_way_to_frame_a_reply_is_read(answer: bytes) -> None:
    with serving(lambda *_: answer) as script:
        replies, _ = asked(script.url, count=3)
    assert [reply.content for reply in replies.values()] == ["4"] * 3


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (b"", "the server closed the connection (4 attempts)"),
        (raw()[:-9], "the server closed the connection"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "not HTTP: no status line"),
        (b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 50_000, "not HTTP: headers without an end"),
        (raw(Content_Length="many"), "not HTTP: a Content-Length that is no number"),
        (chunked(OK).replace(b";note", b"z;note"), "not HTTP: a chunk without a size"),
        (chunked(OK).replace(b"\r\n0", b"more\r\n0"), "not HTTP: a chunk that is longer"),
        (chunked(OK)[:-2], "the server closed the connection"),
        (raw(Content_Encoding="br"), "packed as 'br', which was not asked for"),
        (raw(Content_Encoding="gzip"), "the reply is not 'gzip', as its header says"),
        ("<nonsense>", "not a completion: <html>busy</html>"),
        (204, "HTTP 204"),
        (999, 'HTTP 999: {"error": "scripted"}'),
        (418, 'HTTP 418: {"error": "scripted"}'),
    ],
)
def test_what_is_no_reply_fails_with_its_reason(answer: Answer, failure: str) -> None:
    with serving(lambda *_: answer) as script:
        replies, _ = asked(script.url)
    assert failure in replies["0"].failure


def test_every_fault_is_tried_again_until_there_is_a_reply() -> None:
    faults: list[Answer] = [
        (429, {"Retry-After": "0.2"}),
        500,
        503,
        "<cut>",
        "<nonsense>",
        529,
        9.0,
    ]

    def decide(body: dict[str, Any], before: int) -> Answer:
        return "4" if before else faults[int(echo(body, 0))]

    with serving(decide) as script:
        replies, _ = asked(script.url, count=len(faults), timeout=2, concurrency=8)
    assert {reply.content for reply in replies.values()} == {"4"}
    assert min(reply.attempts for reply in replies.values()) == 2


# -- bounds


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 200000000\r\n\r\n" + b" " * (1 << 20),
        b"HTTP/1.1 200 OK\r\n\r\n" + b" " * (2 << 20),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n" + b" " * (2 << 20),
        raw(body=gzip.compress(b" " * (64 << 20)), Content_Encoding="gzip"),
    ],
    ids=["announced", "endless", "chunk", "bomb"],
)
def test_a_reply_longer_than_its_tokens_can_be_fails_at_once(answer: bytes) -> None:
    with serving(lambda *_: answer) as script:
        replies, _ = asked(script.url, requests=numbered(1, max_tokens=100))
        assert len(script.bodies) == 1
    assert replies["0"].failure == "the reply is longer than 0.3 MiB"


def test_a_time_that_the_server_names_holds_for_all_and_is_announced() -> None:
    def decide(_: dict[str, Any], before: int) -> Answer:
        return (429, {"Retry-After": "6"}) if not before and len(script.bodies) == 1 else "4"

    with serving(decide) as script:
        replies, lines = asked(script.url, count=6, concurrency=1)
    assert {reply.content for reply in replies.values()} == {"4"}
    assert script.times[1] - script.times[0] >= 5.9
    assert lines == [f'{script.url}: HTTP 429: {{"error": "scripted"}}; waiting 6 s as it asks']


@pytest.mark.parametrize("after", ["99999999", "inf", email.utils.formatdate(4e9)])
def test_a_server_that_asks_for_hours_is_given_up_with_its_words(after: str) -> None:
    started = time.monotonic()
    with (
        serving(lambda *_: (429, {"Retry-After": after})) as script,
        pytest.raises(
            EndpointError, match=r"asks to be left alone for .* \(HTTP 429.*run it again"
        ),
    ):
        asked(script.url, count=5)
    assert time.monotonic() - started < 60


@pytest.mark.parametrize("after", ["-1", "nan", "soon", "2026-01-01", ""])
def test_a_time_that_means_nothing_is_a_short_wait(after: str) -> None:
    with serving(lambda _, before: "4" if before else (429, {"Retry-After": after})) as script:
        replies, _ = asked(script.url)
    assert replies["0"].content == "4"


def test_being_busy_costs_no_attempts_but_not_for_ever() -> None:
    with serving(lambda _, before: "4" if before > 8 else 429) as script:
        replies, _ = asked(script.url, attempts=2, first_wait=0.001)
        assert (replies["0"].content, replies["0"].attempts) == ("4", 10)
    with (
        serving(lambda *_: 429) as script,
        pytest.raises(EndpointError, match=r"no reply for \d s, last: HTTP 429"),
    ):
        asked(script.url, patience=0.5, timeout=0.1, first_wait=0.1)


def test_a_silence_is_announced_with_its_reason() -> None:
    with serving(lambda _, before: "4" if before > 1 else 1.0) as script:
        replies, lines = asked(script.url, silence=0.2, timeout=0.7)
    assert replies["0"].content == "4"
    assert any(line.endswith("s, 1 request under way") for line in lines)
    assert any("last failure: no reply within 0.7 s" in line for line in lines)


# -- servers that refuse or are gone


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (401, "refuses with HTTP 401.*--key-env"),
        (403, "the key may not use this model"),
        (404, "check the address"),
    ],
)
def test_a_refusal_stops_at_once_with_what_to_do(status: int, message: str) -> None:
    with serving(lambda *_: status) as script, pytest.raises(EndpointError, match=message):
        asked(script.url, count=50)
    assert len(script.bodies) <= 4


def test_a_server_that_only_fails_is_given_up() -> None:
    with pytest.raises(EndpointError, match="8 requests in a row failed, last: cannot connect"):
        asked("http://127.0.0.1:9/v1", count=100, attempts=2)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    with serving(echo) as other:
        target = other.url.replace("http://", "http://user:pass-word@") + "/x?key=secret-key"
        redirects = r"a redirect to http://127\.0\.0\.1:.* are not followed"
        with (
            serving(lambda *_: (status, {"Location": target})) as script,
            pytest.raises(EndpointError, match=redirects) as raised,
        ):
            asked(script.url, count=3)
    assert other.bodies == []
    assert "pass-word" not in str(raised.value)
    assert "secret-key" not in str(raised.value)


def test_requests_are_spread_and_none_is_lost_when_a_server_dies() -> None:
    def dying(body: dict[str, Any], _: int) -> Answer:
        return echo(body, 0) if len(dead.bodies) < 20 else "<cut>"

    with serving(echo) as one, serving(echo) as two, serving(dying) as dead:
        replies, lines = asked(one.url, two.url, dead.url, count=400, attempts=3)
    assert {name: reply.content for name, reply in replies.items()} == {
        str(n): str(n) for n in range(400)
    }
    assert min(len(one.bodies), len(two.bodies)) >= 4
    (line,) = lines
    assert line.startswith(f"{dead.url}: ")
    assert line.endswith("the other servers are asked instead")


def test_a_fast_server_answers_more_than_a_slow_one() -> None:
    """Each has its own requests under way, so their shares follow their speeds."""

    def slow(body: dict[str, Any], _: int) -> Answer:
        time.sleep(0.3)  # one at a time: the script holds its lock meanwhile
        return echo(body, 0)

    with serving(echo) as one, serving(slow) as two:
        replies, _ = asked(one.url, two.url, count=60, concurrency=2, timeout=60)
    assert len(replies) == 60
    assert len(one.bodies) > len(two.bodies) > 0


def test_all_servers_that_are_gone_are_named() -> None:
    with serving(lambda *_: 401) as one, serving(lambda *_: 403) as two:
        with pytest.raises(EndpointError) as raised:
            asked(one.url, two.url, count=40)
        assert [fault.place for fault in raised.value.faults] == [one.url, two.url]


# -- what is never printed or sent


def test_a_key_or_password_that_a_server_repeats_is_not_shown() -> None:
    def decide(*_: Any) -> Answer:
        echoed = " ".join(f"{k}: {v}" for k, v in script.headers[-1].items())
        path = script.paths[-1]
        return raw("400 Bad Request", f"{echoed} {path} hunter22".encode())

    with serving(decide) as script:
        url = script.url.replace("http://", "http://me:hunter22@")
        by_password, _ = asked(f"{url}?api-key=abcdef123")
        by_key, _ = asked(url, key="sk-1234567890\n")
    assert script.headers[0]["authorization"] == "Basic bWU6aHVudGVyMjI="
    assert script.headers[1]["authorization"] == "Bearer sk-1234567890"
    assert "authorization: Basic ***" in by_password["0"].failure
    for secret in ("hunter22", "bWU6aHVudGVyMjI", "abcdef123", "sk-1234567890"):
        assert secret not in by_password["0"].failure + by_key["0"].failure
    with pytest.raises(EndpointError) as raised:
        asked("http://me:hunter22@127.0.0.1:9/v1?api-key=abcdef123", attempts=1, count=9)
    assert str(raised.value).startswith("http://127.0.0.1:9/v1: ")
    assert "hunter22" not in str(raised.value)
    assert "abcdef123" not in str(raised.value)


def test_control_characters_of_a_server_do_not_reach_the_terminal() -> None:
    with serving(lambda *_: raw("400 x", "\x1b[2Jgone\u202e".encode())) as script:
        replies, _ = asked(script.url)
    assert replies["0"].failure == "HTTP 400: \ufffd[2Jgone\ufffd"


@pytest.mark.parametrize("url", ["127.0.0.1:8000/v1", "", "ftp://x/v1", "http://", "http://h:x/v1"])
def test_an_address_that_is_none_is_refused_before_anything_is_asked(url: str) -> None:
    with pytest.raises(MisuseError, match="is not the address of a server; expected http://HOST"):
        asked(url)


@pytest.mark.parametrize("key", ["sk-\n12345678", "sk-ключ-123"])
def test_a_key_that_cannot_be_sent_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(MisuseError, match="the endpoint's key holds characters") as raised:
        asked("http://127.0.0.1:9/v1", key=key)
    assert key not in str(raised.value)


# -- TLS and proxies, which aiohttp does


@pytest.fixture
def encrypted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a server with a certificate of its own."""
    pytest.importorskip("aiohttp")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-keyout", key,
         "-out", certificate, "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
        check=True, capture_output=True,
    )  # fmt: skip

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", str(len(OK)))
            self.end_headers()
            self.wfile.write(OK)

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.01), daemon=True)
    thread.start()
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    yield f"https://localhost:{server.server_port}/v1"
    server.shutdown()
    server.server_close()
    thread.join()


def test_an_encrypted_server_is_asked_and_its_certificate_checked(
    encrypted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[2])\n"
        "from test_endpoint import asked\n"
        "print(asked(sys.argv[1], count=3, attempts=1)[0]['2'])"
    )  # in a process of its own: aiohttp reads the certificates once, when it is imported
    command = [sys.executable, "-c", code, encrypted, str(Path(__file__).parent)]
    environment = {"PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, **environment}
    )
    assert "content='4'" in done.stdout
    monkeypatch.delenv("SSL_CERT_FILE")
    done = subprocess.run(
        command, capture_output=True, text=True, check=False,
        env={k: v for k, v in os.environ.items() if k != "SSL_CERT_FILE"} | environment,
    )  # fmt: skip
    assert "refuses with" in done.stderr
    assert "CERTIFICATE_VERIFY_FAILED" in done.stderr
    assert "a certificate that this machine trusts" in done.stderr


def test_a_server_without_tls_is_asked_once_and_its_address_doubted() -> None:
    pytest.importorskip("aiohttp")
    with serving(echo) as server:
        address = server.url.replace("http://", "https://")
        with pytest.raises(EndpointError, match="should the address begin with http://") as raised:
            asked(address, count=50, attempts=6)
        assert "WRONG_VERSION_NUMBER" in str(raised.value)
        assert server.bodies == []


def test_a_proxy_from_the_environment_is_used_but_not_for_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("aiohttp")
    with serving(echo) as proxy, serving(echo) as local:
        monkeypatch.setenv("http_proxy", proxy.url.removesuffix("/v1"))
        replies, _ = asked("http://models.example/v1", count=2)
        assert {name: reply.content for name, reply in replies.items()} == {"0": "0", "1": "1"}
        assert proxy.paths == ["http://models.example/v1/chat/completions"] * 2
        asked(local.url)
        monkeypatch.setenv("no_proxy", "models.example")
        assert isinstance(transport_for("http://models.example/v1", {}), PlainTransport)
    assert len(local.bodies) == 1


def test_bounds_and_redirects_hold_through_aiohttp_too(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("aiohttp")
    bomb, packed = (
        raw(body=gzip.compress(body), Content_Encoding="gzip") for body in (b" " * (64 << 20), OK)
    )
    answers: dict[str, Answer] = {"0": bomb, "1": "<cut>", "2": packed}

    def decide(body: dict[str, Any], _: int) -> Answer:
        return answers[echo(body, 0)]

    with serving(decide) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url.removesuffix("/v1"))
        replies, _ = asked(
            "http://models.example/v1", requests=numbered(3, max_tokens=10), attempts=2
        )
    assert replies["0"].failure == "the reply is longer than 0.3 MiB"
    assert "ServerDisconnectedError" in replies["1"].failure
    assert replies["2"].content == "4"
    with serving(lambda *_: (307, {"Location": "http://elsewhere.example/"})) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url.removesuffix("/v1"))
        with pytest.raises(EndpointError, match=r"a redirect to http://elsewhere\.example/"):
            asked("http://models.example/v1")
