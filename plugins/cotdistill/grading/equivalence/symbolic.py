"""The last tier: sympy in a process of its own, for limits, derivatives, integrals and sums.

The only state that this package keeps: one worker for each process, used by one thread at a time,
and gone with its parent (its input closes). After a fork the child starts its own. `prepare`
starts it as soon as a text is seen that may need it, so that sympy loads while the cheaper tiers
work; a pair that needs it waits until it is loaded.

Each pair has a budget of CPU time inside the worker, so that the verdict is the same on a busy
machine. The wall clock only guards against a worker that hangs.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import re
import selectors
import subprocess
import sys
import threading
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

from cotdistill.grading.equivalence.tree import Node, walk

LOAD_SECONDS = 120  # of wall clock; sympy loads in half a second of CPU time
PAIR_SECONDS = 60  # of wall clock, a hundred times the CPU time
_MOST_NODES = 120
_MOST_LINE = 60_000
CPU_SECONDS = 0.5  # of sympy's time for one pair of answers
_NEEDED_FOR = re.compile(r"\\i*int(?![a-z])|\\lim(?![a-z])|\\sum(?![a-z])|\\prod(?![a-z])"
                         r"|[dt]?frac\s?\{?d(?![a-zA-Z])|[∫∑∏]")  # fmt: skip


@dataclass
class SymbolicBudget:
    """The CPU time that one pair of answers may still take in the worker."""

    left: float = CPU_SECONDS
    timed_out: bool = False


def prepare(text: str) -> None:
    r"""Start the worker, without waiting for it, if a text may need the symbolic tier.

    >>> prepare("x^2 + 1")
    """
    if _NEEDED_FOR.search(text):
        _worker(os.getpid()).prepare()


def proven(a: Node, b: Node, budget: SymbolicBudget) -> bool | None:
    """Whether sympy can tell that two trees are equal or not; None where it cannot.

    Asked only about trees that contain a sum, product, integral, limit or derivative: values at
    points have decided the others. Takes the CPU time off the budget, and marks it where that ran
    out.
    """
    if a == b:
        return True
    parts = [*walk(a), *walk(b)]
    if len(parts) > _MOST_NODES or not any(part.head == "big" for part in parts):
        return None
    line = json.dumps([_plain(a), _plain(b), budget.left]) + "\n"
    if budget.timed_out or len(line) > _MOST_LINE:
        return None
    answer, seconds = _worker(os.getpid()).ask(line)
    budget.left -= seconds
    budget.timed_out = answer == "timeout" or budget.left <= 0
    return {"true": True, "false": False}.get(answer)


def _plain(node: Node) -> list[Any]:
    value = None if node.number is None else str(node.number)
    return [node.head, node.name, value, [_plain(part) for part in node.args]]


@lru_cache(maxsize=4)
def _worker(pid: int) -> _Worker:
    """Return this process's worker; a forked child has another pid, and so another worker."""
    del pid
    return _Worker()


class _Worker:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.process: subprocess.Popen[str] | None = None
        self.ready = False

    def prepare(self) -> None:
        """Start the process unless it runs, or another thread is using it."""
        if self.lock.acquire(blocking=False):
            try:
                self._start()
            except OSError:
                self._kill()  # nothing can be started now; `ask` tries again
            finally:
                self.lock.release()

    def ask(self, line: str) -> tuple[str, float]:
        """Send a pair; return the verdict and the CPU seconds, an empty one without a worker."""
        with self.lock:
            try:
                answer, _, seconds = self._answer(line).partition(" ")
                if answer in ("true", "false", "null"):
                    return answer, float(seconds)
            except (OSError, ValueError):
                answer = ""
            self._kill()
            return answer, 0.0

    def _answer(self, line: str) -> str:
        """Return the worker's line about a pair; nothing where it died."""
        self._start()
        process = self.process
        if process is None or process.stdin is None or process.stdout is None:
            return ""
        if not self.ready:
            self.ready = _line(process.stdout, LOAD_SECONDS) == "ready\n"
        if not self.ready:
            return ""
        process.stdin.write(line)
        process.stdin.flush()
        return _line(process.stdout, PAIR_SECONDS)

    def _start(self) -> None:
        """Start the process if there is none."""
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
    """Read one short line; `timeout` when it does not come in time, nothing at the end."""
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        return pipe.readline() if selector.select(seconds) else "timeout"
