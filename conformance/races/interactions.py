# SPDX-License-Identifier: GPL-2.0-only
"""The accesses of a schedule by which its threads interact; a diagram shows these only.

They are the accesses to objects that several threads access and one of them writes, and guest accesses.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from conformance.races.subject import Access, Subject

__all__ = ["Interaction", "interactions"]

_LOCKING = {Access.LOCK, Access.LOCK_SHARED, Access.UNLOCK}


@dataclass(frozen=True)
class Interaction:
    """An access of a thread, as text, and the value of the SPTE after it, if it wrote one."""

    thread: int
    access: str
    spte: int | None = None


def interactions(subject: Subject, choices: Sequence[int]) -> list[Interaction]:
    """The interactions of a schedule, which is run once for that."""
    subject.begin()
    accesses: list[tuple[int, int, int, str, int | None]] = []
    users: defaultdict[int, set[int]] = defaultdict(set)
    written: set[int] = set()
    for thread in choices:
        op = subject.pending(thread)
        assert op is not None
        kind, name = op
        text, spte = subject.name(thread), subject.spte(thread)
        subject.advance(thread)
        after = subject.peek(name) if spte is not None and kind in (Access.WRITE, Access.RMW) else None
        accesses.append((thread, kind, name, text, after))
        users[name].add(thread)
        if kind in (Access.WRITE, Access.RMW):
            written.add(name)
    found: list[Interaction] = []
    for thread, kind, name, text, after in accesses:
        shown = kind == Access.MARK or (kind not in _LOCKING and len(users[name]) > 1 and name in written)
        interaction = Interaction(thread, text, after)
        if shown and interaction not in found[-1:]:
            found.append(interaction)
    return found
