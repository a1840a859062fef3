# SPDX-License-Identifier: GPL-2.0-only
"""Instructions of a guest whose tables are shadowed: exits, exceptions, emulation, retries, MMIO."""

import pytest
from guest_story import PAE, PE, PG, READY, SMAP, WP, D, GuestStory, U
from machine_story import RELEASES

from conformance.interface.access import FETCH, READ, WRITE, End, Exit, Instruction, Privilege
from conformance.interface.steps import READONLY

USER, WITH_AC = Privilege.USER, Privilege.SUPERVISOR_AC
XADD = Instruction.XADD
TABLE = 0x10000
"""Where the guest maps its page table of level 1, gfn 4."""


@pytest.fixture(params=RELEASES)
def release(request):
    return request.param


@pytest.fixture
def guest(release):
    guest = GuestStory(release).chain(READY, READY, READY, READY)
    return guest.entry(4, 1, 9 << 12 | READY).entry(4, 16, 4 << 12 | READY).long_mode()


def pte(gfn, bits=READY):
    return gfn << 12 | bits


def test_values_go_through_memory(guest):
    assert guest.put(8, 0x1122334455667788) == [Exit.FIXED]
    assert guest.value(8) == 0x1122334455667788 and guest.value(0) == 0
    done = guest.run(8, WRITE, 2, instruction=XADD)
    assert done.exits == () and done.words[2] == 0x112233445566778A
    assert guest.seen.memory[-1].value == 0x112233445566778A
    assert guest.run(4).end is End.FAILED, "not aligned"
    assert guest.run(1 << 47).end is End.FAILED, "not canonical"


def test_exceptions_of_the_guest(guest):
    fault = guest.run(0x2008, WRITE, privilege=USER)
    assert (fault.end, fault.words) == (End.EXCEPTION, (14, 6, 0x2008))
    assert fault.exits == ((6, Exit.RETRY),)
    guest.entry(4, 0, pte(8, READY & ~U))
    assert guest.run(0, privilege=USER).words == (14, 5, 0)
    assert guest.seen.shadow.vcpus[0].pf_guest == 2


def test_smap_is_the_processors(guest):
    guest.set_cr4(vcpu=0, value=PAE | SMAP)
    assert guest.run(0, privilege=USER).end is End.DONE
    assert guest.run(0).words == (14, 1, 0)
    assert guest.run(0, privilege=WITH_AC).end is End.DONE


def test_a_clean_entry_is_made_dirty_by_kvm(guest):
    guest.entry(4, 0, pte(8, READY & ~D))
    assert guest.value(0) == 0
    assert guest.run(0, WRITE, 1).exits == ((3, Exit.FIXED),)
    assert guest.machine.vm.host.frames.read(guest.machine.vm.host.pfn_of(4), 0) == pte(8)


def test_a_write_to_an_upper_table_is_emulated(guest):
    """Table 3, of level 2, stays read-only; the page that its entry shadowed is zapped."""
    guest.entry(4, 17, pte(3))
    guest.value(0)
    tables = len(guest.seen.shadow.pages)
    emulated = guest.run(0x11000, WRITE, 0)
    assert (emulated.end, emulated.words) == (End.EMULATED, (0, 0, 0))
    assert emulated.exits[-1][1] == Exit.EMULATE
    assert guest.run(0).end is End.EXCEPTION
    assert len(guest.seen.shadow.pages) <= tables


def test_an_instruction_that_writes_no_tables_unprotects(guest):
    """Table 6 is one of level 2 that does not translate the address itself, as table 3 does."""
    guest.entry(2, 1, pte(6)).entry(6, 0, pte(5)).entry(5, 0, pte(8)).entry(4, 17, pte(6))
    guest.value(1 << 30)
    freed = guest.run(0x11008, WRITE, 1, instruction=XADD)
    assert [code for _, code in freed.exits] == [Exit.UNPROTECTED, Exit.FIXED]
    assert freed.end is End.DONE
    guest.entry(4, 18, pte(3))
    again = guest.run(0x12008, WRITE, 1, instruction=XADD)
    assert [code for _, code in again.exits] == [Exit.UNPROTECTED, Exit.EMULATE]
    assert again.end is End.EMULATED


def test_a_leaf_table_is_not_emulated(guest):
    guest.value(0)
    assert Exit.EMULATE not in guest.put(TABLE, pte(9))
    assert guest.value(0) == 0
    guest.invlpg(vcpu=0, address=0)
    assert guest.run(0).words[1] == guest.machine.vm.host.pfn_of(9)


def test_mmio_ends_in_userspace(guest):
    guest.entry(4, 2, 0x800000 << 12 | READY)
    write = guest.run(0x2010, WRITE, 5)
    assert (write.end, write.words) == (End.USERSPACE, (6, 0x800000010, 1))
    read = guest.run(0x2010)
    assert (read.end, read.words) == (End.USERSPACE, (6, 0x800000010, 0))
    assert [code for _, code in read.exits] == [100 + Exit.EMULATE]
    fetch = guest.run(0x2010, FETCH)
    assert (fetch.end, fetch.words) == (End.USERSPACE, (17, 0, 0))
    assert guest.run(0x2010, FETCH, privilege=USER).words == (6, 0, 0)


def test_a_read_only_memslot_is_mmio_for_writes(release):
    guest = GuestStory(release).slot(64, gfn=0x1000, page=256, flags=READONLY, slot=1)
    guest.chain(READY, READY, READY, READY, gfn=0x1000).long_mode()
    assert guest.value(0) == 0
    assert guest.run(0, WRITE, 1).words == (6, 0x1000000, 1)


def test_32_bit_guests_have_words_of_four_bytes(release):
    guest = GuestStory(release)
    guest.entry(1, 0, 2 << 12 | READY).entry(2, 0, 8 << 12 | READY)
    guest.long_mode(cr0=PE | PG | WP, cr4=0, efer=0)
    assert guest.run(4, WRITE, 0x1_2345_6789).words[2] == 0x23456789
    assert guest.value(0) == 0 and guest.value(4) == 0x23456789
    assert guest.run(1 << 32).end is End.FAILED


def test_without_paging_addresses_are_physical(release):
    guest = GuestStory(release).long_mode(cr0=PE, cr4=0, efer=0)
    guest.put(0x8010, 7)
    assert guest.value(0x8010) == 7
    assert guest.seen.memory[-1].at == 2
    assert guest.run(0x800000, READ).end is End.USERSPACE


def test_with_two_dimensional_paging_addresses_are_physical(release):
    guest = GuestStory(release, mode="npt")
    guest.put(0x8010, 7)
    assert guest.value(0x8010) == 7
    assert guest.seen.shadow is None


def test_mmio_of_a_32_bit_guest_is_recognised(release):
    """Its root has four entries, which are no SPTEs."""
    guest = GuestStory(release)
    guest.entry(1, 0, 2 << 12 | READY).entry(2, 0, 0xFEC00000 | READY)
    guest.long_mode(cr0=PE | PG | WP, cr4=0, efer=0)
    assert guest.run(0x10).words == (6, 0xFEC00010, 0)
    guest.invlpg(vcpu=0, address=0)
    again = guest.run(0x10)
    assert again.words == (6, 0xFEC00010, 0)
    assert [code for _, code in again.exits] == [100 + Exit.EMULATE]
