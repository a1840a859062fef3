# SPDX-License-Identifier: GPL-2.0-only
"""What KVM tells the host about its frames: that the guest wrote them (dirty), or used them (accessed).

A frame that is not marked dirty may be dropped by the host without being written back. Until v6.13 the bits
of an SPTE were passed on when it lost them; since then a frame is marked as soon as an SPTE for it is made.
"""

from __future__ import annotations

from conformance.model.changes import NO_PFN_DIRTY
from conformance.model.spte.access import is_accessed_spte, is_dirty_spte
from conformance.model.spte.predicates import spte_to_pfn
from conformance.model.vm.vm import Vm

__all__ = ["kvm_release_faultin_page", "kvm_set_pfn_dirty", "report_lost_bits", "report_lost_dirty"]


def report_lost_bits(vm: Vm, old_spte: int, new_spte: int | None) -> None:
    """A present leaf was replaced by one for the same frame, or (None) is gone: pass on what it has lost."""
    report_lost_dirty(vm, old_spte, new_spte)
    if vm.k.has(NO_PFN_DIRTY):
        return
    if is_accessed_spte(vm.k, old_spte) and (new_spte is None or not is_accessed_spte(vm.k, new_spte)):
        vm.host.flags.accessed.add(int(spte_to_pfn(vm.k, old_spte)))


def report_lost_dirty(vm: Vm, old_spte: int, new_spte: int | None) -> None:
    """Pass on only that a leaf has lost Dirty."""
    if vm.k.has(NO_PFN_DIRTY):
        return
    if is_dirty_spte(vm.k, old_spte) and (new_spte is None or not is_dirty_spte(vm.k, new_spte)):
        vm.host.flags.dirty.add(int(spte_to_pfn(vm.k, old_spte)))


def kvm_set_pfn_dirty(vm: Vm, spte: int) -> None:
    """The leaf is going to be clean: its frame is dirty."""
    if not vm.k.has(NO_PFN_DIRTY):
        vm.host.flags.dirty.add(int(spte_to_pfn(vm.k, spte)))


def kvm_release_faultin_page(vm: Vm, pfn: int, writable: bool, unused: bool) -> None:
    """A fault is through with its page, which is ``unused`` if it has to try again."""
    if unused or not vm.k.has(NO_PFN_DIRTY):
        return
    vm.host.flags.accessed.add(pfn)
    if writable:
        vm.host.flags.dirty.add(pfn)
