# SPDX-License-Identifier: GPL-2.0-only
"""The state of shadow paging in an observation: shadow pages, reverse maps and counters."""

from __future__ import annotations

from copy import copy
from functools import lru_cache
from operator import attrgetter, itemgetter

from conformance.interface.observation import Counters, PageEntry, RmapView, ShadowPageView, ShadowView, views
from conformance.model.layout import PAGE_SHIFT, PG_LEVEL_1G, PG_LEVEL_2M, PG_LEVEL_4K, SPTE_BASE_ADDR_MASK
from conformance.model.machine.paging_view import paging_view, role_view
from conformance.model.machine.stepped_vm import SteppedVm
from conformance.model.spte.predicates import is_last_spte, is_shadow_present_pte
from conformance.model.vm.cells import peek
from conformance.model.vm.memslots import KvmMemorySlot
from conformance.model.vm.mmu_pages import KvmMmuPage
from conformance.model.vm.shadow_page import RootTable, ShadowPage
from conformance.model.vm.vm import Vm

__all__ = ["shadow_view"]

_COUNTERS = attrgetter(*Counters._fields)
_COUNT = attrgetter("count")
_PLACE = attrgetter("as_id", "id", "base_gfn", "npages", "page")
_FIRST = itemgetter(0)
_SHOWN = itemgetter(
    "role",
    "invalid",
    "unsync",
    "unsync_children",
    "root_count",
    "write_flooding_count",
    "mmu_valid_gen",
    "nx_huge_page_disallowed",
    "shadowed_translation",
    "unsync_child_bitmap",
)
"""What is shown of a shadow page besides its entries, with which ``shown`` is dropped, and its parents."""


def shadow_view(vm: SteppedVm) -> ShadowView | None:
    """The state of shadow paging; None while the VM uses the TDP MMU alone.

    It is the same object again while it is unchanged.
    """
    if vm.tdp_mmu_enabled and not vm.has_run_l2:
        return None
    view = ShadowView(
        Counters._make(_COUNTERS(vm.shadow)),
        [paging_view(vcpu) for vcpu in vm.vcpus],
        [_page(vm, sp) for sp in [*vm.shadow.active_mmu_pages, *_zapped_roots(vm)]],
        _rmaps(vm),
    )
    if vm.shadow_shown != view:
        vm.shadow_shown = view
    return vm.shadow_shown


def _zapped_roots(vm: Vm) -> list[ShadowPage]:
    """Pages that were zapped while they were roots, as vCPUs have them: current, cached, below PAE roots."""
    roots: list[KvmMmuPage | None] = []
    for vcpu in vm.vcpus:
        for mmu in (vcpu.root_mmu, vcpu.guest_mmu):
            roots += (mmu.root, *map(_FIRST, mmu.prev_roots))
            if mmu.pae_root is not None:
                roots += _pae_roots(vm, mmu.pae_root)
    shadow_pages = [root for root in dict.fromkeys(roots) if isinstance(root, ShadowPage)]
    return [root for root in shadow_pages if peek(root, "invalid")]


def _pae_roots(vm: Vm, pae_root: RootTable) -> list[KvmMmuPage | None]:
    sptes = pae_root.entries.values()
    return [vm.memory.by_serial.get((spte & SPTE_BASE_ADDR_MASK) >> PAGE_SHIFT) for spte in sptes]


def _page(vm: Vm, sp: ShadowPage) -> ShadowPageView:
    """The page; the same object again while it is unchanged, since most pages are unchanged by most steps."""
    now = _SHOWN(vars(sp))  # As peek(): observing is no access.
    parents = sp.parent_ptes.count
    if sp.shown is not None and sp.shown[0] == now and sp.shown[1] == parents:
        seen: ShadowPageView = sp.shown[2]
        return seen
    role, invalid, unsync, unsync_children, root_count, flooding, valid_gen, nx, translation, bitmap = now
    view = ShadowPageView(
        serial=sp.serial,
        gfn=sp.gfn,
        role=role_view(role._replace(invalid=int(invalid))),
        unsync=int(unsync),
        unsync_children=unsync_children,
        root_count=root_count,
        parents=parents,
        write_flooding_count=flooding,
        mmu_valid_gen=valid_gen,
        nx_huge_page_disallowed=int(nx),
        entries=tuple([_entry(vm, sp, at) for at in sorted(sp.entries)]),
    )
    sp.shown = (*now[:-2], copy(translation), copy(bitmap)), parents, view
    return view


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


def _rmaps(vm: SteppedVm) -> list[RmapView]:
    """What is kept per gfn and level of each memslot, where it is not 0; the same object if unchanged."""
    shadow = vm.shadow
    slots = [slot for memslots in vm.memslots for slot in memslots.slots.values()]
    sptes = dict(zip(shadow.rmaps, map(_COUNT, shadow.rmaps.values()), strict=True))
    # As dicts, which are compared faster than Counters.
    now = ([*map(_PLACE, slots)], sptes, dict(shadow.disallow_lpage), dict(shadow.gfn_write_track))
    if vm.rmaps_shown[0] != now:
        vm.rmaps_shown = now, _rmaps_of(vm, slots, sptes)
    return vm.rmaps_shown[1]


def _rmaps_of(vm: Vm, slots: list[KvmMemorySlot], sptes: dict[tuple[int, int, int], int]) -> list[RmapView]:
    shadow = vm.shadow
    exist = {(slot.as_id, slot.id) for slot in slots}
    found: dict[tuple[int, int, int, int], list[int]] = {}
    """The last three fields, by address space, memslot, level and number of the page at this level."""
    for slot in slots:
        for level, unit in _unaligned(slot.base_gfn, slot.npages, slot.page):
            found[slot.as_id, slot.id, level, unit] = [0, 1, 0]
    for key, disallowed in shadow.disallow_lpage.items():
        if disallowed and key[:2] in exist:
            found.setdefault(key, [0, 0, 0])[1] += disallowed
    counts = [(*key, 0, count) for key, count in sptes.items()]
    counts += [
        (as_id, PG_LEVEL_4K, gfn, 2, tracked) for (as_id, gfn), tracked in shadow.gfn_write_track.items()
    ]
    ranges = [(slot.as_id, slot.id, slot.base_gfn, slot.end_gfn - 1) for slot in slots]
    for as_id, level, unit, field, count in counts:
        if not count:
            continue
        shift = 9 * (level - 1)
        for of, slot_id, first, last in ranges:
            if of == as_id and first >> shift <= unit <= last >> shift:
                found.setdefault((as_id, slot_id, level, unit), [0, 0, 0])[field] = count
    rows = [
        (as_id, level, unit << 9 * (level - 1), *fields) for (as_id, _, level, unit), fields in found.items()
    ]
    return views(RmapView, sorted(rows))


@lru_cache(maxsize=1 << 10)
def _unaligned(base_gfn: int, npages: int, page: int) -> list[tuple[int, int]]:
    """Level and number of each page that a memslot cannot map by one SPTE as long as it exists."""
    slot = KvmMemorySlot(0, 0, base_gfn, npages, page, 0)
    found = []
    for level in (PG_LEVEL_2M, PG_LEVEL_1G):
        shift = 9 * (level - 1)
        first, last = base_gfn >> shift, slot.end_gfn - 1 >> shift
        differ = (base_gfn ^ page) & (1 << shift) - 1
        units = range(first, last + 1) if differ else {first, last}
        found += [(level, unit) for unit in units if slot.disallow_lpage(unit << shift, level)]
    return found
