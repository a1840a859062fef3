# SPDX-License-Identifier: GPL-2.0-only
"""The state of shadow paging in an observation: shadow pages, reverse maps and counters."""

from __future__ import annotations

from conformance.interface.observation import Counters, PageEntry, RmapView, ShadowPageView, ShadowView, views
from conformance.model.layout import PG_LEVEL_1G, PG_LEVEL_4K, SPTE_BASE_ADDR_MASK
from conformance.model.machine.paging_view import paging_view, role_view
from conformance.model.machine.stepped_vm import SteppedVm
from conformance.model.spte.predicates import is_last_spte, is_shadow_present_pte
from conformance.model.vm.memslots import KvmMemorySlot
from conformance.model.vm.mmu_pages import KvmMmuPage
from conformance.model.vm.shadow_page import RootTable, ShadowPage
from conformance.model.vm.vm import Vm

__all__ = ["shadow_view"]


def shadow_view(vm: SteppedVm) -> ShadowView | None:
    """The state of shadow paging; None while the VM uses the TDP MMU alone."""
    if vm.tdp_mmu_enabled and not vm.has_run_l2:
        return None
    return ShadowView(
        _counters(vm),
        [paging_view(vcpu) for vcpu in vm.vcpus],
        [_page(vm, sp) for sp in [*vm.shadow.active_mmu_pages, *_zapped_roots(vm)]],
        _rmaps(vm),
    )


def _counters(vm: Vm) -> Counters:
    shadow = vm.shadow
    return Counters(
        mmu_shadow_zapped=shadow.mmu_shadow_zapped,
        mmu_pte_write=shadow.mmu_pte_write,
        mmu_pde_zapped=shadow.mmu_pde_zapped,
        mmu_flooded=shadow.mmu_flooded,
        mmu_recycled=shadow.mmu_recycled,
        mmu_cache_miss=shadow.mmu_cache_miss,
        mmu_unsync=shadow.mmu_unsync,
        n_used_mmu_pages=shadow.n_used_mmu_pages,
        n_max_mmu_pages=shadow.n_max_mmu_pages,
        indirect_shadow_pages=shadow.indirect_shadow_pages,
    )


def _zapped_roots(vm: Vm) -> list[ShadowPage]:
    """Pages that were zapped while they were roots, as vCPUs have them: current, cached, below PAE roots."""
    found: dict[ShadowPage, None] = {}
    for vcpu in vm.vcpus:
        for mmu in (vcpu.root_mmu, vcpu.guest_mmu):
            roots = [mmu.root, *(root for root, _ in mmu.prev_roots), *_pae_roots(vm, mmu.pae_root)]
            found |= {root: None for root in roots if isinstance(root, ShadowPage) and root.invalid}
    return [*found]


def _pae_roots(vm: Vm, pae_root: RootTable | None) -> list[KvmMmuPage | None]:
    entries = pae_root.entries if pae_root is not None else {}
    return [vm.memory.by_serial.get((entries.get(n, 0) & SPTE_BASE_ADDR_MASK) >> 12) for n in range(4)]


def _page(vm: Vm, sp: ShadowPage) -> ShadowPageView:
    return ShadowPageView(
        serial=sp.serial,
        gfn=sp.gfn,
        role=role_view(sp.role._replace(invalid=int(sp.invalid))),
        unsync=int(sp.unsync),
        unsync_children=sp.unsync_children,
        root_count=sp.root_count,
        parents=len(sp.parent_ptes),
        write_flooding_count=sp.write_flooding_count,
        mmu_valid_gen=sp.mmu_valid_gen,
        nx_huge_page_disallowed=int(sp.nx_huge_page_disallowed),
        entries=tuple(_entry(vm, sp, at) for at in sorted(sp.entries)),
    )


def _entry(vm: Vm, sp: ShadowPage, at: int) -> PageEntry:
    spte, unsync = sp.entries[at], int(at in sp.unsync_child_bitmap)
    child = vm.memory.child(spte, sp.level)
    if child is not None:
        return PageEntry(at, vm.memory.without_address(spte), child.serial, 0, 0, unsync)
    gfn = access = 0
    if sp.shadowed_translation is not None and is_shadow_present_pte(vm.k, spte):
        assert is_last_spte(vm.k, spte, sp.level)
        gfn, access = sp.shadowed_translation[at]
    return PageEntry(at, spte, 0, gfn, access, unsync)


def _rmaps(vm: Vm) -> list[RmapView]:
    """What is kept per gfn and level of each memslot, where it is not 0."""
    shadow = vm.shadow
    rows = []
    for memslots in vm.memslots:
        for slot in memslots.slots.values():
            for level in range(PG_LEVEL_4K, PG_LEVEL_1G + 1):
                for unit, disallowed in _units(vm, slot, level).items():
                    sptes = len(shadow.rmaps.get((slot.as_id, level, unit), ()))
                    gfn = unit << 9 * (level - 1)
                    tracked = shadow.gfn_write_track[slot.as_id, gfn] if level == PG_LEVEL_4K else 0
                    if sptes or disallowed or tracked:
                        rows.append((slot.as_id, level, gfn, sptes, disallowed, tracked))
    return views(RmapView, sorted(rows))


def _units(vm: Vm, slot: KvmMemorySlot, level: int) -> dict[int, int]:
    """The pages of a level in a memslot that may have anything, with the count of disallow_lpage."""
    shadow, shift = vm.shadow, 9 * (level - 1)
    first, last = slot.base_gfn >> shift, slot.end_gfn - 1 >> shift
    units = dict.fromkeys(
        [
            unit
            for as_id, at, unit in shadow.rmaps
            if (as_id, at) == (slot.as_id, level) and first <= unit <= last
        ],
        0,
    )
    if level == PG_LEVEL_4K:
        tracked = [
            gfn for as_id, gfn in shadow.gfn_write_track if as_id == slot.as_id and first <= gfn <= last
        ]
        return units | dict.fromkeys(tracked, 0)
    for (as_id, slot_id, at, unit), count in shadow.disallow_lpage.items():
        if (as_id, slot_id, at) == (slot.as_id, slot.id, level):
            units[unit] = count
    whole = (slot.base_gfn ^ slot.page) & (1 << shift) - 1
    for unit in range(first, last + 1) if whole else {first, last}:
        if slot.disallow_lpage(unit << shift, level):
            units[unit] = units.get(unit, 0) + 1
    return units
