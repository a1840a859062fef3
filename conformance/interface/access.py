# SPDX-License-Identifier: GPL-2.0-only
"""The codes of a guest's access: its kind, how KVM handled each exit, and how the access ended."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["FETCH", "MMIO_EXIT", "READ", "WRITE", "End", "Exit", "Instruction", "Privilege"]

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
    UNPROTECTED = 15
    """The emulator made the guest retry its instruction, after it unprotected the gfn that it writes."""


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
    EXCEPTION = 4
    """KVM injects an exception into the guest."""
    NESTED_EXIT = 5
    """L1 handles the exit of its guest."""
    USERSPACE = 6
    """Userspace completes the instruction: MMIO."""


class Privilege(IntEnum):
    """Who executes an instruction."""

    SUPERVISOR = 0
    USER = 1
    """CPL 3."""
    SUPERVISOR_AC = 2
    """The supervisor with EFLAGS.AC, for whom SMAP does not apply."""


class Instruction(IntEnum):
    """The instruction of a guest that accesses memory; a fetch has none."""

    MOV = 0
    """MOV of 8 bytes, of 4 bytes outside of 64-bit mode."""
    XADD = 1
    """An instruction that KVM does not expect to write page tables."""
