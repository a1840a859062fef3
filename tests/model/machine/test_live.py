# SPDX-License-Identifier: GPL-2.0-only
"""What stock 6.1 and 6.12 kernels did with nested paging, the TDP MMU and one vCPU, step for step.

Recorded from running kernels, which agree in all of this: the statistics after each step, the low
bits of the SPTEs it made and the dirty log. A page of code at gfn 1 is executed in every step that runs
the guest.
"""

import pytest
from machine_story import EMULATE, FETCH, FIXED, MMIO, RETRY, Story

STATISTICS = ("pf_taken", "pf_fixed", "pf_fast", "pf_emulate", "pages_4k", "pages_2m", "flush_requests")
RAM = 0x40000
CODE_PAGE = 0x2000


@pytest.fixture(params=[(6, 1), (6, 12)], ids=["6.1", "6.12"])
def story(request):
    story = Story(request.param, "npt").area(page=CODE_PAGE, npages=1, populate=True)
    return story.slot(slot=1, gfn=1, page=CODE_PAGE, npages=1)


def run(story, gfn, kind, *exits, end=0):
    """One instruction of the guest: code is fetched, then it does its access."""
    assert story.fetch(1)[-1] == 0
    outcome = story.access(vcpu=0, gfn=gfn, kind=kind)
    assert outcome == [*exits, end]


def statistics(story):
    return story.state(*STATISTICS)


def low(story, gfn, level=1):
    return story.entries(level)[gfn] & 0xFFF


def test_small_pages(story):
    story.area(512).slot(512)
    for n in range(1, 5):
        if n != 3:
            story.touch(page=n, write=1)

    run(story, RAM, 1, FIXED)
    assert statistics(story) == (2, 2, 0, 0, 2, 0, 0)
    assert low(story, RAM) == 0x825, "the zero page is mapped read-only"
    assert {spte for level in (2, 3, 4) for spte in story.entries(level).values()} == {0x827}
    run(story, RAM, 2, RETRY, FIXED)
    assert statistics(story) == (4, 3, 0, 0, 2, 0, 1)
    assert low(story, RAM) == 0xE67
    run(story, RAM + 1, 1, FIXED)
    assert low(story, RAM + 1) == 0xE67, "a read maps writable what the host has writable"
    run(story, RAM + 1, 2)
    run(story, RAM + 2, 2, FIXED)
    assert statistics(story) == (6, 5, 0, 0, 4, 0, 1)

    story.slot(512, flags=1)
    assert statistics(story) == (6, 5, 0, 0, 4, 0, 2)
    assert [low(story, RAM + n) for n in range(3)] == [0xE65] * 3
    run(story, RAM + 1, 1)
    run(story, RAM + 1, 2, FIXED)
    assert statistics(story) == (7, 6, 1, 0, 4, 0, 2)
    run(story, RAM + 3, 2, FIXED)
    assert statistics(story) == (8, 7, 1, 0, 5, 0, 2)
    assert story.get_dirty_log(slot=0, as_id=0)[:3] == [0, 0b1010, 0]
    assert statistics(story) == (8, 7, 1, 0, 5, 0, 3)
    assert [low(story, RAM + n) for n in range(4)] == [0xE65] * 4
    run(story, RAM + 1, 2, FIXED)
    run(story, RAM + 1, 2)
    assert statistics(story) == (9, 8, 2, 0, 5, 0, 3)
    assert story.get_dirty_log(slot=0, as_id=0)[1] == 0b10
    assert statistics(story) == (9, 8, 2, 0, 5, 0, 4)
    story.slot(512, flags=0)
    assert statistics(story) == (9, 8, 2, 0, 5, 0, 4)
    run(story, RAM + 2, 2, FIXED)
    assert statistics(story) == (10, 9, 3, 0, 5, 0, 4)

    story.madvise_dontneed(page=1, npages=1)
    assert statistics(story) == (10, 9, 3, 0, 4, 0, 5)
    run(story, RAM + 1, 2, FIXED)
    assert statistics(story) == (11, 10, 3, 0, 5, 0, 5)
    # mprotect() announces the whole 2 MiB, and then the page.
    story.notifier_start(page=0, npages=512)
    story.wrprotect(page=2, npages=1)
    story.notifier_end(page=0, npages=512)
    assert statistics(story) == (11, 10, 3, 0, 1, 0, 6)
    story.notifier_start(page=2, npages=1)
    story.touch(page=2, write=1)
    story.notifier_end(page=2, npages=1)
    run(story, RAM + 2, 1, FIXED)
    assert low(story, RAM + 2) == 0xE67
    run(story, RAM + 4, FETCH, FIXED)
    assert statistics(story) == (13, 12, 3, 0, 3, 0, 6)

    run(story, 0x50000, 1, EMULATE, end=2)
    assert story.entries(1)[0x50000] == 0x8000050000047, "generation 8, three bits up"
    assert statistics(story) == (14, 12, 3, 1, 3, 0, 6)
    run(story, 0x50000, 1, MMIO + EMULATE, end=2)
    run(story, 0x50000, 2, MMIO + EMULATE, end=2)
    assert statistics(story) == (14, 12, 3, 1, 3, 0, 6)

    story.set_memory_region(slot=0, as_id=0, gfn=RAM, npages=0, page=0, flags=0)
    assert story.entries(4) == {}
    assert statistics(story) == (14, 12, 3, 1, 0, 0, 6)
    run(story, 0x50000, 1, EMULATE, end=2)
    assert story.entries(1)[0x50000] == 0x8000050000067, "generation 12"
    assert statistics(story) == (16, 13, 3, 2, 1, 0, 6)
    assert story.state("pf_mmio_spte_created") == 2

    story.slot(512, flags=2)
    run(story, RAM + 2, 1, FIXED)
    assert low(story, RAM + 2) == 0x825, "not host-writable in a read-only slot"
    run(story, RAM + 2, 2, EMULATE, end=2)
    assert statistics(story) == (18, 14, 3, 3, 2, 0, 6)
    assert story.destroy() == [0, 0, 0]
    assert story.seen.state is None


def test_huge_pages(story):
    story.area(1024, level=2, populate=True).slot(1024)
    run(story, RAM + 5, 1, FIXED)
    assert low(story, RAM, level=2) == 0xEE7
    assert statistics(story) == (2, 2, 0, 0, 1, 1, 0)
    run(story, RAM + 5, 2)
    run(story, RAM + 512, FETCH, FIXED)
    assert statistics(story) == (3, 3, 0, 0, 1, 2, 0)

    story.slot(1024, flags=1)
    assert statistics(story) == (3, 3, 0, 0, 1025, 0, 1)
    assert {spte & 0xFFF for gfn, spte in story.entries(1).items() if gfn >= RAM} == {0xE65}
    run(story, RAM + 5, 2, FIXED)
    assert statistics(story) == (4, 4, 1, 0, 1025, 0, 1)
    assert story.get_dirty_log(slot=0, as_id=0)[1] == 0x20
    assert statistics(story) == (4, 4, 1, 0, 1025, 0, 2)
    story.slot(1024, flags=0)
    assert statistics(story) == (4, 4, 1, 0, 1, 0, 4), "a flush for each table zapped"
    assert [(table.frozen, table.present) for table in story.seen.retired] == [(512, 0)] * 2
    run(story, RAM + 5, 1, FIXED)
    assert statistics(story) == (5, 5, 1, 0, 1, 1, 4)

    story.madvise_dontneed(page=5, npages=1)
    assert statistics(story) == (5, 5, 1, 0, 1, 0, 5), "the huge page goes whole"
    run(story, RAM + 6, 2, FIXED)
    assert statistics(story) == (6, 6, 1, 0, 2, 0, 5)
    story.slot(1024, gfn=0x41000)
    assert statistics(story) == (6, 6, 1, 0, 0, 0, 5)
    run(story, 0x41000, 1, FIXED)
    assert statistics(story) == (8, 8, 1, 0, 2, 0, 5)


def manual(release, protect):
    story = Story(release, "npt", manual_protect=protect)
    story.area(page=CODE_PAGE, npages=1, populate=True).area(1024, populate=True)
    story.slot(slot=1, gfn=1, page=CODE_PAGE, npages=1).slot(1024)
    for n in range(4):
        run(story, RAM + n, 2, FIXED)
    assert statistics(story)[:5] == (5, 5, 0, 0, 5)
    story.slot(1024, flags=1)
    return story


@pytest.mark.parametrize("release", [(6, 1), (6, 12)], ids=["6.1", "6.12"])
def test_manual_protect(release):
    story = manual(release, 1)
    assert statistics(story) == (5, 5, 0, 0, 5, 0, 1)
    run(story, RAM, 2, FIXED)
    assert story.get_dirty_log(slot=0, as_id=0)[1] == 1
    run(story, RAM, 2)
    assert statistics(story) == (6, 6, 1, 0, 5, 0, 1), "getting the log protects nothing"
    assert story.clear_dirty_log(slot=0, as_id=0, first=0, npages=64, mask=3) == [0]
    assert statistics(story) == (6, 6, 1, 0, 5, 0, 2)
    run(story, RAM, 2, FIXED)
    run(story, RAM + 2, 2, FIXED)
    assert statistics(story) == (8, 8, 3, 0, 5, 0, 2)
    assert story.get_dirty_log(slot=0, as_id=0)[1] == 0b101


@pytest.mark.parametrize("release", [(6, 1), (6, 12)], ids=["6.1", "6.12"])
def test_initially_set(release):
    story = manual(release, 3)
    assert statistics(story) == (5, 5, 0, 0, 5, 0, 0), "nothing is protected, nothing flushed"
    run(story, RAM, 2)
    assert set(story.get_dirty_log(slot=0, as_id=0)[1:]) == {(1 << 64) - 1}
    assert story.clear_dirty_log(slot=0, as_id=0, first=0, npages=64, mask=3) == [0]
    assert statistics(story) == (5, 5, 0, 0, 5, 0, 1)
    run(story, RAM, 2, FIXED)
    run(story, RAM + 2, 2)
    assert statistics(story) == (6, 6, 1, 0, 5, 0, 1)
    assert story.get_dirty_log(slot=0, as_id=0)[1] == (1 << 64) - 1 - 2
