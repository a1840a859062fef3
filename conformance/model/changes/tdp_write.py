# SPDX-License-Identifier: GPL-2.0-only
"""Changes in how the TDP MMU writes SPTEs, and walks them."""

from __future__ import annotations

from conformance.model.changes.registry import Change

TDP_XCHG = Change(
    commit="ba3a6120a4e7",
    title="KVM: x86/mmu: Use atomic XCHG to write TDP MMU SPTEs with volatile bits",
    since="5.18",
    effect=(
        "The TDP MMU writes a present leaf with volatile bits by XCHG and uses the value that was "
        "really replaced."
    ),
)

NEED_ATOMIC_WRITE = Change(
    commit="41e07665f1a6",
    title="KVM: x86/mmu: Add a helper function to check if an SPTE needs atomic write",
    since="6.4",
    effect="kvm_tdp_mmu_spte_need_atomic_write() exists.",
)

CLEAR_SPTE_BITS = Change(
    commit="89c313f20c1e",
    title="KVM: x86/mmu: Atomically clear SPTE dirty state in the clear-dirty-log flow",
    since="6.4",
    effect="tdp_mmu_clear_spte_bits() clears bits by a locked AND where they are volatile.",
)

CLEAR_SPTE_BITS_ATOMIC = Change(
    commit="e29b74920e6f",
    title="KVM: x86/mmu: Factor out spte atomic bit clearing routine",
    since="6.15",
    effect="tdp_mmu_clear_spte_bits_atomic() exists.",
)

RESTART_AFTER_YIELD = Change(
    commit="3a0f64de479c",
    title="KVM: x86/mmu: Don't advance iterator after restart due to yielding",
    since="5.16",
    effect="A walk that yielded restarts at the root with the next step.",
)
