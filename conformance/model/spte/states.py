# SPDX-License-Identifier: GPL-2.0-only
"""The four states of writability of a shadow-present leaf SPTE, as data.

From David Matlack's "Consolidate comments about {Host,MMU}-writable". The checker, the decoder, the
input generators and the documentation all read this table.
"""

from __future__ import annotations

from dataclasses import dataclass

from conformance.model.layout import PT_WRITABLE_MASK
from conformance.model.semantics import Semantics
from conformance.model.words import Truth, Word, any_set, no

__all__ = ["STATES", "WritabilityState", "host_writable_kept", "is_legal_state", "state_of"]


@dataclass(frozen=True)
class WritabilityState:
    """One legal combination of Host-writable, MMU-writable and W."""

    name: str
    host_writable: bool
    mmu_writable: bool
    writable: bool
    why: str

    def bits(self, k: Semantics) -> int:
        """The combination as bits of an SPTE."""
        return (
            (k.shadow_host_writable_mask if self.host_writable else 0)
            | (k.shadow_mmu_writable_mask if self.mmu_writable else 0)
            | (PT_WRITABLE_MASK if self.writable else 0)
        )


STATES = (
    WritabilityState("writable", True, True, True, "the guest may write"),
    WritabilityState(
        "write-protected for logging or aging", True, True, False,
        "writes are intercepted for the dirty log, or the SPTE is access-tracked;"
        " fast_page_fault() may set W without mmu_lock",
    ),
    WritabilityState(
        "write-protected for shadow paging", True, False, False,
        "the page is a guest page table that KVM shadows; it must be unsynced under mmu_lock first",
    ),
    WritabilityState(
        "read-only in the host", False, False, False,
        "the memslot or the host's mapping is read-only; stays so until the SPTE is zapped",
    ),
)  # fmt: skip
"""Every legal combination; the other four are bugs."""


def state_of(k: Semantics, spte: int) -> WritabilityState | None:
    """The state of a present leaf SPTE, None if its combination is illegal."""
    mask = k.shadow_host_writable_mask | k.shadow_mmu_writable_mask | PT_WRITABLE_MASK
    return next((state for state in STATES if state.bits(k) == spte & mask), None)


def is_legal_state(k: Semantics, spte: Word) -> Truth:
    """Whether a present leaf SPTE is in one of the legal states."""
    mask = k.shadow_host_writable_mask | k.shadow_mmu_writable_mask | PT_WRITABLE_MASK
    legal = (spte & mask) == STATES[0].bits(k)
    for state in STATES[1:]:
        legal = legal | ((spte & mask) == state.bits(k))
    return legal


def host_writable_kept(k: Semantics, old_spte: Word, new_spte: Word) -> Truth:
    """Whether changing a present SPTE, without zapping it, preserves Host-writable, as it must."""
    return no(any_set(old_spte ^ new_spte, k.shadow_host_writable_mask))
