# SPDX-License-Identifier: GPL-2.0-only
"""Lists of SPTEs (struct kvm_rmap_head): those that map a gfn, and those that point to a shadow page.

The order matters, since walks over a list act on its SPTEs one after the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from conformance.model.changes import LONGER_PTE_LISTS, PTE_LIST_GROWS_AT_HEAD
from conformance.model.semantics import Semantics
from conformance.model.vm.mmu_pages import KvmMmuPage

__all__ = ["PteList", "Sptep"]


PTE_LIST_EXT = 14
"""How many SPTEs a descriptor holds."""


class Sptep(NamedTuple):
    """Where an SPTE is: its table and its index there. The kernel has its address."""

    sp: KvmMmuPage
    at: int


class PteList:
    """SPTEs in descriptors of up to PTE_LIST_EXT each, before LONGER_PTE_LISTS of up to 3.

    Until PTE_LIST_GROWS_AT_HEAD an SPTE goes to the first descriptor that has room, else to a new one at the
    end, and the last SPTE of a descriptor takes the place of one that is removed. Since then all descriptors
    but the first are full: it receives what is added, and its last SPTE fills each gap.
    """

    def __init__(self, k: Semantics) -> None:
        self.grows_at_head = k.has(PTE_LIST_GROWS_AT_HEAD)
        self.size = PTE_LIST_EXT if k.has(LONGER_PTE_LISTS) else 3
        self.descriptors: list[list[Sptep]] = []
        self.count = 0
        """The number of SPTEs."""

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Sptep]:
        """The SPTEs in the order of a walk, which are those that were there when the walk began."""
        return iter([sptep for descriptor in self.descriptors for sptep in descriptor])

    def add(self, sptep: Sptep) -> None:
        """Add an SPTE (pte_list_add())."""
        self.count += 1
        descriptors = self.descriptors
        searched = descriptors[:1] if self.grows_at_head else descriptors
        for descriptor in searched:
            if len(descriptor) < self.size:
                descriptor.append(sptep)
                return
        descriptors.insert(0 if self.grows_at_head else len(descriptors), [sptep])

    def remove(self, sptep: Sptep) -> None:
        """Remove an SPTE (pte_list_remove()). ValueError if it is not in the list, a BUG of the kernel."""
        for descriptor in self.descriptors:
            if sptep in descriptor:
                filler = self.descriptors[0] if self.grows_at_head else descriptor
                descriptor[descriptor.index(sptep)] = filler[-1]
                filler.pop()
                self.count -= 1
                if not filler:
                    self.descriptors.remove(filler)
                return
        raise ValueError("the SPTE is in no list")

    def clear(self) -> None:
        """Remove all SPTEs."""
        self.descriptors.clear()
        self.count = 0
