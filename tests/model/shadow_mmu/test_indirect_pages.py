# SPDX-License-Identifier: GPL-2.0-only
"""Faults of a guest whose tables are shadowed: its pages, prefetch, unsync, INVLPG, writes to tables."""

import pytest

from conformance.interface.access import READ, WRITE, End, Exit
from conformance.model.machine import Machine
from conformance.model.modes import VM_MODES
from conformance.model.profiles import profile_of

READY, TABLE = 0x67, 0x07
"""Present, writable, for users; of a page also accessed and dirty."""
VA, OWN = 0x3000, 0xC000
"""An address of data, and the one at which the guest finds its table of level 1."""
RELEASES = [(6, 1), (6, 12), (7, 3)]


class Guest:
    """A guest with tables at gfns 0x10 to 0x13, and data at 0x100 to 0x10b from address 0 on."""

    def __init__(self, release):
        self.machine = Machine(profile_of(release), VM_MODES["shadow"])
        self.step("mmap", page=0, npages=0x400, writable=1, level=1)
        self.step("set_memory_region", slot=0, as_id=0, gfn=0, npages=0x400, page=0, flags=0)
        for gfn in (0x10, 0x11, 0x12):
            self.store(gfn, 0, gfn + 1 << 12 | TABLE)
        for n in range(12):
            self.store(0x13, n, 0x100 + n << 12 | READY)
            self.store(0x100 + n, 0, 0x100 + n)
        self.store(0x13, OWN >> 12, 0x13000 | READY)
        self.step("set_sregs", vcpu=0, cr0=0x80010001, cr4=0x20, efer=0x900, cr3=0x10000)

    def step(self, name, **arguments):
        self.seen = self.machine.step(name, **arguments)
        assert not self.seen.events
        return self.seen.outcome

    def store(self, gfn, index, value):
        assert self.step("store", gfn=gfn, index=index, value=value) == [0]

    def execute(self, address, kind, value=0):
        """How KVM handled each exit, how the instruction ended, and the word."""
        found = self.step(
            "execute", vcpu=0, address=address, kind=kind, privilege=0, value=value, instruction=0
        )
        return found[1:-4:2], found[-4], found[-1]

    def page(self, level):
        (found,) = [sp for sp in self.seen.shadow.pages if sp.role.level == level]
        return found

    def sptes(self):
        return {entry.at: entry.gfn for entry in self.page(1).entries}


@pytest.mark.parametrize("release", RELEASES)
def test_a_fault_shadows_each_table_and_maps_what_is_around_it(release):
    guest = Guest(release)
    assert guest.execute(VA, READ) == ([Exit.FIXED], End.DONE, 0x103)
    assert [(sp.gfn, sp.role.level) for sp in guest.seen.shadow.pages] == [
        *[(0x10, 4), (0x11, 3), (0x12, 2), (0x13, 1)]
    ]
    assert guest.sptes() == {n: 0x100 + n for n in range(8)}


@pytest.mark.parametrize(("release", "mapped"), [((6, 1), True), ((6, 12), False), ((7, 3), False)])
def test_a_written_table_is_unsync_and_stale_until_invlpg(release, mapped):
    guest = Guest(release)
    guest.execute(VA, READ)
    assert guest.execute(OWN + 8 * 3, WRITE, 0x108000 | READY)[1] == End.DONE
    assert guest.page(1).unsync and guest.page(4).unsync_children == 1
    assert guest.execute(VA, READ) == ([], End.DONE, 0x103)
    guest.step("invlpg", vcpu=0, address=VA)
    assert (guest.sptes().get(3) == 0x108) is mapped
    assert guest.execute(VA, READ)[1:] == (End.DONE, 0x108)


@pytest.mark.parametrize("release", RELEASES)
def test_loading_cr3_syncs_and_protects(release):
    guest = Guest(release)
    guest.execute(VA, READ)
    guest.execute(OWN + 8 * 3, WRITE, 0x108000 | READY)
    guest.step("set_cr3", vcpu=0, value=0x10000)
    assert guest.execute(VA, READ)[1:] == (End.DONE, 0x108)
    assert not guest.page(1).unsync and not guest.page(4).unsync_children
    assert guest.execute(OWN + 8 * 4, WRITE, 0)[0] == [Exit.FIXED]


@pytest.mark.parametrize("release", RELEASES)
def test_a_write_to_an_upper_table_is_emulated_and_unlinks_the_next(release):
    guest = Guest(release)
    guest.store(0x13, OWN >> 12, 0x12000 | READY)
    guest.execute(VA, READ)
    exits, end, _ = guest.execute(OWN, WRITE, 0x14000 | TABLE)
    assert exits[-1] == Exit.EMULATE and end == End.EMULATED
    assert not guest.page(2).entries
    assert guest.seen.shadow.counters.mmu_pte_write == guest.seen.shadow.counters.mmu_pde_zapped == 1
    assert guest.page(1).gfn == 0x13 and guest.page(1).parents == 0
