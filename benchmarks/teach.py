"""What share of a server `teach` can use, what its journal takes, and its memory at a million rows.

    python benchmarks/teach.py client [LATENCY...]   # loopback servers; default 0.05 and 2 seconds
    python benchmarks/teach.py store [ROWS]          # default 1,000,000

`client` measures the server's ceiling in the same run, with bare sockets that know no HTTP client,
and prints `teach`'s requests per second as a share of it: prompts filled in, replies of 500 tokens
read and kept. "adaptive" starts at 8 requests and finds its own number.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from pathlib import Path

from results import serve_reply

from cotdistill.hosts.endpoint import Endpoint, endpoint_asker
from cotdistill.teach.asking import Decoding
from cotdistill.teach.engine import Engine
from cotdistill.teach.lesson import Lesson, taught
from cotdistill.teach.questions import Item
from cotdistill.teach.store import Store

WORDS = "First the parts are added and then the sum is divided by what is left of them"
LINE = f"{WORDS}.\n"
REPLY = json.dumps(
    {
        "model": "m",
        "choices": [
            {
                "message": {"content": LINE * 3 + "The answer is 15"},
                "finish_reason": "stop",
                "padding": LINE * 24,
            }
        ],
        "usage": {"prompt_tokens": 420, "completion_tokens": 500},
    }
).encode()


async def ceiling(port: int, body: bytes, concurrency: int, count: int) -> float:
    """Return the requests per second that bare sockets get out of the server."""
    request = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body
    left = iter(range(count))

    async def work() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in left:
            writer.write(request)
            await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(len(REPLY))
        writer.close()

    start = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(concurrency)))
    return count / (time.perf_counter() - start)


def taught_at(port: int, concurrency: int | None, count: int) -> tuple[float, float]:
    """Return requests per second, and milliseconds of CPU time a request, of `teach`."""
    lesson = Lesson(Decoding("m", temperature=0.0, max_tokens=1024), levels=(3,))
    items = (Item(f"q{n}", "toy", "train", f"What is {n} + {n}?", "15") for n in range(count))
    asker = endpoint_asker(Endpoint((f"http://127.0.0.1:{port}/v1",), concurrency=concurrency))
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder)) as store:
        engine = Engine(store, {"": asker})
        start, cpu = time.perf_counter(), time.process_time()
        engine.ask(taught(item, lesson) for item in items)
        seconds, used = time.perf_counter() - start, time.process_time() - cpu
        assert len(store) == count
    return count / seconds, 1000 * used / count


def bench_client(latencies: list[float]) -> None:
    """Print the shares by latency and concurrency; the two take turns, and the best counts."""
    heads = ("latency s", "concurrency", "teach req/s", "bare req/s", "share", "CPU ms/request")
    print("  ".join(f"{head:>14}" for head in heads))
    body = json.dumps({"messages": [{"role": "user", "content": WORDS * 20}]}).encode()
    for latency in latencies:
        mine, theirs = multiprocessing.Pipe()
        server = multiprocessing.Process(
            target=serve_reply, args=(theirs, latency, REPLY), daemon=True
        )
        server.start()
        port = mine.recv()
        for concurrency in (8, 64, 256, None):
            at_once = concurrency or 256
            count = max(200, round(at_once * 3 / latency)) if latency < 1 else 4 * at_once
            bare, made = [], []
            for _ in range(2):
                bare.append(asyncio.run(ceiling(port, body, at_once, count)))
                made.append(taught_at(port, concurrency, count))
            rate, used = max(made)
            cells = [f"{latency:g}", str(concurrency or "adaptive"), f"{rate:,.0f}"]
            cells += [f"{max(bare):,.0f}", f"{rate / max(bare):.0%}", f"{used:.2f}"]
            print("  ".join(f"{cell:>14}" for cell in cells), flush=True)
        server.terminate()
        server.join()


def bench_store(rows: int) -> None:
    """Print rows a second written and opened, and the memory that the index of all takes."""
    text = LINE * 6
    with tempfile.TemporaryDirectory() as folder:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start, cpu = time.perf_counter(), time.process_time()
        with Store(Path(folder)) as store:
            for number in range(rows):
                key = hashlib.sha256(str(number).encode()).hexdigest()[:40]
                record = {"text": text, "finish_reason": "stop", "completion_tokens": 120}
                store.add(key, record, allowance=512, tokens=120, cut=False)
        wall, used = time.perf_counter() - start, time.process_time() - cpu
        print(f"written: {rows / wall:,.0f} rows/s wall, {rows / used:,.0f} rows/s of CPU time")
        start = time.perf_counter()
        with Store(Path(folder)) as store:
            assert len(store) == rows
            print(f"opened: {rows / (time.perf_counter() - start):,.0f} rows/s")
            after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            print(f"memory: {after / 1024:,.0f} MiB at {rows:,} rows ({before / 1024:,.0f} before)")


if __name__ == "__main__":
    which, *rest = sys.argv[1:] or ["client"]
    if which == "client":
        bench_client([float(text) for text in rest] or [0.05, 2.0])
    else:
        bench_store(int(rest[0]) if rest else 1_000_000)
