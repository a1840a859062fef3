# SPDX-License-Identifier: GPL-2.0-only
"""Filters of system calls: classic BPF programs that the kernel runs before each system call of a process.

A filter cannot be removed, and child processes inherit it. See
Documentation/userspace-api/seccomp_filter.rst.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Iterable, Mapping, Sequence

__all__ = ["Filter", "available", "for_kernel_code", "for_programs", "install"]

_LOAD, _JUMP_EQUAL, _JUMP_AT_LEAST, _JUMP_ANY_SET, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCH, _ARGS = 0, 4, 16
_X86_64, _X32 = 0xC000003E, 0x40000000
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_PR_SET_NO_NEW_PRIVS, _PR_GET_SECCOMP, _PR_SET_SECCOMP, _MODE_FILTER = 38, 21, 22, 2

Filter = bytes
"""The instructions, in the layout of struct sock_filter."""


def _one(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)


def _head() -> list[bytes]:
    """Kill the process for system calls of another ABI than x86-64; then load the number of the call."""
    return [
        _one(_LOAD, _ARCH),
        _one(_JUMP_EQUAL, _X86_64, 1, 0),
        _one(_RETURN, _KILL),
        _one(_LOAD, _NUMBER),
        _one(_JUMP_AT_LEAST, _X32, 0, 1),
        _one(_RETURN, _KILL),
    ]


def _forbid(numbers: Iterable[int], how: int) -> list[bytes]:
    return [line for number in numbers for line in (_one(_JUMP_EQUAL, number, 0, 1), _one(_RETURN, how))]


def for_programs(forbidden: Mapping[str, int]) -> Filter:
    """The filter for compilers and their children: a forbidden call fails."""
    lines = _forbid(forbidden.values(), _ERRNO | errno.EPERM)
    return b"".join([*_head(), *lines, _one(_RETURN, _ALLOW)])


def for_kernel_code(
    forbidden: Mapping[str, int],
    opens: Mapping[str, tuple[int, int]],
    partly: Iterable[tuple[int, int, bool, Sequence[int]]],
) -> Filter:
    """The filter for kernel code: a forbidden call, or opening a file to write, kills the process by SIGSYS.

    partly: calls with an argument that must, or (False) must not, be one of some 32-bit values.
    """
    lines = [*_head(), *_forbid(forbidden.values(), _KILL)]
    for number, argument, must, values in partly:
        found, other = (_ALLOW, _KILL) if must else (_KILL, _ALLOW)
        lines += [
            _one(_JUMP_EQUAL, number, 0, 2 * len(values) + 2),
            _one(_LOAD, _ARGS + 8 * argument),
            *(line for value in values for line in (_one(_JUMP_EQUAL, value, 0, 1), _one(_RETURN, found))),
            _one(_RETURN, other),
        ]
    for number, argument in opens.values():
        lines += [
            _one(_JUMP_EQUAL, number, 0, 4),
            _one(_LOAD, _ARGS + 8 * argument),
            _one(_JUMP_ANY_SET, _WRITES, 0, 1),
            _one(_RETURN, _KILL),
            _one(_LOAD, _NUMBER),
        ]
    return b"".join([*lines, _one(_RETURN, _ALLOW)])


def available() -> bool:
    """Whether the kernel supports filters."""
    return bool(_libc().prctl(_PR_GET_SECCOMP, 0, None, 0, 0) >= 0)


def install(wanted: Filter) -> None:
    """Filter the system calls of this process from now on. Raises OSError if the kernel refuses."""
    libc = _libc()
    kept = ctypes.create_string_buffer(wanted, len(wanted))
    program = struct.pack("@HP", len(wanted) // 8, ctypes.addressof(kept))
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, None, 0, 0) or libc.prctl(
        _PR_SET_SECCOMP, _MODE_FILTER, program, 0, 0
    ):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), "seccomp")


def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl.argtypes = [ctypes.c_int, ctypes.c_ulong, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_ulong]
    return libc
