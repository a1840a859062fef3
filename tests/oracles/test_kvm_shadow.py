# SPDX-License-Identifier: GPL-2.0-only
"""The kvm oracle without the TDP MMU: legacy direct MMU and shadow paging, and what is observed of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from kvm_machines import give_memory

from conformance.interface.access import WRITE, End, Exit
from conformance.interface.observation import MemoryWord, Observation, ShadowView
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
