"""Restrict which files a process can open, without namespaces and without privileges (Landlock).

For machines that refuse user namespaces, as many containers do. Nothing may be written anywhere,
and only the given folders may be read. Landlock does not hide that a path exists.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable

_CREATE, _ADD_RULE, _RESTRICT = 444, 445, 446  # the same numbers on every architecture
_ASK_VERSION = 1
_PATH_BENEATH = 1
_READ_FILE, _READ_FOLDER = 1 << 2, 1 << 3
_BITS = {1: 13, 2: 14, 3: 15, 4: 15}  # kinds of access to files that a version knows; later: 16
_ANY_TCP, _ANY_SCOPE = 0b11, 0b11
_CAPSET = {"x86_64": 126, "aarch64": 91}
_CAPABILITIES_3 = 0x20080522


def version() -> int:
    """Return which version of Landlock the kernel offers; 0 for none."""
    return max(0, int(_libc().syscall(_CREATE, None, 0, _ASK_VERSION)))


def rules(folders: Iterable[str]) -> int:
    """Return a descriptor of rules: these folders and files may be read, nothing else.

    Raises:
        OSError: the kernel has no Landlock, or a folder is not there.
    """
    has = version()
    given = [(1 << _BITS.get(has, 16)) - 1]
    given += [_ANY_TCP] * (has >= 4) + [_ANY_SCOPE] * (has >= 6)
    attributes = struct.pack(f"={len(given)}Q", *given)
    ruleset = _checked(_libc().syscall(_CREATE, attributes, len(attributes), 0))
    for folder in folders:
        opened = os.open(folder, os.O_PATH | os.O_CLOEXEC)
        try:
            access = _READ_FILE | (_READ_FOLDER if os.path.isdir(folder) else 0)  # noqa: PTH112
            rule = struct.pack("=Qi", access, opened)
            _checked(_libc().syscall(_ADD_RULE, ruleset, _PATH_BENEATH, rule, 0))
        finally:
            os.close(opened)
    return ruleset


def restrict(ruleset: int) -> None:
    """Apply the rules to this process for ever; privileges must have been given up before."""
    _checked(_libc().syscall(_RESTRICT, ruleset, 0))


def drop_capabilities(machine: str) -> None:
    """Give up every capability, which matters where the user is root."""
    header = struct.pack("=Ii", _CAPABILITIES_3, 0)
    _checked(_libc().syscall(_CAPSET[machine], header, bytes(24)))


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int) -> int:
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result
