# SPDX-License-Identifier: GPL-2.0-only
"""Marking the host's pages as dirty (the guest wrote them) or accessed (the guest used them).

The host may drop a page that is not marked dirty without writing it back. Until v6.13 KVM marked a page when
an SPTE lost Dirty or Accessed. Since then it marks the page as soon as a fault has mapped it. From v6.0 on a
page was marked accessed, besides, whenever KVM released it.
"""

from __future__ import annotations

from conformance.model.changes import NO_PFN_DIRTY, RELEASE_MARKS_ACCESSED
from conformance.model.spte.access import is_accessed_spte, is_dirty_spte
from conformance.model.spte.predicates import spte_to_pfn
from conformance.model.vm.vm import Vm

__all__ = [
    "kvm_release_faultin_page",
    "kvm_release_pfn_clean",
    "kvm_set_pfn_dirty",
    "report_lost_bits",
    "report_lost_dirty",
]


def report_lost_bits(vm: Vm, old_spte: int, new_spte: int | None) -> None:
    """Mark the pfn of a present leaf for the bits that ``new_spte`` lacks; None: it maps the page no more."""
    if vm.k.has(NO_PFN_DIRTY):
        return
    report_lost_dirty(vm, old_spte, new_spte)
    if is_accessed_spte(vm.k, old_spte) and (new_spte is None or not is_accessed_spte(vm.k, new_spte)):
        vm.host.flags.accessed.add(int(spte_to_pfn(vm.k, old_spte)))


def report_lost_dirty(vm: Vm, old_spte: int, new_spte: int | None) -> None:
    """Mark the pfn dirty if the leaf was dirty and ``new_spte`` is not; None: the leaf was zapped."""
    if vm.k.has(NO_PFN_DIRTY):
        return
    if is_dirty_spte(vm.k, old_spte) and (new_spte is None or not is_dirty_spte(vm.k, new_spte)):
        vm.host.flags.dirty.add(int(spte_to_pfn(vm.k, old_spte)))


def kvm_set_pfn_dirty(vm: Vm, spte: int) -> None:
    """Mark the pfn of the leaf dirty, because its Dirty or W is being cleared."""
    if not vm.k.has(NO_PFN_DIRTY):
        vm.host.flags.dirty.add(int(spte_to_pfn(vm.k, spte)))


def kvm_release_faultin_page(vm: Vm, pfn: int, writable: bool, unused: bool) -> None:
    """Release a fault's page: since v6.13, mark it accessed and, if ``writable``, dirty unless ``unused``.

    Before, it was only marked accessed, since v6.0.
    """
    if not vm.k.has(NO_PFN_DIRTY):
        kvm_release_pfn_clean(vm, pfn)
    elif not unused:
        vm.host.flags.accessed.add(pfn)
        if writable:
            vm.host.flags.dirty.add(pfn)


def kvm_release_pfn_clean(vm: Vm, pfn: int) -> None:
    """Release a page of the host, which marks it accessed since RELEASE_MARKS_ACCESSED."""
    if vm.k.has(RELEASE_MARKS_ACCESSED):
        vm.host.flags.accessed.add(pfn)
