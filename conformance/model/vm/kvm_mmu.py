# SPDX-License-Identifier: GPL-2.0-only
"""A vCPU's MMU (struct kvm_mmu): which tables it shadows, by which role, and the roots that it uses.

A vCPU has ``root_mmu`` for L1 or a guest that is not nested, and ``guest_mmu`` for the nested tables of L1.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from conformance.model.guest_paging.cpu_role import CpuRole
from conformance.model.vm.kvm_pagewalk import NO_ROLE as NO_FORMAT
from conformance.model.vm.kvm_pagewalk import KvmPagewalk
from conformance.model.vm.mmu_pages import KvmMmuPage
from conformance.model.vm.role import KvmMmuPageRole
from conformance.model.vm.shadow_page import RootTable

__all__ = ["KVM_MMU_NUM_PREV_ROOTS", "NO_ROOT", "KvmMmu", "RootInfo", "Shadowed"]

KVM_MMU_NUM_PREV_ROOTS = 3


class Shadowed(Enum):
    """Which tables an MMU shadows."""

    NOTHING = "two-dimensional paging: it maps guest physical addresses, and is direct"
    GUEST = "the guest's own tables, or none while the guest's paging is off"
    EPT = "L1's EPT"
    NPT = "L1's NPT"


class RootInfo(NamedTuple):
    """A root and what it was loaded for (struct kvm_mmu_root_info)."""

    root: KvmMmuPage | None
    """None if the information is invalid."""
    pgd: int
    """The guest's CR3 or nested table pointer; 0 of a direct root."""


NO_ROLE = KvmMmuPageRole(0)
"""The role of a root before the MMU was initialised."""

NO_ROOT = RootInfo(None, (1 << 64) - 1)
"""KVM_MMU_ROOT_INFO_INVALID. Its pgd stays when a dummy root takes its place."""


@dataclass(eq=False)
class KvmMmu:
    """The MMU's roles and roots."""

    w: KvmPagewalk
    """How the tables are walked that it shadows; its ``cpu_role`` was the MMU's until v7.3."""
    shadowed: Shadowed = Shadowed.NOTHING
    root_role: KvmMmuPageRole = NO_ROLE
    """The role of its root."""
    format: CpuRole = NO_FORMAT
    """The ``cpu_role`` for which the MMU was set up, with two-dimensional paging."""
    root: KvmMmuPage | None = None
    """The tree that the processor walks; None before the vCPU first enters and after a root was dropped."""
    pgd: int = 0
    """What ``root`` was loaded for; 0 without a root."""
    prev_roots: list[RootInfo] = field(default_factory=lambda: [NO_ROOT] * KVM_MMU_NUM_PREV_ROOTS)
    """Roots that were used before, the most recent first."""
    pae_root: RootTable | None = None
    """Four entries that point to shadow pages, for a guest or a processor with 3 levels.

    Allocated when first needed.
    """
    pml4_root: RootTable | None = None
    """Its first entry points to ``pae_root``: for a processor with 4 levels that runs a nested guest of 3."""
    pml5_root: RootTable | None = None
    """Its first entry points to ``pml4_root``."""
