# SPDX-License-Identifier: GPL-2.0-only
"""struct kvm_page_fault: what the processor reported about a fault, and what KVM looked up for it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from conformance.model.changes import UNPROTECT_ON_WRITE_PROTECTION_ONLY
from conformance.model.layout import PG_LEVEL_1G, PG_LEVEL_4K
from conformance.model.semantics import Semantics
from conformance.model.spte.writability import PFERR_FETCH_MASK, PFERR_USER_MASK, PFERR_WRITE_MASK
from conformance.model.vm.memslots import KvmMemorySlot

__all__ = [
    "PFERR_GUEST_FINAL_MASK",
    "PFERR_GUEST_PAGE_MASK",
    "PFERR_PK_MASK",
    "PFERR_PRESENT_MASK",
    "PFERR_RSVD_MASK",
    "KvmPageFault",
    "RetPf",
    "write_protected",
]

PFERR_PRESENT_MASK = 1 << 0
PFERR_RSVD_MASK = 1 << 3
PFERR_PK_MASK = 1 << 5
PFERR_GUEST_FINAL_MASK = 1 << 32
"""The fault was on the guest's own access, not while the processor read the guest's page tables."""
PFERR_GUEST_PAGE_MASK = 1 << 33
"""The fault was while the processor read the guest's page tables."""


class RetPf(Enum):
    """How a fault, or one step of handling it, ended: RET_PF_*, and the errnos that are possible."""

    CONTINUE = "the fault is not handled yet: go on with the next step"
    RETRY = "let the guest execute the instruction again"
    EMULATE = "emulate the instruction: MMIO, or a write to a read-only memslot"
    INVALID = "this step cannot handle the fault: handle it from the start"
    FIXED = "the SPTE allows the access now"
    SPURIOUS = "the SPTE allowed the access already"
    WRITE_PROTECTED = "the gfn is write-protected, since it may be a table of the guest: unprotect or emulate"
    ENOSPC = "no shadow page is available: KVM_RUN fails with -ENOSPC"
    EFAULT = "the host has no page: KVM_RUN fails with -EFAULT"


def write_protected(k: Semantics) -> RetPf:
    """The result of a write to a gfn that must stay read-only; before v6.12 as if it were MMIO."""
    return RetPf.WRITE_PROTECTED if k.has(UNPROTECT_ON_WRITE_PROTECTION_ONLY) else RetPf.EMULATE


@dataclass
class KvmPageFault:
    """struct kvm_page_fault. Of an indirect MMU, gfn and slot are known after the walk of the guest's tables.

    ``req_level`` is the largest level that memslot and host allow, ``goal_level`` the one at which KVM maps.
    """

    gfn: int
    error_code: int
    slot: KvmMemorySlot | None
    addr: int = 0
    """The linear or guest physical address, of an MMU that is not the TDP's (``is_tdp``)."""
    is_tdp: bool = True
    """Whether the MMU is of two-dimensional paging, and not one that shadows L1's tables."""
    max_level: int = PG_LEVEL_1G
    """The largest level that the guest's tables allow."""
    write_fault_to_shadow_pgtable: bool = False
    """Whether the guest writes one of the tables that translate this very address."""
    huge_page_disallowed: bool = False
    req_level: int = PG_LEVEL_4K
    goal_level: int = PG_LEVEL_4K
    mmu_seq: int = 0
    """mmu_invalidate_seq as it was before the page was looked up."""
    pfn: int = 0
    map_writable: bool = False
    """Whether the host maps the page writable."""

    @property
    def exec(self) -> bool:
        """Whether the access is an instruction fetch."""
        return bool(self.error_code & PFERR_FETCH_MASK)

    @property
    def write(self) -> bool:
        """Whether the access is a write."""
        return bool(self.error_code & PFERR_WRITE_MASK)

    @property
    def user(self) -> bool:
        """Whether the access is a user's."""
        return bool(self.error_code & PFERR_USER_MASK)

    @property
    def present(self) -> bool:
        """Whether the gfn was mapped, without the right for the access."""
        return bool(self.error_code & PFERR_PRESENT_MASK)

    @property
    def rsvd(self) -> bool:
        """Whether a reserved bit was set, as in MMIO SPTEs."""
        return bool(self.error_code & PFERR_RSVD_MASK)
