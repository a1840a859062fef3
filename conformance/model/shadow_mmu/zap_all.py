# SPDX-License-Identifier: GPL-2.0-only
"""Dropping all translations of both MMUs: a memslot goes, or what all of them depend on has changed."""

from __future__ import annotations

from conformance.model.shadow_mmu.lookup import is_obsolete_sp
from conformance.model.shadow_mmu.zap import InvalidList, kvm_mmu_commit_zap_page, kvm_mmu_prepare_zap_page
from conformance.model.tdp_mmu.roots import kvm_tdp_mmu_invalidate_roots, kvm_tdp_mmu_zap_invalidated_roots
from conformance.model.vm.shadow_page import ShadowPage
from conformance.model.vm.vm import Request, Vm

__all__ = ["kvm_mmu_zap_all", "kvm_mmu_zap_all_fast"]

BATCH_ZAP_PAGES = 10
"""After so many pages mmu_lock may be dropped."""


def kvm_mmu_zap_all_fast(vm: Vm) -> None:
    """Drop all translations: each vCPU loads a new root, and the old pages have been zapped on return.

    It is "fast" because vCPUs wait only until all pages are obsolete, which they are by a new generation of
    shadow pages, and by invalid roots of the TDP MMU. Both are zapped while vCPUs run.
    """
    with vm.mmu_lock.for_write:
        vm.shadow.mmu_valid_gen ^= 1
        if vm.tdp_mmu_enabled:
            kvm_tdp_mmu_invalidate_roots(vm)
        vm.make_all_cpus_request(Request.MMU_FREE_OBSOLETE_ROOTS)
        kvm_zap_obsolete_pages(vm)
    if vm.tdp_mmu_enabled:
        kvm_tdp_mmu_zap_invalidated_roots(vm)


def kvm_zap_obsolete_pages(vm: Vm) -> None:
    """Zap the pages of the old generation, which are the oldest ones.

    TLBs need not be flushed for them, as vCPUs load new roots. They are flushed before pages are freed,
    because that makes vCPUs leave their walks.
    """
    invalid_list: InvalidList = []
    batch = 0
    candidates: list[ShadowPage] = [*vm.shadow.active_mmu_pages]
    while candidates:
        sp = candidates.pop(0)
        if not is_obsolete_sp(vm, sp):
            break
        if batch >= BATCH_ZAP_PAGES and vm.need_resched:
            vm.mmu_lock.let_others_run()
            batch = 0
            candidates = [*vm.shadow.active_mmu_pages]
            continue
        zapped, unstable = kvm_mmu_prepare_zap_page(vm, sp, invalid_list)
        batch += zapped
        if unstable:
            candidates = [*vm.shadow.active_mmu_pages]
    kvm_mmu_commit_zap_page(vm, invalid_list)


def kvm_mmu_zap_all(vm: Vm) -> None:
    """Zap everything when the VM is destroyed; its vCPUs have dropped their roots."""
    invalid_list: InvalidList = []
    with vm.mmu_lock.for_write:
        while vm.shadow.active_mmu_pages:
            kvm_mmu_prepare_zap_page(vm, vm.shadow.active_mmu_pages[-1], invalid_list)
        kvm_mmu_commit_zap_page(vm, invalid_list)
    if vm.tdp_mmu_enabled:
        kvm_tdp_mmu_invalidate_roots(vm)
        kvm_tdp_mmu_zap_invalidated_roots(vm)
