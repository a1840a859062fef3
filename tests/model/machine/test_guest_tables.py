# SPDX-License-Identifier: GPL-2.0-only
"""Walks of the guest's page tables in memory: translations, rights, faults, and Accessed and Dirty."""

import pytest
from machine_story import RELEASES, Story

from conformance.interface.steps import LOG, READONLY
from conformance.model.guest_paging.cpu_role import kvm_calc_cpu_role, vcpu_to_role_regs
from conformance.model.guest_tables.walker import GuestWalker, walk_addr
from conformance.model.vm.kvm_pagewalk import X86Exception

GFN = 0x100
"""The first of the guest's gfns."""
P, W, U, A, D, PS, NX = 1, 2, 4, 1 << 5, 1 << 6, 1 << 7, 1 << 63
LEAF = P | W | U | A | D
READ, WRITE, USER, FETCH = 0, 2, 4, 16
PG, WP, PAE, PSE, SMEP, SMAP, PKE = 1 << 31, 1 << 16, 1 << 5, 1 << 4, 1 << 20, 1 << 21, 1 << 22
LME, LMA, NXE = 1 << 8, 1 << 10, 1 << 11


class Guest(Story):
    """A guest whose tables are at its first gfns."""

    def __init__(self, *arguments, flags=0, **options):
        super().__init__(*arguments, **options)
        self.area().slot(gfn=GFN, flags=flags)
        self.vm, self.vcpu = self.machine.vm, self.machine.vm.vcpus[0]
        self.mode()

    def mode(self, cr0=PG | WP, cr4=PAE, efer=LME | LMA | NXE, cr3=GFN << 12):
        """Set the registers, and the role that they give."""
        self.vcpu.cr0, self.vcpu.cr4, self.vcpu.efer, self.vcpu.cr3 = cr0, cr4, efer, cr3
        role = kvm_calc_cpu_role(
            self.vm.k, vcpu_to_role_regs(self.vm.k, cr0, cr4, efer), smm=False, guest_mode=False
        )
        self.vcpu.gva_walk.cpu_role = role
        return self

    def entry(self, table, index, value):
        """Write an entry of 8 bytes; ``table`` counts gfns from the first."""
        assert self.store(gfn=GFN + table, index=index, value=value) == [0]
        return self

    def peek(self, table, index):
        return self.vm.host.frames.read(self.vm.host.pfn_of(table), index)

    def chain(self, *flags):
        """Tables 0, 1, ... each with one entry at index 0; the last maps the gfn 0x777."""
        for n, bits in enumerate(flags):
            last = n == len(flags) - 1
            self.entry(n, 0, (0x777 if last else GFN + n + 1) << 12 | bits)
        return self

    def walk(self, address, access=READ):
        return walk_addr(self.vm, self.vcpu, self.vcpu.gva_walk, address, access)

    def gfn(self, address, access=READ):
        found = self.walk(address, access)
        assert isinstance(found, GuestWalker), found
        return found.gfn

    def code(self, address, access=READ):
        found = self.walk(address, access)
        assert isinstance(found, X86Exception), found
        assert found.address == address
        return found.error_code


@pytest.mark.parametrize("release", RELEASES)
def test_four_levels(release):
    guest = Guest(release).chain(LEAF, LEAF, LEAF, LEAF)
    walker = guest.walk(0x123)
    assert (walker.level, walker.max_level, walker.gfn) == (1, 4, 0x777)
    assert walker.table_gfn[:4] == [GFN + 3, GFN + 2, GFN + 1, GFN]
    assert walker.pte_access == guest.vm.k.layout.acc_all
    assert guest.code(0x1000) == 0
    assert guest.code(0x1000, WRITE | USER | FETCH) == WRITE | USER | FETCH


def test_large_pages():
    guest = Guest().chain(LEAF, LEAF)
    guest.entry(1, 1, 0x40000 << 12 | LEAF | PS)
    assert guest.gfn(1 << 30 | 0x3456 << 12) == 0x40000 + 0x3456
    guest.entry(1, 2, GFN + 2 << 12 | LEAF).entry(2, 3, 0x200 << 12 | LEAF | PS)
    assert guest.gfn(2 << 30 | 3 << 21 | 5 << 12) == 0x205
    assert guest.entry(2, 3, 0x202 << 12 | LEAF | PS).code(2 << 30 | 3 << 21) == 9, "a reserved bit"


def test_five_levels_and_reserved_bits():
    guest = Guest().mode(cr4=PAE | 1 << 12).chain(LEAF, LEAF, LEAF, LEAF, LEAF)
    assert guest.gfn(0) == 0x777
    assert guest.entry(4, 0, 1 << 48 | LEAF).code(0) == 9
    assert guest.entry(4, 0, 0x777 << 12 | LEAF | NX).gfn(0) == 0x777
    guest.mode(cr4=PAE | 1 << 12, efer=LME | LMA)
    assert guest.code(0, FETCH) == 9, "NX is reserved, and no code reports a fetch"


def test_pae_takes_its_pdptes_from_registers():
    guest = Guest().mode(efer=NXE)
    guest.vcpu.pdptrs[1] = GFN << 12 | P
    guest.chain(LEAF, LEAF)
    assert guest.gfn(1 << 30) == 0x777
    assert guest.code(0) == 0
    assert guest.walk(1 << 30).max_level == 2


def test_32_bit_tables():
    guest = Guest().mode(cr4=PSE, efer=0)
    guest.entry(0, 0, (GFN + 1 << 12 | LEAF) << 32 | GFN + 2 << 12 | LEAF)
    guest.entry(1, 511, (0x345 << 12 | LEAF) << 32)
    assert guest.gfn((1 << 22) + (1023 << 12)) == 0x345
    guest.entry(0, 1, 0xC00000 | 3 << 13 | LEAF | PS)
    assert guest.gfn((2 << 22) + 0x5000) == (3 << 20) + 0xC00 + 5, "PSE36"
    assert guest.entry(0, 1, 0xC00000 | 1 << 21 | LEAF | PS).code(2 << 22) == 9
    guest.mode(cr4=0, efer=0).entry(0, 1, GFN + 1 << 12 | LEAF | PS)
    assert guest.gfn((2 << 22) + (1023 << 12)) == 0x345, "without PSE, bit 7 is ignored"


@pytest.mark.parametrize("release", RELEASES)
def test_rights(release):
    guest = Guest(release).chain(LEAF, LEAF, LEAF ^ W, LEAF | NX)
    assert guest.code(0, WRITE | USER) == P | WRITE | USER
    assert guest.code(0, FETCH) == P | FETCH
    assert guest.walk(0).pte_access == guest.vm.k.layout.acc_all & ~(W | guest.vm.k.layout.acc_exec_mask)
    assert guest.code(0, WRITE) == P | WRITE
    assert guest.mode(cr0=PG).gfn(0, WRITE) == 0x777
    guest.chain(LEAF, LEAF ^ U, LEAF, LEAF)
    assert guest.code(0, USER) == P | USER
    guest.chain(LEAF, LEAF, LEAF, LEAF).mode(cr4=PAE | SMEP | SMAP)
    assert guest.code(0, READ) == P and guest.code(0, FETCH) == P | FETCH
    assert guest.gfn(0, USER) == 0x777
    guest.vcpu.eflags_ac = True
    assert guest.gfn(0, READ) == 0x777


def test_protection_keys():
    guest = Guest().mode(cr4=PAE | PKE).chain(LEAF, LEAF, LEAF, LEAF | 3 << 59)
    assert guest.gfn(0, WRITE) == 0x777
    guest.vcpu.pkru = 2 << 6
    assert guest.gfn(0, READ) == 0x777
    assert guest.code(0, WRITE) == P | WRITE | 1 << 5
    guest.vcpu.pkru = 1 << 6
    assert guest.code(0, USER) == P | USER | 1 << 5
    assert guest.gfn(0, FETCH) == 0x777


def test_accessed_and_dirty():
    guest = Guest(flags=LOG).chain(P | W | U, P | W | U, P | W | U, P | W | U)
    walker = guest.walk(0)
    assert not walker.pte_access & W, "the first write must set Dirty"
    assert [guest.peek(n, 0) & (A | D) for n in range(4)] == [A] * 4
    assert walker.ptes[0] & A
    assert guest.get_dirty_log(slot=0, as_id=0)[:2] == [0, 15]
    assert guest.walk(0, WRITE).pte_access & W
    assert [guest.peek(n, 0) & (A | D) for n in range(4)] == [A, A, A, A | D]
    assert guest.get_dirty_log(slot=0, as_id=0)[:2] == [0, 1 << 3]
    guest.walk(0, WRITE)
    assert guest.get_dirty_log(slot=0, as_id=0)[:2] == [0, 0]


def test_read_only_tables_are_not_changed():
    guest = Guest(flags=READONLY).chain(P | W | U, P | W | U, P | W | U, P | W | U)
    assert guest.gfn(0, WRITE) == 0x777
    assert [guest.peek(n, 0) & (A | D) for n in range(4)] == [0] * 4


def test_tables_outside_of_memory():
    assert Guest().mode(cr3=0x5000).code(0, USER) == USER
    assert Guest().chain(LEAF, LEAF).entry(1, 0, 0x5000 | LEAF).code(0) == 0


R, EW, X = 1, 2, 4
WB = 6 << 3


@pytest.mark.parametrize("release", RELEASES)
def test_nested_ept(release):
    guest = Guest(release)
    w = guest.vcpu.ngpa_walk
    w.ept, w.pgd, w.execonly = True, GFN << 12 | 6, True
    w.cpu_role = w.cpu_role._replace(level=4)
    guest.chain(R | EW | X, R | EW | X, R | EW | X, R | X | WB)

    def walk(access):
        return walk_addr(guest.vm, guest.vcpu, w, 0, access)

    later = release >= (7, 2)
    assert walk(USER).gfn == 0x777
    assert guest.peek(0, 0) & 0x300 == 0x100, "Accessed"
    fault = walk(WRITE)
    assert fault.nested_page_fault and fault.error_code == P | WRITE
    assert fault.exit_qualification == (0x180 if later else 0) | 2 | (R | X) << 3
    guest.entry(3, 0, 0x777 << 12 | X | WB)
    assert walk(USER).exit_qualification == (0x180 if later else 0) | 1 | X << 3
    assert walk(FETCH).gfn == 0x777
    guest.entry(3, 0, 0x777 << 12 | EW | WB)
    assert walk(USER).error_code == P | 8 | USER
    w.ad_disabled = True
    guest.chain(R | EW | X, R | EW | X, R | EW | X, R | X | WB)
    assert walk(USER).gfn == 0x777
    assert not guest.peek(0, 0) & 0x300


@pytest.mark.parametrize("release", RELEASES)
def test_nested_npt(release):
    guest = Guest(release, mode="npt")
    w = guest.vcpu.ngpa_walk
    w.cpu_role, w.pgd = guest.vcpu.gva_walk.cpu_role, GFN << 12
    guest.chain(LEAF, LEAF, LEAF, LEAF ^ U)
    fault = walk_addr(guest.vm, guest.vcpu, w, 0, USER | 1 << 32)
    assert fault.error_code == P | USER | (1 << 32 if release >= (7, 2) else 0)
    guest.entry(3, 0, 0x777 << 12 | LEAF)
    guest.vcpu.guest_mode = True
    # L2's own tables are at its physical addresses 0x1000 up, of which L1 maps only the first.
    guest.entry(3, 1, GFN + 4 << 12 | LEAF).entry(4, 0, 0x2000 | LEAF)
    guest.vcpu.cr3 = 0x1000
    fault = guest.walk(0x5678)
    assert fault.nested_page_fault and fault.address == 0x2000
    assert fault.error_code == WRITE | USER | (1 << 33 if release >= (7, 2) else 0)
