# SPDX-License-Identifier: GPL-2.0-only
"""What can be seen of the machine after a step, as plain data.

The forms are agreed with whatever else answers to the same steps; nothing here is changed by looking.
"""

from __future__ import annotations

from typing import Any

from conformance.model.spte.predicates import is_shadow_present_pte
from conformance.model.vm.vm import KvmVcpu, Request, Vm

__all__ = ["observe"]

COUNTERS = ("pf_taken", "pf_fixed", "pf_fast", "pf_spurious", "pf_emulate", "pf_mmio_spte_created")
"""Statistics of vCPUs, of which the sum over all is shown."""

REQUEST_BITS = {Request.MMU_FREE_OBSOLETE_ROOTS: 1}
"""Requests that concern the MMU, besides that for a flush."""


def observe(vm: Vm, outcome: list[int], events: list[str]) -> dict[str, Any]:
    """The outcome of a step, what was complained about, and the state that it left.

    Lists may be shared with later observations: they are to be read only.
    """
    places = {id(root): n for n, root in enumerate(vm.roots)}
    if vm.destroyed:
        gone: dict[str, Any] = {"outcome": outcome, "events": events, "state": {}}
        return gone | {name: [] for name in ("vcpus", "tlb", "slots", "roots", "retired")}
    return {
        "outcome": outcome,
        "events": events,
        "state": _state(vm),
        "vcpus": [_vcpu(vcpu, places) for vcpu in vm.vcpus],
        "tlb": [_tlb(vcpu, places) for vcpu in vm.vcpus],
        "slots": sorted(
            [slot.as_id, slot.id, slot.base_gfn, slot.npages, slot.flags, *(slot.dirty_bitmap or ())]
            for memslots in vm.memslots
            for slot in memslots.slots.values()
        ),
        "roots": [
            [root.as_id, root.level, int(root.invalid), root.root_count, vm.memory.listed(root)]
            for root in vm.roots
        ],
        "retired": _retired(vm),
    }


def _state(vm: Vm) -> dict[str, int]:
    state = {
        "invalidate_in_progress": vm.mmu_invalidate_in_progress,
        "invalidate_seq": vm.mmu_invalidate_seq,
        "generation": vm.memslots[0].generation,
        "flush_requests": vm.remote_tlb_flush_requests,
        "flushes": vm.remote_tlb_flush,
        "pages_4k": vm.pages[1],
        "pages_2m": vm.pages[2],
        "pages_1g": vm.pages[3],
        "nx_lpage_splits": vm.nx_lpage_splits,
    }
    for counter in COUNTERS:
        state[counter] = sum(getattr(vcpu, counter) for vcpu in vm.vcpus)
    return state


def _vcpu(vcpu: KvmVcpu, places: dict[int, int]) -> list[int]:
    """[its root's place in "roots", flush requested, other requests, flushes done, in SMM]."""
    other = sum(bit for request, bit in REQUEST_BITS.items() if request in vcpu.requests)
    root = places.get(id(vcpu.root), -1)
    return [root, int(Request.TLB_FLUSH in vcpu.requests), other, vcpu.flushes, int(vcpu.smm)]


def _tlb(vcpu: KvmVcpu, places: dict[int, int]) -> list[list[int]]:
    """[root's place or -1 if it is gone, gfn, level, pfn, rights, dirty] for each translation."""
    return sorted(
        [places.get(id(root), -1), gfn, level, entry.pfn, entry.rights, int(entry.dirty)]
        for (root, level, gfn), entry in vcpu.tlb.items()
    )


def _retired(vm: Vm) -> list[list[int]]:
    """[level, gfn, serial, frozen entries, present entries] for each table waiting for its grace period."""
    frozen = vm.k.layout.frozen_spte
    rows = []
    for table in vm.memory.retired:
        others = [spte for spte in table.entries.values() if spte != frozen]
        present = sum(bool(is_shadow_present_pte(vm.k, spte)) for spte in others)
        rows.append([table.level, table.gfn, table.serial, len(table.entries) - len(others), present])
    return sorted(rows)
