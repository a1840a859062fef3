# SPDX-License-Identifier: GPL-2.0-only
"""A present SPTE that maps a page, in the terms of the MMU."""

from __future__ import annotations

from dataclasses import dataclass

from conformance.model.semantics import Semantics
from conformance.model.spte.access import is_accessed_spte, is_dirty_spte
from conformance.model.spte.predicates import is_executable_pte, spte_to_pfn
from conformance.model.spte.writability import is_mmu_writable_spte, is_writable_pte

__all__ = ["Leaf"]


@dataclass(frozen=True)
class Leaf:
    """A present SPTE that maps a page."""

    k: Semantics
    level: int
    gfn: int
    spte: int

    @property
    def pfn(self) -> int:
        """The first page mapped."""
        return int(spte_to_pfn(self.k, self.spte))

    @property
    def writable(self) -> bool:
        """W: the guest may write without an exit."""
        return bool(is_writable_pte(self.spte))

    @property
    def mmu_writable(self) -> bool:
        """MMU-writable: fast_page_fault() may set W."""
        return bool(is_mmu_writable_spte(self.k, self.spte))

    @property
    def host_writable(self) -> bool:
        """Host-writable: memslot and host mapping both allow writing."""
        return bool(self.spte & self.k.shadow_host_writable_mask)

    @property
    def executable(self) -> bool:
        """The guest may fetch instructions."""
        return bool(is_executable_pte(self.k, self.spte))

    @property
    def accessed(self) -> bool:
        """Used since it was last aged, as KVM sees it."""
        return bool(is_accessed_spte(self.k, self.spte))

    @property
    def dirty(self) -> bool:
        """Written since it was last cleaned, as KVM sees it: by W where there is no D bit."""
        return bool(is_dirty_spte(self.k, self.spte))
