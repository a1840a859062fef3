# SPDX-License-Identifier: GPL-2.0-only
"""The moments of a schedule that matter: what the threads have to do with each other.

Those are accesses to what several of them touch and one of them changes, and what happens to the guest.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from conformance.races.subject import Access, Subject

__all__ = ["Moment", "moments"]

_QUIET = {Access.LOCK, Access.LOCK_SHARED, Access.UNLOCK}


@dataclass(frozen=True)
class Moment:
    """What a thread did, and, if it changed an SPTE, what that was afterwards."""

    thread: int
    did: str
    spte: int | None = None


def moments(subject: Subject, choices: Sequence[int]) -> list[Moment]:
    """The moments of a schedule that matter. Runs it once."""
    subject.begin()
    told: list[tuple[int, int, int, str, int | None]] = []
    users: defaultdict[int, set[int]] = defaultdict(set)
    changed: set[int] = set()
    for thread in choices:
        op = subject.pending(thread)
        assert op is not None
        kind, name = op
        did, spte = subject.name(thread), subject.spte(thread)
        subject.advance(thread)
        after = subject.peek(name) if spte is not None and kind in (Access.WRITE, Access.RMW) else None
        told.append((thread, kind, name, did, after))
        users[name].add(thread)
        if kind in (Access.WRITE, Access.RMW):
            changed.add(name)
    found: list[Moment] = []
    for thread, kind, name, did, after in told:
        matters = kind == Access.MARK or (kind not in _QUIET and len(users[name]) > 1 and name in changed)
        moment = Moment(thread, did, after)
        if matters and moment not in found[-1:]:
            found.append(moment)
    return found
