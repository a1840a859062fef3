# SPDX-License-Identifier: GPL-2.0-only
"""Roots, retired tables and those who still walk them."""

import pytest
from machine_story import FIXED, RELEASES, Story

from conformance.interface.observation import RetiredTable, VcpuView


def delete(story, slot=0, as_id=0):
    assert story.set_memory_region(slot=slot, as_id=as_id, gfn=0, npages=0, page=0, flags=0) == [0]


def roots(story):
    """[address space, invalid, references] of each root."""
    return [[root.as_id, root.invalid, root.references] for root in story.seen.roots]


@pytest.mark.parametrize("release", RELEASES)
def test_a_root_from_first_use_to_its_end(release):
    story = Story(release, vcpus=2).area(populate=True).slot()
    story.write(0x40000, vcpu=0)
    assert roots(story) == [[0, 0, 2]]
    story.write(0x40001, vcpu=1)
    assert roots(story) == [[0, 0, 3]], "vCPUs share it"
    delete(story)
    assert roots(story) == [[0, 1, 2]], "the TDP MMU has let go"
    assert story.state("pages_4k", "generation", "flush_requests") == (0, 6, 0)
    assert [vcpu.other_requests for vcpu in story.seen.vcpus] == [1, 1]
    assert [table._replace(serial=0) for table in story.seen.retired] == [
        RetiredTable(1, 0x40000, 0, frozen=512, present=0),
        RetiredTable(2, 0x40000, 0, frozen=512, present=0),
        RetiredTable(3, 0, 0, frozen=512, present=0),
    ]
    story.enter(vcpu=0)
    assert roots(story) == [[0, 1, 1], [0, 0, 2]]
    assert [vcpu.root for vcpu in story.seen.vcpus] == [1, 0]
    story.enter(vcpu=1)
    assert roots(story) == [[0, 0, 3]]
    assert [vcpu.flushes for vcpu in story.seen.vcpus] == [2, 2], "a flush with each root that is loaded"
    assert story.grace_period() == [4]


def test_stale_translations_of_a_dropped_root():
    story = Story().area(populate=True).slot()
    story.write(0x40000)
    delete(story)
    assert story.seen.tlb[0][0].root == 0
    story.smm(vcpu=0, on=1)
    assert story.seen.tlb[0][0].root == -1, "a translation of a root that no vCPU uses"
    story.enter(vcpu=0)
    assert story.seen.tlb[0] == []


def test_smm_has_an_address_space_of_its_own():
    story = Story().area(populate=True).slot().slot(as_id=1, gfn=0x10)
    story.write(0x40000)
    story.smm(vcpu=0, on=1)
    assert roots(story) == [[0, 0, 1]]
    assert story.seen.vcpus == [VcpuView(-1, 0, 0, flushes=1, smm=1)]
    assert story.write(0x10) == [FIXED, 0]
    assert roots(story) == [[0, 0, 1], [1, 0, 2]]
    assert story.seen.vcpus == [VcpuView(1, 0, 0, flushes=2, smm=1)]
    story.smm(vcpu=0, on=0)
    assert story.write(0x40001) == [FIXED, 0]
    assert roots(story) == [[0, 0, 2], [1, 0, 1]]
    story.madvise_dontneed(page=0, npages=1)
    assert story.state("pages_4k", "flush_requests") == (1, 1), "one flush for both address spaces"


def test_a_reader_holds_up_the_grace_period():
    story = Story().area(populate=True).slot()
    story.write(0x40000)
    assert story.walk_begin(vcpu=0, gfn=0x40000)[:3] == [1, 4, 0]
    for level, gfn in ((3, 0x40000), (2, 0x40000), (1, 0x40000)):
        assert story.walk_next()[:3] == [1, level, gfn]
    delete(story)
    frozen = story.machine.vm.k.layout.frozen_spte
    assert story.walk_next() == [1, 1, 0x40001, frozen]
    assert story.grace_period() == [0]
    story.walk_end()
    assert story.grace_period() == [3]


@pytest.mark.parametrize("release", RELEASES)
def test_how_much_recovery_freezes(release):
    """Under mmu_lock for write only what was present; for read, since v6.18, everything."""
    story = Story(release, nx_huge_pages=1).area(512, level=2, populate=True).slot()
    story.read(0x40000)
    story.madvise_dontneed(page=0, npages=512)
    story.fetch(0x40000)
    mapped = story.state("pages_4k")
    assert mapped == 1
    story.recover_nx_huge_pages()
    (table,) = story.seen.retired
    assert (table.frozen, table.present) == (512 if release >= (7, 2) else mapped, 0)


@pytest.mark.parametrize("release", RELEASES)
def test_recovery_leaves_what_is_logged(release):
    story = Story(release, nx_huge_pages=1).area(512, level=2, populate=True).slot()
    story.fetch(0x40000)
    assert story.state("nx_lpage_splits") == 1
    story.slot(flags=1)
    before = story.state("flush_requests")
    story.recover_nx_huge_pages()
    zapped = release == (6, 1)
    assert story.state("nx_lpage_splits") == 0
    assert story.state("pages_4k", "flush_requests") == ((0, before + 1) if zapped else (1, before))


@pytest.mark.parametrize("mode", ["ept-ad", "ept-noad", "npt"])
@pytest.mark.parametrize("release", RELEASES)
def test_aging(release, mode):
    story = Story(release, mode).area(populate=True).slot()
    story.write(0x40000)
    flushes = 0 if release >= (7, 2) else 1
    assert story.test_young(page=0) == [1]
    assert story.clear_flush_young(page=0, npages=4) == [1]
    assert story.state("flush_requests") == flushes
    assert story.test_young(page=0) == [0]
    assert story.clear_young(page=0, npages=4) == [0]
    assert story.read(0x40000)[-1] == 0
    # Without a flush the processor need not look at the SPTE again.
    assert story.test_young(page=0) == [flushes]


@pytest.mark.parametrize("release", RELEASES)
def test_access_tracking_faults_and_gives_back(release):
    story = Story(release, "ept-noad").area(populate=True).slot()
    story.write(0x40000)
    story.clear_young(page=0, npages=1)
    # As if by chance: nobody flushes for aging alone.
    story.machine.vm.vcpus[0].tlb.clear()
    assert story.entries(1)[0x40000] & 7 == 0
    assert story.read(0x40000) == [FIXED, 0]
    assert story.entries(1)[0x40000] & 7 == 5, "the write must fault again"
    assert story.test_young(page=0) == [1]
    assert story.write(0x40000) == [FIXED, 0]
    assert story.state("pf_fast") == 2


def test_a_walk_that_yields_flushes_first():
    story = Story().area(populate=True).slot()
    for n in range(4):
        story.write(0x40000 + n)
    story.resched(on=1)
    story.madvise_dontneed(page=0, npages=4)
    assert story.state("flush_requests") == 4, "before each of three yields, and at the end"


def test_change_pte_finds_nothing():
    """.change_pte comes between start and end, and start has zapped everything already."""
    story = Story().area(populate=True).slot()
    story.write(0x40000)
    assert story.change_pte(page=0) == [0]
    assert story.entries(1) == {}
    assert story.state("flush_requests", "pages_4k") == (1, 0)
    assert Story((6, 12)).area(populate=True).change_pte(page=0) == [-38]


def test_errors_of_memory_regions():
    story = Story().area(populate=True).slot()
    region = {"slot": 1, "as_id": 0, "gfn": 0x40100, "npages": 16, "page": 0, "flags": 0}
    assert story.set_memory_region(**region) == [-17]
    assert story.set_memory_region(**{**region, "npages": 0}) == [-22]
    assert story.set_memory_region(**{**region, "gfn": (1 << 36) - 8}) == [-22]
    assert story.set_memory_region(**{**region, "slot": 0, "npages": 16}) == [-22]
    assert story.state("generation") == 2
    story.notifier_start(page=0, npages=1)
    assert story.set_memory_region(**{**region, "gfn": 0}) == [-11]


def test_the_end_of_physical_addresses():
    story = Story(mode="ept-l1tf").area(populate=True)
    region = {"slot": 0, "as_id": 0, "npages": 512, "page": 0, "flags": 0}
    assert story.set_memory_region(**region, gfn=(1 << 34) - 511) == [-22]
    assert story.set_memory_region(**region, gfn=(1 << 34) - 512) == [0]
    assert story.read(1 << 34) == [11, 2]
    assert story.state("pf_mmio_spte_created") == 0


def test_misuse_is_told():
    story = Story()
    for step, arguments in (
        ("no_such_step", {}),
        ("enter", {"vcpu": 1}),
        ("enter", {}),
        ("access", {"vcpu": 0, "gfn": 0, "kind": 3}),
        ("walk_next", {}),
    ):
        with pytest.raises(ValueError):
            story.machine.step(step, **arguments)
    with pytest.raises(ValueError, match="wheels"):
        Story(wheels=4)
