"""Hostile programs for the sandbox, each with the verdicts that show it was contained.

`reaches` are texts that would show up in the output if the attack had worked; {SECRET}, {FOLDER}
and {PORT} name a file, a folder and a server that really exist on the host while the attack runs.
"""

# ruff: noqa: E501 -- a program a line is easier to look through than four lines each

from __future__ import annotations

from dataclasses import dataclass

SPENT = ("cpu", "timeout")  # which of the two comes first depends on how busy the machine is


@dataclass(frozen=True)
class Attack:
    name: str
    program: str
    verdicts: tuple[str, ...] = ("raised",)
    says: str = ""
    reaches: tuple[str, ...] = ()


def _system_call(number: int, *arguments: int) -> str:
    given = ", ".join(f"ctypes.c_long({argument})" for argument in arguments)
    return f"""
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
if libc.syscall({number}, {given}) >= 0:
    print("WORKED")
else:
    print("errno", ctypes.get_errno())
"""


_FORKS = """
import os, time
count = 0
try:
    for _ in range(150):
        if os.fork() == 0:
            time.sleep(4)
            os._exit(0)
        count += 1
except OSError as error:
    print("stopped at", count, error.errno)
"""
_THREADS = """
import threading, time
count = 0
try:
    for _ in range(300):
        threading.Thread(target=time.sleep, args=(2,), daemon=True).start()
        count += 1
except RuntimeError:
    print("stopped" if count < 200 else "NOT STOPPED")
"""
_DAEMON = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(90)
    os._exit(0)
print("DAEMON STARTED")
"""
_MANY_FILES = """
made = 0
try:
    while made < 1000:
        open(f"/tmp/many-{made}", "w").close()
        made += 1
except OSError:
    pass
print("made", made)
"""
_OVERFLOW = """
import sys
sys.setrecursionlimit(1 << 30)
class Endless:
    def __str__(self):
        return str(self)
    __repr__ = __str__
print(str(Endless()))
"""
_STUBBORN = """
import signal
for number in (signal.SIGTERM, signal.SIGXCPU, signal.SIGINT, signal.SIGALRM):
    signal.signal(number, signal.SIG_IGN)
while True:
    pass
"""
_FORGED = """
import os, struct
message = b'{"exit": 0, "confined": true, "output": "999", "errors": "", "value": "", "cut": ""}'
framed = struct.pack("!I", len(message)) + message
for descriptor in range(64):
    try:
        os.write(descriptor, framed)
    except OSError:
        pass
os._exit(7)
"""

ATTACKS = (
    # what belongs to the user
    Attack("read the password file", "print(open('/etc/passwd').read())", reaches=("root:",)),
    Attack("read a file of the user", "print(open({SECRET!r}).read())", reaches=("not for programs",)),
    Attack("list the folder of that file", "import os; print(os.listdir({FOLDER!r}))"),
    Attack("list home folders", "import os; print(os.listdir('/home'))"),
    Attack(
        "look for keys in root's home",
        "import os; print([n for n in os.listdir('/root') if n != '.pyenv'])",
        ("raised", "ok"),
        reaches=(".ssh", ".bash", ".cache"),
    ),
    Attack(
        "read the environment",
        "import os; print(sorted(os.environ))",
        ("ok",),
        reaches=("HOME", "PATH", "SECRET", "TOKEN"),
    ),
    Attack(
        "read the environment of process 1",
        "print(open('/proc/1/environ', 'rb').read())",
        reaches=("PATH",),
    ),
    Attack("list processes", "import os; print([p for p in os.listdir('/proc') if p.isdigit()])"),
    Attack("read kernel memory", "print(open('/proc/kcore', 'rb').read(16))"),
    Attack(
        "memory of the parent",
        "import os; print(open(f'/proc/{os.getppid()}/mem', 'rb').read(1))",
    ),
    Attack("descriptors that were inherited", "import os; print(os.listdir('/proc/self/fd'))"),
    Attack(
        "use descriptors beyond its own",
        "import os\nfound = []\nfor n in range(4, 64):\n    try:\n        os.fstat(n)\n"
        "        found.append(n)\n    except OSError:\n        pass\nprint('found', found)",
        ("ok",),
        "found []",
    ),
    Attack("read standard input", "import sys; print(repr(sys.stdin.read()))", ("ok",), "''"),
    # writing
    Attack("write into the folder", "open({FOLDER!r} + '/written', 'w').write('x')"),
    Attack("write a temporary file", "open('/tmp/file', 'wb').write(b'x' * (1 << 24))"),
    Attack("many small files", _MANY_FILES, ("ok",), "made 0"),
    Attack("write below /usr", "open('/usr/written', 'w')"),
    Attack("write at the root", "open('/written', 'w')"),
    Attack("change the standard library", "import os; open(os.__file__, 'a').write('#')"),
    Attack("change a library", "import sympy; open(sympy.__file__, 'a').write('#')"),
    Attack("change the worker", "import sys; open(sys.modules['system_calls'].__file__, 'a')"),
    Attack("link to a file and read it", "import os; os.symlink({SECRET!r}, '/tmp/l'); print(open('/tmp/l').read())"),
    Attack("change a file's mode", "import os; os.chmod({SECRET!r}, 0o777)"),
    Attack("change a file's times", "import os; os.utime({SECRET!r})"),
    Attack("remove a file", "import os; os.unlink({SECRET!r})"),
    Attack("a file in memory", "import os; os.memfd_create('x')"),
    Attack("make a device", "import os, stat; os.mknod('/tmp/d', 0o600 | stat.S_IFBLK, os.makedev(8, 0))"),
    # the network and other processes
    Attack("a server on this machine", "import socket; socket.create_connection(('127.0.0.1', {PORT}), 2); print('CONNECTED')", reaches=("CONNECTED",)),
    Attack("a name of the network", "import socket; print(socket.gethostbyname('localhost.example'))"),
    Attack("an abstract socket", "import socket; socket.socket(socket.AF_UNIX).connect('\\0/tmp/x')"),
    Attack("a raw socket", "import socket; socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)"),
    Attack("many processes", _FORKS, ("ok",), "stopped at 0"),
    Attack("many threads", _THREADS, ("ok",), "stopped"),
    Attack("a daemon", _DAEMON, reaches=("DAEMON",)),
    Attack("kill everything", "import os; os.kill(-1, 9)"),
    Attack("kill the parent", "import os; os.kill(os.getppid(), 9)"),
    Attack("stop itself", "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)"),
    Attack("stop itself by another call", "import signal; signal.raise_signal(signal.SIGSTOP)", ("timeout",)),
    Attack("look for paths of the host in its own command", "import sys; print(sys.orig_argv)", ("ok",), "['program.py']"),
    Attack("signals by owner", "import fcntl, os; fcntl.fcntl(1, fcntl.F_SETOWN, os.getppid())"),
    Attack("a shell", "import os; os.execv('/bin/sh', ['sh', '-c', 'echo SHELL'])", reaches=("SHELL",)),
    Attack("a program of the system", "import os; os.execv('/usr/bin/id', ['id'])", reaches=("uid",)),
    Attack("a shell by subprocess", "import subprocess; print(subprocess.check_output(['/bin/echo', 'SHELL']))", reaches=("SHELL",)),
    Attack("a shell by pickle", "import pickle; print(pickle.loads(b\"cos\\nsystem\\n(S'echo SHELL'\\ntR.\"))", ("ok", "raised"), reaches=("SHELL",)),
    # privileges and the kernel
    Attack("become root", "import os; os.setuid(0); os.setgroups([])"),
    Attack("change the root", "import os; os.chroot('/')"),
    Attack("trace process 1", _system_call(101, 16, 1, 0, 0), ("ok",), "errno 1"),
    Attack("mount", _system_call(165, 0, 0, 0, 0, 0), ("ok",), "errno 1"),
    Attack("a namespace of its own", _system_call(272, 0x10000000), ("ok",), "errno 1"),
    Attack("a namespace by clone", _system_call(56, 0x10000011, 0, 0, 0, 0), ("ok",), "errno 1"),
    Attack("clone3", _system_call(435, 0, 0), ("ok",), "errno 38"),
    Attack("io_uring", _system_call(425, 1, 0), ("ok",), "errno 1"),
    Attack("bpf", _system_call(321, 0, 0, 0), ("ok",), "errno 1"),
    Attack("the keyring", _system_call(250, 0, -3, 0), ("ok",), "errno 1"),
    Attack("userfaultfd", _system_call(323, 0), ("ok",), "errno 1"),
    Attack("performance counters", _system_call(298, 0, 0, 0, 0, 0), ("ok",), "errno 1"),
    Attack("undo its filter", _system_call(157, 22, 0, 0), ("ok",), "errno 1"),
    Attack("calls of the x32 table", _system_call(0x40000000 + 57), ("ok",), "errno 1"),
    Attack("shared memory for the next program", _system_call(29, 7, 4096, 0o1666), ("ok",), "errno 1"),
    Attack("type into the terminal", "import fcntl; fcntl.ioctl(0, 0x5412, b'x')"),
    # resources
    Attack("four gibibytes at once", "print(len(bytearray(4 << 30)))", ("memory",)),
    Attack("memory bit by bit", "kept = []\nwhile True:\n    kept.append(bytearray(1 << 23))", ("memory",)),
    Attack("a compressed bomb", "import zlib; d = zlib.compress(bytes(10**7)); print(len(zlib.decompress(d) * 300))", ("memory",)),
    Attack("a huge power", "print(len(str(10 ** 10 ** 8)))", (*SPENT, "memory", "raised")),
    Attack("many digits", "print(7 ** 30000)", ("raised",)),
    Attack("an endless loop", "while True:\n    pass", SPENT),
    Attack("an endless match", "import re; re.match(r'(x+)+$', 'x' * 44 + 'y')", SPENT),
    Attack("ignoring every signal", _STUBBORN, (*SPENT,)),
    Attack("sleeping", "import time; time.sleep(10 ** 6)", ("timeout",)),
    Attack("endless output", "while True:\n    print('x' * 999)", ("output",)),
    Attack("endless errors", "import sys\nwhile True:\n    sys.stderr.write('x' * 999)", SPENT),
    Attack("a huge value", "'x' * (1 << 24)", ("output",)),
    Attack("the stack of C", _OVERFLOW, ("killed", "raised"), reaches=("Endless",)),
    Attack("deep parentheses", "(" * 50_000 + ")" * 50_000, ("unsupported",)),
    Attack("a null pointer", "import ctypes; ctypes.string_at(0)", ("killed",)),
    # deceiving whoever reads the result
    Attack("a forged message", _FORGED, ("raised", "ok"), reaches=()),
    Attack("its own exit status", "import os; print(36); os._exit(103)", ("raised",), "36"),
    Attack("a closed output", "import sys; print(36); sys.stdout.close()", ("ok",), "36"),
    Attack("another print", "import builtins; builtins.print = None; import sys; sys.stdout.write('36\\n')", ("ok",), "36"),
    Attack("terminal codes and bytes that are no text", "import sys; sys.stdout.buffer.write(b'\\x1b[2J\\x00\\xff36\\n')", ("ok",), "36"),
    Attack("an exit after the answer", "print(36); raise SystemExit(3)", ("raised",), "36"),
)  # fmt: skip
