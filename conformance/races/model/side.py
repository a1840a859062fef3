# SPDX-License-Identifier: GPL-2.0-only
"""A race on the model's machine."""

from __future__ import annotations

from typing import Any

from conformance.model.changes import NO_PFN_DIRTY
from conformance.model.modes import VM_MODES
from conformance.model.profiles import Profile
from conformance.races.model.shadow import RacingShadow
from conformance.races.model.threads import RacingMachine
from conformance.races.race import Race
from conformance.races.side import Side
from conformance.races.subject import Memslot, Subject

__all__ = ["model_side"]


def model_side(race: Race, profile: Profile, mode: str) -> Subject:
    """The race on the model of a kernel with ``profile``."""
    program = race.program
    given: dict[str, Any] = {"setup": program.setup, "threads": program.threads, "closing": program.closing}
    racing: Any
    if race.toy:
        racing = RacingShadow(profile, direct=race.direct, vcpus=program.options["vcpus"], **given)
    else:
        racing = RacingMachine(profile, VM_MODES[mode], program.options, **given)
    reports_dirty = not profile.has(NO_PFN_DIRTY)
    return Side(racing, memslots=_memslots(race), destroyed=program.destroys, reports_dirty=reports_dirty)


def _memslots(race: Race) -> tuple[Memslot, ...]:
    """The memslots that a setup leaves; the only one of shadow paging is logged if its setup says so."""
    if race.toy:
        return (Memslot(0, 0, 1 << 20, any(kind == "log" for kind, _ in race.program.setup)),)
    return race.program.memslots
