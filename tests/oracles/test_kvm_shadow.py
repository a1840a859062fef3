# SPDX-License-Identifier: GPL-2.0-only
"""The kvm oracle without the TDP MMU: legacy direct MMU and shadow paging, and what is observed of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from kvm_guests import FULL, NX, PS, A, D, P, U, W, guest
from kvm_machines import give_memory

from conformance.interface.access import MMIO_EXIT, WRITE, End, Exit, Instruction, Privilege
from conformance.interface.observation import MemoryWord, Observation, ShadowView
from conformance.interface.outcomes import ExecuteOutcome
from conformance.model.modes import VM_MODES
from conformance.oracles.kvm.oracle import KvmOracle

pytestmark = pytest.mark.kernel


def shadow_of(seen: Observation) -> ShadowView:
    assert seen.events == []
    assert seen.shadow is not None
    return seen.shadow


@pytest.mark.parametrize("mode", ["legacy-ept-ad", "legacy-ept-noad", "legacy-npt"])
def test_the_legacy_mmu_maps_and_unmaps(kvm_library: Path, mode: str) -> None:
    with KvmOracle(kvm_library, VM_MODES[mode].host()) as machine:
        give_memory(machine)
        seen = machine.step("access", vcpu=0, gfn=5, kind=WRITE)
        assert seen.outcome == [Exit.FIXED, End.DONE]
        assert seen.roots == []
        assert seen.tlb == [[]]
        shadow = shadow_of(seen)
        levels = [page.role.level for page in shadow.pages]
        assert levels == [4, 3, 2, 1]
        (root,) = (vcpu.root for vcpu in shadow.vcpus)
        assert [page.serial for page in shadow.pages if page.root_count] == [root]
        (leaf,) = shadow.pages[-1].entries
        assert (leaf.at, leaf.child, leaf.spte >> 12 & 0xFFFFFFFFFF) == (5, 0, 0x100200)
        assert [(rmap.gfn, rmap.sptes) for rmap in shadow.rmaps if rmap.level == 1] == [(5, 1)]
        ((translation,),) = (vcpu.tlb for vcpu in shadow.vcpus)
        assert (translation.root, translation.page, translation.pfn) == (root, 5, 0x100200)
        after = shadow_of(machine.step("madvise_dontneed", page=5, npages=1))
        assert [rmap for rmap in after.rmaps if rmap.level == 1] == []
        assert after.pages[-1].entries == ()
        assert machine.step("destroy").outcome == [0, 0, 0]


def test_a_huge_page_is_counted_by_its_head(kvm_library: Path) -> None:
    with KvmOracle(kvm_library, VM_MODES["legacy-ept-ad"].host()) as machine:
        machine.step("mmap", page=0, npages=1024, writable=1, level=2)
        machine.step("set_memory_region", slot=0, as_id=0, gfn=0, npages=1024, page=0, flags=0)
        seen = shadow_of(machine.step("access", vcpu=0, gfn=600, kind=WRITE))
        assert [(rmap.gfn, rmap.sptes) for rmap in seen.rmaps if rmap.level == 2] == [(512, 1)]
        gone = machine.step("destroy")
        # KVM warns of frames without references in what it zaps.
        assert gone.events == []
        assert gone.outcome == [0, 0, 0]


def test_with_the_tdp_mmu_there_is_no_shadow_paging(machine: KvmOracle) -> None:
    assert machine.step("enter", vcpu=0).shadow is None


def test_shadow_paging_begins_with_a_root_for_cr3(kvm_library: Path) -> None:
    with KvmOracle(kvm_library, VM_MODES["shadow"].host(), {"vcpus": 2}) as machine:
        give_memory(machine)
        seen = shadow_of(machine.step("enter", vcpu=1))
        idle, entered = seen.vcpus
        assert (idle.root, entered.root) == (0, seen.pages[0].serial)
        assert (seen.pages[0].role.level, seen.pages[0].role.direct) == (4, 0)
        # The gfn of the guest's table is write-protected, and tracked.
        assert [(rmap.gfn, rmap.write_track) for rmap in seen.rmaps if rmap.level == 1] == [(0, 1)]
        assert seen.counters.indirect_shadow_pages == 1
        # By gfn there is no access: the guest has linear addresses.
        assert machine.step("access", vcpu=1, gfn=0, kind=WRITE).outcome == [-22, End.FAILED]
        assert machine.step("destroy").outcome == [0, 0, 0]


def test_content_belongs_to_a_frame(machine: KvmOracle) -> None:
    machine.step("mmap", page=0, npages=1024, writable=1, level=2)
    machine.step("set_memory_region", slot=0, as_id=0, gfn=0, npages=1024, page=0, flags=0)
    first = machine.step("store", gfn=5, index=3, value=1 << 63)
    assert first.outcome == [0]
    (word,) = first.memory
    assert (word.at, word.value) == (3, 1 << 63)
    # A copy has its content, and keeps it when the other one changes.
    machine.step("madvise_dontneed", page=0, npages=1)
    merged = machine.step("ksm_merge", page=5)
    (_, copy) = merged.memory
    assert (copy.at, copy.value) == (3, 1 << 63)
    written = machine.step("store", gfn=5, index=4, value=7)
    pfn = max(one.pfn for one in written.memory)
    assert pfn > copy.pfn
    assert [one for one in written.memory if one.pfn == pfn] == [
        MemoryWord(pfn, 3, 1 << 63),
        MemoryWord(pfn, 4, 7),
    ]
    collapsed = machine.step("collapse", page=5).memory
    huge = max(one.pfn for one in collapsed)
    assert huge % 512 == 5
    assert [one[1:] for one in collapsed if one.pfn == huge] == [(3, 1 << 63), (4, 7)]
    # What is discarded is lost to the guest; the frame keeps it.
    machine.step("madvise_dontneed", page=5, npages=1)
    again = machine.step("store", gfn=5, index=0, value=1).memory
    fresh = max(one.pfn for one in again)
    assert [one for one in again if one.pfn == fresh] == [MemoryWord(fresh, 0, 1)]
    assert again[:-1] == collapsed


def test_userspace_stores_only_where_it_has_memory(machine: KvmOracle) -> None:
    give_memory(machine)
    assert machine.step("store", gfn=64, index=0, value=1).outcome == [-14]


BASE = 0x40000000
"""Where the guests here map their pages."""


def test_a_read_and_then_a_write(kvm_library: Path) -> None:
    with guest(kvm_library) as it:
        it.touch(5)
        it.map(BASE, 5)
        it.load()
        done = it.read(BASE + 8)
        assert [exit[1] for exit in done.exits] == [Exit.FIXED]
        assert (done.end, done.words[0], done.words[2]) == (End.DONE, 1, 0)
        # The guest's entry is accessed, and clean: the SPTE is read-only.
        (page,) = it.pages(it.table_of(BASE, 1))
        (entry,) = page.entries
        assert (entry.gfn, entry.access & 7, entry.spte & W) == (5, 5, 0)
        pfn = entry.spte >> 12 & 0xFFFFFFFFFF
        written = it.write(BASE + 8, 77)
        assert written.exits == ((P | W, Exit.FIXED),)
        assert written == (written.exits, End.DONE, (1, pfn, 77))
        assert MemoryWord(pfn, 1, 77) in it.seen.memory
        # KVM has set Dirty in the guest's entry.
        assert 5 << 12 | FULL | D in [word.value for word in it.seen.memory]
        assert it.read(BASE + 8) == ((), End.DONE, (1, pfn, 77))


def test_the_guest_takes_its_own_faults(kvm_library: Path) -> None:
    with guest(kvm_library) as it:
        it.touch(5, 6)
        it.map(BASE, 5, P | A)
        it.map(BASE + 0x1000, 6, FULL | NX)
        it.map(BASE + 0x2000, 7, FULL | 1 << 51)
        it.load()

        def fault(done: ExecuteOutcome) -> tuple[int, int]:
            assert done.end == End.EXCEPTION
            vector, code, address = done.words
            assert vector == 14
            return code, address

        assert fault(it.read(BASE + 0x3000)) == (0, BASE + 0x3000)
        assert fault(it.write(BASE + 0x3000, privilege=Privilege.USER)) == (W | U, BASE + 0x3000)
        assert fault(it.read(BASE, privilege=Privilege.USER)) == (P | U, BASE)
        assert fault(it.write(BASE + 0x10)) == (P | W, BASE + 0x10)
        assert fault(it.fetch(BASE + 0x1000)) == (P | 16, BASE + 0x1000)
        assert fault(it.read(BASE + 0x2000)) == (P | 8, BASE + 0x2000)
        assert it.shadow.vcpus[0].pf_guest == 6


def test_supervisor_access_to_user_pages(kvm_library: Path) -> None:
    with guest(kvm_library) as it:
        it.touch(5)
        it.map(BASE, 5, FULL | D)
        it.load()
        assert it.read(BASE).end == End.DONE
        smep, smap = 1 << 20, 1 << 21
        assert it.take("set_cr4", vcpu=0, value=0x20 | smep | smap).outcome == [0]
        assert it.read(BASE).words[:2] == (14, P)
        assert it.fetch(BASE).words[:2] == (14, P | 16)
        assert it.read(BASE, privilege=Privilege.SUPERVISOR_AC).end == End.DONE
        assert it.fetch(BASE, privilege=Privilege.USER).end == End.DONE
        # In long mode PAE cannot go.
        assert it.take("set_cr4", vcpu=0, value=0).outcome == [1]


def test_a_leaf_table_goes_unsync_until_invlpg(kvm_library: Path) -> None:
    with guest(kvm_library) as it:
        it.touch(5, 6)
        table = it.table_of(BASE, 1)
        it.map(BASE, 5, FULL | D)
        it.map(BASE + 0x1000, table, FULL | D)
        it.load()
        before = it.read(BASE).words[1]
        assert it.write(BASE + 0x1000, 6 << 12 | FULL | D).end == End.DONE
        (page,) = it.pages(table)
        assert page.unsync == 1
        assert it.shadow.counters.mmu_unsync == 1
        (upper,) = it.pages(it.table_of(BASE, 2))
        assert (upper.unsync_children, [entry.unsync for entry in upper.entries]) == (1, [1])
        assert it.read(BASE).words[1] == before
        it.take("invlpg", vcpu=0, address=BASE)
        after = it.read(BASE)
        assert after.words[1] == before + 1
        # A MOV to CR3 synchronises what is left.
        it.load()
        it.take("enter", vcpu=0)
        assert it.shadow.counters.mmu_unsync == 0


def test_an_upper_table_that_is_written_is_emulated(kvm_library: Path) -> None:
    with guest(kvm_library) as it:
        it.touch(5)
        it.map(BASE, 5, FULL | D)
        directory = it.table_of(BASE, 2)
        it.map(BASE + 0x1000, directory, FULL | D)
        it.load()
        assert it.read(BASE).end == End.DONE
        done = it.write(BASE + 0x1000 + 8 * 7, 0)
        assert (done.end, done.words) == (End.EMULATED, (0, 0, 0))
        assert [exit[1] for exit in done.exits][-1] == Exit.EMULATE
        assert it.shadow.counters.mmu_pte_write == 1
        # The entry that maps all this.
        assert it.write(BASE + 0x1000, 0).end == End.EMULATED
        (page,) = it.pages(directory)
        assert page.entries == ()
        it.take("invlpg", vcpu=0, address=BASE)
        assert it.read(BASE).end == End.EXCEPTION


def test_what_does_not_write_tables_unprotects_them(kvm_library: Path) -> None:
    with guest(kvm_library) as it:
        it.touch(5)
        directory = it.table_of(BASE, 2)
        it.map(BASE, 5, FULL | D)
        # Through another directory, so that the table to unprotect is not in use.
        away = BASE + (1 << 30)
        it.map(away, directory, FULL | D)
        it.load()
        assert it.read(BASE).end == End.DONE
        assert len(it.pages(directory)) == 1
        done = it.write(away + 8 * 9, 5, instruction=Instruction.XADD)
        assert (done.end, done.words[2]) == (End.DONE, 5)
        assert it.pages(directory) == []
        again = it.write(away + 8 * 9, 5, instruction=Instruction.XADD)
        assert (again.exits, again.words[2]) == ((), 10)


def test_mmio_ends_in_userspace(kvm_library: Path) -> None:
    with guest(kvm_library) as it:
        it.map(BASE, 5000, FULL | D)
        it.load()
        mmio, internal_error = 6, 17
        assert it.read(BASE + 16)[1:] == (End.USERSPACE, (mmio, 5000 << 12 | 16, 0))
        again = it.write(BASE + 16)
        assert again == (((P | W | 8, Exit.EMULATE + MMIO_EXIT),), End.USERSPACE, (mmio, 5000 << 12 | 16, 1))
        assert it.fetch(BASE).words[0] == internal_error
        assert it.fetch(BASE, privilege=Privilege.USER)[1:] == (End.EXCEPTION, (6, 0, 0))


def test_kvm_faults_the_guests_tables_in(kvm_library: Path) -> None:
    with guest(kvm_library) as it:
        it.take("set_cr3", vcpu=0, value=700 << 12)
        frames = {word.pfn for word in it.seen.memory}
        assert frames == set()
        # The host has never seen the root: KVM reads zeros, and the guest's entry is absent.
        assert it.read(BASE)[1:] == (End.EXCEPTION, (14, 0, BASE))
        # Written, it becomes a frame of its own, of which KVM is notified.
        before = it.seen.state
        it.take("store", gfn=700, index=0, value=0)
        assert it.seen.state is not None and before is not None
        assert it.seen.state.invalidate_seq == before.invalidate_seq + 1


@pytest.mark.parametrize("cr4", [0, 0x10, 0x20], ids=["2-level", "pse", "pae"])
def test_guests_of_32_bits(kvm_library: Path, cr4: int) -> None:
    with guest(kvm_library) as it:
        it.touch(16, 17, 18, 19)
        if cr4 == 0x20:
            it.take("store", gfn=16, index=1, value=17 << 12 | P)
            it.take("store", gfn=17, index=0, value=18 << 12 | FULL)
            it.take("store", gfn=18, index=0, value=19 << 12 | FULL | D)
        else:
            pde = 19 << 12 | FULL if not cr4 else FULL | D | PS
            it.take("store", gfn=16, index=128, value=pde)
            it.take("store", gfn=19, index=0, value=19 << 12 | FULL | D)
        sregs = {"cr0": 0x80010001, "cr4": cr4, "efer": 0, "cr3": 16 << 12}
        assert it.take("set_sregs", vcpu=0, **sregs).outcome == [0]
        done = it.write(BASE + 4, 0x1_8000_0001)
        assert (done.end, done.words[2]) == (End.DONE, 0x8000_0001)
        roots = [serial for serial in it.shadow.vcpus[0].pae_roots if serial]
        assert roots and it.shadow.vcpus[0].root == 0
        assert it.shadow.vcpus[0].root_role.level == 3
        # Addresses have 32 bits, and words are aligned.
        for address in (1 << 32, BASE + 2):
            assert it.read(address) == ((), End.FAILED, (-22, 0, 0))


def test_a_guest_without_paging(kvm_library: Path) -> None:
    with guest(kvm_library) as it:
        assert it.take("set_sregs", vcpu=0, cr0=0x10001, cr4=0, efer=0, cr3=0).outcome == [0]
        assert it.write(0x5008, 9)[1:] == (End.DONE, (1, it.seen.memory[-1].pfn, 9))
        assert {page.role.direct for page in it.shadow.pages} == {1}
        # MMIO of a guest in real mode is emulated with its prefixes.
        assert it.take("set_sregs", vcpu=0, cr0=0x10000, cr4=0, efer=0, cr3=0).outcome == [0]
        assert it.write(5000 << 12, 9)[1:] == (End.USERSPACE, (6, 5000 << 12, 1))


def test_five_levels(kvm_library: Path) -> None:
    with guest(kvm_library, level=5) as it:
        it.map(1 << 50, 5, FULL | D)
        sregs = {"cr0": 0x80010001, "cr4": 0x1020, "efer": 0xD00, "cr3": it.root << 12}
        assert it.take("set_sregs", vcpu=0, **sregs).outcome == [0]
        assert it.write(1 << 50, 9).end == End.DONE
        assert it.shadow.vcpus[0].root_role.level == 5


def test_pcids_tag_translations(kvm_library: Path) -> None:
    with guest(kvm_library) as it:
        it.touch(5)
        it.map(BASE, 5, FULL | D)
        it.load()
        assert it.take("set_cr4", vcpu=0, value=0x20020).outcome == [0]
        assert it.read(BASE).end == End.DONE
        # A new root flushes everything, a cached one nothing.
        for pcid in (3, 0, 3):
            it.take("set_cr3", vcpu=0, value=1 << 63 | it.root << 12 | pcid)
            assert it.read(BASE).end == End.DONE
        assert [(one.pcid, one.page) for one in it.shadow.vcpus[0].tlb] == [(0, BASE >> 12), (3, BASE >> 12)]
        assert it.shadow.vcpus[0].prev_roots[0][1] == it.root << 12
        # INVLPG drops both; INVPCID of all asks for a flush of the guest's TLB.
        it.take("invlpg", vcpu=0, address=BASE)
        assert it.shadow.vcpus[0].tlb == ()
        assert it.take("invpcid", vcpu=0, type=3, address=BASE).outcome == [1]
        assert it.seen.vcpus[0].other_requests == 1 << 4


def test_the_limit_of_shadow_pages(kvm_library: Path) -> None:
    with guest(kvm_library) as it:
        assert it.take("set_nr_mmu_pages", n=100).outcome == [0]
        assert it.shadow.counters.n_max_mmu_pages == 100
        assert it.take("set_nr_mmu_pages", n=5).outcome == [-22]


def test_with_two_dimensional_paging_an_address_is_physical(machine: KvmOracle) -> None:
    give_memory(machine)
    seen = machine.step(
        "execute", vcpu=0, address=0x5008, kind=WRITE, privilege=0, value=1 << 63, instruction=0
    )
    done = ExecuteOutcome.read(seen.outcome)
    assert [exit[1] for exit in done.exits] == [Exit.FIXED]
    assert (done.end, done.words[2]) == (End.DONE, 1 << 63)
    assert [word[1:] for word in seen.memory] == [(1, 1 << 63)]
    mmio = machine.step("execute", vcpu=0, address=0x5000008, kind=WRITE, privilege=0, value=1, instruction=0)
    assert ExecuteOutcome.read(mmio.outcome)[1:] == (End.USERSPACE, (6, 0x5000008, 1))
    assert mmio.events == []


def test_a_root_in_no_memslot(kvm_library: Path) -> None:
    """KVM shuts the guest down; since v6.6 it runs it with a dummy root, the zero page, and faults."""
    with guest(kvm_library) as it:
        it.take("set_cr3", vcpu=0, value=5000 << 12)
        done = it.read(BASE)
        assert done.end in (End.USERSPACE, End.EXCEPTION)
        shutdown, page_fault = 8, 14
        assert done.words[0] == (shutdown if done.end == End.USERSPACE else page_fault)
        assert it.shadow.vcpus[0].root == 0
        it.map(BASE, 5, FULL | D)
        it.load()
        assert it.read(BASE).end == End.DONE
