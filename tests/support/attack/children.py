"""Run many cases in a child process: a crash, a signal or a hang is the outcome of one case.

The child is forked, so that everything is imported once. It reports each case before and after it;
one that dies or falls silent is replaced, and goes on with the next case.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import json
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NoReturn, TypeVar

Case = TypeVar("Case")
LONGEST = 60
"""Seconds that a case may take on an idle machine; what takes longer hangs."""


def longest() -> int:
    """Return how many seconds a case may take here: more on a machine that is busy."""
    return int(LONGEST * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1)))


@dataclass(frozen=True)
class Outcome:
    """How a case ended: "fine", or in what; what it returned, what it printed, how long it took."""

    ended: str
    seconds: float
    result: object = None
    printed: str = ""


_CAPABILITIES = 0x20080522  # version 3 of the kernel's interface
_DAC_OVERRIDE, _DAC_READ_SEARCH = 1, 2


def obey_permissions() -> None:
    """Give up the right of root to read and write what may not be read or written."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_CAPABILITIES, 0)
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; twice
    if libc.capget(header, sets) == 0:
        for part in range(3):
            sets[part] &= ~(1 << _DAC_OVERRIDE | 1 << _DAC_READ_SEARCH)
        libc.capset(header, sets)


class Hang(BaseException):
    """Raised by the alarm, and caught by nothing that catches exceptions."""


def outcomes(cases: Sequence[Case], run: Callable[[Case], object]) -> list[Outcome]:
    """Return how each case ended; `run` returns what JSON can hold."""
    found: list[Outcome] = []
    while len(found) < len(cases):
        found += _of_one_child(cases[len(found) :], run)
    return found


def _of_one_child(cases: Sequence[Case], run: Callable[[Case], object]) -> Iterator[Outcome]:
    """Yield the outcomes of one child: of all cases, or up to the one that it did not survive."""
    reading, writing = os.pipe()
    sys.stdout.flush()
    child = os.fork()
    if not child:
        os.close(reading)
        _report(cases, run, writing)
    os.close(writing)
    done, rest, began = 0, b"", time.monotonic()
    try:
        while True:
            ready, _, _ = select.select([reading], [], [], longest() + 10)
            block = os.read(reading, 1 << 16) if ready else b""
            if not block:
                break
            *lines, rest = (rest + block).split(b"\n")
            for line in lines:
                yield Outcome(**json.loads(line))
                done, began = done + 1, time.monotonic()
    finally:
        os.close(reading)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    if done < len(cases):
        seconds = time.monotonic() - began
        hung = seconds >= longest()
        yield Outcome("hang" if hung else f"died (status {status})", seconds)


def _report(cases: Sequence[Case], run: Callable[[Case], object], writing: int) -> NoReturn:
    """Run the cases and write a line on each; never return, as the parent's tests are not ours."""

    def alarm(*_: object) -> NoReturn:
        raise Hang

    try:
        obey_permissions()
        signal.signal(signal.SIGALRM, alarm)
        for case in cases:
            outcome = _outcome(case, run)
            line = json.dumps(vars(outcome)).encode("utf-8") + b"\n"
            while line:
                line = line[os.write(writing, line) :]
    finally:
        os._exit(0)


def _outcome(case: Case, run: Callable[[Case], object]) -> Outcome:
    printed = io.StringIO()
    began = time.monotonic()
    result: object = None
    signal.alarm(longest())
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            result = run(case)
        ended = "fine"
    except Hang:
        ended = "hang"
    except BaseException:  # whatever leaves a verb is what is looked for
        ended = traceback.format_exc(limit=-4)
    finally:
        signal.alarm(0)
    text = printed.getvalue().encode("utf-8", "replace").decode("utf-8")
    if "Traceback" not in text:
        text = text[-4000:]
    return Outcome(ended, time.monotonic() - began, result, text)
