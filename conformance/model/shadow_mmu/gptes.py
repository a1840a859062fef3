# SPDX-License-Identifier: GPL-2.0-only
"""Entries of the guest's tables of level 1, as a sync or a prefetch takes them over without a walk."""

from __future__ import annotations

from conformance.model.guest_paging.written_gptes import get_level1_sp_gpa
from conformance.model.guest_tables.gptes import (
    gpte_access,
    gpte_format,
    gpte_size,
    gpte_to_gfn,
    prefetch_invalid_gpte,
    protect_clean_gpte,
)
from conformance.model.shadow_mmu.rmap import drop_spte
from conformance.model.vm.guest_memory import kvm_vcpu_read_guest_atomic
from conformance.model.vm.pte_list import Sptep
from conformance.model.vm.shadow_page import ShadowPage
from conformance.model.vm.vm import KvmVcpu, Vm

__all__ = ["drop_prefetch_invalid_gpte", "gpte_translation", "read_level1_gpte"]


def read_level1_gpte(vm: Vm, vcpu: KvmVcpu, sp: ShadowPage, at: int) -> int | None:
    """The entry of the guest's table that entry ``at`` of a page of level 1 shadows.

    None if the host has not mapped the table: page faults are disabled under mmu_lock.
    """
    size = gpte_size(vcpu.mmu.w)
    first = get_level1_sp_gpa(vm.k, gpte_format(vcpu.mmu.w), sp.gfn, sp.role.quadrant, sp.level)
    gpa = int(first) + at * size
    found = kvm_vcpu_read_guest_atomic(vm, vcpu, gpa, size)
    return None if found is None else found[0]


def drop_prefetch_invalid_gpte(vm: Vm, vcpu: KvmVcpu, sptep: Sptep, gpte: int) -> bool:
    """Whether an entry must not be mapped before the guest accesses it; its SPTE is dropped then.

    KVM would have to set Accessed in it, or to inject a fault.
    """
    invalid = prefetch_invalid_gpte(vm, vcpu, vcpu.mmu.w, gpte)
    if invalid:
        drop_spte(vm, sptep)
    return invalid


def gpte_translation(vm: Vm, vcpu: KvmVcpu, sp: ShadowPage, gpte: int) -> tuple[int, int]:
    """The gfn of an entry, and its rights below those of the page; without W if it is not dirty."""
    w = vcpu.mmu.w
    access = sp.role.access & gpte_access(vm.k, w, gpte)
    return gpte_to_gfn(gpte), protect_clean_gpte(vm.k, w, access, gpte)
