"""Allow a process the system calls of a calculation and deny it all others (seccomp).

A program that computes needs memory, threads, clocks, reading files and writing to its pipes. It
needs no new process, no other program, no socket, no change of a file's owner or mode, no message
to another process. What is not listed fails with EPERM, so a program sees an ordinary exception.

The numbers are those of Linux's headers (asm/unistd_64.h, asm-generic/unistd.h).
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct

_ALLOWED = {
    "x86_64": {
        "read": 0, "write": 1, "open": 2, "close": 3, "stat": 4, "fstat": 5, "lstat": 6, "poll": 7,
        "lseek": 8, "mmap": 9, "mprotect": 10, "munmap": 11, "brk": 12, "rt_sigaction": 13,
        "rt_sigprocmask": 14, "rt_sigreturn": 15, "pread64": 17, "pwrite64": 18, "readv": 19,
        "writev": 20, "access": 21, "pipe": 22, "select": 23, "sched_yield": 24, "mremap": 25,
        "msync": 26, "mincore": 27, "madvise": 28, "dup": 32, "dup2": 33, "pause": 34,
        "nanosleep": 35, "getitimer": 36, "alarm": 37, "setitimer": 38, "getpid": 39, "exit": 60,
        "wait4": 61, "uname": 63, "getdents": 78, "getcwd": 79, "chdir": 80, "fchdir": 81,
        "readlink": 89, "umask": 95, "gettimeofday": 96, "getrlimit": 97, "getrusage": 98,
        "sysinfo": 99, "times": 100, "getuid": 102, "getgid": 104, "geteuid": 107, "getegid": 108,
        "getppid": 110, "getpgrp": 111, "getgroups": 115, "getresuid": 118, "getresgid": 120,
        "rt_sigpending": 127, "rt_sigtimedwait": 128, "rt_sigsuspend": 130, "sigaltstack": 131,
        "sched_get_priority_max": 146, "sched_get_priority_min": 147, "gettid": 186, "time": 201,
        "futex": 202, "sched_getaffinity": 204, "getdents64": 217, "set_tid_address": 218,
        "restart_syscall": 219, "clock_gettime": 228, "clock_getres": 229, "clock_nanosleep": 230,
        "exit_group": 231, "epoll_wait": 232, "epoll_ctl": 233, "waitid": 247, "openat": 257,
        "newfstatat": 262, "readlinkat": 267, "faccessat": 269, "pselect6": 270, "ppoll": 271,
        "set_robust_list": 273, "get_robust_list": 274, "epoll_pwait": 281, "eventfd2": 290,
        "epoll_create1": 291, "dup3": 292, "pipe2": 293, "getcpu": 309, "getrandom": 318,
        "membarrier": 324, "statx": 332, "rseq": 334, "close_range": 436, "openat2": 437,
        "faccessat2": 439,
    },
    "aarch64": {
        "getcwd": 17, "eventfd2": 19, "epoll_create1": 20, "epoll_ctl": 21, "epoll_pwait": 22,
        "dup": 23, "dup3": 24, "faccessat": 48, "chdir": 49, "fchdir": 50, "openat": 56,
        "close": 57, "pipe2": 59, "getdents64": 61, "lseek": 62, "read": 63, "write": 64,
        "readv": 65, "writev": 66, "pread64": 67, "pwrite64": 68, "pselect6": 72, "ppoll": 73,
        "readlinkat": 78, "newfstatat": 79, "fstat": 80, "exit": 93, "exit_group": 94,
        "waitid": 95, "set_tid_address": 96, "futex": 98, "set_robust_list": 99,
        "get_robust_list": 100, "nanosleep": 101, "getitimer": 102, "setitimer": 103,
        "clock_gettime": 113, "clock_getres": 114, "clock_nanosleep": 115, "sched_getaffinity": 123,
        "sched_yield": 124, "sched_get_priority_max": 125, "sched_get_priority_min": 126,
        "restart_syscall": 128, "sigaltstack": 132, "rt_sigsuspend": 133, "rt_sigaction": 134,
        "rt_sigprocmask": 135, "rt_sigpending": 136, "rt_sigtimedwait": 137, "rt_sigreturn": 139,
        "getresuid": 148, "getresgid": 150, "times": 153, "getgroups": 158, "uname": 160,
        "getrlimit": 163, "getrusage": 165, "umask": 166, "getcpu": 168, "gettimeofday": 169,
        "getpid": 172, "getppid": 173, "getuid": 174, "geteuid": 175, "getgid": 176,
        "getegid": 177, "gettid": 178, "sysinfo": 179, "brk": 214, "munmap": 215, "mremap": 216,
        "mmap": 222, "mprotect": 226, "msync": 227, "mincore": 232, "madvise": 233, "wait4": 260,
        "getrandom": 278, "membarrier": 283, "statx": 291, "rseq": 293, "close_range": 436,
        "openat2": 437, "faccessat2": 439,
    },
}  # fmt: skip
_LOOKED_INTO = {
    "x86_64": {
        "fcntl": 72, "ioctl": 16, "tgkill": 234, "prlimit64": 302, "clone": 56, "socketpair": 53,
    },
    "aarch64": {
        "fcntl": 25, "ioctl": 29, "tgkill": 131, "prlimit64": 261, "clone": 220, "socketpair": 199,
    },
}  # fmt: skip
_CLONE3 = 435  # on both; its arguments lie in memory, where a filter cannot look
_AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

_FCNTL = (0, 1, 2, 3, 4, 5, 6, 7, 1030)  # descriptors and locks; no owner who would get a signal
_IOCTL = (0x5401, 0x5413, 0x541B, 0x5450, 0x5451)  # TCGETS, window size, FIONREAD, close-on-exec
_CLONE_THREAD = 0x00010000
_CLONE_NEW = 0x7E020000  # every kind of namespace
_AF_UNIX = 1

_KILL, _ALLOW, _EPERM, _ENOSYS = 0x80000000, 0x7FFF0000, 0x00050001, 0x00050026
_LOAD, _EQUAL, _SET, _RETURN = 0x20, 0x15, 0x45, 0x06
_NUMBER_AT, _ARCH_AT, _ARGUMENTS_AT = 0, 4, 16

_SET_PARENT_DEATH_SIGNAL, _SET_SECCOMP, _SET_NO_NEW_PRIVS = 1, 22, 38
_FILTER = 2


def known_machine() -> bool:
    """Whether this machine's system calls are known, without which there is no sandbox."""
    return platform.machine() in _ALLOWED


def filter_program(machine: str, pid: int) -> bytes:
    """Return the filter of one process as the kernel's instructions (classic BPF)."""
    steps = [(_LOAD, 0, 0, _ARCH_AT), (_EQUAL, 1, 0, _AUDIT[machine]), (_RETURN, 0, 0, _KILL)]
    steps.append((_LOAD, 0, 0, _NUMBER_AT))
    steps += [(_EQUAL, 0, 1, _CLONE3), (_RETURN, 0, 0, _ENOSYS)]  # glibc then calls clone
    special = _LOOKED_INTO[machine]
    for name, argument, values in (
        ("fcntl", 1, _FCNTL),
        ("ioctl", 1, _IOCTL),
        ("tgkill", 0, (pid,)),
        ("prlimit64", 0, (0, pid)),
        ("socketpair", 0, (_AF_UNIX,)),
    ):
        steps += _only(special[name], argument, values)
    steps += [
        (_EQUAL, 0, 5, special["clone"]),
        (_LOAD, 0, 0, _ARGUMENTS_AT),
        (_SET, 2, 0, _CLONE_NEW),
        (_SET, 0, 1, _CLONE_THREAD),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _EPERM),
    ]
    for number in _ALLOWED[machine].values():
        steps += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ALLOW)]
    steps.append((_RETURN, 0, 0, _EPERM))
    return b"".join(struct.pack("=HBBI", *step) for step in steps)


def _only(number: int, argument: int, values: tuple[int, ...]) -> list[tuple[int, int, int, int]]:
    """One call is allowed with these values of one argument only."""
    checks = [step for value in values for step in ((_EQUAL, 0, 1, value), (_RETURN, 0, 0, _ALLOW))]
    return [
        (_EQUAL, 0, len(checks) + 2, number),
        (_LOAD, 0, 0, _ARGUMENTS_AT + 8 * argument),
        *checks,
        (_RETURN, 0, 0, _EPERM),
    ]


def give_up_privileges() -> None:
    """Never gain privileges again, whatever is executed."""
    _prctl(_SET_NO_NEW_PRIVS, 1, 0)


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends."""
    _prctl(_SET_PARENT_DEATH_SIGNAL, 9, 0)


def restrict_system_calls() -> None:
    """Allow this process and its threads the listed calls only, for ever.

    Raises:
        OSError: the kernel has no seccomp filters, or refuses this one.
    """
    program = filter_program(platform.machine(), os.getpid())
    code = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(code))
    header_buffer = ctypes.create_string_buffer(
        header
    )  # both must live until the kernel has read them
    _prctl(_SET_SECCOMP, _FILTER, ctypes.addressof(header_buffer))


def _prctl(option: int, value: int, pointer: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, ctypes.c_ulong(value), ctypes.c_ulong(pointer), 0, 0):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
