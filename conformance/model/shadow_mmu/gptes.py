# SPDX-License-Identifier: GPL-2.0-only
"""Entries of the guest's tables of level 1, as a sync or a prefetch takes them over without a walk."""

from __future__ import annotations

from conformance.model.guest_tables.gptes import (
    accessed_mask,
    gpte_access,
    gpte_size,
    gpte_to_gfn,
    is_present_gpte,
    is_rsvd_bits_set,
    protect_clean_gpte,
)
from conformance.model.layout import PAGE_SHIFT, PG_LEVEL_4K
from conformance.model.shadow_mmu.rmap import drop_spte
from conformance.model.vm.guest_memory import kvm_vcpu_read_guest_atomic
from conformance.model.vm.pte_list import Sptep
from conformance.model.vm.shadow_page import ShadowPage
from conformance.model.vm.vm import KvmVcpu, Vm

__all__ = ["gpte_translation", "prefetch_invalid_gpte", "read_level1_gpte"]

SPTE_ENTRIES = 512


def read_level1_gpte(vm: Vm, vcpu: KvmVcpu, sp: ShadowPage, at: int) -> int | None:
    """The entry of the guest's table that entry ``at`` of a page of level 1 shadows.

    None if the host has not mapped the table: page faults are disabled under mmu_lock.
    """
    size = gpte_size(vcpu.mmu.w)
    gpa = (sp.gfn << PAGE_SHIFT) + (sp.role.quadrant * SPTE_ENTRIES + at) * size
    found = kvm_vcpu_read_guest_atomic(vm, vcpu, gpa, size)
    return None if found is None else found[0]


def prefetch_invalid_gpte(vm: Vm, vcpu: KvmVcpu, sptep: Sptep, gpte: int) -> bool:
    """Whether an entry must not be mapped before the guest uses it; what was made from it is dropped then.

    That is an entry that is not present, has reserved bits set, or has not been accessed: KVM would have to
    set Accessed in it. Without Accessed bits (EPT) all may be mapped.
    """
    w = vcpu.mmu.w
    usable = is_present_gpte(w, gpte) and (not w.have_accessed_dirty or gpte & accessed_mask(w))
    if usable and not is_rsvd_bits_set(vm, vcpu, w, gpte, PG_LEVEL_4K):
        return False
    drop_spte(vm, sptep)
    return True


def gpte_translation(vm: Vm, vcpu: KvmVcpu, sp: ShadowPage, gpte: int) -> tuple[int, int]:
    """The gfn of an entry, and its rights below those of the page; without W if it is not dirty."""
    w = vcpu.mmu.w
    access = sp.role.access & gpte_access(vm.k, w, gpte)
    return gpte_to_gfn(gpte), protect_clean_gpte(vm.k, w, access, gpte)
