# SPDX-License-Identifier: GPL-2.0-only
"""Profiles: which of the registered changes a kernel has.

Mainline's release decides, corrected by what the series' stable tree or distributor took over early.
A kernel that lacks a fix has a profile too: ``profile.without(CHANGE)``.
"""

from __future__ import annotations

from dataclasses import dataclass

from conformance.model.changes import (
    CHANGES,
    MMIO_CACHE_OF_ADDRESS_SPACE,
    RACES,
    UNSYNC_SKIP_IFF_LEAF,
    Change,
)

__all__ = ["Profile", "profile_of"]

_BACKPORTED: dict[tuple[int, int], tuple[Change, ...]] = {
    # "commit 2867eb782cf7 upstream" is in the stable trees of 6.1 and 6.12. The fix of the MMIO cache is in
    # Debian's 6.1.192-2 and 7.2.12-1, but not yet in 6.12.107-1.
    (6, 1): (UNSYNC_SKIP_IFF_LEAF, MMIO_CACHE_OF_ADDRESS_SPACE),
    (6, 12): (UNSYNC_SKIP_IFF_LEAF,),
    (7, 2): (MMIO_CACHE_OF_ADDRESS_SPACE,),
}
"""Changes that a stable series has although its mainline release does not."""


@dataclass(frozen=True)
class Profile:
    """A set of changes. ``name`` tells the user which kernel it describes."""

    name: str
    changes: frozenset[Change]

    def has(self, change: Change) -> bool:
        """Whether the kernel contains ``change``."""
        return change in self.changes

    def without(self, *changes: Change) -> Profile:
        """The same kernel with ``changes`` missing."""
        return Profile(self.name, self.changes - set(changes))

    def plus(self, *changes: Change) -> Profile:
        """The same kernel with ``changes`` added."""
        return Profile(self.name, self.changes | set(changes))


def profile_of(release: tuple[int, int]) -> Profile:
    """The profile of a kernel whose Makefile says VERSION.PATCHLEVEL = ``release``.

    Releases older than the oldest change have the empty profile, newer ones than the newest all.
    """
    mainline = {change for change in (*CHANGES.values(), *RACES.values()) if change.release <= release}
    return Profile(f"{release[0]}.{release[1]}", frozenset(mainline | set(_BACKPORTED.get(release, ()))))
