# SPDX-License-Identifier: GPL-2.0-only
"""Profiles: which of the registered changes a kernel has.

The mainline release decides, together with the backports of the series' stable tree by point release. A
kernel that lacks a fix has a profile too: ``profile.without(CHANGE)``.
"""

from __future__ import annotations

from dataclasses import dataclass

from conformance.model.changes import (
    CHANGES,
    CHILD_GFN_COMPARED,
    CHILD_ROLE_COMPARED,
    CR0_WP_REFRESHED,
    DUMMY_ROOT_NOT_WALKED,
    FLUSH_IF_LINKED,
    INVLPG_CANONICAL_BY_HOST,
    MMIO_CACHE_OF_ADDRESS_SPACE,
    NESTED_ROOTS_KEPT,
    RACES,
    RETRY_IF_SLOT_INVALID,
    ROOT_CHECKED_AFTER_PAGES,
    ROOTS_KEPT_ON_WP,
    SREGS_CHECK_CR0,
    UNSYNC_SKIP_IFF_LEAF,
    WRITE_TRACKED_IN_ALL_ADDRESS_SPACES,
    Change,
)

__all__ = ["BACKPORTS", "Backport", "Profile", "profile_of"]


@dataclass(frozen=True)
class Backport:
    """A change in a stable series whose mainline release does not have it.

    ``since`` is the first point release with the backport, ``source`` how that is known.
    """

    change: Change
    since: str
    source: str

    def has(self, release: tuple[int, ...]) -> bool:
        """Whether a kernel of this release has it; a series without SUBLEVEL is its newest point release."""
        first = tuple(map(int, self.since.split(".")))
        return release[:2] == first[:2] and (len(release) == 2 or release >= first)


BACKPORTS = (
    Backport(RETRY_IF_SLOT_INVALID, "5.10.223", "seen in 5.10.223; where it came in was not looked for"),
    Backport(ROOTS_KEPT_ON_WP, "6.1.30", "seen in 6.1.192; 6.1.30 is a guess by the date of its posting"),
    Backport(SREGS_CHECK_CR0, "6.1.43", "seen in 6.1.192; 6.1.43 is a guess by the date of its posting"),
    Backport(
        CR0_WP_REFRESHED,
        "6.1.30",
        "seen in 6.1.192; 6.1.30 is a guess by the date of its posting",
    ),
    Backport(UNSYNC_SKIP_IFF_LEAF, "6.1.120", "Debian's changelog of 6.1.123-1, ChangeLog-6.1.120"),
    Backport(
        UNSYNC_SKIP_IFF_LEAF, "6.12.2", "seen from 6.12.95 on; 6.12.2 is a guess by the date of 6.1.120"
    ),
    Backport(INVLPG_CANONICAL_BY_HOST, "6.12.41", "the announcement of Linux 6.12.41"),
    Backport(MMIO_CACHE_OF_ADDRESS_SPACE, "6.1.191", "Debian's changelog of 6.1.192-1, ChangeLog-6.1.191"),
    Backport(MMIO_CACHE_OF_ADDRESS_SPACE, "6.12.114", "Debian's changelog of 6.12.115-1, ChangeLog-6.12.114"),
    Backport(MMIO_CACHE_OF_ADDRESS_SPACE, "7.2.12", "Debian's changelog of 7.2.12-1, ChangeLog-7.2.12"),
    Backport(CHILD_GFN_COMPARED, "6.1.175", "Debian's changelog of 6.1.187-1, ChangeLog-6.1.175"),
    Backport(CHILD_GFN_COMPARED, "6.12.107", "seen in 6.12.107; where it came in was not looked for"),
    Backport(CHILD_ROLE_COMPARED, "6.1.177", "Debian's changelog of 6.1.187-1, ChangeLog-6.1.177"),
    Backport(CHILD_ROLE_COMPARED, "6.12.107", "seen in 6.12.107; where it came in was not looked for"),
    Backport(ROOT_CHECKED_AFTER_PAGES, "6.1.183", "osv.dev: CVE-2026-64561"),
    Backport(ROOT_CHECKED_AFTER_PAGES, "6.12.101", "osv.dev: CVE-2026-64561"),
    Backport(DUMMY_ROOT_NOT_WALKED, "6.12.113", "Debian's changelog of 6.12.117-1, ChangeLog-6.12.113"),
    Backport(DUMMY_ROOT_NOT_WALKED, "7.2.12", "seen in 7.2.12; where it came in was not looked for"),
    Backport(NESTED_ROOTS_KEPT, "6.1.192", "seen in 6.1.192; where it came in was not looked for"),
    Backport(
        WRITE_TRACKED_IN_ALL_ADDRESS_SPACES, "6.1.187", "Debian's changelog of 6.1.187-1, ChangeLog-6.1.187"
    ),
)
"""The backports in stable kernels. For a distribution's version they are inferred from its number."""

LOST = (
    Backport(FLUSH_IF_LINKED, "6.1.177", "seen in 6.1.192: in the backport of 81ccda30b4e8"),
    Backport(FLUSH_IF_LINKED, "6.12.107", "seen in 6.12.107: in the backport of 81ccda30b4e8"),
)
"""Changes that stable kernels had, and lost with the backport of another."""


@dataclass(frozen=True)
class Profile:
    """The set of changes that a kernel has. ``name`` is shown to users."""

    name: str
    changes: frozenset[Change]

    def has(self, change: Change) -> bool:
        """Whether the kernel contains ``change``."""
        return change in self.changes

    def without(self, *changes: Change) -> Profile:
        """The profile without ``changes``."""
        return Profile(self.name, self.changes - set(changes))

    def plus(self, *changes: Change) -> Profile:
        """The profile with ``changes`` added."""
        return Profile(self.name, self.changes | set(changes))


def profile_of(release: tuple[int, ...]) -> Profile:
    """The profile of a kernel whose Makefile says VERSION, PATCHLEVEL and SUBLEVEL = ``release``.

    Without SUBLEVEL it is the profile of the series' newest point release. Releases older than the oldest
    change have the empty profile, releases newer than the newest change have all changes.
    """
    mainline = {change for change in (*CHANGES.values(), *RACES.values()) if change.release <= release}
    stable = {backport.change for backport in BACKPORTS if backport.has(release)}
    lost = {backport.change for backport in LOST if backport.has(release)}
    return Profile(f"{release[0]}.{release[1]}", frozenset((mainline | stable) - lost))
