# SPDX-License-Identifier: GPL-2.0-only
"""Control registers: what is valid, and which roots and translations a change takes."""

import pytest
from guest_story import (
    LA57,
    LMA,
    LME,
    NXE,
    PAE,
    PCIDE,
    PE,
    PG,
    PGE,
    PKE,
    PSE,
    READY,
    SMAP,
    SMEP,
    WP,
    GuestStory,
)

from conformance.model.changes import WP_IGNORED_WITHOUT_PAGING

GP, OK, EINVAL = [1], [0], [-22]
ET, CD, NW, TS = 1 << 4, 1 << 30, 1 << 29, 1 << 3
FLUSH_GUEST, FLUSH_CURRENT, SYNC, LOAD = "TLB_FLUSH_GUEST", "TLB_FLUSH_CURRENT", "MMU_SYNC", "LOAD_MMU_PGD"


@pytest.fixture
def guest():
    guest = GuestStory().chain(READY, READY, READY, READY).long_mode()
    guest.enter(vcpu=0)
    assert not guest.requests() and guest.vcpu.mmu.root is not None
    return guest


def test_invalid_values_are_refused(guest):
    for cr0 in (1 << 32 | PE, NW | PE, PG):
        assert guest.set_cr0(vcpu=0, value=cr0) == GP
    assert guest.set_cr0(vcpu=0, value=PE | WP) == GP, "64-bit code cannot leave long mode"
    for cr4 in (0, PAE | LA57, PAE | 1 << 11, PAE | PKE):
        assert guest.set_cr4(vcpu=0, value=cr4) == GP
    for efer in (1 << 1, NXE):
        assert guest.set_efer(vcpu=0, value=efer) == GP
    assert guest.set_cr3(vcpu=0, value=1 << 48) == GP
    assert guest.set_sregs(vcpu=0, cr0=PG | PE, cr4=0, efer=LME, cr3=0) == EINVAL
    assert guest.vcpu.mmu.root is not None and not guest.requests()


def test_registers_are_kept_as_the_processor_would(guest):
    assert guest.set_cr0(vcpu=0, value=PG | PE | WP | TS | 1 << 6) == OK
    assert guest.vcpu.cr0 == PG | PE | WP | TS | ET
    assert guest.set_efer(vcpu=0, value=LME | NXE) == OK
    assert guest.vcpu.efer == LME | LMA | NXE, "a write does not change LMA"
    guest.long_mode(cr0=PE, efer=LME)
    assert guest.vcpu.efer == LME
    assert guest.set_cr0(vcpu=0, value=PE | PG) == OK
    assert guest.vcpu.efer == LME | LMA
    guest.long_mode(cr0=PE, efer=LME, cr4=0)
    assert guest.set_cr0(vcpu=0, value=PE | PG) == GP, "long mode needs PAE"


def test_which_changes_take_the_root(guest):
    def root_after(name, value):
        assert getattr(guest, name)(vcpu=0, value=value) == OK
        found = guest.vcpu.mmu.root
        guest.enter(vcpu=0)
        return found

    assert root_after("set_cr0", PG | PE | WP | TS) is not None
    assert root_after("set_cr0", PG | PE) is None, "CR0.WP is a part of the role"
    assert root_after("set_cr4", PAE | PGE) is not None
    assert root_after("set_cr4", PAE | SMEP) is None
    assert root_after("set_cr4", PAE | PCIDE | SMEP) is None, "cached roots must not be used without a flush"
    assert root_after("set_efer", LME) is None
    assert root_after("set_cr3", 0x2000) is None


def test_which_changes_flush(guest):
    def asked(name, value):
        guest.requests().clear()
        assert getattr(guest, name)(vcpu=0, value=value) == OK
        return set(guest.requests())

    assert asked("set_cr4", PAE | PGE) == {FLUSH_GUEST}
    assert asked("set_cr4", PAE | PGE | SMEP) == {FLUSH_CURRENT}
    assert asked("set_cr4", PAE | PGE) == set()
    assert asked("set_cr4", PAE | PGE | PCIDE) == set()
    assert asked("set_cr3", 0x1000) == {SYNC, FLUSH_CURRENT}
    assert asked("set_cr3", 0x1000 | 1 << 63) == set()
    assert asked("set_cr4", PAE | PGE) == {FLUSH_GUEST}


def test_roots_are_cached_by_cr3(guest):
    first = guest.vcpu.mmu.root
    guest.set_cr3(vcpu=0, value=0x2000)
    guest.enter(vcpu=0)
    second = guest.vcpu.mmu.root
    assert second is not first and guest.vcpu.mmu.prev_roots[0] == (first, 0x1000)
    guest.set_cr3(vcpu=0, value=0x1000)
    assert guest.vcpu.mmu.root is first and LOAD in guest.requests()


def test_a_flush_of_a_pcid_drops_its_cached_roots(guest):
    guest.set_cr4(vcpu=0, value=PAE | PCIDE)
    for cr3 in (0x1001, 0x2002, 0x3001):
        guest.set_cr3(vcpu=0, value=cr3 | 1 << 63)
        guest.enter(vcpu=0)
    assert [pgd for root, pgd in guest.vcpu.mmu.prev_roots if root] == [0x2002, 0x1001]
    guest.set_cr3(vcpu=0, value=0x3001)
    assert [pgd for root, pgd in guest.vcpu.mmu.prev_roots if root] == [0x2002]


def test_pae_paging_loads_its_pdptes():
    guest = GuestStory()
    for n in range(4):
        guest.entry(3, 4 + n, (4 + n) << 12 | 1)
    guest.long_mode(cr0=PG | PE, cr4=PAE, efer=0, cr3=0x3020)
    assert guest.vcpu.pdptrs == [0x4001, 0x5001, 0x6001, 0x7001]
    guest.enter(vcpu=0)
    root = guest.vcpu.mmu.root
    assert guest.set_cr3(vcpu=0, value=0x3020) == OK and guest.vcpu.mmu.root is root
    guest.entry(3, 5, 0)
    assert guest.set_cr3(vcpu=0, value=0x3020) == OK and guest.vcpu.mmu.root is None
    guest.entry(3, 5, 0x5003)
    assert guest.set_cr3(vcpu=0, value=0x3020) == GP, "a reserved bit"
    assert guest.set_cr4(vcpu=0, value=PAE | PSE) == GP
    guest.entry(3, 5, 0)
    assert guest.set_cr4(vcpu=0, value=PAE | PSE) == OK
    assert guest.set_cr3(vcpu=0, value=0x700000) == GP, "not in memory"


@pytest.mark.parametrize("release", [(6, 1), (6, 12)])
def test_userspace_flushes_since_6_7(release):
    guest = GuestStory(release)
    guest.enter(vcpu=0)
    guest.long_mode(cr4=PAE | SMAP)
    assert guest.requests() == ({FLUSH_GUEST} if release > (6, 1) else set())
    guest.enter(vcpu=0)
    guest.long_mode(cr4=PAE | SMAP)
    assert not guest.requests(), "nothing changed"


@pytest.mark.parametrize("without", [(), (WP_IGNORED_WITHOUT_PAGING,)])
def test_write_protection_without_paging(without):
    guest = GuestStory((6, 12), without=without).long_mode(cr0=PE | ET, cr4=0, efer=0)
    guest.enter(vcpu=0)
    guest.set_cr0(vcpu=0, value=PE | WP)
    assert (guest.vcpu.mmu.root is None) == bool(without)


def test_with_two_dimensional_paging_roots_stay():
    guest = GuestStory(mode="ept-ad").long_mode(cr0=PG | PE | WP | ET)
    guest.enter(vcpu=0)
    root = guest.vcpu.mmu.root
    assert guest.set_cr4(vcpu=0, value=PAE | PKE) == OK
    assert guest.vcpu.mmu.root is None
    guest.enter(vcpu=0)
    assert guest.set_cr0(vcpu=0, value=PG | PE) == OK and guest.vcpu.mmu.root is root
    assert guest.set_cr3(vcpu=0, value=0x2000) == OK and guest.vcpu.mmu.root is root
    assert guest.requests() == {LOAD, FLUSH_GUEST}
