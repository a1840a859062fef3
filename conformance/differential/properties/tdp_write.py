# SPDX-License-Identifier: GPL-2.0-only
"""Properties: how the TDP MMU writes SPTEs."""

from conformance.differential.columns import Bits, Choice, SpteColumn
from conformance.differential.legality.needs import Callers, Case, becomes, entry, leaf, need, same_page
from conformance.differential.outputs import Flag
from conformance.differential.properties.changed_memory import WRITTEN, written
from conformance.differential.property import ANY_MODE, TDP_MODES, declare
from conformance.kernels.substitutions import ITER_H, Substitution
from conformance.model.changes import (
    CLEAR_SPTE_BITS,
    CLEAR_SPTE_BITS_ATOMIC,
    NEED_ATOMIC_WRITE,
    TDP_XCHG,
)
from conformance.model.layout import PT_WRITABLE_MASK
from conformance.model.semantics import Semantics
from conformance.model.spte import tdp_write
from conformance.model.words import Truth, Word, any_set, either

GROUP = "tdp"
MEMORY = SpteColumn("memory")
OLD = SpteColumn("old_spte", near="memory")
NEW = SpteColumn("new_spte", near="memory")
MASK = Bits("mask", dense=True)
LEVEL = Choice("level", 3, (1, 2, 3, 4))


def _level(k: Semantics, case: Case) -> Word:
    return case["level"]


def _is_cleared(k: Semantics, case: Case) -> Truth:
    mask = case["mask"]
    return (mask == k.shadow_accessed_mask) | (mask == k.shadow_dirty_mask) | (mask == PT_WRITABLE_MASK)


def _nearest_mask(k: Semantics, case: Case) -> dict[str, Word]:
    mask = case["mask"]
    other = either(any_set(mask, k.shadow_dirty_mask), k.shadow_dirty_mask, k.shadow_accessed_mask)
    if not k.shadow_accessed_mask:
        other = (mask & 0) | PT_WRITABLE_MASK
    return {
        "mask": either(
            _is_cleared(k, case), mask, either(any_set(mask, PT_WRITABLE_MASK), PT_WRITABLE_MASK, other)
        )
    }


CLEARED = need("mask is none of Accessed, Dirty and W", _is_cleared, _nearest_mask)
WRITES = Callers(
    "tdp_mmu_set_spte() and handle_removed_pt() pass what they have read and the level of its table; in"
    " between, fast page faults and the processor may change it. A leaf never comes to map another page.",
    (
        entry("old_spte", _level),
        becomes("old_spte", "memory"),
        entry("new_spte", _level),
        same_page("old_spte", "new_spte", _level),
    ),
)
REPLACES = Callers(
    "tdp_mmu_set_spte_atomic() and handle_removed_pt() replace what an entry holds by what it may hold.",
    (entry("memory"), entry("new_spte")),
)
CLEARS = Callers(
    "Aging clears Accessed, and the dirty log Dirty or W, of a shadow-present leaf SPTE that they have read.",
    (
        leaf("old_spte", lambda k, case: either(case["level"] <= 3, case["level"], 3)),
        becomes("old_spte", "memory"),
        CLEARED,
    ),
)
declare(
    tdp_write.kvm_tdp_mmu_write_spte,
    GROUP,
    [MEMORY, OLD, NEW, LEVEL],
    gives=WRITTEN,
    answer=written(tdp_write.kvm_tdp_mmu_write_spte),
    modes=TDP_MODES,
    callers=WRITES,
    mutants=[
        Substitution(ITER_H, "    spte_has_volatile_bits(old_spte))", "    is_writable_pte(old_spte))"),
        Substitution(ITER_H, "is_last_spte(old_spte, level) &&", ""),
        Substitution(
            ITER_H,
            "\t__kvm_tdp_mmu_write_spte(sptep, new_spte);\n\treturn old_spte;",
            "\t__kvm_tdp_mmu_write_spte(sptep, new_spte);\n\treturn new_spte;",
        ),
    ],
)
declare(
    tdp_write.kvm_tdp_mmu_write_spte_atomic,
    GROUP,
    [MEMORY, NEW],
    gives=WRITTEN,
    answer=written(tdp_write.kvm_tdp_mmu_write_spte_atomic),
    modes=TDP_MODES,
    since=TDP_XCHG,
    callers=REPLACES,
    mutants=[
        Substitution(
            ITER_H,
            "return xchg(rcu_dereference(sptep), new_spte);",
            "u64 old = *sptep; WRITE_ONCE(*sptep, new_spte); return old;",
        )
    ],
)
declare(
    tdp_write.__kvm_tdp_mmu_write_spte,
    GROUP,
    [MEMORY, NEW],
    gives=WRITTEN,
    answer=written(tdp_write.__kvm_tdp_mmu_write_spte),
    modes=TDP_MODES,
    since=TDP_XCHG,
    callers=REPLACES,
    mutants=[
        Substitution(ITER_H, "WRITE_ONCE(*rcu_dereference(sptep), new_spte);", "xchg(sptep, new_spte);")
    ],
)
declare(
    tdp_write.kvm_tdp_mmu_spte_need_atomic_write,
    GROUP,
    [SpteColumn("old_spte"), LEVEL],
    gives=(Flag("value"),),
    modes=TDP_MODES,
    since=NEED_ATOMIC_WRITE,
    callers=Callers(
        "kvm_tdp_mmu_write_spte() and tdp_mmu_clear_spte_bits() pass an entry and the level of its table.",
        (entry("old_spte", _level),),
    ),
    mutants=[Substitution(ITER_H, "return is_shadow_present_pte(old_spte) &&", "return true &&", "6.12")],
)
declare(
    tdp_write.tdp_mmu_clear_spte_bits,
    GROUP,
    [MEMORY, OLD, MASK, LEVEL],
    gives=WRITTEN,
    answer=written(tdp_write.tdp_mmu_clear_spte_bits),
    modes=TDP_MODES,
    since=CLEAR_SPTE_BITS,
    callers=CLEARS,
    mutants=[
        Substitution(ITER_H, "(sptep, old_spte & ~mask)", "(sptep, *sptep & ~mask)", "6.12"),
        Substitution(
            ITER_H,
            "return (u64)atomic64_fetch_and(~mask, sptep_atomic);",
            "return (u64)atomic64_fetch_and(~mask, sptep_atomic) & ~mask;",
            "6.12",
        ),
    ],
)
declare(
    tdp_write.tdp_mmu_clear_spte_bits_atomic,
    GROUP,
    [MEMORY, MASK],
    gives=WRITTEN,
    answer=written(tdp_write.tdp_mmu_clear_spte_bits_atomic),
    modes=ANY_MODE,
    since=CLEAR_SPTE_BITS_ATOMIC,
    callers=Callers(
        "tdp_mmu_clear_spte_bits() and aging pass an entry with a shadow-present leaf SPTE.",
        (leaf("memory"), CLEARED),
    ),
    mutants=[
        Substitution(
            ITER_H,
            "atomic64_fetch_and(~mask, sptep_atomic)",
            "atomic64_fetch_and(mask, sptep_atomic)",
            "7.3",
        )
    ],
)
