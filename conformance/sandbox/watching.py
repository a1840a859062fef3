# SPDX-License-Identifier: GPL-2.0-only
"""Watches a process and its descendants through /proc: progress, time and resource usage."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from conformance.sandbox.policy import Policy

__all__ = ["LEAST_FREE", "Bounds", "Stuck", "Usage", "Watch", "descendants", "kill_tree"]

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_MEMORY = os.sysconf("SC_PHYS_PAGES") * _PAGE


LEAST_FREE = 512 << 20
"""Bytes of a file system that must stay free; half of the free space if that is less."""

_SUSPECT = 64 << 20
"""The loss of free bytes on a file system after which the size of the program's files is computed."""


@dataclass(frozen=True)
class Bounds:
    """Time limits, in seconds.

    cpu: processor time of all processes together; idle: wall time during which none of them ran, was runnable
    or waited for a disk; wall: wall time.
    """

    cpu: float
    idle: float
    wall: float


@dataclass(frozen=True)
class Stuck:
    """Which limit was exceeded, in words that follow "did not come back".

    ``starved``: the processes were runnable but got less than half of their processor time.
    """

    how: str
    starved: bool = False


class Watch:
    """Watches the process tree of `pid` from now on."""

    def __init__(self, pid: int, bounds: Bounds) -> None:
        self._pid = pid
        self._bounds = bounds
        self._start = self._progress = time.monotonic()
        self._before = self._spent = _look(pid)[0]

    def stuck(self) -> Stuck | None:
        """The limit that was exceeded, if any. To be called about every second."""
        now = time.monotonic()
        spent, waiting = _look(self._pid)
        if spent > self._spent or not waiting:
            self._progress = now
        self._spent = max(spent, self._spent)
        bounds = self._bounds
        if spent - self._before >= bounds.cpu:
            return Stuck(f"within {bounds.cpu:g} s of processor time")
        if now - self._progress >= bounds.idle:
            return Stuck(f"within {bounds.idle:g} s of waiting or being stopped")
        if now - self._start >= bounds.wall:
            return Stuck(
                f"within {bounds.wall:g} s", starved=spent - self._before < bounds.cpu / 2 and not waiting
            )
        return None


class Usage:
    """Compares the resources that a program uses with its policy."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._free = {path: _free(path) for path in policy.write}

    def exceeded(self, pid: int) -> str:
        """Which limit the process tree of `pid` exceeds, as the predicate of a sentence; "" if none."""
        processes = descendants(pid)
        if len(processes) > self._policy.processes:
            return f"started more than {self._policy.processes} processes"
        most = min(self._policy.memory, _MEMORY * 3 // 4)
        if sum(map(_resident, processes)) > most:
            return f"took more than {most >> 20} MiB of memory"
        for path, before in self._free.items():
            free = _free(path)
            least = min(LEAST_FREE, before // 2)
            if free < least:
                return f"left less than {least >> 20} MiB of free space in {path}"
            if free < before - _SUSPECT and sum(map(_size, self._free)) > self._policy.space:
                return f"wrote more than {self._policy.space >> 20} MiB of files"
        return ""


def _resident(pid: int) -> int:
    """Bytes of private resident memory of a process."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        resident, shared = map(int, Path(f"/proc/{pid}/statm").read_text().split()[1:3])
        return (resident - shared) * _PAGE
    return 0


def _free(path: Path) -> int:
    try:
        status = os.statvfs(path)
    except OSError:
        return 0
    return status.f_bavail * status.f_frsize


def _size(path: Path) -> int:
    """Bytes that the files in a directory occupy."""
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(folder, name)).st_blocks * 512
    return total


def descendants(pid: int) -> list[int]:
    """A process and all its living descendants, parents first."""
    found = [pid]
    for one in found:
        with contextlib.suppress(OSError):
            for task in os.listdir(f"/proc/{one}/task"):
                with contextlib.suppress(OSError):
                    found += map(int, Path(f"/proc/{one}/task/{task}/children").read_text().split())
    return found


def kill_tree(pid: int) -> None:
    """Kill a process and its descendants, until no new ones appear."""
    known: set[int] = set()
    while new := {*descendants(pid)} - known:
        for one in new:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(one, signal.SIGKILL)
        known |= new


def _look(pid: int) -> tuple[float, bool]:
    """The processor seconds of a process tree, and whether all its processes sleep or are stopped."""
    total, waiting = 0, True
    for one in descendants(pid):
        with contextlib.suppress(OSError, ValueError, IndexError):
            fields = Path(f"/proc/{one}/stat").read_text(errors="replace").rpartition(")")[2].split()
            total += sum(map(int, fields[11:15]))
            waiting &= fields[0] not in "RD"
    return total / _TICKS, waiting
