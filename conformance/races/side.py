# SPDX-License-Identifier: GPL-2.0-only
"""What the two sides of a race have in common: endings in the words of promises."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from conformance.races.subject import Ending, Memslot, Spte

__all__ = ["Side"]


class Side:
    """A subject, made of threads that race.

    ``racing`` is a RacingMachine, a RacingShadow or a RacingKvm. ``destroyed``: the last step destroys the
    VM. ``memslots`` and ``tells_dirty`` are those of an Ending.
    """

    def __init__(
        self, racing: Any, *, memslots: tuple[Memslot, ...], destroyed: bool, tells_dirty: bool
    ) -> None:
        self.threads: Sequence[str] = racing.threads
        self._racing = racing
        self._memslots = memslots
        self._destroyed = destroyed
        self._tells_dirty = tells_dirty
        # These are called for each access: there shall be nothing in between.
        self.begin = racing.begin
        self.pending: Any = racing.pending
        self.ready = racing.ready
        self.advance = racing.advance
        self.peek = racing.peek

    def name(self, thread: int) -> str:
        """As Subject.name()."""
        told: str = self._racing.name(thread)
        return told.removeprefix(f"{self.threads[thread]}: ")

    def spte(self, thread: int) -> Spte | None:
        """As Subject.spte()."""
        found = self._racing.spte(thread)
        if found is None:
            return None
        level, gfn, *_, value = found
        return Spte(level, gfn, value)

    def finish(self) -> Ending:
        """As Subject.finish()."""
        stuck = [name for t, name in enumerate(self.threads) if self.pending(t) is not None]
        if stuck:
            # The closing steps would wait for locks that no thread will ever give back.
            return Ending(events=self._events_so_far(), stuck=tuple(stuck), memslots=self._memslots)
        found = self._racing.finish()
        return Ending(
            events=tuple(found.events),
            complaints=tuple(found.complaints),
            memslots=self._memslots,
            dirty=found.dirty,
            tells_dirty=self._tells_dirty,
            leaked=_leaked(found, self._destroyed),
        )

    def _events_so_far(self) -> tuple[tuple[Any, ...], ...]:
        return tuple(self._racing.events)


def _leaked(found: Any, destroyed: bool) -> tuple[int, ...]:
    """What destroying the VM left, if that was the last step."""
    if hasattr(found, "outcomes"):
        return tuple(found.outcomes[-1]) if destroyed else ()
    *_, last = ("", *(event[2] for event in found.events if event[:2] == ("step", "closing")))
    return tuple(map(int, re.findall(r"-?[0-9]+", last))) if destroyed else ()
