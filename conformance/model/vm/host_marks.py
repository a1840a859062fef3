# SPDX-License-Identifier: GPL-2.0-only
"""Marking the host's pages as dirty (the guest wrote them) or accessed (the guest used them).

The host may drop a page that is not marked dirty without writing it back. Until v6.13 KVM marked a page when
an SPTE lost Dirty or Accessed. Since then it marks the page as soon as a fault has mapped it.
"""

from __future__ import annotations

from conformance.model.changes import NO_PFN_DIRTY
from conformance.model.spte.access import is_accessed_spte, is_dirty_spte
from conformance.model.spte.predicates import spte_to_pfn
from conformance.model.vm.vm import Vm

__all__ = ["kvm_release_faultin_page", "kvm_set_pfn_dirty", "report_lost_bits", "report_lost_dirty"]


def report_lost_bits(vm: Vm, old_spte: int, new_spte: int | None) -> None:
    """Mark the pfn of a present leaf for the bits that ``new_spte`` lacks; None: the leaf was zapped."""
    if not vm.host.keeps_flags or vm.k.has(NO_PFN_DIRTY):
        return
    report_lost_dirty(vm, old_spte, new_spte)
    if is_accessed_spte(vm.k, old_spte) and (new_spte is None or not is_accessed_spte(vm.k, new_spte)):
        vm.host.flags.accessed.add(int(spte_to_pfn(vm.k, old_spte)))


def report_lost_dirty(vm: Vm, old_spte: int, new_spte: int | None) -> None:
    """Mark the pfn dirty if the leaf was dirty and ``new_spte`` is not; None: the leaf was zapped."""
    if not vm.host.keeps_flags or vm.k.has(NO_PFN_DIRTY):
        return
    if is_dirty_spte(vm.k, old_spte) and (new_spte is None or not is_dirty_spte(vm.k, new_spte)):
        vm.host.flags.dirty.add(int(spte_to_pfn(vm.k, old_spte)))


def kvm_set_pfn_dirty(vm: Vm, spte: int) -> None:
    """Mark the pfn of the leaf dirty, because its Dirty or W is being cleared."""
    if vm.host.keeps_flags and not vm.k.has(NO_PFN_DIRTY):
        vm.host.flags.dirty.add(int(spte_to_pfn(vm.k, spte)))


def kvm_release_faultin_page(vm: Vm, pfn: int, writable: bool, unused: bool) -> None:
    """Release a fault's page: since v6.13, mark it accessed and, if ``writable``, dirty unless ``unused``."""
    if unused or not vm.host.keeps_flags or not vm.k.has(NO_PFN_DIRTY):
        return
    vm.host.flags.accessed.add(pfn)
    if writable:
        vm.host.flags.dirty.add(pfn)
