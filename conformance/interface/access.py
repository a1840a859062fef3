# SPDX-License-Identifier: GPL-2.0-only
"""The codes of a guest's access: its kind, how KVM handled each exit, and how the access ended."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["FETCH", "MMIO_EXIT", "READ", "WRITE", "End", "Exit"]

READ, WRITE, FETCH = 1, 2, 4
"""Kinds of access; as a set of bits, the rights that a translation grants."""

MMIO_EXIT = 100
"""Added to the code of an exit that was an EPT misconfiguration or met a reserved bit."""


class Exit(IntEnum):
    """How KVM handled an exit: its RET_PF_* values. A negative code is an errno."""

    RETRY = 10
    EMULATE = 11
    INVALID = 12
    FIXED = 13
    SPURIOUS = 14


class End(IntEnum):
    """How an access ended."""

    DONE = 0
    """The instruction completed."""
    GAVE_UP = 1
    """KVM still asked for a retry after the last exit that is allowed."""
    EMULATED = 2
    """KVM emulates the instruction."""
    FAILED = 3
    """KVM returned an error to userspace."""
