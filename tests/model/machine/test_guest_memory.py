# SPDX-License-Identifier: GPL-2.0-only
"""The content of memory: by frame, through whatever the host does with its mappings; and KVM's accesses."""

import pytest
from machine_story import Story

from conformance.interface.steps import LOG, READONLY
from conformance.model.vm.guest_memory import (
    get_user,
    kvm_vcpu_read_guest,
    kvm_vcpu_read_guest_atomic,
    kvm_vcpu_write_guest,
    try_cmpxchg_user,
)

GFN = 0x40000
EFAULT = -14


@pytest.fixture
def story():
    return Story().area().slot()


def words(story):
    return {(word.pfn, word.at): word.value for word in story.seen.memory}


def frame(story, page):
    return story.machine.vm.host.pfn_of(page)


def test_userspace_stores_in_the_frame_that_its_page_has(story):
    assert story.store(gfn=GFN + 2, index=5, value=7) == [0]
    assert words(story) == {(frame(story, 2), 5): 7}
    assert story.store(gfn=GFN + 2, index=5, value=0) == [0]
    assert words(story) == {}
    assert story.store(gfn=GFN + 512, index=0, value=1) == [EFAULT]


def test_a_copy_has_the_content_and_new_memory_has_none(story):
    story.store(gfn=GFN, index=1, value=7)
    old = frame(story, 0)
    story.ksm_merge(page=0)
    merged = frame(story, 0)
    assert words(story) == {(old, 1): 7, (merged, 1): 7}
    story.store(gfn=GFN, index=2, value=8)
    copy = frame(story, 0)
    assert len({old, merged, copy}) == 3
    assert words(story)[copy, 1] == 7 and words(story)[copy, 2] == 8 and (merged, 2) not in words(story)
    story.madvise_dontneed(page=0, npages=1)
    assert kvm_vcpu_read_guest(*vcpu_of(story), GFN << 12 | 8, 8) == [0]


def test_a_huge_page_keeps_what_the_small_ones_had_and_the_reverse():
    story = Story().area(level=2).slot()
    story.touch(page=3, write=0)
    story.store(gfn=GFN + 3, index=1, value=7)
    story.collapse(page=0)
    assert words(story)[frame(story, 3), 1] == 7
    story.wrprotect(page=0, npages=1)
    assert story.machine.vm.host.lookup(3)[1] == 1
    assert words(story)[frame(story, 3), 1] == 7


def vcpu_of(story):
    return story.machine.vm, story.machine.vm.vcpus[0]


def test_kvm_faults_pages_in_unless_faults_are_disabled(story):
    vm, vcpu = vcpu_of(story)
    assert kvm_vcpu_read_guest_atomic(vm, vcpu, GFN << 12, 8) is None
    assert kvm_vcpu_read_guest(vm, vcpu, GFN << 12, 8, 2) == [0, 0]
    assert kvm_vcpu_read_guest_atomic(vm, vcpu, GFN << 12, 8) == [0]
    assert not vm.host.lookup(0)[0].writable, "the zero page"
    assert kvm_vcpu_write_guest(vm, vcpu, GFN << 12 | 4, 4, 9)
    assert vm.host.lookup(0)[0].writable
    assert kvm_vcpu_read_guest(vm, vcpu, GFN << 12, 8) == [9 << 32]
    assert kvm_vcpu_read_guest(vm, vcpu, GFN << 12, 4, 2) == [0, 9]
    assert get_user(vm, 600, 0, 8) is None


def test_kvm_exchanges_only_what_is_still_there(story):
    vm, vcpu = vcpu_of(story)
    assert try_cmpxchg_user(vm, 0, 12, 4, 0, 5) == 0
    assert try_cmpxchg_user(vm, 0, 12, 4, 1, 6) == 5
    assert kvm_vcpu_read_guest(vm, vcpu, GFN << 12, 4, 4) == [0, 0, 0, 5]
    assert try_cmpxchg_user(vm, 600, 0, 8, 0, 1) is None


def test_kvm_writes_no_read_only_memslot_and_marks_pages_dirty():
    story = Story().area().slot(npages=64, flags=READONLY).slot(64, GFN + 64, 64, LOG, 1)
    vm, vcpu = vcpu_of(story)
    assert not kvm_vcpu_write_guest(vm, vcpu, GFN << 12, 8, 1)
    assert kvm_vcpu_read_guest(vm, vcpu, GFN << 12, 8) == [0]
    assert kvm_vcpu_write_guest(vm, vcpu, GFN + 66 << 12, 8, 1)
    assert story.get_dirty_log(slot=1, as_id=0) == [0, 1 << 2]
