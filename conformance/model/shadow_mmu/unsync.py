# SPDX-License-Identifier: GPL-2.0-only
"""Unsync pages: shadow pages whose table the guest may write without an exit.

Only pages of level 1 become unsync. A guest that has changed an entry of its table must flush its TLB before
it may rely on the change, and KVM intercepts the flush: it syncs the unsync pages below the root then. So
that it finds them, each entry on the way there is marked in its page (``unsync_child_bitmap``).
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

from conformance.model.changes import UNSYNC_HELPER_NAME, UNSYNC_NOT_FOR_PREFETCH, UNSYNC_UNDER_SPINLOCK
from conformance.model.layout import PG_LEVEL_4K
from conformance.model.shadow_mmu.lookup import for_each_gfn_valid_sp_with_gptes
from conformance.model.shadow_mmu.write_track import kvm_gfn_is_write_tracked
from conformance.model.vm.memslots import KvmMemorySlot
from conformance.model.vm.pte_list import Sptep
from conformance.model.vm.shadow_page import ShadowPage
from conformance.model.vm.vm import Vm

__all__ = [
    "UnsyncPage",
    "kvm_unlink_unsync_page",
    "mark_unsync",
    "mmu_pages_clear_parents",
    "mmu_try_to_unsync_pages",
    "mmu_unsync_walk",
]

KVM_PAGE_ARRAY_NR = 16
"""How many pages one walk collects, those on the way to unsync ones included."""


def mmu_try_to_unsync_pages(
    vm: Vm, slot: KvmMemorySlot | None, gfn: int, *, synchronizing: bool, prefetch: bool
) -> bool:
    """Whether ``gfn`` may be mapped writable; if so, the pages that shadow it as a table are unsync now.

    It must stay read-only if an upper table is shadowed there (write tracking); while a page is synced, since
    the guest's flush is not complete; and for a prefetch, which is not worth it. mmu_lock may be held for
    read only, by a fault of the TDP MMU, so that marking takes a lock of its own, and the page is looked at
    again under it.
    """
    if kvm_gfn_is_write_tracked(vm, slot, gfn):
        return False
    with ExitStack() as held:
        locked = False
        for sp in for_each_gfn_valid_sp_with_gptes(vm, gfn):
            if synchronizing:
                return False
            if sp.unsync:
                continue
            if prefetch and vm.k.has(UNSYNC_NOT_FOR_PREFETCH):
                return False
            if not locked:
                locked = True
                if vm.k.has(UNSYNC_UNDER_SPINLOCK):
                    held.enter_context(vm.shadow.mmu_unsync_pages_lock.for_write)
                if sp.unsync:
                    continue
            kvm_unsync_page(vm, sp)
    return True


def kvm_unsync_page(vm: Vm, sp: ShadowPage) -> None:
    """Let the guest write the table, and mark the way to the page from all its parents."""
    renamed = vm.k.has(UNSYNC_HELPER_NAME)
    function = "mmu_try_to_unsync_pages" if renamed else "mmu_need_write_protect"
    vm.k.warn_on(function, sp.level != PG_LEVEL_4K)
    vm.shadow.mmu_unsync += 1
    sp.unsync = True
    kvm_mmu_mark_parents_unsync(sp)


def kvm_mmu_mark_parents_unsync(sp: ShadowPage) -> None:
    """Mark the entries that point to the page, and so on upwards."""
    for parent in sp.parent_ptes:
        mark_unsync(parent)


def mark_unsync(sptep: Sptep) -> None:
    """Mark an entry. If it is the first of its page, those that point there are marked too."""
    sp, at = sptep
    assert isinstance(sp, ShadowPage)
    if at in sp.unsync_child_bitmap:
        return
    sp.unsync_child_bitmap.add(at)
    sp.unsync_children += 1
    if sp.unsync_children == 1:
        kvm_mmu_mark_parents_unsync(sp)


def clear_unsync_child_bit(vm: Vm, sp: ShadowPage, at: int) -> None:
    """Nothing below the entry is unsync any more."""
    sp.unsync_children -= 1
    vm.k.warn_on("clear_unsync_child_bit", sp.unsync_children < 0)
    sp.unsync_child_bitmap.discard(at)


def kvm_unlink_unsync_page(vm: Vm, sp: ShadowPage) -> None:
    """The page is not unsync any more: it is about to be synced, or was zapped."""
    vm.k.warn_on("kvm_unlink_unsync_page", not sp.unsync)
    sp.unsync = False
    vm.shadow.mmu_unsync -= 1


@dataclass(frozen=True)
class UnsyncPage:
    """An unsync page that a walk found, and the entries that lead to it, from its parent's on upwards."""

    sp: ShadowPage
    parents: tuple[Sptep, ...]


class _Full(Exception):
    """The walk has collected KVM_PAGE_ARRAY_NR pages."""


def mmu_unsync_walk(vm: Vm, root: ShadowPage) -> list[UnsyncPage] | None:
    """Collect unsync pages below ``root``, in the order of their entries; None if nothing is unsync any more.

    The walk clears marks below which it finds nothing unsync. It ends when it has collected
    KVM_PAGE_ARRAY_NR pages, of which those between root and unsync pages are some, and ``root`` is one. So
    the list may be empty, and there may be more.
    """
    if not root.unsync_children:
        return None
    walk = _UnsyncWalk(vm)
    try:
        return walk.found if walk.below(root, ()) else None
    except _Full:
        return walk.found


class _UnsyncWalk:
    """One walk: the pages that it has collected."""

    def __init__(self, vm: Vm) -> None:
        self.vm = vm
        self.found: list[UnsyncPage] = []
        self.collected = 1
        """How many pages, with the root."""

    def below(self, sp: ShadowPage, parents: tuple[Sptep, ...]) -> int:
        """Collect what is unsync below a page; gives how many entries lead to an unsync page."""
        leading = 0
        for at in sorted(sp.unsync_child_bitmap):
            child = self._child(sp, at)
            path = (Sptep(sp, at), *parents)
            leads = 0
            if child is not None and child.unsync_children:
                self._count()
                leads = self.below(child, path)
            elif child is not None and child.unsync:
                leads = 1
                self._collect(child, path)
            if not leads:
                clear_unsync_child_bit(self.vm, sp, at)
            leading += leads
        return leading

    def _child(self, sp: ShadowPage, at: int) -> ShadowPage | None:
        """The page that a marked entry points to; None if it points to none since it was marked."""
        spte = sp.read(at)
        child = self.vm.memory.child(spte, sp.level)
        return child if isinstance(child, ShadowPage) else None

    def _collect(self, sp: ShadowPage, parents: tuple[Sptep, ...]) -> None:
        """Add an unsync page, once: several entries may lead to it."""
        if all(one.sp is not sp for one in self.found):
            self.found.append(UnsyncPage(sp, parents))
            self._count()

    def _count(self) -> None:
        self.collected += 1
        if self.collected == KVM_PAGE_ARRAY_NR:
            raise _Full


def mmu_pages_clear_parents(vm: Vm, page: UnsyncPage) -> None:
    """Clear the marks that lead to a page that was synced, up to the first page that has others."""
    for sp, at in page.parents:
        assert isinstance(sp, ShadowPage)
        clear_unsync_child_bit(vm, sp, at)
        if sp.unsync_children:
            return
