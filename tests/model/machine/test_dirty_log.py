# SPDX-License-Identifier: GPL-2.0-only
"""The dirty log: what becomes of SPTEs when it begins, is read, cleared and ends."""

import pytest
from machine_story import FIXED, RELEASES, Story

from conformance.model.changes import HUGE_PAGE_RECOVERY, SPLIT_LAST_CLEARED
from conformance.model.profiles import profile_of

W = 1 << 1
MODES = ("ept-ad", "ept-noad", "npt")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("release", RELEASES)
def test_a_write_is_logged_once_until_the_log_is_read(release, mode):
    story = Story(release, mode).area(populate=True).slot()
    story.write(0x40005)
    story.slot(flags=1)
    assert not story.entries(1)[0x40005] & W
    assert story.read(0x40005) == [0]
    assert story.write(0x40005) == [FIXED, 0]
    assert story.write(0x40005) == [0]
    assert story.state("pf_fast") == 1
    assert story.get_dirty_log(slot=0, as_id=0)[1] == 1 << 5
    assert story.get_dirty_log(slot=0, as_id=0)[1] == 0
    assert story.write(0x40005) == [FIXED, 0]


def test_a_read_of_a_page_that_can_be_written_is_logged():
    """It maps the page writable, so no later write would be seen."""
    story = Story().area(populate=True).slot(flags=1)
    assert story.read(0x40001) == [FIXED, 0]
    assert story.get_dirty_log(slot=0, as_id=0)[1] == 1 << 1


def test_flushes_of_the_log():
    story = Story().area(populate=True).slot(flags=1)
    assert story.state("flush_requests") == 0, "a new slot has nothing to protect"
    story.slot(flags=0)
    story.slot(flags=1)
    assert story.state("flush_requests") == 1, "always, whatever is mapped"
    story.get_dirty_log(slot=0, as_id=0)
    assert story.state("flush_requests") == 1
    story.write(0x40000)
    story.get_dirty_log(slot=0, as_id=0)
    assert story.state("flush_requests") == 2


def test_clearing_touches_only_what_was_dirty():
    story = Story(manual_protect=1).area(populate=True).slot(flags=1)
    story.write(0x40000)
    assert story.clear_dirty_log(slot=0, as_id=0, first=0, npages=64, mask=0b10) == [0]
    assert story.state("flush_requests") == 0
    assert story.entries(1)[0x40000] & W
    assert story.clear_dirty_log(slot=0, as_id=0, first=0, npages=64, mask=0b11) == [0]
    assert story.state("flush_requests") == 1
    assert not story.entries(1)[0x40000] & W


@pytest.mark.parametrize(
    ("first", "npages", "rc"), [(1, 64, -22), (0, 63, -22), (64, 36, 0), (64, 37, -22), (128, 0, -22)]
)
def test_ranges_that_can_be_cleared(first, npages, rc):
    story = Story(manual_protect=1).area(populate=True).slot(npages=100, flags=1)
    assert story.clear_dirty_log(slot=0, as_id=0, first=first, npages=npages, mask=1) == [rc]


def test_logs_that_do_not_exist():
    story = Story().area().slot()
    assert story.get_dirty_log(slot=0, as_id=0) == [-2]
    assert story.get_dirty_log(slot=7, as_id=1) == [-2]
    assert story.clear_dirty_log(slot=0, as_id=0, first=0, npages=64, mask=1) == [-2]


@pytest.mark.parametrize("release", RELEASES)
def test_clearing_one_page_of_a_huge_one(release):
    """Until v6.8 the last page cleared did not count, so a huge page that begins there was not split."""
    story = Story(release, manual_protect=3).area(512, level=2, populate=True).slot()
    story.write(0x40000)
    story.slot(flags=1)
    assert story.state("pages_2m", "flush_requests") == (1, 0)
    story.clear_dirty_log(slot=0, as_id=0, first=0, npages=64, mask=1)
    if profile_of(release).has(SPLIT_LAST_CLEARED):
        assert story.state("pages_2m", "pages_4k") == (0, 512)
        assert [gfn for gfn, spte in story.entries(1).items() if not spte & W] == [0x40000]
    else:
        assert story.state("pages_2m", "pages_4k") == (1, 0)
        assert not story.entries(2)[0x40000] & (W | story.machine.vm.k.shadow_mmu_writable_mask)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("release", RELEASES)
def test_huge_pages_come_back_when_logging_ends(release, mode):
    story = Story(release, mode).area(1024, level=2, populate=True).slot(1024)
    story.write(0x40000)
    story.write(0x40200)
    story.slot(1024, flags=1)
    assert story.state("pages_4k", "pages_2m", "flush_requests") == (1024, 0, 1)
    story.slot(1024, flags=0)
    if profile_of(release).has(HUGE_PAGE_RECOVERY):
        assert story.state("pages_4k", "pages_2m", "flush_requests") == (0, 2, 2)
    else:
        assert story.state("pages_4k", "pages_2m", "flush_requests") == (0, 0, 3)
    assert [(table.frozen, table.present) for table in story.seen.retired] == [(512, 0)] * 2
    assert story.grace_period() == [2]
    assert story.seen.retired == []


def test_huge_pages_do_not_come_back_where_the_host_has_none():
    story = Story().area(512, level=2, populate=True).slot()
    story.write(0x40000)
    story.slot(flags=1)
    story.madvise_dontneed(page=3, npages=1)
    story.write(0x40000)
    story.slot(flags=0)
    assert story.state("pages_4k", "pages_2m") == (1, 0)


def test_a_read_only_slot_is_left_alone():
    story = Story().area(512, level=2, populate=True).slot(flags=2)
    story.read(0x40000)
    story.slot(flags=3)
    assert story.state("pages_2m", "flush_requests") == (1, 0)


def test_the_processor_logs():
    """Small pages stay writable and are only made clean; the buffer is told when the vCPU exits."""
    story = Story(pml=1).area(populate=True).slot()
    story.write(0x40000)
    story.write(0x40001)
    story.slot(flags=1)
    assert all(spte & W for gfn, spte in story.entries(1).items())
    assert story.state("flush_requests") == 1
    story.get_dirty_log(slot=0, as_id=0)
    assert story.write(0x40001) == [0], "no fault"
    assert story.state("pf_fast") == 0
    assert story.seen.slots[0].dirty_bitmap[0] == 0
    story.enter(vcpu=0)
    assert story.seen.slots[0].dirty_bitmap[0] == 0b10
    assert story.write(0x40000) == [0]
    assert story.get_dirty_log(slot=0, as_id=0)[1] == 0b11
    assert story.write(0x40001) == [0]
    assert story.get_dirty_log(slot=0, as_id=0)[1] == 0b10


def test_a_move_keeps_the_log():
    story = Story().area(populate=True).slot(flags=1)
    story.write(0x40003)
    story.slot(gfn=0x80000, flags=1)
    assert story.get_dirty_log(slot=0, as_id=0)[1] == 0b1000
