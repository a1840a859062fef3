# SPDX-License-Identifier: GPL-2.0-only
"""Shadow pages are freed while another vCPU walks through them or looks one up, or two vCPUs make one."""

from __future__ import annotations

from typing import Any

from conformance.interface.access import Instruction
from conformance.races.race import RaceBuilder, race
from conformance.races.stories.guest_entries import NOT_PAGING
from conformance.races.stories.setting import GFN, READ, WRITE, memory
from conformance.races.stories.shadowed_guest import NPAGES, OLD, shadowed
from conformance.scenarios.modes import DIRECT_MODES, LEGACY_MODES
from conformance.scenarios.stories.guest_tables import ALIAS, CR4, EFER, SHADOW, VA
from conformance.scenarios.stories.setting import memory as area

MMIO = 0x180
"""A gfn without a memslot, in the same 2M as the memslot of these races."""
SLOT_1 = 0x1000
"""The first gfn of another memslot."""


@race(source="mmu.c: get_mmio_spte(), walk_shadow_page_lockless_begin()", modes=DIRECT_MODES)
def mmio_walk_against_zapping(at: RaceBuilder) -> None:
    """KVM walks the page tables without mmu_lock to an MMIO SPTE, and a memslot is deleted: all are freed.

    Until the walk is over no table may be freed that it has reached.
    """
    memory(at)
    at.first.access(gfn=MMIO, kind=READ).access(gfn=MMIO + 1, kind=READ).enter()
    at.thread("vcpu0").access(gfn=MMIO, kind=READ)
    at.thread("user").set_memory_region(slot=0, gfn=0x100, npages=0, page=0)
    at.thread("rcu").grace_period()
    at.last.enter().grace_period().destroy()


@race(source="mmu.c: shadow_page_table_clear_flood(), kvm_mmu_unprotect_page()", modes=SHADOW, vcpus=2)
def flood_cleared_against_zapping(at: RaceBuilder) -> None:
    """A write to a page table clears counts on the way to it, without mmu_lock, and a page there is zapped.

    Until the walk is over no shadow page may be freed that it has reached.
    """
    tables, _ = shadowed(at, data=[OLD])
    # A page directory that maps itself, so that few pages are shadowed.
    entry = tables.entry(ALIAS, 2)
    at.first.execute(vcpu=0, address=tables.at(entry), kind=READ)
    at.first.set_sregs(vcpu=1, cr0=NOT_PAGING, cr4=CR4, efer=EFER, cr3=tables.cr3)
    at.first.execute(vcpu=1, address=tables.physical(entry), kind=READ)
    write = {"address": tables.at(entry), "kind": WRITE, "value": tables.read(entry)}
    at.thread("vcpu0").execute(vcpu=0, **write)
    # KVM does not emulate XADD, so the table is zapped.
    add = {"address": tables.physical(entry), "kind": WRITE, "value": 0, "instruction": Instruction.XADD}
    at.thread("vcpu1").execute(vcpu=1, **add)
    at.last.enter(vcpu=0).enter(vcpu=1)


@race(source="mmu.c: kvm_mmu_free_roots(), kvm_mmu_find_shadow_page()", modes=SHADOW, vcpus=2)
def root_freed_against_lookup(at: RaceBuilder) -> None:
    """A memslot was deleted. One vCPU frees its obsolete root, and another looks for a page of that gfn.

    The obsolete root can be found until it is freed.
    """
    first: Any = at.first
    area(first, gfn=SLOT_1, npages=16, page=NPAGES, slot=1)
    shadowed(at, data=[OLD])
    for vcpu in range(2):
        at.first.execute(vcpu=vcpu, address=VA, kind=READ)
        at.thread(f"vcpu{vcpu}").enter(vcpu=vcpu)
    at.first.set_memory_region(slot=1, gfn=SLOT_1, npages=0, page=0)
    for vcpu in range(2):
        at.last.execute(vcpu=vcpu, address=VA, kind=READ)


@race(source="mmu.c: direct_page_fault(), __direct_map()", modes=LEGACY_MODES, vcpus=2)
def two_vcpus_link_one_page(at: RaceBuilder) -> None:
    """Two vCPUs fault on neighbouring pages, both for want of the same shadow page, with rmaps.

    The second to take mmu_lock finds the first one's page.
    """
    memory(at, neighbour=False)
    at.first.enter(vcpu=0).enter(vcpu=1)
    at.thread("vcpu0").access(vcpu=0, gfn=GFN, kind=WRITE)
    at.thread("vcpu1").access(vcpu=1, gfn=GFN + 1, kind=WRITE)
    at.last.destroy()
