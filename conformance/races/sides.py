# SPDX-License-Identifier: GPL-2.0-only
"""The two sides of a race, set up to be explored: the model's machine, and the whole KVM of a kernel."""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from conformance.model.changes import NO_PFN_DIRTY
from conformance.model.machine.threads import RacingMachine
from conformance.model.modes import MODES
from conformance.model.profiles import Profile
from conformance.model.shadow import RacingShadow
from conformance.oracles.kvm.racing import RacingKvm
from conformance.races.race import Race, Taken
from conformance.races.subject import Ending, Memslot, Spte, Subject

__all__ = ["kvm_side", "model_side"]

_LOGGED = 1


class _Side:
    """A subject of one of the two kinds, whose endings are told in the words of promises."""

    def __init__(self, racing: Any, race: Race, tells_dirty: bool) -> None:
        self.threads: Sequence[str] = racing.threads
        self._racing = racing
        self._memslots = _memslots(race)
        self._destroyed = any(one.kind == "destroy" for one in race.closing[-1:])
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
            # The closing steps would wait for locks that nobody will ever give back.
            told = self._racing.finish() if isinstance(self._racing, RacingKvm) else self._racing
            return Ending(events=tuple(told.events), stuck=tuple(stuck), memslots=self._memslots)
        found = self._racing.finish()
        return Ending(
            events=tuple(found.events),
            complaints=tuple(found.complaints),
            memslots=self._memslots,
            dirty=found.dirty,
            tells_dirty=self._tells_dirty,
            leaked=_leaked(found, self._destroyed),
        )


def _leaked(found: Any, destroyed: bool) -> tuple[int, ...]:
    """What destroying the VM left, if that was the last step."""
    if hasattr(found, "outcomes"):
        return tuple(found.outcomes[-1]) if destroyed else ()
    *_, last = ("", *(event[2] for event in found.events if event[:2] == ("step", "closing")))
    return tuple(map(int, re.findall(r"-?[0-9]+", last))) if destroyed else ()


def model_side(race: Race, profile: Profile, mode: str) -> Subject:
    """The race on the model of a kernel with ``profile``."""
    threads = {name: _packed(steps) for name, steps in race.threads.items()}
    given: dict[str, Any] = {
        "setup": _packed(race.setup),
        "threads": threads,
        "closing": _packed(race.closing),
    }
    racing: Any
    if race.shadow:
        racing = RacingShadow(profile, direct=race.direct, vcpus=race.options["vcpus"], **given)
    else:
        racing = RacingMachine(profile, MODES[mode], race.options, **given)
    return _Side(racing, race, not profile.has(NO_PFN_DIRTY))


def kvm_side(race: Race, library: Path, profile: Profile, mode: str, exchange: mmap.mmap | None) -> Subject:
    """The race on a kernel's own code, in this process, which can have one only; see RacingKvm."""
    racing = RacingKvm(
        library,
        MODES[mode].host(),
        race.options,
        setup=_packed(race.setup),
        threads={name: _packed(steps) for name, steps in race.threads.items()},
        closing=_packed(race.closing),
        exchange=exchange,
    )
    return _Side(racing, race, not profile.has(NO_PFN_DIRTY))


def _packed(steps: Iterable[Taken]) -> list[tuple[str, dict[str, int]]]:
    return [(one.kind, one.arguments) for one in steps]


def _memslots(race: Race) -> tuple[Memslot, ...]:
    """The memslots that a setup leaves; the only one of shadow paging is logged if its setup says so."""
    if race.shadow:
        return (Memslot(0, 0, 1 << 20, any(one.kind == "log" for one in race.setup)),)
    found: dict[int, Memslot] = {}
    for one in race.setup:
        if one.kind == "set_memory_region":
            given = one.arguments
            number = given["slot"] | given["as_id"] << 16
            found[number] = Memslot(number, given["gfn"], given["npages"], bool(given["flags"] & _LOGGED))
    return tuple(found.values())
