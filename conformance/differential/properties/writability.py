# SPDX-License-Identifier: GPL-2.0-only
"""Properties: who may write, and changing an SPTE in memory."""

from conformance.differential.columns import Bits, Flag, SpteColumn
from conformance.differential.legality.nearest import nearest_leaf
from conformance.differential.legality.needs import (
    Callers,
    Case,
    becomes,
    entry,
    leaf,
    need,
    present,
    same_page,
)
from conformance.differential.property import ANY_MODE, declare
from conformance.kernels.substitutions import MMU_C, SPTE_H, Substitution
from conformance.model.changes import (
    LEAF_FLUSH_RULE,
    NO_PFN_DIRTY,
    PERMISSION_BITMAP,
    SPTE_INVARIANTS_HELPER,
)
from conformance.model.semantics import Semantics
from conformance.model.spte import spte_update, writability
from conformance.model.spte.access import spte_ad_enabled
from conformance.model.words import Truth, Word, any_set, clear, no, when

GROUP = "writability"
SPTE = SpteColumn("spte")
MEMORY = SpteColumn("memory")
RACED = SpteColumn("raced", near="memory")
LEAF = Callers("Callers pass a shadow-present leaf SPTE.", (leaf("spte"),))
UPDATES = Callers(
    "spte_write_protect(), spte_clear_dirty(), aging and FNAME(sync_spte)() pass an entry with a leaf SPTE,"
    " which fast page faults and the processor may change meanwhile, and one for the same page.",
    (
        leaf("memory"),
        becomes("memory", "raced"),
        leaf("new_spte"),
        same_page("memory", "new_spte"),
    ),
)
PROTECTS = Callers(
    "Write protection and the dirty log pass an entry of the reverse map, with a shadow-present leaf SPTE.",
    (leaf("memory"), becomes("memory", "raced")),
)


def _one_access(k: Semantics, case: Case) -> Truth:
    return no((case["exec"] == 1) & (case["write"] == 1))


ENABLED = need(
    "the A/D bits of memory are disabled",
    lambda k, case: spte_ad_enabled(k, case["memory"]),
    lambda k, case: {"memory": nearest_leaf(k, clear(case["memory"], k.layout.spte_tdp_ad_disabled))},
)
UPDATED = ("value", "memory after", "accesses", "pfn accessed", "pfn dirty")
UPDATE_EVENTS = (
    "WARN mmu_spte_update",
    "WARN mmu_spte_update_no_track",
    "WARN mmu_spte_set",
    "WARN check_spte_writable_invariants",
    "call kvm_set_pfn_accessed",
    "call kvm_set_pfn_dirty",
)


def _check_invariants(k: Semantics, spte: Word) -> Word:
    writability.check_spte_writable_invariants(k, spte)
    return 0


declare(
    writability.is_writable_pte,
    GROUP,
    [SPTE],
    answer=lambda k, spte: writability.is_writable_pte(spte),
    modes=ANY_MODE,
    callers=Callers("Callers pass a shadow-present SPTE.", (present("spte"),)),
    mutants=[Substitution(SPTE_H, "return pte & PT_WRITABLE_MASK;", "return pte & PT_PRESENT_MASK;")],
)
declare(
    writability.is_mmu_writable_spte,
    GROUP,
    [SPTE],
    callers=LEAF,
    mutants=[
        Substitution(
            SPTE_H, "return spte & shadow_mmu_writable_mask;", "return spte & shadow_host_writable_mask;"
        )
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
    callers=LEAF,
    mutants=[Substitution(SPTE_H, "WARN_ONCE(is_writable_pte(spte),", "WARN_ONCE(0,")],
)
declare(
    writability.is_access_allowed,
    GROUP,
    [SPTE, Flag("exec"), Flag("write"), Flag("user"), Flag("present")],
    answer=lambda k, spte, exec, write, user, present: writability.is_access_allowed(
        k, spte, exec=exec == 1, write=write == 1
    ),
    until=PERMISSION_BITMAP,
    callers=Callers(
        "fast_page_fault() passes a shadow-present leaf SPTE; a fault is of a fetch or of a write.",
        (
            leaf("spte"),
            need(
                "exec and write are both set",
                _one_access,
                lambda k, case: {"write": case["write"] & (case["exec"] ^ 1)},
            ),
        ),
    ),
    mutants=[
        Substitution(MMU_C, "return spte & PT_PRESENT_MASK;\n}", "return is_shadow_present_pte(spte);\n}")
    ],
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
    callers=Callers(
        "fast_page_fault() and kvm_tdp_map_page() pass what an entry holds and the error code of a fault.",
        (
            entry("spte"),
            need(
                "error_code is of a fetch and of a write",
                lambda k, case: no(
                    any_set(case["error_code"], writability.PFERR_FETCH_MASK)
                    & any_set(case["error_code"], writability.PFERR_WRITE_MASK)
                ),
                lambda k, case: {
                    "error_code": clear(
                        case["error_code"],
                        when(
                            any_set(case["error_code"], writability.PFERR_FETCH_MASK),
                            writability.PFERR_WRITE_MASK,
                        ),
                    )
                },
            ),
        ),
    ),
    mutants=[
        Substitution(
            SPTE_H,
            "PFERR_WRITE_MASK | PFERR_USER_MASK | PFERR_FETCH_MASK",
            "PFERR_WRITE_MASK | PFERR_FETCH_MASK",
            "7.3",
        )
    ],
)
declare(
    spte_update.leaf_spte_change_needs_tlb_flush,
    GROUP,
    [SpteColumn("old_spte"), SpteColumn("new_spte", near="old_spte")],
    since=LEAF_FLUSH_RULE,
    callers=Callers(
        "mmu_spte_update() and the TDP MMU pass shadow-present leaf SPTEs of one page.",
        (leaf("old_spte"), leaf("new_spte"), same_page("old_spte", "new_spte")),
    ),
    mutants=[
        Substitution(
            SPTE_H,
            "is_mmu_writable_spte(old_spte) && !is_mmu_writable_spte(new_spte)",
            "is_mmu_writable_spte(old_spte) && !is_writable_pte(new_spte)",
            "7.3",
        )
    ],
)
declare(
    spte_update.mmu_spte_update,
    GROUP,
    [MEMORY, RACED, SpteColumn("new_spte", near="memory")],
    gives=UPDATED,
    truths=("value", "accesses"),
    events=UPDATE_EVENTS,
    sptes=("memory after",),
    callers=UPDATES,
    mutants=[
        Substitution(
            MMU_C,
            "if (is_mmu_writable_spte(old_spte) &&\n\t      !is_writable_pte(new_spte))",
            "if (is_writable_pte(old_spte) &&\n\t      !is_writable_pte(new_spte))",
        ),
        Substitution(
            MMU_C,
            "if (is_accessed_spte(old_spte) && !is_accessed_spte(new_spte)) {",
            "if (is_accessed_spte(old_spte) && is_accessed_spte(new_spte)) {",
        ),
    ],
)
declare(
    spte_update.spte_write_protect,
    GROUP,
    [MEMORY, RACED, Flag("pt_protect")],
    gives=UPDATED,
    truths=("value", "accesses"),
    answer=lambda k, memory, raced, pt_protect: spte_update.spte_write_protect(
        k, memory, raced, pt_protect == 1
    ),
    events=UPDATE_EVENTS,
    sptes=("memory after",),
    callers=PROTECTS,
    mutants=[
        Substitution(
            MMU_C, "!(pt_protect && is_mmu_writable_spte(spte)))", "!(pt_protect && is_writable_pte(spte)))"
        )
    ],
)
declare(
    spte_update.spte_clear_dirty,
    GROUP,
    [MEMORY, RACED],
    gives=UPDATED,
    truths=("value", "accesses"),
    events=UPDATE_EVENTS,
    sptes=("memory after",),
    callers=Callers(
        "__rmap_clear_dirty() passes an entry with a shadow-present leaf SPTE whose A/D bits are enabled.",
        (
            leaf("memory"),
            ENABLED,
            becomes("memory", "raced"),
        ),
    ),
    mutants=[Substitution(MMU_C, "spte &= ~shadow_dirty_mask;", "spte &= ~shadow_accessed_mask;")],
)
declare(
    spte_update.spte_wrprot_for_clear_dirty,
    GROUP,
    [MEMORY, RACED],
    gives=UPDATED,
    truths=("value", "accesses"),
    answer=lambda k, memory, raced: spte_update.spte_wrprot_for_clear_dirty(k, raced),
    events=("call kvm_set_pfn_dirty",),
    until=NO_PFN_DIRTY,
    sptes=("memory after",),
    callers=PROTECTS,
    mutants=[Substitution(MMU_C, "if (was_writable && !spte_ad_enabled(*sptep))", "if (was_writable)")],
)
