"""A chat server on loopback that takes its time and serves so many requests at once, as vLLM does.

It runs in a thread of the test, so that it outlives the programs that ask it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

Decide = Callable[[dict[str, Any]], "str | int | dict[str, Any]"]


@dataclass
class SlowServer:
    """`decide` gives a text, a whole reply, or an HTTP status for a request's body.

    `latency` seconds pass before a reply; `capacity` requests are served at once, the others wait,
    or get status 429 where `refuses` is set. `bodies` are all requests, `under_way_most` is how
    many were here at once.
    """

    decide: Decide
    latency: float = 0.0
    capacity: int = 1 << 30
    refuses: bool = False
    tokens: int = 7
    url: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[str] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    under_way: int = 0
    under_way_most: int = 0
    answered: int = 0
    is_down: bool = False


@contextlib.contextmanager
def slow_server(decide: Decide, **how: Any) -> Iterator[SlowServer]:
    """Run a server for the length of the block."""
    server = SlowServer(decide, **how)
    loop = asyncio.new_event_loop()
    ready = threading.Event()
    stop = asyncio.Event()
    writers: list[asyncio.StreamWriter] = []

    async def run() -> None:
        room = asyncio.Semaphore(server.capacity)

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writers.append(writer)
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                while not server.is_down:
                    head = (await reader.readuntil(b"\r\n\r\n")).decode()
                    length = int(head.lower().split("content-length:")[1].split("\r\n")[0])
                    body = json.loads(await reader.readexactly(length))
                    status, data, kind = await _answer(server, room, head, body)
                    writer.write(
                        f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\n"
                        f"Content-Length: {len(data)}\r\n\r\n".encode()
                        + data
                    )
                    await writer.drain()
            writer.close()

        listener = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=1024)
        server.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/v1"
        ready.set()
        await stop.wait()
        listener.close()

    async def leave() -> None:
        stop.set()

    async def end() -> None:
        tasks = asyncio.all_tasks(loop) - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(0)

    def target() -> None:
        loop.run_until_complete(run())
        loop.run_until_complete(end())
        loop.close()

    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(leave(), loop)
        thread.join(10)


async def _answer(
    server: SlowServer, room: asyncio.Semaphore, head: str, body: dict[str, Any]
) -> tuple[int, bytes, str]:
    server.bodies.append(body)
    server.headers.append(head)
    if server.refuses and server.under_way >= server.capacity:
        server.statuses[429] += 1
        return 429, b'{"error": "busy"}', "application/json"
    server.under_way += 1
    server.under_way_most = max(server.under_way_most, server.under_way)
    try:
        async with room:
            await asyncio.sleep(server.latency)
            found = server.decide(body)
    finally:
        server.under_way -= 1
    status = found if isinstance(found, int) else 200
    server.statuses[status] += 1
    if isinstance(found, int):
        return found, b'{"error": "scripted"}', "application/json"
    server.answered += 1
    reply = found if isinstance(found, dict) else completion(found, server.tokens, body)
    if body.get("stream"):
        return 200, events(reply), "text/event-stream"
    return 200, json.dumps(reply).encode(), "application/json"


def completion(text: str, tokens: int, body: dict[str, Any], finish: str = "stop") -> Any:
    """Return a whole reply with one choice."""
    return {
        "model": body.get("model"),
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": text}, "text": text,
             "finish_reason": finish}
        ],
        "usage": {"prompt_tokens": 20, "completion_tokens": tokens},
    }  # fmt: skip


def events(reply: dict[str, Any]) -> bytes:
    """Return a reply as a stream, its content in pieces of three characters."""
    (choice,) = reply["choices"]
    message = dict(choice["message"])
    content = message.pop("content", "")
    pieces = [content]
    if isinstance(content, str):
        pieces = [content[start : start + 3] for start in range(0, len(content), 3)]
    parts: list[dict[str, Any]] = [{"delta": message}]
    parts += [{"delta": {"content": piece}} for piece in pieces]
    parts.append({"delta": {}, "finish_reason": choice.get("finish_reason")})
    lines = [json.dumps({"model": reply.get("model"), "choices": [part]}) for part in parts]
    lines += [json.dumps({"choices": [], "usage": reply.get("usage")}), "[DONE]"]
    return "".join(f"data: {line}\n\n" for line in lines).encode()
