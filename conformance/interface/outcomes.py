# SPDX-License-Identifier: GPL-2.0-only
"""The outcomes of steps: lists of integers, whose fields are named here.

An observation carries the plain list, which both sides compare; ``OutcomeType.read`` names its fields.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from conformance.interface.access import End

__all__ = ["AccessOutcome", "Code", "DirtyLog", "Leaks", "Nothing", "Outcome", "Position", "Unmapping"]


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


Outcome = Nothing | Code | AccessOutcome | DirtyLog | Position | Unmapping | Leaks
