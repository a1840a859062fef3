# SPDX-License-Identifier: GPL-2.0-only
"""The host's memory by itself: what faults find, and which notifier calls a change makes."""

import pytest

from conformance.model.vm.host import FIRST_PFN, ZERO_PFN, HostMemory

EFAULT, EINVAL = -14, -22


class Recorder:
    """A notifier that only remembers what it was told."""

    def __init__(self):
        self.calls = []

    def invalidate_range_start(self, start, end):
        self.calls.append(("start", start, end))

    def invalidate_range_end(self, start, end):
        self.calls.append(("end", start, end))

    def change_pte(self, page, pfn, writable):
        self.calls.append(("change_pte", page, pfn, writable))


@pytest.fixture
def host():
    memory = HostMemory()
    memory.notifier = Recorder()
    return memory


def test_areas_do_not_overlap(host):
    assert host.mmap(10, 10, True, 1) == 0
    assert host.mmap(19, 1, True, 1) == EINVAL
    assert host.mmap(20, 1, True, 1) == 0
    assert host.mmap(0, 512, True, 3) == EINVAL, "not aligned to 1 GiB"
    assert host.mmap(1 << 24, 1, True, 1) == EINVAL
    assert host.touch(21, False) == EFAULT


def test_reads_find_the_zero_page_and_writes_replace_it(host):
    host.mmap(0, 16, True, 1)
    assert host.touch(3, False) == 0
    assert host.pfn_of(3) == ZERO_PFN
    assert host.touch(3, True) == 0
    assert host.pfn_of(3) == FIRST_PFN
    assert host.notifier.calls == [("start", 3, 4), ("change_pte", 3, FIRST_PFN, True), ("end", 3, 4)]


def test_huge_pages_need_room(host):
    host.mmap(100, 1500, True, 2)
    host.touch(100, True)
    host.touch(600, False)
    assert [host.lookup(page)[1] for page in (100, 600)] == [1, 2]
    assert host.pfn_of(600) % 512 == 600 % 512
    host.mmap(1 << 18, 1 << 18, True, 3)
    host.touch((1 << 18) + 5, False)
    assert host.lookup((1 << 19) - 1)[1] == 3


def test_a_page_beside_a_small_one_is_small(host):
    host.mmap(0, 512, True, 2)
    host.touch(0, True)
    host.madvise_dontneed(7, 1)
    host.madvise_dontneed(8, 504)
    assert host.touch(7, True) == 0
    assert host.lookup(7)[1] == 1


def test_changing_a_part_of_a_huge_page_splits_it(host):
    host.mmap(0, 1024, True, 2)
    host.touch(0, True)
    before = host.pfn_of(9)
    assert host.wrprotect(4, 2) == 0
    assert host.notifier.calls == [("start", 0, 512), ("end", 0, 512), ("start", 4, 6), ("end", 4, 6)]
    assert host.pfn_of(9) == before
    assert [host.lookup(page)[0].writable for page in (3, 4, 5, 6)] == [True, False, False, True]
    host.notifier.calls.clear()
    assert host.touch(4, True) == 0
    assert host.notifier.calls == [], "the page is the process's own"


def test_a_gigantic_page_is_never_split(host):
    host.mmap(0, 1 << 18, True, 3)
    host.touch(0, True)
    assert host.madvise_dontneed(0, 512) == EINVAL
    assert host.notifier.calls == []
    assert host.madvise_dontneed(0, 1 << 18) == 0
    assert host.lookup(0) is None


def test_merging_and_collapsing(host):
    host.mmap(0, 512, True, 1)
    assert host.ksm_merge(0) == EINVAL, "nothing is mapped"
    host.touch(0, True)
    assert host.ksm_merge(0) == 0
    entry, _ = host.lookup(0)
    assert (entry.writable, entry.shared) == (False, True)
    assert host.notifier.calls[1] == ("change_pte", 0, FIRST_PFN + 1, False)
    assert host.collapse(77) == 0
    assert host.lookup(0)[1] == 2
    assert host.ksm_merge(0) == EINVAL, "not a small page"
    assert host.collapse(600) == EINVAL


def test_marks_are_taken_once_and_shared_by_the_parts_of_a_huge_page(host):
    host.mmap(0, 512, True, 1)
    host.mmap(512, 512, True, 2)
    assert host.take_marks(0) == EINVAL, "nothing is mapped"
    for page in (0, 1, 512):
        host.touch(page, True)
    host.flags.dirty |= {host.pfn_of(0), host.pfn_of(512 + 5)}
    host.flags.accessed |= {host.pfn_of(0), host.pfn_of(1)}
    assert [host.take_marks(page) for page in (0, 0, 1)] == [3, 0, 2]
    assert [host.take_marks(page) for page in (512 + 7, 512 + 5)] == [1, 0]


def test_the_zero_page_is_never_marked(host):
    host.mmap(0, 1, True, 1)
    host.touch(0, False)
    host.flags.accessed.add(ZERO_PFN)
    assert host.take_marks(0) == 0
