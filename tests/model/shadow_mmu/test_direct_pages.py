# SPDX-License-Identifier: GPL-2.0-only
"""The direct MMU without the TDP MMU: what must hold after every step, and what its pages count."""

import random

import pytest

from conformance.interface.access import FETCH, READ, WRITE
from conformance.model.machine import Machine
from conformance.model.modes import VM_MODES
from conformance.model.profiles import profile_of
from conformance.model.shadow_mmu.shadowed import kvm_mmu_page_get_gfn
from conformance.model.spte.predicates import is_last_spte, is_shadow_present_pte
from conformance.model.vm.pte_list import PTE_LIST_EXT, PteList, Sptep
from conformance.model.vm.shadow_page import ShadowPage

RELEASES = (6, 1), (6, 12), (7, 2), (7, 3)
MODES = "legacy-ept-ad", "legacy-ept-noad", "legacy-npt"
LOG = 1


def present(vm, sp):
    return {at: spte for at, spte in sp.entries.items() if is_shadow_present_pte(vm.k, spte)}


def check(vm):
    """The counts, the lists and the rmaps agree with the entries of the pages."""
    shadow = vm.shadow
    active = shadow.active_mmu_pages
    hashed = [sp for pages in shadow.mmu_page_hash.values() for sp in pages]
    assert len(set(hashed)) == len(hashed) and set(active) <= set(hashed)
    assert shadow.n_used_mmu_pages == len(hashed)
    valid = [(sp.gfn, sp.role) for sp in active if sp.mmu_valid_gen == shadow.mmu_valid_gen]
    assert len(set(valid)) == len(valid)
    leaves = {1: 0, 2: 0, 3: 0}
    for sp in active:
        for at, spte in present(vm, sp).items():
            if is_last_spte(vm.k, spte, sp.level):
                leaves[sp.level] += 1
                gfn = kvm_mmu_page_get_gfn(vm, sp, at)
                rmap = shadow.rmaps[sp.as_id, sp.level, gfn >> 9 * (sp.level - 1)]
                assert list(rmap).count(Sptep(sp, at)) == 1
            else:
                child = vm.memory.child(spte, sp.level)
                assert isinstance(child, ShadowPage) and not child.invalid
                assert list(child.parent_ptes).count(Sptep(sp, at)) == 1
    assert vm.pages == leaves and sum(map(len, shadow.rmaps.values())) == sum(leaves.values())
    assert sum(len(sp.parent_ptes) for sp in active) == sum(len(present(vm, sp)) for sp in active) - sum(
        leaves.values()
    )
    roots = [vcpu.mmu.root for vcpu in vm.vcpus if vcpu.mmu.root is not None]
    for sp in {*active, *roots}:
        assert sp.root_count == roots.count(sp)


def drawn(rng):
    page, gfn = rng.choice((0, 5, 511, 512, 900)), rng.choice((0, 5, 511, 512, 900, 1500, 3000))
    vcpu = rng.randrange(2)
    return rng.choice(
        [
            ("access", {"vcpu": vcpu, "gfn": gfn, "kind": rng.choice((READ, WRITE, FETCH))}),
            ("access", {"vcpu": vcpu, "gfn": gfn + rng.randrange(9), "kind": WRITE}),
            ("touch", {"page": page + rng.randrange(3), "write": 1}),
            ("madvise_dontneed", {"page": page, "npages": rng.choice((1, 600))}),
            ("wrprotect", {"page": page, "npages": 3}),
            ("collapse", {"page": page}),
            ("clear_young", {"page": page, "npages": 700}),
            ("get_dirty_log", {"slot": 0, "as_id": 0}),
            ("set_nx_huge_pages", {"on": rng.randrange(2)}),
            ("recover_nx_huge_pages", {}),
            ("smm", {"vcpu": vcpu, "on": rng.randrange(2)}),
            ("resched", {"on": rng.randrange(2)}),
            ("set_memory_region", region(rng.choice((0, 0, LOG)), rng.choice((0, 2048, 2048)))),
        ]
    )


def region(flags, npages=2048, gfn=0):
    return {"slot": 0, "as_id": 0, "gfn": gfn, "npages": npages, "page": 0, "flags": flags}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("release", RELEASES, ids=str)
def test_pages_rmaps_and_counts_agree_after_every_step(release, mode):
    rng = random.Random(f"{release} {mode}")
    for _ in range(3):
        machine = Machine(profile_of(release), VM_MODES[mode], vcpus=2, nx_huge_pages=1, pml=0)
        machine.step("mmap", page=0, npages=2048, writable=1, level=2)
        machine.step("set_memory_region", **region(0))
        for _ in range(70):
            name, arguments = drawn(rng)
            assert machine.step(name, **arguments).events == []
            check(machine.vm)
        assert machine.step("destroy").outcome == [0, 0, 0]


def story(mode="legacy-ept-ad", release=(6, 1), level=1, npages=2048, **options):
    machine = Machine(profile_of(release), VM_MODES[mode], **options)
    machine.step("mmap", page=0, npages=npages, writable=1, level=level)
    machine.step("set_memory_region", **region(0, npages))
    return machine


def test_pages_that_the_host_has_mapped_writable_are_prefetched_around_that_of_the_fault():
    machine = story()
    for page in (8, 9, 10, 12):
        machine.step("touch", page=page, write=1)
    machine.step("touch", page=11, write=0)
    leaves = machine.step("access", vcpu=0, gfn=9, kind=READ).shadow.pages[-1].entries
    # The range 10 to 15 ends at the zero page; what lies behind is not looked at.
    assert [entry.at for entry in leaves] == [8, 9, 10]


def test_nothing_is_prefetched_without_accessed_bits():
    machine = story("legacy-ept-noad")
    for page in (8, 9):
        machine.step("touch", page=page, write=1)
    assert len(machine.step("access", vcpu=0, gfn=9, kind=READ).shadow.pages[-1].entries) == 1


def test_the_oldest_pages_are_zapped_beyond_the_limit_and_roots_are_kept():
    machine = story(level=1, npages=512 * 80)
    for n in range(70):
        seen = machine.step("access", vcpu=0, gfn=512 * n, kind=WRITE)
        check(machine.vm)
        counters = seen.shadow.counters
        assert counters.n_used_mmu_pages <= counters.n_max_mmu_pages == 819
    machine.vm.shadow.n_max_mmu_pages = 74
    seen = machine.step("access", vcpu=0, gfn=512 * 71, kind=WRITE)
    check(machine.vm)
    assert seen.shadow.counters.mmu_recycled >= 20 and seen.shadow.pages[0].root_count == 1


def test_a_deleted_memslot_leaves_nothing_but_the_obsolete_root():
    machine = story()
    machine.step("access", vcpu=0, gfn=1, kind=WRITE)
    seen = machine.step("set_memory_region", **region(0, 0))
    [root] = seen.shadow.pages
    assert root.role.invalid and root.root_count == 1 and not root.entries
    assert seen.shadow.counters.n_used_mmu_pages == 1 and seen.shadow.rmaps == []
    assert machine.step("enter", vcpu=0).shadow.pages[0].role.invalid == 0


def test_the_state_of_shadow_paging_is_the_same_object_while_it_is_unchanged():
    machine = Machine(profile_of((6, 1)), VM_MODES["legacy-npt"])
    machine.step("mmap", page=0, npages=16, writable=1, level=1)
    machine.step("set_memory_region", slot=0, as_id=0, gfn=0, npages=16, page=0, flags=0)
    first = machine.step("access", vcpu=0, gfn=1, kind=2).shadow
    assert machine.step("touch", page=9, write=1).shadow is first
    mapped = machine.step("access", vcpu=0, gfn=2, kind=2).shadow
    assert mapped.rmaps != first.rmaps and mapped.pages != first.pages
    discarded = machine.step("madvise_dontneed", page=0, npages=16).shadow
    assert discarded.rmaps != mapped.rmaps


@pytest.mark.parametrize("release", RELEASES, ids=str)
def test_lists_of_sptes_keep_what_is_added_whatever_is_removed(release):
    rng, kept = random.Random(0), []
    listed = PteList(Machine(profile_of(release), VM_MODES["legacy-npt"]).vm.k)
    for n in range(200):
        if kept and rng.random() < 0.4:
            listed.remove(kept.pop(rng.randrange(len(kept))))
        else:
            kept.append(Sptep(None, n))
            listed.add(kept[-1])
        assert sorted(at for _, at in listed) == sorted(at for _, at in kept) and len(listed) == len(kept)
        assert all(0 < len(one) <= PTE_LIST_EXT for one in listed.descriptors)
        if release != (6, 1):
            assert all(len(one) == PTE_LIST_EXT for one in listed.descriptors[1:])
    listed.clear()
    assert not [*listed] and not listed


def test_the_newest_descriptor_comes_first_since_6_4():
    for release, first in (((6, 1), 0), ((6, 12), 14)):
        listed = PteList(Machine(profile_of(release), VM_MODES["legacy-npt"]).vm.k)
        for n in range(15):
            listed.add(Sptep(None, n))
        assert next(iter(listed)).at == first
