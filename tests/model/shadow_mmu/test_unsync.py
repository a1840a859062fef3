# SPDX-License-Identifier: GPL-2.0-only
"""Marks of unsync pages in their parents, the walk that collects them, and when a page may become unsync."""

from dataclasses import replace

import pytest
from shadow_pages_by_hand import link, page, vm_of

from conformance.model.shadow_mmu.unsync import (
    kvm_unlink_unsync_page,
    mmu_pages_clear_parents,
    mmu_try_to_unsync_pages,
    mmu_unsync_walk,
)
from conformance.model.shadow_mmu.write_track import update_gfn_write_track
from conformance.model.vm.memslots import KvmMemorySlot

SLOT = KvmMemorySlot(as_id=0, id=0, base_gfn=0, npages=512, page=0, flags=0)


def unsync(vm, gfn, synchronizing=False, prefetch=False):
    return mmu_try_to_unsync_pages(vm, SLOT, gfn, synchronizing=synchronizing, prefetch=prefetch)


def tree(leaves):
    """A VM, a page of level 3, one of level 2 at entry 5, and ``leaves`` pages below it: gfns from 16 on."""
    vm = vm_of()
    top, middle = page(vm, 3, 1), page(vm, 2, 2)
    link(vm, top, 5, middle)
    for n in range(leaves):
        link(vm, middle, n, page(vm, 1, 16 + n))
    return vm, top, middle


def test_a_leaf_table_becomes_unsync_and_all_parents_are_marked():
    vm, top, middle = tree(2)
    assert unsync(vm, 17)
    (sp,) = vm.shadow.mmu_page_hash[17]
    assert sp.unsync and vm.shadow.mmu_unsync == 1
    assert middle.unsync_child_bitmap == {1} and top.unsync_child_bitmap == {5}
    assert unsync(vm, 16)
    assert middle.unsync_children == 2 and top.unsync_children == 1


def test_a_page_of_no_table_may_be_written():
    vm, *_ = tree(1)
    assert unsync(vm, 100) and vm.shadow.mmu_unsync == 0


@pytest.mark.parametrize("how", ["synchronizing", "prefetch"])
def test_neither_a_sync_nor_a_prefetch_makes_a_page_unsync(how):
    vm, *_ = tree(1)
    assert not unsync(vm, 16, **{how: True})
    assert vm.shadow.mmu_unsync == 0


def test_a_prefetch_may_map_a_page_that_is_unsync_already():
    vm, *_ = tree(1)
    assert unsync(vm, 16) and unsync(vm, 16, prefetch=True)
    assert not unsync(vm, 16, synchronizing=True)


def test_a_tracked_gfn_stays_read_only():
    vm, *_ = tree(1)
    update_gfn_write_track(vm, SLOT, 16, 1)
    assert not unsync(vm, 16)
    update_gfn_write_track(vm, SLOT, 16, -1)
    assert unsync(vm, 16)


@pytest.mark.parametrize(("release", "read_only"), [((6, 1), True), ((6, 12), False), ((7, 2), True)])
def test_the_other_address_space_is_looked_at(release, read_only):
    vm = vm_of(release)
    update_gfn_write_track(vm, replace(SLOT, as_id=1), 16, 1)
    assert unsync(vm, 16) is not read_only


def test_a_walk_collects_in_the_order_of_entries_and_marks_are_cleared():
    vm, top, middle = tree(4)
    assert unsync(vm, 19) and unsync(vm, 16)
    found = mmu_unsync_walk(vm, top)
    assert [one.sp.gfn for one in found] == [16, 19]
    for one in found:
        kvm_unlink_unsync_page(vm, one.sp)
        mmu_pages_clear_parents(vm, one)
    assert not top.unsync_children and not middle.unsync_child_bitmap
    assert mmu_unsync_walk(vm, top) is None and vm.shadow.mmu_unsync == 0


def test_a_walk_collects_at_most_16_pages_those_on_the_way_included():
    vm, top, _ = tree(20)
    assert all(unsync(vm, 16 + n) for n in range(20))
    assert [one.sp.gfn for one in mmu_unsync_walk(vm, top)] == [*range(16, 16 + 14)]


def test_a_page_that_is_linked_twice_is_collected_once():
    vm, top, middle = tree(1)
    (sp,) = vm.shadow.mmu_page_hash[16]
    link(vm, middle, 9, sp)
    assert unsync(vm, 16)
    assert middle.unsync_child_bitmap == {0, 9}
    (one,) = mmu_unsync_walk(vm, top)
    kvm_unlink_unsync_page(vm, one.sp)
    mmu_pages_clear_parents(vm, one)
    assert middle.unsync_child_bitmap == {9} and top.unsync_children == 1
    assert mmu_unsync_walk(vm, top) is None
    assert not middle.unsync_child_bitmap and not top.unsync_child_bitmap


def test_a_mark_of_what_was_unlinked_is_cleared():
    vm, top, middle = tree(1)
    assert unsync(vm, 16)
    middle.write(0, middle.initial)
    assert mmu_unsync_walk(vm, top) is None
    assert not top.unsync_child_bitmap and not middle.unsync_child_bitmap
