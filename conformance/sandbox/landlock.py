# SPDX-License-Identifier: GPL-2.0-only
"""Landlock: the kernel restricts a process and its children to named files.

See Documentation/userspace-api/landlock.rst. Restrictions cannot be lifted.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable
from pathlib import Path

__all__ = ["SCOPES", "abi", "restrict"]

SCOPES = 6
"""The ABI version since which signals can be confined to the restricted processes."""

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION, _PATH_BENEATH = 1, 1
_PR_SET_NO_NEW_PRIVS = 38

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_FIRST = (1 << 13) - 1
"""The file rights of ABI 1: those above, removing, and creating seven kinds of files."""
_SINCE = {2: 1 << 13, 3: 1 << 14, 5: 1 << 15}
"""Rights that later ABIs added: rename across directories, truncate, device ioctls."""
_NET = (1 << 0) | (1 << 1)
"""TCP bind and connect, since ABI 4."""
_SCOPED = (1 << 0) | (1 << 1)
"""Abstract sockets and signals, confined to the restricted processes since SCOPES."""
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | (1 << 14) | (1 << 15)


def abi() -> int:
    """The kernel's Landlock ABI version, 0 without Landlock."""
    return max(_syscall(_CREATE_RULESET, None, 0, _VERSION), 0)


def restrict(read: Iterable[Path], write: Iterable[Path]) -> None:
    """Allow this process to read and execute files below `read` and to do anything below `write`, no more.

    Paths that do not exist are ignored. Raises OSError if the kernel refuses.
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
