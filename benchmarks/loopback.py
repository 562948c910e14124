"""A chat server on loopback in a process of its own, and what bare sockets get out of it."""

from __future__ import annotations

import asyncio
import multiprocessing
import multiprocessing.connection
import time


def started(delay: float, body_of_reply: bytes) -> tuple[multiprocessing.Process, int]:
    """Start a server that answers every request with one body after a delay; return its port."""
    mine, theirs = multiprocessing.Pipe()
    server = multiprocessing.Process(
        target=serve_reply, args=(theirs, delay, body_of_reply), daemon=True
    )
    server.start()
    return server, mine.recv()


def serve_reply(
    connection: multiprocessing.connection.Connection, delay: float, body_of_reply: bytes
) -> None:
    """Answer every request after a delay, with as little work as can be."""
    length_of_reply = len(body_of_reply)
    head = (
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        f"Content-Length: {length_of_reply}\r\n\r\n"
    )
    reply = head.encode() + body_of_reply

    class Answer(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport
            self.buffer = b""

        def data_received(self, data: bytes) -> None:
            self.buffer += data
            headers, found, body = self.buffer.partition(b"\r\n\r\n")
            if not found:
                return
            length = int(headers.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            if len(body) >= length:
                self.buffer = body[length:]
                is_last = b"connection: close" in headers.lower()
                loop.call_later(delay, self.answer, is_last)

        def answer(self, is_last: bool) -> None:
            self.transport.write(reply)  # type: ignore[attr-defined]
            if is_last:
                self.transport.close()

    async def main() -> None:
        server = await loop.create_server(Answer, "127.0.0.1", 0, backlog=1024)
        connection.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    loop = asyncio.new_event_loop()
    loop.run_until_complete(main())


def ceiling(
    port: int, body: bytes, concurrency: int, count: int, length: int
) -> tuple[float, float]:
    """Return requests a second, and CPU milliseconds each, of sockets that know no HTTP.

    `length` is that of the reply's body.
    """
    request = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body
    left = iter(range(count))

    async def work() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in left:
            writer.write(request)
            await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(length)
        writer.close()

    async def main() -> None:
        await asyncio.gather(*(work() for _ in range(concurrency)))

    start, cpu = time.perf_counter(), time.process_time()
    asyncio.run(main())
    seconds, used = time.perf_counter() - start, time.process_time() - cpu
    return count / seconds, 1000 * used / count
