# SPDX-License-Identifier: GPL-2.0-only
"""What a confined program may see, write and use up."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

__all__ = ["GIB", "UNCONFINED", "Policy", "interpreter", "packages"]

GIB = 1 << 30

UNCONFINED = "CONFORMANCE_UNCONFINED"
"""The variable that --unconfined sets, for child processes too: foreign code may run unconfined."""

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt")
"""Programs and libraries of the system: the same for all, and no secrets in them."""

SYSTEM_FILES = ("/etc/alternatives", "/etc/ld.so.cache")
"""Of the system's configuration only what loading a program needs."""


@dataclass(frozen=True)
class Policy:
    """What a program may see, write and use up, besides the system's programs and libraries.

    read: files and directories that it sees; write: directories that it may change.
    memory: bytes of address space of each process; file_size: bytes of each file that it writes; space: of
    all that it writes; output: of its messages; processes: how many there are at once.
    Neither network nor home nor any other file is there, whatever the policy.
    """

    read: tuple[Path, ...] = ()
    write: tuple[Path, ...] = ()
    memory: int = 16 * GIB
    file_size: int = 2 * GIB
    space: int = 4 * GIB
    output: int = 64 << 20
    processes: int = 512

    def seen(self) -> list[Path]:
        """What is read-only: existing paths, those that lie in another left out."""
        wanted = [*map(Path, SYSTEM), *map(Path, SYSTEM_FILES), *self.read]
        found: list[Path] = []
        for path in sorted({Path(os.path.abspath(one)) for one in wanted if one.exists()}):
            if not any(path.is_relative_to(other) and not other.is_symlink() for other in found):
                found.append(path)
        return found


@cache
def packages() -> tuple[Path, ...]:
    """The directories in which a worker process finds what it imports: those of its PYTHONPATH, in order."""
    places = [Path(__file__).resolve().parents[2], *map(Path, sys.path)]
    installed = {"site-packages", "dist-packages"}
    return tuple(dict.fromkeys(one for one in places if one is places[0] or one.name in installed))


@cache
def interpreter() -> tuple[Path, ...]:
    """What this Python and the packages that a worker process imports lie in."""
    found = {Path(one) for one in (sys.prefix, sys.base_prefix, sys.exec_prefix)}
    # Of a virtual environment, python is a link, maybe by way of others, to the one that it was made with.
    program = Path(sys.executable)
    found.add(program.parent)
    while program.is_symlink():
        program = program.parent / os.readlink(program)
        found.add(program.parent)
    return tuple(sorted({*found, *packages()}))
