"""Run one program after another, each in a fork of a process that has the libraries loaded.

    python -s -S -B worker.py SETTINGS      # JSON: tier, limits, paths

Standard input is a socket. A message is a length of four bytes and then as many bytes: programs
come in, results go out as JSON. This process alone reports what happened to a program, from the
exit status, the signal and the clock; the program's process has no way to this socket.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import gc
import importlib
import json
import os
import platform
import random
import resource
import select
import signal
import socket
import struct
import sys
import time
import traceback
import types
from typing import IO

if __package__:  # the constants, for the outside
    from cotdistill.hosts.sandbox.inside import landlock, system_calls
else:  # started as a script
    import landlock  # type: ignore[no-redef, import-not-found]
    import system_calls  # type: ignore[no-redef, import-not-found]

PRELOADED = (
    "cmath", "collections", "datetime", "decimal", "fractions", "functools", "heapq", "itertools",
    "math", "mpmath", "numpy", "operator", "random", "re", "statistics", "string", "sympy",
)  # fmt: skip
RAISED, OUT_OF_MEMORY, UNSUPPORTED = 1, 101, 102
_VALUE = 3  # the descriptor for the value of the last expression
_CONFINED = b"!"  # comes first on that descriptor, before anything of the program runs
_RESULT = "__result__"


class Settings(types.SimpleNamespace):
    """What the outside decided: see `Limits` there for the limits."""

    tier: str
    path: list[str]
    readable: list[str]
    wall: float
    cpu: int
    memory: int
    output: int


def main(text: str) -> None:
    """Load the libraries, say so, and answer until the socket is closed."""
    settings = Settings(**json.loads(text))
    control = socket.socket(fileno=os.dup(0))
    sys.path[:] = settings.path
    missing = {}
    for name in PRELOADED:
        try:
            importlib.import_module(name)
        except ImportError as error:
            missing[name] = str(error)[:300]
    if numpy := sys.modules.get("numpy"):
        numpy.set_printoptions(legacy="1.25")  # 0.5 where numpy 2 writes np.float64(0.5)
        importlib.import_module("numpy.random").seed(0)  # every program inherits this state
    with contextlib.suppress(Exception):
        _warm_up()
    ruleset = landlock.rules(settings.readable) if settings.tier == "landlock" else -1
    gc.collect()
    gc.freeze()
    _send(control, {"ready": True, "missing": missing})
    while (program := _receive(control)) is not None:
        _send(control, _run(program, settings, control, ruleset))


def _warm_up() -> None:
    """Call what programs call most, so that sympy's own late imports and caches come once."""
    sympy = importlib.import_module("sympy")
    x, y = sympy.symbols("x y")
    sympy.solve(3 * x - 6, x)
    sympy.solve(x**2 - 5 * x + 6, x)
    sympy.solve([x + y - 3, x - y - 1], [x, y])
    str(sympy.simplify((x**2 - 1) / (x - 1)) + sympy.sqrt(8) + sympy.Rational(1, 3))
    sympy.N(sympy.pi * sympy.sqrt(2))


def _send(control: socket.socket, message: object) -> None:
    data = json.dumps(message).encode()
    control.sendall(struct.pack("!I", len(data)) + data)


def _receive(control: socket.socket) -> bytes | None:
    head = _exactly(control, 4)
    return None if head is None else _exactly(control, struct.unpack("!I", head)[0])


def _exactly(control: socket.socket, count: int) -> bytes | None:
    data = bytearray()
    while len(data) < count:
        part = control.recv(min(1 << 16, count - len(data)))
        if not part:
            return None
        data += part
    return bytes(data)


def _run(program: bytes, settings: Settings, control: socket.socket, ruleset: int) -> object:
    """Fork, let the program run, and say what became of it."""
    closed = os.pipe()
    os.close(closed[1])  # standard input: empty
    pipes = [os.pipe() for _ in range(3)]  # output, errors, value
    started = time.monotonic()
    pid = os.fork()
    if pid == 0:
        try:
            os.dup2(closed[0], 0)
            for number, (_, write) in enumerate(pipes, 1):
                os.dup2(write, number)
            kept = os.dup2(ruleset, 4) if ruleset >= 0 else -1
            os.closerange(max(4, kept + 1), 1024)
            _be_the_program(program, settings, kept)
        finally:
            os._exit(1)
    os.close(closed[0])
    for _, write in pipes:
        os.close(write)
    reads = [read for read, _ in pipes]
    texts, cut = _watch(pid, reads, settings, control, started)
    if settings.tier == "plain":
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
    _, status, used = os.wait4(pid, 0)
    if os.getpid() == 1:  # every other process here is a left-over of the program
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while True:
                os.waitpid(-1, 0)
    for read in reads:
        os.close(read)
    return {
        "exit": os.waitstatus_to_exitcode(status),
        "cut": cut,
        "confined": texts[2].startswith(_CONFINED),
        "cpu": used.ru_utime + used.ru_stime,
        "wall": time.monotonic() - started,
        "output": texts[0].decode("utf-8", "replace"),
        "errors": texts[1].decode("utf-8", "replace"),
        "value": texts[2].removeprefix(_CONFINED).decode("utf-8", "replace"),
    }


def _watch(
    pid: int, reads: list[int], settings: Settings, control: socket.socket, started: float
) -> tuple[list[bytearray], str]:
    """Read what a program writes until it ends; kill it when it is too slow or says too much."""
    texts = [bytearray() for _ in reads]
    cut = ""
    ended = os.pidfd_open(pid)
    poll = select.poll()
    for descriptor in (*reads, ended, control.fileno()):
        poll.register(descriptor, select.POLLIN)
    for read in reads:
        os.set_blocking(read, False)
    running = True
    while running:
        left = started + settings.wall - time.monotonic()
        events = dict(poll.poll(max(0, left) * 1000)) if left > 0 else {}
        if control.fileno() in events:  # nobody waits for the result any more
            os.kill(pid, signal.SIGKILL)
            os._exit(0)
        for place, read in enumerate(reads):
            if read in events and not _read(read, texts[place], settings.output):
                poll.unregister(read)
        if len(texts[0]) > settings.output or len(texts[2]) > settings.output:
            cut = "output"
        elif not events and left <= 0:
            cut = "timeout"
        if cut:
            os.kill(pid, signal.SIGKILL)
            break
        running = ended not in events
    if not cut:
        for place, read in enumerate(reads):
            while len(texts[place]) <= settings.output and _read(
                read, texts[place], settings.output
            ):
                pass
        if len(texts[0]) > settings.output:
            cut = "output"
    os.close(ended)
    return [text[: settings.output] for text in texts], cut


def _read(read: int, text: bytearray, most: int) -> bool:
    """Append what there is; False at the end, or when nothing more is there or wanted."""
    try:
        part = os.read(read, 1 << 16)
    except BlockingIOError:
        return False
    if len(text) <= most:
        text += part
    return bool(part)


def _be_the_program(program: bytes, settings: Settings, ruleset: int) -> None:
    """Confine this process for ever, then run the program in it; never returns."""
    try:
        _confine(settings, ruleset)
    except (OSError, ValueError) as error:
        os.write(2, f"the sandbox could not be closed: {error}".encode())
        return
    os.write(_VALUE, _CONFINED)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = _text_out(1)
    sys.stderr = _text_out(2)
    streams = (sys.stdout, sys.stderr)
    status = _execute(program)
    for stream in streams:
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(status)


def _text_out(descriptor: int) -> IO[str]:
    return open(
        descriptor, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False
    )


def _confine(settings: Settings, ruleset: int) -> None:
    os.chdir("/")
    system_calls.die_with_parent()
    if settings.tier == "plain":
        os.setsid()
    for name, most in (
        (resource.RLIMIT_AS, settings.memory),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, 64),
    ):
        _limit(name, most, most)
    _limit(resource.RLIMIT_CPU, settings.cpu, settings.cpu + 1)
    if settings.tier != "plain":
        system_calls.give_up_privileges()
        landlock.drop_capabilities(platform.machine())
        if ruleset >= 0:
            landlock.restrict(ruleset)
        system_calls.restrict_system_calls()
    if ruleset >= 0:
        os.close(ruleset)


def _limit(name: int, soft: int, hard: int) -> None:
    most = resource.getrlimit(name)[1]
    if most != resource.RLIM_INFINITY:
        soft, hard = min(soft, most), min(hard, most)
    resource.setrlimit(name, (soft, hard))


def _execute(program: bytes) -> int:
    """Run the program at module level as `__main__` and return this process's exit status."""
    random.seed(0)  # Python seeds it afresh in every fork
    try:
        code = _compiled(program)
    except (SyntaxError, ValueError, OverflowError) as error:
        sys.stderr.write(f"not a Python program: {type(error).__name__}: {error}")
        return UNSUPPORTED
    except (MemoryError, RecursionError) as error:
        sys.stderr.write(f"not a Python program: {type(error).__name__} while it was read")
        return UNSUPPORTED
    main_module = types.ModuleType("__main__")
    names = main_module.__dict__
    sys.modules["__main__"] = main_module
    sys.argv = sys.orig_argv = ["program.py"]
    builtins.exit = builtins.quit = sys.exit  # type: ignore[assignment]
    try:
        exec(code, names)
        value = names.get(_RESULT)
        if value is not None:
            os.write(_VALUE, str(value).encode("utf-8", "backslashreplace"))
    except SystemExit as end:
        return _exit_status(end.code)
    except MemoryError:
        return OUT_OF_MEMORY
    except ModuleNotFoundError as error:
        sys.stderr.write(f"the sandbox has no module {error.name}")
        return UNSUPPORTED
    except BaseException as error:
        with contextlib.suppress(Exception):
            last = traceback.format_exception_only(type(error), error)[-1]
            sys.stderr.write("\n" + last.strip()[:2000])
        return RAISED
    return 0


def _exit_status(code: object) -> int:
    if code is None or code == 0:
        return 0
    sys.stderr.write(f"\nexit({str(code)[:200]})")
    return RAISED


def _compiled(program: bytes) -> types.CodeType:
    """Compile a program so that the value of a last expression is kept."""
    tree = ast.parse(program, "program.py")
    if tree.body and isinstance(last := tree.body[-1], ast.Expr):
        target = ast.Name(_RESULT, ast.Store())
        tree.body[-1] = ast.copy_location(ast.Assign([target], last.value), last)
        ast.fix_missing_locations(tree)
    return compile(tree, "program.py", "exec")


if __name__ == "__main__":
    main(sys.argv[1])
