"""The last tier: sympy in a process of its own, for limits, derivatives, integrals and sums.

The one state that this package keeps: a worker per process, started when first needed, used by
one thread at a time, killed when it is late, and gone with its parent (its input closes). After
a fork the child starts its own. Where the worker is late, or cannot be started, nothing is
decided. Sympy takes longer to load than one pair may take; a first pair may thus stay undecided
while it loads.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import selectors
import subprocess
import sys
import threading
import time
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

from cotdistill.grading.equivalence.tree import Node, walk

_PAIR_SECONDS = 0.4
_START_SECONDS = 0.6  # waited for by a pair that finds no worker
_MOST_NODES = 120
_MOST_LINE = 60_000


def proven(a: Node, b: Node) -> bool | None:
    """Whether sympy can tell that two trees are equal or not; None where it cannot.

    Asked only about trees that hold a sum, product, integral, limit or derivative: values at
    points have decided the others.
    """
    if a == b:
        return True
    parts = [*walk(a), *walk(b)]
    if len(parts) > _MOST_NODES or not any(part.head == "big" for part in parts):
        return None
    line = json.dumps([_plain(a), _plain(b)]) + "\n"
    return _worker(os.getpid()).ask(line) if len(line) <= _MOST_LINE else None


def _plain(node: Node) -> list[Any]:
    said = None if node.number is None else str(node.number)
    return [node.head, node.name, said, [_plain(part) for part in node.args]]


@lru_cache(maxsize=4)
def _worker(pid: int) -> _Worker:
    """Give this process's worker; a forked child has another pid, and so another worker."""
    del pid
    return _Worker()


class _Worker:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.process: subprocess.Popen[str] | None = None
        self.ready = False

    def ask(self, line: str) -> bool | None:
        """Send a pair and wait for the verdict; kill a worker that is late."""
        due = time.monotonic() + _START_SECONDS
        if not self.lock.acquire(timeout=_START_SECONDS):
            return None
        try:
            if not self._started(due):
                return None
            process = self.process
            if process is None or process.stdin is None or process.stdout is None:
                return None
            process.stdin.write(line)
            process.stdin.flush()
            said = _line(process.stdout, min(_PAIR_SECONDS, max(0.0, due - time.monotonic())))
            if said in ("true\n", "false\n", "null\n"):
                return bool(json.loads(said)) if said != "null\n" else None
            self._kill()
        except (OSError, ValueError):
            self._kill()
        finally:
            self.lock.release()
        return None

    def _started(self, due: float) -> bool:
        """Start the worker if there is none, and wait until it is ready or time is up."""
        if self.process is None or self.process.poll() is not None:
            self._kill()
            self.process = subprocess.Popen(
                [sys.executable, "-P", str(Path(__file__).with_name("symbolic_worker.py"))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            atexit.register(_end, self.process, os.getpid())
        if not self.ready and self.process.stdout is not None:
            self.ready = _line(self.process.stdout, max(0.0, due - time.monotonic())) == "ready\n"
        return self.ready

    def _kill(self) -> None:
        process, self.process, self.ready = self.process, None, False
        if process is not None:
            atexit.unregister(_end)
            _end(process, os.getpid())


def _end(process: subprocess.Popen[str], owner: int) -> None:
    """Close a worker when its handle or the interpreter goes, but never from a forked child."""
    if os.getpid() != owner:
        return
    with contextlib.suppress(OSError):
        process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()


def _line(pipe: IO[str], seconds: float) -> str:
    """Read one short line, or nothing when it does not come in time."""
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        return pipe.readline() if selector.select(seconds) else ""
