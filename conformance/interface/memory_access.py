# SPDX-License-Identifier: GPL-2.0-only
"""What a thread of a race does next to the state that threads share: enum point_kind of the kvm oracle."""

from __future__ import annotations

__all__ = ["Access"]


class Access:
    """The kind of an access, as plain integers: members of an enum take longer to look up and to compare.

    What the guest does is another thing: ``interface.access``.
    """

    READ = 0
    WRITE = 1
    """A plain store, or WRITE_ONCE()."""
    RMW = 2
    """An atomic exchange, compare-and-exchange, or bit operation."""
    LOCK = 3
    LOCK_SHARED = 4
    UNLOCK = 5
    WAIT = 6
    """Wait until a condition holds."""
    MARK = 7
    """Note an event by which invariants are judged."""
    NAMES = ("READ", "WRITE", "RMW", "LOCK", "LOCK_SHARED", "UNLOCK", "WAIT", "MARK")
    """The names of the kinds, by number."""
