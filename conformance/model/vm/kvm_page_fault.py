# SPDX-License-Identifier: GPL-2.0-only
"""A page fault on its way through KVM: what the processor reported, and what was found out about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from conformance.model.layout import PG_LEVEL_4K
from conformance.model.spte.writability import PFERR_FETCH_MASK, PFERR_WRITE_MASK
from conformance.model.vm.memslots import KvmMemorySlot

__all__ = [
    "PFERR_GUEST_FINAL_MASK",
    "PFERR_PRESENT_MASK",
    "PFERR_RSVD_MASK",
    "KvmPageFault",
    "RetPf",
]

PFERR_PRESENT_MASK = 1 << 0
PFERR_RSVD_MASK = 1 << 3
PFERR_GUEST_FINAL_MASK = 1 << 32
"""The fault was on the guest's own access, not while the processor read the guest's page tables."""


class RetPf(Enum):
    """What became of a fault: RET_PF_*."""

    CONTINUE = "so far, so good"
    RETRY = "let the guest try again"
    EMULATE = "emulate the instruction: MMIO, or a write to what is read-only for the guest"
    INVALID = "the MMIO SPTE is stale, the fault must be handled"
    FIXED = "what was missing is there now"
    SPURIOUS = "nothing was missing any more"


@dataclass
class KvmPageFault:
    """struct kvm_page_fault; levels are those of the page to be mapped."""

    gfn: int
    error_code: int
    slot: KvmMemorySlot | None
    huge_page_disallowed: bool = False
    req_level: int = PG_LEVEL_4K
    goal_level: int = PG_LEVEL_4K
    mmu_seq: int = 0
    """mmu_invalidate_seq before the host was asked for the page."""
    pfn: int = 0
    map_writable: bool = False
    """Whether the host lets the page be written."""

    @property
    def exec(self) -> bool:
        """A fetch."""
        return bool(self.error_code & PFERR_FETCH_MASK)

    @property
    def write(self) -> bool:
        """A write."""
        return bool(self.error_code & PFERR_WRITE_MASK)

    @property
    def present(self) -> bool:
        """Something was mapped, but did not allow the access."""
        return bool(self.error_code & PFERR_PRESENT_MASK)

    @property
    def rsvd(self) -> bool:
        """A reserved bit was set, as in MMIO SPTEs on purpose."""
        return bool(self.error_code & PFERR_RSVD_MASK)
