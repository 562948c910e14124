"""How many requests are under way: found out, cut when refused, held where more only queue."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from cotdistill.hosts.endpoint import Endpoint, EndpointError, ask_all
from cotdistill.hosts.limiter import Limiter
from cotdistill.hosts.request import Reply, Request
from scripted_server import serving
from slow_server import SlowServer, completion, slow_server


def echo(body: dict[str, Any]) -> str:
    return str(body["messages"][0]["content"])


def asked(*servers: SlowServer | str, count: int, **how: Any) -> tuple[dict[str, Reply], list[str]]:
    urls = tuple(one if isinstance(one, str) else one.url for one in servers)
    replies: dict[str, Reply] = {}
    lines: list[str] = []

    def take(request: Request, reply: Reply) -> None:
        replies[str(request.messages[0]["content"])] = reply

    def requests() -> Iterator[Request]:
        for number in range(count):
            yield Request("m", ({"role": "user", "content": str(number)},), **fields)

    fields = how.pop("fields", {})
    ask_all(Endpoint(urls, **({"first_wait": 0.01} | how)), requests(), take, lines.append)
    return replies, lines


def windows(limiter: Limiter, seconds: float, rounds: int, capacity: int = 1 << 30) -> list[int]:
    """Feed a limiter the replies of a server that serves `capacity` requests at once."""
    now, limits = 0.0, []
    for _ in range(rounds):
        limit = limiter.limit
        took = seconds * max(1.0, limit / capacity)
        for _ in range(max(limit, 8)):
            limiter.answered(now, limit, 10, now + took)
        now += took
        limits.append(limiter.limit)
    return limits


def test_the_number_doubles_while_that_brings_more_replies() -> None:
    assert windows(Limiter(8, 256), 0.05, 6) == [16, 32, 64, 128, 256, 256]


def test_the_number_stays_where_more_requests_only_queue() -> None:
    limits = windows(Limiter(8, 256), 0.05, 12, capacity=32)
    assert limits[:3] == [16, 32, 64]
    assert set(limits[3:]) == {32}


def test_one_burst_of_refusals_cuts_once() -> None:
    limiter = Limiter(64, 256)
    cuts = [limiter.refused(64) for _ in range(64)]
    assert (sum(cuts), limiter.limit) == (1, 48)
    assert windows(limiter, 0.05, 3) == [49, 50, 51]


def test_a_patient_server_is_asked_more_and_more_at_once() -> None:
    with slow_server(echo, latency=0.5) as server:  # so slow that no machine is the limit
        replies, _ = asked(server, count=200)
    assert len(replies) == 200
    assert server.under_way_most >= 32


def test_a_server_that_queues_is_not_asked_hundreds_at_once() -> None:
    with slow_server(echo, latency=0.3, capacity=16) as server:
        replies, _ = asked(server, count=250)
    assert len(replies) == 250
    assert 16 <= server.under_way_most <= 128


def test_a_server_with_a_limit_loses_nothing_and_is_refused_little() -> None:
    with slow_server(echo, latency=0.02, capacity=12, refuses=True) as server:
        replies, _ = asked(server, count=600)
    assert sorted(replies, key=int) == [str(n) for n in range(600)]
    assert not any(reply.failure for reply in replies.values())
    assert 0 < server.statuses[429] < 600


def test_shares_follow_the_speeds_of_servers() -> None:
    with (
        slow_server(echo, latency=0.1) as fast,
        slow_server(echo, latency=0.25) as middle,
        slow_server(echo, latency=0.6) as slow,
    ):
        replies, _ = asked(fast, middle, slow, count=200, concurrency=4)
    assert len(replies) == 200
    assert len(fast.bodies) > len(middle.bodies) > len(slow.bodies) >= 4


def test_a_server_that_comes_back_is_asked_again() -> None:
    down = threading.Event()
    failures: list[str | None] = []
    lines: list[str] = []

    def say(line: str) -> None:
        lines.append(line)
        down.set()

    def requests(other: SlowServer) -> Iterator[Request]:
        for number in range(100_000):
            if other.answered:
                return
            yield Request("m", ({"role": "user", "content": str(number)},))

    with slow_server(echo, latency=0.01) as good, slow_server(echo) as other:
        other.decide = lambda body: echo(body) if down.is_set() else 500
        endpoint = Endpoint(
            (good.url, other.url), first_wait=0.01, attempts=2, concurrency=2, revived_after=0.2
        )
        ask_all(endpoint, requests(other), lambda _, reply: failures.append(reply.failure), say)
    assert other.answered > 0
    assert not any(failures)
    assert "the other servers are asked instead" in lines[0]


@pytest.mark.parametrize(
    ("answer", "message"),
    [(402, "no credit left"), ({"quota": 1}, "no credit left")],
)
def test_an_account_without_credit_ends_the_run_with_that_reason(answer: Any, message: str) -> None:
    body = b'{"error": {"code": "insufficient_quota"}}'
    raw = b"HTTP/1.1 429 X\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    with (
        serving(lambda *_: raw if isinstance(answer, dict) else answer) as script,
        pytest.raises(EndpointError, match=message),
    ):
        asked(script.url, count=20, concurrency=2)
    assert len(script.bodies) <= 3


def test_the_reset_header_is_kept_to_where_retry_after_is_missing() -> None:
    def decide(_: dict[str, Any], before: int) -> Any:
        return (429, {"x-ratelimit-reset-requests": "700ms"}) if not before else "4"

    with serving(decide) as script:
        asked(script.url, count=1)
    assert script.times[1] - script.times[0] >= 0.69


# -- streams


def test_a_stream_is_put_together_to_the_reply_that_one_piece_would_be() -> None:
    long = "The answer is 42. " * 20
    with slow_server(lambda _: long) as server:
        whole, _ = asked(server, count=1, stream=False)
        pieces, _ = asked(server, count=1, stream=True)
    assert whole["0"] == pieces["0"]
    assert [body.get("stream") for body in server.bodies] == [None, True]
    assert whole["0"].content == long


def test_only_long_replies_are_streamed_unless_told_otherwise() -> None:
    with slow_server(lambda _: "4") as server:
        asked(server, count=1, fields={"max_tokens": 8192})
        asked(server, count=1, fields={"max_tokens": 8193})
    assert [body.get("stream") for body in server.bodies] == [None, True]


@pytest.mark.parametrize("stream", [b"", b'data: {"choices": [{"delta": {"content": "4"}}]}\n\n'])
def test_a_stream_without_an_end_is_a_cut_and_never_a_short_answer(stream: bytes) -> None:
    raw = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + stream
    with serving(lambda *_: raw) as script:
        replies, _ = asked(script.url, count=1, stream=True, attempts=2)
    assert replies["0"].failure
    assert "4" not in replies["0"].content


def test_a_stream_may_last_longer_than_a_silence_may() -> None:
    """The server sends a piece every 0.4 s for 2.4 s; a silence of 2 s would end it."""
    ready = threading.Event()
    port = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(6):
            await asyncio.sleep(0.4)
            writer.write(b'data: {"choices": [{"delta": {"content": "4"}}]}\n\n')
            await writer.drain()
        writer.write(b"data: [DONE]\n\n")
        writer.close()

    async def run() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port.append(server.sockets[0].getsockname()[1])
        ready.set()
        await done.wait()
        server.close()

    loop = asyncio.new_event_loop()
    done = asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(run()), daemon=True)
    thread.start()
    assert ready.wait(60)
    started = time.monotonic()
    replies, _ = asked(
        f"http://127.0.0.1:{port[0]}/v1", count=1, stream=True, idle=2.0, timeout=2.0
    )
    loop.call_soon_threadsafe(done.set)
    thread.join(5)
    loop.close()
    assert replies["0"].content == "444444"
    assert time.monotonic() - started > 2.0


def test_a_reply_that_counts_tokens_keeps_all_kinds_of_them() -> None:
    def decide(body: dict[str, Any]) -> dict[str, Any]:
        reply = completion("4", 9, body)
        reply["usage"] |= {
            "prompt_tokens_details": {"cached_tokens": 16},
            "completion_tokens_details": {"reasoning_tokens": 5},
        }
        return dict(reply)

    with slow_server(decide) as server:
        replies, _ = asked(server, count=1)
    usage = replies["0"].usage
    assert (usage.prompt_tokens, usage.completion_tokens) == (20, 9)
    assert (usage.cached_tokens, usage.reasoning_tokens) == (16, 5)
