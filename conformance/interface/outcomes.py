# SPDX-License-Identifier: GPL-2.0-only
"""The outcomes of steps: lists of integers, whose fields are named here.

An observation carries the plain list, which both sides compare; ``OutcomeType.read`` names its fields.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from conformance.interface.access import End

__all__ = [
    "AccessOutcome",
    "Code",
    "DirtyLog",
    "ExecuteOutcome",
    "Leaks",
    "Nothing",
    "Outcome",
    "Position",
    "Unmapping",
]


class Nothing(NamedTuple):
    """A step that returns nothing."""

    @classmethod
    def read(cls, values: Sequence[int]) -> Nothing:
        """From the list."""
        return cls._make(values)


class Code(NamedTuple):
    """A return code: 0, a count, or a negative errno."""

    code: int

    @classmethod
    def read(cls, values: Sequence[int]) -> Code:
        """From the list."""
        return cls._make(values)


class AccessOutcome(NamedTuple):
    """A guest's access: the code of each exit (Exit, MMIO_EXIT, or an errno), and its end."""

    exits: tuple[int, ...]
    end: End

    @classmethod
    def read(cls, values: Sequence[int]) -> AccessOutcome:
        """From the list."""
        return cls(tuple(values[:-1]), End(values[-1]))


class ExecuteOutcome(NamedTuple):
    """An instruction of the guest: each exit with its error code, its end, and three words about the end.

    An exit is the error code of its page fault and how KVM handled it (Exit, MMIO_EXIT, or an errno). What
    the words mean depends on the end: DONE: level and pfn of the translation, and the word of memory that was
    read or fetched, or that is there after a write (XADD adds); EMULATED: 0, 0, the word; FAILED: the errno;
    EXCEPTION: vector, error code, the address of a page fault; NESTED_EXIT: error code, guest physical
    address, exit qualification (0 with NPT, and if a reserved bit is set); USERSPACE: the reason of the exit,
    and for MMIO the physical address, and whether it writes. Others are 0.

    An address that is not a multiple of the word's size, or that the guest's mode does not have, FAILED with
    -EINVAL. KVM fetches an instruction that it emulates for a fetch itself, which fails.
    """

    exits: tuple[tuple[int, int], ...]
    end: End
    words: tuple[int, int, int]

    @classmethod
    def read(cls, values: Sequence[int]) -> ExecuteOutcome:
        """From the list."""
        exits = values[:-4]
        return cls(
            tuple(zip(exits[::2], exits[1::2], strict=True)),
            End(values[-4]),
            (values[-3], values[-2], values[-1]),
        )


class DirtyLog(NamedTuple):
    """The return code of KVM_GET_DIRTY_LOG, and on success the words of the bitmap."""

    code: int
    bitmap: tuple[int, ...]

    @classmethod
    def read(cls, values: Sequence[int]) -> DirtyLog:
        """From the list."""
        return cls(values[0], tuple(values[1:]))


class Position(NamedTuple):
    """Where the lockless reader stands; not ``valid`` after the last entry of the root.

    ``spte`` has no address bits if it points to a table.
    """

    valid: int
    level: int
    gfn: int
    spte: int

    @classmethod
    def read(cls, values: Sequence[int]) -> Position:
        """From the list."""
        return cls._make(values)


class Unmapping(NamedTuple):
    """Deletion of a memslot: its code, whether the host unmapped pages meanwhile, the leaves left then."""

    code: int
    unmapped: int
    left_4k: int
    left_2m: int
    left_1g: int

    @classmethod
    def read(cls, values: Sequence[int]) -> Unmapping:
        """From the list."""
        return cls._make(values)


class Leaks(NamedTuple):
    """What was not freed when the VM was destroyed."""

    objects: int
    pages: int
    references: int
    """References to host pages."""

    @classmethod
    def read(cls, values: Sequence[int]) -> Leaks:
        """From the list."""
        return cls._make(values)


Outcome = Nothing | Code | AccessOutcome | ExecuteOutcome | DirtyLog | Position | Unmapping | Leaks
