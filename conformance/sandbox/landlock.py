# SPDX-License-Identifier: GPL-2.0-only
"""Landlock: rules by which the kernel lets a process, and what it starts, at named files only.

See Documentation/userspace-api/landlock.rst. Rules cannot be taken off again.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable
from pathlib import Path

__all__ = ["SCOPES", "abi", "restrict"]

SCOPES = 6
"""The version since which signals stay among the restricted."""

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION, _PATH_BENEATH = 1, 1
_PR_SET_NO_NEW_PRIVS = 38

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_FIRST = (1 << 13) - 1
"""Rights to files as of ABI 1: those above, and removing, and making seven kinds of them."""
_SINCE = {2: 1 << 13, 3: 1 << 14, 5: 1 << 15}
"""Rights that later ABIs added: to move between directories, to truncate, device ioctls."""
_NET = (1 << 0) | (1 << 1)
"""TCP, to bind and to connect, since ABI 4."""
_SCOPED = (1 << 0) | (1 << 1)
"""Abstract sockets and signals stay among the restricted, since SCOPES."""
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | (1 << 14) | (1 << 15)


def abi() -> int:
    """The version of Landlock that this kernel has; 0: none."""
    return max(_syscall(_CREATE_RULESET, None, 0, _VERSION), 0)


def restrict(read: Iterable[Path], write: Iterable[Path]) -> None:
    """Let this process read and execute what lies in `read`, and do anything in `write`; nothing else.

    What does not exist is passed over. OSError if the kernel refuses.
    """
    version = abi()
    handled = _FIRST
    for since, right in _SINCE.items():
        handled |= right if version >= since else 0
    attributes = struct.pack(
        "=QQQ", handled, _NET if version >= 4 else 0, _SCOPED if version >= SCOPES else 0
    )
    size = 24 if version >= SCOPES else 16 if version >= 4 else 8
    ruleset = _checked(_syscall(_CREATE_RULESET, attributes, size, 0))
    try:
        for paths, rights in ((read, _EXECUTE | _READ_FILE | _READ_DIR), (write, handled)):
            for path in paths:
                _allow(ruleset, path, rights & handled)
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        _checked(_syscall(_RESTRICT_SELF, ruleset, 0))
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: Path, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        rights = rights if path.is_dir() else rights & _OF_FILES
        _checked(_syscall(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", rights, place), 0))
    finally:
        os.close(place)


def _syscall(number: int, *arguments: int | bytes | None) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    words = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    return int(libc.syscall(ctypes.c_long(number), *words))


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), "landlock")
    return result
