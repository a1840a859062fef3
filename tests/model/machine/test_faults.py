# SPDX-License-Identifier: GPL-2.0-only
"""Page faults: what is mapped, how large, and when KVM lets the guest try again."""

import pytest
from machine_story import EMULATE, FIXED, MMIO, RELEASES, RETRY, SPURIOUS, Story

from conformance.interface.observation import RetiredTable, RootView, VcpuView
from conformance.model.changes import (
    INVALIDATION_BY_GFN,
    MMIO_CACHE_OF_ADDRESS_SPACE,
    RETRY_BEFORE_FAULTIN,
    ROOTS_WITHOUT_BUDGET,
    SPLIT_ON_FAULT,
    SPURIOUS_IF_ALLOWED,
)
from conformance.model.profiles import profile_of

MODES = ("ept-ad", "ept-noad", "npt")
EFAULT = -14


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("release", RELEASES)
def test_first_touch_of_each_kind(release, mode):
    story = Story(release, mode).area(populate=True).slot()
    assert story.read(0x40000) == [FIXED, 0]
    assert story.write(0x40001) == [FIXED, 0]
    assert story.fetch(0x40002) == [FIXED, 0]
    assert story.state("pages_4k", "pf_taken", "pf_fixed", "flush_requests") == (3, 3, 3, 0)
    assert story.seen.vcpus[0][:3] == (0, 0, 0)


def test_a_translation_is_remembered_and_dropped_with_a_flush():
    story = Story().area(populate=True).slot()
    story.write(0x40007)
    ((root, gfn, level, pfn, rights, dirty),) = story.seen.tlb[0]
    assert (root, gfn, level, rights, dirty) == (0, 0x40007, 1, 7, 1)
    assert pfn == 0x100207
    story.madvise_dontneed(page=7, npages=1)
    assert story.seen.tlb[0], "the flush is only requested"
    assert story.seen.vcpus[0] == VcpuView(0, tlb_flush_requested=1, other_requests=0, flushes=1, smm=0)
    story.enter(vcpu=0)
    assert story.seen.tlb[0] == []
    assert story.seen.vcpus[0] == VcpuView(0, tlb_flush_requested=0, other_requests=0, flushes=2, smm=0)


@pytest.mark.parametrize(
    ("npages", "gfn", "page", "level"),
    [
        (1024, 0x40000, 0, 2),
        (1024, 0x40001, 0, 1),
        (1024, 0x40000, 1, 1),
        (1023, 0x40001, 1, 1),
        (511, 0x40000, 0, 1),
    ],
    ids=["aligned", "other offset of gfn", "other offset of page", "begins inside", "ends inside"],
)
def test_level_is_limited_by_the_slot(npages, gfn, page, level):
    story = Story().area(2048, level=2, populate=True).slot(npages=npages, gfn=gfn, page=page)
    story.read(gfn + 5)
    assert story.state("pages_4k", "pages_2m") == ((1, 0), (0, 1))[level - 1]


def test_gigantic_page():
    story = Story().area(1 << 18, level=3, populate=True).slot(npages=1 << 18, gfn=1 << 18)
    assert story.write((1 << 18) + 12345) == [FIXED, 0]
    assert story.state("pages_1g") == 1
    assert (story.seen.tlb[0][0].gfn, story.seen.tlb[0][0].level) == (1 << 18, 3)


@pytest.mark.parametrize("release", RELEASES)
def test_a_table_gives_way_to_a_huge_page(release):
    """khugepaged collapses small pages: what mapped them is zapped, but their table is still there."""
    story = Story(release).area(page=0x1000, populate=True).slot(gfn=0x80000, page=0x1000)
    story.read(0x80000)
    story.collapse(page=0x1000)
    assert story.state("pages_4k") == 0
    before = story.state("flush_requests")
    assert story.read(0x80001) == [FIXED, 0]
    assert story.state("pages_2m", "flush_requests") == (1, before + 1)
    assert [table._replace(serial=0) for table in story.seen.retired] == [RetiredTable(1, 0x80000, 0, 512, 0)]


@pytest.mark.parametrize("release", RELEASES)
def test_writing_a_huge_page_that_is_logged(release):
    """Without eager splitting the huge page is write-protected, and the write makes small ones of it."""
    story = Story(release, eager_page_split=0).area(512, level=2, populate=True).slot()
    story.write(0x40000)
    story.slot(flags=1)
    assert story.state("pages_2m", "pages_4k", "flush_requests") == (1, 0, 1)
    assert story.write(0x40003) == [FIXED, 0]
    splits = profile_of(release).has(SPLIT_ON_FAULT)
    assert story.state("pages_2m", "pages_4k", "flush_requests") == ((0, 512, 1) if splits else (0, 1, 2))
    assert story.get_dirty_log(slot=0, as_id=0)[1] == 0b1000


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("release", RELEASES)
def test_executing_a_huge_page_under_the_mitigation(release, mode):
    story = Story(release, mode, nx_huge_pages=1).area(512, level=2, populate=True).slot()
    assert story.write(0x40000) == [FIXED, 0]
    outcome = story.fetch(0x40004)
    profile = profile_of(release)
    dirty_is_lost = mode != "ept-noad" and not profile.has(SPURIOUS_IF_ALLOWED)
    if not profile.has(SPLIT_ON_FAULT):
        assert outcome == [FIXED, 0]
        assert story.state("pages_4k", "nx_lpage_splits") == (1, 1)
    else:
        assert outcome == [FIXED if dirty_is_lost else SPURIOUS, 0]
        assert story.state("pages_4k", "nx_lpage_splits") == (512, 1)
    before = story.state("flush_requests")
    assert story.recover_nx_huge_pages() == [0]
    assert story.state("pages_4k", "nx_lpage_splits", "flush_requests") == (0, 0, before + 1)


def test_a_fault_during_an_invalidation_waits():
    story = Story().area(populate=True).slot()
    story.read(0x40000)
    story.notifier_start(page=3, npages=2)
    assert story.state("invalidate_in_progress", "invalidate_seq") == (1, 0)
    assert story.read(0x40003) == [RETRY, 1]
    assert story.read(0x40005) == [FIXED, 0]
    story.notifier_end(page=3, npages=2)
    assert story.state("invalidate_in_progress", "invalidate_seq") == (0, 1)
    assert story.read(0x40003) == [FIXED, 0]


@pytest.mark.parametrize("release", RELEASES)
def test_whether_a_waiting_fault_bothers_the_host(release):
    story = Story(release).area().slot()
    story.enter(vcpu=0)
    story.notifier_start(page=0, npages=1)
    assert story.write(0x40000) == [RETRY, 1]
    story.notifier_end(page=0, npages=1)
    story.touch(page=1, write=1)
    story.write(0x40000)
    waited = profile_of(release).has(RETRY_BEFORE_FAULTIN)
    assert story.entries(1)[0x40000] >> 12 & 0xFFFFFFF == (0x100201 if waited else 0x100200)


@pytest.mark.parametrize("release", RELEASES)
def test_frames_between_two_aliases_wait_too(release):
    """Two slots map one page; since v6.8 all frames from the one to the other count as invalidated."""
    story = Story(release).area(1024, populate=True)
    story.slot(16, gfn=0x100, page=0).slot(16, gfn=0x300, page=0, slot=1).slot(
        16, gfn=0x200, page=512, slot=2
    )
    story.enter(vcpu=0)
    story.notifier_start(page=0, npages=1)
    by_gfn = profile_of(release).has(INVALIDATION_BY_GFN)
    assert story.read(0x200) == ([RETRY, 1] if by_gfn else [FIXED, 0])


def test_cow_makes_the_fault_that_caused_it_stale():
    story = Story().area().slot()
    assert story.read(0x40000) == [FIXED, 0]
    assert story.write(0x40000) == [RETRY, FIXED, 0]
    assert story.state("pf_taken", "pf_fixed", "invalidate_seq", "flush_requests") == (3, 2, 1, 1)


def test_what_the_host_does_not_have():
    story = Story().area(16).area(16, page=16, writable=0).slot(64)
    assert story.read(0x40030) == [EFAULT, 3]
    assert story.write(0x40010) == [EFAULT, 3]
    assert story.read(0x40010) == [FIXED, 0]
    assert story.state("pf_taken", "pf_fixed", "pf_emulate") == (3, 1, 0)


def test_a_write_to_a_read_only_slot_is_emulated_and_maps_nothing():
    story = Story().area(populate=True).slot(flags=2)
    assert story.write(0x40000) == [EMULATE, 2]
    assert story.state("pages_4k", "pf_mmio_spte_created") == (0, 0)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("release", RELEASES)
def test_mmio_is_remembered_until_the_memslots_change(release, mode):
    story = Story(release, mode).area(populate=True).slot(slot=1, gfn=0x2000)
    assert story.read(0x50) == [EMULATE, 2]
    assert story.read(0x60) == [EMULATE, 2]
    assert story.write(0x50) == [MMIO + EMULATE, 2]
    assert story.state("pf_taken", "pf_emulate", "pf_mmio_spte_created") == (2, 2, 2)
    story.slot(gfn=0x1000)
    assert story.read(0x50) == [MMIO + EMULATE, 2]
    assert story.state("pf_taken", "pf_emulate", "pf_mmio_spte_created") == (3, 3, 3)


@pytest.mark.parametrize("mode", MODES)
def test_a_slot_where_mmio_was(mode):
    """EPT's misconfiguration does not tell reads from writes, so a write is taken for a read at first."""
    story = Story(mode=mode).area().slot(slot=1, gfn=0x2000)
    story.read(0x50)
    story.slot(gfn=0x40, page=0, npages=64)
    first = [MMIO + FIXED] if mode == "npt" else [MMIO + FIXED, RETRY, FIXED]
    assert story.write(0x50) == [*first, 0]


@pytest.mark.parametrize(("release", "bits"), [((6, 1), 19), ((6, 12), 19), ((7, 2), 18), ((7, 3), 18)])
def test_the_generation_of_mmio_sptes_begins_anew(release, bits):
    story = Story(release).area().slot(slot=9, gfn=0x2000)
    story.read(0x50)
    story.set_generation(value=(1 << bits) - 4)
    story.slot(16)
    assert story.seen.roots[0].invalid == 0
    story.slot(16, gfn=0x50000, slot=1)
    assert story.state("generation") == 1 << bits
    assert story.seen.roots == [RootView(0, 4, invalid=1, references=1, flat=[])], (
        "invalid, empty, held by the vCPU alone"
    )
    assert story.seen.vcpus[0][:3] == (0, 0, 1)


@pytest.mark.parametrize("release", RELEASES)
def test_an_mmio_access_of_smm_is_forgotten_with_its_own_memslots(release):
    """Without the fix of CVE-2026-99082 an access that is repeated does not see a slot made for SMM."""
    story = Story(release).area(populate=True).slot()
    story.smm(vcpu=0, on=1)
    assert story.read(0x50) == [EMULATE, 2]
    story.slot(as_id=1, gfn=0x40)
    fixed = profile_of(release).has(MMIO_CACHE_OF_ADDRESS_SPACE)
    assert story.read(0x50) == ([MMIO + FIXED, 0] if fixed else [MMIO + EMULATE, 2])


@pytest.mark.parametrize("release", RELEASES)
def test_a_vm_without_memory(release):
    """Until v6.9 a root counted as a shadow page, and without a memslot there is no budget for any."""
    story = Story(release)
    assert story.read(0x50) == ([EMULATE, 2] if profile_of(release).has(ROOTS_WITHOUT_BUDGET) else [-28, 3])
    story.area().slot().set_memory_region(slot=0, as_id=0, gfn=0, npages=0, page=0, flags=0)
    assert story.read(0x60) == [EMULATE, 2]
