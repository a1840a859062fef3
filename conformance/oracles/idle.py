# SPDX-License-Identifier: GPL-2.0-only
"""Idle servers, kept for reuse: starting one takes longer than most of its work."""

from __future__ import annotations

import atexit
import os
from typing import Any, Generic, Protocol, TypeVar

__all__ = ["Idle"]


class Server(Protocol):
    """What a server has to provide."""

    @property
    def key(self) -> Any:
        """What it serves; servers with equal keys are interchangeable."""

    @property
    def usable(self) -> bool:
        """Whether it can take work."""

    def close(self) -> None:
        """End it."""


S = TypeVar("S", bound=Server)


class Idle(Generic[S]):
    """The ``most`` that were last used. They end with this process; one that is forked from it has none."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: list[tuple[int, S]] = []
        atexit.register(self.close)

    def take(self, key: object) -> S | None:
        """A usable server with this key, or None."""
        for entry in self._kept[::-1]:
            pid, server = entry
            if (pid, server.key) == (os.getpid(), key):
                self._kept.remove(entry)
                if server.usable:
                    return server
                server.close()
        return None

    def put(self, server: S) -> None:
        """Keep a server if it is usable, else end it; beyond the limit, end the oldest."""
        if not server.usable:
            server.close()
            return
        self._kept.append((os.getpid(), server))
        if len(self._kept) > self._most:
            self._end(*self._kept.pop(0))

    def close(self) -> None:
        """End all servers."""
        while self._kept:
            self._end(*self._kept.pop())

    def _end(self, pid: int, server: S) -> None:
        if pid == os.getpid():
            server.close()
