"""Run programs: `Sandbox`, and which tier works on this machine."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import signal
import struct
import threading
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self

from cotdistill.errors import MisuseError
from cotdistill.hosts.sandbox.execution import TIERS, Execution, Limits, Tier, Verdict
from cotdistill.hosts.sandbox.inside import system_calls, worker
from cotdistill.hosts.sandbox.launch import Started, start, ways
from cotdistill.hosts.sandbox.probe import hostile_program, reached
from cotdistill.hosts.sandbox.remedies import remedy

_START = 120.0  # seconds until a worker must have loaded its libraries
_GRACE = 30.0  # seconds beyond a program's own limit after which its worker is taken for broken
_LARGEST_PROGRAM = 1 << 20
_REMEMBERED = 4096
_EXITS: dict[int, Verdict] = {0: "ok", worker.UNSUPPORTED: "unsupported"}


class SandboxError(MisuseError):
    """No sandbox works here, or not the one that was asked for."""


class _BrokenWorkerError(Exception):
    """A worker did not answer; nothing is known about the program it had."""


@dataclass(frozen=True)
class Way:
    """How workers are started: the tier and the command prefix that the probe found to work."""

    tier: Tier
    prefix: tuple[str, ...]
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tried:
    """A tier on this machine: whether it works, and the remedy otherwise."""

    tier: Tier
    works: bool
    fault: str = ""
    remedy: str = ""


class Sandbox:
    """Runs programs in workers that have the libraries loaded, each program in its own process.

    `tier` "auto" takes the first of bubblewrap and Landlock that keeps a hostile program in;
    "plain" runs programs as the user's own processes and is used only when it is named.

    >>> with Sandbox() as sandbox:
    ...     sandbox.run("print(6 * 7)").answer
    '42'

    Raises:
        SandboxError: no such tier works here; it says what to do.
    """

    def __init__(
        self,
        tier: Tier | Literal["auto"] = "auto",
        workers: int = 1,
        limits: Limits | None = None,
    ) -> None:
        if tier != "auto" and tier not in TIERS:
            raise SandboxError(f"no sandbox '{tier}'; known: auto, {', '.join(TIERS)}")
        self._limits = limits or Limits()
        self._workers = max(1, workers)
        self._here = threading.local()
        self._running: set[Started] = set()
        self._results: OrderedDict[bytes, Execution] = OrderedDict()
        self._lock = threading.Lock()
        self._closed = False
        # a worker dies with the thread that started it, so the threads live as long as the sandbox
        self._threads = ThreadPoolExecutor(self._workers, thread_name_prefix="sandbox")
        try:
            self._way = self._threads.submit(self._choose, tier).result()
        except BaseException:
            self.close()
            raise

    @property
    def tier(self) -> Tier:
        """Which tier programs run in."""
        return self._way.tier

    def run(self, program: str) -> Execution:
        """Run one program and return what became of it; no program raises an exception here."""
        return self._threads.submit(self._run, program).result()

    def run_many(self, programs: Iterable[str]) -> Iterator[Execution]:
        """Yield what became of each program, in their order; as many at once as there are workers.

        Programs are drawn a few ahead of the results, so that a stream stays one.
        """
        waiting: deque[Future[Execution]] = deque()
        rest = iter(programs)
        try:
            for program in itertools.chain(rest):
                waiting.append(self._threads.submit(self._run, program))
                if len(waiting) > 4 * self._workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for left in waiting:
                left.cancel()

    def close(self) -> None:
        """End all workers with whatever runs in them."""
        self._closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            running, self._running = self._running, set()
        for started in running:
            started.stop()
        self._threads.shutdown(wait=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _choose(self, wanted: Tier | Literal["auto"]) -> Way:
        """Find the first way that works and keep its worker for this thread."""
        tiers: tuple[Tier, ...] = ("bubblewrap", "landlock") if wanted == "auto" else (wanted,)
        faults = []
        for tier in tiers:
            fault = "bubblewrap is not installed" if tier == "bubblewrap" else ""
            if tier != "plain" and not system_calls.known_machine():
                faults.append(f"{tier}: the system calls of this kind of processor are not known")
                continue
            for prefix in ways(tier):
                self._way = Way(tier, tuple(prefix))
                try:
                    running = self._worker()
                    if tier == "plain" or not (fault := self._probe(running)):
                        return self._way
                except (OSError, _BrokenWorkerError) as error:
                    fault = str(error)
                self._drop()
            faults.append(f"{tier}: {fault}; {remedy(tier, fault)}")
        raise SandboxError(
            "no sandbox works here: " + "\n  ".join(["", *faults]).rstrip()
            + "\n  `cotdistill doctor` shows this too; 'plain' runs programs without protection"
        )  # fmt: skip

    def _probe(self, running: Started) -> str:
        with hostile_program() as program:
            result = self._ask(running, program)
        found = reached(result.output)
        return f"a program reached {found} ({result.verdict} {result.detail})" if found else ""

    def _run(self, program: str) -> Execution:
        key = hashlib.sha256(program.encode("utf-8", "surrogatepass")).digest()
        with self._lock:
            if known := self._results.get(key):
                return known
        result = self._fresh(program)
        if result.verdict not in ("sandbox_failed", "timeout"):
            with self._lock:
                self._results[key] = result
                if len(self._results) > _REMEMBERED:
                    self._results.popitem(last=False)
        return result

    def _fresh(self, program: str) -> Execution:
        if len(program) > _LARGEST_PROGRAM:
            return Execution("unsupported", detail="the program is longer than 1 MiB")
        fault = ""
        for _ in range(2):  # a worker may have been killed from outside: once more, in a new one
            try:
                return self._ask(self._worker(), program)
            except (OSError, _BrokenWorkerError) as error:
                fault = str(error)
                self._drop()
            if self._closed:
                break
        return Execution("sandbox_failed", detail=fault)

    def _worker(self) -> Started:
        """The worker of this thread, started when it is first needed."""
        started: Started | None = getattr(self._here, "worker", None)
        if started is not None:
            return started
        started = start(self._way.tier, list(self._way.prefix), self._limits)
        self._here.worker = started
        with self._lock:
            self._running.add(started)
        started.control.settimeout(_START)
        ready = _receive(started)
        if "sympy" in ready["missing"]:
            raise _BrokenWorkerError(f"sympy does not load: {ready['missing']['sympy']}")
        started.control.settimeout(self._limits.wall + _GRACE)
        return started

    def _drop(self) -> None:
        started: Started | None = getattr(self._here, "worker", None)
        self._here.worker = None
        with self._lock:
            known = started in self._running
            self._running.discard(started)  # type: ignore[arg-type]
        if started and known:
            started.stop()

    def _ask(self, running: Started, program: str) -> Execution:
        data = program.encode("utf-8", "surrogatepass")
        running.control.sendall(struct.pack("!I", len(data)) + data)
        return _execution(_receive(running), self._limits)


def examine() -> list[Tried]:
    """Try each confining tier on this machine and name the remedy for those that do not work."""
    found = []
    for tier in TIERS[:2]:
        try:
            with Sandbox(tier):
                found.append(Tried(tier, True))
        except SandboxError as error:
            line = str(error).splitlines()[1].strip().removeprefix(f"{tier}: ")
            fault, _, way_out = line.partition("; ")
            found.append(Tried(tier, False, fault, way_out))
    return found


def _receive(running: Started) -> dict[str, Any]:
    head = _exactly(running, 4)
    message: dict[str, Any] = json.loads(_exactly(running, struct.unpack("!I", head)[0]))
    return message


def _exactly(running: Started, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        try:
            part = running.control.recv(count - len(data))
        except TimeoutError:
            raise _BrokenWorkerError("the worker does not answer") from None
        if not part:
            raise _BrokenWorkerError(running.complaint() or "the worker ended")
        data += part
    return bytes(data)


def _execution(report: dict[str, Any], limits: Limits) -> Execution:
    verdict, detail = _verdict(report, limits)
    return Execution(
        verdict,
        report["output"],
        report["value"],
        detail,
        round(report["cpu"], 3),
        round(report["wall"], 3),
    )


def _verdict(report: dict[str, Any], limits: Limits) -> tuple[Verdict, str]:
    status: int = report["exit"]
    last = _last_line(report["errors"])
    if not report["confined"]:
        early = f"its process ended before it was confined ({status})"
        return "sandbox_failed", last or early
    if report["cut"] == "timeout":
        return "timeout", f"not done after {limits.wall:g} s"
    if report["cut"] == "output":
        return "output", f"more than {limits.output} KiB of output"
    if status == -signal.SIGXCPU or (status == -signal.SIGKILL and report["cpu"] >= limits.cpu):
        return "cpu", f"more than {limits.cpu} s of CPU time"
    if status < 0:
        with contextlib.suppress(ValueError):
            return "killed", signal.Signals(-status).name
        return "killed", f"signal {-status}"
    if status == worker.OUT_OF_MEMORY:
        return "memory", f"more than {limits.memory} MiB of memory"
    return _EXITS.get(status, "raised"), "" if status == 0 else last or f"exit status {status}"


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    last = lines[-1] if lines else ""
    return "".join(c if c.isprintable() else "\ufffd" for c in last[:300])
