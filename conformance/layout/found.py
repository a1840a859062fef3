# SPDX-License-Identifier: GPL-2.0-only
"""The result of comparing layouts: places of members and values of constants, on both sides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from conformance.model.spte.decode.fields import Field

__all__ = ["Constant", "Found", "Place", "Row", "Structure"]

Place = tuple[int, int]
"""The first bit, from the start of the structure, and how many there are."""


@dataclass(frozen=True)
class Row:
    """A member, and its place on each side; None for a side that lacks it. "all" is the structure itself."""

    member: str
    shipped: Place | None
    shim: Place | None

    @property
    def differs(self) -> bool:
        """Whether its place or its width differs between the sides."""
        return self.shipped != self.shim


@dataclass(frozen=True)
class Structure:
    """A structure or union, "struct kvm_mmu_page"."""

    name: str
    rows: Sequence[Row]


@dataclass(frozen=True)
class Constant:
    """A constant of KVM about SPTEs, by the name of its macro."""

    name: str
    model: int
    shim: int

    @property
    def differs(self) -> bool:
        """Whether the values of model and kernel differ."""
        return self.model != self.shim


@dataclass(frozen=True)
class Found:
    """The layouts of one kernel."""

    title: str
    """The kernel that the shim is compiled from."""
    shipped: str
    """What it is compared with: package and version, or the file."""
    source: str
    """The source of the shipped kernel's layouts: "BTF", "DWARF", or "" if there is no source."""
    notes: Sequence[str]
    """Sentences about drift and about sources that do not agree."""
    unjudged: str | None
    """Why the shipped kernel cannot be compared; None if it can."""
    structures: Sequence[Structure]
    options: Sequence[tuple[str, str, str]]
    """Options that the headers depend on and that differ: name, shipped value, value in the shim."""
    constants: Sequence[Constant]
    bits: Sequence[tuple[str, Sequence[Field]]]
    """The bits of an SPTE, for some modes and kinds of SPTE."""

    @property
    def status(self) -> int:
        """The exit status: 0 equal, 1 something differs, 2 not comparable."""
        rows = (row for structure in self.structures for row in structure.rows)
        if self.unjudged is None and any(row.differs for row in rows):
            return 1
        if any(constant.differs for constant in self.constants):
            return 1
        return 2 if self.unjudged is not None else 0
