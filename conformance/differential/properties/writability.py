# SPDX-License-Identifier: GPL-2.0-only
"""Properties: who may write, and changing an SPTE in memory."""

from conformance.differential.columns import Bits, Flag, SpteColumn
from conformance.differential.property import ANY_MODE, Mutant, declare
from conformance.model import update, writability
from conformance.model.changes import (
    LEAF_FLUSH_RULE,
    NO_PFN_DIRTY,
    PERMISSION_BITMAP,
    SPTE_INVARIANTS_HELPER,
)
from conformance.model.kernel import Kernel
from conformance.model.words import Word

GROUP = "writability"
SPTE_H = "arch/x86/kvm/mmu/spte.h"
MMU_C = "arch/x86/kvm/mmu/mmu.c"
SPTE = SpteColumn("spte")
MEMORY = SpteColumn("memory")
RACED = SpteColumn("raced", near="memory")
UPDATED = ("value", "memory after", "accesses", "pfn accessed", "pfn dirty")
UPDATE_EVENTS = (
    "WARN mmu_spte_update",
    "WARN mmu_spte_update_no_track",
    "WARN mmu_spte_set",
    "WARN check_spte_writable_invariants",
    "call kvm_set_pfn_accessed",
    "call kvm_set_pfn_dirty",
)


def _check_invariants(k: Kernel, spte: Word) -> Word:
    writability.check_spte_writable_invariants(k, spte)
    return 0


declare(
    writability.is_writable_pte,
    GROUP,
    [SPTE],
    answer=lambda k, spte: writability.is_writable_pte(spte),
    modes=ANY_MODE,
    mutants=[Mutant(SPTE_H, "return pte & PT_WRITABLE_MASK;", "return pte & PT_PRESENT_MASK;")],
)
declare(
    writability.is_mmu_writable_spte,
    GROUP,
    [SPTE],
    mutants=[
        Mutant(SPTE_H, "return spte & shadow_mmu_writable_mask;", "return spte & shadow_host_writable_mask;")
    ],
)
declare(
    writability.check_spte_writable_invariants,
    GROUP,
    [SPTE],
    gives=("value",),
    truths=(),
    answer=_check_invariants,
    events=("WARN check_spte_writable_invariants",),
    since=SPTE_INVARIANTS_HELPER,
    mutants=[Mutant(SPTE_H, "WARN_ONCE(is_writable_pte(spte),", "WARN_ONCE(0,")],
)
declare(
    writability.is_access_allowed,
    GROUP,
    [SPTE, Flag("exec"), Flag("write"), Flag("user"), Flag("present")],
    answer=lambda k, spte, exec, write, user, present: writability.is_access_allowed(
        k, spte, exec=exec == 1, write=write == 1
    ),
    until=PERMISSION_BITMAP,
    mutants=[Mutant(MMU_C, "return spte & PT_PRESENT_MASK;\n}", "return is_shadow_present_pte(spte);\n}")],
)
declare(
    writability.spte_permission_fault,
    GROUP,
    [
        SPTE,
        Bits("error_code", 50, dense=True),
        *(Bits(f"permissions[{4 * n}]", dense=True) for n in range(4)),
    ],
    answer=lambda k, spte, error_code, *permissions: writability.spte_permission_fault(
        k, spte, error_code, permissions
    ),
    since=PERMISSION_BITMAP,
    mutants=[
        Mutant(
            SPTE_H,
            "PFERR_WRITE_MASK | PFERR_USER_MASK | PFERR_FETCH_MASK",
            "PFERR_WRITE_MASK | PFERR_FETCH_MASK",
            "7.3",
        )
    ],
)
declare(
    update.leaf_spte_change_needs_tlb_flush,
    GROUP,
    [SpteColumn("old_spte"), SpteColumn("new_spte", near="old_spte")],
    since=LEAF_FLUSH_RULE,
    mutants=[
        Mutant(
            SPTE_H,
            "is_mmu_writable_spte(old_spte) && !is_mmu_writable_spte(new_spte)",
            "is_mmu_writable_spte(old_spte) && !is_writable_pte(new_spte)",
            "7.3",
        )
    ],
)
declare(
    update.mmu_spte_update,
    GROUP,
    [MEMORY, RACED, SpteColumn("new_spte", near="memory")],
    gives=UPDATED,
    truths=("value", "accesses"),
    events=UPDATE_EVENTS,
    mutants=[
        Mutant(
            MMU_C,
            "if (is_mmu_writable_spte(old_spte) &&\n\t      !is_writable_pte(new_spte))",
            "if (is_writable_pte(old_spte) &&\n\t      !is_writable_pte(new_spte))",
        ),
        Mutant(
            MMU_C,
            "if (is_accessed_spte(old_spte) && !is_accessed_spte(new_spte)) {",
            "if (is_accessed_spte(old_spte) && is_accessed_spte(new_spte)) {",
        ),
    ],
)
declare(
    update.spte_write_protect,
    GROUP,
    [MEMORY, RACED, Flag("pt_protect")],
    gives=UPDATED,
    truths=("value", "accesses"),
    answer=lambda k, memory, raced, pt_protect: update.spte_write_protect(k, memory, raced, pt_protect == 1),
    events=UPDATE_EVENTS,
    mutants=[
        Mutant(
            MMU_C, "!(pt_protect && is_mmu_writable_spte(spte)))", "!(pt_protect && is_writable_pte(spte)))"
        )
    ],
)
declare(
    update.spte_clear_dirty,
    GROUP,
    [MEMORY, RACED],
    gives=UPDATED,
    truths=("value", "accesses"),
    events=UPDATE_EVENTS,
    mutants=[Mutant(MMU_C, "spte &= ~shadow_dirty_mask;", "spte &= ~shadow_accessed_mask;")],
)
declare(
    update.spte_wrprot_for_clear_dirty,
    GROUP,
    [MEMORY, RACED],
    gives=UPDATED,
    truths=("value", "accesses"),
    answer=lambda k, memory, raced: update.spte_wrprot_for_clear_dirty(k, raced),
    events=("call kvm_set_pfn_dirty",),
    until=NO_PFN_DIRTY,
    mutants=[Mutant(MMU_C, "if (was_writable && !spte_ad_enabled(*sptep))", "if (was_writable)")],
)
