# SPDX-License-Identifier: GPL-2.0-only
"""The Subject that both sides share: adapts racing machines, and turns their results into an Execution."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from conformance.races.guest_tables import GuestTables
from conformance.races.subject import Execution, Memslot, Spte

__all__ = ["Side"]


class Side:
    """A Subject made of a racing machine.

    ``racing`` is a RacingMachine or a RacingKvm. ``destroyed`` says whether the last closing
    step destroys the VM. ``memslots``, ``reports_dirty`` and ``tables`` are copied into each Execution.
    """

    def __init__(
        self,
        racing: Any,
        *,
        memslots: tuple[Memslot, ...],
        destroyed: bool,
        reports_dirty: bool,
        tables: GuestTables | None = None,
    ) -> None:
        self.threads: Sequence[str] = racing.threads
        self._racing = racing
        self._memslots = memslots
        self._destroyed = destroyed
        self._reports_dirty = reports_dirty
        self._tables = tables
        # Called for each access: bound directly, without a call in between.
        self.begin = racing.begin
        self.pending: Any = racing.pending
        self.enabled = racing.ready
        self.advance = racing.advance
        self.peek = racing.peek

    def name(self, thread: int) -> str:
        """As Subject.name()."""
        name: str = self._racing.name(thread)
        return name.removeprefix(f"{self.threads[thread]}: ")

    def spte(self, thread: int) -> Spte | None:
        """As Subject.spte()."""
        found = self._racing.spte(thread)
        if found is None:
            return None
        level, gfn, *_, value = found
        return Spte(level, gfn, value)

    def finish(self) -> Execution:
        """As Subject.finish()."""
        deadlocked = [name for t, name in enumerate(self.threads) if self.pending(t) is not None]
        found = self._racing.finish()
        if deadlocked:
            # The closing steps would block on locks that the threads hold.
            return Execution(
                events=tuple(found.events),
                complaints=tuple(found.complaints),
                deadlocked=tuple(deadlocked),
                memslots=self._memslots,
            )
        return Execution(
            events=tuple(found.events),
            complaints=tuple(found.complaints),
            memslots=self._memslots,
            dirty=found.dirty,
            reports_dirty=self._reports_dirty,
            leaked=_leaked(found, self._destroyed),
            tables=self._tables,
            final=None if self._tables is None else found.observation,
        )


def _leaked(found: Any, destroyed: bool) -> tuple[int, ...]:
    """What the last closing step left, if that destroyed the VM; else empty."""
    if not destroyed:
        return ()
    *_, last = ("", *(event[2] for event in found.events if event[:2] == ("step", "closing")))
    return tuple(map(int, re.findall(r"-?[0-9]+", last)))
