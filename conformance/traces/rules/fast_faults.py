# SPDX-License-Identifier: GPL-2.0-only
"""R3 and R5: what fast_page_fault() does without mmu_lock, and that faults lead to something.

The event has the SPTE that fast_page_fault() decided on (``old``). ``new`` was read again, without a lock:
other threads may have changed it meanwhile, so that nothing is proved by it.
"""

from __future__ import annotations

from conformance.model.changes import EPT_AD_MASKS_ALWAYS, NO_ACCESS_WARNS, XS_XU
from conformance.model.layout import PT_PRESENT_MASK, PT_WRITABLE_MASK
from conformance.model.semantics import Semantics
from conformance.model.spte.predicates import is_executable_pte
from conformance.traces.events import Event
from conformance.traces.rules.rule import Check, Rule
from conformance.traces.state import State

__all__ = ["FAST_FAULTS"]

_FAST = ("fast_page_fault",)
_PRESENT, _WRITE, _RSVD, _FETCH = 1, 2, 8, 16
_SPURIOUS_IN_A_ROW = 4
_RETRIED_IN_A_ROW = 16


def _allowed(state: State) -> bool | None:
    """Whether the SPTE allows the access, as is_access_allowed() answers; None if the bits do not say it."""
    old, error = state.values["old_spte"], state.values["error_code"]
    if error & _FETCH:
        return None if state.k.has(XS_XU) else bool(is_executable_pte(state.k, old))
    return bool(old & (PT_WRITABLE_MASK if error & _WRITE else PT_PRESENT_MASK))


def _when(field: str, check: Check) -> Check:
    """The check, for events whose ``field`` is set; None if the raw format has another instead."""
    return lambda state, event: check(state, event) if state.values.get(field) else None


def _both(state: State, event: Event) -> str | None:
    return "it was spurious as well" if state.values.get("spurious") else None


def _nothing_there(state: State, event: Event) -> str | None:
    return None if state.old.present else f"old is {state.values['old_spte']:#x}, which maps nothing"


def _not_allowed(state: State, event: Event) -> str | None:
    if not state.old.present or _allowed(state) is not False:
        return None
    return f"old {state.values['old_spte']:#x} does not allow the access"


def _was_allowed(state: State, event: Event) -> str | None:
    if not state.old.present or _allowed(state) is not True:
        return None
    return f"old {state.values['old_spte']:#x} allowed the access"


def _write_not_mmu_writable(state: State, event: Event) -> str | None:
    write = state.values["error_code"] & _WRITE and not state.values["error_code"] & _FETCH
    if not write or not state.old.present or state.old.writable or state.old.mmu_writable:
        return None
    return f"old {state.values['old_spte']:#x} was neither writable nor MMU-writable"


def _reserved(state: State, event: Event) -> str | None:
    return "the error code has RSVD" if state.values["error_code"] & _RSVD else None


def _not_present_with_ad(state: State, event: Event) -> str | None:
    error = state.values["error_code"]
    if error & _PRESENT:
        return None
    return f"error code {error:#x} is of an entry that was not present, and this host has A/D bits"


def _only_without_ad(k: Semantics) -> bool:
    """Whether this host has A/D bits, and the kernel asks for them.

    Until commit 54275f74cf98 ("KVM: x86/mmu: Don't attempt fast page fault just because EPT is in use") in
    v5.19 EPT was enough.
    """
    hardware = k.kvm_ad_enabled if k.has(EPT_AD_MASKS_ALWAYS) else k.shadow_accessed_mask
    return bool(hardware and (not k.shadow_x_mask or k.has(NO_ACCESS_WARNS)))


def _not_a_write(state: State, event: Event) -> str | None:
    error = state.values["error_code"]
    if not error & _PRESENT or error & (_WRITE | _FETCH):
        return None
    return f"error code {error:#x} is of a read that a present entry denied"


def _other_bits(state: State, event: Event) -> str | None:
    k, old, new = state.k, state.values["old_spte"], state.values["new_spte"]
    if not (state.old.present and state.new.present) or state.pfn(old) != state.pfn(new):
        return None
    saved = k.layout.acc_track_saved_mask << k.layout.acc_track_saved_shift if k.shadow_acc_track_mask else 0
    may_change = (
        PT_WRITABLE_MASK | k.shadow_accessed_mask | k.shadow_dirty_mask | k.shadow_acc_track_mask | saved
    )
    changed = (old ^ new) & ~int(may_change)
    return f"bits {changed:#x} changed too" if changed else None


def _no_progress(state: State, event: Event) -> str | None:
    thread = state.thread(event)
    fault = state.faults.get(thread)
    if fault is None or fault.answered:
        return None
    address, error = fault.event.values["fault_address"] or 0, fault.event.values["error_code"] or 0
    before = state.idle.get((thread, address, error), 0)
    limit = _SPURIOUS_IN_A_ROW if fault.spurious else _RETRIED_IN_A_ROW
    if before + 1 != limit:
        return None
    how = "each was spurious" if fault.spurious else "nothing answered them"
    return f"{limit} faults in a row at {address:#x}, error code {error:#x}: {how}"


_SOURCE = "fast_page_fault() in mmu.c"

FAST_FAULTS = (
    Rule(
        "R3 fixed and spurious",
        "a fault was fixed or spurious, not both",
        "the event prints ret == RET_PF_FIXED and ret == RET_PF_SPURIOUS",
        "fast_page_fault()", _FAST, _when("fixed", _both),
    ),
    Rule(
        "R3 fixed nothing",
        "fast_page_fault() changes shadow-present SPTEs only",
        _SOURCE, "fast_pf_fix_direct_spte()", _FAST, _when("fixed", _nothing_there),
    ),
    Rule(
        "R3 spurious without an SPTE",
        "a fault is spurious only if an SPTE is present",
        _SOURCE, "fast_page_fault()", _FAST, _when("spurious", _nothing_there),
    ),
    Rule(
        "R3 W without MMU-writable",
        "fast_page_fault() makes an SPTE writable only if it is MMU-writable",
        f"is_mmu_writable_spte() in {_SOURCE}; Documentation/virt/kvm/locking.rst",
        "fast_pf_fix_direct_spte()", _FAST, _when("fixed", _write_not_mmu_writable),
    ),
    Rule(
        "R3 fixed what was allowed",
        "a fault whose access is allowed already is spurious",
        f"is_access_allowed() in {_SOURCE}",
        "fast_page_fault()", _FAST, _when("fixed", _was_allowed),
    ),
    Rule(
        "R3 spurious, yet denied",
        "a fault is spurious only if the SPTE allows the access",
        f"is_access_allowed() in {_SOURCE}",
        "fast_page_fault()", _FAST, _when("spurious", _not_allowed),
    ),
    Rule(
        "R3 reserved",
        "a fault on reserved bits (MMIO) is not handled without mmu_lock",
        "page_fault_can_be_fast() in mmu.c",
        "fast_page_fault()", _FAST, _reserved,
    ),
    Rule(
        "R3 not present",
        "with A/D bits, a fault on an entry that is not present is not handled without mmu_lock",
        "page_fault_can_be_fast() in mmu.c",
        "fast_page_fault()", _FAST, _not_present_with_ad,
        applies=_only_without_ad,
    ),
    Rule(
        "R3 denied read",
        "a read that a present entry denied is not handled without mmu_lock",
        "page_fault_can_be_fast() in mmu.c",
        "fast_page_fault()", _FAST, _not_a_write,
        applies=lambda k: not k.shadow_acc_track_mask,
    ),
    Rule(
        "R3 other bits",
        "fast_page_fault() changes W, and what access tracking took, only",
        _SOURCE, "fast_pf_fix_direct_spte()", _FAST, _when("fixed", _other_bits), field="new_spte",
        innocent="new was read again without mmu_lock: another thread changed the SPTE meanwhile",
    ),
    Rule(
        "R5 progress",
        "a fault does not repeat without end",
        "KVM answers a fault, or the guest does not make it again",
        "kvm_mmu_do_page_fault()", ("kvm_entry",), _no_progress, needs=("kvm_page_fault",),
        innocent="an invalidation that takes long, an entry that stays frozen, a hypervisor below this one "
        "that does not flush its TLB, or an answer that has no event",
    ),
)  # fmt: skip
