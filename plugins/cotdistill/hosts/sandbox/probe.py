"""Prove that a sandbox is closed: a program that tries to reach this machine, and must fail.

A tier is used only after the program has run in it: that a command starts says nothing about what
it keeps out.
"""

from __future__ import annotations

import contextlib
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

_PROGRAM = """
import os, socket
from math import sqrt
def attempt(name, action):
    try:
        action()
    except (OSError, ImportError):
        return
    print("reached", name)
def child():
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
attempt("a file of the user", lambda: open({secret!r}).read())
attempt("the folder of temporary files", lambda: os.listdir({folder!r}))
attempt("writing a file", lambda: open({folder!r} + "/written", "w"))
attempt("writing at the root", lambda: open("/written", "w"))
attempt("a server on this machine", lambda: socket.create_connection(("127.0.0.1", {port}), 2))
attempt("a new process", child)
attempt("another program", lambda: os.execv("/bin/sh", ["sh", "-c", "exit"]))
attempt("a signal to its parent", lambda: os.kill(os.getppid(), 0))
if {mark!r} in os.environ:
    print("reached the environment")
print("computed", sqrt(1764))
"""
_EXPECTED = "computed 42.0"
MARK = "COTDISTILL_PROBE"


@contextlib.contextmanager
def hostile_program() -> Iterator[str]:
    """Give a program that looks for a file and a server which exist while the block runs."""
    with (
        tempfile.TemporaryDirectory(prefix="cotdistill-probe-") as folder,
        socket.create_server(("127.0.0.1", 0)) as server,
    ):
        secret = Path(folder) / "secret"
        secret.write_text("not for programs\n")
        yield _PROGRAM.format(
            secret=str(secret), folder=folder, port=server.getsockname()[1], mark=MARK
        )


def reached(output: str) -> str:
    r"""Return what a hostile program reached, an empty text for nothing.

    >>> reached("computed 42.0\n"), reached("reached a new process\ncomputed 42.0\n")
    ('', 'a new process')
    >>> reached("")
    'nothing, but it did not compute either'
    """
    lines = output.splitlines()
    found = [line.removeprefix("reached ") for line in lines if line.startswith("reached ")]
    if not found and _EXPECTED not in lines:
        return "nothing, but it did not compute either"
    return ", ".join(found)
