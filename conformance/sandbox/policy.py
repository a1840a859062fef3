# SPDX-License-Identifier: GPL-2.0-only
"""The policy of a confined program: what it may read, write and consume."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

__all__ = ["GIB", "UNCONFINED", "Policy", "interpreter", "packages"]

GIB = 1 << 30

UNCONFINED = "CONFORMANCE_UNCONFINED"
"""The environment variable that --unconfined sets, also for child processes."""

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt")
"""Programs and libraries of the system, readable by every program: they hold no secrets."""

SYSTEM_FILES = ("/etc/alternatives", "/etc/ld.so.cache")
"""The system configuration that loading a program needs."""


@dataclass(frozen=True)
class Policy:
    """What a program may use besides the system's programs and libraries.

    read: files and directories that it may read; write: directories that it may change.
    memory: bytes of address space per process; file_size: bytes per file; space: bytes of all files that it
    writes; output: bytes of messages; processes: the number of processes at a time.
    No policy allows network access or any other file, such as the home directory.
    """

    read: tuple[Path, ...] = ()
    write: tuple[Path, ...] = ()
    memory: int = 16 * GIB
    file_size: int = 2 * GIB
    space: int = 4 * GIB
    output: int = 64 << 20
    processes: int = 512

    def seen(self) -> list[Path]:
        """The read-only paths that exist, without those that lie inside another."""
        named = [*map(Path, SYSTEM), *map(Path, SYSTEM_FILES), *self.read]
        found: list[Path] = []
        for path in sorted({Path(os.path.abspath(one)) for one in named if one.exists()}):
            if not any(path.is_relative_to(other) and not other.is_symlink() for other in found):
                found.append(path)
        return found


@cache
def packages() -> tuple[Path, ...]:
    """The directories from which a worker process imports: its PYTHONPATH, in order."""
    places = [Path(__file__).resolve().parents[2], *map(Path, sys.path)]
    installed = {"site-packages", "dist-packages"}
    return tuple(dict.fromkeys(one for one in places if one is places[0] or one.name in installed))


@cache
def interpreter() -> tuple[Path, ...]:
    """The directories of this Python and of the packages that a worker process imports."""
    found = {Path(one) for one in (sys.prefix, sys.base_prefix, sys.exec_prefix)}
    # In a virtual environment, python is a link, possibly through others, to the base interpreter.
    program = Path(sys.executable)
    found.add(program.parent)
    while program.is_symlink():
        program = program.parent / os.readlink(program)
        found.add(program.parent)
    return tuple(sorted({*found, *packages()}))
