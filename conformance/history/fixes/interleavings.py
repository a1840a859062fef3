# SPDX-License-Identifier: GPL-2.0-only
"""Fixes whose absence takes two threads to show: the race that must notice violates an invariant."""

from __future__ import annotations

from conformance.history.fix import Revert, fix, roughly
from conformance.model import changes
from conformance.model.changes import Change
from conformance.races.stories import RACES

__all__ = ["INTERLEAVINGS"]


def _raced(race: str, change: Change) -> tuple[Revert, ...]:
    """The reverts of a change that a race has as a historic variant, in 6.1 and in one later kernel."""
    (historic,) = (one for one in RACES[race].historic if one.change is change)
    mode = (historic.modes or RACES[race].modes)[-1]
    return tuple(roughly(*historic.reverts_of(kernel), by=race, mode=mode) for kernel in ("6.1", "7.3"))


INTERLEAVINGS = (
    fix(
        changes.UNSYNC_UNDER_SPINLOCK,
        "mmu_try_to_unsync_pages",
        "two vCPUs could mark shadow pages unsync at once, and the count of a parent was wrong",
        *_raced("two_tables_unsync_at_once", changes.UNSYNC_UNDER_SPINLOCK),
    ),
    fix(
        changes.GPTE_RECHECKED,
        "FNAME(fetch)",
        "a fault mapped what an entry of the guest had said before another vCPU changed it and flushed",
        *_raced("entry_changed_after_the_walk", changes.GPTE_RECHECKED),
    ),
)
"""Each is a historic variant of a race as well."""
