# SPDX-License-Identifier: GPL-2.0-only
"""States of a machine between steps of its threads, from which schedules go on that begin in the same way.

The stack of a thread cannot be saved, so no thread may be in the middle of a step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from conformance.races.model.scheduler import Event
from conformance.races.model.snapshot import Snapshot

__all__ = ["SavedStates", "State"]

SEEN = 4
"""So many schedules must begin in the same way before a state is saved: that takes as long as some do."""


@dataclass(frozen=True)
class State:
    """The state of a machine.

    ``positions`` are the next step of each thread, and the number of the last table that it made. ``events``
    and ``crashes`` are those so far, ``complaints`` those of the model.
    """

    of_vm: Snapshot
    positions: list[tuple[int, int]]
    events: list[Event]
    complaints: list[Any]
    crashes: list[str]


@dataclass
class _Point:
    """A beginning of schedules after which all threads are between steps, and how often it was run."""

    choices: tuple[int, ...]
    seen: int = 0
    state: State | None = None


class SavedStates:
    """The saved states of the schedules that begin as the last one did; ``start`` is that after the setup."""

    def __init__(self, start: State) -> None:
        self._start = start
        self._points: list[_Point] = []

    def latest(self, choices: Sequence[int]) -> tuple[int, State]:
        """The last saved state of a schedule that begins with ``choices``, and after how many of these."""
        known = tuple(choices)
        while self._points and self._points[-1].choices != known[: len(self._points[-1].choices)]:
            self._points.pop()
        for point in reversed(self._points):
            if point.state is not None:
                return len(point.choices), point.state
        return 0, self._start

    def reached(self, choices: tuple[int, ...], save: Callable[[], State]) -> None:
        """Note that all threads are between steps after ``choices``; ``save`` the state if it is worth it."""
        point = next((one for one in self._points if len(one.choices) == len(choices)), None)
        if point is None:
            point = _Point(choices)
            self._points.append(point)
        point.seen += 1
        if point.seen == SEEN:
            point.state = save()
