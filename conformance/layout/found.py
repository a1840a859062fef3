# SPDX-License-Identifier: GPL-2.0-only
"""What a look at layouts comes to: places of members on both sides, values of constants on both sides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from conformance.model.spte.decode.fields import Field

__all__ = ["Constant", "Found", "Place", "Row", "Structure"]

Place = tuple[int, int]
"""The first bit, from the start of the structure, and how many there are."""


@dataclass(frozen=True)
class Row:
    """A member; None for a side that does not have it. The structure itself is called "all"."""

    member: str
    shipped: Place | None
    shim: Place | None

    @property
    def differs(self) -> bool:
        """Whether it lies elsewhere, or is not as wide, on one side."""
        return self.shipped != self.shim


@dataclass(frozen=True)
class Structure:
    """A structure or union, "struct kvm_mmu_page"."""

    name: str
    rows: Sequence[Row]


@dataclass(frozen=True)
class Constant:
    """A choice of KVM's about SPTEs, by the name of its macro."""

    name: str
    model: int
    shim: int

    @property
    def differs(self) -> bool:
        """Whether model and kernel do not mean the same."""
        return self.model != self.shim


@dataclass(frozen=True)
class Found:
    """The layouts of one kernel."""

    title: str
    """The kernel that the shim is compiled from."""
    shipped: str
    """What it is compared with: package and version, or the file."""
    source: str
    """Where the shipped kernel's layouts are from: "BTF", "DWARF", or "" if they are from nowhere."""
    notes: Sequence[str]
    """Drift, and what else there is to know."""
    unjudged: str | None
    """Why there is nothing to compare with; None if there is."""
    structures: Sequence[Structure]
    options: Sequence[tuple[str, str, str]]
    """Options that the headers ask about and that are not set alike: name, shipped, shim."""
    constants: Sequence[Constant]
    bits: Sequence[tuple[str, Sequence[Field]]]
    """For some modes and kinds of SPTE, which bits are what."""

    @property
    def status(self) -> int:
        """0 all is equal, 1 something differs, 2 it could not be compared."""
        rows = (row for structure in self.structures for row in structure.rows)
        if self.unjudged is None and any(row.differs for row in rows):
            return 1
        if any(constant.differs for constant in self.constants):
            return 1
        return 2 if self.unjudged is not None else 0
