# SPDX-License-Identifier: GPL-2.0-only
"""struct kvm_pagewalk: what KVM needs to know to walk page tables of the guest.

A vCPU has two. ``gva_walk`` translates linear addresses, by the tables of what runs: L1, or L2 while it runs.
``ngpa_walk`` translates L2's physical addresses, by L1's EPT or NPT. Before v7.3 these were parts of struct
kvm_mmu: of ``root_mmu`` (``nested_mmu`` while L2 runs), and of ``guest_mmu``.
"""

from __future__ import annotations

from dataclasses import dataclass

from conformance.model.guest_paging.cpu_role import CpuRole
from conformance.model.guest_paging.gptes import GuestFormat
from conformance.model.layout import PG_LEVEL_1G

__all__ = ["NO_ROLE", "KvmPagewalk", "X86Exception"]

NO_ROLE = CpuRole(*[0] * len(CpuRole._fields))
"""The role before a context was initialised: not valid, so that it equals no other."""

UD_VECTOR, PF_VECTOR = 6, 14


@dataclass
class KvmPagewalk:
    """How the guest's tables are walked."""

    nested: bool
    """Whether it translates L2's physical addresses (ngpa_walk)."""
    cpu_role: CpuRole = NO_ROLE
    ept: bool = False
    ad_disabled: bool = False
    """Of EPT: L1 has not enabled Accessed and Dirty (cpu_role.base.ad_disabled)."""
    execonly: bool = False
    """Of EPT: L1 may map pages that can only be executed (cpu_role.ext.execonly)."""
    huge_page_level: int = PG_LEVEL_1G
    """Of EPT: the largest page that L1 may map."""
    pgd: int = 0
    """Of L2's physical addresses: the EPTP, or the nested CR3."""

    @property
    def format(self) -> GuestFormat | None:
        """The format of the tables; None without paging."""
        if self.ept:
            return GuestFormat.EPT
        if not self.cpu_role.level:
            return None
        return GuestFormat.PAGING32 if self.cpu_role.has_4_byte_gpte else GuestFormat.PAGING64

    @property
    def have_accessed_dirty(self) -> bool:
        """Whether the tables have Accessed and Dirty bits (PT_HAVE_ACCESSED_DIRTY)."""
        return not (self.ept and self.ad_disabled)


@dataclass(frozen=True)
class X86Exception:
    """struct x86_exception: an exception that is to be injected.

    ``nested_page_fault``: L1 handles it, as a fault of its EPT or NPT. ``exit_qualification`` is of EPT.
    """

    vector: int
    error_code: int | None = None
    address: int = 0
    nested_page_fault: bool = False
    exit_qualification: int = 0
