# SPDX-License-Identifier: GPL-2.0-only
"""How the TDP MMU writes an SPTE that fast page faults and the processor may change concurrently.

From Sean Christopherson's "Use atomic XCHG to write TDP MMU SPTEs with volatile bits". In each function
``memory`` is the entry at the time of the write, ``old_spte`` the value that the caller has read before,
and the ``value`` of the result is what the caller takes as the replaced SPTE.
"""

from __future__ import annotations

from conformance.model.changes import TDP_XCHG
from conformance.model.semantics import Semantics
from conformance.model.spte.access import spte_has_volatile_bits
from conformance.model.spte.predicates import is_last_spte, is_shadow_present_pte
from conformance.model.spte.spte_update import ATOMIC, PLAIN, Update
from conformance.model.words import Truth, Word, clear, either

__all__ = [
    "__kvm_tdp_mmu_write_spte",
    "kvm_tdp_mmu_spte_need_atomic_write",
    "kvm_tdp_mmu_write_spte",
    "kvm_tdp_mmu_write_spte_atomic",
    "tdp_mmu_clear_spte_bits",
    "tdp_mmu_clear_spte_bits_atomic",
]


def __kvm_tdp_mmu_write_spte(k: Semantics, memory: Word, new_spte: Word) -> Update:
    """Write by a plain store, for entries without concurrent changes. The function returns nothing."""
    return Update(value=0, memory=new_spte, accesses=PLAIN)


def kvm_tdp_mmu_write_spte_atomic(k: Semantics, memory: Word, new_spte: Word) -> Update:
    """Write by XCHG; returns the value that was really replaced."""
    return Update(value=memory, memory=new_spte, accesses=ATOMIC)


def kvm_tdp_mmu_spte_need_atomic_write(k: Semantics, old_spte: Word, level: Word) -> Truth:
    """Whether a plain store over ``old_spte`` could lose changes: a present leaf with volatile bits.

    Non-leaf SPTEs are exempt: KVM does not change them without mmu_lock, they have no Dirty bit, and their
    Accessed bit is not used. Called kvm_tdp_mmu_spte_need_atomic_update() since 61d65f2dc766 in v6.15.
    """
    leaf = is_shadow_present_pte(k, old_spte) & is_last_spte(k, old_spte, level)
    return leaf & spte_has_volatile_bits(k, old_spte)


def kvm_tdp_mmu_write_spte(k: Semantics, memory: Word, old_spte: Word, new_spte: Word, level: Word) -> Update:
    """Replace ``old_spte`` at ``level``, by XCHG if it is volatile; before ba3a6120a4e7 by a plain store.

    A plain store returns ``old_spte`` whatever the entry holds: concurrent changes are lost.
    """
    if not k.has(TDP_XCHG):
        return Update(value=old_spte, memory=new_spte, accesses=PLAIN)
    atomic = kvm_tdp_mmu_spte_need_atomic_write(k, old_spte, level)
    return Update(
        value=either(atomic, memory, old_spte), memory=new_spte, accesses=either(atomic, ATOMIC, PLAIN)
    )


def tdp_mmu_clear_spte_bits_atomic(k: Semantics, memory: Word, mask: Word) -> Update:
    """Clear the bits of ``mask`` by a locked AND; returns the value before."""
    return Update(value=memory, memory=clear(memory, mask), accesses=ATOMIC)


def tdp_mmu_clear_spte_bits(k: Semantics, memory: Word, old_spte: Word, mask: Word, level: Word) -> Update:
    """Clear the bits of ``mask``, atomically if ``old_spte`` is volatile; returns the value before.

    From 89c313f20c1e ("KVM: x86/mmu: Atomically clear SPTE dirty state in the clear-dirty-log flow").
    """
    atomic = kvm_tdp_mmu_spte_need_atomic_write(k, old_spte, level)
    return Update(
        value=either(atomic, memory, old_spte),
        memory=clear(either(atomic, memory, old_spte), mask),
        accesses=either(atomic, ATOMIC, PLAIN),
    )
