# SPDX-License-Identifier: GPL-2.0-only
"""The kvm oracle on 5.10: legacy direct MMU, shadow paging and guests of the guest, but no TDP MMU."""

from __future__ import annotations

from pathlib import Path

import pytest
from kvm_guests import FULL, D, P, W, guest
from kvm_machines import give_memory

from conformance.interface.access import READ, WRITE, End, Exit
from conformance.interface.observation import MemoryWord
from conformance.kernels import Cache, open_kernel
from conformance.model.modes import VM_MODES
from conformance.oracles.kvm.build import CannotBuild, build_kvm
from conformance.oracles.kvm.oracle import KvmOracle
from conformance.oracles.lacking import Lacking

LEGACY = ("legacy-ept-ad", "legacy-ept-noad", "legacy-npt")
BASE = 0x40000000

pytestmark = pytest.mark.kernel


@pytest.fixture(scope="module")
def old_library() -> Path:
    return build_kvm(open_kernel("5.10"), Cache(), lambda message: None, tdp_mmu=False)


def write(machine: KvmOracle, gfn: int, vcpu: int = 0) -> list[int]:
    return machine.step("access", vcpu=vcpu, gfn=gfn, kind=WRITE).outcome


def test_an_old_kernel_has_no_tdp_mmu(old_library: Path) -> None:
    with pytest.raises(CannotBuild, match=r"^5\.10: the kvm oracle needs a TDP MMU .* off by default$"):
        build_kvm(open_kernel("5.10"), Cache(), lambda message: None)
    with pytest.raises(Lacking, match="this kernel's TDP MMU is not looked into"):
        KvmOracle(old_library, VM_MODES["ept-ad"].host())


@pytest.mark.parametrize("mode", LEGACY)
def test_an_old_kernel_logs_dirty_pages(old_library: Path, mode: str) -> None:
    with KvmOracle(old_library, VM_MODES[mode].host(), {"vcpus": 2}) as machine:
        give_memory(machine)
        assert write(machine, 1) == [Exit.FIXED, End.DONE]
        assert machine.step("access", vcpu=1, gfn=2, kind=READ).outcome == [Exit.FIXED, End.DONE]
        region = {"slot": 0, "as_id": 0, "gfn": 0, "npages": 64, "page": 0, "flags": 1}
        machine.step("set_memory_region", **region)
        assert write(machine, 1) == [Exit.FIXED, End.DONE]
        # The zero page is copied, which is an invalidation, so that the first fault is stale.
        assert write(machine, 2) == [Exit.RETRY, Exit.FIXED, End.DONE]
        assert machine.step("get_dirty_log", slot=0, as_id=0).outcome == [0, 0b110]
        assert write(machine, 100) == [Exit.EMULATE, End.EMULATED]
        gone = machine.step("destroy")
    assert (gone.outcome, gone.events) == ([0, 0, 0], [])


@pytest.mark.parametrize("mode", LEGACY)
def test_an_old_kernel_hears_the_host(old_library: Path, mode: str) -> None:
    with KvmOracle(old_library, VM_MODES[mode].host()) as machine:
        give_memory(machine)
        for gfn in (1, 2):
            assert write(machine, gfn) == [Exit.FIXED, End.DONE]
        assert machine.step("clear_flush_young", page=1, npages=1).outcome == [1]
        assert machine.step("test_young", page=1).outcome == [0]
        assert machine.step("test_young", page=2).outcome == [1]
        gone = machine.step("madvise_dontneed", page=2, npages=1)
        assert (gone.state.invalidate_in_progress, gone.state.invalidate_seq) == (0, 1)
        assert machine.step("test_young", page=2).outcome == [0]
        assert write(machine, 2) == [Exit.FIXED, End.DONE]
        assert machine.step("destroy").outcome == [0, 0, 0]


@pytest.mark.parametrize("mode", LEGACY)
def test_an_old_kernel_maps_huge_pages(old_library: Path, mode: str) -> None:
    with KvmOracle(old_library, VM_MODES[mode].host()) as machine:
        machine.step("mmap", page=0, npages=1024, writable=1, level=2)
        machine.step("set_memory_region", slot=0, as_id=0, gfn=0, npages=1024, page=0, flags=0)
        seen = machine.step("access", vcpu=0, gfn=600, kind=WRITE)
        assert seen.shadow is not None
        assert [(rmap.gfn, rmap.sptes) for rmap in seen.shadow.rmaps if rmap.level == 2] == [(512, 1)]
        gone = machine.step("destroy")
    assert (gone.outcome, gone.events) == ([0, 0, 0], [])


def test_an_old_kernel_sets_accessed_and_dirty_in_the_guests_tables(old_library: Path) -> None:
    with guest(old_library) as it:
        it.touch(5)
        it.map(BASE, 5, FULL & ~0x20)
        it.load()
        done = it.read(BASE + 8)
        assert [exit[1] for exit in done.exits] == [Exit.FIXED]
        assert 5 << 12 | FULL in [word.value for word in it.seen.memory]
        (page,) = it.pages(it.table_of(BASE, 1))
        (entry,) = page.entries
        # It keeps the gfn of a translation, and no rights.
        assert (entry.gfn, entry.access, entry.spte & W) == (5, 0, 0)
        pfn = entry.spte >> 12 & 0xFFFFFFFFFF
        written = it.write(BASE + 8, 77)
        assert written == (((P | W, Exit.FIXED),), End.DONE, (1, pfn, 77))
        assert MemoryWord(pfn, 1, 77) in it.seen.memory
        assert 5 << 12 | FULL | D in [word.value for word in it.seen.memory]


@pytest.mark.parametrize("mode", LEGACY)
def test_an_old_kernel_shadows_the_tables_of_l1(old_library: Path, mode: str) -> None:
    ept, ad = mode != "legacy-npt", int(mode == "legacy-ept-ad")
    with guest(old_library, mode) as l1:
        l1.touch(20, *range(100, 104))
        for gfn in range(100, 103):
            l1.take("store", gfn=gfn, index=0, value=(gfn + 1) << 12 | 7)
        l1.take("store", gfn=103, index=7, value=20 << 12 | (7 | 6 << 3 if ept else FULL | D))
        written = l1.write(20 << 12 | 8, 42)
        l1.take("enter_l2", vcpu=0, address=100 << 12 | (0x1E | ad << 6 if ept else 0), ad=ad, exec_only=1)
        done = l1.read(7 << 12 | 8)
        assert [exit[1] for exit in done.exits] == [Exit.FIXED]
        assert done[1:] == (End.DONE, (1, written.words[1], 42))
        assert l1.write(9 << 12 | 8).end == End.NESTED_EXIT
        l1.take("leave_l2", vcpu=0)
        assert l1.read(20 << 12 | 8).words == written.words
