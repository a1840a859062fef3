# SPDX-License-Identifier: GPL-2.0-only
"""Servers without work, kept for reuse: to begin one takes longer than most of its work."""

from __future__ import annotations

import atexit
import os
from typing import Any, Generic, Protocol, TypeVar

__all__ = ["Idle"]


class Server(Protocol):
    """What must be known of a server."""

    @property
    def key(self) -> Any:
        """What it serves; servers of equal keys can stand in for each other."""

    @property
    def usable(self) -> bool:
        """Whether it waits for work."""

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
        """One with this key, if there is any that can be used."""
        for entry in self._kept[::-1]:
            pid, server = entry
            if (pid, server.key) == (os.getpid(), key):
                self._kept.remove(entry)
                if server.usable:
                    return server
                server.close()
        return None

    def put(self, server: S) -> None:
        """Keep one, if it can be used again; it, or one too many, is ended otherwise."""
        if not server.usable:
            server.close()
            return
        self._kept.append((os.getpid(), server))
        if len(self._kept) > self._most:
            self._end(*self._kept.pop(0))

    def close(self) -> None:
        """End all."""
        while self._kept:
            self._end(*self._kept.pop())

    def _end(self, pid: int, server: S) -> None:
        if pid == os.getpid():
            server.close()
