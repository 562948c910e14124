"""What share of a server `teach` can use, what its journal takes, and its memory at a million rows.

    python benchmarks/teach/bench.py client [LATENCY...]   # default 0.05 and 2 seconds
    python benchmarks/teach/bench.py peers PYTHON          # one that has the packages of peers.txt
    python benchmarks/teach/bench.py store [ROWS]          # default 1,000,000

`client` measures the server's ceiling in the same run, with bare sockets that know no HTTP client,
and prints `teach`'s requests per second as a share of it: prompts filled in, replies of 500 tokens
read, checked and kept; and those of the client alone, whose requests are ready. "adaptive" starts
at 8 requests, finds its own number and is measured once it has. The server has a process of its
own. `peers` lets other programs ask the same server, in turn.
"""

from __future__ import annotations

import hashlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from loopback import ceiling, started

from cotdistill.hosts.endpoint import Endpoint, ask_all, endpoint_asker
from cotdistill.hosts.request import Request
from cotdistill.teach.asking import Decoding
from cotdistill.teach.budget import Spent
from cotdistill.teach.engine import Engine
from cotdistill.teach.lesson import Lesson, taught
from cotdistill.teach.questions import Item
from cotdistill.teach.store import Store

WORDS = "First the parts are added and then the sum is divided by what is left of them"
LINE = f"{WORDS}.\n"
WARMING = 1024  # requests in which 8 at once become 256
REPLY = json.dumps(
    {
        "id": "c-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": LINE * 3 + "The answer is 15"},
                "finish_reason": "stop",
                "padding": LINE * 24,
            }
        ],
        "usage": {"prompt_tokens": 420, "completion_tokens": 500, "total_tokens": 920},
    }
).encode()


def asked_at(port: int, concurrency: int, count: int) -> tuple[float, float]:
    """Return the same of the client alone, with requests that are ready to be sent."""
    message = {"role": "user", "content": WORDS * 20}
    requests = [Request("m", (message,), max_tokens=1024, key=str(n)) for n in range(count)]
    assert all(request.encoded for request in requests)
    replies: list[str] = []
    start, cpu = time.perf_counter(), time.process_time()
    endpoint = Endpoint((f"http://127.0.0.1:{port}/v1",), concurrency=concurrency)
    ask_all(endpoint, iter(requests), lambda _, reply: replies.append(reply.content))
    seconds, used = time.perf_counter() - start, time.process_time() - cpu
    assert len(replies) == count
    return count / seconds, 1000 * used / count


def taught_at(port: int, concurrency: int | None, count: int) -> tuple[float, float]:
    """Return requests per second, and milliseconds of CPU time a request, of `teach`.

    With no number given, further requests come first, in which it is found.
    """
    first = WARMING if concurrency is None else 0
    lesson = Lesson(Decoding("m", temperature=0.0, max_tokens=1024), levels=(3,))
    items = (
        Item(f"q{n}", "toy", "train", f"What is {n} + {n}?", "15") for n in range(first + count)
    )
    asker = endpoint_asker(Endpoint((f"http://127.0.0.1:{port}/v1",), concurrency=concurrency))
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder)) as store:
        began = [(time.perf_counter(), time.process_time())]

        def watch(spent: Spent) -> None:
            if spent.answered == first:
                began.append((time.perf_counter(), time.process_time()))

        engine = Engine(store, {"": asker}, watch=watch)
        engine.ask(taught(item, lesson) for item in items)
        start, cpu = began[-1]
        seconds, used = time.perf_counter() - start, time.process_time() - cpu
        assert len(store) == first + count
    return count / seconds, 1000 * used / count


BODY = json.dumps({"messages": [{"role": "user", "content": WORDS * 20}]}).encode()


def bench_client(latencies: list[float]) -> None:
    """Print the shares by latency and concurrency; all take turns, and the best counts."""
    heads = ("latency s", "concurrency", "bare req/s", "client", "teach", "CPU ms bare", "client")
    print("  ".join(f"{head:>11}" for head in (*heads, "teach")))
    for latency in latencies:
        server, port = started(latency, REPLY)
        for concurrency in (8, 64, 256, None):
            at_once = concurrency or 256
            count = max(200, round(at_once * 3 / latency)) if latency < 1 else 4 * at_once
            bare, alone, made = [], [], []
            for _ in range(2):
                bare.append(ceiling(port, BODY, at_once, count, len(REPLY)))
                alone.append(asked_at(port, at_once, count))
                made.append(taught_at(port, concurrency, count))
            most = max(bare)[0]
            cells = [f"{latency:g}", str(concurrency or "adaptive"), f"{most:,.0f}"]
            cells += [f"{max(each)[0] / most:.0%}" for each in (alone, made)]
            cells += [f"{min(used for _, used in each):.3f}" for each in (bare, alone, made)]
            print("  ".join(f"{cell:>11}" for cell in cells), flush=True)
        server.terminate()
        server.join()


def bench_peers(python: str) -> None:
    """Print requests a second of other programs next to ours, at 64 under way and 50 ms."""
    server, port = started(0.05, REPLY)
    count = 600
    print(f"{'':>24}  {'requests/s':>11}  {'share':>6}  {'CPU ms/request':>14}")
    bare = [ceiling(port, BODY, 64, count, len(REPLY)) for _ in range(2)]
    rows = [("bare sockets", *max(bare)), ("teach", *max(taught_at(port, 64, count) for _ in "12"))]
    for name in sys.argv[3:] or ("openai", "datatrove", "curator"):
        command = [python, str(Path(__file__).with_name("peers.py")), name, str(port), "64"]
        done = subprocess.run(
            [*command, str(count)], capture_output=True, text=True, check=False, timeout=600
        )
        last = done.stdout.strip().rpartition("\n")[2]
        if done.returncode or not last.startswith("{"):
            print(f"{name:>24}  does not run here: {done.stderr.strip().rpartition(chr(10))[2]}")
            continue
        found = json.loads(last)
        rows.append((f"{name} {found['version']}", found["rate"], found["cpu"]))
    bare_again = ceiling(port, BODY, 64, count, len(REPLY))[0]
    most = max(rows[0][1], bare_again)
    for name, rate, used in rows:
        print(f"{name:>24}  {rate:>11,.0f}  {rate / most:>6.0%}  {used:>14.2f}")
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
    elif which == "peers":
        bench_peers(rest[0])
    else:
        bench_store(int(rest[0]) if rest else 1_000_000)
