# SPDX-License-Identifier: GPL-2.0-only
"""The observation of the model's machine after a step. Observing changes nothing."""

from __future__ import annotations

from operator import attrgetter

from conformance.interface.observation import (
    Observation,
    RetiredTable,
    RootView,
    SlotView,
    State,
    TlbEntry,
    VcpuView,
    views,
)
from conformance.model.machine.shadow_view import shadow_view
from conformance.model.machine.stepped_vm import SteppedVm
from conformance.model.spte.predicates import is_shadow_present_pte
from conformance.model.vm.mmu_pages import KvmMmuPage
from conformance.model.vm.vm import KvmVcpu, Request, Vm

__all__ = ["observe"]

_PF_COUNTS = attrgetter(*[field for field in State._fields if field.startswith("pf_")])
"""The counts of a vCPU that are summed."""

REQUEST_BITS = {
    Request.MMU_FREE_OBSOLETE_ROOTS: 1,
    Request.MMU_SYNC: 2,
    Request.LOAD_MMU_PGD: 4,
    Request.TLB_FLUSH_CURRENT: 8,
    Request.TLB_FLUSH_GUEST: 16,
}
"""The bits of ``VcpuView.other_requests``."""


def observe(vm: SteppedVm, outcome: list[int], events: list[str]) -> Observation:
    """The observation after a step: its outcome, the WARNs that it caused, and the state of the VM.

    What is unchanged is the same object again, so lists must not be changed.
    """
    if vm.destroyed:
        return Observation(outcome, events)
    places = {id(root): n for n, root in enumerate(vm.roots)}
    return Observation(
        outcome,
        events,
        _state(vm),
        [_vcpu(vcpu, places) for vcpu in vm.vcpus],
        [_tlb(vcpu, places) for vcpu in vm.vcpus],
        _slots(vm),
        [_root(vm, root) for root in vm.roots],
        _retired(vm),
        vm.host.frames.listed(),
        shadow_view(vm),
    )


def _state(vm: Vm) -> State:
    return State._make(
        (
            vm.mmu_invalidate_in_progress,
            vm.mmu_invalidate_seq,
            vm.memslots[0].generation,
            vm.remote_tlb_flush_requests,
            vm.remote_tlb_flush,
            *map(vm.pages_mapped, (1, 2, 3)),
            vm.nx_lpage_splits,
            *map(sum, zip(*map(_PF_COUNTS, vm.vcpus), strict=True)),
        )
    )


def _vcpu(vcpu: KvmVcpu, places: dict[int, int]) -> VcpuView:
    requests = vcpu.requests
    other = sum([REQUEST_BITS.get(request, 0) for request in requests]) if requests else 0
    root = places.get(id(vcpu.root_mmu.root), -1)
    return VcpuView(root, int(Request.TLB_FLUSH in requests), other, vcpu.flushes, int(vcpu.smm))


def _slots(vm: Vm) -> list[SlotView]:
    rows = [
        (slot.as_id, slot.id, slot.base_gfn, slot.npages, slot.flags, tuple(slot.dirty_bitmap or ()))
        for memslots in vm.memslots
        for slot in memslots.slots.values()
    ]
    return views(SlotView, sorted(rows))


def _tlb(vcpu: KvmVcpu, places: dict[int, int]) -> list[TlbEntry]:
    """The translations by roots of the TDP MMU, which are no shadow pages."""
    if not vcpu.tlb:
        return []
    rows = [
        (places.get(id(root), -1), gfn, level, entry.pfn, entry.rights, int(entry.dirty))
        for (root, level, gfn), entry in vcpu.tlb.items()
        if type(root) is KvmMmuPage
    ]
    return views(TlbEntry, sorted(rows))


def _root(vm: Vm, root: KvmMmuPage) -> RootView:
    """A root of the TDP MMU."""
    view = RootView(root.as_id, root.level, int(root.invalid), root.root_count, vm.memory.listed(root))
    if root.shown != view:
        root.shown = view
    return root.shown


def _retired(vm: SteppedVm) -> list[RetiredTable]:
    """The tables that are retired and wait for a grace period."""
    retired = sorted([_retired_table(vm, table) for table in vm.memory.retired]) if vm.memory.retired else []
    if vm.retired_shown != retired:
        vm.retired_shown = retired
    return vm.retired_shown


def _retired_table(vm: Vm, table: KvmMmuPage) -> RetiredTable:
    """A retired table."""
    if not isinstance(table.shown, RetiredTable):
        sptes = [*table.entries.values()]
        frozen = sptes.count(vm.k.layout.frozen_spte)
        # A frozen SPTE is not present.
        present = sum(bool(is_shadow_present_pte(vm.k, spte)) for spte in sptes) if frozen < len(sptes) else 0
        table.shown = RetiredTable(table.level, table.gfn, table.serial, frozen, present)
    return table.shown
